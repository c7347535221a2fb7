"""From a request to a template with values: what is checked before a deployment is accepted, validated or predicted.

Knows the engine, but writes nothing.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from azure_emulator import bodies, errors, locations, relaxed_json
from azure_emulator.arm_path import ArmPath, parse
from azure_emulator.errors import ArmError
from azure_emulator.providers.deployments import hashing, schemas
from azure_emulator.providers.deployments.environment import environment
from azure_emulator.providers.deployments.language import ExpressionError, member
from azure_emulator.providers.deployments.scope import Place
from azure_emulator.providers.deployments.template import (
    Item,
    Source,
    Template,
    check_shape,
    invalid,
    parameter_values,
)
from azure_emulator.providers.key_vault import secrets
from azure_emulator.types import SOMEBODY, Call, Principal

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

NAME = re.compile(r"^[-\w.()]+$")
LONGEST_NAME = 64
# How deep templates may be nested is an assumption.
DEEPEST = 10
# A refusal with one of these codes says that something is not there yet, which another resource of the template may
# bring: no reason to refuse the deployment.
_LATER = frozenset({
    "InvalidResourceReference", "ParentResourceNotFound", "ResourceNotFound", "ResourceGroupNotFound",
    "LinkedAuthorizationFailed", "PrincipalNotFound",
})  # fmt: skip


@dataclass
class Request:
    """A deployment as it was asked for, checked as far as it can be without deploying anything."""

    engine: Engine
    principal: Principal
    path: ArmPath
    api_version: str
    document: dict[str, Any]
    mode: str
    location: str
    source: Source
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    correlation: str = ""
    depth: int = 0
    template: Template = field(init=False)

    @property
    def scope(self) -> str:
        """The subscription or resource group."""
        return self.path.scope

    @property
    def at_group(self) -> bool:
        """Whether it is deployed to a resource group."""
        return self.path.resource_group is not None

    def shown_parameters(self) -> dict[str, Any]:
        """The parameters as a deployment shows them: with types, and without secrets."""
        declared, definitions = self.document.get("parameters") or {}, self.document.get("definitions") or {}
        shown: dict[str, Any] = {}
        for name, value in self.parameters.items():
            declaration = schemas.resolved(declared[name], definitions)
            shown[name] = {"type": schemas.shown_type(declaration)}
            if schemas.declared_type(declaration) not in schemas.SECURE:
                shown[name]["value"] = value
        return shown


def prepare(
    engine: Engine, principal: Principal, path: ArmPath, body: Any, api_version: str, *, correlation: str = "",
    depth: int = 0,
) -> Request:  # fmt: skip
    """Read a request and everything in it that needs no running deployment; raises what ARM refuses it with."""
    _check_name(path.names[0])
    body = body if isinstance(body, dict) else {}
    properties = bodies.get(body, "properties")
    if not isinstance(properties, dict):
        raise errors.bad_request(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: 'Required property 'properties' not found "
            "in JSON. Path '', line 1, position 2.'.",
        )
    mode = str(_member(properties, "mode") or "").capitalize()
    if mode not in ("Incremental", "Complete"):
        raise errors.bad_request(
            "InvalidDeployment", "The 'mode' of the deployment must be 'Incremental' or 'Complete'."
        )
    if mode == "Complete" and (path.resource_group is None or depth):
        raise errors.bad_request(
            "InvalidDeployment",
            "The deployment mode 'Complete' is supported only for deployments to a resource group that are not nested. "
            "Please see https://aka.ms/arm-deployment-modes for usage details.",
        )
    location = _location(path, body)
    document = _document(engine, properties)
    source = Source({"properties": {**properties, "template": document}}, ("properties", "template"))
    request = Request(
        engine, principal, path, api_version, dict(check_shape(document, source)), mode, location, source,
        tags=body.get("tags") or {}, properties=properties, correlation=correlation, depth=depth,
    )  # fmt: skip
    evaluate(request, _given_parameters(engine, properties))
    return request


def evaluate(request: Request, given: Mapping[str, Any]) -> None:
    """Give the parameters their values and expand the template."""
    engine = request.engine
    place = place_of(request)
    external = _member(request.properties, "externalInputs")
    request.parameters = parameter_values(
        request.document, given, place, request.source, lambda reference: _secret(engine, request.principal, reference),
        external if isinstance(external, dict) else None,
    )  # fmt: skip
    request.template = Template(request.document, request.parameters, place, request.source)
    request.template.check_variables()


def place_of(request: Request, moment: float | None = None) -> Place:
    """What the template's functions say of where it is deployed."""
    engine, path, document = request.engine, request.path, request.document
    subscription = path.subscription or ""
    group = engine.store.get(path.scope) if request.at_group else None
    deployment: dict[str, Any] = {
        "name": path.names[0],
        "properties": {
            "template": {name: value for name, value in document.items() if name != "$schema"},
            "templateHash": hashing.template_hash(document),
            "parameters": request.shown_parameters(),
            "mode": request.mode,
            "provisioningState": "Accepted",
        },
    }
    if not request.at_group:
        deployment["location"] = request.location
    principal = request.principal
    return Place(
        scope=path.scope,
        subscription=_subscription(engine, subscription),
        resource_group=engine.view(group) if group is not None else None,
        deployment=deployment,
        tenant=engine.tenant,
        deployer={"objectId": principal.object_id, "tenantId": engine.tenant, "userPrincipalName": principal.name},
        moment=engine.clock.at(engine.now if moment is None else moment),
        new_guid=engine.guid,
        provider=lambda namespace: _provider(engine, subscription, namespace),
        environment=environment(engine),
    )


