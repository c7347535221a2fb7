"""Whether the region has the images that machines are made from, and whether they may be bought.

Pure. Nothing is said of machines that are there already, because their image is on their disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.surroundings import Machine, Surroundings
from hpc_operator.subscription import Image


def needed(site: Surroundings) -> list[str]:
    """Return the images that machines may be made from, each once."""
    return list(dict.fromkeys(machine.urn for machine in _to_make(site)))


def check(site: Surroundings, images: Mapping[str, Image]) -> Iterator[Finding]:
    """Yield which images are not there, or are sold and were not bought.

    Parameters
    ----------
    site
        The environment.
    images
        What is known, by URN; what is not known is not judged.
    """
    for machine in _to_make(site):
        image = images.get(machine.urn)
        if image is not None and (fault := _fault(site, machine, image)):
            reason, message = fault
            yield Finding(machine.owner, Check.IMAGES, reason, message, machine.blocks)


def _to_make(site: Surroundings) -> list[Machine]:
    return [machine for machine in site.machines if machine.is_node or machine.shown is None]


def _fault(site: Surroundings, machine: Machine, image: Image) -> tuple[str, str] | None:
    made = f"{machine.label} is made from image {machine.urn}"
    advice = "write another image.urn" if machine.is_node else "choose another region"
    if not image.exists:
        return "ImageMissing", f"{made}, which {site.location} does not have: {advice}"
    if image.plan is None:
        return None
    if "plan" not in machine.body:
        return "ImagePlanUnknown", f"{made}, which is sold by a plan that the operator cannot order: {advice}"
    if image.terms_accepted is False:
        command = f"az vm image terms accept --urn {machine.urn}"
        return "ImageTermsNotAccepted", f"{made}, whose terms the subscription has not accepted: run `{command}`"
    return None
