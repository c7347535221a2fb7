"""What golden errors need around them: a resource group in an emulator, and errors that take more than one step.

Everything is made by the real SDK clients; test_golden_errors.py names the errors and compares them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import requests
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from sdk_clients import Sdk, finish

from azure_emulator import SUBSCRIPTION, Emulator
from azure_emulator.faults import Fault

SPEED = 100_000
LOCATION = "westeurope"
AT = {"location": LOCATION}
GIB, TIB = 2**30, 2**40
READER, CONTRIBUTOR = "acdd72a7-3385-48ef-bd42-f606fba81ae7", "b24988ac-6180-42a0-ab88-20f7382dd24c"
SOMEONE = "11111111-2222-3333-4444-555555555555"
ANOTHER_SUBSCRIPTION = "00000000-0000-0000-0000-000000000002"
OTHER_KEY = {
    "path": "/home/hpcadmin/.ssh/authorized_keys",
    "keyData": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKhAN3g2yqKsuCm1kPMnVQkVLmiB2cw3AQ6jHkNXdPxz hpc",
}
SIZE = "Standard_D2s_v5"
IMAGE = {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204", "version": "latest"}
OTHER_IMAGE = {**IMAGE, "sku": "2404"}
FROM_IMAGE = {"createOption": "FromImage"}
PROFILE = {"computerName": "vm", "adminUsername": "hpcadmin", "adminPassword": "Correct-Horse-7"}
OPERATIONS = f"providers/Microsoft.Compute/locations/{LOCATION}/operations"
SIX_RULES = [{"ruleIndex": number, "allowedClients": "10.0.0.0/8", "nfsv3": True} for number in range(1, 7)]
DELEGATED = {"netapp": "Microsoft.NetApp/volumes", "mysql": "Microsoft.DBforMySQL/flexibleServers"}
WINDOW = {"dayOfWeek": "Saturday", "timeOfDayUTC": "22:00"}


class World:
    """A resource group in an emulator, and what the errors need to be in it; everything is made by the SDK."""

    CLIENTS: ClassVar = {
        "network": "network", "compute": "compute", "storage": "storage", "netapp": "netapp",
        "lustre": "storagecache", "mysql": "mysqlflexibleservers",
    }  # fmt: skip

    def __init__(self, emulator: Emulator, sdk: Sdk, group: str) -> None:
        self.emulator, self.sdk, self.group = emulator, sdk, group
        self.subscription = f"/subscriptions/{sdk.subscription}"
        self.root = f"{self.subscription}/resourceGroups/{group}"
        self.groups = sdk.client("resource.resources").resource_groups
        self.groups.create_or_update(group, AT)
        self.made: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        """A client, made when it is first needed."""
        if name not in self.CLIENTS:
            raise AttributeError(name)
        return self.sdk.client(self.CLIENTS[name])

    def id(self, short: str) -> str:
        return f"{self.root}/providers/{short}"

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What several things of a test share."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    # -- how the emulator is ----------------------------------------------------------------------------------------

    def set(self, **settings: Any) -> None:
        for name, value in settings.items():
            self.emulator.store.set(name, value)

    def stop(self) -> None:
        """Let time stand still: what has begun goes on."""
        self.emulator.clock.speed = 0

    def go(self) -> None:
        self.emulator.clock.speed = SPEED

    def fault(self, **fault: Any) -> None:
        self.emulator.faults.add(Fault.model_validate(fault))

    def admin(self, path: str, body: Any, method: str = "POST") -> Any:
        answer = requests.request(method, f"{self.emulator.url}/emulator/{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def stranger(self, *roles: str) -> Any:
        """The clients of somebody who has these roles on the group and no more; rights hold from now on."""
        given = [{"role": role, "scope": self.root} for role in roles]
        found = self.admin("applications", {"displayName": "stranger", "roles": given})
        token = self.admin("tokens", {"principal": found["objectId"]})["access_token"]
        self.set(rights="on", rightsDelaySeconds=0)
        self.who = found
        return Sdk(self.emulator.url, SUBSCRIPTION, token=token)

    # -- what is in it ----------------------------------------------------------------------------------------------

    def vnet(self, name: str = "vnet", space: str = "10.0.0.0/16", **subnets: Any) -> Any:
        """A network with subnets: name -> prefix, or properties."""
        listed = []
        for key, value in subnets.items():
            properties = {"addressPrefix": value} if isinstance(value, str) else value
            if key in DELEGATED:
                delegation = {"name": "d", "properties": {"serviceName": DELEGATED[key]}}
                properties = {**properties, "delegations": [delegation]}
            listed.append({"name": key, "properties": properties})
        body = {**AT, "properties": {"addressSpace": {"addressPrefixes": [space]}, "subnets": listed}}
        return finish(self.network.virtual_networks.begin_create_or_update(self.group, name, body))

    def subnet(self, name: str = "nodes", prefix: str = "10.0.0.0/24", **properties: Any) -> str:
        self.vnet(**{name: {"addressPrefix": prefix, **properties}})
        return self.id(f"Microsoft.Network/virtualNetworks/vnet/subnets/{name}")

    def put_subnet(self, name: str, vnet: str = "vnet", **properties: Any) -> Any:
        return self.network.subnets.begin_create_or_update(self.group, vnet, name, {"properties": properties})

    def put_nic(self, subnet: str, name: str = "nic", more: Any = None, **configuration: Any) -> Any:
        main = {"name": "main", "properties": {"subnet": {"id": subnet}, **configuration}}
        body = {**AT, "properties": {"ipConfigurations": [main, *(more or [])]}}
        return self.network.network_interfaces.begin_create_or_update(self.group, name, body)

    def nic(self, subnet: str, name: str = "nic", **configuration: Any) -> Any:
        return finish(self.put_nic(subnet, name, **configuration))

    def address(self, name: str = "pip") -> Any:
        body = {**AT, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
        return finish(self.network.public_ip_addresses.begin_create_or_update(self.group, name, body))

    def security_group(self) -> str:
        return str(finish(self.network.network_security_groups.begin_create_or_update(self.group, "nsg", AT)).id)

    def nat(self) -> str:
        body = {**AT, "sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": self.address().id}]}}
        return str(finish(self.network.nat_gateways.begin_create_or_update(self.group, "nat", body)).id)

    def machine(self, size: str = SIZE, zones: Any = None, **properties: Any) -> dict[str, Any]:
        """Body of a VM with a network interface of its own."""
        body = {**AT, "properties": {
            "hardwareProfile": {"vmSize": size},
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}},
            "osProfile": {**PROFILE, "customData": "I2Nsb3Vk"},
            "networkProfile": {"networkInterfaces": [{"id": self.once("nic", lambda: self.nic(self.subnet()).id)}]},
            **properties}}  # fmt: skip
        return body if zones is None else {**body, "zones": zones}

    def put_machine(self, *args: Any, **properties: Any) -> Any:
        return self.compute.virtual_machines.begin_create_or_update(self.group, "vm", self.machine(*args, **properties))

    def change_machine(self, **changes: Any) -> Any:
        """A PUT of the machine that is there, with other properties."""
        finish(self.put_machine())
        return self.put_machine(**changes)

    def patch_machine(self, **properties: Any) -> Any:
        finish(self.put_machine())
        return self.compute.virtual_machines.begin_update(self.group, "vm", {"properties": properties})

    def scale_set(self, size: str = SIZE, count: int = 1, mode: str = "Uniform", profile: Any = None,
                  zones: Any = None, identity: Any = None, **properties: Any) -> dict[str, Any]:  # fmt: skip
        nic = {"name": "nic", "properties": {"primary": True, "ipConfigurations": [
            {"name": "main", "properties": {"subnet": {"id": self.once("subnet", self.subnet)}}}]}}  # fmt: skip
        machine = {
            "osProfile": {"computerNamePrefix": "n", "adminUsername": "hpcadmin", "adminPassword": "Correct-Horse-7"},
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}},
            "networkProfile": {"networkApiVersion": "2022-11-01", "networkInterfaceConfigurations": [nic]},
            **(profile or {}),
        }  # fmt: skip
        kind: dict[str, Any] = {"orchestrationMode": mode, "virtualMachineProfile": machine, **properties}
        if mode == "Flexible":
            kind.setdefault("platformFaultDomainCount", 1)
        else:
            kind.setdefault("upgradePolicy", {"mode": "Manual"})
        body = {**AT, "sku": {"name": size, "capacity": count}, "properties": kind}
        return body | ({"zones": zones} if zones else {}) | ({"identity": identity} if identity else {})

    def put_set(self, **options: Any) -> Any:
        return self.compute.virtual_machine_scale_sets.begin_create_or_update(
            self.group, "set", self.scale_set(**options)
        )

    def change_set(self, before: dict[str, Any] | None = None, **after: Any) -> Any:
        finish(self.put_set(**{"count": 0, **(before or {})}))
        return self.put_set(**{"count": 0, **(before or {}), **after})

    def account(self, name: str = "account") -> Any:
        return finish(self.netapp.accounts.begin_create_or_update(self.group, name, AT))

    def put_pool(self, size: float = 4, level: str = "Premium", name: str = "pool", account: str = "account",
                 **properties: Any) -> Any:  # fmt: skip
        body = {**AT, "properties": {"serviceLevel": level, "size": int(size * TIB), **properties}}
        return self.netapp.pools.begin_create_or_update(self.group, account, name, body)

    def pool(self, **options: Any) -> Any:
        self.once("account", self.account)
        return finish(self.put_pool(**options))

    def patch_pool(self, before: dict[str, Any], **properties: Any) -> Any:
        self.pool(**before)
        return self.netapp.pools.begin_update(self.group, "account", "pool", {"properties": properties})

    def put_volume(self, name: str = "volume", gib: float = 1024, pool: str = "pool", **properties: Any) -> Any:
        body = {**AT, "properties": {"creationToken": name, "usageThreshold": int(gib * GIB),
                                     "subnetId": self.netapp_subnet(), **properties}}  # fmt: skip
        return self.netapp.volumes.begin_create_or_update(self.group, "account", pool, name, body)

    def volume(self, **options: Any) -> Any:
        self.pool()
        return finish(self.put_volume(**options))

    def change_volume(self, **properties: Any) -> Any:
        self.volume()
        return self.put_volume(**properties)

    def put_lustre(self, capacity: float = 8, sku: int = 250, zone: str = "1", drop: str = "", prefix: str = "24",
                   **properties: Any) -> Any:  # fmt: skip
        subnet = self.once("lustre", lambda: self.subnet("lustre", f"10.0.0.0/{prefix}"))
        inner = {"storageCapacityTiB": capacity, "filesystemSubnet": subnet, "maintenanceWindow": WINDOW,
                 **properties}  # fmt: skip
        inner.pop(drop, None)
        body = {**AT, "sku": {"name": f"AMLFS-Durable-Premium-{sku}"}, "zones": [zone], "properties": inner}
        return self.lustre.aml_filesystems.begin_create_or_update(self.group, "fs", body)

    def change_lustre(self, **options: Any) -> Any:
        finish(self.put_lustre())
        return self.put_lustre(**options)

    def expansion(self, capacity: float) -> Any:
        finish(self.put_lustre())
        body = {**AT, "properties": {"newStorageCapacityTiB": capacity}}
        return self.lustre.expansion_jobs.begin_create_or_update(self.group, "fs", "more", body)

    def put_storage(self, sku: str = "Standard_LRS", kind: str = "StorageV2", name: str = "", group: str = "",
                    location: str = LOCATION, **properties: Any) -> Any:  # fmt: skip
        body = {"location": location, "sku": {"name": sku}, "kind": kind, "properties": properties}
        return self.storage.storage_accounts.begin_create(group or self.group, name or self.store_name, body)

    @property
    def store_name(self) -> str:
        return f"golden{uuid.uuid5(uuid.NAMESPACE_URL, self.group).hex[:12]}"

    def patch_storage(self, before: dict[str, Any], **body: Any) -> Any:
        finish(self.put_storage(**before))
        return self.storage.storage_accounts.update(self.group, self.store_name, body)

    def put_share(self, quota: int, kind: str = "FileStorage", sku: str = "Premium_LRS", **properties: Any) -> Any:
        finish(self.put_storage(sku=sku, kind=kind))
        body = {"properties": {"shareQuota": quota, **properties}}
        return self.storage.file_shares.create(self.group, self.store_name, "share", body)

    def put_server(self, name: str = "", **properties: Any) -> Any:
        body = {**AT, "sku": {"name": "Standard_D2ds_v4", "tier": "GeneralPurpose"}, "properties": {
            "administratorLogin": "slurmadmin", "administratorLoginPassword": "Correct-Horse-7",
            "storage": {"storageSizeGB": 64}, **properties}}  # fmt: skip
        return self.mysql.servers.begin_create(self.group, self.store_name, body)

    def change_server(self, **properties: Any) -> Any:
        finish(self.put_server())
        return self.mysql.servers.begin_update(self.group, self.store_name, {"properties": properties})

    def lock(self, level: str = "CanNotDelete") -> None:
        self.sdk.client("resource.locks").management_locks.create_or_update_at_resource_group_level(
            self.group, "lock", {"level": level}
        )

    def assign(self, name: str, principal: str = SOMEONE, role: str = READER, **properties: Any) -> Any:
        definition = f"{self.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        body = {"properties": {"roleDefinitionId": definition, "principalId": principal, **properties}}
        return self.sdk.client("authorization.v2022_04_01").role_assignments.create(self.root, name, body)

    # -- what only a line or two need ---------------------------------------------------------------------------------

    def resize_pool(self, size: int) -> Any:
        return self.netapp.pools.begin_update(self.group, "account", "pool", {"properties": {"size": size}})

    def patch_share(self, **properties: Any) -> Any:
        return self.storage.file_shares.update(self.group, self.store_name, "share", {"properties": properties})

    def netapp_subnet(self) -> str:
        return str(self.once("netapp", lambda: self.subnet("netapp", "10.0.0.0/28")))

    def second_netapp_subnet(self) -> str:
        self.netapp_subnet()
        delegation = {"name": "d", "properties": {"serviceName": DELEGATED["netapp"]}}
        return str(finish(self.put_subnet("second", addressPrefix="10.0.1.0/28", delegations=[delegation])).id)

    def another_subnet(self) -> str:
        return str(finish(self.put_subnet("another", addressPrefix="10.0.1.0/24")).id)

    def route_table(self) -> str:
        return str(finish(self.network.route_tables.begin_create_or_update(self.group, "table", AT)).id)

    def bastion(self, subnet: str, prefix: int) -> Any:
        main = {"name": "main", "properties": {"subnet": {"id": self.subnet(subnet, f"10.0.0.0/{prefix}")},
                                               "publicIPAddress": {"id": self.address().id}}}  # fmt: skip
        body = {**AT, "sku": {"name": "Standard"}, "properties": {"ipConfigurations": [main]}}
        return self.network.bastion_hosts.begin_create_or_update(self.group, "bastion", body)

    def peering(self, remote: str) -> Any:
        body = {"properties": {"remoteVirtualNetwork": {"id": self.id(f"Microsoft.Network/virtualNetworks/{remote}")}}}
        return self.network.virtual_network_peerings.begin_create_or_update(self.group, "vnet", "peering", body)

    def placement_group(self) -> str:
        return str(self.compute.proximity_placement_groups.create_or_update(self.group, "together", AT).id)

    def availability_set(self) -> str:
        body = {**AT, "sku": {"name": "Aligned"}, "properties": {"platformFaultDomainCount": 2}}
        return str(self.compute.availability_sets.create_or_update(self.group, "available", body).id)

    def set_action(self, name: str, *more: Any) -> Any:
        finish(self.put_set(mode="Flexible", count=0))
        return getattr(self.compute.virtual_machine_scale_sets, name)(self.group, "set", *more)

    def containers(self) -> dict[str, str]:
        finish(self.put_storage())
        create = self.storage.blob_containers.create
        return {
            key: create(self.group, self.store_name, key.lower(), {}).id for key in ("container", "loggingContainer")
        }

    def patch_lustre(self, **body: Any) -> Any:
        finish(self.put_lustre())
        return self.lustre.aml_filesystems.begin_update(self.group, "fs", body)

    def send(self, method: str, path: str, body: Any = None, version: str = "2025-01-01") -> None:
        """A request that the SDK has no method for, or that it mends by itself, over plain HTTP."""
        answer = requests.request(
            method, f"{self.emulator.url}{path}", json=body, params={"api-version": version}, timeout=10,
            headers={"Authorization": "Bearer opaque"},
        )  # fmt: skip
        if not answer.ok:
            raise Refused(answer.status_code, answer.json()["error"])


class Refused(Exception):  # noqa: N818 (it is what HttpResponseError is)
    """A refusal over plain HTTP, as HttpResponseError shows it."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.status_code = status
        self.error = SimpleNamespace(
            code=error["code"], message=error["message"], target=error.get("target"),
            details=[SimpleNamespace(**detail) for detail in error.get("details", [])],
            additional_info=[SimpleNamespace(**info) for info in error.get("additionalInfo", [])],
        )  # fmt: skip


