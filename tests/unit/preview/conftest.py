"""A plan with one change of every class, as `status.plan` would have it."""

import pytest

from hpc_operator.api.plan import FieldDifference, Plan, PlannedChange
from hpc_operator.blueprint import Problem
from hpc_operator.graph import Owner
from hpc_operator.reconcile.ports import Key

ENVIRONMENT = "HPCEnvironment/climate"
NEW = "It does not exist yet."


def change(action, name, owner=ENVIRONMENT, **fields):
    return PlannedChange(action=action, id=f"/{name}", name=name, owner=owner, **fields)


def approval(*names):
    return (
        "Approval: run `kubectl annotate hpcenvironment climate -n hpc azurehpc.io/approve='3f9a2c41d0:"
        f"{','.join(names)}' --overwrite`"
    )


CHANGES = (
    change("Create", "virtualNetworks climate-vnet", why=NEW),
    change("Create", "virtualNetworks/subnets climate-vnet/compute", why=NEW),
    change("Create", "nodes of climate-debug", "ComputePartition/climate-debug", why=NEW, touches="2 nodes"),
    change("Delete", "networkInterfaces login-2", why="It is no longer wanted."),
    change(
        "Update",
        "networkSecurityGroups climate-nodes",
        why="The specification says otherwise.",
        fields=(
            FieldDifference(path="tags.costCenter", before="4710", after="4711"),
            FieldDifference(path="tags.department", after="climate"),
            FieldDifference(path="tags.project", before="old"),
            FieldDifference(path="properties.securityRules", before="[" + "1" * 80, after="[" + "2" * 80),
        ),
    ),
    change(
        "Roll",
        "nodes of climate-hpc",
        "ComputePartition/climate-hpc",
        why="A node of another kind is another virtual machine.",
        fields=(FieldDifference(path="vmSize", before="Standard_HB120rs_v3", after="Standard_HB176rs_v4"),),
        touches="12 nodes, one after the other within rollout",
        quota="-120 standardHBrsv3Family, +176 standardHBv4Family cores",
        price_per_hour="+38.40 USD",
        waits_for='The maintenance window: it opens by "0 22 * * SAT" (Europe/Berlin) for 8h',
    ),
    change(
        "Replace",
        "volumes climate-home",
        "StorageTier/climate-home",
        why="Azure cannot change this: it is deleted and made anew.",
        touches="its data",
        waits_for=approval("disks old", "volumes climate-home"),
    ),
    change("Delete", "disks state", why="It is no longer wanted.", waits_for=approval("disks old", "disks state")),
    change("Blocked", "virtualMachines gpu", why="There is no quota.", touches="2 nodes"),
)
PROBLEM = Problem(Owner("StorageTier", "old"), "MountPathTaken", "mountPath /home is taken by StorageTier climate-home")


@pytest.fixture
def key():
    return Key("hpc", "climate")


@pytest.fixture
def problem():
    return PROBLEM


@pytest.fixture
def plan():
    def make(*changes, **fields):
        return Plan(
            **{"hash": "3f9a2c41d0", "summary": "3 to create, 1 blocked; 3 waiting", "changes": changes, **fields}
        )

    make.change, make.approval, make.all = change, approval, CHANGES
    return make
