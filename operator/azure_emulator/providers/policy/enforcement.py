"""What assigned policies do to a write: change it (append, modify), refuse it (deny, denyAction), or let it pass.

The gate sees requests as clients send them. What a resource provider writes by itself (the disks of a virtual
machine) and changes of tags through Microsoft.Resources/tags are not looked at, and audits leave no record.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import RESOURCE_GROUP, ArmPath, last_name
from azure_emulator.providers.management_groups import is_within
from azure_emulator.providers.policy import definitions, fields
from azure_emulator.providers.policy.conditions import Context, RuleError, holds
from azure_emulator.providers.policy.definitions import ASSIGNMENT, EXEMPTION
from azure_emulator.types import Call, ResourceType

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

# Azure takes up to about a quarter of an hour to heed a new assignment (azure-docs, governance/policy); a client that
# asks the emulator for it expects to see it work. Tunable as setting policyEffectSeconds.
EFFECT_SECONDS = 0.0
# In rules a resource group is called so.
_GROUP_IN_RULES = "Microsoft.Resources/subscriptions/resourceGroups"
_NOT_LOOKED_AT = "microsoft.authorization/policy"
_MODES = ("all", "indexed")


@dataclass(frozen=True)
class Rule:
    """One definition of one assignment, as it applies to a request."""

    assignment: Resource
    definition_id: str
    definition: Mapping[str, Any]
    parameters: Mapping[str, Any]
    reference: Mapping[str, Any]
    set_id: str | None

    @property
    def effect(self) -> str:
        """The effect in lower case, after the assignment's overrides."""
        for override in self.assignment.properties.get("overrides") or []:
            selected = [
                str(self.reference.get("policyDefinitionReferenceId", "")) in (selector.get("in") or [])
                for selector in override.get("selectors") or []
                if selector.get("kind") == "policyDefinitionReferenceId"
            ]
            if override.get("kind") == "policyEffect" and all(selected):
                return str(override.get("value", "")).lower()
        return str(definitions.effect_written(self.definition, self.parameters)).lower()


def enforce(call: Call, action: str) -> None:
    """The gate."""
    del action
    kind = call.engine.types.get(call.path.type_name.lower())
    if kind is None or not call.path.is_resource or kind.key.startswith(_NOT_LOOKED_AT):
        return
    if not call.engine.store.of_type(ASSIGNMENT):
        return
    if call.method == "DELETE":
        _refuse_deletion(call, kind)
    elif call.method in ("PUT", "PATCH") and isinstance(call.body, dict):
        _enforce_write(call, kind)


def _enforce_write(call: Call, kind: ResourceType) -> None:
    body = copy.deepcopy(call.body)
    rules = list(_rules(call, kind, body))
    for rule in rules:
        if rule.effect in ("append", "modify"):
            for context in _applying(call, kind, body, rule):
                _change(rule, context, body)
    violations = [
        _violation(rule, context)
        for rule in rules
        if rule.effect == "deny"
        for context in _applying(call, kind, body, rule)
    ]
    if violations:
        raise _disallowed(call.path.name, violations)
    call.body = body


def _refuse_deletion(call: Call, kind: ResourceType) -> None:
    existing = call.engine.store.get(call.path.text)
    if existing is None:
        return
    violations = [
        _violation(rule, context)
        for rule in _rules(call, kind, existing.body)
        if rule.effect == "denyaction" and "delete" in _action_names(rule)
        for context in _applying(call, kind, existing.body, rule)
    ]
    if violations:
        raise _disallowed(call.path.name, violations)


def _action_names(rule: Rule) -> list[str]:
    details = rule.definition["policyRule"]["then"].get("details") or {}
    return [str(name).lower() for name in details.get("actionNames") or []]


# -- which rules apply -----------------------------------------------------------------------------------------------


def _rules(call: Call, kind: ResourceType, body: Mapping[str, Any]) -> Iterator[Rule]:
    engine = call.engine
    since = engine.now - float(engine.setting("policyEffectSeconds", EFFECT_SECONDS))
    for assignment in engine.store.of_type(ASSIGNMENT):
        properties = assignment.properties
        if properties["enforcementMode"] != "Default" or assignment.created > since:
            continue
        if not _in_scope(engine, call.path, assignment) or not _is_selected(assignment, kind, call.path, body, engine):
            continue
        definition_id = str(properties["policyDefinitionId"])
        definition = definitions.find(engine, definition_id)
        if definition is None:
            continue
        for member, parameters, reference in definitions.rules(engine, definition, properties):
            if _has_mode(member, kind) and not _is_exempt(engine, call.path, assignment, reference):
                is_set = bool(reference)
                yield Rule(assignment, str(reference.get("policyDefinitionId", definition_id)), member, parameters,
                           reference, definition_id if is_set else None)  # fmt: skip