# -- provoked in more than one step ----------------------------------------------------------------------------------


def group_being_deleted(w: World) -> None:
    w.security_group()
    w.stop()
    w.groups.begin_delete(w.group, polling=False)
    w.security_group()


def locked(level: str) -> Callable[[World], Any]:
    def provoke(w: World) -> Any:
        w.security_group()
        w.lock(level)
        delete = w.network.network_security_groups.begin_delete
        return delete(w.group, "nsg") if level == "CanNotDelete" else w.security_group()

    return provoke


def unauthorized(w: World) -> Any:
    w.vnet()
    return w.stranger().client("network").virtual_networks.get(w.group, "vnet")


def unauthorized_link(w: World) -> Any:
    """May write network interfaces here, but not join the subnet, which is in a group of somebody else's."""
    other = World(w.emulator, w.sdk, f"{w.group}-other")
    subnet = other.subnet()
    body = {**AT, "properties": {"ipConfigurations": [{"name": "main", "properties": {"subnet": {"id": subnet}}}]}}
    return w.stranger(CONTRIBUTOR).client("network").network_interfaces.begin_create_or_update(w.group, "nic", body)


def unregistered(w: World) -> None:
    w.set(registrations={"microsoft.netapp": "NotRegistered"})
    w.send("PUT", w.id("Microsoft.NetApp/netAppAccounts/account"), AT)


