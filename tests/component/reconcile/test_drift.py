"""Somebody else changes Azure: what is shown, what is put right, what is left alone, and what is never made up for."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import aiohttp
import jwt
import pytest

from hpc_operator.azure import operations
from hpc_operator.graph import lineage
from hpc_operator.reconcile import memory, nodes

from .conftest import QUICKSTART, environment, partition, tier
from .test_life import GROUP, ids, last
from .test_life import writes as all_writes
from .test_trouble import (
    ENVIRONMENT,
    HOME,
    LEAN_NETWORK,
    PARTITION,
    apply,
    assert_steady,
    calm,
    condition,
    delete_all,
    drift,
    fault,
    found,
    gone,
    known,
    lean,
    machines,
    quicken,
    ready,
    remove_behind_our_back,
    restart,
    running,
)

ALICE = "alice@example.com"
TOKEN = jwt.encode({"oid": "00000000-0000-0000-0000-00000000a11c", "upn": ALICE, "idtyp": "user"}, "a secret of " * 3)
GROUP_ID = GROUP.replace("resourcegroups", "resourceGroups")
ACTIONS = ("Correct", "Report", "Ignore")
STEPS = ("infrastructure", "baseServices", "storage", "compute", "entryPoint")
SCRATCH = ("StorageTier", "climate-scratch")
LATE = 3600.0
"""A lag of Resource Graph, in emulated seconds, that no test waits for."""


def hasten(world, monkeypatch):
    """Scale the engine's waits as the emulated clock is."""
    monkeypatch.setattr(memory, "FIRST_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(memory, "LONGEST_RETRY_SECONDS", 0.25)
    monkeypatch.setattr(memory, "SLOW_RETRY_SECONDS", 0.5)
    monkeypatch.setattr(memory, "RIGHTS_RETRY_SECONDS", 0.25)
    monkeypatch.setattr(nodes, "DEFAULT_POLL_SECONDS", 0.02)
    monkeypatch.setattr("hpc_operator.reconcile.environment.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("hpc_operator.reconcile.environment.CLAIM_SECONDS", 0.0)
    monkeypatch.setattr(operations, "FIRST_INTERVAL", 0.02)
    monkeypatch.setattr(operations, "LONGEST_BACKOFF", 0.25)
    monkeypatch.setattr(operations, "REPLICATION", 1.0)
    world.emulator.store.set("resourceGraphLagSeconds", 0.0)
    quicken(world)
    return world


@pytest.fixture
async def world(world, monkeypatch):
    return hasten(world, monkeypatch)


async def alice(world, method, resource_id, body=None):
    """Somebody else makes a request, and waits until it has ended."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{world.emulator.url}{resource_id}?api-version=2024-05-01"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, url, json=body) as response,
    ):
        assert response.status < 300, await response.text()
    engine = world.emulator.engine
    while any(operation.running for operation in engine.store.operations.values()):
        await asyncio.sleep(0.01)
        engine.settle()
    if engine.store.changes is not None:
        # What changes a part, such as a rule, changes its whole, whose row of Resource Graph shows it.
        for whole in lineage(resource_id):
            engine.store.changes.setdefault(whole.lower(), engine.now)


def writes(world, since=0):
    """Our own writes."""
    return [entry for entry in all_writes(world, since) if entry["caller"] != ALICE]


async def alice_tags(world, ending, **tags):
    """Somebody else changes tags, and leaves the others as they are."""
    resource = found(world, ending)
    await alice(world, "PATCH", resource.id, {"tags": {**resource.body["tags"], **tags}})


def scale_set(world):
    return next(item for item in ids(world) if "/virtualmachinescalesets/" in item).rsplit("/", 2)[1:]


def changed(world):
    """One resource of each step, in the order of STEPS."""
    return (
        "/networkSecurityGroups/nsg-compute",
        "/virtualMachines/scheduler",
        "/volumes/climate-home",
        "/" + "/".join(scale_set(world)),
        "/virtualMachines/login-1",
    )


def entries(status):
    """The account of drift in a status, by the last segments of ids."""
    return {"/" + "/".join(entry["id"].lower().rsplit("/", 2)[1:]): entry for entry in status.get("drift", ())}


def drifted(world, ending=None):
    now = entries(world.cluster.status(*ENVIRONMENT))
    return now if ending is None else now.get(ending.lower())


def shown(world, since=0):
    """Every entry that status has had, by the last segments of ids."""
    seen = {}
    for owner, status in world.cluster.status_writes[since:]:
        if owner == "HPCEnvironment/climate":
            for ending, entry in entries(status).items():
                seen.setdefault(ending, []).append(entry)
    return seen


def told(world):
    """Messages of Events about drift."""
    return [message for _, _, reason, message in world.cluster.events if reason == "Drift"]


async def settled(world):
    """Wait until nothing is being corrected any more."""
    await world.run_until(lambda: "Correct" not in {entry["action"] for entry in drifted(world).values()}, seconds=10)


def planned(world, ending):
    """The change of a resource in status.plan."""
    changes = world.cluster.status(*ENVIRONMENT).get("plan", {}).get("changes", ())
    return next((item for item in changes if item["id"].lower().endswith(ending.lower())), None)


def annotate(world, **annotations):
    raw = world.cluster.objects[ENVIRONMENT]
    world.cluster.apply({"kind": ENVIRONMENT[0], "metadata": {"name": ENVIRONMENT[1], "annotations": annotations},
                         "spec": raw["spec"]})  # fmt: skip


def asked(world):
    """What status.plan asks to have approved: the hash, and the names."""
    changes = world.cluster.status(*ENVIRONMENT)["plan"]["changes"]
    found_ = [re.search(r"azurehpc.io/approve='([^:]+):([^']+)'", change.get("waitsFor", "")) for change in changes]
    return {match[1] for match in found_ if match}, [match[2] for match in found_ if match]


def approve(world):
    """Do what status.plan asks for."""
    (plan_hash,), names = asked(world)
    annotate(world, **{"azurehpc.io/approve": f"{plan_hash}:{','.join(names)}"})


def policy(**drift_actions):
    return {"drift": drift_actions}


def everything(world):
    return list(world.emulator.engine.store.resources.values())


def tag_of(world, ending):
    return found(world, ending).body["tags"].get("department")


# --- What policy says, for each step


def turned(turn):
    """Return an action for each step, so that three turns have every pair."""
    return {step: ACTIONS[(number + turn) % 3] for number, step in enumerate(STEPS)}


@pytest.mark.parametrize("turn", range(3))
async def test_a_changed_field_is_corrected_reported_or_ignored(world, turn):
    actions = turned(turn)
    await ready(world, lean(policy=policy(**actions)), tier(), partition())
    targets = dict(zip(STEPS, changed(world), strict=True))
    for ending in targets.values():
        await alice_tags(world, ending, department="theirs")
    before, since = last(world), len(world.cluster.status_writes)
    await drift(world)
    await settled(world)
    seen = shown(world, since)
    written = Counter("/" + "/".join(entry["path"].lower().rsplit("/", 2)[1:]) for entry in writes(world, before))
    for step, ending in targets.items():
        action, key = actions[step], ending.lower()
        assert tag_of(world, ending) == ("climate" if action == "Correct" else "theirs"), step
        assert written[key] == (action == "Correct"), step
        assert (key in seen) == (action != "Ignore"), step
        assert (drifted(world, ending) is not None) == (action == "Report"), step
        if key in seen:
            entry = seen[key][0]
            assert entry["action"] == action
            assert entry["by"] == "alice@example.com"
            assert entry["fields"] == [{"path": "tags.department", "before": "theirs", "after": "climate"}]
    assert sorted("alice@example.com" in message for message in told(world)) == [True] * len(seen)
    assert world.ready(), "what serves goes on to serve"
    before = last(world)
    await drift(world)
    assert writes(world, before) == []
    assert len(told(world)) == len(seen), "said once"


def removed(world):
    """One resource of each step that holds no data and that nothing stands upon."""
    return (
        "/privateEndpoints/pe-storage/privateDnsZoneGroups/default",
        "/virtualMachines/scheduler/runCommands/slurm-configuration",
        None,
        "/" + "/".join(scale_set(world)),
        "/virtualMachines/login-1",
    )


@pytest.mark.parametrize("turn", range(3))
async def test_what_was_deleted_is_made_again_reported_or_left(world, turn):
    actions = turned(turn)
    await ready(world, lean(policy=policy(**actions)), partition(nodes={"min": 0, "max": 8}))
    targets = {step: ending for step, ending in zip(STEPS, removed(world), strict=True) if ending}
    for ending in targets.values():
        await alice(world, "DELETE", found(world, ending).id)
    before, since = last(world), len(world.cluster.status_writes)
    await drift(world)
    await settled(world)
    seen = shown(world, since)
    for step, ending in targets.items():
        action, key = actions[step], "/" + "/".join(ending.lower().rsplit("/", 2)[1:])
        there = any(item.endswith(ending.lower()) for item in ids(world))
        assert there == (action == "Correct"), step
        assert (key in seen) == (action != "Ignore"), step
        assert (drifted(world, key) is not None) == (action == "Report"), step
        if key in seen:
            assert "fields" not in seen[key][0]
            assert (seen[key][0]["action"], seen[key][0]["by"]) == (action, "alice@example.com")
    assert all("was deleted in Azure (by alice@example.com)" in message for message in told(world))
    assert len(told(world)) == len(seen)
    corrected = [step for step in targets if actions[step] == "Correct"]
    assert len(writes(world, before)) == len(corrected)
    before = last(world)
    await drift(world)
    assert writes(world, before) == []
    assert len(told(world)) == len(seen), "said once"


async def test_the_default_is_for_steps_that_say_nothing_else(world):
    await ready(world, lean(policy=policy(default="Report", entryPoint="Correct")))
    await alice_tags(world, "/networkSecurityGroups/nsg-compute", department="theirs")
    await alice_tags(world, "/virtualMachines/login-1", department="theirs")
    await drift(world)
    assert tag_of(world, "/networkSecurityGroups/nsg-compute") == "theirs"
    assert tag_of(world, "/virtualMachines/login-1") == "climate"


@pytest.mark.parametrize("action", ACTIONS)
async def test_tags_of_a_node_are_corrected_reported_or_ignored(world, action):
    await ready(world, lean(policy=policy(compute=action)), partition())
    name = min(machines(world))
    await alice_tags(world, f"/virtualMachines/{name}", department="theirs")
    before, since = last(world), len(world.cluster.status_writes)
    await drift(world)
    key = f"/virtualmachines/{name}"
    assert tag_of(world, key) == ("climate" if action == "Correct" else "theirs")
    assert len(writes(world, before)) == (action == "Correct")
    seen = shown(world, since)
    assert (key in seen) == (action != "Ignore")
    if key in seen:
        assert seen[key][0]["by"] == "alice@example.com"


@pytest.mark.parametrize("hold", [{"dryRun": True}, {"freeze": True}])
async def test_a_hold_holds_the_correction_of_drift_too(world, hold):
    await ready(world, lean(), partition())
    world.cluster.edit(*ENVIRONMENT, policy=hold)
    await calm(world)
    await alice_tags(world, "/networkSecurityGroups/nsg-compute", department="theirs")
    await alice(world, "DELETE", found(world, "/virtualMachines/login-1").id)
    before = last(world)
    await drift(world)
    assert writes(world, before) == []
    assert drifted(world).keys() == {"/networksecuritygroups/nsg-compute", "/virtualmachines/login-1"}
    assert planned(world, "/nsg-compute")["waitsFor"] != ""
    world.cluster.edit(*ENVIRONMENT, policy={})
    await world.run_until(lambda: tag_of(world, "/networkSecurityGroups/nsg-compute") == "climate", seconds=5)
    await world.run_until(lambda: drifted(world) == {}, seconds=10)
    await assert_steady(world)


@pytest.mark.parametrize("hold", [{"dryRun": True}, {"freeze": True}, {"changes": {"update": "Approval"}}])
async def test_a_hold_holds_the_tags_of_nodes_too(world, hold):
    await ready(world, lean(), partition())
    world.cluster.edit(*ENVIRONMENT, policy=hold)
    await calm(world)
    before = last(world)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    assert writes(world, before) == []
    world.cluster.edit(*ENVIRONMENT, policy={})
    await calm(world)
    assert {tag_of(world, f"/virtualMachines/{name}") for name in machines(world)} == {"weather"}


# --- The account


async def test_an_entry_keeps_since_and_author_over_looks_and_restarts(world):
    await ready(world, lean(policy=policy(default="Report")))
    ending = "/networkSecurityGroups/nsg-compute"
    await alice_tags(world, ending, department="theirs")
    await drift(world)
    first = drifted(world, ending)
    assert first["by"] == "alice@example.com"
    await drift(world)
    await restart(world)
    await calm(world)
    assert drifted(world, ending) == first
    await alice_tags(world, ending, costCenter="0", **{"hpc-owner": "nobody"})
    await drift(world)
    second = drifted(world, ending)
    assert second["since"] == first["since"]
    assert [field["path"] for field in second["fields"]] == ["tags.department", "tags.hpc-owner"]
    assert len(told(world)) == 1


async def test_an_entry_goes_when_somebody_puts_it_right(world):
    await ready(world, lean(policy=policy(default="Report")))
    ending = "/networkSecurityGroups/nsg-compute"
    await alice_tags(world, ending, department="theirs")
    await drift(world)
    assert drifted(world, ending)
    before = last(world)
    await alice_tags(world, ending, department="climate")
    await drift(world)
    assert drifted(world) == {}
    assert writes(world, before) == []
    await alice_tags(world, ending, department="theirs")
    await drift(world)
    assert len(told(world)) == 2, "a second time is news again"


@pytest.mark.parametrize("action", ["Correct", "Ignore"])
async def test_an_edit_of_policy_decides_about_drift_that_is_known(world, action):
    await ready(world, lean(policy=policy(default="Report")))
    ending = "/networkSecurityGroups/nsg-compute"
    await alice_tags(world, ending, department="theirs")
    await alice(world, "DELETE", found(world, "/virtualMachines/login-1").id)
    await drift(world)
    assert len(drifted(world)) == 2
    world.cluster.edit(*ENVIRONMENT, policy=policy(default=action))
    await calm(world)
    assert drifted(world) == {}
    assert tag_of(world, ending) == ("climate" if action == "Correct" else "theirs")
    there = any(item.endswith("/virtualmachines/login-1") for item in ids(world))
    assert there == (action == "Correct")
    await assert_steady(world)


async def test_an_author_whom_the_activity_log_tells_later_is_told_later(world, monkeypatch):
    monkeypatch.setattr("hpc_operator.reconcile.drift.ASK_AGAIN_SECONDS", 0.0)
    world.emulator.store.set("activityLogDelaySeconds", 7200.0)
    await ready(world, lean(policy=policy(default="Report")))
    ending = "/networkSecurityGroups/nsg-compute"
    await alice_tags(world, ending, department="theirs")
    await drift(world)
    assert "by" not in drifted(world, ending)
    world.emulator.store.set("activityLogDelaySeconds", 0.0)
    await drift(world)
    assert drifted(world, ending)["by"] == "alice@example.com"


async def test_the_author_of_a_changed_rule_is_told(world):
    """As the portal does it: a rule is a resource of its own."""
    await ready(world, lean(policy=policy(default="Report")))
    rule = found(world, "/nsg-compute/securityRules/hpc-allow-slurm")
    properties = {key: value for key, value in rule.properties.items() if key != "provisioningState"}
    await alice(world, "PUT", rule.id, {"properties": {**properties, "access": "Deny"}})
    await drift(world)
    assert drifted(world, "/networkSecurityGroups/nsg-compute")["by"] == "alice@example.com"


async def test_a_refused_activity_log_hides_the_author_alone(world):
    await ready(world, lean(policy=policy(default="Report")))
    answer = {"status": 403, "code": "AuthorizationFailed", "message": "No.", "headers": {}}
    fault(world, "GET", "/eventtypes/management/values", count=None, answer=answer)
    await alice_tags(world, "/networkSecurityGroups/nsg-compute", department="theirs")
    await drift(world)
    assert "by" not in drifted(world, "/networkSecurityGroups/nsg-compute")
    assert len(told(world)) == 1
    assert world.ready()


# --- Edits are no drift


EDITS = {
    "tags": lambda world: world.cluster.edit(*ENVIRONMENT, tags={"department": "weather", "costCenter": "1"}),
    "tag gone": lambda world: world.cluster.edit(*ENVIRONMENT, tags={}),
    "sources": lambda world: world.cluster.edit(
        *ENVIRONMENT, network={**LEAN_NETWORK, "access": {"allowedSources": ["192.0.2.0/24"]}}
    ),
    "capacity": lambda world: world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "6Ti"}),
    "purpose": lambda world: world.cluster.edit(*HOME, purpose="Project"),
    "login nodes": lambda world: world.cluster.edit(*ENVIRONMENT, entryPoint={"loginNodes": {"count": 2}}),
    "slurm": lambda world: world.cluster.edit(*ENVIRONMENT, scheduler={"slurm": {"config": ["MaxJobCount=50000"]}}),
    "partition": lambda world: world.cluster.delete(*PARTITION),
    "nodes": lambda world: world.cluster.edit(*PARTITION, nodes={"min": 1, "max": 8}),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_an_edit_is_not_taken_for_drift(world, edit):
    """Under a policy that would not carry it out; by a process that finds it when it starts, and by the next."""
    world.emulator.store.set("resourceGraphLagSeconds", 60.0)
    await ready(world, lean(policy=policy(default="Report")), tier(), partition())
    since = len(world.cluster.status_writes)
    EDITS[edit](world)
    for _ in range(2):
        await restart(world)
        await calm(world)
        await drift(world)
    assert shown(world, since) == {}
    assert told(world) == []
    assert world.ready()
    await assert_steady(world)


async def test_an_edit_that_azure_refuses_is_not_taken_for_drift(world):
    await ready(world, lean(policy=policy(default="Report")))
    since = len(world.cluster.status_writes)
    refusal = {"status": 403, "code": "RequestDisallowedByPolicy", "message": "No.", "headers": {}}
    fault(world, "PUT", "/networkSecurityGroups/nsg-services$", count=2, answer=refusal)
    EDITS["sources"](world)
    await calm(world)
    await drift(world)
    await restart(world)
    await calm(world)
    assert shown(world, since) == {}
    assert condition(world, ENVIRONMENT, "Stalled")[0] == "absent"
    rules = [item for item in ids(world) if "/nsg-services/securityrules/hpc-allow-ssh-from-allowed-sources" in item]
    assert rules != []


async def test_drift_is_corrected_while_an_edit_is_made(world):
    await ready(world, lean(), tier(), partition())
    await alice_tags(world, "/networkSecurityGroups/nsg-services", department="theirs")
    await alice_tags(world, "/virtualMachines/scheduler", department="theirs")
    await alice_tags(world, f"/virtualMachines/{min(machines(world))}", department="theirs")
    for remembered in world.reconciler._memories.values():
        remembered.stale_at = remembered.machines_stale_at = 0.0
    EDITS["sources"](world)
    EDITS["slurm"](world)
    await world._one_pass(1.0)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    await assert_steady(world)
    assert drifted(world) == {}
    for item in everything(world):
        tags = item.body.get("tags") or {}
        if "hpc-environment" in tags and "_osdisk_" not in item.key:
            assert tags["department"] == "weather", item.id
    assert "hpc-allow-ssh-from-allowed-sources" in str(ids(world))


@pytest.mark.parametrize("action", ["Report", "Ignore"])
async def test_an_edit_of_one_field_leaves_what_is_reported_in_another(world, action):
    await ready(world, lean(policy=policy(default=action)))
    account = next(item for item in ids(world) if "/storageaccounts/" in item and item.count("/") == 8)
    await alice(world, "PATCH", account, {"properties": {"allowSharedKeyAccess": True}})
    await drift(world)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    assert tag_of(world, account) == "weather"
    assert found(world, account).properties["allowSharedKeyAccess"] is True


# --- What others own


async def test_what_others_add_is_left_alone(world):
    await ready(world, lean(), tier(), partition())
    others = ("/hpc_climate", "/capacityPools/climate-home", "/virtualNetworks/vnet")
    for ending in (*changed(world), f"/virtualMachines/{min(machines(world))}", *others):
        await alice_tags(world, ending, auditedBy="cloud-team")
    vnet, group = found(world, "/virtualNetworks/vnet").id, found(world, "/networkSecurityGroups/nsg-compute").id
    rule = {"priority": 3000, "direction": "Inbound", "access": "Deny", "protocol": "Tcp", "sourcePortRange": "*",
            "sourceAddressPrefix": "*", "destinationPortRange": "3389", "destinationAddressPrefix": "*"}  # fmt: skip
    await alice(world, "PUT", f"{group}/securityRules/deny-rdp", {"properties": rule})
    await alice(world, "PUT", f"{vnet}/subnets/theirs", {"properties": {"addressPrefix": "10.40.4.0/27"}})
    for machine in ("scheduler", "login-1", min(machines(world))):
        agent = {"publisher": "Microsoft.Azure.Monitor", "type": "AzureMonitorLinuxAgent", "typeHandlerVersion": "1.0"}
        extension = {"location": "westeurope", "properties": agent}
        await alice(world, "PUT", f"{found(world, f'/virtualMachines/{machine}').id}/extensions/monitor", extension)
    subnet = found(world, "/subnets/compute")
    endpoints = [{"service": "Microsoft.KeyVault"}, {"service": "Microsoft.Storage"}]
    await alice(world, "PUT", subnet.id, {"properties": {**subnet.properties, "serviceEndpoints": endpoints}})
    before, since = last(world), len(world.cluster.status_writes)
    await drift(world)
    assert writes(world, before) == []
    assert shown(world, since) == {}
    # What we write beside it takes nothing away.
    EDITS["tags"](world)
    EDITS["sources"](world)
    await calm(world)
    await assert_steady(world)
    audited = [item.body["tags"] for item in everything(world) if "auditedBy" in (item.body.get("tags") or {})]
    assert [(tags["auditedBy"], tags["department"]) for tags in audited] == [("cloud-team", "weather")] * 9
    assert {"deny-rdp", "theirs", "monitor"} <= {item.rsplit("/", 1)[1] for item in ids(world)}
    assert services_of(world) == {"Microsoft.KeyVault", "Microsoft.Storage"}


def services_of(world):
    return {item["service"] for item in found(world, "/subnets/compute").properties["serviceEndpoints"]}


async def test_a_service_endpoint_of_ours_comes_back_beside_that_of_others(world):
    await ready(world, lean())
    subnet = found(world, "/subnets/compute")
    theirs = {**subnet.properties, "serviceEndpoints": [{"service": "Microsoft.Storage"}]}
    await alice(world, "PUT", subnet.id, {"properties": theirs})
    await drift(world)
    assert services_of(world) == {"Microsoft.KeyVault", "Microsoft.Storage"}
    await assert_steady(world)


async def test_an_identity_that_policy_gives_a_machine_is_left_alone(world):
    """As the built-in policies for the Azure Monitor Agent do."""
    await ready(world, lean())
    machine = found(world, "/virtualMachines/scheduler")
    identity = {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {
        key: {} for key in machine.body["identity"]["userAssignedIdentities"]}}  # fmt: skip
    await alice(world, "PATCH", machine.id, {"identity": identity})
    before = last(world)
    await drift(world)
    assert writes(world, before) == []
    assert "SystemAssigned" in found(world, "/virtualMachines/scheduler").body["identity"]["type"]


async def test_what_others_own_survives_a_correction_of_what_is_ours(world):
    await ready(world, lean())
    group = found(world, "/networkSecurityGroups/nsg-compute")
    rule = {"priority": 3000, "direction": "Inbound", "access": "Deny", "protocol": "Tcp", "sourcePortRange": "*",
            "sourceAddressPrefix": "*", "destinationPortRange": "3389", "destinationAddressPrefix": "*"}  # fmt: skip
    await alice(world, "PUT", f"{group.id}/securityRules/deny-rdp", {"properties": rule})
    await alice(world, "PUT", f"{group.id}/securityRules/hpc-stale", {"properties": {**rule, "priority": 3001}})
    await alice(world, "DELETE", f"{group.id}/securityRules/hpc-allow-slurm")
    await drift(world)
    names = {item.rsplit("/", 1)[1] for item in ids(world) if "/nsg-compute/securityrules/" in item}
    assert {"deny-rdp", "hpc-allow-slurm"} <= names
    assert "hpc-stale" not in names
    await assert_steady(world)


async def test_a_route_table_that_policy_hangs_on_a_subnet_stays(world):
    await ready(world, lean())
    table = f"{GROUP_ID}/providers/Microsoft.Network/routeTables/theirs"
    await alice(world, "PUT", table, {"location": "westeurope", "properties": {}})
    subnet = found(world, "/subnets/services")
    await alice(world, "PUT", subnet.id, {"properties": {
        **subnet.properties, "routeTable": {"id": table}, "privateEndpointNetworkPolicies": "Enabled"}})  # fmt: skip
    await drift(world)
    properties = found(world, "/subnets/services").properties
    assert properties["privateEndpointNetworkPolicies"] == "Disabled"
    assert properties["routeTable"]["id"] == table
    await assert_steady(world)


async def test_a_tag_in_another_case_is_no_reason_to_write_for_ever(world):
    await ready(world, lean(), partition())
    for ending in ("/networkSecurityGroups/nsg-compute", f"/virtualMachines/{min(machines(world))}"):
        resource = found(world, ending)
        tags = {"Department" if key == "department" else key: value for key, value in resource.body["tags"].items()}
        await alice(world, "PATCH", resource.id, {"tags": tags})
    await drift(world)
    await assert_steady(world)
    before = last(world)
    await drift(world)
    assert writes(world, before) == []
    assert world.ready()


async def test_a_tag_taken_out_of_the_specification_goes_everywhere_and_nothing_else(world):
    await ready(world, lean(tags={"department": "climate", "project": "x"}), tier(), partition())
    made = [item for item in everything(world) if "_osdisk_" not in item.key]
    ours = {item.key for item in made if "hpc-environment" in (item.body.get("tags") or {})}
    for ending in ("/networkSecurityGroups/nsg-compute", f"/virtualMachines/{min(machines(world))}"):
        await alice_tags(world, ending, auditedBy="cloud-team")
    await drift(world)
    before = ids(world)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "climate"})
    await calm(world)
    await drift(world)
    assert ids(world) == before
    left = [item.id for item in made if "project" in (found(world, item.key).body.get("tags") or {})]
    assert left == []
    for key in ours:
        assert found(world, key).body["tags"]["department"] == "climate"
    assert found(world, "/networkSecurityGroups/nsg-compute").body["tags"]["auditedBy"] == "cloud-team"
    assert found(world, f"/virtualMachines/{min(machines(world))}").body["tags"]["auditedBy"] == "cloud-team"
    await assert_steady(world)
    # Whoever writes a tag of that name later may keep it.
    await alice_tags(world, "/networkSecurityGroups/nsg-compute", project="theirs")
    await drift(world)
    assert found(world, "/networkSecurityGroups/nsg-compute").body["tags"]["project"] == "theirs"


async def test_a_tag_of_others_since_our_last_look_survives_an_edit_of_tags(world):
    await ready(world, lean(), tier(), partition())
    await drift(world)
    for ending in (*changed(world), f"/virtualMachines/{min(machines(world))}", "/hpc_climate"):
        await alice_tags(world, ending, auditedBy="cloud-team")
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    audited = [item.body["tags"] for item in everything(world) if "auditedBy" in (item.body.get("tags") or {})]
    assert [(tags["auditedBy"], tags["department"]) for tags in audited] == [("cloud-team", "weather")] * 7


async def test_a_refused_edit_of_the_tags_of_nodes_is_not_taken_for_drift(world):
    await ready(world, lean(policy=policy(default="Report")), partition())
    since = len(world.cluster.status_writes)
    fault(world, "PATCH", "/virtualMachines/climate-hpc-", count=2, answer={
        "status": 503, "code": "ServiceUnavailable", "message": "No.", "headers": {}})  # fmt: skip
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    await restart(world)
    await calm(world)
    assert {tag_of(world, f"/virtualMachines/{name}") for name in machines(world)} == {"weather"}
    assert shown(world, since) == {}


async def test_a_tag_that_went_while_the_operator_was_down_goes(world):
    await ready(world, lean(tags={"department": "climate", "project": "x"}), partition())
    world.cluster.edit(*ENVIRONMENT, tags={"department": "climate"})
    await world._one_pass(1.0)
    await restart(world)
    await calm(world)
    await drift(world)
    for ending in ("/virtualNetworks/vnet", *(f"/virtualMachines/{name}" for name in machines(world))):
        assert "project" not in found(world, ending).body["tags"]


# --- A survey that is late


async def test_a_late_survey_after_creation_leads_to_no_write(world):
    world.emulator.store.set("resourceGraphLagSeconds", LATE)
    apply(world, *QUICKSTART)
    await world.run_until(world.ready, seconds=20)
    before, since = last(world), len(world.cluster.status_writes)
    for _ in range(2):
        await restart(world)
        await calm(world)
        await drift(world)
    assert writes(world, before) == []
    assert shown(world, since) == {}
    assert world.ready()


@pytest.mark.parametrize("edit", EDITS)
async def test_a_late_survey_after_an_edit_leads_to_no_write(world, edit):
    await ready(world, lean(), tier(), partition())
    await drift(world)  # the survey has seen all of this
    world.emulator.store.set("resourceGraphLagSeconds", LATE)
    EDITS[edit](world)
    await calm(world)
    if edit == "partition":
        await gone(world, PARTITION)
    before, since, there = last(world), len(world.cluster.status_writes), ids(world)
    await drift(world)
    await restart(world)
    await calm(world)
    assert writes(world, before) == []
    assert ids(world) == there
    assert shown(world, since) == {}
    assert world.ready()


@pytest.mark.parametrize("edit", EDITS)
async def test_a_late_survey_in_the_middle_of_an_edit_leads_to_no_wrong_write(world, edit):
    await ready(world, lean(), tier(), partition())
    await drift(world)
    world.emulator.store.set("resourceGraphLagSeconds", LATE)
    before, since = last(world), len(world.cluster.status_writes)
    EDITS[edit](world)
    await world.run_until(lambda: len(writes(world, before)) >= 1, seconds=5)
    await restart(world)
    await calm(world)
    await world.run_until(world.ready, seconds=10)
    sent = Counter((item["method"], item["path"].lower()) for item in writes(world, before) if item["status"] < 300)
    assert {key: count for key, count in sent.items() if count > 1} == {}
    assert shown(world, since) == {}
    await assert_steady(world)


THERE_AND_BACK = {
    "tag": (
        lambda world: world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"}),
        lambda world: world.cluster.edit(*ENVIRONMENT, tags={"department": "climate"}),
    ),
    "login nodes": (
        lambda world: world.cluster.edit(*ENVIRONMENT, entryPoint={"loginNodes": {"count": 1}}),
        lambda world: world.cluster.edit(*ENVIRONMENT, entryPoint={"loginNodes": {"count": 2}}),
    ),
    "nodes": (
        lambda world: world.cluster.edit(*PARTITION, nodes={"min": 1, "max": 8}),
        lambda world: world.cluster.edit(*PARTITION, nodes={"min": 2, "max": 8}),
    ),
}


@pytest.mark.parametrize(
    ("edit", "how"),
    [(edit, how) for edit in THERE_AND_BACK for how in ("restart", "period")],
)
async def test_an_edit_and_its_undoing_within_the_lag_of_a_survey(world, edit, how):
    """The survey shows what was before, which is what is wanted again, and not what is there."""
    there, back = THERE_AND_BACK[edit]
    await ready(world, lean(entryPoint={"loginNodes": {"count": 2}}), partition())
    await drift(world)
    before = ids(world)
    world.emulator.store.set("resourceGraphLagSeconds", LATE)
    there(world)
    await calm(world)
    back(world)
    if how == "restart":
        await restart(world)
        await calm(world)
    else:
        await drift(world)
    assert tag_of(world, "/virtualNetworks/vnet") == "climate"
    assert len(machines(world)) == 2
    assert len(machines(world, "login-")) == 2
    assert {item for item in before - ids(world) if "climate-hpc" not in item and "_osdisk_" not in item} == set()


async def test_a_file_system_made_anew_within_the_lag_of_a_survey_is_really_made(world):
    data = tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"})
    await ready(world, lean(), data)
    await drift(world)
    world.emulator.store.set("resourceGraphLagSeconds", LATE)
    world.cluster.delete(*HOME)
    await gone(world, HOME)
    await calm(world)
    apply(world, data)
    await drift(world)
    assert [item for item in ids(world) if item.endswith("/volumes/climate-home")] != []
    world.emulator.store.set("resourceGraphLagSeconds", 0.0)
    await drift(world)
    assert world.ready()
    assert drifted(world) == {}


async def test_what_a_late_survey_does_not_show_yet_is_put_right_when_it_does(world):
    await ready(world, lean(), partition())
    await drift(world)
    world.emulator.store.set("resourceGraphLagSeconds", LATE)
    await alice_tags(world, "/networkSecurityGroups/nsg-compute", department="theirs")
    await alice(world, "DELETE", found(world, "/virtualMachines/login-1").id)
    await alice(world, "DELETE", found(world, f"/virtualMachines/{min(machines(world))}").id)
    await drift(world)
    world.emulator.store.set("resourceGraphLagSeconds", 0.0)
    await drift(world)
    assert tag_of(world, "/networkSecurityGroups/nsg-compute") == "climate"
    await world.run_until(running(world, 2), seconds=10)
    await world.run_until(world.ready, seconds=5)
    await assert_steady(world)


# --- Data


DATA = {
    "volume": ("/volumes/climate-home", HOME, "volumes netapp/climate-home/climate-home"),
    "lustre": ("/amlFilesystems/climate-scratch", SCRATCH, "amlFilesystems climate-scratch"),
    "disk": ("/disks/scheduler-state", ENVIRONMENT, "disks scheduler-state"),
}


def tiers_of(kind):
    made = {"volume": (tier(),), "disk": ()}
    return made.get(kind, (tier("climate-scratch", path="/scratch", managedLustre={"capacity": "8Ti"}),))


async def lose(world, kind):
    ending = DATA[kind][0]
    if kind == "disk":
        await alice(world, "DELETE", found(world, "/virtualMachines/scheduler").id)
    await alice(world, "DELETE", found(world, ending).id)


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize(("action", "restarted"), [("Correct", False), ("Report", True), ("Ignore", True)])
async def test_lost_data_is_reported_and_nothing_empty_takes_its_place(world, kind, action, restarted):
    ending, owner, name = DATA[kind]
    await ready(world, lean(policy=policy(default=action)), *tiers_of(kind))
    await lose(world, kind)
    before = last(world)
    if restarted:
        await restart(world)
        await calm(world)
    await drift(world)
    assert not [item for item in writes(world, before) if item["path"].lower().endswith(ending.lower())]
    assert not [item for item in ids(world) if item.endswith(ending.lower())]
    entry = drifted(world, ending)
    assert (entry["action"], entry["by"]) == ("Blocked", "alice@example.com")
    change = planned(world, ending)
    assert change["action"] == "Blocked"
    assert change["name"].startswith(name)
    assert asked(world)[1] == [change["name"]]
    status, reason, message = condition(world, owner)
    assert (status, reason) == ("False", "DataLost")
    assert name in message
    assert "azurehpc.io/approve=" in message
    assert len([message for message in told(world) if name in message]) == 1
    await assert_steady(world, times=True)


@pytest.mark.parametrize("kind", DATA)
async def test_an_approval_makes_an_empty_one(world, kind):
    ending, owner, _ = DATA[kind]
    await ready(world, lean(), *tiers_of(kind), partition())
    await lose(world, kind)
    await drift(world)
    approve(world)
    await world.run_until(world.ready, seconds=15)
    await calm(world)
    assert found(world, ending).state == "Succeeded"
    assert drifted(world) == {}
    assert condition(world, owner)[0] == "True"
    await assert_steady(world, times=True)


async def test_an_approval_is_good_for_one_loss(world):
    """The annotation stays where it is, and the hash of the specifications does, too."""
    ending = DATA["volume"][0]
    await ready(world, lean(), tier())
    await lose(world, "volume")
    await drift(world)
    approve(world)
    await world.run_until(world.ready, seconds=15)
    await calm(world)
    await lose(world, "volume")
    await drift(world)
    assert not [item for item in ids(world) if item.endswith(ending.lower())]
    assert drifted(world, ending)["action"] == "Blocked"


@pytest.mark.parametrize(
    "annotation",
    ["0000000000:{}", "{hash}:volumes", "{}", "{hash}:", "{hash}:volumes netapp/climate-home/climate-home"],
)
async def test_an_approval_of_something_else_makes_nothing(world, annotation):
    ending = DATA["volume"][0]
    await ready(world, lean(), tier())
    await lose(world, "volume")
    await drift(world)
    (plan_hash,), (full_name,) = asked(world)
    annotate(world, **{"azurehpc.io/approve": annotation.format(full_name, hash=plan_hash)})
    await calm(world)
    assert not [item for item in ids(world) if item.endswith(ending.lower())]


async def test_a_resource_group_that_is_deleted_comes_back_without_its_data(world):
    await ready(world, lean(), tier(), partition())
    for key in sorted(ids(world)):
        if any(item == key for item in ids(world)):
            remove_behind_our_back(world, key)
    await drift(world)
    await world.run_until(lambda: any("/subnets/compute" in item for item in ids(world)), seconds=10)
    await calm(world)
    changes = world.cluster.status(*ENVIRONMENT)["plan"]["changes"]
    blocked = {item["id"].rsplit("/", 1)[1] for item in changes if item["action"] == "Blocked"}
    assert blocked == {"climate-home", "scheduler-state"}
    assert not [item for item in ids(world) if "/volumes/" in item or item.endswith("/disks/scheduler-state")]
    approve(world)
    await world.run_until(world.ready, seconds=20)
    await assert_steady(world, times=True)


@known("an empty pool is retained")
async def test_a_tier_whose_data_is_lost_can_be_deleted(world):
    await ready(world, lean(), tier())
    await lose(world, "volume")
    await drift(world)
    world.cluster.delete(*HOME)
    await gone(world, HOME)
    await world.run_until(world.ready, seconds=5)
    await delete_all(world)
    assert ids(world) == set()


async def test_data_that_is_lost_holds_nothing_up_that_does_not_need_it(world):
    await ready(world, lean(), tier("climate-scratch", path="/scratch", managedLustre={"capacity": "8Ti"}))
    await lose(world, "lustre")
    await drift(world)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"}, scheduler={"slurm": {"config": ["MaxJobCount=5"]}})
    await calm(world)
    assert tag_of(world, "/virtualNetworks/vnet") == "weather"
    assert "MaxJobCount=5" in str(found(world, "/runCommands/slurm-configuration").properties)


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_volume_grown_by_hand_is_not_shrunk(world, action):
    await ready(world, lean(policy=policy(default=action)), tier())
    pool, volume = found(world, "/capacityPools/climate-home"), found(world, "/volumes/climate-home")
    await alice(world, "PATCH", pool.id, {"properties": {"size": 6 << 40}})
    await alice(world, "PATCH", volume.id, {"properties": {"usageThreshold": 6 << 40}})
    before, since = last(world), len(world.cluster.status_writes)
    await drift(world)
    assert writes(world, before) == []
    assert found(world, "/volumes/climate-home").properties["usageThreshold"] == 6 << 40
    assert (shown(world, since) == {}) == (action == "Ignore")
    if action == "Correct":
        assert drifted(world, "/volumes/climate-home")["action"] == "Blocked"
        assert planned(world, "/volumes/climate-home")["action"] == "Blocked"
        assert condition(world, HOME)[0] == "True", "it serves"
        assert condition(world, HOME, "Stalled")[1] == "WouldShrink"
    world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "7Ti"})
    await calm(world)
    assert found(world, "/volumes/climate-home").properties["usageThreshold"] == 7 << 40
    assert drifted(world) == {}
    assert world.ready()


async def test_a_volume_grown_by_hand_goes_on_to_get_edits_of_other_fields(world):
    await ready(world, lean(policy=policy(default="Report")), tier())
    pool, volume = found(world, "/capacityPools/climate-home"), found(world, "/volumes/climate-home")
    await alice(world, "PATCH", pool.id, {"properties": {"size": 6 << 40}})
    await alice(world, "PATCH", volume.id, {"properties": {"usageThreshold": 6 << 40}})
    await drift(world)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    assert found(world, "/volumes/climate-home").properties["usageThreshold"] == 6 << 40
    assert tag_of(world, "/volumes/climate-home") == "weather"


async def test_a_volume_shrunk_by_hand_grows_again(world):
    await ready(world, lean(), tier())
    volume = found(world, "/volumes/climate-home")
    await alice(world, "PATCH", volume.id, {"properties": {"usageThreshold": 2 << 40}})
    await drift(world)
    assert found(world, "/volumes/climate-home").properties["usageThreshold"] == 4 << 40
    await assert_steady(world)


# --- What it costs


async def test_a_look_costs_two_reads_and_no_write(world):
    await ready(world, *QUICKSTART)
    await drift(world)
    for remembered in world.reconciler._memories.values():
        remembered.busy_until = 0.0
        remembered.inspect_at = float("inf")
    before, written = last(world), len(world.cluster.status_writes)
    await drift(world)
    asked = [item for item in world.emulator.requests if item["sequence"] > before]
    assert len(asked) <= 2, [item["path"] for item in asked]
    assert writes(world, before) == []
    assert len(world.cluster.status_writes) == written


async def test_reported_drift_costs_no_write_of_status_in_steady_state(world):
    await ready(world, environment(policy=policy(default="Report")), partition())
    await alice_tags(world, "/networkSecurityGroups/nsg-compute", department="theirs")
    await drift(world)
    written, before = len(world.cluster.status_writes), last(world)
    for _ in range(3):
        await drift(world)
    assert len(world.cluster.status_writes) == written
    asked = [item for item in world.emulator.requests if item["sequence"] > before]
    assert not [item for item in asked if "eventtypes" in item["path"]], "asked once"
