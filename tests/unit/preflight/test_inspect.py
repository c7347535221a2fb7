"""All checks together: what is asked, and what becomes of questions that Azure does not answer."""

import pytest

from hpc_operator.preflight import Check, inspect
from hpc_operator.subscription import Image, Permissions

from .conftest import PLENTY, net_app, partition, size, surroundings, usages

URN = "microsoft-dsvm:ubuntu-hpc:2204:22.4.1"


async def test_all_is_well(subscription):
    inspection = await inspect(subscription, surroundings(tiers=[net_app()]))
    assert inspection.findings == ()
    assert inspection.unknown == {}
    assert len(subscription.asked) == len(set(subscription.asked))


async def troubled(subscription):
    site = surroundings(tiers=[net_app()])
    subscription.sizes = size("Standard_HB176rs_v4", spot=False, unavailable="QuotaId")
    subscription.used = {
        "Microsoft.Compute": PLENTY | usages(standardHBv4Family=176),
        "Microsoft.NetApp": usages(totalTiBsPerSubscription=0),
    }
    subscription.images = {URN: Image(exists=False)}
    subscription.states = {"microsoft.netapp": "NotRegistered"}
    account = next(item for item in site.resources if item.type == "Microsoft.Storage/storageAccounts")
    subscription.taken = {account.name: "taken"}
    subscription.grants = {"/".join(account.id.split("/")[:3]): Permissions(grants=((("*/read", "*/write"), ()),))}
    return site


FOUND = [
    Check.QUOTA, Check.SIZES, Check.IMAGES, Check.STORAGE, Check.NAMES, Check.PROVIDERS, Check.RIGHTS
]  # fmt: skip


async def test_findings_come_in_the_order_of_checks_and_the_same_every_time(subscription):
    site = await troubled(subscription)
    first, second = await inspect(subscription, site), await inspect(subscription, site)
    assert [finding.check for finding in first.findings] == FOUND
    assert first == second


@pytest.mark.parametrize(
    ("question", "checks"),
    [
        ("vm_sizes", {Check.QUOTA, Check.SIZES}),
        ("usages", {Check.QUOTA, Check.STORAGE}),
        ("image", {Check.IMAGES}),
        ("registrations", {Check.PROVIDERS}),
        ("name_taken", {Check.NAMES}),
        ("permissions", {Check.PROVIDERS, Check.RIGHTS}),
    ],
)
async def test_what_azure_does_not_answer_is_unknown_and_no_finding(subscription, question, checks):
    site = await troubled(subscription)
    subscription.silent = frozenset({question})
    inspection = await inspect(subscription, site)
    assert inspection.unknown == dict.fromkeys(checks, "Azure did not answer (AuthorizationFailed: no)")
    assert [finding.check for finding in inspection.findings] == [check for check in FOUND if check not in checks]


@pytest.mark.parametrize("check", FOUND)
async def test_one_check_alone_finds_the_same_and_asks_for_no_more(subscription, check):
    site = await troubled(subscription)
    everything = (await inspect(subscription, site)).findings
    subscription.asked.clear()
    inspection = await inspect(subscription, site, only={check})
    assert inspection.findings == tuple(finding for finding in everything if finding.check is check)
    questions = {
        Check.QUOTA: {"vm_sizes", "usages"},
        Check.SIZES: {"vm_sizes"},
        Check.IMAGES: {"image"},
        Check.STORAGE: {"usages"},
        Check.NAMES: {"name_taken"},
        Check.PROVIDERS: {"registrations", "permissions"},
        Check.RIGHTS: {"permissions"},
    }
    assert {question for question, *_ in subscription.asked} == questions[check]


async def test_a_mistake_of_ours_is_not_taken_for_silence(subscription):
    async def broken(location):
        raise KeyError(location)

    subscription.vm_sizes = broken
    with pytest.RaisesGroup(KeyError):
        await inspect(subscription, surroundings(partitions=[partition()]))
