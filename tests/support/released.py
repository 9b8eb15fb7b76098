"""Databases as released versions left them, filled in every table, on either engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, bindparam, create_engine, inspect, text

from cloud.store import database
from tests.support.authority import Authority, Device, verification

KEY = bytes(range(32))
MIGRATIONS = Path(database.__file__).with_name("migrations")

# What version 0002 added: a row of each new table, and what it can only hold since then.
_ROWS_0002: dict[str, dict[str, Any]] = {
    "issued_certificates": {
        "device_id": "device-2",
        "serial": "ab12",
        "purpose": "tls_client",
        "issued_us": 1,
        "not_after_us": 9,
        "revoked_us": 5,
        "reason": 1,
        "certificate_sha256": None,
    },
    "tpm_challenges": {"device_id": "device-2", "secret_sha256": KEY, "expires_us": 7},
    "alarms": {
        "device_id": "device-1",
        "alarm_id": "00000000-0000-7000-8000-000000000001",
        "kind": 3,
        "raised_us": 4,
        "chain_epoch": 1,
        "seq": 2,
        "reason": "FORK",
        "acknowledged_us": None,
    },
    "staged": {
        "device_id": "device-1",
        "chain_epoch": 1,
        "seq": 9,
        "envelope": b"waits",
        "envelope_sha256": KEY,
        "leaf_hash": KEY,
        "certificate_sha256": None,  # filled in below
        "excusing": False,
        "received_us": 8,
    },
    "excuses": {
        "device_id": "device-1",
        "chain_epoch": 1,
        "by_seq": 9,
        "first_seq": 4,
        "last_seq": 8,
        "last_sha256": KEY,
        "refused": True,
    },
    "epochs": {
        "device_id": "device-2",
        "chain_epoch": 2,
        "opened_us": 3,
        "closed_epoch": 1,
        "closed_seq": 0,
        "closed_sha256": b"",
        "device_epoch": None,
        "device_seq": None,
        "device_sha256": None,
    },
    "side_records": {
        "device_id": "device-2",
        "sha256": KEY,
        "kind": 1,
        "chain_epoch": 0,
        "seq": 0,
        "record_id": "00000000-0000-7000-8000-000000000002",
        "reason": "SIGNATURE",
        "received_us": 6,
        "content": b"refused",
    },
    "media": {
        "device_id": "device-1",
        "sha256": KEY,
        "size_bytes": 77,
        "attestation_id": "00000000-0000-7000-8000-000000000003",
        "name": "best-shot",
        "named_us": 2,
        "complete_us": None,
    },
    "policies": {"version": 1, "envelope": b"policy", "payload_sha256": KEY, "issued_us": 1},
    "feed_scopes": {"scope": "all", "seq": 4},
    "feed_items": {
        "scope": "all",
        "seq": 4,
        "kind": 1,
        "item_id": "policy",
        "content": b"policy",
        "removed": False,
    },
    "join_tokens": {
        "token_sha256": KEY[::-1],
        "site_id": "site-2",
        "created_us": 1,
        "expires_us": 9,
        "used_us": 2,
        "device_id": "device-2",
        "account_id": "account",
        "predecessor_id": "device-1",
        "waive_approval": True,
    },
    "receipts": {
        "sha256": KEY[::-1],
        "device_id": "device-2",
        "envelope": b"receipt-2",
        "signed_us": 10,
        "certificate_sha256": None,
    },
}


@dataclass(frozen=True, slots=True)
class Released:
    """The first device, which has three records; the notes of all checkpoints; the records."""

    device: Device
    notes: list[str]
    envelopes: list[bytes]


@contextmanager
def raw(url: str) -> Iterator[Connection]:
    """One transaction beside the store."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def upgrade_to(connection: Connection, revision: str) -> None:
    """Run the migrations up to one."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def write_0001(url: str) -> Released:
    """Version 0001: a device with three records, the last two citing a checkpoint, and one without any."""
    authority = Authority.create()
    device = authority.enroll("device-1")
    notes, envelopes = [authority.checkpoint(0)], []
    leaf, issuing = (hashlib.sha256(der).digest() for der in device.chain)
    with raw(url) as connection:
        upgrade_to(connection, "0001")
        for name, key, seq, head, last in (
            ("device-1", KEY, 3, KEY, 7),
            ("device-2", KEY[::-1], 0, b"", None),
        ):
            insert(
                connection, "devices", device_id=name, site_id="site-1", key_protection=1,
                attestation_key_sha256=key, enrolled_us=5, chain_epoch=1, seq=seq, head_sha256=head,
                last_delivery_us=last,
            )  # fmt: skip
        insert(connection, "join_tokens", token_sha256=KEY, site_id="site-1", created_us=1, expires_us=2)
        insert(connection, "certificates", sha256=issuing, der=device.chain[1])
        insert(connection, "certificates", sha256=leaf, der=device.chain[0], issuer_sha256=issuing)
        insert(connection, "checkpoints", tree_size=0, note=notes[0], signed_us=1)
        insert(connection, "receipts", sha256=KEY, device_id="device-1", envelope=b"receipt", signed_us=9)
        for number in range(3):
            statement = verification(device)
            if number:
                statement.last_checkpoint_sha256 = hashlib.sha256(notes[-1].encode()).digest()
            envelopes.append(device.sign(statement))
            authority.append(envelopes[-1], device.chain[0])
            notes.append(authority.checkpoint())
            insert(connection, "log_leaves", log_index=number, leaf_hash=KEY)
            insert(connection, "checkpoints", tree_size=number + 1, note=notes[-1], signed_us=1)
            insert(
                connection, "attestations", log_index=number, attestation_id=statement.attestation_id,
                device_id="device-1", chain_epoch=1, seq=number + 1, envelope=envelopes[-1],
                envelope_sha256=KEY, certificate_sha256=leaf, site_id="site-1", kind=1, outcome=1,
                reasons="[]", wall_us=3, received_us=4,
            )  # fmt: skip
    return Released(device, notes, envelopes)


def write_0002(url: str) -> tuple[Released, dict[str, list[dict[str, Any]]]]:
    """Version 0002: what 0001 left, brought forward, and more. Also returns all rows of all tables."""
    released = write_0001(url)
    with raw(url) as connection:
        upgrade_to(connection, "0002")
        leaf = {"certificate_sha256": hashlib.sha256(released.device.chain[0]).digest()}
        for table, row in _ROWS_0002.items():
            insert(connection, table, **(row | leaf if table == "staged" else row))
        return released, all_rows(connection)


def insert(connection: Connection, table: str, **values: Any) -> None:
    """One row."""
    names = ", ".join(values)
    parameters = ", ".join(f":{name}" for name in values)
    statement = text(f"INSERT INTO {table} ({names}) VALUES ({parameters})")
    connection.execute(statement.bindparams(*(bindparam(name) for name in values)), values)


def all_rows(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table but Alembic's own, sorted, in values that compare on both engines."""
    tables = _tables(connection)
    return {name: table_rows(connection, name) for name in tables if name != "alembic_version"}


def table_rows(connection: Connection, table: str) -> list[dict[str, Any]]:
    """The rows of a table, sorted."""
    found = connection.execute(text(f"SELECT * FROM {table}")).mappings()
    rows = [{key: _plain(value) for key, value in row.items()} for row in found]
    return sorted(rows, key=lambda row: repr(sorted(row.items())))


def _tables(connection: Connection) -> list[str]:
    return sorted(inspect(connection).get_table_names())


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, bytes | memoryview) else value
