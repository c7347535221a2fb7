"""ARM's error catalogue: every refusal has the status, code and wording that Azure gives it.

Knows no resource type. Sources: the resource provider contract (azure-resource-manager-rpc v1.0), the troubleshooting
pages of azure-docs, and errors quoted in public issue threads and recordings.
"""

from __future__ import annotations

from typing import Any

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED, CONFLICT, PRECONDITION_FAILED, TOO_MANY = (
    400,
    401,
    403,
    404,
    405,
    409,
    412,
    429,
)


class ArmError(Exception):
    """A request or an operation that ends in an ARM error body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
        additional: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = details
        self.headers = headers or {}
        self.additional = additional

    def error(self) -> dict[str, Any]:
        """The inner error object, as operation status documents carry it too."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target is not None:
            error["target"] = self.target
        if self.details is not None:
            error["details"] = self.details
        if self.additional is not None:
            error["additionalInfo"] = self.additional
        return error

    def body(self) -> dict[str, Any]:
        """The response body."""
        return {"error": self.error()}


def bad_request(code: str, message: str, *, target: str | None = None) -> ArmError:
    """400 with that code."""
    return ArmError(BAD_REQUEST, code, message, target=target)


def conflict(code: str, message: str, *, target: str | None = None) -> ArmError:
    """409 with that code."""
    return ArmError(CONFLICT, code, message, target=target)


def invalid_parameter(name: str, value: object, rule: str) -> ArmError:
    """The wording that Compute, Storage and NetApp share for a value outside its range."""
    return ArmError(
        BAD_REQUEST,
        "InvalidParameter",
        f"The value '{value}' provided for {name} is invalid. {rule}",
        target=name,
    )


def missing_parameter(name: str, *, target: str | None = None) -> ArmError:
    """Compute's wording for what must be given."""
    return ArmError(
        BAD_REQUEST, "InvalidParameter", f"Required parameter '{name}' is missing (null).", target=target or name
    )


def resource_not_found(type_name: str, names: str, resource_group: str) -> ArmError:
    """404 for a resource below a resource group that exists."""
    return ArmError(
        NOT_FOUND,
        "ResourceNotFound",
        f"The Resource '{type_name}/{names}' under resource group '{resource_group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def resource_group_not_found(name: str) -> ArmError:
    """404 for anything below a resource group that does not exist."""
    return ArmError(NOT_FOUND, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def nested_not_found(parent_names: str) -> ArmError:
    """404 for reading a child, or the children, of what does not exist."""
    return ArmError(
        NOT_FOUND,
        "ParentResourceNotFound",
        f"Can not perform requested operation on nested resource. Parent resource '{parent_names}' not found.",
    )


def parent_not_found(type_name: str, parent_id: str) -> ArmError:
    """404 for a write to a child whose parent does not exist."""
    short = type_name.split("/", 1)[1]
    return ArmError(
        NOT_FOUND,
        "ParentResourceNotFound",
        f"Failed to perform 'write' on resource(s) of type '{short}', because the parent resource '{parent_id}' "
        "could not be found.",
    )


def invalid_reference(referenced: str, referring: str) -> ArmError:
    """400 for an id in a body that names nothing."""
    return ArmError(
        BAD_REQUEST,
        "InvalidResourceReference",
        f"Resource {referenced} referenced by resource {referring} was not found. Please make sure that the "
        "referenced resource exists, and that both resources are in the same region.",
        details=[],
    )


def duplicate_child(type_name: str, name: str) -> ArmError:
    """400 for a body that lists two children of one name; the id in it has no names in Azure's own text (migAz#181)."""
    parent = f"/subscriptions//resourceGroups//providers/{type_name}/"
    return ArmError(
        BAD_REQUEST,
        "InvalidRequestFormat",
        "Cannot parse the request.",
        details=[{
            "code": "DuplicateResourceName",
            "message": f"Resource {parent} has two child resources with the same name ({name}).",
        }],
    )  # fmt: skip


def another_operation_in_progress(operation_uri: str) -> ArmError:
    """The second of two writes that Network serialises."""
    return ArmError(
        CONFLICT,
        "AnotherOperationInProgress",
        "Another operation on this or dependent resource is in progress. To retrieve status of the operation use "
        f"uri: {operation_uri}.",
        details=[],
    )


def referenced_not_provisioned(referenced: str, referring: str, state: str, last_operation: str) -> ArmError:
    """429, which here means that a referenced resource is still being written, not that we are throttled."""
    detail = (
        f"Cannot proceed with operation because resource {referenced} used by resource {referring} is not in "
        f"Succeeded state. Resource is in {state} state and the last operation that updated/is updating the resource "
        f"is {last_operation}."
    )
    return ArmError(
        TOO_MANY,
        "RetryableError",
        "A retryable error occured.",
        details=[{"code": "ReferencedResourceNotProvisioned", "message": detail}],
    )


def property_change_not_allowed(path: str) -> ArmError:
    """409 for a property that is fixed once the resource exists."""
    return ArmError(CONFLICT, "PropertyChangeNotAllowed", f"Changing property '{path}' is not allowed.", target=path)


def precondition_failed(etag: str) -> ArmError:
    """412 for an If-Match or If-None-Match that does not hold."""
    return ArmError(
        PRECONDITION_FAILED,
        "PreconditionFailed",
        f"The condition '{etag}' in the If-Match or If-None-Match header was not satisfied. The current resource "
        "differs from the one that the request was made for.",
    )
