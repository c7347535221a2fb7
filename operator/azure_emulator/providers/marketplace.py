"""Microsoft.MarketplaceOrdering: the terms of images that are bought, and who has accepted them.

What is accepted is kept by subscription and plan. `require_terms` is asked by a gate before any virtual machine with a
plan is created, as ARM does it; that a machine names the plan of its image is Compute's own check (compute/images.py).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.compute import images
from azure_emulator.types import Answer, Call, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError

NAMESPACE = "Microsoft.MarketplaceOrdering"
_OFFER_TYPES = f"{NAMESPACE}/offertypes"
_CURRENT = f"{NAMESPACE}/offerTypes/publishers/offers/plans/agreements"
_PLAN = f"{NAMESPACE}/agreements/offers/plans"
# Who buys: the types whose bodies carry a plan that is checked.
_BUYERS = frozenset({"microsoft.compute/virtualmachines", "microsoft.compute/virtualmachinescalesets"})
# Both codes are seen for terms that were not accepted, in public traces of the same years. Setting
# `marketplaceRefusal` chooses; the default is what SDKs and Terraform report for a direct PUT.
REFUSALS = ("ResourcePurchaseValidationFailed", "MarketplacePurchaseEligibilityFailed")


def _key(subscription: str, plan: Mapping[str, Any]) -> str:
    return "/".join((subscription, plan["publisher"], plan["product"], plan["name"])).lower()


def _accepted(engine: Engine) -> dict[str, Any]:
    return dict(engine.setting("marketplaceTerms", {}))


def require_terms(engine: Engine, subscription: str, plan: Mapping[str, Any]) -> None:
    """Refuse a purchase whose terms the subscription has not accepted, or of what is not sold."""
    named = {key: str(plan.get(key) or "") for key in ("publisher", "product", "name")}
    offer = f"Offer with PublisherId: '{named['publisher']}', OfferId: '{named['product']}'"
    if images.by_plan(engine, named["publisher"], named["product"], named["name"]) is None:
        raise _ineligible(f"{offer} cannot be purchased due to validation errors. For more information see details. "
                          f"The Plan: '{named['name']}' was not found.")  # fmt: skip
    if _accepted(engine).get(_key(subscription, named), {}).get("accepted"):
        return
    text = (
        f"You have not accepted the legal terms on this subscription: '{subscription}' for this plan. Before the "
        "subscription can be used, you need to accept the legal terms of the image. To read and accept legal terms, "
        "use the Azure CLI commands described at https://go.microsoft.com/fwlink/?linkid=2110637 or the PowerShell "
        "commands available at https://go.microsoft.com/fwlink/?linkid=862451. Alternatively, deploying via the Azure "
        "portal provides a UI experience for reading and accepting the legal terms. Offer details: "
        f"publisher='{named['publisher']}' offer = '{named['product']}', sku = '{named['name']}', Correlation Id: "
        f"'{engine.guid()}'."
    )
    if engine.setting("marketplaceRefusal", REFUSALS[0]) == REFUSALS[1]:
        raise _ineligible(f"{offer} cannot be purchased due to validation errors. For more information see details. "
                          f"{text}")  # fmt: skip
    raise errors.bad_request(REFUSALS[0], f"User failed validation to purchase resources. Error message: '{text}'")


def _ineligible(detail: str) -> ArmError:
    return errors.ArmError(
        errors.BAD_REQUEST,
        REFUSALS[1],
        # The spelling is Azure's.
        "Marketplace purchase eligibilty check returned errors. See inner errors for details. ",
        details=[{"code": "BadRequest", "message": detail}],
    )


def _gate(call: Call, action: str) -> None:
    """Terms are asked of whoever creates something that carries a plan."""
    type_name, _, verb = action.lower().rpartition("/")
    if verb != "write" or type_name not in _BUYERS or not isinstance(call.body, dict):
        return
    plan = call.body.get("plan")
    if isinstance(plan, dict) and plan and call.engine.store.get(call.path.text) is None:
        require_terms(call.engine, call.subscription, plan)


# -- agreements ------------------------------------------------------------------------------------------------------


def _plan_in(call: Call) -> dict[str, str]:
    """The plan that a path names, which must be one that is sold."""
    names = call.path.names
    if call.path.types[0].lower() == "offertypes":
        if names[0].lower() != "virtualmachine":
            raise errors.invalid_parameter("offerType", names[0], "Allowed values are virtualmachine.")
        names = names[1:]
    publisher, offer, plan = names[:3]
    row = images.by_plan(call.engine, publisher, offer, plan)
    if row is None:
        raise errors.bad_request(
            "BadRequest",
            f"Offer with PublisherId: '{publisher}', OfferId: '{offer}' not found. Consider the following solutions: "
            "1: Check to see if offer details are correct 2: If this offer is created recently, please allow up to "
            "30min for this offer to be available for purchase 3: If the offer is removed from the marketplace for new "
            "purchase. See similar offers here 'https://azuremarketplace.microsoft.com'.",
        )
    return images.plan_of(row)


def _signature(call: Call, plan: Mapping[str, str]) -> str:
    return hashlib.sha256(f"{call.engine.seed}|{_key('', plan)}".encode()).hexdigest().upper()


def _terms(call: Call, plan: dict[str, str]) -> dict[str, Any]:
    kept = _accepted(call.engine).get(_key(call.subscription, plan), {})
    legal = "https://mpcprodsa.blob.core.windows.net"
    return {
        "id": f"/subscriptions/{call.subscription}/providers/{_OFFER_TYPES}/virtualmachine/publishers/"
        f"{plan['publisher']}/offers/{plan['product']}/plans/{plan['name']}/agreements/current",
        "name": plan["name"],
        "type": _OFFER_TYPES,
        "properties": {
            "publisher": plan["publisher"], "product": plan["product"], "plan": plan["name"],
            "licenseTextLink": f"{legal}/legalterms/{plan['publisher']}-{plan['product']}.txt",
            "privacyPolicyLink": f"https://{plan['publisher']}.example/privacy",
            "marketplaceTermsLink": f"{legal}/marketplaceterms/MARKETPLACE.txt",
            "retrieveDatetime": call.engine.clock.iso(call.engine.now), "signature": _signature(call, plan),
            "accepted": bool(kept.get("accepted")),
        },
    }  # fmt: skip


def _get_terms(call: Call) -> Answer:
    return Answer(200, _terms(call, _plan_in(call)))


def _put_terms(call: Call) -> Answer:
    plan = _plan_in(call)
    asked = bodies.get(call.body if isinstance(call.body, dict) else {}, "properties") or {}
    accepted = asked.get("accepted")
    if not isinstance(accepted, bool):
        raise errors.bad_request("BadRequest", "The terms body needs properties.accepted: true or false.")
    if asked.get("signature") not in (None, _signature(call, plan)):
        # That the terms must be read before they are accepted is documented; the wording is an assumption.
        raise errors.bad_request("BadRequest", "The signature is not that of the current terms: read them again.")
    _keep(call, plan, accepted=accepted)
    return Answer(200, _terms(call, plan))


def _sign(call: Call) -> Answer:
    plan = _plan_in(call)
    _keep(call, plan, accepted=True)
    return Answer(200, _both(call, plan))


def _cancel(call: Call) -> Answer:
    plan = _plan_in(call)
    _keep(call, plan, accepted=False)
    return Answer(200, _both(call, plan))


def _keep(call: Call, plan: dict[str, str], *, accepted: bool) -> None:
    kept = _accepted(call.engine)
    key = _key(call.subscription, plan)
    moment = call.engine.clock.iso(call.engine.now)
    row = {"plan": plan, "subscription": call.subscription, "signDate": moment, **kept.get(key, {})}
    row |= {"accepted": accepted, "signDate" if accepted else "cancelDate": moment}
    call.engine.store.set("marketplaceTerms", {**kept, key: row})


def _agreement(row: Mapping[str, Any]) -> dict[str, Any]:
    plan = row["plan"]
    properties = {
        "id": hashlib.sha256(_key(row["subscription"], plan).encode()).hexdigest()[:32], "publisher": plan["publisher"],
        "offer": plan["product"], "signDate": row["signDate"], "state": "Active" if row["accepted"] else "Canceled",
    }  # fmt: skip
    if not row["accepted"]:
        properties["cancelDate"] = row["cancelDate"]
    return {
        "id": f"/subscriptions/{row['subscription']}/providers/{NAMESPACE}/agreements/{plan['publisher']}/offers/"
        f"{plan['product']}/plans/{plan['name']}",
        "name": plan["name"],
        "type": f"{NAMESPACE}/agreements",
        "properties": properties,
    }


def _both(call: Call, plan: dict[str, str]) -> dict[str, Any]:
    """Terms and agreement in one: of these operations the SDKs read the one, and newer examples show the other."""
    row = _accepted(call.engine).get(_key(call.subscription, plan))
    terms = _terms(call, plan)
    if row is not None:
        terms["properties"] |= _agreement(row)["properties"]
    return terms


def _get_agreement(call: Call) -> Answer:
    return Answer(200, _both(call, _plan_in(call)))


def _list_agreements(call: Call) -> Answer:
    rows = _accepted(call.engine).values()
    return Answer(200, {"value": [
        _agreement(row) for row in rows if bodies.same(row["subscription"], call.subscription)
    ]})  # fmt: skip


PROVIDER = Provider(
    namespace=NAMESPACE,
    functions={
        ("GET", _CURRENT): _get_terms,
        ("PUT", _CURRENT): _put_terms,
        ("GET", _PLAN): _get_agreement,
        ("GET", f"{NAMESPACE}/agreements"): _list_agreements,
        ("POST", f"{_PLAN}/sign"): _sign,
        ("POST", f"{_PLAN}/cancel"): _cancel,
    },
    gates=(_gate,),
)
