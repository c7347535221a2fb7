"""Command lines, kubeconfig and certificates: loopback only, private files, a chain that verifies."""

import base64
import re
import ssl
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from local_cluster.certificates import Authority
from local_cluster.components import (
    Credentials,
    KeyPair,
    Ports,
    api_server_command,
    controller_manager_command,
    etcd_command,
    kubeconfig,
)

PORTS = Ports(api_server=20001, etcd=20002, etcd_peer=20003)


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("cluster") / "certificates")
    return Credentials(
        authority=authority.certificate,
        server=KeyPair(*authority.key_pair("server", "server")),
        admin=KeyPair(*authority.key_pair("admin", "admin", ("system:masters",))),
        controller_manager=KeyPair(*authority.key_pair("controller-manager", "system:kube-controller-manager")),
        service_accounts=authority.signing_key("service-accounts"),
    )


def test_everything_listens_on_loopback_only(credentials):
    commands = [
        *etcd_command(Path("etcd"), Path("data"), PORTS, credentials),
        *api_server_command(Path("kube-apiserver"), PORTS, credentials, audit_policy=None, audit_log=None),
    ]
    listening = [flag for flag in commands if re.match(r"--(listen-|bind-address)", flag)]
    assert len(listening) == 3
    assert all("127.0.0.1" in flag for flag in listening)
    assert "--secure-port=0" in controller_manager_command(Path("kcm"), Path("kubeconfig"), credentials)


def test_etcd_asks_for_a_certificate_of_this_cluster(credentials):
    command = etcd_command(Path("etcd"), Path("data"), PORTS, credentials)
    assert {"--client-cert-auth", "--peer-client-cert-auth"} <= set(command)


def test_rbac_is_on(credentials):
    command = api_server_command(Path("kube-apiserver"), PORTS, credentials, audit_policy=None, audit_log=None)
    assert "--authorization-mode=RBAC" in command


@pytest.mark.parametrize("wanted", [True, False])
def test_the_audit_log_is_written_on_request(credentials, wanted):
    command = api_server_command(
        Path("kube-apiserver"),
        PORTS,
        credentials,
        audit_policy=Path("/policy") if wanted else None,
        audit_log=Path("/audit.log") if wanted else None,
    )
    assert any(flag.startswith("--audit-log-path") for flag in command) is wanted


def test_the_kubeconfig_needs_no_other_file(credentials):
    content = yaml.safe_load(kubeconfig("https://127.0.0.1:20001", credentials.authority, "admin", credentials.admin))
    (cluster,), (user,), (context,) = content["clusters"], content["users"], content["contexts"]
    assert cluster["cluster"]["server"] == "https://127.0.0.1:20001"
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == credentials.authority.read_bytes()
    assert base64.b64decode(user["user"]["client-key-data"]) == credentials.admin.key.read_bytes()
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}
    assert content["current-context"] == context["name"]


def test_the_admin_is_in_the_group_that_is_allowed_everything(credentials):
    subject = x509.load_pem_x509_certificate(credentials.admin.certificate.read_bytes()).subject
    assert subject.rfc4514_string() == "CN=admin,O=system:masters"


def test_a_client_accepts_the_server_and_the_server_accepts_the_client(credentials):
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=credentials.authority)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(*credentials.server)
    client = ssl.create_default_context(cafile=credentials.authority)
    client.load_cert_chain(*credentials.admin)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(3):  # flights of a handshake
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert all(end.getpeercert() for end in ends)


def test_only_the_user_may_read_the_files(credentials):
    folder = credentials.authority.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_second_start_keeps_the_certificates(tmp_path):
    first = Authority(tmp_path)
    before = [path.read_bytes() for path in (first.certificate, *first.key_pair("server", "server"))]
    again = Authority(tmp_path)
    assert [path.read_bytes() for path in (again.certificate, *again.key_pair("server", "server"))] == before
