"""The error catalogue: what each refusal means."""

import json

import pytest

from hpc_operator.arm import ErrorClass
from hpc_operator.azure.errors import LONG_RUNNING, azure_error

TRANSIENT, ORDERING, CAPACITY = ErrorClass.TRANSIENT, ErrorClass.ORDERING, ErrorClass.CAPACITY
QUOTA, CREDENTIALS, PERMANENT = ErrorClass.QUOTA, ErrorClass.CREDENTIALS, ErrorClass.PERMANENT

EXCEEDING_QUOTA = (
    "Operation could not be completed as it results in exceeding approved standardHBv3Family Cores quota. Additional "
    "details - Deployment Model: Resource Manager, Location: eastus, Current Limit: 120, Current Usage: 0, Additional "
    "Required: 240, (Minimum) New Limit Required: 240."
)
TOO_MANY = "The server rejected the request because too many requests have been received for this subscription."
CATALOGUE = [
    (404, "ResourceNotFound", "", ORDERING),
    (404, "ResourceGroupNotFound", "Resource group 'x' could not be found.", ORDERING),
    (404, "ParentResourceNotFound", "", ORDERING),
    (404, "RoleAssignmentNotFound", "", ORDERING),
    (404, "PlatformImageNotFound", "", PERMANENT),
    (400, "InvalidResourceReference", "", ORDERING),
    (409, "ResourceGroupBeingDeleted", "", TRANSIENT),
    (409, "ScopeLocked", "", PERMANENT),
    (403, "AuthorizationFailed", "", PERMANENT),
    (403, "LinkedAuthorizationFailed", "", PERMANENT),
    (409, "MissingSubscriptionRegistration", "", TRANSIENT),
    (409, "InvalidSubscriptionRegistrationState", "", TRANSIENT),
    (409, "MissingRegistrationForLocation", "", PERMANENT),
    (400, "NoRegisteredProviderFound", "", PERMANENT),
    (409, "AnotherOperationInProgress", "", TRANSIENT),
    (0, "AnotherOperationInProgress", "", TRANSIENT),
    (429, "RetryableError", "A retryable error occured.", TRANSIENT),
    (429, "RetryableErrorDueToAnotherOperation", "", TRANSIENT),
    (400, "InUseSubnetCannotBeDeleted", "", ORDERING),
    (400, "InUseSubnetCannotBeUpdated", "", ORDERING),
    (400, "InUsePrefixCannotBeDeleted", "", ORDERING),
    (400, "InUseNetworkSecurityGroupCannotBeDeleted", "", ORDERING),
    (400, "InUseNatGatewayCannotBeDeleted", "", ORDERING),
    (400, "NatGatewayInUseBySubnet", "", ORDERING),
    (400, "InUseRouteTableCannotBeDeleted", "", ORDERING),
    (0, "ReferencedResourceNotProvisioned", "", TRANSIENT),
    (400, "PublicIPAddressCannotBeDeleted", "", ORDERING),
    (400, "NicInUse", "", ORDERING),
    (409, "ResourceGroupDeletionBlocked", "", ORDERING),
    (409, "CannotDeleteResource", "Cannot delete resource while nested resources exist.", ORDERING),
    (409, "PropertyChangeNotAllowed", "", PERMANENT),
    (400, "PropertyChangeNotAllowed", "", PERMANENT),
    (409, "SkuNotAvailable", "", CAPACITY),
    (400, "SkuNotAvailable", "", CAPACITY),
    (0, "SkuNotAvailable", "", CAPACITY),
    (409, "AllocationFailed", "", CAPACITY),
    (0, "AllocationFailed", "", CAPACITY),
    (0, "ZonalAllocationFailed", "", CAPACITY),
    (0, "OverconstrainedAllocationRequest", "", CAPACITY),
    (0, "OverconstrainedZonalAllocationRequest", "", CAPACITY),
    (409, "OperationNotAllowed", EXCEEDING_QUOTA, QUOTA),
    (409, "QuotaExceeded", EXCEEDING_QUOTA, QUOTA),
    (409, "QuotaExceeded", "", QUOTA),
    (0, "QuotaExceeded", "", QUOTA),
    (0, "OperationNotAllowed", EXCEEDING_QUOTA, QUOTA),
    (429, "OperationNotAllowed", TOO_MANY, TRANSIENT),
    (409, "OperationNotAllowed", "Disk d is attached to VM /subscriptions/s/vm.", ORDERING),
    (409, "OperationNotAllowed", "Deallocate is not supported for VMs with ephemeral OS disks.", PERMANENT),
    (409, "ResourceQuotaExceeded", "", QUOTA),
    (400, "PublicIPCountLimitReached", "", QUOTA),
    (429, "SubscriptionRequestsThrottled", "", TRANSIENT),
    (429, "TooManyRequests", "", TRANSIENT),
    (429, "NobodyKnows", "", TRANSIENT),
    (400, "PrincipalNotFound", "", TRANSIENT),
    (409, "RoleAssignmentExists", "", PERMANENT),
    (400, "RoleAssignmentUpdateNotPermitted", "", PERMANENT),
    (412, "PreconditionFailed", "", TRANSIENT),
    (0, "Conflict", "Another volume creation is in progress.", TRANSIENT),
    (409, "Conflict", "", TRANSIENT),
    (409, "ConflictError", "A vault with the same name already exists in deleted state.", PERMANENT),
    (0, "PreconditionFailed", "", TRANSIENT),
    (400, "InvalidValueReceived", "An invalid value '0' was received for Volume.UsageThreshold.", PERMANENT),
    (409, "StorageAccountAlreadyTaken", "", PERMANENT),
    (403, "RequestDisallowedByPolicy", "", PERMANENT),
    (400, "SubnetIsFull", "", PERMANENT),
    (400, "PrivateIPAddressNotInSubnet", "", PERMANENT),
    (400, "SubnetsNotInSameVnet", "", PERMANENT),
    (500, "InternalServerError", "", TRANSIENT),
    (504, "ServerTimeout", "", TRANSIENT),
    (401, "InvalidAuthenticationToken", "", CREDENTIALS),
    (401, "NobodyKnows", "", CREDENTIALS),
    (403, "ExpiredAuthenticationToken", "", CREDENTIALS),
    (404, "SubscriptionNotFound", "", PERMANENT),
    (503, "NobodyKnows", "", TRANSIENT),
    (400, "NobodyKnows", "", PERMANENT),
    (409, "NobodyKnows", "", PERMANENT),
    (0, "InvalidParameter", "", PERMANENT),
    (0, "BadRequest", "", PERMANENT),
    (0, "NobodyKnows", "", TRANSIENT),
    (0, "OSProvisioningTimedOut", "", TRANSIENT),
]


