"""The small decisions of an import: words, names, kinds of storage, and who made what."""

import pytest

from hpc_operator.api import HPCEnvironment
from hpc_operator.importing import machines, theirs, tiers
from hpc_operator.importing.draft import Document, Draft, manifest
from hpc_operator.importing.found import Found, value
from hpc_operator.importing.origin import Origin, Recognised, recognise

GROUP = "/subscriptions/s/resourceGroups/rg"
TIB = 2**40


def found(*resources):
    """Return a group with resources, by the end of their ids."""
    bodies = {
        f"{GROUP}/providers/{item['id']}".lower(): item | {"id": f"{GROUP}/providers/{item['id']}"}
        for item in resources
    }
    return Found(GROUP, {GROUP.lower(): {"id": GROUP, "name": "rg", "location": "West Europe"}} | bodies)


def named(*ids):
    return found(*({"id": item} for item in ids))


# --- Who made it


@pytest.mark.parametrize(
    ("ids", "origin"),
    [
        (
            ["Microsoft.Network/virtualNetworks/ccw-vnet", "Microsoft.Network/natGateways/ccw-nat-gateway"],
            Origin.WORKSPACE,
        ),
        (["Microsoft.Network/virtualNetworks/hpcvnet", "Microsoft.Compute/virtualMachines/ccportal"], Origin.AZ_HOP),
        (["Microsoft.Network/virtualNetworks/ccw-vnet"], Origin.HAND_MADE),
        (["Microsoft.Network/virtualNetworks/hpcvnet"], Origin.HAND_MADE),
        (["Microsoft.Network/virtualNetworks/a", "Microsoft.Compute/virtualMachines/b"], Origin.HAND_MADE),
    ],
)
def test_who_made_it_is_told_by_more_than_one_name(ids, origin):
    assert recognise(named(*ids)).origin is origin


def test_our_tags_tell_more_than_names():
    ours = {"id": "Microsoft.Compute/disks/d", "tags": {"hpc-environment": "hpc/climate"}}
    others = [
        {"id": "Microsoft.Network/virtualNetworks/ccw-vnet"},
        {"id": "Microsoft.Network/natGateways/ccw-nat-gateway"},
    ]
    recognised = recognise(found(ours, *others))
    assert recognised == Recognised(Origin.OURS, ("tag hpc-environment: hpc/climate on 1 resources",))


# --- Storage


def volume(**properties):
    shown = {"usageThreshold": 2 * TIB, "serviceLevel": "Premium", "protocolTypes": ["NFSv3"], **properties}
    return {"id": f"{GROUP}/providers/Microsoft.NetApp/netAppAccounts/a/capacityPools/p/volumes/v", "properties": shown}


def lustre(sku="AMLFS-Durable-Premium-250", capacity=16):
    resource_id = f"{GROUP}/providers/Microsoft.StorageCache/amlFilesystems/fs"
    return {"id": resource_id, "sku": {"name": sku}, "properties": {"storageCapacityTiB": capacity}}


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        (volume(), True),
        (volume(usageThreshold=100 * TIB), True),
        (volume(usageThreshold=101 * TIB), False),
        (volume(usageThreshold=TIB // 2), False),
        (volume(usageThreshold=TIB + 1), False),
        (volume(serviceLevel="Flexible"), False),
        (volume(protocolTypes=["NFSv3", "CIFS"]), False),
        (lustre(), True),
        (lustre(capacity=12), False),
        (lustre(capacity=1024), False),
        (lustre("AMLFS-Durable-Premium-1000"), False),
    ],
)
def test_only_what_a_tier_has_words_for_becomes_one(body, fits):
    assert (tiers.file_system(body) is not None) == fits


@pytest.mark.parametrize(
    ("kind", "name", "word"),
    [
        ("NetApp/netAppAccounts/a/capacityPools/p/volumes", "anfhome", "home"),
        ("NetApp/netAppAccounts/a/capacityPools/p/volumes", "home-anf-volume", "home"),
        ("NetApp/netAppAccounts/a/capacityPools/p/volumes", "My Data", "my-data"),
        ("NetApp/netAppAccounts/a/capacityPools/p/volumes", "anf", "data"),
        ("StorageCache/amlFilesystems", "ccw-lustre-abcdefghijklm", "ccw-lustre"),
    ],
)
def test_words_for_file_systems(kind, name, word):
    assert tiers.word_for({"id": f"{GROUP}/providers/Microsoft.{kind}/{name}"}) == word


