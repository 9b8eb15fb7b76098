"""Badges: signed when a certification is passed, and a signed word on how one stands now."""

from __future__ import annotations

from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.certifications.vault import BADGES, Vault
from cloud.errors import Reason, ServiceError
from cloud.privacy.sealing import Place
from cloud.sources import Sources, to_us
from cloud.store import certifications as rows
from cloud.store.certifications import BadgeRow
from verifield.badge import BADGE_TYPE, STATUS_TYPE, read_badge
from verifield.dsse import encode_envelope, pae
from verifield.errors import VerifieldError
from verifield.v1 import badge_pb2 as pb
from verifield.wire import parse_message

STATUS_LIVES = timedelta(hours=24)
"""Whoever is shown a badge without a line goes by a status of at most this age."""

SUPERSEDED, FALSE_INFORMATION, RECERT, REOPENED, ACCOUNT_ENDED = range(1, 6)
"""Why a badge was taken back."""


class Badges:
    """In the caller's transaction."""

    def __init__(self, authority: Authority, vault: Vault, sources: Sources) -> None:
        self._authority = authority
        self._vault = vault
        self._sources = sources

    def issue(self, connection: Connection, badge: pb.Badge, row: rows.ApplicationRow) -> None:
        """Sign a badge for an application and keep it."""
        envelope = self._sign(BADGE_TYPE, badge.SerializeToString(deterministic=True))
        signed = pb.SignedBadge(envelope=envelope, certificates=self._chain())
        rows.add_badge(
            connection,
            BadgeRow(
                badge_id=badge.badge_id,
                application_id=row.application_id,
                account_id=row.account_id,
                signed=self._vault.seal(
                    connection,
                    row.account_id,
                    Place(BADGES, "signed", badge.badge_id),
                    signed.SerializeToString(deterministic=True),
                ),
                issued_us=badge.issued_us,
                expires_us=badge.expires_us,
                revoked_us=None,
                revoked_why=None,
            ),
        )

    def file_of(self, connection: Connection, application_id: str) -> bytes:
        """The badge of an application as its holder shows it, with its status of now.

        Raises:
            ServiceError: BADGE_NOT_FOUND.
        """
        row = rows.badge_of(connection, application_id)
        content = b""
        if row is not None:
            place = Place(BADGES, "signed", row.badge_id)
            content = self._vault.open(connection, row.account_id, place, row.signed)
        if row is None or not content:
            raise _not_found()
        signed = pb.SignedBadge.FromString(content)
        signed.status = self._status(row)[1]
        del signed.certificates[:]  # of the same key; they may have been renewed since
        signed.certificates.extend(self._chain())
        return signed.SerializeToString(deterministic=True)

    def check(self, connection: Connection, badge_id: str) -> tuple[pb.BadgeStatus, bytes, list[bytes]]:
        """How a badge stands now, the same signed, and the certificates of the key.

        Raises:
            ServiceError: BADGE_NOT_FOUND.
        """
        row = rows.get_badge(connection, badge_id)
        if row is None or row.signed is None:  # its person was erased: nobody here knows whose it is
            raise _not_found()
        status, envelope = self._status(row)
        return status, envelope, self._chain()

    def read(self, file: bytes) -> pb.Badge:
        """A badge that somebody was shown, with its signature checked.

        Raises:
            ServiceError: BADGE_INVALID.
        """
        try:
            signed = parse_message(pb.SignedBadge, file, what="badge", max_bytes=len(file))
            return read_badge(signed, roots=[self._authority.root])
        except VerifieldError as error:
            raise ServiceError(
                Reason.BADGE_INVALID, "The file holds no badge of this service.", {"why": error.code}
            ) from error

    def _status(self, row: BadgeRow) -> tuple[pb.BadgeStatus, bytes]:
        now_us = to_us(self._sources.now())
        state = pb.BADGE_STATE_VALID
        if now_us >= row.expires_us:
            state = pb.BADGE_STATE_EXPIRED
        if row.revoked_us is not None:
            state = pb.BADGE_STATE_REVOKED
        status = pb.BadgeStatus(
            badge_id=row.badge_id,
            state=state,
            checked_us=now_us,
            fresh_until_us=now_us + STATUS_LIVES // timedelta(microseconds=1),
            revoked_us=row.revoked_us or 0,
        )
        return status, self._sign(STATUS_TYPE, status.SerializeToString(deterministic=True))

    def _sign(self, payload_type: str, payload: bytes) -> bytes:
        key = self._authority.certification_key
        signature = key.sign(pae(payload_type, payload), ec.ECDSA(SHA256()))
        return encode_envelope(payload_type=payload_type, payload=payload, signatures=[signature])

    def _chain(self) -> list[bytes]:
        return self._authority.chain_of(self._authority.certification.certificate)

    def sign_manifest(self, payload_type: str, payload: bytes) -> bytes:
        """A manifest of an archive, with the certificates of its key."""
        envelope = self._sign(payload_type, payload)
        signed = pb.SignedManifest(envelope=envelope, certificates=self._chain())
        return signed.SerializeToString(deterministic=True)


def _not_found() -> ServiceError:
    return ServiceError(Reason.BADGE_NOT_FOUND, "There is no such badge.")
