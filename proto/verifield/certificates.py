"""Who vouches for a key: certificate chains (RFC 5280), checked offline at a given time.

The path is built and checked by ``cryptography.x509.verification``; the profile below is told to
it as extension policies, because its defaults are those of web servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from verifield.errors import Malformed, Unknown, Untrusted

MAX_ROOTS = 16
"""A deployment has one root, and two while it changes."""

MAX_ROOT_BYTES = 256 * 1024
"""That many in PEM, with room for comments."""

MAX_CHAIN = 4
"""Leaf and up to three issuers."""

MAX_CERTIFICATE_BYTES = 16 * 1024
"""A P-256 certificate has under 1 KiB; a large one is an attack on the parser."""

OID_ARC = "2.25.329800735698586629295641978511506172918"
"""Our arc, made from a UUID (ITU-T X.667), which needs no registration."""

OPERATOR_CLIENT = x509.ObjectIdentifier(
    "1.2.840.113556.1.8000.2554.61175.20864.29703.19809.34269.6590111.2312900"
)
"""Extended key usage of a person's TLS client certificate, beside that of every TLS client: it keeps
operators and devices, whose certificates come from the same authority, apart.

A random UUID in the arc that Microsoft keeps for them, in small numbers: programs in Go, which operators'
tools are, load no certificate with a usage that has a number beyond 31 bits."""

DAMAGED = (
    ValueError,
    TypeError,
    Warning,  # where warnings are errors
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises on bytes that are no certificate and no revocation list."""

_NOT_SELF_SIGNED = (InvalidSignature, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound)


class Purpose(Enum):
    """What a certificate's key may sign; the value is the extended key usage.

    ATTESTATION: the common name is the device id. LOG: the common name is the log's origin.
    POLICY: policies and directives. AUDIT: heads of the audit chain, and manifests of backups.
    CERTIFICATION: badges, their status, and manifests of archives.
    """

    ATTESTATION = f"{OID_ARC}.1"
    RECEIPT = f"{OID_ARC}.2"
    LOG = f"{OID_ARC}.3"
    POLICY = f"{OID_ARC}.4"
    AUDIT = f"{OID_ARC}.6"
    CERTIFICATION = f"{OID_ARC}.7"

    @property
    def oid(self) -> x509.ObjectIdentifier:
        return x509.ObjectIdentifier(self.value)


def load_roots(pem: bytes) -> list[x509.Certificate]:
    """Parse a PEM file of 1 to 16 self-signed CA certificates.

    Raises:
        Malformed: no PEM certificates, too many, too large, or one that is no self-signed CA.
    """
    if len(pem) > MAX_ROOT_BYTES:
        raise Malformed("ROOT_FILE", f"The trust root must have at most {MAX_ROOT_BYTES} bytes.")
    try:
        roots = x509.load_pem_x509_certificates(pem)
    except DAMAGED as error:
        raise Malformed("ROOT_FILE", "The trust root is not a file of PEM certificates.") from error
    if not 1 <= len(roots) <= MAX_ROOTS:
        raise Malformed("ROOT_FILE", f"The trust root must have 1 to {MAX_ROOTS} certificates.")
    for root in roots:
        try:
            root.verify_directly_issued_by(root)
            ca = root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (
            InvalidSignature,
            ValueError,
            TypeError,
            UnsupportedAlgorithm,
            x509.ExtensionNotFound,
        ) as error:
            raise _not_a_root() from error
        if not ca:
            raise _not_a_root()
    return roots


def load_chain(pem: bytes) -> list[bytes]:
    """Parse a PEM file of 1 to 4 certificates, leaf first, and return them in DER.

    Raises:
        Malformed: no PEM certificates, too many, or too large.
    """
    if len(pem) > MAX_ROOT_BYTES:
        raise Malformed("CHAIN_FILE", f"A certificate chain must have at most {MAX_ROOT_BYTES} bytes.")
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except DAMAGED as error:
        raise Malformed("CHAIN_FILE", "The chain is not a file of PEM certificates.") from error
    if len(chain) > MAX_CHAIN:
        raise Malformed("CHAIN_FILE", f"The chain must have at most {MAX_CHAIN} certificates.")
    return [certificate.public_bytes(Encoding.DER) for certificate in chain]


def parse_certificate(der: bytes) -> x509.Certificate:
    """Parse one certificate whole, extensions and key included.

    Raises:
        Malformed: not a certificate.
        Unknown: its key is of a kind that is not known here.
    """
    if not 0 < len(der) <= MAX_CERTIFICATE_BYTES:
        raise Malformed("CERTIFICATE", f"A certificate must have 1 to {MAX_CERTIFICATE_BYTES} bytes.")
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions, certificate.subject, certificate.issuer
        certificate.public_key()
    except UnsupportedAlgorithm as error:
        raise Unknown("KEY_ALGORITHM", "A certificate's key is of a kind that is not known here.") from error
    except DAMAGED as error:
        raise _damaged() from error
    # the library only warns of such a serial, and ignores how many bits of a signature are said to be unused
    if certificate.serial_number <= 0 or not der.endswith(b"\0" + certificate.signature):
        raise _damaged()
    return certificate


