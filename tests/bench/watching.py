"""Sees the custom resources of one namespace change, and when: as a user's `kubectl get --watch` would.

Knows the three kinds and nothing of Azure.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch
from world import BenchError

GROUP, VERSION = "azurehpc.io", "v1alpha1"
PLURALS = ("hpcenvironments", "storagetiers", "computepartitions")

Objects = dict[tuple[str, str], dict[str, Any]]
"""By kind and name."""


class Watcher:
    """Follows one namespace from its construction on.

    Parameters
    ----------
    kubeconfig
        Where the API server is.
    namespace
        What to watch.
    check
        Called now and then while waiting; raises if something that has to run does not.
    """

    def __init__(self, kubeconfig: Path, namespace: str, check: Callable[[], None]) -> None:
        self.objects: Objects = {}
        self._check = check
        self._seen_at = time.time()
        self._events: queue.SimpleQueue[tuple[float, dict[str, Any]]] = queue.SimpleQueue()
        api = client.CustomObjectsApi(config.new_client_from_config(str(kubeconfig)))
        self._closed = False
        for plural in PLURALS:
            # They end with this process: nobody waits for them.
            threading.Thread(target=self._follow, args=(api, namespace, plural), daemon=True).start()

    def close(self) -> None:
        """Expect the watches to end."""
        self._closed = True

    def wait(self, condition: Callable[[Objects], Any], seconds: float, what: str) -> float:
        """Wait until a condition on the objects is true.

        Returns
        -------
        float
            The wall time of the event that made it true.
        """
        deadline = time.monotonic() + seconds
        while not condition(self.objects):
            if time.monotonic() > deadline:
                msg = f"Not within {seconds:.0f} s: {what}. Last seen: {self._last_words()}"
                raise BenchError(msg)
            try:
                self._seen_at, event = self._events.get(timeout=1.0)
            except queue.Empty:
                self._check()
                continue
            if event["type"] == "BROKEN":
                msg = f"A watch ended: {event['object']}."
                raise BenchError(msg)
            body = event["object"]
            key = (body["kind"], body["metadata"]["name"])
            if event["type"] == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = body
        return self._seen_at

    def _follow(self, api: client.CustomObjectsApi, namespace: str, plural: str) -> None:
        stream = watch.Watch().stream(api.list_namespaced_custom_object, GROUP, VERSION, namespace, plural)
        try:
            for event in stream:
                self._events.put((time.time(), event))
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits has to hear of it
            if not self._closed:
                self._events.put((time.time(), {"type": "BROKEN", "object": repr(error)}))

    def _last_words(self) -> str:
        words = (f"{kind}/{name}: {_condition(body, 'Ready')}" for (kind, name), body in self.objects.items())
        return "; ".join(words)


def is_ready(body: dict[str, Any]) -> bool:
    """Whether an object says that it is Ready as it is written now."""
    ready = _condition(body, "Ready")
    return (
        ready is not None
        and ready["status"] == "True"
        and ready["observedGeneration"] == body["metadata"]["generation"]
    )


def is_settled(objects: Iterable[dict[str, Any]]) -> bool:
    """Whether all are Ready and nothing is being made, changed or deleted any more."""
    found = list(objects)
    return bool(found) and all(
        is_ready(body)
        and _condition(body, "Reconciling") is None
        and not body["status"].get("operations")
        and all(item.get("state", "Ready") in {"Ready", "Kept"} for item in body["status"].get("resources", ()))
        for body in found
    )


def _condition(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    conditions = body.get("status", {}).get("conditions", ())
    return next((item for item in conditions if item["type"] == name), None)
