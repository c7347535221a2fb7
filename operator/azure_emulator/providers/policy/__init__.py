"""Azure Policy: definitions and sets, assignments and exemptions, and what they do to the writes of clients."""

from azure_emulator.providers.policy import definitions
from azure_emulator.providers.policy.built_in import DEFINITION
from azure_emulator.providers.policy.definitions import ASSIGNMENT, EXEMPTION, SET
from azure_emulator.providers.policy.enforcement import enforce
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Hold, Patch, Provider, ResourceType, Verb

# Assumption: the refusal of which no recording was found.
_IN_USE = "PolicyDefinitionInUse"
_ASSIGNED = Hold(ASSIGNMENT, _IN_USE, "The definition '{name}' cannot be deleted because it is assigned: {holders}.")
_IN_A_SET = Hold(SET, _IN_USE, "The definition '{name}' cannot be deleted because these sets contain it: {holders}.")

TYPES = (
    ResourceType(
        name=DEFINITION, protocol=SYNCHRONOUS, put=Verb(updated_at_once=201), location=None, tags=False,
        extension=True, has_state=False, required=("properties.policyRule",),
        defaults={"properties.policyType": "Custom", "properties.mode": "Indexed"},
        holds=(_ASSIGNED, _IN_A_SET), check=definitions.check_definition,
        depth="usual conditions and effects are enforced; thirteen built-in ones",
    ),
    ResourceType(
        name=SET, protocol=SYNCHRONOUS, location=None, tags=False, extension=True, has_state=False,
        required=("properties.policyDefinitions",), defaults={"properties.policyType": "Custom"},
        loose=(DEFINITION,), holds=(_ASSIGNED,), check=definitions.check_set,
        depth="parameters are passed on to the members",
    ),
    ResourceType(
        name=ASSIGNMENT, protocol=SYNCHRONOUS, put=Verb(updated_at_once=201),
        patch=Patch(allowed=frozenset({"identity", "location", "properties.resourceSelectors", "properties.overrides",
                                       "properties.selfServeExemptionSettings"})),
        location=None, tags=False, extension=True, has_state=False, returns_deleted=True,
        required=("properties.policyDefinitionId",), immutable=("properties.policyDefinitionId",),
        read_only=("properties.scope", "properties.instanceId"), loose=(DEFINITION, SET), delete_first=1,
        check=definitions.check_assignment,
        depth="any scope; deny, append, modify of tags and properties, denyAction; exclusions, selectors, overrides",
    ),
    ResourceType(
        name=EXEMPTION, protocol=SYNCHRONOUS, location=None, tags=False, extension=True, has_state=False,
        required=("properties.policyAssignmentId", "properties.exemptionCategory"), loose=(ASSIGNMENT,),
        delete_first=1, check=definitions.check_exemption, depth="heeded until they expire",
    ),
)  # fmt: skip

PROVIDER = Provider(
    namespace="Microsoft.Authorization",
    types=TYPES,
    functions={
        ("GET", DEFINITION): definitions.definitions,
        ("GET", SET): definitions.sets,
        ("GET", ASSIGNMENT): definitions.assignments,
        ("GET", EXEMPTION): definitions.exemptions,
    },
    gates=(enforce,),
)