def two_writes(how: str) -> Callable[[World], Any]:
    def provoke(w: World) -> Any:
        w.set(serialisedWrites=how)
        w.vnet(first="10.0.1.0/24")
        w.stop()
        w.network.subnets.begin_create_or_update(
            w.group, "vnet", "first", {"properties": {"addressPrefix": "10.0.1.0/25"}}, polling=False
        )
        second = {"properties": {"addressPrefix": "10.0.2.0/24"}}
        poller = w.network.subnets.begin_create_or_update(w.group, "vnet", "second", second)
        w.go()
        return poller

    return provoke


def subnet_updating(w: World) -> Any:
    subnet = w.subnet()
    w.stop()
    w.network.subnets.begin_create_or_update(
        w.group, "vnet", "nodes", {"properties": {"addressPrefix": "10.0.0.0/25"}}, polling=False
    )
    return w.put_nic(subnet)


def in_use(member: str, group: str, make: Callable[[World], str]) -> Callable[[World], Any]:
    """A subnet has it, and it is to be deleted."""

    def provoke(w: World) -> Any:
        made = make(w)
        w.subnet(**{member: {"id": made}})
        return getattr(w.network, group).begin_delete(w.group, made.rsplit("/", 1)[1])

    return provoke


def group_deletion_blocked(w: World) -> Any:
    """A network interface of another group holds the subnet."""
    subnet = w.subnet()
    other = World(w.emulator, w.sdk, f"{w.group}-other")
    other.nic(subnet)
    return w.groups.begin_delete(w.group)


