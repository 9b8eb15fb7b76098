"""Processes that use a store until they are killed, and say what they were promised.

    python -m tests.support.outbox_worker PATH

One process imports everything once. For each line on its standard input, a seed and a number of steps, it
forks a child, says "PID n", and, when the child has ended, "END status". The child takes random steps on
the store, and says what it is about to do ("try") and what the store has promised ("ok"), each as one
line of JSON that is written whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from edge.contact import Arrival
from edge.errors import StorageError
from edge.model import Position, ResetReason
from edge.outbox.records import StoredRecord
from edge.outbox.store import Outbox
from tests.support.appliance import BOOT_ID, WALL, Appliance, MemorySigner, key_store_beside
from verifield.chain import ChainBreak, ChainHead
from verifield.v1.bundle_pb2 import Envelope, Receipt

RESERVE_BYTES = 64 * 1024
COUNTER_SUFFIX = ".test-counter"
STEPS = ("small", "small", "small", "small", "person", "media", "deliver", "deliver", "receipt", "purge")
RARE_STEPS = ("refuse", "reset", "branch", "media_done", "check")


class FileCounter:
    """A counter that survives the process, as hardware does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> int:
        return int(self._path.read_text()) if self._path.exists() else 1

    def increment(self) -> int:
        value = self.read() + 1
        temporary = self._path.with_suffix(".new")
        temporary.write_text(str(value))
        temporary.replace(self._path)
        return value


def open_counted(path: Path, *, device_id: str = "device-1") -> Outbox:
    """Open the store as the worker does."""
    return Outbox.open(
        path,
        device_id=device_id,
        key_store=key_store_beside(path),
        counter=FileCounter(path.with_name(path.name + COUNTER_SUFFIX)),
        reserve_bytes=RESERVE_BYTES,
    )


class Worker(Appliance):
    """Takes steps, and tells of them on file descriptor ``out``."""

    def __init__(self, path: Path, signer: MemorySigner, *, seed: int, out: int) -> None:
        self.path = path
        self.signer = signer
        self.device_id = "device-1"
        self.quality = 2
        self._chance = random.Random(seed)
        self._out = out
        self.outbox = open_counted(path)

    def step(self) -> None:
        rare = self._chance.random() < 0.15
        name = self._chance.choice(RARE_STEPS if rare else STEPS)
        getattr(self, f"_{name}")()

    def _small(self) -> None:
        self._stored(self.verify())

    def _person(self) -> None:
        self._stored(self.verify_person(), private=True)

    def _media(self) -> None:
        files = tuple(self._chance.randbytes(self._chance.randint(1, 9000)) for _ in range(2))
        record = self.outbox.append(lambda head, cited: self.make(head, cited, media=files))
        self._stored(record, media=[hashlib.sha256(data).hexdigest() for data in files])

    def _deliver(self) -> None:
        first = self.outbox.first_pending()
        if first is None:
            return
        before = Position(first.epoch, first.seq - 1)
        records = self.outbox.pending(after=before, limit_bytes=1 << 20, limit_count=5)
        places = [record.position for record in records]
        self._try("deliver", places=[[place.epoch, place.seq] for place in places])
        self.outbox.mark_delivered(places)
        self._ok("deliver", places=[[place.epoch, place.seq] for place in places])

    def _receipt(self) -> None:
        head = self.outbox.head()
        if head is None:
            return
        through = Position(head.epoch, self._chance.randint(max(1, head.seq - 5), head.seq))
        sha256 = self.outbox.digest_at(through)
        confirmed = self.outbox.confirmed()
        if sha256 is None or (confirmed is not None and through < confirmed):
            return
        self._try("receipt", place=[through.epoch, through.seq])
        receipt = Receipt(
            device_id=self.device_id,
            chain_epoch=through.epoch,
            through_seq=through.seq,
            head_sha256=sha256,
            checkpoint="a note",
            server_time=Timestamp(seconds=int(WALL.timestamp())),
        )
        envelope = Envelope(payload=receipt.SerializeToString(), payload_type="receipt")
        self.outbox.apply_receipt(
            envelope.SerializeToString(), receipt, arrival=Arrival(BOOT_ID, 1), tree_size=1
        )
        self._ok("receipt", place=[through.epoch, through.seq])

    def _purge(self) -> None:
        self._try("purge")
        self.outbox.purge(now=WALL, retention=timedelta(0))
        self._ok("purge")

    def _refuse(self) -> None:
        head, first = self.outbox.head(), self.outbox.first_pending()
        if head is None or first is None or first.epoch != head.epoch:
            return
        self._try("refuse", place=[first.epoch, first.seq])
        self.outbox.mark_refused(first, "MALFORMED")
        with suppress(ChainBreak):  # another process has begun a new epoch meanwhile
            self._stored(self.recorder().record_tombstone(first, "MALFORMED"))

    def _reset(self) -> None:
        if self.outbox.head() is not None and self._chance.random() < 0.2:
            self._try("reset")
            self._stored(self.recorder().record_reset(ChainHead(1, 1, bytes(32)), ResetReason.FORK))

    def _branch(self) -> None:
        head, first = self.outbox.head(), self.outbox.first_pending()
        if head is not None and first is not None and first.epoch < head.epoch:
            self._try("branch", place=[first.epoch, first.seq])
            self.outbox.mark_branch([first])

    def _media_done(self) -> None:
        for item in self.outbox.media_pending()[:1]:
            self._try("media_done", sha256=item.sha256.hex())
            self.outbox.media_done(item.sha256)

    def _check(self) -> None:
        self.outbox.check()

    def _stored(self, record: StoredRecord, *, private: bool = False, media: list[str] | None = None) -> None:
        self._ok(
            "append",
            place=[record.epoch, record.seq],
            sha256=record.sha256.hex(),
            private=private,
            media=media or [],
        )

    def _try(self, op: str, **values: object) -> None:
        self._say({"try": op, **values})

    def _ok(self, op: str, **values: object) -> None:
        self._say({"ok": op, **values})

    def _say(self, values: dict[str, object]) -> None:
        os.write(self._out, json.dumps(values).encode() + b"\n")


def run(path: Path, *, seed: int, steps: int, out: int) -> None:
    """Take ``steps`` steps on the store at ``path``."""
    try:
        worker = Worker(path, MemorySigner(), seed=seed, out=out)
    except StorageError as error:
        os.write(out, json.dumps({"fault": error.code}).encode() + b"\n")
        return
    for _ in range(steps):
        try:
            worker.step()
        except StorageError as error:
            os.write(out, json.dumps({"fault": error.code}).encode() + b"\n")
    worker.outbox.close()


def serve(path: Path) -> None:
    """Fork a child for each line of standard input."""
    for line in sys.stdin:
        seed, steps = (int(word) for word in line.split())
        child = os.fork()
        if child == 0:
            run(path.with_name(path.name), seed=seed, steps=steps, out=1)
            os._exit(0)
        os.write(1, f"PID {child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"END {status}\n".encode())


if __name__ == "__main__":
    if len(sys.argv) > 2:
        run(Path(sys.argv[1]), seed=int(sys.argv[2]), steps=int(sys.argv[3]), out=1)
    else:
        serve(Path(sys.argv[1]))
