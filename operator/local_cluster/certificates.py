"""The keys and certificates of a local cluster: one authority of its own, and what it signs.

Must not know who uses which certificate.
"""

import datetime as dt
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A cluster is stopped and started again for as long as somebody likes its data; nothing renews these.
_LIFETIME = dt.timedelta(days=3650)
# For clocks that are set back, as those of virtual machines are.
_BACKDATED = dt.timedelta(hours=1)

_SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


class Authority:
    """The certificates in one folder; those that are there already are kept, so that kubeconfigs stay valid."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.certificate = directory / "ca.crt"
        key_file = directory / "ca.key"
        if not (self.certificate.exists() and key_file.exists()):
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("local-cluster", ())
            _write_key(key_file, key)
            _write_certificate(self.certificate, _builder(name, name, key, authority=True).sign(key, hashes.SHA256()))
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key_file} is not a key that this program wrote: remove {directory}.")
        self._key = loaded
        self._issuer = x509.load_pem_x509_certificate(self.certificate.read_bytes()).subject

    def key_pair(self, file_name: str, common_name: str, groups: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """Give the certificate and the key of that name, signed for clients and for servers on this machine."""
        certificate, key_file = self._directory / f"{file_name}.crt", self._directory / f"{file_name}.key"
        if not (certificate.exists() and key_file.exists()):
            key = ec.generate_private_key(ec.SECP256R1())
            _write_key(key_file, key)
            builder = _builder(_name(common_name, groups), self._issuer, key, authority=False)
            _write_certificate(certificate, builder.sign(self._key, hashes.SHA256()))
        return certificate, key_file

    def signing_key(self, file_name: str) -> Path:
        """Give a bare private key, for tokens."""
        key_file = self._directory / f"{file_name}.key"
        if not key_file.exists():
            _write_key(key_file, ec.generate_private_key(ec.SECP256R1()))
        return key_file


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only the current user may read, as a whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    temporary.replace(path)


def _name(common_name: str, groups: tuple[str, ...]) -> x509.Name:
    # Kubernetes reads the user from the common name and the groups from the organizations.
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=authority,
                crl_sign=authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if authority:
        return builder
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    names = [x509.DNSName(name) for name in _SERVER_NAMES]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return builder.add_extension(x509.SubjectAlternativeName([*addresses, *names]), critical=False).add_extension(
        x509.ExtendedKeyUsage(usages), critical=False
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    # The form that kube-apiserver reads for token keys too.
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    write_private(path, pem)


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM))