def scarce(w: World, **more: Any) -> None:
    w.admin("capacity", {"vmSize": SIZE, "count": 0, **more}, "PUT")


def no_room(*, zone: str | None = None, spot: bool = False, ephemeral: bool = False) -> Callable[[World], Any]:
    def provoke(w: World) -> Any:
        size = "Standard_D4ds_v5" if ephemeral else SIZE
        w.admin("capacity", {"vmSize": size, "count": 0}, "PUT")
        properties: dict[str, Any] = {"priority": "Spot", "evictionPolicy": "Delete"} if spot else {}
        if ephemeral:
            disk = {"createOption": "FromImage", "caching": "ReadOnly", "diffDiskSettings": {"option": "Local"}}
            properties["storageProfile"] = {"imageReference": IMAGE, "osDisk": disk}
        return w.put_machine(size, [zone] if zone else None, **properties)

    return provoke


def no_room_in_one_cluster(w: World) -> Any:
    scarce(w)
    return w.put_set(count=2, singlePlacementGroup=True)


def restricted(w: World) -> Any:
    w.admin("restrictions", {"vmSize": SIZE, "location": LOCATION})
    return w.put_machine()


def over_quota(name: str, **properties: Any) -> Callable[[World], Any]:
    def provoke(w: World) -> Any:
        w.admin("quota", {"location": LOCATION, "name": name, "limit": 1}, "PUT")
        return w.put_machine(**properties)

    return provoke


