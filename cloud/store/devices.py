"""Rows of devices and join tokens."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select, update

from cloud.store.schema import devices, join_tokens
from verifield.v1.device_service_pb2 import DEVICE_STATE_PENDING, DEVICE_STATE_REVOKED

CONTACT_STEP_US = 60_000_000
"""The last contact is kept to the minute: a write for each call would cost more than the call."""

# Built once: a statement costs as much to put together as to execute, and these are for every batch.
_DEVICE = select(*devices.c).where(devices.c.device_id == bindparam("device_id"))
_LOCKED_DEVICE = _DEVICE.with_for_update()
_SET_HEAD = (
    update(devices)
    .where(devices.c.device_id == bindparam("of_device"))
    .values({name: bindparam(name) for name in ("chain_epoch", "seq", "head_sha256", "last_delivery_us")})
)


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device with the head of its chain; ``seq`` 0 and an empty digest before the first record.

    ``state``: a number of DeviceState. ``attestation_key``: SubjectPublicKeyInfo, DER.
    """

    device_id: str
    site_id: str
    key_protection: int
    attestation_key_sha256: bytes
    enrolled_us: int
    chain_epoch: int
    seq: int
    head_sha256: bytes
    last_delivery_us: int | None
    state: int
    account_id: str
    predecessor_id: str | None
    residency: bool
    attestation_key: bytes | None
    last_contact_us: int | None


@dataclass(frozen=True, slots=True)
class JoinTokenRow:
    """``used_us`` and ``device_id`` are set once the token has enrolled its device."""

    token_sha256: bytes
    site_id: str
    created_us: int
    expires_us: int
    used_us: int | None
    device_id: str | None
    account_id: str
    predecessor_id: str | None
    waive_approval: bool


def get_device(connection: Connection, device_id: str, *, lock: bool = False) -> DeviceRow | None:
    """Read one device; with ``lock`` no other transaction may change it meanwhile."""
    query = _LOCKED_DEVICE if lock else _DEVICE
    row = connection.execute(query, {"device_id": device_id}).one_or_none()
    return DeviceRow(**row._mapping) if row else None


def has_attestation_key(connection: Connection, key_sha256: bytes) -> bool:
    """Whether a device with this attestation key (digest of its SubjectPublicKeyInfo) exists."""
    query = select(devices.c.device_id).where(devices.c.attestation_key_sha256 == key_sha256)
    return connection.execute(query).first() is not None


def has_successor(connection: Connection, device_id: str) -> bool:
    """Whether a device that was let in, and not revoked since, has taken this one's place."""
    out = (DEVICE_STATE_PENDING, DEVICE_STATE_REVOKED)
    query = select(devices.c.device_id).where(
        devices.c.predecessor_id == device_id, devices.c.state.not_in(out)
    )
    return connection.execute(query).first() is not None


def add_device(
    connection: Connection,
    *,
    device_id: str,
    site_id: str,
    key_protection: int,
    attestation_key_sha256: bytes,
    enrolled_us: int,
    chain_epoch: int,
    state: int,
    account_id: str = "",
    predecessor_id: str | None = None,
    attestation_key: bytes | None = None,
) -> None:
    """Insert a device whose chain is empty."""
    connection.execute(
        insert(devices).values(
            device_id=device_id,
            site_id=site_id,
            key_protection=key_protection,
            attestation_key_sha256=attestation_key_sha256,
            enrolled_us=enrolled_us,
            chain_epoch=chain_epoch,
            seq=0,
            head_sha256=b"",
            state=state,
            account_id=account_id,
            predecessor_id=predecessor_id,
            residency=False,
            attestation_key=attestation_key,
        )
    )


def set_head(
    connection: Connection,
    device_id: str,
    *,
    chain_epoch: int,
    seq: int,
    head_sha256: bytes,
    delivered_us: int,
) -> None:
    """Advance the device's chain."""
    connection.execute(
        _SET_HEAD,
        {
            "of_device": device_id,
            "chain_epoch": chain_epoch,
            "seq": seq,
            "head_sha256": head_sha256,
            "last_delivery_us": delivered_us,
        },
    )


def set_state(connection: Connection, device_id: str, state: int) -> None:
    """Set a number of DeviceState."""
    connection.execute(update(devices).where(devices.c.device_id == device_id).values(state=state))


def set_residency(connection: Connection, device_id: str) -> None:
    """Keep that a TPM has proved to hold the attestation key."""
    connection.execute(update(devices).where(devices.c.device_id == device_id).values(residency=True))


def set_attestation_key(connection: Connection, device_id: str, key: bytes) -> None:
    """Keep the attestation key (SubjectPublicKeyInfo, DER) of a device of schema 0001."""
    connection.execute(update(devices).where(devices.c.device_id == device_id).values(attestation_key=key))


def needs_touch(device: DeviceRow, *, now_us: int) -> bool:
    """Whether a contact is worth a write: the one that is kept is a minute older, or there is none."""
    return device.last_contact_us is None or device.last_contact_us + CONTACT_STEP_US <= now_us


def touch(connection: Connection, device_id: str, *, now_us: int) -> None:
    """Keep the time of a contact."""
    connection.execute(update(devices).where(devices.c.device_id == device_id).values(last_contact_us=now_us))


def add_join_token(
    connection: Connection,
    *,
    token_sha256: bytes,
    site_id: str,
    created_us: int,
    expires_us: int,
    account_id: str = "",
    predecessor_id: str | None = None,
    waive_approval: bool = False,
) -> None:
    """Insert an unused token."""
    connection.execute(
        insert(join_tokens).values(
            token_sha256=token_sha256,
            site_id=site_id,
            created_us=created_us,
            expires_us=expires_us,
            account_id=account_id,
            predecessor_id=predecessor_id,
            waive_approval=waive_approval,
        )
    )


def get_join_token(connection: Connection, token_sha256: bytes, *, lock: bool = False) -> JoinTokenRow | None:
    """Read a token by its digest; with ``lock`` no other transaction may use it meanwhile."""
    query = select(*join_tokens.c).where(join_tokens.c.token_sha256 == token_sha256)
    if lock:
        query = query.with_for_update()
    row = connection.execute(query).one_or_none()
    return JoinTokenRow(**row._mapping) if row else None


def use_join_token(connection: Connection, token_sha256: bytes, *, device_id: str, used_us: int) -> bool:
    """Mark a token as used; False where another transaction was first."""
    result = connection.execute(
        update(join_tokens)
        .where(join_tokens.c.token_sha256 == token_sha256, join_tokens.c.used_us.is_(None))
        .values(used_us=used_us, device_id=device_id)
    )
    return bool(result.rowcount == 1)