def _subscription(engine: Engine, subscription: str) -> Mapping[str, Any]:
    answer, _ = engine.request(SOMEBODY, "GET", f"/subscriptions/{subscription}", api_version="2022-12-01")
    return {name: answer.body[name] for name in ("id", "subscriptionId", "tenantId", "displayName")}


def _provider(engine: Engine, subscription: str, namespace: str) -> Mapping[str, Any]:
    path = f"/subscriptions/{subscription}/providers/{namespace}"
    answer, _ = engine.request(SOMEBODY, "GET", path, api_version="2022-12-01")
    document: dict[str, Any] = answer.body
    return document


def _member(document: Mapping[str, Any], name: str) -> Any:
    found = member(document, name)
    return document[found] if found is not None else None


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME:
        raise errors.bad_request(
            "DeploymentNameLengthLimitExceeded",
            f"The deployment name '{name}' exceeds the limit of '{LONGEST_NAME}' characters.",
        )
    if not NAME.match(name):
        raise errors.bad_request(
            "DeploymentNameInvalidCharacters",
            f"The deployment name '{name}' can only contain letters, digits, '-', '.', '(', ')' or '_'.",
        )


def _location(path: ArmPath, body: Mapping[str, Any]) -> str:
    """The region that holds a deployment's data: needed at subscription scope, and the group's own otherwise."""
    sent = body.get("location")
    usage = "Please see https://aka.ms/deploy-to-subscription for usage details."
    if path.resource_group is not None:
        if sent:
            raise errors.bad_request(
                "InvalidDeployment", f"The 'location' property is not allowed for '{path.names[0]}'. {usage}"
            )
        return ""
    if not sent:
        raise errors.bad_request(
            "InvalidDeployment", f"The 'location' property must be specified for '{path.names[0]}'. {usage}"
        )
    location = locations.normalise(str(sent))
    if location not in locations.REGIONS:
        raise errors.bad_request(
            "LocationNotAvailableForDeployment",
            f"The provided location '{sent}' is not available for deployment. List of available regions is "
            f"'{','.join(sorted(locations.REGIONS))}'.",
        )
    return location


