from __future__ import annotations

from azure_emulator import Emulator, bodies
from azure_emulator.store import Operation, Resource, Store, resource_ids

GROUP = "/subscriptions/s/resourceGroups/rg"
NET = f"{GROUP}/providers/Microsoft.N/nets/net"


def resource(identity: str, type_name: str = "Microsoft.N/nets", **body: object) -> Resource:
    return Resource(id=identity, type=type_name, body=dict(body))


def test_everything_comes_back_from_disk(tmp_path):
    store = Store(tmp_path)
    store.save(resource(NET, properties={"a": 1}))
    store.save_operation(Operation("op", NET, "Microsoft.N/nets", "PUT", 1.0, 2.0))
    store.set("speed", 3)
    store.log({"sequence": 1, "path": "/"})
    store.commit()
    store.save(resource(f"{NET}2"))  # never committed: a kill forgets it
    again = Store(tmp_path)
    assert set(again.resources) == {NET.lower()}
    assert again.get(NET.upper()).properties == {"a": 1}
    assert again.operations["op"].running
    assert again.settings == {"speed": 3}
    assert list(again.requests) == [{"sequence": 1, "path": "/"}]
    assert (tmp_path / "azure.sqlite3").stat().st_mode & 0o077 == 0


def test_indexes_follow_what_is_saved_and_removed():
    store = Store()
    net, nic = resource(NET), resource(f"{GROUP}/providers/Microsoft.N/nics/nic", "Microsoft.N/nics", net={"id": NET})
    nic.internal["addresses"] = [[net.key, "10.0.0.4"]]
    store.save(net)
    store.save(nic)
    assert store.referrers(NET.upper()) == [nic]
    assert store.addresses(NET) == {"10.0.0.4": nic.key}
    assert store.children(GROUP, "microsoft.n/NICS") == [nic]
    nic.body = {}
    nic.internal["addresses"] = []
    store.save(nic)
    assert store.referrers(NET) == []
    assert store.addresses(NET) == {}
    store.remove(net)
    assert store.below(GROUP) == [nic]


def test_ids_are_found_wherever_they_stand():
    body = {"identity": {NET: {}}, "list": [{"id": f"{NET}/"}, "/subscriptions/other"], "text": f"see {NET}"}
    assert resource_ids(body) == {NET.lower(), "/subscriptions/other"}


def test_bodies():
    body = {"a": {"b": 1, "c": [1]}}
    bodies.merge(body, {"a": {"b": None, "d": 2}, "e": {"f": 1}})
    assert body == {"a": {"c": [1], "d": 2}, "e": {"f": 1}}
    bodies.with_defaults(body, {"a.d": 9, "a.x": {"y": 1}})
    assert (bodies.get(body, "a.d"), bodies.get(body, "a.x.y")) == (2, 1)
    assert bodies.drop(body, "a.x") == {"y": 1}
    assert bodies.drop(body, "a.nothing.here") is bodies.MISSING
    assert bodies.same({"A": "x", "b": None}, {"A": "X"})
    assert not bodies.same([1], [1, 2])


def test_what_is_taken_of_a_quota_is_summed_by_subscription_and_region():
    store = Store()
    vm, other = resource(NET, location="west"), resource(f"{NET}2", location="west")
    elsewhere = resource("/subscriptions/t/resourceGroups/rg/providers/Microsoft.N/nets/net", location="west")
    for one, cores in ((vm, 4), (other, 2), (elsewhere, 8)):
        one.internal["quota"] = {"cores": cores}
        store.save(one)
    assert store.usage("S", "west")["cores"] == 6
    vm.internal["quota"] = {"machines": 1}
    store.save(vm)
    store.remove(other)
    assert store.usage("s", "west") == {"cores": 0, "machines": 1}
    assert store.usage("t", "west")["cores"] == 8
    assert store.in_region("microsoft.n/NETS", "S", "west") == [vm]
    assert store.in_region("Microsoft.N/nets", "s", "north") == []


def test_a_principal_that_several_share_is_found_as_long_as_one_is_left():
    store = Store()
    first, second = resource(NET), resource(f"{NET}2")
    first.body["identity"], second.body["identity"] = {"principalId": "P"}, {"principalId": "p"}
    store.save(first)
    store.save(second)
    assert store.of_principal("p") == first
    store.remove(first)
    assert store.of_principal("P") == second
    second.body["identity"] = {"type": "None"}
    store.save(second)
    assert store.of_principal("p") is None
    assert store.with_identity() == []


def test_children_of_a_type_come_oldest_first_from_whichever_list_is_shorter():
    store = Store()
    names = [f"{GROUP}/providers/Microsoft.N/nets/{number}" for number in range(4)]
    for name in names:
        store.save(resource(name))
    store.save(resource(f"{GROUP}/providers/Microsoft.M/others/one", "Microsoft.M/others"))
    store.save(resource("/subscriptions/s/resourceGroups/other/providers/Microsoft.N/nets/0"))
    assert [one.id for one in store.children(GROUP, "Microsoft.N/nets")] == names
    assert [one.name for one in store.children(GROUP, "microsoft.m/OTHERS")] == ["one"]


def test_referrers_of_a_type():
    store = Store()
    nic, rule = (
        resource(f"{NET}-nic", "M.N/nics", net={"id": NET}),
        resource(f"{NET}-rule", "M.N/rules", net={"id": NET}),
    )
    for one in (resource(NET), nic, rule, resource(f"{NET}-lone", "M.N/nics")):
        store.save(one)
    assert store.referrers(NET) == [nic, rule]
    assert store.referrers(NET, "m.n/NICS") == [nic]
    assert store.referrers(NET, "M.N/others") == []


def test_a_search_for_addresses_goes_back_to_what_became_free():
    store = Store()
    low, high = resource(f"{NET}-low"), resource(f"{NET}-high")
    low.internal["addresses"], high.internal["addresses"] = [[NET.lower(), "10.0.0.4"]], [[NET.lower(), "10.0.0.5"]]
    store.save(low)
    store.save(high)
    store.note_full_below(NET, "10.0.0.0/24", 0x0A000006)
    store.remove(high)
    assert store.full_below(NET, "10.0.0.0/24") == 0x0A000005
    low.internal["addresses"] = [[NET.lower(), "10.0.0.9"]]
    store.save(low)
    assert store.full_below(NET.upper(), "10.0.0.0/24") == 0x0A000004


def test_of_very_many_operations_the_oldest_that_ended_are_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr("azure_emulator.store.OPERATIONS_KEPT", 20)
    store = Store(tmp_path)
    for number in range(21):
        status = "InProgress" if number == 0 else "Succeeded"
        store.save_operation(Operation(f"op{number}", NET, "Microsoft.N/nets", "PUT", number, number + 1, status))
    store.commit()
    assert [*store.operations][:3] == ["op0", "op3", "op4"]
    assert [*Store(tmp_path).operations] == [*store.operations]


def test_changes_are_kept_only_while_somebody_follows_them():
    emulator = Emulator(speed=0)
    group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg"
    emulator.engine.create(group, {"location": "westeurope"})
    assert emulator.store.changes is None
    row = {"type": "t", "resourceGroup": "rg"}
    emulator.engine.late.take_in(0.0, lambda resource: {"id": resource.id, **row})
    emulator.store.remove(emulator.store.resources[group.lower()])
    assert list(emulator.store.changes) == [group.lower()]
    emulator.engine.late.take_in(0.0, lambda resource: {"id": resource.id, **row})
    assert emulator.engine.late.rows({}) == []
    assert emulator.store.changes == {}
