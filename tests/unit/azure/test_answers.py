"""What is remembered, for how long, and who waits for whom."""

import asyncio

import pytest

from hpc_operator.azure.answers import Answers


class Clock:
    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


class Oracle:
    """Answers with the number of the question, when it may."""

    def __init__(self):
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def __call__(self):
        self.asked += 1
        number = self.asked
        await self.may_answer.wait()
        return number


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def answers(clock):
    return Answers(clock)


@pytest.fixture
def oracle():
    return Oracle()


async def test_an_answer_is_good_for_its_lifetime(answers, clock, oracle):
    oracle.may_answer.set()
    seen = []
    for clock.time in (0, 9.9, 10, 19.9, 20):
        seen.append(await answers.get("a", 10, oracle))
    assert seen == [1, 1, 2, 2, 3]
    assert await answers.get("b", 10, oracle) == 4


async def test_who_asks_meanwhile_gets_the_same_answer(answers, clock, oracle):
    first = asyncio.ensure_future(answers.get("a", 10, oracle))
    await asyncio.sleep(0)
    clock.time = 100  # it takes longer than the answer will live
    second = asyncio.ensure_future(answers.get("a", 10, oracle))
    await asyncio.sleep(0)
    oracle.may_answer.set()
    assert await asyncio.gather(first, second) == [1, 1]


async def test_who_gives_up_does_not_end_it_for_the_others(answers, oracle):
    first = asyncio.ensure_future(answers.get("a", 10, oracle))
    second = asyncio.ensure_future(answers.get("a", 10, oracle))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    oracle.may_answer.set()
    assert await second == 1
    assert first.cancelled()


async def test_a_failure_is_everybodys_and_is_forgotten(answers):
    asked = []

    async def fail():
        asked.append(1)
        await asyncio.sleep(0)
        msg = "no"
        raise ValueError(msg)

    found = await asyncio.gather(answers.get("a", 10, fail), answers.get("a", 10, fail), return_exceptions=True)
    assert [str(error) for error in found] == ["no", "no"]
    assert len(asked) == 1
    with pytest.raises(ValueError, match="no"):
        await answers.get("a", 10, fail)
    assert len(asked) == 2


async def test_old_answers_are_dropped(answers, clock, oracle):
    oracle.may_answer.set()
    for number in range(5):
        await answers.get(number, 10, oracle)
    clock.time = 11
    await answers.get("new", 10, oracle)
    assert len(answers._kept) == 1
