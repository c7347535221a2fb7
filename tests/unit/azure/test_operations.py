"""The poller, with a server that is a script: what it asks, when it ends, and with what."""

import asyncio

import pytest

from hpc_operator.arm import CALLER, AzureError, ErrorClass, Handle, Outcome, is_final, provisioning_state
from hpc_operator.azure.errors import azure_error
from hpc_operator.azure.operations import URL_FAILURES, Answer, Operations, retry_after

VM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
URL = "https://arm/operations/1"
NOW = "2999-01-01T00:00:00+00:00"  # younger than any run of these tests takes
LONG_AGO = "2020-01-01T00:00:00+00:00"


def document(status, **more):
    return Answer(200, {"status": status, **more}, {})


def resource(state):
    return {"properties": {"provisioningState": state}}


def refusal(status, code="X"):
    return azure_error(status, {"error": {"code": code, "message": "No."}})


class Script:
    """Answers in turn; the last one again and again."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.asked = []

    async def __call__(self, what):
        self.asked.append(what)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
async def follow():
    """Follows a handle through scripts and returns how it ended."""
    pollers = []

    async def followed(*, verb="PUT", url=URL, start=NOW, urls=(), resources=(), require=lambda url: None):
        asked, got = Script(urls), Script(resources)
        poller = Operations(ask=asked, get=got, require=require, interval=0.001, backoff=0.001)
        pollers.append(poller)
        handle = Handle(VM, verb, url, start)
        ended = asyncio.get_running_loop().create_future()
        poller.follow(handle, ended.set_result, 0)
        outcome = await asyncio.wait_for(ended, 10)
        assert outcome.handle == handle
        assert len(poller) == 0
        return outcome, asked.asked, got.asked

    yield followed
    for poller in pollers:
        await poller.close()


async def test_a_status_document_tells_the_end_and_the_resource_is_not_asked(follow):
    outcome, asked, got = await follow(urls=[document("InProgress"), document("Running"), document("Succeeded")])
    assert outcome.error is None
    assert (asked, got) == ([URL] * 3, [])


async def test_words_that_azure_may_use_for_an_end():
    assert [is_final(word) for word in ("succeeded", "failed", "canceled", "cancelled", "updating")] == [True] * 4 + [
        False
    ]
    assert provisioning_state({"id": "x"}) == provisioning_state(None) == "succeeded"
    assert provisioning_state(resource("ResolvingDNS")) == "resolvingdns"


async def test_an_operation_that_fails_later_tells_azures_code(follow):
    error = {"code": "AllocationFailed", "message": "No room."}
    outcome, _, _ = await follow(urls=[document("InProgress"), document("Failed", error=error)])
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.status) == ("AllocationFailed", 0)
    assert outcome.error.error_class is ErrorClass.CAPACITY


async def test_an_operation_that_fails_without_a_word(follow):
    outcome, _, _ = await follow(urls=[document("Canceled")])
    assert outcome.error is not None
    assert "Canceled" in outcome.error.message
    assert VM in outcome.error.message


async def test_location_ends_with_anything_but_202_and_may_move(follow):
    moved = Answer(202, None, {"Location": URL + "/moved"})
    outcome, asked, _ = await follow(urls=[Answer(202, None, {}), moved, Answer(204, None, {})])
    assert outcome.error is None
    assert asked == [URL, URL, URL + "/moved"]


async def test_location_may_end_with_the_resource(follow):
    outcome, _, _ = await follow(urls=[Answer(200, resource("Succeeded"), {})])
    assert outcome.error is None


async def test_location_may_end_with_a_refusal(follow):
    blocked = refusal(409, "ResourceGroupDeletionBlocked")
    outcome, asked, got = await follow(verb="DELETE", urls=[blocked], resources=[resource("Succeeded")])
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.status) == ("ResourceGroupDeletionBlocked", 0)
    assert outcome.error.error_class is ErrorClass.ORDERING
    assert (asked, got) == ([URL], [VM])


@pytest.mark.parametrize(("state", "code"), [("Failed", "InternalServerError"), ("Succeeded", None)])
async def test_a_location_that_only_ever_fails_may_be_how_it_ended_and_the_resource_tells(follow, state, code):
    failing = refusal(500, "InternalServerError")
    outcome, asked, got = await follow(urls=[failing], resources=[resource("Creating"), resource(state)])
    assert (outcome.error.code if outcome.error else None) == code
    assert (len(asked), len(got)) == (URL_FAILURES + 1, 2)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_url_that_is_gone_makes_it_ask_the_resource(follow, status):
    states = [resource("Creating"), resource("Succeeded")]
    outcome, asked, got = await follow(urls=[document("InProgress"), refusal(status)], resources=states)
    assert outcome.error is None
    assert (asked, got) == ([URL] * 2, [VM] * 2)


async def test_questions_that_fail_are_asked_again(follow):
    answers = [refusal(503), refusal(401), refusal(429), refusal(500), document("Succeeded")]
    outcome, asked, got = await follow(urls=answers)
    assert outcome.error is None
    assert (len(asked), got) == (5, [])


async def test_a_bug_in_asking_is_logged_and_asked_again(follow, caplog):
    outcome, _, _ = await follow(urls=[RuntimeError("bug"), document("Succeeded")])
    assert outcome.error is None
    assert VM in caplog.text


async def test_a_foreign_url_is_never_asked_but_the_resource_is(follow):
    def require(url):
        raise AzureError("foreign", code="ForeignUrl", status=0, error_class=ErrorClass.PERMANENT)

    outcome, asked, got = await follow(urls=[document("Succeeded")], resources=[resource("Succeeded")], require=require)
    assert outcome.error is None
    assert (asked, got) == ([], [VM])


@pytest.mark.parametrize(
    ("verb", "start", "resources", "code"),
    [
        ("PUT", NOW, [resource("Creating"), resource("Succeeded")], None),
        ("PUT", NOW, [{"id": VM}], None),
        ("PATCH", NOW, [resource("Updating"), resource("Failed")], "OperationFailed"),
        ("PUT", NOW, [None, None, resource("Creating"), resource("Succeeded")], None),
        ("PUT", LONG_AGO, [None], "OperationFailed"),
        ("PUT", "yesterday", [None], "OperationFailed"),
        ("PUT", NOW, [refusal(503), resource("Succeeded")], None),
        ("PUT", NOW, [refusal(403, "AuthorizationFailed")], "AuthorizationFailed"),
        ("DELETE", NOW, [resource("Deleting"), None], None),
        ("DELETE", NOW, [resource("Succeeded"), resource("Succeeded"), None], None),
        ("DELETE", LONG_AGO, [resource("Deleting"), None], None),
        ("DELETE", LONG_AGO, [resource("Succeeded")], "OperationFailed"),
        ("DELETE", NOW, [resource("Deleting"), resource("Failed")], "OperationFailed"),
    ],
)
async def test_without_a_url_the_resource_tells(follow, verb, start, resources, code):
    outcome, asked, _ = await follow(verb=verb, url="", start=start, resources=resources)
    assert (outcome.error.code if outcome.error else None) == code
    assert asked == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "17", "retry-after-ms": "250"}, 0.25),
        ({"Retry-After": "17", "x-ms-retry-after-ms": "250"}, 0.25),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "86400"}, 600),
        ({"retry-after-ms": "1"}, 0.01),
    ],
)
def test_how_long_azure_wants_us_to_wait(headers, seconds):
    assert retry_after(headers) == seconds


def poller(ask, **options):
    return Operations(ask=ask, get=Script([None]), require=lambda url: None, **options)


async def test_retry_after_counts_before_our_own_interval():
    answers = Script([Answer(200, {"status": "InProgress"}, {"retry-after-ms": "1"}), document("Succeeded")])
    operations = poller(answers, interval=3600)
    ended = asyncio.get_running_loop().create_future()
    operations.follow(Handle(VM, "PUT", URL, NOW), ended.set_result, 0.0)
    await asyncio.wait_for(ended, 10)
    await operations.close()


async def test_the_same_handle_is_followed_once_and_told_once():
    asked, outcomes = Script([document("InProgress"), document("Succeeded")]), []
    operations = poller(asked, interval=0.001)
    handle = Handle(VM, "PUT", URL, NOW)
    ended = asyncio.Event()

    def done(outcome):
        outcomes.append(outcome)
        ended.set()

    operations.follow(handle, lambda outcome: pytest.fail("replaced"), 0)
    operations.follow(Handle(VM.upper(), "PUT", URL, "another spelling of the time"), done, 0)
    assert len(operations) == 1
    await asyncio.wait_for(ended.wait(), 10)
    assert outcomes == [Outcome(handle)]
    assert len(asked.asked) == 2
    await operations.close()


async def test_two_operations_on_one_resource_are_two():
    operations = poller(Script([document("Succeeded")]))
    operations.follow(Handle(VM, "PUT", URL, NOW), print)
    operations.follow(Handle(VM, "DELETE", URL, NOW), print)
    assert len(operations) == 2
    await operations.close()


async def test_what_is_forgotten_is_not_told():
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def ask(url):
        under_way.set()
        await go_on.wait()
        return document("Succeeded")

    operations = poller(ask, interval=0.001)
    operations.follow(Handle(VM, "PUT", URL, NOW), lambda outcome: pytest.fail("forgotten"), 0)
    await under_way.wait()
    operations.forget(VM.upper())
    go_on.set()
    other = asyncio.get_running_loop().create_future()
    operations.follow(Handle(VM + "2", "PUT", URL, NOW), other.set_result, 0)
    await asyncio.wait_for(other, 10)
    await operations.close()


async def test_a_listener_that_fails_does_not_stop_the_others(caplog):
    operations = poller(Script([document("Succeeded")]))
    ended = asyncio.get_running_loop().create_future()

    def fail(outcome):
        raise RuntimeError("listener")

    operations.follow(Handle(VM, "PUT", URL, NOW), fail, 0)
    operations.follow(Handle(VM + "2", "PUT", URL, NOW), ended.set_result, 0.01)
    await asyncio.wait_for(ended, 10)
    assert "listener" in caplog.text
    await operations.close()


async def test_thousands_are_followed_with_few_questions_at_a_time():
    running, most = 0, 0

    async def ask(url):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return document("Succeeded")

    operations = poller(ask)
    left, empty = 2000, asyncio.Event()

    def done(outcome):
        nonlocal left
        left -= 1
        if not left:
            empty.set()

    for number in range(2000):
        operations.follow(Handle(f"{VM}{number}", "PUT", URL, NOW), done, 0)
    assert len(asyncio.all_tasks()) <= 3
    await asyncio.wait_for(empty.wait(), 30)
    assert 1 < most <= 32
    await operations.close()


async def test_everybody_asks_in_the_own_name_and_not_behind_others():
    waiting, asked = asyncio.Event(), []

    async def ask(url):
        asked.append(CALLER.get())
        if CALLER.get() == "huge":
            await waiting.wait()
        return document("Succeeded")

    operations, ended = poller(ask), asyncio.get_running_loop().create_future()
    CALLER.set("huge")
    for number in range(100):
        operations.follow(Handle(f"{VM}{number}", "PUT", URL, NOW), lambda _: None, 0)
    CALLER.set("small")
    operations.follow(Handle(VM, "PUT", URL, NOW), ended.set_result, 0)
    CALLER.set("")
    await asyncio.wait_for(ended, 5)
    assert (asked.count("huge"), asked.count("small")) == (32, 1)
    await operations.close()


async def test_closing_ends_questions_that_are_under_way():
    cancelled = asyncio.Event()

    async def ask(url):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    operations = poller(ask)
    operations.follow(Handle(VM, "PUT", URL, NOW), lambda outcome: pytest.fail("closed"), 0)
    await asyncio.sleep(0.01)
    await operations.close()
    assert cancelled.is_set()
    await operations.close()
