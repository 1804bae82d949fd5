# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys and certificates (X.509, RFC 5280): ECDSA P-256, signed by the fleet's authority."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xdpctl.errors import ConfigError

AUTHORITY_DAYS, NODE_DAYS = 20 * 365, 365
_BEFORE = datetime.timedelta(hours=24)  # a node's clock may be behind
Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


def new_authority(name: str) -> Pair:
    """A new authority for one fleet."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    built = (
        _builder(subject, subject, key.public_key(), AUTHORITY_DAYS * 86_400.0)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Pair(_pem(built.sign(key, hashes.SHA256())), _key_pem(key))


def issued(
    authority: Pair,
    name: str,
    addresses: Sequence[str] = (),
    seconds: float = NODE_DAYS * 86_400.0,
    key: bytes = b"",
    unit: str = "",
) -> Pair:
    """A certificate for a name, valid at these addresses (IP or DNS); a new key without `key`.

    `key` may also be the PEM of a public key: then the pair has no private key. `unit` says what
    the name may do.
    """
    ca, ca_key = certificate_of(authority.certificate), private_key(authority.key)
    private, public = _keys(key)
    names: list[Any] = [_general(address) for address in addresses]
    built = (
        _builder(_name(name, unit), ca.subject, public, seconds)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    if names:
        built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = built.sign(ca_key, hashes.SHA256())
    return Pair(_pem(certificate), _key_pem(private) if private else b"")


def revocations(authority: Pair, serials: Sequence[int]) -> bytes:
    """A list of revoked certificates (CRL), as PEM."""
    ca, key = certificate_of(authority.certificate), private_key(authority.key)
    now = _now()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(now - _BEFORE)
        .next_update(now + datetime.timedelta(days=AUTHORITY_DAYS))
        # the number must grow with each list (RFC 5280, section 5.2.3), also after a restore
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def serial(certificate: bytes) -> str:
    """The serial number of a certificate (PEM)."""
    return str(certificate_of(certificate).serial_number)


def revoked_serials(data: bytes, ca: bytes) -> tuple[int, frozenset[int]]:
    """The number of a list and its serial numbers; ConfigError unless the authority signed it."""
    try:
        crl = x509.load_pem_x509_crl(data)
        key: Any = x509.load_pem_x509_certificate(ca).public_key()
        if not crl.is_signature_valid(key):
            raise ConfigError("the authority did not sign the list of revoked certificates")
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        return number, frozenset(entry.serial_number for entry in crl)
    except x509.ExtensionNotFound:
        raise ConfigError("the list of revoked certificates has no number") from None
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the list of revoked certificates cannot be read: {error}") from None


def certificate_of(
    data: bytes, ca: bytes = b"", key: bytes = b"", name: str = ""
) -> x509.Certificate:
    """The certificate of a PEM; ConfigError unless it is signed by `ca`, for `key` and `name`."""
    try:
        certificate = x509.load_pem_x509_certificate(data)
        if ca:
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ConfigError(
            f"the certificate is not valid: {error or type(error).__name__}"
        ) from None
    if key and _raw(certificate.public_key()) != _raw(private_key(key).public_key()):
        raise ConfigError("the certificate is not for this key")
    if name and common_name(certificate) != name:
        raise ConfigError(f"the certificate is for {common_name(certificate)!r}, not for {name!r}")
    return certificate


def common_name(certificate: x509.Certificate) -> str:
    """The name that a certificate is for."""
    attributes = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attributes[0].value) if attributes else ""


def unit(certificate: x509.Certificate) -> str:
    """The unit in a certificate, which says what its name may do."""
    attributes = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return str(attributes[0].value) if attributes else ""


def fits(data: bytes) -> str:
    """The first address that a certificate is valid at; "" if it names none."""
    return next(iter(addresses_of(data)), "")


def addresses_of(data: bytes) -> list[str]:
    """All addresses that a certificate is valid at."""
    try:
        names = certificate_of(data).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in names.value.get_values_for_type(x509.IPAddress)]
    return addresses + list(names.value.get_values_for_type(x509.DNSName))


def public_pem(certificate: bytes) -> bytes:
    """The public key of a certificate, as PEM."""
    key = certificate_of(certificate).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: Any, seconds: float
) -> x509.CertificateBuilder:
    now = _now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + datetime.timedelta(seconds=seconds))
    )


def _keys(pem: bytes) -> tuple[Key | None, Any]:
    if b"PUBLIC KEY" in pem:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        return None, load_pem_public_key(pem)
    private = private_key(pem) if pem else ec.generate_private_key(ec.SECP256R1())
    return private, private.public_key()


def private_key(pem: bytes) -> Key:
    """The private key of a PEM; ConfigError if it is none of ours."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"not a private key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("the key is not ECDSA")
    return key


def _usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    ).split()
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


def _general(address: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _name(text: str, unit: str = "") -> x509.Name:
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
    return x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _raw(public: Any) -> bytes:
    raw: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return raw


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
