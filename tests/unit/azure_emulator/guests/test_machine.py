"""What the store says of a VM: names that a guest finds, and what a mount means."""

from __future__ import annotations

from typing import Any

import pytest

from azure_emulator.guests import machine as machines
from azure_emulator.guests.description import Interface, Machine
from azure_emulator.store import Resource, Store

GROUP = "/subscriptions/s/resourceGroups/rg/providers"
NET = f"{GROUP}/Microsoft.Network/virtualNetworks/net"
HUB = f"{GROUP}/Microsoft.Network/virtualNetworks/hub"


def machine(name: str, address: str, network: str = NET) -> Machine:
    return Machine(
        id=f"/{name}", key=name, name=name, host_name=name, instance_id=name, os_disk=name, network=network.lower(),
        interfaces=(Interface(address, 24, "10.0.0.1"),),
    )  # fmt: skip


@pytest.fixture
def store() -> Store:
    return Store()


def add(store: Store, path: str, kind: str, **properties: Any) -> Resource:
    resource = Resource(id=path, type=kind, body={"properties": properties})
    store.save(resource)
    return resource


class TestHosts:
    def test_itself_comes_first_then_the_others_of_its_network(self, store: Store) -> None:
        one, two, far = machine("one", "10.0.0.5"), machine("two", "10.0.0.4"), machine("far", "10.0.0.4", HUB)
        assert machines.hosts(store, one, [two, far, one]) == [
            ("10.0.0.5", ["one", "one.internal.cloudapp.net"]), ("10.0.0.4", ["two", "two.internal.cloudapp.net"]),
        ]  # fmt: skip

    def test_zones_count_where_they_are_linked(self, store: Store) -> None:
        one = machine("one", "10.0.0.4")
        for zone, network, registering in (
            ("a.example", NET, True),
            ("b.example", HUB, True),
            ("c.example", NET, False),
        ):
            path = f"{GROUP}/Microsoft.Network/privateDnsZones/{zone}"
            add(store, path, machines.ZONE)
            add(store, f"{path}/virtualNetworkLinks/l", f"{machines.ZONE}/virtualNetworkLinks",
                virtualNetwork={"id": network}, registrationEnabled=registering)  # fmt: skip
            add(store, f"{path}/A/db", f"{machines.ZONE}/A", aRecords=[{"ipv4Address": "10.0.9.9"}])
            add(store, f"{path}/A/@", f"{machines.ZONE}/A", aRecords=[{"ipv4Address": "10.0.9.8"}])
        found = dict(machines.hosts(store, one, [one]))
        assert found["10.0.9.9"] == ["db.a.example", "db.c.example"]
        assert found["10.0.9.8"] == ["a.example", "c.example"]
        assert found["10.0.0.4"][2:] == ["one.a.example"]


class TestShares:
    """Of a NetApp volume, a component test mounts a real one."""

    def test_lustre(self, store: Store) -> None:
        system = add(store, f"{GROUP}/{machines.LUSTRE}/fs", machines.LUSTRE, filesystemSubnet=f"{NET}/subnets/lustre",
                     clientInfo={"mgsAddress": "10.0.2.4"})  # fmt: skip
        one = machine("one", "10.0.0.4")
        key = machines.share_key(system)
        assert machines.share_of(store, one, "10.0.2.4@tcp:/lustrefs", "lustre") == (key, 0o755, "")
        assert machines.share_of(store, one, "10.0.2.4@tcp0:/lustrefs/a/b", "") == (key, 0o755, "a/b")
        for source, said in (("10.0.2.4@tcp:/other", "No such file"), ("10.0.2.5@tcp:/lustrefs", "Is the MGS running")):
            with pytest.raises(machines.MountError, match=said):
                machines.share_of(store, one, source, "lustre")
        with pytest.raises(machines.MountError, match="Is the MGS running"):
            machines.share_of(store, machine("far", "10.0.0.4", HUB), "10.0.2.4@tcp:/lustrefs", "lustre")

    def test_a_peered_network_reaches_it_once_both_sides_agree(self, store: Store) -> None:
        add(store, f"{GROUP}/{machines.LUSTRE}/fs", machines.LUSTRE, filesystemSubnet=f"{NET}/subnets/lustre",
            clientInfo={"mgsAddress": "10.0.2.4"})  # fmt: skip
        kind = "Microsoft.Network/virtualNetworks/virtualNetworkPeerings"
        peering = add(store, f"{HUB}/virtualNetworkPeerings/p", kind, remoteVirtualNetwork={"id": NET},
                      peeringState="Initiated")  # fmt: skip
        far = machine("far", "10.1.0.4", HUB)
        with pytest.raises(machines.MountError):
            machines.share_of(store, far, "10.0.2.4@tcp:/lustrefs", "lustre")
        peering.properties["peeringState"] = "Connected"
        assert machines.share_of(store, far, "10.0.2.4@tcp:/lustrefs", "lustre")[2] == ""

    def test_shares_and_containers_of_storage_accounts(self, store: Store) -> None:
        account = add(store, f"{GROUP}/{machines.ACCOUNT}/acc", machines.ACCOUNT, isNfsV3Enabled=True,
                      primaryEndpoints={"file": "https://acc.file.core.localhost:8443/"})  # fmt: skip
        share = add(store, f"{account.id}/fileServices/default/shares/data", machines.SHARE, enabledProtocols="NFS")
        add(store, f"{account.id}/fileServices/default/shares/windows", machines.SHARE, enabledProtocols="SMB")
        container = add(store, f"{account.id}/blobServices/default/containers/raw", machines.CONTAINER)
        one = machine("one", "10.0.0.4")
        for host in ("acc.file.core.windows.net", "acc.privatelink.file.core.windows.net", "acc.file.core.localhost"):
            assert machines.share_of(store, one, f"{host}:/acc/data/x", "nfs")[::2] == (machines.share_key(share), "x")
        found = machines.share_of(store, one, "acc.blob.core.windows.net:/acc/raw", "nfs")
        assert found[0] == machines.share_key(container)
        with pytest.raises(machines.MountError, match="access denied"):
            machines.share_of(store, one, "acc.file.core.windows.net:/acc/windows", "nfs")
        account.properties["isNfsV3Enabled"] = False
        with pytest.raises(machines.MountError, match="access denied"):
            machines.share_of(store, one, "acc.blob.core.windows.net:/acc/raw", "nfs")

    def test_what_is_no_address_is_said(self, store: Store) -> None:
        with pytest.raises(machines.MountError, match="write server:/export"):
            machines.share_of(store, machine("one", "10.0.0.4"), "nonsense", "nfs")
        with pytest.raises(machines.MountError, match="Connection timed out"):
            machines.share_of(store, machine("one", "10.0.0.4"), "10.0.0.9:/x", "nfs")
