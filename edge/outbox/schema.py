"""The store's tables and their history. A migration and its record share one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlite_utils import Database, Migrations

from edge.errors import StorageError


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


STEPS: tuple[Callable[[Database], None], ...] = (m001_records_and_chain,)
"""Oldest first. A released one is never changed: a new one follows."""


def migrate(db: Database) -> None:
    """Bring the store to this version's schema, all in one transaction.

    Raises:
        StorageError: OUTBOX_NEWER, when a newer version has migrated it already.
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
        migrations.apply(db)


@contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction that waits for its turn at the start, not in the middle."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    else:
        try:
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
