"""Every row against the installed SDK: an upgrade that renames or reorders something fails here, not in a cluster."""

import importlib
import inspect
import re

import pytest

from hpc_operator.azure.table import AUTHORIZATION, COMPUTE, RESOURCES, TABLE, Row
from hpc_operator.graph import ArmId

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/climate"

rows = pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.type)


class Credential:
    async def get_token(self, *scopes, **options):
        raise AssertionError

    async def close(self):
        pass


def operations(row):
    client = getattr(importlib.import_module(row.sdk.module), row.sdk.client)
    made = client(Credential(), "s", base_url="https://arm", credential_scopes=["s"], pipeline=object(), policies=[])
    return getattr(made, row.group)


def sample_id(row):
    if row.type == "Microsoft.Resources/resourceGroups":
        return GROUP
    namespace, *types = row.type.split("/")
    names = "".join(f"/{kind}/{'default' if kind.endswith('Services') else f'{kind}-name'}" for kind in types)
    return f"{GROUP}/providers/{namespace}{names}"


def parameters(method):
    return {name: item for name, item in inspect.signature(method).parameters.items() if name != "self"}


@rows
def test_the_sdk_has_each_operation_with_the_arguments_that_we_pass(row):
    group, arguments = operations(row), row.arguments(ArmId.parse(sample_id(row)))
    for name in filter(None, [row.put, row.patch]):
        bound = inspect.signature(getattr(group, name)).bind(*arguments, b"{}", **row.options)
        body = [item for item in bound.arguments if item not in row.options][-1]
        assert "IO" in str(parameters(getattr(group, name))[body].annotation), f"{name} takes no bytes"
        # The body is the last one and needs to be there; everything after it is optional.
        required = [item for item in parameters(getattr(group, name)).values() if item.default is item.empty]
        required = [item.name for item in required if item.kind is not item.VAR_KEYWORD]
        assert [item for item in required if item not in row.options][-1] == body
    inspect.signature(getattr(group, row.get)).bind(*arguments, **row.options, **row.get_options)
    inspect.signature(getattr(group, row.delete)).bind(*arguments, **row.options)


@rows
def test_arguments_mean_what_the_sdk_calls_them(row):
    arguments = row.arguments(ArmId.parse(sample_id(row)))
    names = list(parameters(getattr(operations(row), row.get)))[: len(arguments)]
    if row.sdk is AUTHORIZATION:
        assert names[0] == "scope"
        return
    if row.group == "resources":
        assert names == ["resource_id"]
        return
    assert names[0] == "resource_group_name"
    assert arguments[0] == "climate"
    # virtualNetworks-name goes where the SDK says virtual_network_name, and so on in the order of the id.
    assert [item.partition("-")[2] for item in arguments[1:]] == ["name"] * (len(arguments) - 1)


@rows
def test_long_running_operations_can_be_started_without_the_sdks_poller(row):
    for name in filter(None, [row.put, row.patch, row.delete]):
        source = inspect.getsource(inspect.unwrap(getattr(operations(row), name)))
        assert ("polling" in source) == name.startswith("begin_")


def test_names_go_where_they_belong():
    def arguments(resource_id):
        arm_id = ArmId.parse(resource_id)
        return TABLE[arm_id.type.lower()].arguments(arm_id)

    assert arguments(GROUP) == ("climate",)
    subnet = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/compute"
    assert arguments(subnet) == ("climate", "vnet", "compute")
    assert arguments(f"{subnet}/providers/Microsoft.Authorization/roleAssignments/guid") == (subnet[1:], "guid")
    assert arguments(f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/guid") == (GROUP[1:], "guid")
    setting = f"{subnet}/providers/Microsoft.Insights/diagnosticSettings/logs"
    assert arguments(setting) == (setting[1:],)
    share = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/files/fileServices/default/shares/home"
    assert arguments(share) == ("climate", "files", "home")


@rows
def test_rows_are_consistent(row):
    info = row.info
    assert info.update == ("PATCH" if row.patch else "PUT")
    assert info.typical_seconds > 0
    assert all(re.fullmatch(r"\w+(\.\w+)*", path) for path in info.create_only)
    assert all(name.lower() in TABLE for name in info.exclusive)
    # A path beneath another one would say the same twice.
    assert not [a for a in info.create_only for b in info.create_only if a.startswith(f"{b}.")]


def test_updates_go_where_the_sdk_can_carry_them():
    """Network's PATCH is for tags; if the SDK learns more, this fails and the row may change."""
    for row in TABLE.values():
        if row.patch is None and row.type.startswith("Microsoft.Network/") and row.group != "bastion_hosts":
            patches = [name for name in ("begin_update", "update") if hasattr(operations(row), name)]
            assert patches == [] or "privatedns" in row.sdk.module


def test_the_other_operations_that_we_call_exist():
    def group(sdk, name):
        return operations(Row("x/y", sdk, name))

    machines = group(COMPUTE, "virtual_machines")
    inspect.signature(machines.list).bind("rg")
    inspect.signature(machines.instance_view).bind("rg", "vm")
    images = group(COMPUTE, "virtual_machine_images")
    inspect.signature(images.list).bind("westeurope", "p", "o", "s", top=1, orderby="name desc")
    versions = group(COMPUTE, "gallery_image_versions")
    inspect.signature(versions.list_by_gallery_image).bind("rg", "gallery", "image")
    inspect.signature(group(RESOURCES, "providers").register).bind("Microsoft.NetApp")