def throttled(verb: str) -> Callable[[World], Any]:
    def provoke(w: World) -> Any:
        w.stop()
        w.set(armBuckets={verb: [1, 0.0001]})
        calls = {
            "reads": lambda: w.groups.get(w.group),
            "writes": lambda: w.groups.update(w.group, {"tags": {"a": "b"}}),
            "deletes": lambda: w.network.network_security_groups.begin_delete(w.group, "none"),
        }
        for _ in range(20):
            calls[verb]()

    return provoke


def too_often(call: Callable[[World], Any], times: int) -> Callable[[World], Any]:
    def provoke(w: World) -> None:
        w.stop()
        for _ in range(times + 1):
            try:
                call(w)
            except (HttpResponseError, Refused) as error:
                if error.status_code == 429:
                    raise

    return provoke


def new_principal(w: World) -> Any:
    identity = w.sdk.client("msi.v2024_11_30").user_assigned_identities.create_or_update(w.group, "id", AT)
    w.set(replicationSeconds=1e9)
    return w.assign(str(uuid.uuid4()), str(identity.principal_id))


def assigned_already(w: World) -> Any:
    w.assign(str(uuid.uuid4()), principalType="User")
    return w.assign(str(uuid.uuid4()), principalType="User")


def assigned_to_another(w: World) -> Any:
    name = str(uuid.uuid4())
    w.assign(name, principalType="User")
    return w.assign(name, principal=SOMEONE.replace("1", "2"), principalType="User")