def _document(engine: Engine, properties: Mapping[str, Any]) -> Any:
    template, link = _member(properties, "template"), _member(properties, "templateLink")
    if template is not None and link is not None:
        raise errors.bad_request(
            "InvalidDeployment",
            "Both the 'template' and the 'templateLink' of the deployment are specified; only one of them may be.",
        )
    if isinstance(link, dict):
        _refuse_link(engine, link)
    if isinstance(template, str):
        try:
            return relaxed_json.loads(template)
        except ValueError as error:
            raise errors.bad_request(
                "InvalidRequestContent",
                f"The request content was invalid and could not be deserialized: '{error}'.",
            ) from None
    if template is None:
        raise errors.bad_request(
            "InvalidDeployment", "The deployment must specify one of the properties 'template' and 'templateLink'."
        )
    return template


def _refuse_link(engine: Engine, link: Mapping[str, Any]) -> NoReturn:
    """Nothing is fetched from anywhere: a link leads to what ARM says when it cannot download."""
    if link.get("id"):
        path = parse(str(link["id"]))
        raise errors.resource_not_found(path.type_name, "/".join(path.names), path.resource_group or "")
    if not link.get("uri"):
        raise errors.bad_request(
            "InvalidContentLink",
            f"The relative path '{link.get('relativePath')}' cannot be resolved, because the parent template was not "
            "linked to by a URI itself. Please see https://aka.ms/arm-deploy for usage details.",
        )
    raise errors.bad_request(
        "InvalidContentLink",
        f"Unable to download deployment content from '{link['uri']}'. The tracking Id is '{engine.guid()}'. Please see "
        "https://aka.ms/arm-deploy for usage details.",
    )


def _given_parameters(engine: Engine, properties: Mapping[str, Any]) -> Mapping[str, Any]:
    link = _member(properties, "parametersLink")
    if isinstance(link, dict):
        _refuse_link(engine, link)
    given = _member(properties, "parameters") or {}
    if isinstance(given, str):
        try:
            given = relaxed_json.loads(given)
        except ValueError:
            given = None
    if isinstance(given, dict) and "$schema" in given and isinstance(given.get("parameters"), dict):
        given = given["parameters"]  # a whole parameters file
    if not isinstance(given, dict):
        raise errors.bad_request(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: 'parameters' must be a JSON object.",
        )
    return given


def _secret(engine: Engine, principal: Principal, reference: Mapping[str, Any]) -> Any:
    """The value of a secret that a parameter refers to; its vault must be enabled for template deployment."""
    vault = str((reference.get("keyVault") or {}).get("id") or "")
    name, version = str(reference.get("secretName") or ""), str(reference.get("secretVersion") or "")
    answer, _ = engine.request(principal, "GET", vault, api_version="2023-07-01")
    if (answer.body.get("properties") or {}).get("enabledForTemplateDeployment") is not True:
        raise errors.bad_request(
            "KeyVaultParameterReferenceAuthorizationFailed",
            f"The client does not have permission to read the secret '{name}', or the vault '{vault}' is not enabled "
            "for template deployment. Please see https://aka.ms/arm-keyvault for usage details.",
        )
    value = secrets.value_of(engine, vault, name, version or None)
    if value is None:
        raise errors.bad_request(
            "KeyVaultParameterReferenceSecretRetrieveFailed",
            f"The secret of KeyVault parameter reference cannot be retrieved: A secret with (name/id) {name} was not "
            "found in this key vault. Please see https://aka.ms/arm-keyvault for usage details.",
        )
    return value


# -- what resource providers say beforehand ----------------------------------------------------------------------------


