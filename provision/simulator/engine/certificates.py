"""The certificates of a simulated vCenter: a CA of its own, and what it has signed."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=30)
_LEEWAY = timedelta(hours=1)
_CA_USAGE = {"key_cert_sign", "crl_sign"}
_SERVER_USAGE = {"digital_signature"}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server proves itself with, and what a client needs to check it.

    Attributes:
        ca_file: The CA's certificate (PEM), for clients.
        thumbprint: SHA-256 of the server's certificate: `AB:CD:…`.
        context: The server's side of TLS.
    """

    ca_file: Path
    thumbprint: str
    context: ssl.SSLContext


def make_identity(host: str, directory: Path) -> Identity:
    """Make a CA and a server certificate for `host` and localhost; the files go to `directory`.

    The private key of the CA is forgotten, that of the server is readable by its owner only.
    """
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("vdl simulator CA")
    ca = _build(ca_name, ca_name, ca_key, ca_key, usage=_CA_USAGE, names=None)
    key = ec.generate_private_key(ec.SECP256R1())
    server = _build(
        _name(host), ca_name, key, ca_key, usage=_SERVER_USAGE, names=_subject_names(host)
    )
    directory.mkdir(parents=True, exist_ok=True)
    ca_file, server_file = directory / "ca.pem", directory / "server.pem"
    ca_file.write_bytes(_pem(ca))
    server_file.touch(mode=0o600)
    server_file.write_bytes(_key_pem(key) + _pem(server))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    return Identity(ca_file, server.fingerprint(hashes.SHA256()).hex(":").upper(), context)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _subject_names(host: str) -> list[x509.GeneralName]:
    """Return the names that clients may use: a wildcard address has those of the machine."""
    names = {host, "localhost", "127.0.0.1", "::1"}
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        names |= {socket.gethostname()}
    return [_general_name(name) for name in sorted(names - {""})]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _build(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    usage: set[str],
    names: list[x509.GeneralName] | None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        .add_extension(_key_usage(usage), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(authority, critical=False)
    )
    if names is not None:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _key_usage(usage: set[str]) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in usage for name in every})


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