def two_volumes(w: World) -> Any:
    w.set(serialisedWrites="failed")
    w.pool()
    w.netapp_subnet()
    w.stop()
    first = w.put_volume("first", 100)
    second = w.put_volume("second", 100)
    w.go()
    finish(first)
    return second


def pool_not_ready(w: World) -> Any:
    w.account()
    w.netapp_subnet()
    w.stop()
    w.put_pool()
    return w.put_volume()


def name_taken(w: World) -> Any:
    """By an account of another subscription."""
    other = World(w.emulator, Sdk(w.emulator.url, ANOTHER_SUBSCRIPTION), w.group)
    finish(other.put_storage())
    return w.put_storage()


def disallowed(w: World) -> Any:
    policies = w.sdk.client("resource.policy")
    built_in = "/providers/Microsoft.Authorization/policyDefinitions/e56962a6-4747-49cd-b67b-bf8b01975c4c"
    body = {"properties": {"displayName": "Our places", "policyDefinitionId": built_in,
                           "parameters": {"listOfAllowedLocations": {"value": ["northeurope"]}}}}  # fmt: skip
    policies.policy_assignments.create(w.root, "places", body)
    return w.security_group()


def subnet_full(w: World) -> Any:
    subnet = w.subnet(prefix="10.0.0.0/29")
    for number in range(3):
        w.nic(subnet, f"nic{number}")
    return w.put_nic(subnet)


