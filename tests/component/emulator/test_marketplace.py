"""Images that are bought: terms are read and accepted once per subscription, and machines name the plan."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError

from azure_emulator import SUBSCRIPTION
from azure_emulator.providers.compute import images

LOCATION = "westeurope"
PLAN = {"publisher": "azurecyclecloud", "product": "azure-cyclecloud", "name": "cyclecloud8-gen2"}
PATH = (PLAN["publisher"], PLAN["product"], PLAN["name"])
VM = "rg/Microsoft.Compute/virtualMachines/vm"


@pytest.fixture(autouse=True)
def nothing_accepted(fast_emulator):
    fast_emulator.engine.store.set("marketplaceTerms", {})


def test_terms_are_read_accepted_and_withdrawn(sdk, fast_emulator):
    agreements = sdk.marketplace.marketplace_agreements
    terms = agreements.get("virtualmachine", *PATH)
    assert (terms.accepted, terms.publisher, terms.product, terms.plan) == (False, *PATH)
    assert terms.license_text_link
    with pytest.raises(HttpResponseError) as error:
        agreements.create("virtualmachine", *PATH, {"properties": {"accepted": True, "signature": "x"}})
    assert error.value.error.code == "BadRequest"
    # What az and Terraform do: send back what was read, accepted.
    terms.accepted = True
    assert agreements.create("virtualmachine", *PATH, terms).accepted
    assert agreements.get("virtualmachine", *PATH).accepted
    assert [found.state for found in agreements.list().value] == ["Active"]
    assert agreements.cancel(*PATH).state == "Canceled"
    assert agreements.get_agreement(*PATH).state == "Canceled"
    assert not agreements.get("virtualmachine", *PATH).accepted
    assert agreements.sign(*PATH).state == "Active"
    assert agreements.get("virtualmachine", *PATH).accepted
    with pytest.raises(HttpResponseError) as error:
        agreements.get("virtualmachine", "Canonical", "ubuntu-24_04-lts", "server")
    assert (error.value.status_code, error.value.error.code) == (400, "BadRequest")


async def test_a_machine_with_a_plan_needs_accepted_terms(http):
    body = {"location": LOCATION, "plan": PLAN, "properties": {"hardwareProfile": {"vmSize": "Standard_D4s_v5"}}}
    status, document, _ = await http.call("PUT", VM, body)
    assert (status, document["error"]["code"]) == (400, "ResourcePurchaseValidationFailed")
    assert (
        "You have not accepted the legal terms on this subscription: '" + SUBSCRIPTION in document["error"]["message"]
    )
    assert (
        "publisher='azurecyclecloud' offer = 'azure-cyclecloud', sku = 'cyclecloud8-gen2'"
        in (document["error"]["message"])
    )
    http.emulator.store.set("marketplaceRefusal", "MarketplacePurchaseEligibilityFailed")
    status, document, _ = await http.call("PUT", VM, body)
    assert (status, document["error"]["code"]) == (400, "MarketplacePurchaseEligibilityFailed")
    assert document["error"]["details"][0]["code"] == "BadRequest"
    unsold = {**body, "plan": {**PLAN, "name": "nope"}}
    assert await http.code("PUT", VM, unsold) == (400, "MarketplacePurchaseEligibilityFailed")
    sign = f"{http.subscription}/providers/Microsoft.MarketplaceOrdering/agreements/{PLAN['publisher']}/offers/"
    status, _, _ = await http.call("POST", f"{sign}{PLAN['product']}/plans/{PLAN['name']}/sign")
    assert status == 200
    # Past the purchase, it is the machine's own turn to refuse.
    code = await http.code("PUT", VM, body)
    assert code[1] not in ("ResourcePurchaseValidationFailed", "MarketplacePurchaseEligibilityFailed")


def test_the_plan_must_be_that_of_the_image(fast_emulator):
    engine = fast_emulator.engine
    reference = {"publisher": PLAN["publisher"], "offer": PLAN["product"], "sku": PLAN["name"], "version": "latest"}
    row = images.find(engine, reference)
    assert images.plan_of(row) == PLAN

    class Creation:
        exists, id = False, "/subscriptions/s/vm"

        def __init__(self, plan):
            self.engine, self.body = engine, {"plan": plan}

    assert images.missing_plan(Creation(PLAN), reference) is None
    for plan in (None, {}, {**PLAN, "product": "other"}):
        assert images.missing_plan(Creation(plan), reference).code == "VMMarketplaceInvalidInput"
    free = {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"}
    assert images.missing_plan(Creation(None), free) is None
