"""The delay queue: one worker per key, the earliest time counts."""

import asyncio

from hpc_operator.kubernetes_host.queue import KeyQueue
from hpc_operator.reconcile.ports import Key

A, B = Key("n", "a"), Key("n", "b")


async def test_a_key_is_given_out_once_however_often_it_was_added():
    queue = KeyQueue()
    queue.add(A)
    queue.add(A)
    assert await queue.get() == A
    assert len(queue) == 0


async def test_the_earlier_time_counts():
    queue = KeyQueue()
    queue.add(A, after=3600)
    queue.add(A)
    assert await queue.get() == A


async def test_a_later_time_does_not_postpone():
    queue = KeyQueue()
    queue.add(A)
    queue.add(A, after=3600)
    assert await queue.get() == A


async def test_a_key_that_is_worked_on_waits_until_it_is_done():
    queue = KeyQueue()
    queue.add(A)
    assert await queue.get() == A
    queue.add(A)
    queue.add(B)
    assert await queue.get() == B
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.done(A)
    assert await waiting == A


async def test_a_key_that_is_worked_on_and_due_again_does_not_keep_the_queue_spinning():
    queue = KeyQueue()
    queue.add(A)
    await queue.get()
    queue.add(A)
    waiting = asyncio.create_task(queue.get())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    queue.add(B, after=0.001)
    assert await waiting == B
