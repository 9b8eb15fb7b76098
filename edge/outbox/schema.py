"""The store's tables and their history. A migration and its record share one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable

from google.protobuf.message import DecodeError
from sqlite_utils import Database, Migrations

from edge.errors import StorageError
from edge.outbox.faults import corrupt
from edge.sqlite import immediate
from verifield.errors import VerifieldError
from verifield.note import parse_checkpoint
from verifield.v1.bundle_pb2 import Envelope, Receipt


def m001_records_and_chain(db: Database) -> None:
    """Records, their encrypted private parts, chain head, newest receipt. Times are ISO 8601, UTC."""
    db.table("device").create({"id": int, "device_id": str}, pk="id", not_null={"device_id"})
    db.table("records").create(
        {
            "id": int,
            "epoch": int,
            "seq": int,
            "attestation_id": str,
            "sha256": bytes,
            "state": str,
            "reason": str,
            "created_at": str,
            "confirmed_at": str,
            "envelope": bytes,
        },
        pk="id",
        not_null={"epoch", "seq", "attestation_id", "sha256", "envelope", "state", "reason", "created_at"},
    )
    db.table("records").create_index(["seq", "epoch"], unique=True)  # looked up by seq
    db.table("records").create_index(["attestation_id"], unique=True)
    db.table("records").create_index(["state", "confirmed_at"])
    # Apart, because a change of state writes a record's row anew, and these are twenty times as long.
    db.table("private").create(
        {"attestation_id": str, "sealed": bytes}, pk="attestation_id", not_null={"sealed"}
    )
    db.table("chain").create(
        {"id": int, "epoch": int, "seq": int, "sha256": bytes}, pk="id", not_null={"epoch", "seq", "sha256"}
    )
    db.table("receipts").create(
        {
            "id": int,
            "envelope": bytes,
            "sha256": bytes,
            "epoch": int,
            "through_seq": int,
            "head_sha256": bytes,
            "checkpoint_sha256": bytes,
            "server_time": str,
        },
        pk="id",
        not_null={
            "envelope",
            "sha256",
            "epoch",
            "through_seq",
            "head_sha256",
            "checkpoint_sha256",
            "server_time",
        },
    )


def m002_epochs_media_and_evidence(db: Database) -> None:
    """Many epochs, media files, holes and their excuses, the witnessed log, clocks, the counter."""
    for sql in _M002_TABLES:
        db.execute(sql)
    # A record that the service refused was held up until somebody asked for it again. Now it is sent
    # once more, so that a service of this version keeps what it refuses, and its place is closed.
    db.execute(
        "INSERT INTO delivery (epoch, seq, size, state, confirmed_at) SELECT epoch, seq, length(envelope), "
        "CASE state WHEN 'INVALID' THEN 'PENDING' ELSE state END, confirmed_at FROM records"
    )
    for column in ("state", "reason", "confirmed_at"):
        db.execute(f"ALTER TABLE records DROP COLUMN {column}")
    db.execute("INSERT INTO epochs (epoch, seq, sha256) SELECT epoch, seq, sha256 FROM chain")
    db.execute(
        "UPDATE epochs SET confirmed_seq = r.through_seq, confirmed_sha256 = r.head_sha256 "
        "FROM receipts AS r WHERE r.epoch = epochs.epoch"
    )
    db.execute("INSERT INTO receipt (id, envelope, sha256) SELECT id, envelope, sha256 FROM receipts")
    for (envelope,) in db.execute("SELECT envelope FROM receipts").fetchall():
        _keep_witnessed(db, envelope)
    db.execute("DROP TABLE receipts")
    db.execute("DROP TABLE chain")


_M002_TABLES = (
    # The newest record of each epoch, and through where receipts confirmed it. Survives every purge.
    "CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, seq INTEGER NOT NULL, sha256 BLOB NOT NULL, "
    "confirmed_seq INTEGER NOT NULL DEFAULT 0, confirmed_sha256 BLOB NOT NULL DEFAULT x'')",
    # The newest receipt, and when it arrived on the device's own clock (unknown for older stores).
    "CREATE TABLE receipt (id INTEGER PRIMARY KEY, envelope BLOB NOT NULL, sha256 BLOB NOT NULL, "
    "arrival_boot_id TEXT, arrival_ns INTEGER)",
    "CREATE TABLE witness (id INTEGER PRIMARY KEY, tree_size INTEGER NOT NULL, note TEXT NOT NULL, "
    "sha256 BLOB NOT NULL)",
    "CREATE TABLE clock (id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, monotonic_ns INTEGER NOT NULL, "
    "wall TEXT NOT NULL)",
    # What GAP and TOMBSTONE records of ours excuse.
    "CREATE TABLE excuses (epoch INTEGER NOT NULL, by_seq INTEGER NOT NULL, first_seq INTEGER NOT NULL, "
    "last_seq INTEGER NOT NULL, refused INTEGER NOT NULL, PRIMARY KEY (epoch, by_seq))",
    # Rows of records that must not be believed. The rows themselves are never touched again.
    "CREATE TABLE damaged (epoch INTEGER NOT NULL, seq INTEGER NOT NULL, content BLOB NOT NULL, "
    "sent INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (epoch, seq))",
    "CREATE TABLE media (sha256 BLOB PRIMARY KEY, size INTEGER NOT NULL, state TEXT NOT NULL)",
    "CREATE TABLE record_media (epoch INTEGER NOT NULL, seq INTEGER NOT NULL, sha256 BLOB NOT NULL, "
    "PRIMARY KEY (epoch, seq, sha256))",
    "CREATE INDEX idx_record_media_sha256 ON record_media (sha256)",
    # What the hardware counter shows once the newest record's commit is complete.
    "CREATE TABLE counter (id INTEGER PRIMARY KEY, expected INTEGER NOT NULL)",
    # There while only a RESET may be appended, and why.
    "CREATE TABLE reset_needed (id INTEGER PRIMARY KEY, reason TEXT NOT NULL)",
    "CREATE UNIQUE INDEX idx_records_epoch_seq ON records (epoch, seq)",
    "DROP INDEX idx_records_seq_epoch",
    "DROP INDEX idx_records_state_confirmed_at",
    # How far each record is. Apart, so that no broken page of the records stops acknowledgements, and
    # so that these need not write a record anew. size: of its envelope, in bytes.
    "CREATE TABLE delivery (epoch INTEGER NOT NULL, seq INTEGER NOT NULL, size INTEGER NOT NULL, "
    "state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', confirmed_at TEXT, PRIMARY KEY (epoch, seq)) "
    "WITHOUT ROWID",
    "CREATE INDEX idx_delivery_state ON delivery (state, confirmed_at)",
    "CREATE INDEX idx_delivery_unconfirmed ON delivery (epoch, seq) WHERE state IN ('PENDING', 'DELIVERED')",
)


def m003_sessions_under_way(db: Database) -> None:
    """Sessions that have begun and have no record yet."""
    db.execute(
        "CREATE TABLE begun (session_id BLOB PRIMARY KEY, operator_id TEXT NOT NULL, role TEXT NOT NULL, "
        "factors TEXT NOT NULL, standing TEXT NOT NULL)"
    )


def _keep_witnessed(db: Database, envelope: bytes) -> None:
    """The checkpoint of the newest receipt is the one that later trees must have grown out of."""
    try:
        note = Receipt.FromString(Envelope.FromString(envelope).payload).checkpoint
        tree_size = parse_checkpoint(note).size
    except (DecodeError, VerifieldError):  # a damaged row: the next receipt brings another
        return
    db.execute(
        "INSERT INTO witness (id, tree_size, note, sha256) VALUES (1, ?, ?, ?)",
        (tree_size, note, hashlib.sha256(note.encode()).digest()),
    )


STEPS: tuple[Callable[[Database], None], ...] = (
    m001_records_and_chain,
    m002_epochs_media_and_evidence,
    m003_sessions_under_way,
)
"""Oldest first. A released one is never changed: a new one follows."""

COLUMNS = {
    "device": "id device_id",
    "records": "id epoch seq attestation_id sha256 created_at envelope",
    "delivery": "epoch seq size state reason confirmed_at",
    "private": "attestation_id sealed",
    "epochs": "epoch seq sha256 confirmed_seq confirmed_sha256",
    "receipt": "id envelope sha256 arrival_boot_id arrival_ns",
    "witness": "id tree_size note sha256",
    "clock": "id boot_id monotonic_ns wall",
    "excuses": "epoch by_seq first_seq last_seq refused",
    "damaged": "epoch seq content sent",
    "media": "sha256 size state",
    "record_media": "epoch seq sha256",
    "counter": "id expected",
    "reset_needed": "id reason",
    "begun": "session_id operator_id role factors standing",
}
"""What all steps together leave. Compared at each opening, so that a damaged schema is told from a bug."""


def migrate(db: Database) -> None:
    """Bring the store to this version's schema, all in one transaction.

    Raises:
        StorageError: OUTBOX_NEWER, when a newer version has migrated it already; OUTBOX_CORRUPT, when
            its tables are not those that it says it has.
    """
    migrations = Migrations("outbox")
    for step in STEPS:
        migrations()(step)
    with immediate(db.conn):
        applied = {item.name for item in migrations.applied(db)}
        if applied - {step.__name__ for step in STEPS}:
            raise StorageError(
                "OUTBOX_NEWER",
                "The store of records was written by a newer version.",
                hint="Install the newer version again; this one would not understand the records.",
            )
        if len(applied) < len(STEPS):
            _apply(migrations, db)
        if _columns(db) != COLUMNS:
            raise corrupt("its tables are not those that belong there")


def _apply(migrations: Migrations, db: Database) -> None:
    try:
        migrations.apply(db)
    except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
        if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT):
            raise corrupt("it cannot be brought to this version's form") from error
        raise


def _columns(db: Database) -> dict[str, str]:
    rows = db.execute(
        "SELECT m.name, t.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS t "
        "WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY m.name, t.cid"
    ).fetchall()
    tables: dict[str, list[str]] = {}
    for table, column in rows:
        tables.setdefault(table, []).append(column)
    return {table: " ".join(columns) for table, columns in tables.items() if not table.startswith("sqlite_")}
