"""TLS: a certificate authority of the emulator's own, and the server's certificate.

Knows no protocol above it. The authority is made once and kept with the state, so that a client that trusts it goes on
doing so across restarts; the server's certificate is made anew at every start.
"""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from azure_emulator.store import Store

SETTING = "secret.certificateAuthority"
AUTHORITY_LIFE = timedelta(days=3650)
# Some clients refuse server certificates that live longer than this.
SERVER_LIFE = timedelta(days=397)
# A clock that is a little behind ours must not make a fresh certificate invalid.
SKEW = timedelta(hours=1)
NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")
# First labels of the hosts of data planes: https://{name}.{label}.{host}/. A wildcard stands for one label only.
LABELS = ("vault", "blob", "dfs", "file", "queue", "table", "web", "grafana", "core", "database")


@dataclass(frozen=True)
class Authority:
    """The certificate authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, store: Store) -> Self:
        """The authority that the state keeps, made if there is none yet."""
        kept = store.settings.get(SETTING)
        if kept is not None:
            key = serialization.load_pem_private_key(kept["key"].encode(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                msg = f"the setting {SETTING} of the state holds a key that is not ours; remove the state directory"
                raise TypeError(msg)
            return cls(x509.load_pem_x509_certificate(kept["certificate"].encode()), key)
        authority = cls.create()
        store.set(SETTING, {"certificate": authority.pem, "key": _key_pem(authority.key)})
        return authority

    @classmethod
    def create(cls) -> Self:
        """A new authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "azure-emulator CA")])
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            _builder(name, name, key.public_key(), AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def pem(self) -> str:
        """The certificate that clients have to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self, extra_names: Iterable[str] = (), labels: Iterable[str] = ()) -> ssl.SSLContext:
        """TLS for a server on this machine, with a certificate for all names under which clients may call it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        authority_key = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        certificate = (
            _builder(name, self.certificate.subject, key.public_key(), SERVER_LIFE)
            .add_extension(x509.SubjectAlternativeName(_names(extra_names, labels)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:  # the ssl module reads keys from files only
            chain = Path(directory) / "server.pem"
            chain.touch(mode=0o600)
            leaf = certificate.public_bytes(serialization.Encoding.PEM).decode()
            chain.write_text(_key_pem(key) + leaf + self.pem)
            context.load_cert_chain(chain)
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
    )


def _names(extra_names: Iterable[str], labels: Iterable[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    below = dict.fromkeys((*LABELS, *labels))
    for name in dict.fromkeys((*NAMES, *extra_names)):
        address = _address(name)
        if address is not None:
            names.append(x509.IPAddress(address))
            continue
        names += [x509.DNSName(name), x509.DNSName(f"*.{name}")]
        names += [x509.DNSName(f"*.{label}.{name}") for label in below]
        # Storage's hosts have one label more, as the suffix of /metadata/endpoints says.
        names += [x509.DNSName(f"*.{label}.core.{name}") for label in ("blob", "dfs", "file", "queue", "table")]
    return list(dict.fromkeys(names))


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
