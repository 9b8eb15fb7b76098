"""Rows of the certificates that devices were given, and of the open questions to their TPMs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from cloud.store.schema import issued_certificates, tpm_challenges
from cloud.store.values import to_values

# Built once: it is asked for every batch.
_REVOKED = select(issued_certificates.c.serial).where(
    issued_certificates.c.device_id == bindparam("device_id"),
    issued_certificates.c.serial == bindparam("serial"),
    issued_certificates.c.revoked_us.is_not(None),
)

ATTESTATION, TLS_CLIENT = "attestation", "tls_client"


@dataclass(frozen=True, slots=True)
class IssuedRow:
    """``serial``: lower-case hex; ``purpose``: ATTESTATION or TLS_CLIENT; ``reason``: RevocationReason.

    ``certificate_sha256``: leaf of the stored chain, for attestation certificates.
    """

    device_id: str
    serial: str
    purpose: str
    issued_us: int
    not_after_us: int
    revoked_us: int | None = None
    reason: int | None = None
    certificate_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class TpmChallengeRow:
    """The secret itself is never kept, nor what it was sent in: who asks again is asked anew."""

    device_id: str
    secret_sha256: bytes
    expires_us: int


def add_issued(connection: Connection, row: IssuedRow) -> None:
    """Keep that a certificate was given out."""
    connection.execute(insert(issued_certificates).values(**to_values(row)))


def count_issued(connection: Connection, device_id: str, *, purpose: str, since_us: int = 0) -> int:
    """How many certificates for a purpose a device was given since then."""
    query = select(func.count()).where(
        issued_certificates.c.device_id == device_id,
        issued_certificates.c.purpose == purpose,
        issued_certificates.c.issued_us > since_us,
    )
    return int(connection.execute(query).scalar_one())


def valid_attestation(connection: Connection, device_id: str, *, at_us: int, until_us: int) -> bytes | None:
    """Leaf digest of a device's attestation certificate that is valid at a time and beyond another."""
    query = select(issued_certificates.c.certificate_sha256).where(
        issued_certificates.c.device_id == device_id,
        issued_certificates.c.purpose == ATTESTATION,
        issued_certificates.c.issued_us <= at_us,
        issued_certificates.c.not_after_us > until_us,
        issued_certificates.c.revoked_us.is_(None),
        issued_certificates.c.certificate_sha256.is_not(None),
    )
    newest = query.order_by(issued_certificates.c.issued_us.desc()).limit(1)
    found: bytes | None = connection.execute(newest).scalar_one_or_none()
    return found


def is_issued(connection: Connection, device_id: str, serial: str) -> bool:
    """Whether a certificate of the device is on record."""
    query = select(issued_certificates.c.serial).where(
        issued_certificates.c.device_id == device_id, issued_certificates.c.serial == serial
    )
    return connection.execute(query).first() is not None


def is_revoked(connection: Connection, device_id: str, serial: str) -> bool:
    """Whether a certificate of the device was revoked."""
    return connection.execute(_REVOKED, {"device_id": device_id, "serial": serial}).first() is not None


def revoke_issued(connection: Connection, device_id: str, *, revoked_us: int, reason: int) -> int:
    """Revoke all of a device's certificates that are not yet; return how many that were."""
    result = connection.execute(
        update(issued_certificates)
        .where(issued_certificates.c.device_id == device_id, issued_certificates.c.revoked_us.is_(None))
        .values(revoked_us=revoked_us, reason=reason)
    )
    return int(result.rowcount)


def newest_revocation(connection: Connection) -> int:
    """The time of the newest revocation; 0 where nothing was ever revoked."""
    # Said for the index, which has no others.
    revoked = issued_certificates.c.revoked_us.is_not(None)
    newest = select(func.max(issued_certificates.c.revoked_us)).where(revoked)
    return connection.execute(newest).scalar_one() or 0


def list_revoked(connection: Connection, *, tls_until_us: int) -> list[IssuedRow]:
    """Revoked certificates in order of time and serial; of those for TLS, the ones valid until then."""
    lasting = or_(
        issued_certificates.c.purpose == ATTESTATION, issued_certificates.c.not_after_us >= tls_until_us
    )
    query = select(*issued_certificates.c).where(issued_certificates.c.revoked_us.is_not(None), lasting)
    rows = connection.execute(query.order_by(issued_certificates.c.revoked_us, issued_certificates.c.serial))
    return [IssuedRow(**row._mapping) for row in rows]


def put_challenge(connection: Connection, row: TpmChallengeRow) -> None:
    """Keep the question to a device's TPM; one before it counts no more."""
    drop_challenge(connection, row.device_id)
    connection.execute(insert(tpm_challenges).values(**to_values(row)))


def get_challenge(connection: Connection, device_id: str) -> TpmChallengeRow | None:
    """The open question to a device's TPM."""
    query = select(*tpm_challenges.c).where(tpm_challenges.c.device_id == device_id)
    row = connection.execute(query).one_or_none()
    return TpmChallengeRow(**row._mapping) if row else None


def drop_challenge(connection: Connection, device_id: str) -> None:
    """Forget it: it was answered, or has expired."""
    connection.execute(delete(tpm_challenges).where(tpm_challenges.c.device_id == device_id))
