"""What the cloud service keeps of each record: bytes by table with their indexes, on both engines.

python -m benchmarks.bench_storage

Devices deliver records in batches into the real intake. Counted is what the engine says its tables and
indexes take, less what they take when empty. A batch leaves a receipt and a checkpoint, whatever its size:
so small batches cost more for each record. PostgreSQL also says how much it wrote ahead (WAL), which is
what replicas are sent and what an archive for restores at any time keeps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from sqlalchemy import Connection, text

from benchmarks.machine import Noise, Sheet, describe_machine, progress, publish
from cloud.store.schema import metadata
from tests.support.chains import Chain
from tests.support.intake import Desk, open_desk
from tests.support.postgres import PostgresServer

RECORDS, QUICK_RECORDS = 6_400, 640
BATCHES = (1, 16, 64)
DEVICES = 20

# What belongs together in the capacity plan; the log's own tables are those of all deployments.
_GROUPS = {
    "attestations": ("attestations",),
    "log leaves and tiles": ("log_leaves", "log_tiles"),
    "checkpoints": ("checkpoints", "log_head"),
    "receipts": ("receipts",),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """``tables``: bytes of each with its indexes. ``wal``: None where the engine does not tell."""

    tables: dict[str, int]
    wal: int | None

    def since(self, before: Seen) -> Seen:
        tables = {name: size - before.tables.get(name, 0) for name, size in self.tables.items()}
        wal = None if self.wal is None or before.wal is None else self.wal - before.wal
        return Seen(tables, wal)


def look(connection: Connection) -> Seen:
    if connection.dialect.name == "postgresql":
        sizes = {name: f"pg_total_relation_size('{name}')" for name in metadata.tables}
        row = connection.execute(text(f"SELECT {', '.join(sizes.values())}")).one()
        wal = connection.execute(text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")).scalar_one()
        return Seen(dict(zip(sizes, map(int, row), strict=True)), int(wal))
    query = (
        "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat AS s"
        " JOIN sqlite_master AS m ON m.name = s.name GROUP BY 1"
    )
    return Seen({name: int(size) for name, size in connection.execute(text(query))}, None)


def deliver(desk: Desk, records: int, batch: int, bar: Progress) -> tuple[Seen, float]:
    """Deliver so many records; return what they take, and the mean size of their envelopes."""
    chains = [Chain(desk.enroll()) for _ in range(DEVICES)]
    with desk.store.reading() as connection:
        before = look(connection)
    size = 0
    task = bar.add_task(f"batches of {batch}", total=records)
    for number in range(records // batch):
        chain = chains[number % DEVICES]
        envelopes = [chain.add() for _ in range(batch)]
        size += sum(map(len, envelopes))
        answer = desk.take(chain.device, envelopes)
        if not answer.receipt:
            raise RuntimeError("a batch was not accepted")
        bar.advance(task, batch)
    with desk.store.reading() as connection:
        return look(connection).since(before), size / (records // batch * batch)


@contextmanager
def database(server: PostgresServer | None) -> Iterator[str | None]:
    with server.database() if server else nullcontext() as url:
        yield url


def measure(server: PostgresServer, records: int, bar: Progress) -> list[dict[str, Any]]:
    found = []
    for engine, kind in (("SQLite", None), ("PostgreSQL", server)):
        for batch in BATCHES:
            with (
                tempfile.TemporaryDirectory(prefix="verifield-storage-") as name,
                database(kind) as url,
                open_desk(Path(name), database=url) as desk,
            ):
                seen, envelope = deliver(desk, records, batch, bar)
            count = records // batch * batch
            groups = {
                title: sum(seen.tables.get(table, 0) for table in tables) / count
                for title, tables in _GROUPS.items()
            }
            total = sum(seen.tables.values()) / count
            found.append(
                {
                    "engine": engine,
                    "batch": batch,
                    "records": count,
                    "envelope_bytes": round(envelope, 1),
                    "bytes_each": {title: round(size, 1) for title, size in groups.items()},
                    "total_bytes_each": round(total, 1),
                    "beside_envelope_bytes_each": round(total - envelope, 1),
                    "wal_bytes_each": None if seen.wal is None else round(seen.wal / count, 1),
                }
            )
    return found


def main(
    quick: Annotated[bool, typer.Option(help="A try that keeps nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure what the service stores for each record."""
    noise = Noise()
    machine = describe_machine("SQLAlchemy", "psycopg")
    server = PostgresServer.create(durable=True)
    try:
        machine["packages"]["PostgreSQL"] = server.execute("SHOW server_version")[0][0].split()[0]
        with progress() as bar:
            found = measure(server, QUICK_RECORDS if quick else RECORDS, bar)
    finally:
        server.remove()
    columns = ("", *_GROUPS, "all", "beside the envelope", "WAL")
    rows = [
        (
            f"{one['engine']}, batches of {one['batch']}",
            *(f"{size:,.0f}" for size in one["bytes_each"].values()),
            f"{one['total_bytes_each']:,.0f}",
            f"{one['beside_envelope_bytes_each']:,.0f}",
            "" if one["wal_bytes_each"] is None else f"{one['wal_bytes_each']:,.0f}",
        )
        for one in found
    ]
    note = (
        f"Bytes for each record; its envelope has {found[0]['envelope_bytes']:.0f} of them. Each batch is "
        "a group of its own here: where several devices deliver at once, they share checkpoints."
    )
    figures = {"machine": machine, "noise": noise.stop(), "storage": found}
    sheets = [Sheet("What is kept of each record", columns, rows, note)]
    publish("storage", "Storage of the cloud service", figures, sheets, as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
