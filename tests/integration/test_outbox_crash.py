"""The outbox under kill -9 and under two processes at once. Short: many more kills belong in a soak."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from edge.outbox.store import Outbox
from verifield.chain import ChainHead, check_link, next_head
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement

KILLS = 15
MANY = 1_000_000
ROOT = Path(__file__).resolve().parents[2]


def start(path: Path, count: int) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.outbox_worker", str(path), str(count)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def promised_by(lines: list[str]) -> dict[int, str]:
    """Whole lines only: a line cut off by the kill was not shown."""
    return {int(seq): sha256 for seq, sha256 in (line.split() for line in lines if line.endswith("\n"))}


def check_store(path: Path, promised: dict[int, str]) -> int:
    """Check the chain from its first record, and that every promise was kept; return the last seq."""
    with Outbox.open(path, device_id="device-1") as outbox:
        records = outbox.pending(after_seq=0, limit_bytes=1 << 40, limit_count=MANY)
        head: ChainHead | None = None
        for record in records:
            statement = parse_statement(parse_envelope(record.envelope).payload)
            check_link(statement, head)
            head = next_head(statement, record.envelope)
            assert head.sha256 == record.sha256
            outbox.private(record.attestation_id)  # decrypts, or raises
        assert head == outbox.head()
        assert outbox._db.conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    stored = {record.seq: record.sha256.hex() for record in records}
    assert promised.items() <= stored.items()
    assert len(stored) <= len(promised) + KILLS  # at most the record in hand at each kill
    return len(stored)


def test_kill_9_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    chance = random.Random(20)
    promised: dict[int, str] = {}
    for _ in range(KILLS):
        with start(path, MANY) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chance.randint(1, 12))]
            time.sleep(chance.random() * 0.01)  # anywhere within a record or two
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        assert process.returncode == -signal.SIGKILL
        new = promised_by(lines)
        assert new.keys().isdisjoint(promised)
        promised |= new
    assert check_store(path, promised) >= KILLS


def test_a_kill_while_the_store_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    chance = random.Random(21)
    for number in range(3):
        path = tmp_path / str(number) / "outbox.db"
        with start(path, MANY) as process:
            while not path.exists() and process.poll() is None:
                time.sleep(0.0005)
            time.sleep(chance.random() * 0.005)
            process.send_signal(signal.SIGKILL)
            assert process.stdout is not None
            lines = process.stdout.readlines()
        check_store(path, promised_by(lines))


def test_two_processes_share_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    count = 20
    with start(path, count) as one, start(path, count) as two:
        promises = [
            promised_by(process.communicate(timeout=120)[0].splitlines(keepends=True))
            for process in (one, two)
        ]
    assert (one.returncode, two.returncode) == (0, 0)
    assert [len(promise) for promise in promises] == [count, count]
    assert check_store(path, promises[0] | promises[1]) == 2 * count
