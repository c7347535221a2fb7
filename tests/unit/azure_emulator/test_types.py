"""The data that describe resource types fit together."""

from __future__ import annotations

import pytest

from azure_emulator import reference
from azure_emulator.providers import PROVIDERS
from azure_emulator.providers.compute.sizes import SIZES

TYPES = {kind.name: kind for provider in PROVIDERS for kind in provider.types}


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_types_name_types_that_exist(kind):
    named = {*kind.embedded.values(), *(hold.by for hold in kind.holds), *([kind.parent] if kind.parent else [])}
    named |= {kind.serialised} if kind.serialised else set()
    assert named <= set(TYPES)


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_what_takes_time_can_be_followed(kind):
    verbs = [verb.seconds for verb in (kind.put, kind.patch, kind.delete) if verb is not None]
    if any(verbs):
        assert kind.protocol.name != "synchronous"
    for action in kind.actions.values():
        assert action.seconds == 0 or kind.protocol.result or kind.protocol.status


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_every_type_says_what_it_does(kind):
    assert kind.depth
    assert kind.name in reference.text()


def test_providers_hold_their_own_namespace():
    for provider in PROVIDERS:
        assert {kind.namespace for kind in provider.types} <= {provider.namespace}


def test_constrained_sizes_are_their_parents_with_fewer_cores():
    constrained = [size for size in SIZES.values() if size.parent]
    assert constrained
    for size in constrained:
        parent = SIZES[size.parent.lower()]
        assert (size.vcpus, size.memory_gb, size.family) == (parent.vcpus, parent.memory_gb, parent.family)
        assert size.vcpus_available < parent.vcpus
