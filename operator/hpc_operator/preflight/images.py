"""Whether the region has the images that machines are made from, and whether they may be bought.

Pure. Nothing is said of machines that are there already, because their image is on their disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.surroundings import Machine, Surroundings
from hpc_operator.subscription import Image


def needed(site: Surroundings) -> list[str]:
    """Return the images of the marketplace that machines may be made from, each once."""
    return list(dict.fromkeys(machine.urn for machine in _to_make(site) if machine.urn is not None))


def check(site: Surroundings, images: Mapping[str, Image]) -> Iterator[Finding]:
    """Yield which images are not there, or are sold and were not bought. Those of galleries are resources of the graph.

    Parameters
    ----------
    site
        The environment.
    images
        What is known, by URN; what is not known is not judged.
    """
    for machine in _to_make(site):
        image = images.get(machine.urn or "")
        if image is not None and (fault := _fault(site, machine, image)):
            reason, message = fault
            yield Finding(machine.owner, Check.IMAGES, reason, message, machine.blocks)


def _to_make(site: Surroundings) -> list[Machine]:
    return [machine for machine in site.machines if machine.is_node or machine.shown is None]


def _fault(site: Surroundings, machine: Machine, image: Image) -> tuple[str, str] | None:
    made = f"{machine.label} is made from image {machine.urn}"
    advice = "write another image" if machine.is_node else "choose another region"
    if not image.exists:
        return "ImageMissing", f"{made}, which {site.location} does not have: {advice}"
    if _lower(image.plan) != _lower(_ordered(machine)):
        sold = "/".join(image.plan) if image.plan else "no plan"
        return "ImagePlanMismatch", f"{made}, which is sold by {sold}, and the operator orders another: {advice}"
    if image.terms_accepted is False:
        command = f"az vm image terms accept --urn {machine.urn}"
        return "ImageTermsNotAccepted", f"{made}, whose terms the subscription has not accepted: run `{command}`"
    return None


def _ordered(machine: Machine) -> tuple[str, ...] | None:
    plan = machine.body.get("plan")
    return None if plan is None else (plan["publisher"], plan["product"], plan["name"])


def _lower(plan: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if plan is None else tuple(map(str.lower, plan))