@pytest.mark.parametrize(("status", "code", "message", "expected"), CATALOGUE)
def test_catalogue(status, code, message, expected):
    error = azure_error(status, {"error": {"code": code, "message": message}})
    assert error.error_class is expected
    assert (error.code, error.status) == (code, status)
    assert error.message.startswith(message)


def test_rights_take_a_while():
    assert "up to 10 minutes" in azure_error(403, {"error": {"code": "AuthorizationFailed", "message": "No."}}).message


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "ResourceOperationFailure", "message": "It failed.", "details": [
            {"code": "OverconstrainedAllocationRequest", "message": "Too restrictive."}]}},
        {"error": {"code": "DeploymentFailed", "message": "It failed.", "details": [
            {"code": "Conflict?", "message": json.dumps(
                {"error": {"code": "OverconstrainedAllocationRequest", "message": "Too restrictive."}})}]}},
        {"error": {"code": "BadRequest", "message": "It failed.", "innererror":
            {"code": "OverconstrainedAllocationRequest", "message": "Too restrictive."}}},
        {"error": {"code": "NeverHeardOf", "message": "It failed.", "details": [
            {"code": "NorOfThis", "message": "Hm."},
            {"code": "OverconstrainedAllocationRequest", "message": "Too restrictive."}]}},
    ],
)  # fmt: skip
def test_looks_into_wrappers(body):
    error = azure_error(409, body)
    assert (error.code, error.error_class) == ("OverconstrainedAllocationRequest", CAPACITY)
    assert error.message == "Too restrictive."


@pytest.mark.parametrize("outer", ["QuotaExceeded", "OperationNotAllowed", "Conflict", "ResourceOperationFailure"])
@pytest.mark.parametrize(
    ("inner", "message"), [("OperationNotAllowed", EXCEEDING_QUOTA), ("QuotaExceeded", "Too much.")]
)
@pytest.mark.parametrize("status", [409, LONG_RUNNING])
def test_a_quota_is_found_whatever_is_around_it(status, outer, inner, message):
    details = [{"code": inner, "message": message}]
    error = azure_error(status, {"error": {"code": outer, "message": "It failed.", "details": details}})
    assert error.error_class is QUOTA
    assert message in error.message


def test_a_lack_of_capacity_is_found_whatever_is_around_it():
    details = [{"code": "ZonalAllocationFailed", "message": "No room in this zone."}]
    error = azure_error(LONG_RUNNING, {"error": {"code": "Conflict", "message": "It failed.", "details": details}})
    assert (error.code, error.error_class, error.message) == (
        "ZonalAllocationFailed", CAPACITY, "No room in this zone."
    )  # fmt: skip


def test_an_outer_code_that_is_known_counts_and_the_details_are_told():
    detail = {"code": "ReferencedResourceNotProvisioned", "message": "Subnet x is in Updating state."}
    error = azure_error(
        429, {"error": {"code": "RetryableError", "message": "A retryable error occured.", "details": [detail]}}
    )
    assert (error.code, error.error_class) == ("RetryableError", TRANSIENT)
    assert error.message == "A retryable error occured. Subnet x is in Updating state."


def test_computes_429_has_no_wrapper():
    target = {"code": "TooManyRequests", "target": "HighCostGet30Min", "message": json.dumps({"operationGroup": "x"})}
    body = {"code": "OperationNotAllowed", "message": TOO_MANY, "details": [target]}
    error = azure_error(429, body, retry_after=17)
    assert (error.code, error.error_class, error.retry_after) == ("OperationNotAllowed", TRANSIENT, 17)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (502, "BadGateway", TRANSIENT),
        (404, "NotFound", PERMANENT),
        (401, "Unauthorized", CREDENTIALS),
        (429, "TooManyRequests", TRANSIENT),
        (599, "Status599", TRANSIENT),
        (307, "UnexpectedAnswer", TRANSIENT),
    ],
)
@pytest.mark.parametrize("body", [None, "<html>", [], {"message": "no code"}, {"error": "text"}])
def test_what_is_not_from_azure_is_told_as_such(status, code, expected, body):
    error = azure_error(status, body, text="<html>\n  <b>proxy</b>")
    assert (error.code, error.error_class) == (code, expected)
    assert "not from Azure Resource Manager: <html> <b>proxy</b>" in error.message


def test_an_operation_may_fail_without_a_word():
    error = azure_error(LONG_RUNNING, None)
    assert (error.status, error.error_class) == (0, TRANSIENT)


def test_messages_are_bounded():
    assert len(azure_error(400, {"error": {"code": "X", "message": "x" * 100_000}}).message) <= 2000
