"""Which of several operator processes acts: a Lease, and a fence that falls before the Lease can be anybody else's.

docs/decisions/0006-our-own-lease-election.md says why the client's own election does not do.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from kubernetes.aio import client

from hpc_operator.kubernetes_host.errors import UNREACHABLE, explain

logger = logging.getLogger(__name__)

LEASE_SECONDS = 10
"""How long a holder that says nothing more is believed. With one look of the stand-by before it and the request after
it, a dead leader is followed within 13 s."""
RENEW_SECONDS = 7.0
"""How long after a renewal the holder believes itself: what it sent by then has 3 s to arrive before another acts."""
RETRY_SECONDS = 2.0
"""From one renewal, or one look of a stand-by, to the next: two more tries fit in when one gets no answer."""
SHORTEST_WAIT_SECONDS = 0.5
"""Between two tries where the answer is an error and comes at once."""
JITTER = 0.2
"""Share by which the waits vary, so that processes do not ask in step."""
REQUEST_SECONDS = 2.0
"""Longest wait for an answer about the Lease."""
LOST_EXIT_CODE = 1

Lease = Mapping[str, Any]
"""As the API server writes it."""

_FAILURES = (client.ApiException, *UNREACHABLE)
_GONE = 404
_CONFLICT = 409
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux's goes on while the machine is suspended


class NotLeadingError(Exception):
    """Something was to be written by a process that does not, or not for certain, hold the Lease."""


class LeadershipLostError(Exception):
    """The Lease is not ours any more; the process has to end."""


class Leadership:
    """One process in the election.

    Parameters
    ----------
    namespace, name
        Of the Lease; the same for all processes of one installation.
    identity
        Of this process, by default the host's name, which is the pod's, and something that no other process has, not
        even its successor in the same pod.
    end
        Ends the process, given the reason. Called from a thread of its own: the event loop may be what is stuck.
    """

    def __init__(
        self, namespace: str, name: str, identity: str = "", *, end: Callable[[str], None] | None = None
    ) -> None:
        self.identity = identity or f"{socket.gethostname()}_{uuid.uuid4()}"
        self.acquired = asyncio.Event()
        self._namespace = namespace
        self._name = name
        self._end = end or _end_process
        self._changed = threading.Condition()
        self._good_until = -math.inf
        self._released = False
        self._lease: Lease = {}

    def holds(self) -> bool:
        """Return whether the Lease is certainly ours at this moment.

        To be asked right before every write: after a stalled event loop, a stopped process or a suspended machine it is
        False at once, whatever the API server was told last.
        """
        return _now() < self._good_until

    async def run(self, api: client.ApiClient) -> None:
        """Wait for the Lease, set `acquired`, and renew it until it is lost or this is cancelled.

        Raises
        ------
        LeadershipLostError
            If another process holds it, or it could not be renewed in time.
        """
        leases = _Leases(api, self._namespace, self._name)
        await self._acquire(leases)
        threading.Thread(target=self._watch_over, name="leadership", daemon=True).start()
        logger.info("%s leads: it holds the %s", self.identity, leases)
        self.acquired.set()
        while True:
            await asyncio.sleep(_jittered(RETRY_SECONDS))
            while not await self._renew(leases):
                if not self.holds():
                    self._lose("the Lease could not be renewed in time")

    async def release(self, api: client.ApiClient) -> None:
        """Let the Lease go, so that a stand-by need not wait until it runs out; `run` must have ended.

        Nothing may be written after this.
        """
        held = self.holds()
        with self._changed:
            self._good_until, self._released = -math.inf, True
            self._changed.notify_all()
        if not held:
            return
        leases = _Leases(api, self._namespace, self._name)
        try:
            lease = await leases.read()  # a renewal may have been cut off halfway
            if lease is not None and _spec(lease).get("holderIdentity") == self.identity:
                await leases.patch(lease, {"holderIdentity": None})
        except _FAILURES as error:
            logger.warning("the %s runs out by itself, because it was not released: %s", leases, explain(error))

    async def _acquire(self, leases: _Leases) -> None:
        seen: Any = None
        seen_at, said = _now(), ""
        while True:
            started, expires = _now(), math.inf
            try:
                lease = await leases.read()
                spec = _spec(lease)
                # Compared and not read as a time: the holder's clock may differ from ours.
                if (state := (spec.get("holderIdentity"), spec.get("renewTime"))) != seen:
                    seen, seen_at = state, _now()
                expires = seen_at + spec.get("leaseDurationSeconds", LEASE_SECONDS)
                # Ours already, if the answer to an earlier try was lost.
                if spec.get("holderIdentity", "") in {"", self.identity} or _now() >= expires:
                    await self._take(leases, lease)
                    return
                text, level = f"{spec['holderIdentity']} leads; {self.identity} stands by", logging.INFO
            except _FAILURES as error:
                # A conflict is no failure: another one that stood by was quicker.
                level = logging.INFO if getattr(error, "status", None) == _CONFLICT else logging.WARNING
                text = f"the {leases} was not taken: {explain(error)}"
            if text != said:
                logger.log(level, text)
                said = text
            next_look = min(started + _jittered(RETRY_SECONDS), max(expires, started + SHORTEST_WAIT_SECONDS))
            await asyncio.sleep(max(0.0, next_look - _now()))

    async def _take(self, leases: _Leases, lease: Lease | None) -> None:
        started, now = _now(), _micro_time()
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": _spec(lease).get("leaseTransitions", -1) + 1,
        }
        self._hold(await (leases.create(spec) if lease is None else leases.patch(lease, spec)), started)

    async def _renew(self, leases: _Leases) -> bool:
        """Try once; return whether it is renewed.

        Raises
        ------
        LeadershipLostError
            If another process holds the Lease, or it is gone.
        """
        started = _now()
        try:
            self._hold(await leases.patch(self._lease, {"renewTime": _micro_time()}), started)
        except _FAILURES as error:
            if getattr(error, "status", None) not in {_GONE, _CONFLICT}:
                logger.warning("the %s was not renewed: %s", leases, explain(error))
                await asyncio.sleep(max(0.0, started + SHORTEST_WAIT_SECONDS - _now()))
                return False
        else:
            return True
        try:
            lease = await leases.read()
        except _FAILURES as error:
            logger.warning("the %s was not read: %s", leases, explain(error))
            return False
        holder = _spec(lease).get("holderIdentity")
        if lease is None or holder != self.identity:
            self._lose(f"{holder or 'nobody'} holds the {leases}")
        self._lease = lease  # our own renewal, whose answer was lost, or somebody's label: now it fits
        return False

    def _hold(self, lease: Lease, asked_at: float) -> None:
        self._lease = lease
        with self._changed:
            # From before the request: whoever sees the renewal sees it later, and waits longer.
            self._good_until = asked_at + RENEW_SECONDS
            self._changed.notify_all()

    def _lose(self, reason: str) -> NoReturn:
        with self._changed:
            self._good_until = -math.inf
            self._changed.notify_all()
        raise LeadershipLostError(reason)

    def _watch_over(self) -> None:
        """End the process when it does not hold the Lease any more, whatever the event loop is doing."""
        with self._changed:
            while not self._released:
                left = self._good_until - _now()
                if left <= 0:
                    break
                self._changed.wait(left)
            else:
                return
        self._end(f"{self.identity} does not lead any more and ends at once")


def _end_process(reason: str) -> None:
    # Whatever holds up the event loop may hold the lock of the log, too.
    last_word = threading.Thread(target=logger.critical, args=(reason,), daemon=True)
    last_word.start()
    last_word.join(1.0)
    os._exit(LOST_EXIT_CODE)


def _now() -> float:
    return time.clock_gettime(_CLOCK)


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _jittered(seconds: float) -> float:
    return seconds * (1 + JITTER * random.random())  # noqa: S311 - no secret


def _spec(lease: Lease | None) -> Mapping[str, Any]:
    return (lease or {}).get("spec") or {}


class _Leases:
    """Requests about one Lease."""

    def __init__(self, api: client.ApiClient, namespace: str, name: str) -> None:
        # Plain JSON: the client's own model cannot write every time that it reads.
        self._api = client.CustomObjectsApi(api)
        self._path = ("coordination.k8s.io", "v1", namespace, "leases")
        self._name = name

    def __str__(self) -> str:
        return f"Lease {self._path[2]}/{self._name}"

    async def read(self) -> Lease | None:
        try:
            return await self._api.get_namespaced_custom_object(  # type: ignore[return-value]
                *self._path, self._name, _request_timeout=REQUEST_SECONDS
            )
        except client.ApiException as error:
            if error.status == _GONE:
                return None
            raise

    async def create(self, spec: Mapping[str, Any]) -> Lease:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": dict(spec),
        }
        return await self._api.create_namespaced_custom_object(  # type: ignore[return-value]
            *self._path, body, _request_timeout=REQUEST_SECONDS
        )

    async def patch(self, lease: Lease, spec: Mapping[str, Any]) -> Lease:
        # The resource version makes it a conflict when anybody wrote since we read.
        body = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": dict(spec)}
        return await self._api.patch_namespaced_custom_object(  # type: ignore[return-value]
            *self._path,
            self._name,
            body,
            _content_type="application/merge-patch+json",
            _request_timeout=REQUEST_SECONDS,
        )