def _in_scope(engine: Engine, path: ArmPath, assignment: Resource) -> bool:
    excluded = assignment.properties.get("notScopes") or []
    return is_within(engine, path.text, assignment.parent) and not any(
        is_within(engine, path.text, str(scope)) for scope in excluded
    )


def _is_selected(
    assignment: Resource, kind: ResourceType, path: ArmPath, body: Mapping[str, Any], engine: Engine
) -> bool:
    """Whether the assignment's resource selectors, if any, choose the resource."""
    facts = {
        "resourcetype": kind.name.lower(),
        "resourcelocation": locations.normalise(str(_after(engine, path, body).get("location", ""))),
        "resourcewithoutlocation": "subscriptionlevelresources" if path.resource_group is None else "",
    }
    selectors = assignment.properties.get("resourceSelectors") or []
    return not selectors or any(
        all(_selects(one, facts.get(str(one.get("kind", "")).lower(), "")) for one in selector.get("selectors") or [])
        for selector in selectors
    )


def _selects(selector: Mapping[str, Any], fact: str) -> bool:
    wanted, unwanted = selector.get("in"), selector.get("notIn")
    if wanted is not None:
        return fact in [str(one).lower() for one in wanted]
    return fact not in [str(one).lower() for one in unwanted or []]


def _has_mode(definition: Mapping[str, Any], kind: ResourceType) -> bool:
    """`Indexed` looks at what has tags and a location; resource groups are no such resources."""
    mode = str(definition.get("mode") or "Indexed").lower()
    if mode not in _MODES:
        return False  # of other engines, such as Microsoft.Kubernetes.Data
    return mode == "all" or (kind.tags and kind.location is not None and kind.name != RESOURCE_GROUP)


def _is_exempt(engine: Engine, path: ArmPath, assignment: Resource, reference: Mapping[str, Any]) -> bool:
    for exemption in engine.store.of_type(EXEMPTION):
        properties = exemption.properties
        members = properties.get("policyDefinitionReferenceIds") or []
        expires = properties.get("expiresOn")
        if (
            bodies.same(properties["policyAssignmentId"], assignment.id)
            and is_within(engine, path.text, exemption.parent)
            and (not members or reference.get("policyDefinitionReferenceId") in members)
            and (not expires or str(expires) > engine.clock.iso(engine.now))
        ):
            return True
    return False


# -- what they see ---------------------------------------------------------------------------------------------------


def _after(engine: Engine, path: ArmPath, body: Mapping[str, Any], *, patch: bool = False) -> dict[str, Any]:
    """The resource as it would be after the request; a location that is left out stays."""
    existing = engine.store.get(path.text)
    before: dict[str, Any] = copy.deepcopy(existing.body) if existing is not None else {}
    if not patch:
        return {"location": before["location"], **body} if "location" in before else dict(body)
    tags = body.get("tags")
    bodies.merge(before, body)
    return {**before, "tags": tags} if tags is not None else before


def _applying(call: Call, kind: ResourceType, body: Mapping[str, Any], rule: Rule) -> Iterator[Context]:
    """The context of a rule whose condition holds."""
    engine, path = call.engine, call.path
    after = _after(engine, path, body, patch=call.method == "PATCH")
    if after.get("location"):
        after["location"] = locations.normalise(str(after["location"]))
    group = engine.store.get(f"/subscriptions/{path.subscription}/resourceGroups/{path.resource_group}")
    shown = _GROUP_IN_RULES if kind.name == RESOURCE_GROUP else kind.name
    context = Context(
        subject=fields.Subject(path.text, shown, path.name, "/".join(path.names), after),
        parameters=rule.parameters,
        subscription={"subscriptionId": path.subscription, "id": f"/subscriptions/{path.subscription}",
                      "tenantId": engine.tenant},
        resource_group=engine.view(group) if group is not None else None,
    )  # fmt: skip
    try:
        if holds(rule.definition["policyRule"]["if"], context):
            yield context
    except (RuleError, TypeError, AttributeError) as error:
        # A rule that fails refuses what it should judge, as long as it is enforced.
        raise errors.ArmError(
            errors.FORBIDDEN, "RequestDisallowedByPolicy",
            f"The policy definition '{rule.definition_id}' could not be evaluated for '{path.name}': {error}",
            target=path.name,
        ) from error  # fmt: skip


# -- effects ---------------------------------------------------------------------------------------------------------


