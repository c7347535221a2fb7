"""How the programs of a local cluster are called: command lines, audit policy, kubeconfig. Pure functions.

Must not know processes, nor whether anything runs.
"""

import base64
from pathlib import Path
from typing import Any, NamedTuple

import yaml

# Only what a test or a demonstration notices when it is missing: each controller costs memory and watches.
CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "job-controller",
    "disruption-controller",
    "endpointslice-controller",
    "resourcequota-controller",
)

SERVICE_CIDR = "10.96.0.0/16"

AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # One line for each request, when it is answered (watches: one when they begin and one when they end).
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class KeyPair(NamedTuple):
    """A certificate and its private key."""

    certificate: Path
    key: Path


class Credentials(NamedTuple):
    """All key material of one cluster."""

    authority: Path
    server: KeyPair
    admin: KeyPair
    controller_manager: KeyPair
    service_accounts: Path


class Ports(NamedTuple):
    """The loopback ports of one cluster."""

    api_server: int
    etcd: int
    etcd_peer: int


def etcd_command(binary: Path, data: Path, ports: Ports, credentials: Credentials) -> list[str]:
    """Give the command line of etcd. Only who has a certificate of this cluster may speak to it."""
    clients, peers = f"https://127.0.0.1:{ports.etcd}", f"https://127.0.0.1:{ports.etcd_peer}"
    return [
        str(binary),
        "--name=local",
        f"--data-dir={data}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=local={peers}",
        f"--cert-file={credentials.server.certificate}",
        f"--key-file={credentials.server.key}",
        f"--trusted-ca-file={credentials.authority}",
        "--client-cert-auth",
        f"--peer-cert-file={credentials.server.certificate}",
        f"--peer-key-file={credentials.server.key}",
        f"--peer-trusted-ca-file={credentials.authority}",
        "--peer-client-cert-auth",
        "--enable-grpc-gateway=false",
        # The data may be lost when the machine crashes; a stop or a kill of processes loses nothing.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server_command(
    binary: Path, ports: Ports, credentials: Credentials, *, audit_policy: Path | None, audit_log: Path | None
) -> list[str]:
    """Give the command line of kube-apiserver."""
    command = [
        str(binary),
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={ports.api_server}",
        f"--etcd-servers=https://127.0.0.1:{ports.etcd}",
        f"--etcd-cafile={credentials.authority}",
        f"--etcd-certfile={credentials.server.certificate}",
        f"--etcd-keyfile={credentials.server.key}",
        f"--tls-cert-file={credentials.server.certificate}",
        f"--tls-private-key-file={credentials.server.key}",
        f"--client-ca-file={credentials.authority}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={credentials.service_accounts}",
        f"--service-account-signing-key-file={credentials.service_accounts}",
        # Endpoints may not hold a loopback address, and no pod runs here that could use them.
        "--endpoint-reconciler-type=none",
        "--profiling=false",
    ]
    if audit_policy is not None and audit_log is not None:
        # In megabytes: one file, so that whoever reads along need not follow a rotation.
        command += [f"--audit-policy-file={audit_policy}", f"--audit-log-path={audit_log}", "--audit-log-maxsize=4096"]
    return command


def controller_manager_command(binary: Path, kubeconfig: Path, credentials: Credentials) -> list[str]:
    """Give the command line of kube-controller-manager. It listens on no port."""
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--root-ca-file={credentials.authority}",
        f"--service-account-private-key-file={credentials.service_accounts}",
        "--use-service-account-credentials=true",
        # There is only one, and a lease of a killed one would keep the next one waiting.
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    ]


def kubeconfig(server: str, authority: Path, user: str, key_pair: KeyPair) -> bytes:
    """Give a kubeconfig that needs no other file."""

    def data(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode("ascii")

    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "local", "cluster": {"server": server, "certificate-authority-data": data(authority)}},
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": data(key_pair.certificate),
                    "client-key-data": data(key_pair.key),
                },
            }
        ],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
        "current-context": "local",
    }
    return yaml.safe_dump(content, sort_keys=False).encode()
