"""Rows of devices and join tokens."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from cloud.store.schema import devices, join_tokens


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device with the head of its chain; ``seq`` 0 and an empty digest before the first record."""

    device_id: str
    site_id: str
    key_protection: int
    attestation_key_sha256: bytes
    enrolled_us: int
    chain_epoch: int
    seq: int
    head_sha256: bytes
    last_delivery_us: int | None


@dataclass(frozen=True, slots=True)
class JoinTokenRow:
    """``used_us`` is set once the token has enrolled its device."""

    token_sha256: bytes
    site_id: str
    expires_us: int
    used_us: int | None


def get_device(connection: Connection, device_id: str, *, lock: bool = False) -> DeviceRow | None:
    """Read one device; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*devices.c).where(devices.c.device_id == device_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return DeviceRow(**row._mapping) if row else None


def list_devices(connection: Connection, *, after: str, limit: int) -> list[DeviceRow]:
    """Devices in order of id, beginning behind ``after``."""
    query = select(*devices.c).where(devices.c.device_id > after).order_by(devices.c.device_id).limit(limit)
    return [DeviceRow(**row._mapping) for row in connection.execute(query)]


def has_attestation_key(connection: Connection, key_sha256: bytes) -> bool:
    """Whether a device with this attestation key exists."""
    query = select(devices.c.device_id).where(devices.c.attestation_key_sha256 == key_sha256)
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
        update(devices)
        .where(devices.c.device_id == device_id)
        .values(chain_epoch=chain_epoch, seq=seq, head_sha256=head_sha256, last_delivery_us=delivered_us)
    )


def add_join_token(
    connection: Connection, *, token_sha256: bytes, site_id: str, created_us: int, expires_us: int
) -> None:
    """Insert an unused token."""
    connection.execute(
        insert(join_tokens).values(
            token_sha256=token_sha256, site_id=site_id, created_us=created_us, expires_us=expires_us
        )
    )


def get_join_token(connection: Connection, token_sha256: bytes) -> JoinTokenRow | None:
    """Read a token by its digest."""
    table = join_tokens.c
    query = select(table.token_sha256, table.site_id, table.expires_us, table.used_us)
    row = connection.execute(query.where(table.token_sha256 == token_sha256)).one_or_none()
    return JoinTokenRow(**row._mapping) if row else None


def use_join_token(connection: Connection, token_sha256: bytes, *, device_id: str, used_us: int) -> bool:
    """Mark a token as used; False where another transaction was first."""
    result = connection.execute(
        update(join_tokens)
        .where(join_tokens.c.token_sha256 == token_sha256, join_tokens.c.used_us.is_(None))
        .values(used_us=used_us, device_id=device_id)
    )
    return bool(result.rowcount == 1)
