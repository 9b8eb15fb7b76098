"""The commit point: how long until one attestation is durable, beside what the disk takes for one sync.

python -m benchmarks.bench_commit

All on one disk and in turns, one of each in every round:

    sync         4 KiB appended to an open file, then fdatasync: no durable store can be faster
    SQLite       one bare row as long as the record, in one commit (write-ahead log, synchronous=FULL)
    attempt      the outbox: a record without evidence, signed and stored
    person       the outbox: a whole verification, with the card's fields and photo encrypted beside it
    with file    the same with an encrypted picture of 200 KB, synced before the commit

A key in software signs; signing and building are in the figures of the outbox.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import Noise, Sheet, Summary, describe_machine, progress, publish, summary_json
from edge.model import Decision, Outcome
from tests.support.appliance import Appliance, MemorySigner, verified_evidence

ROUNDS, QUICK_ROUNDS = 2_000, 50
WARM_UP = 20
BLOCK = 4096
PICTURE_BYTES = 200_000

Step = Callable[[], object]


def bare_sync(folder: Path) -> Step:
    file = (folder / "bare").open("ab", buffering=0)

    def step() -> None:
        file.write(b"x" * BLOCK)
        os.fdatasync(file.fileno())

    return step


def bare_sqlite(folder: Path, size: int) -> Step:
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE floor (id INTEGER PRIMARY KEY, envelope BLOB)")
    return lambda: connection.execute("INSERT INTO floor (envelope) VALUES (?)", (b"x" * size,))


def outbox_steps(folder: Path) -> tuple[int, dict[str, Step]]:
    """The size of a person's envelope, and the ways to store one record."""
    appliance = Appliance(folder / "outbox.db", MemorySigner())
    evidence, decision = verified_evidence(), Decision(Outcome.VERIFIED, ())

    def with_file() -> None:
        picture = os.urandom(PICTURE_BYTES)
        appliance.outbox.append(
            lambda head, cited: appliance.make(
                head, cited, evidence=evidence, decision=decision, media=(picture,)
            )
        )

    size = len(appliance.verify_person().envelope)
    return size, {
        "attempt": appliance.verify,
        "person": appliance.verify_person,
        "person with a file of 200 KB": with_file,
    }


def measure(steps: dict[str, Step], rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Milliseconds on the wall and of the processor, for each step in each round."""
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    with progress() as bar:
        for number in bar.track(range(WARM_UP + rounds), description="rounds"):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                begun, busy = time.perf_counter(), time.process_time()
                steps[name]()
                if number >= WARM_UP:
                    wall[name].append((time.perf_counter() - begun) * 1e3)
                    cpu[name].append((time.process_time() - busy) * 1e3)
    return wall, cpu


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="A few rounds, to try it; keeps no result.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="On the disk to measure; the system's temporary folder otherwise.")
    ] = None,
) -> None:
    """Measure one durable commit of the outbox."""
    noise = Noise()
    machine = describe_machine("cryptography", "protobuf", "sqlite-utils")
    machine["packages"]["SQLite"] = sqlite3.sqlite_version
    with tempfile.TemporaryDirectory(prefix="verifield-commit-", dir=folder) as name:
        size, steps = outbox_steps(Path(name))
        steps = {
            "sync of 4 KiB (floor)": bare_sync(Path(name)),
            "one row in SQLite (floor)": bare_sqlite(Path(name), size),
            **steps,
        }
        wall, cpu = measure(steps, QUICK_ROUNDS if quick else ROUNDS)
    floor = Summary.of(wall["sync of 4 KiB (floor)"])
    rows = []
    for name, values in wall.items():
        seen, busy = Summary.of(values), Summary.of(cpu[name])
        rows.append(
            (
                name,
                f"{seen.count:,}",
                f"{seen.median:.2f}",
                f"{seen.p99:.2f}",
                f"{seen.minimum:.2f}",
                f"{busy.median:.2f}",
                f"{seen.median / floor.median:.1f}",
            )
        )
    columns = ("", "times", "median ms", "p99 ms", "best ms", "cpu ms", "floors")
    note = (
        f"Envelopes of a person have {size} bytes. The last column is the median in syncs. What the figures "
        "of the outbox have above one sync is signing, rules, encryption, more tables and their indexes."
    )
    figures = {
        "machine": machine,
        "noise": noise.stop(),
        "wall_ms": {name: summary_json(values) for name, values in wall.items()},
        "cpu_ms": {name: summary_json(values) for name, values in cpu.items()},
    }
    sheets = [Sheet("Until one attestation is durable", columns, rows, note)]
    publish("commit", "The commit point", figures, sheets, as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
