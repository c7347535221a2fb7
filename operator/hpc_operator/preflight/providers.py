"""Whether the subscription is registered for the resource providers that an environment needs.

Pure. The engine registers what is missing where it may, so only what it may not register is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.surroundings import Surroundings
from hpc_operator.subscription import Permissions

_ON_THE_WAY: Final = ("registered", "registering")


def check(site: Surroundings, registrations: Mapping[str, str], permissions: Permissions) -> Iterator[Finding]:
    """Yield which registrations are missing and have to be made by somebody else.

    Parameters
    ----------
    site
        The environment.
    registrations
        State by lower-case namespace; a namespace that is absent is not judged.
    permissions
        What we may do in the subscription.
    """
    users: dict[str, set[str]] = {}
    for resource in site.resources:
        users.setdefault(resource.type.partition("/")[0], set()).add(resource.id.lower())
    for namespace in sorted(users):
        state = registrations.get(namespace.lower(), "Registered")
        if state.lower() not in _ON_THE_WAY and not permissions.allows(f"{namespace}/register/action"):
            yield Finding(
                site.owner,
                Check.PROVIDERS,
                "ProviderNotRegistered",
                f"The subscription is not registered for {namespace}, and the operator may not do it: run "
                f"`az provider register --namespace {namespace}`",
                frozenset(users[namespace]),
            )