def _change(rule: Rule, context: Context, body: dict[str, Any]) -> None:
    details = rule.definition["policyRule"]["then"].get("details") or {}
    if rule.effect == "append":
        for item in details if isinstance(details, list) else []:
            _set(context, body, "append", str(context.value(item["field"])), context.value(item.get("value")))
        return
    for operation in details.get("operations") or []:
        condition = operation.get("condition")
        if condition is None or context.value(condition) is True:
            name = str(operation.get("operation", "")).lower()
            _set(context, body, name, str(context.value(operation["field"])), context.value(operation.get("value")))


def _set(context: Context, body: dict[str, Any], operation: str, name: str, value: Any) -> None:
    tag = fields.tag_name(name)
    if tag is not None:
        _set_tag(context, body, operation, tag, value)
        return
    path = fields.alias_path(context.subject.type, name)
    if path is None or "[*]" in path:
        return
    present = bodies.get(context.subject.body, path) is not None
    if operation == "remove":
        bodies.drop(body, path)
    elif operation == "addorreplace" or not present:
        bodies.put(body, path, value)


def _set_tag(context: Context, body: dict[str, Any], operation: str, tag: str, value: Any) -> None:
    """Tags of a PATCH replace the others, so those that are there are sent along."""
    sent = body["tags"] if "tags" in body else context.subject.body.get("tags")
    tags = dict(sent or {})
    known = next((name for name in tags if name.lower() == tag.lower()), None)
    if operation == "remove":
        tags.pop(known or tag, None)
    elif operation == "addorreplace" or known is None:
        tags[known or tag] = str(value)
    body["tags"] = tags


@dataclass(frozen=True)
class _Violation:
    rule: Rule
    info: dict[str, Any]
    identifiers: dict[str, Any] = field(default_factory=dict)
    message: str | None = None


def _violation(rule: Rule, context: Context) -> _Violation:
    assignment, properties = rule.assignment, rule.assignment.properties
    display = str(rule.definition.get("displayName") or last_name(rule.definition_id))
    assigned = str(properties.get("displayName") or assignment.name)
    info: dict[str, Any] = {
        "evaluationDetails": {"evaluatedExpressions": context.evaluated},
        "policyDefinitionId": rule.definition_id,
        "policyDefinitionName": last_name(rule.definition_id),
        "policyDefinitionDisplayName": display,
        "policyDefinitionVersion": rule.definition.get("version", "1.0.0"),
        "policyDefinitionEffect": str(definitions.effect_written(rule.definition, rule.parameters)),
        "policyAssignmentId": assignment.id,
        "policyAssignmentName": assignment.name,
        "policyAssignmentDisplayName": assigned,
        "policyAssignmentScope": assignment.parent,
        "policyAssignmentParameters": properties.get("parameters") or {},
        "policyExemptionIds": [],
        "policyEnrollmentIds": [],
    }
    if rule.set_id is not None:
        info |= {
            "policySetDefinitionId": rule.set_id, "policySetDefinitionName": last_name(rule.set_id),
            "policyDefinitionReferenceId": rule.reference.get("policyDefinitionReferenceId"),
        }  # fmt: skip
    identifiers = {"policyAssignment": {"name": assigned, "id": assignment.id},
                   "policyDefinition": {"name": display, "id": rule.definition_id}}  # fmt: skip
    return _Violation(rule, info, identifiers, _message(rule))


def _message(rule: Rule) -> str | None:
    """What the assignment says to people whom it refuses; a message for a member of a set goes first."""
    messages = rule.assignment.properties.get("nonComplianceMessages") or []
    reference = rule.reference.get("policyDefinitionReferenceId")
    own = [one for one in messages if reference is not None and one.get("policyDefinitionReferenceId") == reference]
    general = [one for one in messages if not one.get("policyDefinitionReferenceId")]
    return next((str(one.get("message")) for one in [*own, *general]), None)


def _disallowed(name: str, violations: list[_Violation]) -> errors.ArmError:
    reasons = list(dict.fromkeys(one.message for one in violations if one.message))
    if reasons:
        text = f"Reasons: {', '.join(repr(reason) for reason in reasons)}. See error details for policy resource IDs."
    else:
        identifiers = json.dumps([one.identifiers for one in violations], separators=(",", ":"))
        text = f"Policy identifiers: '{identifiers}'."
    return errors.ArmError(
        errors.FORBIDDEN,
        "RequestDisallowedByPolicy",
        f"Resource '{name}' was disallowed by policy. {text}",
        target=name,
        additional=[{"type": "PolicyViolation", "info": one.info} for one in violations],
    )
