"""The tables of what the device knows, and their history; a migration and its record share a transaction."""

from __future__ import annotations

from collections.abc import Callable

from sqlite_utils import Database, Migrations

from edge.errors import StorageError
from edge.sqlite import immediate


def m001_what_the_device_knows(db: Database) -> None:
    """All but the records. Times are ISO 8601, UTC. Personal data is sealed."""
    _create(db, "device", {"id": int, "device_id": str})
    _create(db, "policy", {"id": int, "version": int, "envelope": bytes, "certificates": str})
    _create(db, "directives", {"directive_id": str, "action": str, "issue_time": str}, pk="directive_id")
    _create(db, "lock", {"id": int, "locked": int, "reason": str, "issue_time": str})
    _create(db, "wipe", {"id": int, "directive_id": str, "done": int})
    _create(db, "revoked", {"id": int})
    _create(db, "pull", {"id": int, "cursor": str})
    _create(
        db,
        "contact",
        {
            "id": int,
            "server_time": str,
            "arrival_boot_id": str,
            "arrival_ns": int,
            "mark_boot_id": str,
            "mark_ns": int,
            "uptime_ns": int,
        },
        may_be_null={"server_time"},
    )
    _create(db, "down_items", {"kind": str, "item_id": str, "content": bytes}, pk=("kind", "item_id"))
    _create(
        db,
        "refused",
        {"id": int, "kind": str, "item_id": str, "code": str, "message": str},
    )
    db.table("refused").create_index(["kind", "item_id"], unique=True)
    _create(db, "peripherals", {"kind": str, "peripheral_id": str}, pk="kind")
    _create(
        db,
        "earlier",
        {"attestation_id": str, "pseudonym": str, "outcome": str, "at": str},
        pk="attestation_id",
    )
    db.table("earlier").create_index(["pseudonym", "at"])
    db.table("earlier").create_index(["at"])
    _operators(db)
    _ledger(db)


def _operators(db: Database) -> None:
    _create(
        db,
        "operators",
        {
            "operator_id": str,
            "role": str,
            "sealed": bytes,  # name, PIN hash, face
            "cosigner_public": bytes,
            "cosigner_wrapped": bytes,
            "removed": int,
            "failures": int,
            "blocked_ns": int,
            "blocked_boot_id": str,
            "blocked_at_ns": int,
        },
        pk="operator_id",
    )


def _ledger(db: Database) -> None:
    _create(
        db,
        "ledger",
        {
            "number": int,
            "attestation_id": str,
            "decided_by": str,
            "agreed_by": str,
            "accepted": int,
            "not_before": str,
            "wall": str,
            "previous_sha256": bytes,
            "sha256": bytes,
        },
        pk="number",
    )
    _create(db, "ledger_head", {"id": int, "number": int, "sha256": bytes})


def m002_tasks(db: Database) -> None:
    """Tasks expire, and are told from those that the cloud no longer has when it begins anew.

    What waited here before has no form that is known now: the next pull brings everything again.
    """
    db.execute("DELETE FROM down_items WHERE kind IN ('ACCOUNT', 'CONTRACT')")
    db.execute("DELETE FROM pull")
    db.execute("ALTER TABLE down_items ADD COLUMN expires TEXT")
    db.execute("ALTER TABLE down_items ADD COLUMN stale INTEGER NOT NULL DEFAULT 0")


def m003_pins(db: Database) -> None:
    """Cameras and card readers that no other may take the place of."""
    _create(db, "pins", {"kind": str, "peripheral_id": str}, pk="kind")


def m004_contracts(db: Database) -> None:
    """Documents of contracts that wait here, and signatures on their way to the cloud.

    A document goes in the transaction in which its task goes, however that comes about: a trigger sees to it.
    """
    _create(
        db,
        "documents",
        {"task_id": str, "sha256": bytes, "size": int, "shown": str},
        pk="task_id",
        may_be_null={"shown"},
    )
    _create(
        db,
        "document_parts",
        {"task_id": str, "start": int, "length": int, "sealed": bytes},
        pk=("task_id", "start"),
    )
    db.execute(
        "CREATE TRIGGER documents_end AFTER DELETE ON down_items WHEN old.kind = 'CONTRACT' BEGIN "
        "DELETE FROM documents WHERE task_id = old.item_id; "
        "DELETE FROM document_parts WHERE task_id = old.item_id; END"
    )
    _create(
        db,
        "signatures",
        {
            "submission_id": str,
            "task_id": str,
            "contract_id": str,
            "state": str,
            "session_id": bytes,
            "epoch": int,
            "seq": int,
            "attestation_id": str,
            "reason": str,
            "sealed": bytes,  # PREPARED: picture and certificates; QUEUED: the whole package; else nothing
            "about": bytes,  # sealed too: what the operator sees of it
            "noted": str,
        },
        pk="submission_id",
    )
    db.execute(
        "CREATE UNIQUE INDEX signatures_once ON signatures (task_id) "
        "WHERE state IN ('PREPARED', 'QUEUED', 'COMPLETED')"
    )


def m005_marks(db: Database) -> None:
    """Where the device's own clock stood at an earlier record; of no boot for what was noted before."""
    db.execute("ALTER TABLE earlier ADD COLUMN boot_id TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE earlier ADD COLUMN monotonic_ns INTEGER NOT NULL DEFAULT 0")


STEPS: tuple[Callable[[Database], None], ...] = (
    m001_what_the_device_knows,
    m002_tasks,
    m003_pins,
    m004_contracts,
    m005_marks,
)
"""Oldest first. A released one is never changed: a new one follows."""


def migrate(db: Database) -> None:
    """Bring the store to this version's schema, all in one transaction.

    Raises:
        StorageError: STATE_NEWER, when a newer version has migrated it already.
    """
    migrations = Migrations("state")
    for step in STEPS:
        migrations()(step)
    with immediate(db.conn):
        applied = {item.name for item in migrations.applied(db)}
        if applied - {step.__name__ for step in STEPS}:
            raise StorageError(
                "STATE_NEWER",
                "What the device knows was written by a newer version.",
                hint="Install the newer version again; this one would not understand it.",
            )
        migrations.apply(db)


def _create(
    db: Database,
    table: str,
    columns: dict[str, type],
    *,
    pk: str | tuple[str, ...] = "id",
    may_be_null: frozenset[str] | set[str] = frozenset(),
) -> None:
    keys = {pk} if isinstance(pk, str) else set(pk)
    db.table(table).create(columns, pk=pk, not_null=set(columns) - keys - may_be_null)