def two_networks(w: World) -> Any:
    w.vnet("other", "10.1.0.0/16", nodes="10.1.0.0/24")
    other = w.id("Microsoft.Network/virtualNetworks/other/subnets/nodes")
    return w.put_nic(w.subnet(), more=[{"name": "second", "properties": {"subnet": {"id": other}, "primary": False}}])


def changed_meanwhile(w: World) -> Any:
    finish(w.put_machine())
    w.compute.virtual_machines.begin_update(
        w.group, "vm", {"tags": {"a": "b"}}, etag='"99"', match_condition=MatchConditions.IfNotModified
    )


def move(w: World, pool: str, account: str = "account", source: str = "pool") -> Any:
    target = {"newPoolResourceId": w.id(f"Microsoft.NetApp/netAppAccounts/{account}/capacityPools/{pool}")}
    return w.netapp.volumes.begin_pool_change(w.group, "account", source, "volume", target)


def to_another_account(w: World) -> Any:
    w.volume()
    w.account("second")
    finish(w.put_pool(account="second"))
    return move(w, "pool", "second")


def up_and_down(w: World) -> Any:
    """A volume cannot go to a lower service level soon after it went to a higher one."""
    w.volume()
    finish(w.put_pool(level="Ultra", name="second"))
    finish(move(w, "second"))
    w.stop()
    return move(w, "pool", source="second")


def another_interface(w: World) -> Any:
    finish(w.put_machine())
    second = w.nic(w.id("Microsoft.Network/virtualNetworks/vnet/subnets/nodes"), "second").id
    return w.put_machine(networkProfile={"networkInterfaces": [{"id": second}]})


def moved(w: World) -> None:
    finish(w.put_machine())
    w.send("PUT", w.id("Microsoft.Compute/virtualMachines/vm"), {**w.machine(), "location": "northeurope"})


def spot(policy: str) -> dict[str, str]:
    return {"priority": "Spot", "evictionPolicy": policy}


def os_disk(sku: str) -> dict[str, Any]:
    disk = {"createOption": "FromImage", "managedDisk": {"storageAccountType": sku}}
    return {"storageProfile": {"imageReference": IMAGE, "osDisk": disk}}


def by_fault(w: World, **answer: Any) -> Any:
    """What Azure answers of itself, by the fault script."""
    w.fault(path="/vnet$", answer=answer)
    return w.vnet()


def network_writes(w: World) -> None:
    """Network's own limit, lower than ARM's here."""
    w.set(armBuckets={"deletes": [10_000, 1]})
    too_often(lambda w: w.network.network_security_groups.begin_delete(w.group, "none"), 1100)(w)


def shrink_share(w: World) -> Any:
    w.put_share(200, sku="PremiumV2_LRS")
    w.patch_share(shareQuota=300)
    return w.patch_share(shareQuota=200)


def ephemeral(w: World) -> Any:
    disk = {"createOption": "FromImage", "caching": "ReadOnly", "diffDiskSettings": {"option": "Local"}}
    finish(w.put_machine("Standard_D4ds_v5", storageProfile={"imageReference": IMAGE, "osDisk": disk}))
    return w.compute.virtual_machines.begin_deallocate(w.group, "vm")


def full_of(call: Callable[[World, int], Any], count: int) -> Callable[[World], Any]:
    def provoke(w: World) -> Any:
        for number in range(count):
            finish(call(w, number))
        return call(w, count)

    return provoke
