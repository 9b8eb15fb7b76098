"""Which certificates their issuer has taken back: revocation lists (RFC 5280, section 5), checked offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from verifield.certificates import DAMAGED, check_list_issuer, parse_certificate
from verifield.errors import Forged, Malformed, Unknown, Untrusted

MAX_REVOCATION_LIST_BYTES = 4 * 1024 * 1024
"""Some 79,000 entries of 53 bytes, each with its reason."""
MAX_PEM_BYTES = 2 * MAX_REVOCATION_LIST_BYTES
"""Of the same as text."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A genuine list: ``issuer`` (a name) says of all its certificates which it had revoked by ``issued``."""

    issuer: x509.Name
    issued: datetime
    _list: x509.CertificateRevocationList = field(repr=False)

    def revoked_at(self, serial: int) -> datetime | None:
        """When the issuer revoked the certificate of that serial number; None where it has not.

        Where the issuer says that the key was in other hands before, that earlier time.

        Raises:
            Malformed: the list's entry of that number is damaged.
        """
        entry = self._list.get_revoked_certificate_by_serial_number(serial)
        if entry is None:
            return None
        revoked = entry.revocation_date_utc
        try:
            since = entry.extensions.get_extension_for_class(x509.InvalidityDate).value
        except x509.ExtensionNotFound:
            return revoked
        except DAMAGED as error:
            raise _damaged() from error
        return min(revoked, since.invalidity_date_utc)


def parse_revocation_list(
    der: bytes, *, issuers: Sequence[bytes], roots: Sequence[x509.Certificate]
) -> RevocationList:
    """Parse a list and check that one of ``issuers`` (DER) signed it, to whom a path leads from a root.

    Raises:
        Malformed: not a revocation list, or a damaged certificate.
        Forged: the signature does not hold.
        Untrusted: signed by none of the issuers, or nothing valid leads from its issuer to a root.
        Unknown: it is partial, or of another kind that is not known here.
    """
    _check_size(der)
    parsed = _parse(der)
    chain = [parse_certificate(issuer) for issuer in issuers]
    place = next((number for number, one in enumerate(chain) if one.subject == parsed.issuer), None)
    if place is None:
        raise Untrusted(
            "REVOCATION_ISSUER",
            "The revocation list is not by the authority that issued the certificate.",
            hint="Fetch the list of the deployment that issued the certificate.",
        )
    issuer = chain[place]
    try:
        holds = parsed.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except TypeError as error:
        raise Unknown(
            "KEY_ALGORITHM", "The revocation list's issuer has a key of an unknown kind."
        ) from error
    if not holds:
        raise Forged("REVOCATION_SIGNATURE", "The signature of the revocation list does not hold.")
    check_list_issuer(issuer, above=chain[place + 1 :], roots=roots, at=parsed.last_update_utc)
    return RevocationList(parsed.issuer, parsed.last_update_utc, parsed)


def read_list(content: bytes) -> bytes:
    """A list in DER, out of a file in DER or PEM; who signed it is not looked at.

    Raises:
        Malformed, Unknown: as :func:`parse_revocation_list`.
    """
    der = content
    if content.startswith(b"-----BEGIN"):
        try:
            der = x509.load_pem_x509_crl(content).public_bytes(Encoding.DER)
        except DAMAGED as error:
            raise _damaged() from error
    _check_size(der)
    _parse(der)
    return der


def _check_size(der: bytes) -> None:
    if not 0 < len(der) <= MAX_REVOCATION_LIST_BYTES:
        raise Malformed(
            "REVOCATION_LIST", f"A revocation list must have 1 to {MAX_REVOCATION_LIST_BYTES} bytes."
        )


def _parse(der: bytes) -> x509.CertificateRevocationList:
    try:
        parsed = x509.load_der_x509_crl(der)
        extensions, _ = parsed.extensions, parsed.issuer
    except UnsupportedAlgorithm as error:
        raise Unknown("KEY_ALGORITHM", "The revocation list is signed in an unknown way.") from error
    except DAMAGED as error:
        raise _damaged() from error
    # the library ignores how many bits of a signature are said to be unused
    if not der.endswith(b"\0" + parsed.signature):
        raise _damaged()
    if any(extension.critical for extension in extensions):
        raise Unknown(
            "REVOCATION_KIND",
            "The revocation list is a partial one, or of another kind that this version does not know.",
        )
    return parsed


def _damaged() -> Malformed:
    return Malformed(
        "REVOCATION_LIST", "The revocation list cannot be parsed: it is damaged or something else."
    )
