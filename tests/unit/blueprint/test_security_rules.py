"""Who may reach what."""

import pytest


def rules(example, group, environment=None, tiers=()):
    blueprint = example.blueprint(environment, list(tiers))
    found = example.find(blueprint, "networkSecurityGroups", group).body["properties"]["securityRules"]
    assert all(rule["name"].startswith("hpc-") for rule in found), "a name that tells ours from others'"
    return {rule["name"].removeprefix("hpc-"): rule["properties"] for rule in found}


def test_rules_for_services(example):
    found = rules(example, "nsg-services")
    assert {name: rule["priority"] for name, rule in found.items()} == {
        "allow-ssh-from-bastion": 100,
        "allow-ssh-from-machines": 120,
        "allow-slurm": 200,
        "allow-private-endpoints": 210,
        "deny-virtual-network": 4096,
    }
    assert found["allow-ssh-from-bastion"] == {
        "priority": 100,
        "direction": "Inbound",
        "access": "Allow",
        "protocol": "Tcp",
        "sourcePortRange": "*",
        "sourceAddressPrefixes": ["10.40.0.64/26"],
        "destinationPortRanges": ["22"],
        "destinationAddressPrefix": "*",
    }
    assert found["deny-virtual-network"]["access"] == "Deny"


def test_people_come_in_from_allowed_sources_only_where_there_are_some(example):
    network = {"addressSpace": ["10.40.0.0/20"], "access": {"allowedSources": ["198.51.100.0/24", "192.0.2.0/24"]}}
    found = rules(example, "nsg-services", example.environment(network=network))
    assert found["allow-ssh-from-allowed-sources"]["sourceAddressPrefixes"] == ["192.0.2.0/24", "198.51.100.0/24"]
    assert "allow-ssh-from-bastion" not in found
    assert "allow-ssh-from-allowed-sources" not in rules(example, "nsg-services")


@pytest.mark.parametrize("group", ["nsg-services", "nsg-compute"])
def test_storage_calls_back_only_where_there_is_some(example, group):
    assert {"allow-nfs-callbacks", "allow-lustre-callbacks"} & rules(example, group).keys() == set()
    found = rules(example, group, tiers=[example.tier(), example.lustre(), example.nfs(), example.nfs("b", "filer.a")])
    assert found["allow-nfs-callbacks"]["sourceAddressPrefixes"] == ["10.40.0.32/28", "192.0.2.7"]
    assert found["allow-lustre-callbacks"]["destinationPortRanges"] == ["988", "1019-1023"]


def test_rules_for_nodes(example):
    found = rules(example, "nsg-compute")
    assert found["allow-between-nodes"]["sourceAddressPrefixes"] == ["10.40.8.0/21"]
    assert found["allow-slurm"]["sourceAddressPrefixes"] == ["10.40.2.0/23"]
    assert found["allow-slurm"]["destinationPortRanges"] == ["6817-6819", "60001-63000"]
    assert "allow-ssh-from-bastion" not in found


def test_bastion_has_the_rules_that_azure_demands(example):
    found = rules(example, "nsg-bastion")
    assert found["allow-gateway-manager"]["sourceAddressPrefix"] == "GatewayManager"
    assert {rule["direction"] for rule in found.values()} == {"Inbound", "Outbound"}


@pytest.mark.parametrize("group", ["nsg-services", "nsg-compute", "nsg-lustre", "nsg-bastion"])
def test_priorities_are_unique_and_names_too(example, group):
    blueprint = example.blueprint(tiers=[example.tier(), example.lustre()])
    found = example.find(blueprint, "networkSecurityGroups", group).body["properties"]["securityRules"]
    priorities = [(rule["properties"]["direction"], rule["properties"]["priority"]) for rule in found]
    assert len(set(priorities)) == len(priorities) == len({rule["name"] for rule in found})
    for rule in found:
        for key in ("sourceAddressPrefix", "destinationPortRange", "destinationAddressPrefix"):
            plural = f"{key}es" if key.endswith("x") else f"{key}s"
            assert (key in rule["properties"]) != (plural in rule["properties"])
