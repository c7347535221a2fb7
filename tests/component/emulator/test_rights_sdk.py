"""Real credentials over TLS, and what the real SDK clients are refused and allowed with them."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from serving import serving

from azure_emulator import SUBSCRIPTION, TENANT, Emulator

SCOPE = "https://management.azure.com/.default"
ROOT = f"/subscriptions/{SUBSCRIPTION}"
ISSUER = "https://oidc.cluster.test"
SUBJECT = "system:serviceaccount:hpc:operator"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
LOCATION = {"location": "westeurope"}
VNET = {**LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Azure:
    """An emulator over TLS with rights switched on, and its clients."""

    def __init__(self, emulator: Emulator, ca: Path) -> None:
        self.emulator = emulator
        self.url = emulator.url
        self.ca = str(ca)
        self.open = contextlib.ExitStack()

    def admin(self, method: str, path: str, body: Any) -> Any:
        answer = requests.request(method, f"{self.emulator.http_url}/emulator/{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def application(self, name: str, *roles: str, scope: str = ROOT, **more: Any) -> Any:
        given = [{"role": role, "scope": scope} for role in roles]
        return self.admin("POST", "applications", {"displayName": name, "roles": given, **more})

    @property
    def trust(self) -> dict[str, Any]:
        """What a credential needs to find and trust this Azure."""
        return {"authority": self.url, "disable_instance_discovery": True, "connection_verify": self.ca}

    def credential(self, kind: Any, *what: Any, **more: Any) -> Any:
        return self.open.enter_context(kind(*what, **more, **self.trust))

    def secret(self, application: Any) -> ClientSecretCredential:
        return self.credential(ClientSecretCredential, TENANT, application["appId"], application["secret"])

    def client(self, kind: Any, credential: Any) -> Any:
        subscription = () if kind is SubscriptionClient else (SUBSCRIPTION,)
        client = kind(
            credential, *subscription, base_url=self.url, credential_scopes=[SCOPE], connection_verify=self.ca,
            retry_total=0,
        )  # fmt: skip
        return self.open.enter_context(client)


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    emulator = Emulator(speed=5000, seed=1, tls=True, http_port=0)
    ca = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.write_text(emulator.ca)
    with serving(emulator):
        azure = Azure(emulator, ca)
        azure.admin("PUT", "settings", {"rights": "on", "rightsDelaySeconds": 0, "replicationSeconds": 0})
        azure.admin("PUT", "issuers", {"issuer": ISSUER, "jwks": {"keys": [
            {**jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "cluster"}]}})  # fmt: skip
        with azure.open:
            yield azure


@pytest.fixture(scope="module")
def owner(azure: Azure) -> ClientSecretCredential:
    return azure.secret(azure.application("owner", "Owner"))


@pytest.fixture
def group(azure: Azure, owner: ClientSecretCredential) -> str:
    name = f"rg-{uuid.uuid4().hex[:8]}"
    azure.client(ResourceManagementClient, owner).resource_groups.create_or_update(name, LOCATION)
    return name


def code_of(error: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str]:
    assert error.value.error is not None
    return error.value.status_code, str(error.value.error.code)


def test_a_client_secret(azure, owner, group):
    assert azure.client(ResourceManagementClient, owner).resource_groups.get(group).name == group


def test_a_wrong_client_secret(azure):
    application = azure.application("typo")
    credential = azure.secret({**application, "secret": "wrong"})
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215: Invalid client secret provided"):
        credential.get_token(SCOPE)


def test_a_certificate(azure, tmp_path):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pipeline")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )  # fmt: skip
    key = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "pipeline.pem"
    path.write_bytes(key + certificate)
    registered = azure.application("certified", certificates=[certificate.decode()])
    credential = azure.credential(CertificateCredential, TENANT, registered["appId"], str(path))
    claims = jwt.decode(credential.get_token(SCOPE).token, options={"verify_signature": False})
    assert claims["oid"] == registered["objectId"]
    other = azure.application("uncertified")
    refused = azure.credential(CertificateCredential, TENANT, other["appId"], str(path))
    with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        refused.get_token(SCOPE)


def service_account_token(path: Path, subject: str = SUBJECT) -> Path:
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": subject, "aud": ["api://AzureADTokenExchange"], "iat": now, "exp": now + 3600}
    path.write_text(jwt.encode(claims, KEY, algorithm="RS256", headers={"kid": "cluster"}))
    return path


def test_workload_identity(azure, owner, group, tmp_path):
    identities = azure.client(ManagedServiceIdentityClient, owner)
    identity = identities.user_assigned_identities.create_or_update(group, "operator", LOCATION)
    trusted = {"issuer": ISSUER, "subject": SUBJECT, "audiences": ["api://AzureADTokenExchange"]}
    identities.federated_identity_credentials.create_or_update(group, "operator", "cluster", trusted)

    def credential(path: Path) -> WorkloadIdentityCredential:
        return azure.credential(
            WorkloadIdentityCredential, tenant_id=TENANT, client_id=identity.client_id, token_file_path=str(path)
        )

    ours = azure.client(ResourceManagementClient, credential(service_account_token(tmp_path / "ours")))
    with pytest.raises(HttpResponseError) as error:
        ours.resource_groups.get(group)
    assert code_of(error) == (403, "AuthorizationFailed")
    azure.client(AuthorizationManagementClient, owner).role_assignments.create(
        f"{ROOT}/resourceGroups/{group}", str(uuid.uuid4()),
        {"properties": {"roleDefinitionId": f"{ROOT}/providers/Microsoft.Authorization/roleDefinitions/{READER}",
                        "principalId": identity.principal_id}},
    )  # fmt: skip
    assert ours.resource_groups.get(group).name == group
    theirs = credential(service_account_token(tmp_path / "theirs", "system:serviceaccount:hpc:other"))
    with pytest.raises(ClientAuthenticationError, match="AADSTS700213"):
        theirs.get_token(SCOPE)


def test_managed_identity(azure, owner, group, monkeypatch):
    identities = azure.client(ManagedServiceIdentityClient, owner)
    identity = identities.user_assigned_identities.create_or_update(group, "node", LOCATION)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.emulator.http_url)
    with ManagedIdentityCredential(client_id=identity.client_id) as credential:
        client = azure.client(ResourceManagementClient, credential)
        with pytest.raises(HttpResponseError) as error:
            client.resource_groups.get(group)
    assert code_of(error) == (403, "AuthorizationFailed")
    assert identity.principal_id in str(error.value.message)


def test_roles_decide(azure, owner, group):
    scope = f"{ROOT}/resourceGroups/{group}"
    network = azure.secret(azure.application("network", "Network Contributor", scope=scope))
    client = azure.client(NetworkManagementClient, network)
    assert client.virtual_networks.begin_create_or_update(group, "vnet", VNET).result().name == "vnet"
    identities = azure.client(ManagedServiceIdentityClient, network)
    with pytest.raises(HttpResponseError) as error:
        identities.user_assigned_identities.create_or_update(group, "id", LOCATION)
    assert code_of(error) == (403, "AuthorizationFailed")
    # A subscription shows to whoever has a role in it, and nothing of it that is not theirs.
    shown = azure.client(SubscriptionClient, network).subscriptions.list()
    assert [one.subscription_id for one in shown] == [SUBSCRIPTION]
    resources = azure.client(ResourceManagementClient, network)
    assert [one.name for one in resources.resource_groups.list()] == [group]
    assert [one.name for one in resources.resources.list()] == ["vnet"]
    stranger = azure.secret(azure.application("stranger"))
    assert list(azure.client(SubscriptionClient, stranger).subscriptions.list()) == []


def test_joining_a_subnet(azure, owner, group):
    networks = azure.client(NetworkManagementClient, owner)
    body = {**VNET, "properties": {**VNET["properties"], "subnets": [
            {"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/24"}}]}}  # fmt: skip
    subnet = networks.virtual_networks.begin_create_or_update(group, "vnet", body).result().subnets[0].id
    nodes = f"{group}-nodes"
    azure.client(ResourceManagementClient, owner).resource_groups.create_or_update(nodes, LOCATION)
    narrow = azure.secret(azure.application("narrow", "Contributor", scope=f"{ROOT}/resourceGroups/{nodes}"))
    nic = {**LOCATION, "properties": {"ipConfigurations": [{"name": "main", "properties": {"subnet": {"id": subnet}}}]}}
    with pytest.raises(HttpResponseError) as error:
        azure.client(NetworkManagementClient, narrow).network_interfaces.begin_create_or_update(nodes, "nic", nic)
    assert code_of(error) == (403, "LinkedAuthorizationFailed")
    assert "Microsoft.Network/virtualNetworks/subnets/join/action" in str(error.value.message)


def test_a_custom_role_through_the_sdk(azure, owner, group):
    client = azure.client(AuthorizationManagementClient, owner)
    scope, guid = f"{ROOT}/resourceGroups/{group}", str(uuid.uuid4())
    role = client.role_definitions.create_or_update(
        scope, guid, {"properties": {"roleName": f"Looker {guid}", "assignableScopes": [scope],
                                     "permissions": [{"actions": ["*/read"]}]}},
    )  # fmt: skip
    assert (role.role_type, role.permissions[0].actions) == ("CustomRole", ["*/read"])
    found = client.role_definitions.list(scope, filter=f"roleName eq 'Looker {guid}'")
    assert [one.name for one in found] == [guid]
    looker = azure.application("looker")
    given = {"properties": {"roleDefinitionId": role.id, "principalId": looker["objectId"]}}
    client.role_assignments.create(scope, str(uuid.uuid4()), given)
    told = azure.client(AuthorizationManagementClient, azure.secret(looker)).permissions.list_for_resource_group(group)
    assert [one.actions for one in told] == [["*/read"]]
    with pytest.raises(HttpResponseError) as error:
        client.role_definitions.delete(scope, guid)
    assert code_of(error) == (400, "RoleDefinitionHasAssignments")
