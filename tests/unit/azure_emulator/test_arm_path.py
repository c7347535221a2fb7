from __future__ import annotations

import pytest

from azure_emulator.arm_path import parse

SUB = "/subscriptions/s"
GROUP = f"{SUB}/resourceGroups/rg"


@pytest.mark.parametrize(
    ("path", "type_name", "names", "parent"),
    [
        ("/subscriptions", "Microsoft.Resources/subscriptions", (), "/"),
        (SUB, "Microsoft.Resources/subscriptions", ("s",), "/"),
        (f"{SUB}/resourceGroups", "Microsoft.Resources/resourceGroups", (), SUB),
        (GROUP, "Microsoft.Resources/resourceGroups", ("rg",), SUB),
        (f"{GROUP}/resources", "Microsoft.Resources/resourceGroups/resources", ("rg",), GROUP),
        (f"{SUB}/providers/Microsoft.N", "Microsoft.Resources/providers", ("Microsoft.N",), SUB),
        (f"{SUB}/providers/Microsoft.N/register", "Microsoft.N/register", (), SUB),
        (f"{GROUP}/providers/Microsoft.N/nets", "Microsoft.N/nets", (), GROUP),
        (f"{GROUP}/providers/Microsoft.N/nets/n", "Microsoft.N/nets", ("n",), GROUP),
        (
            f"{GROUP}/providers/Microsoft.N/nets/n/subs/s",
            "Microsoft.N/nets/subs",
            ("n", "s"),
            f"{GROUP}/providers/Microsoft.N/nets/n",
        ),
        (
            f"/{GROUP}/providers/Microsoft.N/nets/n/providers/Microsoft.A/roles/r",
            "Microsoft.A/roles",
            ("r",),
            f"{GROUP}/providers/Microsoft.N/nets/n",
        ),
        (
            f"{SUB}/providers/Microsoft.C/locations/l/usages",
            "Microsoft.C/locations/usages",
            ("l",),
            f"{SUB}/providers/Microsoft.C/locations/l",
        ),
    ],
)
def test_paths(path, type_name, names, parent):
    parsed = parse(path)
    assert (parsed.type_name, parsed.names, parsed.parent) == (type_name, names, parent)


def test_keywords_come_back_in_one_way_and_names_as_written():
    parsed = parse("//subscriptions/S/resourcegroups/Rg//providers/Microsoft.N/nets/Net/")
    assert parsed.text == "/subscriptions/S/resourceGroups/Rg/providers/Microsoft.N/nets/Net"
    assert (parsed.subscription, parsed.resource_group, parsed.name) == ("S", "Rg", "Net")
    assert parsed.scope == "/subscriptions/S/resourceGroups/Rg"