def check_chain(
    chain: Sequence[bytes], *, roots: Sequence[x509.Certificate], at: datetime, purpose: Purpose
) -> x509.Certificate:
    """Check ``chain`` (DER, leaf first, root left out) and return the leaf.

    Every certificate of the chain must be used, each must be valid ``at`` that time (aware), and the
    leaf must be for ``purpose`` alone.

    Raises:
        Malformed: a certificate cannot be parsed, or there are none or too many.
        Untrusted: no path to a root, not valid at that time, or for another purpose.
        Unknown: a key of a kind that is not known here.
    """
    if not roots:
        raise ValueError("a check against no root would trust nobody, or everybody")
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise Malformed("CHAIN_LENGTH", f"A certificate chain must have 1 to {MAX_CHAIN} certificates.")
    leaf, *issuers = [parse_certificate(der) for der in chain]
    _check_purpose(leaf, purpose)
    _check_validity(leaf, at)
    path = _find_path(leaf, issuers, roots=roots, at=at, leaf_policy=_leaf_policy())
    if path[:-1] != [leaf, *issuers]:
        raise Untrusted("CHAIN", "The certificates do not form one chain, leaf first, without the root.")
    return leaf


def check_list_issuer(
    issuer: x509.Certificate,
    *,
    above: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
) -> None:
    """Check that, ``at`` that time, ``issuer`` may sign revocation lists and a path leads to it from a root.

    ``above``: the issuers between it and the root.

    Raises:
        Untrusted: no path, not valid at that time, or not a CA that may sign lists.
    """
    if not roots:
        raise ValueError("a check against no root would trust nobody, or everybody")
    _find_path(issuer, above, roots=roots, at=at, leaf_policy=_list_issuer_policy())


def signing_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key of an attestation or receipt certificate; Unknown for any other key."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Unknown(
            "KEY_ALGORITHM", "The signer's key is not a P-256 key, the only kind that signs envelopes."
        )
    return key


def log_key(certificate: x509.Certificate) -> Ed25519PublicKey:
    """Return the Ed25519 key of a log certificate; Unknown for any other key."""
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise Unknown(
            "KEY_ALGORITHM", "The log's key is not an Ed25519 key, the only kind that signs checkpoints."
        )
    return key


def common_name(certificate: x509.Certificate) -> str:
    """Return the one common name of the subject.

    Raises:
        Malformed: there is none, or more than one.
    """
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise Malformed("CERTIFICATE_NAME", "A certificate's subject must have exactly one common name.")
    return str(names[0].value)


def _find_path(
    leaf: x509.Certificate,
    issuers: Sequence[x509.Certificate],
    *,
    roots: Sequence[x509.Certificate],
    at: datetime,
    leaf_policy: ExtensionPolicy,
) -> list[x509.Certificate]:
    """Return the path from ``leaf`` to a root, both included."""
    verifier = (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(at)
        .max_chain_depth(MAX_CHAIN)
        .extension_policies(ca_policy=_issuer_policy(), ee_policy=leaf_policy)
        .build_client_verifier()
    )
    try:
        return verifier.verify(leaf, list(issuers)).chain
    except VerificationError as error:
        raise Untrusted(
            "CHAIN",
            "No valid certificate chain leads from the signer to the given root.",
            hint="Check that the root belongs to this deployment; if it does, do not trust the signer.",
        ) from error


def _check_purpose(leaf: x509.Certificate, purpose: Purpose) -> None:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usage = x509.ExtendedKeyUsage([])
    if list(usage) != [purpose.oid]:
        raise Untrusted(
            "CERTIFICATE_PURPOSE",
            f"The signer's certificate is not one for {purpose.name.lower()} signatures.",
            hint="A key may sign only what its certificate was issued for: do not trust the signer.",
        )


def _check_validity(leaf: x509.Certificate, at: datetime) -> None:
    first, last = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not first <= at <= last:
        raise Untrusted(
            "CERTIFICATE_TIME",
            f"The signer's certificate is valid from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, "
            f"but the time in question is {at:%Y-%m-%d %H:%M} UTC.",
            hint="A signature made outside that time counts for nothing: ask who kept the key.",
        )


def _issuer_policy() -> ExtensionPolicy:
    """Issuers are CAs, may sign certificates, and say both in critical extensions."""
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.CRITICAL, _check_is_ca)
        .require_present(x509.KeyUsage, Criticality.CRITICAL, _check_may_issue)
    )


def _leaf_policy() -> ExtensionPolicy:
    """Leaves are no CAs and may sign."""
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.CRITICAL, _check_is_no_ca)
        .require_present(x509.KeyUsage, Criticality.CRITICAL, _check_may_sign)
    )


def _list_issuer_policy() -> ExtensionPolicy:
    """Whoever signs revocation lists is a CA that may, and says both in critical extensions."""
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.CRITICAL, _check_is_ca)
        .require_present(x509.KeyUsage, Criticality.CRITICAL, _check_may_sign_lists)
    )


def _check_is_ca(_policy: Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("the issuer is no CA")


def _check_may_issue(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("the issuer may not sign certificates")


def _check_may_sign_lists(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.crl_sign:
        raise ValueError("the issuer may not sign revocation lists")


def _check_is_no_ca(
    _policy: Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints
) -> None:
    if constraints.ca:
        raise ValueError("the signer is a CA")


def _check_may_sign(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.digital_signature:
        raise ValueError("the signer may not sign")


def _damaged() -> Malformed:
    return Malformed("CERTIFICATE", "A certificate cannot be parsed: it is damaged.")


def _not_a_root() -> Malformed:
    return Malformed("ROOT_FILE", "A certificate of the trust root is not a self-signed CA certificate.")
