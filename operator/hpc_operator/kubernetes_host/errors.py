"""Errors of the API server in words that say what to do."""

from __future__ import annotations

import json

import aiohttp
from kubernetes.aio import client

from hpc_operator.api import GROUP, VERSION

UNREACHABLE = (aiohttp.ClientError, TimeoutError)
"""What the client raises where no answer comes."""


def explain(error: Exception) -> str:
    """Return what an error means and what to do about it."""
    if isinstance(error, client.ApiException):
        if error.status in {401, 403}:
            return (
                f"the API server refuses us ({error.status} {error.reason}): check ServiceAccount and RBAC of the chart"
            )
        return f"the API server answers {error.status} {error.reason}: {_message(error)}"
    if isinstance(error, UNREACHABLE):
        return f"the API server cannot be reached ({error or type(error).__name__})"
    return f"{type(error).__name__}: {error}"


def explain_kinds(error: Exception) -> str:
    """As `explain`, for a request about our own kinds."""
    if isinstance(error, client.ApiException) and error.status == 404:  # noqa: PLR2004
        return f"the API server does not know {GROUP}/{VERSION}: install the CRDs, they come with the Helm chart"
    return explain(error)


def _message(error: client.ApiException) -> str:
    """Return the sentence in the Status object that the API server answers with."""
    try:
        return str(json.loads(error.body or "{}").get("message", ""))
    except ValueError:
        return str(error.body)[:300]