@contextlib.contextmanager
def without_trace(engine: Engine) -> Iterator[None]:
    """Take back what checks of writes that are not made have counted, such as capacity that they took."""
    before = copy.deepcopy(engine.store.settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if engine.store.settings[name] != value:
                engine.store.set(name, value)


def check(request: Request) -> None:
    """Refuse what can be known to fail: rights, types, and what resource providers find wrong with a body."""
    with without_trace(request.engine):
        _check(request)


def _check(request: Request) -> None:
    refusals: list[dict[str, Any]] = []
    unauthorized: list[str] = []
    for item, body in written(request):
        kind = request.engine.types.get(item.type.lower())
        if kind is None:
            refusals.append({**_unknown_type(request.engine, item).error(), "target": item.id})
            continue
        try:
            _pass_gates(request, item, body)
            if not item.is_deployment:
                _dry_run(request, item, body)
        except ArmError as error:
            if error.code == "AuthorizationFailed":
                unauthorized.append(_not_authorized(request, item))
            elif error.status not in (errors.NOT_FOUND, errors.TOO_MANY) and error.code not in _LATER:
                refusals.append({**error.error(), "target": error.target or item.id})
    if unauthorized:
        raise errors.ArmError(
            errors.FORBIDDEN,
            "InvalidTemplateDeployment",
            f"Deployment failed with multiple errors: '{':'.join(unauthorized)}'",
        )
    if refusals:
        raise ArmError(
            errors.BAD_REQUEST,
            "InvalidTemplateDeployment",
            f"The template deployment '{request.path.names[0]}' is not valid according to the validation procedure. "
            f"The tracking id is '{request.engine.guid()}'. See inner errors for details.",
            details=refusals,
        )
    for deeper in inside(request):
        _check(deeper)


def written(request: Request) -> Iterator[tuple[Item, dict[str, Any] | None]]:
    """The resources that are written, with their bodies where these are known already."""
    template = request.template
    for item in template.items:
        if not item.deployed:
            continue
        try:
            yield item, template.body(item, template.scope)
        except ExpressionError:
            yield item, None


def inside(request: Request) -> Iterator[Request]:
    """The nested deployments whose parameters are known already."""
    for item, body in written(request):
        if item.is_deployment and body is not None:
            yield nested(request, item, body)


def nested(request: Request, item: Item, body: Any) -> Request:
    """A nested deployment; what is wrong with it is told of the resource that it is."""
    if request.depth >= DEEPEST:
        raise invalid(f"Templates are nested more than '{DEEPEST}' levels deep.", item.source)
    try:
        return prepare(
            request.engine, request.principal, parse(item.id), body, item.api_version, correlation=request.correlation,
            depth=request.depth + 1,
        )  # fmt: skip
    except ArmError as error:
        error.target = error.target or item.id
        raise


def _pass_gates(request: Request, item: Item, body: Any) -> None:
    call = Call(
        engine=request.engine, method="PUT", path=parse(item.id), query={}, headers={}, body=body, base_url="",
        api_version=item.api_version, principal=request.principal,
    )  # fmt: skip
    for gate in request.engine.gates:
        gate(call, f"{item.type}/write")


def _dry_run(request: Request, item: Item, body: dict[str, Any] | None) -> None:
    """Let the resource provider look at a body that refers to nothing that is still to come."""
    engine, path = request.engine, parse(item.id)
    if body is None or not engine.exists(path.parent):
        return
    kind = engine.types[item.type.lower()]
    engine.reserved.clear()
    sent = engine.shapes.conform("PUT", item.type, body)
    engine.change(kind, path, "PUT", sent, engine.find(item.id), {}, item.api_version)


def _unknown_type(engine: Engine, item: Item) -> ArmError:
    namespace, _, kind = item.type.partition("/")
    if namespace.lower() not in engine.providers:
        return errors.bad_request("InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    return errors.bad_request(
        "InvalidResourceType",
        f"The resource type '{kind}' could not be found in the namespace '{namespace}' for api version "
        f"'{item.api_version}'.",
    )


def _not_authorized(request: Request, item: Item) -> str:
    principal = request.principal
    return (
        f"Authorization failed for template resource '{item.name}' of type '{item.type}'. The client "
        f"'{principal.name or principal.app_id}' with object id '{principal.object_id}' does not have permission to "
        f"perform action '{item.type}/write' at scope '{item.id}'."
    )
