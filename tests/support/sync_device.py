"""A device for tests of delivery: the real outbox and recorder in a folder; the cloud's word in memory."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from edge.attest.clock import SystemClock
from edge.attest.media import SealedMedia
from edge.contact import Arrival
from edge.model import Decision, Evidence, Outcome, Position
from edge.outbox.records import RecordState, StoredRecord
from edge.outbox.store import Outbox
from edge.policy import Policy
from edge.ports import Clock
from edge.recorder import Recorder
from edge.rpc import RpcFailure
from edge.sync.daemon import SyncDevice, SyncReport, SyncSetting, run
from edge.sync.ports import Uplink
from edge.sync.receipts import LogInconsistent
from edge.sync.taking import Parts
from edge.sync.turns import Turns
from tests.support.appliance import MemorySigner, open_outbox
from verifield.certificates import load_roots
from verifield.v1.sync_service_pb2 import PullResponse

RETENTION = timedelta(days=30)


@dataclass
class MemoryDownstream:
    """Keeps the pages that came."""

    items: list[bytes] = field(default_factory=list)
    at: str = ""
    words: list[datetime] = field(default_factory=list)
    locked: bool = False
    refuse: Exception | None = None

    def cursor(self) -> str:
        return self.at

    def take(self, page: PullResponse, *, arrival: Arrival, by_hand: bool = False) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.items += [item.content for item in page.items]
        self.at = page.next_cursor

    def note_word(self, server_time: datetime, arrival: Arrival, *, by_hand: bool = False) -> None:
        self.words.append(server_time)

    def revoked(self) -> None:
        self.locked = True


class FieldDevice:
    """``folder`` holds everything that a backup of the device would hold."""

    def __init__(
        self,
        folder: Path,
        *,
        signer: MemorySigner | None = None,
        device_id: str = "device-1",
        sync: bool = True,
    ) -> None:
        self.folder = folder
        self.signer = signer or MemorySigner()
        self.device_id = device_id
        self._sync = sync
        self.downstream = MemoryDownstream()
        self.evidence: list[LogInconsistent] = []
        self.troubles: list[str] = []
        self.renewals: list[RpcFailure | None] = []
        self.signed: dict[Position, bytes] = {}
        self.clock: Clock = SystemClock()
        self.open()

    def open(self) -> None:
        self.outbox = self.open_outbox()
        self.recorder = self.recorder_of(self.outbox)

    def open_outbox(self) -> Outbox:
        """Another handle of the store, as another thread or process needs one."""
        outbox = open_outbox(self.folder / "outbox.db", device_id=self.device_id)
        if not self._sync:
            outbox._store.db.conn.execute("PRAGMA synchronous=OFF")  # where no power cuts are tested
        return outbox

    def recorder_of(self, outbox: Outbox) -> Recorder:
        identity: Any = SimpleNamespace(device_id=self.device_id, site_id="site-1", predecessor_id="")
        return Recorder(
            identity=identity,
            signer=self.signer,
            outbox=outbox,
            clock=self.clock,
            policy=Policy(),
            config_sha256=bytes(32),
            software_version="0.2.0",
        )

    def close(self) -> None:
        self.outbox.close()

    def restart(self) -> None:
        self.close()
        self.open()

    def verify(self, *media: SealedMedia) -> StoredRecord:
        """Store one record, a small one unless it has files."""
        decision = Decision(Outcome.ABORTED, ("TIMEOUT",))
        return self.recorder.record(Evidence(aborted="TIMEOUT"), decision, media=media)

    def note_signed(self) -> None:
        """Remember what is here, also what the daemon has recorded."""
        for record in self.outbox.newest(limit=100_000):
            if record.state is not RecordState.DAMAGED:
                self.signed[record.position] = record.envelope

    def states(self) -> list[RecordState]:
        """Oldest first."""
        return [record.state for record in reversed(self.outbox.newest(limit=100_000))]

    def parts(
        self, open_uplink: Callable[[], Uplink], root_pem: bytes, outbox: Outbox | None = None
    ) -> Parts:
        outbox = outbox or self.outbox
        return Parts(
            backlog=outbox,
            chronicle=self.recorder_of(outbox),
            downstream=self.downstream,
            open_uplink=open_uplink,
            renew=lambda: self.renewals.pop(0) if self.renewals else None,
            roots=load_roots(root_pem),
            retention=lambda: RETENTION,
            keep_evidence=self.evidence.append,
        )

    def run(
        self,
        open_uplink: Callable[[], Uplink],
        root_pem: bytes,
        *,
        once: bool = True,
        accept_log: bool = False,
        stop: threading.Event | None = None,
    ) -> SyncReport:
        """What the command does, with a handle of the outbox of its own."""

        @contextmanager
        def open_device() -> Iterator[SyncDevice]:
            with self.open_outbox() as outbox:
                yield SyncDevice(self.parts(open_uplink, root_pem, outbox), lambda: False)

        setting = SyncSetting(
            open_device=open_device,
            stamp=lambda: None,
            turns=Turns(self.folder),
            clock=self.clock,
            jitter=lambda: 0.5,
            on_trouble=lambda _state, trouble: self.troubles.append(trouble.code),
        )
        return run(setting, stop=stop or threading.Event(), once=once, accept_log=accept_log)

    def backup(self, to: Path) -> Path:
        self.close()
        shutil.copytree(self.folder, to)
        self.open()
        return to

    def restore(self, backup: Path) -> None:
        self.close()
        shutil.rmtree(self.folder)
        shutil.copytree(backup, self.folder)
        self.open()

    def damage(self, position: Position) -> None:
        """Change bytes of a record, as a failing disk does."""
        with closing(sqlite3.connect(self.folder / "outbox.db", isolation_level=None)) as connection:
            connection.execute(
                "UPDATE records SET envelope = CAST(substr(envelope, 2) AS BLOB) WHERE epoch = ? AND seq = ?",
                (position.epoch, position.seq),
            )
