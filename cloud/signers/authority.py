"""Who may sign is given a certificate for one act of signing, whose key nobody keeps.

1  somebody who can know it says that the person is verified, from the rows of this transaction
2  what the certificate is to say is what was verified, and nothing else
3  a key is made, and a certificate over it
4  what was issued is kept: its number, for whom, and a digest; names stand in the documents alone
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.pdf.ports import Identity
from cloud.signers.certificates import RevokedSigner, Subject, revocation_list, signer_certificate
from cloud.signers.keys import SignerKeys
from cloud.sources import Sources, from_us, to_us
from cloud.store import signers as rows
from cloud.store.signers import SignerRow
from verifield.profile import BACKDATE
from verifield.v1 import document_service_pb2 as pb

__all__ = ["Proof", "Proven", "SignerAuthority", "Subject"]

SIGNER_LIFETIME = timedelta(days=2 * 365)
"""Longer than a contract takes from its first signature to its last. The key is gone after one act; a
certificate that still counts spares those readers of PDF a warning that look at no time-stamp."""

PLATFORM = "Verifield platform"
"""Common name of whoever freezes documents."""

_FLAGS = MappingProxyType(
    {
        pb.SIGNER_REVOCATION_REASON_WRONG_IDENTITY: x509.ReasonFlags.affiliation_changed,
        pb.SIGNER_REVOCATION_REASON_PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
        pb.SIGNER_REVOCATION_REASON_KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    }
)
_FROM_THE_BEGINNING = frozenset(
    {pb.SIGNER_REVOCATION_REASON_WRONG_IDENTITY, pb.SIGNER_REVOCATION_REASON_KEY_COMPROMISE}
)


@dataclass(frozen=True, slots=True)
class Proven:
    """What was verified: the person's name, and the organisation that the person may sign for."""

    name: str
    organisation: str = ""
    uscc: str = ""


def counts_until(row: SignerRow) -> datetime | None:
    """From when on what was signed with a certificate counts for nothing; None where it was not revoked.

    From the beginning is from the certificate's own: a time-stamp's clock may be behind ours.
    """
    if row.revoked_us is None:
        return None
    if row.reason in _FROM_THE_BEGINNING:
        return from_us(row.issued_us) - BACKDATE
    return from_us(row.revoked_us)


class Proof(Protocol):
    """Somebody who can know that a person is verified: the rooms of identities and of organisations."""

    def proven(self, connection: Connection, account_id: str) -> Proven:
        """What counts in this transaction.

        Raises:
            ServiceError: IDENTITY_REQUIRED, or why the person may not sign for the organisation.
        """
        ...


class SignerAuthority:
    """The issuing CA of signers. Any thread may use it; what it writes is the caller's transaction."""

    def __init__(self, keys: SignerKeys, sources: Sources) -> None:
        self.keys = keys
        self._sources = sources

    def issue(self, connection: Connection, subject: Subject, *, proof: Proof, now: datetime) -> Identity:
        """A new key for one act of signing, with its certificate.

        Raises:
            ServiceError: what ``proof`` raises; SIGNER_NOT_PROVEN: it proves another person or organisation.
        """
        proven = proof.proven(connection, subject.account_id)  # step 1
        asked = Proven(subject.name, subject.organisation, subject.uscc)
        if not subject.account_id or not subject.name or proven != asked:  # step 2
            raise ServiceError(
                Reason.SIGNER_NOT_PROVEN, "A certificate says what was verified, and nothing else."
            )
        kind = pb.SIGNER_KIND_ORGANISATION if subject.organisation else pb.SIGNER_KIND_PERSON
        return self._issue(connection, subject, kind, now=now)

    def platform(self, connection: Connection, *, now: datetime) -> Identity:
        """For the signature with which the platform freezes a document."""
        return self._issue(connection, Subject(PLATFORM, ""), pb.SIGNER_KIND_PLATFORM, now=now)

    def revoke(
        self, connection: Connection, serial: str, reason: pb.SignerRevocationReason.ValueType
    ) -> SignerRow:
        """Take a certificate back; one that is revoked already stays as it is. Return its row.

        Raises:
            ServiceError: SIGNER_CERTIFICATE_NOT_FOUND.
        """
        row = rows.get_signer(connection, serial, lock=True)
        if row is None:
            raise ServiceError(Reason.SIGNER_CERTIFICATE_NOT_FOUND, "There is no such certificate.")
        if row.revoked_us is None:
            # Times of revocations ascend, whatever this machine's clock does: lists are told apart by them.
            revoked_us = max(to_us(self._sources.now()), rows.newest_revocation(connection) + 1)
            rows.revoke_signer(connection, serial, revoked_us=revoked_us, reason=reason)
        return rows.get_signer(connection, serial) or row

    def crl(self, connection: Connection) -> bytes:
        """What was ever revoked of signers (RFC 5280, DER), as of now; its number is its time."""
        now = max(self._sources.now(), from_us(rows.newest_revocation(connection)))
        revoked = [
            RevokedSigner(
                int(row.serial, 16),
                from_us(row.revoked_us),
                _FLAGS[pb.SignerRevocationReason.ValueType(row.reason)],
                counts_until(row) if row.reason in _FROM_THE_BEGINNING else None,
            )
            for row in rows.list_revoked(connection)
            if row.revoked_us is not None and row.reason is not None
        ]
        return revocation_list(self.keys.signers, revoked, number=to_us(now), now=now)

    def crls(self, connection: Connection) -> tuple[bytes, ...]:
        """The lists of all who issue: what a document needs to be checked for as long as it is kept."""
        return self.crl(connection), self.keys.root_list

    def _issue(
        self,
        connection: Connection,
        subject: Subject,
        kind: pb.SignerKind.ValueType,
        *,
        now: datetime,
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())  # step 3
        certificate = signer_certificate(
            self.keys.signers,
            key.public_key(),
            subject,
            begin=now,
            lifetime=SIGNER_LIFETIME,
            list_url=self.keys.list_url,
        )
        encoded = certificate.public_bytes(Encoding.DER)
        row = SignerRow(  # step 4
            serial=f"{certificate.serial_number:x}",
            kind=kind,
            account_id=subject.account_id,
            certificate_sha256=hashlib.sha256(encoded).digest(),
            issued_us=to_us(now),
            not_after_us=to_us(certificate.not_valid_after_utc),
        )
        rows.add_signer(connection, row)
        return Identity(certificate, key, self.keys.chain, self.crls(connection))
