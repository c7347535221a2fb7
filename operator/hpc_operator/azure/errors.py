"""What Azure's refusals mean: an ordered table from status, code and words to `arm.ErrorClass`.

The SDK's exception classes say nothing here (a 409 AnotherOperationInProgress arrives as ResourceExistsError): only
the status and the error body count. Knows no request. Sources: azure-docs common-deployment-errors and
troubleshooting-throttling-errors, the error bodies in karpenter-provider-azure's fakes, recordings of azure-cli.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from hpc_operator.arm import AzureError, ErrorClass

LONG_RUNNING = 0
"""The status of an operation that was accepted and failed later."""

_MESSAGE_LIMIT = 2000  # characters: conditions show it, and the API server refuses messages above 32768


@dataclass(frozen=True)
class Rule:
    """One row of the error table.

    Parameters
    ----------
    code
        Regular expression for the whole `error.code`, without regard to case.
    error_class
        What it means.
    status
        The HTTP status it must have; None for any.
    text
        Regular expression that the message must contain; empty for any.
    hint
        A sentence to add to Azure's own words.
    """

    code: str
    error_class: ErrorClass
    status: int | None = None
    text: str = ""
    hint: str = ""

    def matches(self, status: int, code: str, message: str) -> bool:
        """Whether the row is about this error."""
        return (
            self.status in (None, status)
            and re.fullmatch(self.code, code, re.IGNORECASE) is not None
            and re.search(self.text, message, re.IGNORECASE) is not None
        )


_T, _O, _C = ErrorClass.TRANSIENT, ErrorClass.ORDERING, ErrorClass.CAPACITY
_Q, _A, _P = ErrorClass.QUOTA, ErrorClass.CREDENTIALS, ErrorClass.PERMANENT

_RIGHTS_HINT = "A role that was granted just now takes up to 10 minutes to act."

# What a status means whatever the code is. 429 is throttling or a resource that is busy (RetryableError): both pass.
STATUSES: Mapping[int, ErrorClass] = {
    HTTPStatus.UNAUTHORIZED: _A,
    HTTPStatus.REQUEST_TIMEOUT: _T,
    HTTPStatus.TOO_MANY_REQUESTS: _T,
}

# The first row that matches counts; where none does, an unknown 4xx is permanent, and all else passes.
RULES: tuple[Rule, ...] = (
    Rule(r"ExpiredAuthenticationToken|InvalidAuthenticationToken\w*|AuthenticationFailed", _A),
    # OperationNotAllowed has three meanings that only the words tell apart.
    Rule(r"OperationNotAllowed|QuotaExceeded", _Q, text=r"\bquota\b|exceed\w* .*limit"),
    Rule(r"OperationNotAllowed", _O, text=r"\b(is|are) (still )?(attached|in use|being used)"),
    Rule(r"OperationNotAllowed", _P),
    Rule(r"\w*Quota(s)?Exceeded|\w*(Count|Number)?Limit(Reached|Exceeded)|MaxStorageAccounts\w*Exceeded", _Q),
    # Capacity
    Rule(r"SkuNotAvailable|(Zonal)?AllocationFailed|Overconstrained(Zonal)?AllocationRequest", _C),
    Rule(r".*", _C, text=r"(do not|does not|don't) have sufficient capacity|insufficient capacity"),
    # Somebody else is at it; passes by itself.
    Rule(r"AnotherOperationInProgress|RetryableError\w*|ReferencedResourceNotProvisioned|OperationPreempted", _T),
    Rule(r"\w*OperationInProgress|ResourceGroupBeingDeleted|Conflict(ingConcurrentWrite\w*)?|PreconditionFailed", _T),
    Rule(r"\w*Throttled|TooManyRequests|ServerBusy|ServerTimeout|GatewayTimeout|ServiceUnavailable", _T),
    Rule(r"\w*Internal\w*Error|InternalExecutionError|\w*TimedOut|Unreachable", _T),
    Rule(r"PrincipalNotFound", _T),
    Rule(r"(Missing|Invalid)SubscriptionRegistration(State)?", _T),
    Rule(
        r"(Invalid)?Subscription(NotFound|Id)",
        _P,
        hint="Check the subscription id in the operator's settings, and that its identity may read the subscription.",
    ),
    # Something must come or go first.
    Rule(r"PlatformImageNotFound|GalleryImageNotFound", _P),
    Rule(r"\w*NotFound|InvalidResourceReference", _O),
    Rule(r"InUse\w*|\w*InUse(By\w+)?|PublicIPAddressCannotBeDeleted|ResourceGroupDeletionBlocked", _O),
    Rule(r"CannotDeleteResource|\w*NestedResources\w*", _O),
    # Rights, rules and what cannot be
    Rule(r"(Linked)?AuthorizationFailed|AuthorizationPermissionMismatch", _P, hint=_RIGHTS_HINT),
    Rule(
        r"RoleAssignmentExists",
        _P,
        hint="The same role was assigned under another name: remove that assignment and the operator makes its own.",
    ),
    Rule(
        r"ScopeLocked|RequestDisallowedByPolicy|PropertyChangeNotAllowed|RoleAssignmentUpdateNotPermitted"
        r"|NoRegisteredProviderFound|MissingRegistrationForLocation|StorageAccountAlreadyTaken|SubnetIsFull"
        r"|PrivateIPAddressNotInSubnet|SubnetsNotInSameVnet|InvalidValueReceived|LocationNotAvailableForResourceType",
        _P,
    ),
    # An operation that was accepted and failed with a code that nobody has written down: words for bad input are final,
    # the rest is tried again (slowly: the engine backs off), because a healing system must not stop on the unknown.
    Rule(r"Invalid\w*|BadRequest|\w*Not(Supported|Allowed)|Unsupported\w*", _P, status=LONG_RUNNING),
)

# Codes that only say that something inside went wrong: what is inside counts, where there is something.
_WRAPPERS = frozenset(
    {
        "resourceoperationfailure",
        "deploymentfailed",
        "resourcedeploymentfailure",
        "multipleerrorsoccurred",
        "badrequest",
    }
)


@dataclass(frozen=True)
class _Fault:
    code: str
    message: str
    depth: int


def error_object(body: Any) -> Mapping[str, Any] | None:
    """Return the ARM error of a response body, wrapped in `error` or (Compute's 429) not; None if there is none."""
    if not isinstance(body, Mapping):
        return None
    error = body.get("error", body)
    return error if isinstance(error, Mapping) and isinstance(error.get("code"), str) else None


def azure_error(status: int, body: Any, *, text: str = "", retry_after: float | None = None) -> AzureError:
    """Return what a refusal means.

    Parameters
    ----------
    status
        HTTP status; `LONG_RUNNING` for an operation that failed after it was accepted.
    body
        The decoded response body, or the status document of the operation.
    text
        The response as text, used where the body has no ARM error.
    retry_after
        Seconds that Azure asked us to wait.
    """
    error = error_object(body)
    if error is None:
        return _without_error(status, text, retry_after)
    faults = list(_faults(error, 0))
    fault, rule = _decide(status, faults)
    message = fault.message
    inner = [item.message for item in faults if item.depth > fault.depth and item.message not in message]
    message = " ".join(dict.fromkeys(part for part in [message, *inner, rule.hint if rule else ""] if part))
    return AzureError(
        message[:_MESSAGE_LIMIT],
        code=fault.code,
        status=status,
        error_class=rule.error_class if rule else _by_status(status),
        retry_after=retry_after,
    )


def _without_error(status: int, text: str, retry_after: float | None) -> AzureError:
    """Return the error of an answer that no Azure service wrote: a gateway's page, a proxy's, or nothing at all."""
    if status == LONG_RUNNING:
        return AzureError(
            "The operation failed, and Azure gave no reason.",
            code="OperationFailed",
            status=status,
            error_class=_T,
            retry_after=retry_after,
        )
    try:
        code = "".join(HTTPStatus(status).phrase.title().split())
    except ValueError:
        code = f"Status{status}"
    if status < HTTPStatus.BAD_REQUEST:
        code = "UnexpectedAnswer"
    shown = " ".join(text.split())[:200]
    message = f"The answer with status {status} is not from Azure Resource Manager" + (f": {shown}" if shown else ".")
    return AzureError(message, code=code, status=status, error_class=_by_status(status), retry_after=retry_after)


def _decide(status: int, faults: list[_Fault]) -> tuple[_Fault, Rule | None]:
    """Return the error that tells most, and its row: what a size or a quota lacks tells more than what is around it."""
    candidates = [fault for fault in faults if fault.code.lower() not in _WRAPPERS] or faults
    if status in STATUSES:
        return candidates[0], None
    known = [(fault, rule) for fault in candidates if (rule := _rule(status, fault)) is not None]
    lacking = [(fault, rule) for fault, rule in known if rule.error_class in (_C, _Q)]
    return next(iter([*lacking, *known]), (candidates[0], None))


def _rule(status: int, fault: _Fault) -> Rule | None:
    return next((rule for rule in RULES if rule.matches(status, fault.code, fault.message)), None)


def _by_status(status: int) -> ErrorClass:
    if status in STATUSES:
        return STATUSES[status]
    return _P if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR else _T


def _faults(error: Mapping[str, Any], depth: int) -> Iterator[_Fault]:
    """Yield the error and all errors in it, outer before inner; ARM's wrappers carry JSON in the message, too."""
    code, message = str(error.get("code") or "Unknown"), str(error.get("message") or "")
    packed = _unpack(message)
    yield _Fault(code, "" if packed else message, depth)
    if packed:
        yield from _faults(packed, depth + 1)
    for key in ("details", "innererror", "innerError"):
        found = error.get(key)
        for inner in found if isinstance(found, list) else [found]:
            if isinstance(inner, Mapping) and inner.get("code"):
                yield from _faults(inner, depth + 1)


def _unpack(message: str) -> Mapping[str, Any] | None:
    if not message.lstrip().startswith("{"):
        return None
    try:
        return error_object(json.loads(message))
    except ValueError:
        return None