@pytest.mark.parametrize(
    ("word", "purpose"), [("home", "Home"), ("lustre", "Scratch"), ("cold-backup", "Archive"), ("apps", "Project")]
)
def test_purposes(word, purpose):
    assert tiers.purpose_of(word) == purpose


def test_a_volume_that_speaks_no_nfs_is_no_export():
    targets = [{"ipAddress": "10.0.0.4"}]
    assert tiers.export(volume(mountTargets=targets, creationToken="x")) == {
        "existingNfs": {"server": "10.0.0.4", "exportPath": "/x"}
    }
    assert tiers.export(volume(mountTargets=targets, creationToken="x", protocolTypes=["CIFS"])) is None
    assert tiers.export(volume(creationToken="x")) is None


# --- Machines


@pytest.mark.parametrize(
    ("image", "written"),
    [
        ({"publisher": "a", "offer": "b", "sku": "c", "version": "1.2.3"}, {"urn": "a:b:c:1.2.3"}),
        ({"publisher": "a", "offer": "b", "sku": "c", "version": "latest"}, {"urn": "a:b:c:latest"}),
        ({"publisher": "a", "offer": "b", "sku": "c", "version": "9.5.202411260-x"}, None),
        ({"id": f"{GROUP}/providers/Microsoft.Compute/galleries/g/images/i"},
         {"galleryImage": f"{GROUP}/providers/Microsoft.Compute/galleries/g/images/i"}),
        ({"id": f"{GROUP}/providers/Microsoft.Compute/images/golden"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_images(image, written):
    assert machines.image_of(image) == written


def machine(name, size="Standard_D4s_v5", tags=None, **properties):
    hardware = {"hardwareProfile": {"vmSize": size}, **properties}
    return {"id": f"Microsoft.Compute/virtualMachines/{name}", "tags": tags or {}, "properties": hardware}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("scheduler", "schedulers"),
        ("slurm-controller-1", "schedulers"),
        ("headnode", "schedulers"),
        ("login-1", "logins"),
        ("ondemand", "logins"),
        ("nodejs-wiki", "others"),
        ("overheads", "others"),
        ("plugins", "others"),
    ],
)
def test_single_machines_are_told_by_whole_words(name, role):
    assert [item.name for item in getattr(machines.roles_of(found(machine(name))), role)] == [name]


def test_nodes_are_told_by_number_size_tag_or_scale_set():
    array = {"CycleCloudNodeArray": "/sites/s/clusters/c/nodearrays/HTC"}
    scale_set = {"id": f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/s"}
    roles = machines.roles_of(
        found(
            machine("x1"),
            machine("x2"),
            machine("y1", "Standard_HB120rs_v3"),
            machine("z", "Standard_F2s_v2", tags=array),
            machine("w", "Standard_E2s_v5", virtualMachineScaleSet=scale_set),
            machine("v1"),
        )
    )
    names = {key: [item.name for item in items] for key, items in roles.nodes.items()}
    assert names == {"d4s-v5": ["x1", "x2"], "hb120rs-v3": ["y1"], "htc": ["z"], "e2s-v5": ["w"]}
    assert [item.name for item in roles.others] == ["v1"]


# --- Names and text


@pytest.mark.parametrize(
    ("text", "label"),
    [("My.Cluster_1", "my-cluster-1"), ("1st", "n1st"), ("default", "default-1"), ("a" * 60, "a" * 32), ("(a)", "a")],
)
def test_labels(text, label):
    assert theirs._label(text, 32) == label


def test_values_that_are_not_there():
    body = {"a": [{"b": None}]}
    assert value(body, "a", 0, "b", default="x") == value(body, "a", 1, "b", default="x") == "x"
    assert value(None, "a") is None


def test_long_comments_are_wrapped_and_stay_comments():
    spec = {"location": "westeurope", "network": {"addressSpace": ["10.0.0.0/20"]}, "scheduler": {"slurm": {}}}
    document = Document(manifest(HPCEnvironment, "hpc", "climate", {**spec, "tags": {}}), ("word " * 50,))
    text = Draft(named(), Recognised(Origin.HAND_MADE, ()), (document,)).text()
    comments, _, rest = text.partition("apiVersion")
    assert all(line.startswith("#") and len(line) <= 120 for line in comments.splitlines())
    assert "tags" not in rest
    assert "slurm: {}" in rest
