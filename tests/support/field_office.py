"""A whole device in a folder, enrolled with a running cloud, over a network of the test's choice."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.app import identity_folder, open_identity, open_recorder, open_state
from edge.attest.enroll import enroll
from edge.attest.identity import IDENTITY, current_folder
from edge.attest.keystore import open_key_store
from edge.attest.media import SealedMedia
from edge.config import EdgeConfig
from edge.delivery import run_sync, sync_folder
from edge.files import write_private
from edge.model import Decision, Evidence, Outcome, Position
from edge.outbox.records import RecordState, StoredRecord
from edge.recorder import Recorder
from edge.state.records import ItemKind, LockState, PullOutcome
from edge.sync.daemon import SyncReport
from edge.sync.events import Trouble
from edge.sync.machine import State
from tests.support.cloud import RunningCloud

DEADLINE_S = 60.0


@dataclass
class FieldOffice:
    """``troubles``: what the daemon told, in order. ``news``: what came down."""

    cloud: RunningCloud
    settings: EdgeConfig
    site: str = "site-1"
    troubles: list[str] = field(default_factory=list)
    news: list[PullOutcome] = field(default_factory=list)

    @classmethod
    def open(cls, cloud: RunningCloud, folder: Path, *, site: str = "site-1") -> FieldOffice:
        """Enrol a new device of ``site`` whose data lies in ``folder``."""
        office = cls(cloud, EdgeConfig(data_dir=folder), site)
        office.enroll()
        return office

    def enroll(self, *, replace: bool = False) -> None:
        folder = identity_folder(self.settings)
        progress = enroll(
            endpoint=self.cloud.endpoint.listen,
            root_pem=self.cloud.root_pem,
            join_token=self.cloud.join_token(self.site),
            folder=folder,
            key_store=open_key_store(self.settings, folder),
            replace=replace,
        )
        assert progress.identity is not None
        with open_recorder(self.settings):
            pass

    @property
    def device_id(self) -> str:
        return open_identity(self.settings).device_id

    def go_through(self, *, device: str | None = None, public: str | None = None) -> None:
        """Let the device believe that its cloud is at these addresses (host:port)."""
        folder = current_folder(identity_folder(self.settings))
        assert folder is not None
        values = json.loads((folder / IDENTITY).read_bytes())
        values["device_endpoint"] = device or values["device_endpoint"]
        values["enrollment_endpoint"] = public or values["enrollment_endpoint"]
        write_private(folder / IDENTITY, json.dumps(values).encode())

    @contextmanager
    def recorder(self) -> Iterator[Recorder]:
        with open_recorder(self.settings) as recorder:
            yield recorder

    def verify(self, count: int = 1, *, media: tuple[SealedMedia, ...] = ()) -> list[StoredRecord]:
        """Store small records, each with the files."""
        decision = Decision(Outcome.ABORTED, ("TIMEOUT",))
        with self.recorder() as recorder:
            return [recorder.record(Evidence(aborted="TIMEOUT"), decision, media=media) for _ in range(count)]

    def states(self) -> list[RecordState]:
        """Oldest first."""
        with self.recorder() as recorder:
            return [record.state for record in reversed(recorder.outbox.newest(limit=10_000))]

    def confirmed(self) -> Position | None:
        with self.recorder() as recorder:
            return recorder.outbox.confirmed()

    def all_confirmed(self) -> bool:
        return set(self.states()) == {RecordState.CONFIRMED}

    def all_settled(self) -> bool:
        """Whether the newest record is confirmed, and nothing waits for an answer."""
        with self.recorder() as recorder:
            head, confirmed = recorder.outbox.head(), recorder.outbox.confirmed()
            assert head is not None
            done = confirmed == Position(head.epoch, head.seq)
            return done and recorder.outbox.first_pending() is None

    def lock(self) -> LockState:
        with open_state(self.settings, open_identity(self.settings)) as state:
            return state.lock()

    def tasks(self) -> dict[str, bytes]:
        """What waits for people, by id, as it came down."""
        with open_state(self.settings, open_identity(self.settings)) as state:
            kinds = (ItemKind.ACCOUNT, ItemKind.CONTRACT)
            return {item.item_id: item.content for kind in kinds for item in state.items(kind)}

    def sync(self, *, accept_log: bool = False, stop: threading.Event | None = None) -> SyncReport:
        """What ``verifield-edge sync --once`` does."""
        return self._run(stop or threading.Event(), once=True, accept_log=accept_log)

    @contextmanager
    def daemon(self) -> Iterator[threading.Event]:
        """Run the daemon beside the block; what ends it early fails the test."""
        stop = threading.Event()
        ended: list[SyncReport | BaseException] = []

        def work() -> None:
            try:
                ended.append(self._run(stop, once=False))
            except BaseException as error:  # handed to the test's thread
                ended.append(error)

        thread = threading.Thread(target=work, name="sync-daemon")
        thread.start()
        try:
            yield stop
            assert not ended, ended
        finally:
            stop.set()
            thread.join(DEADLINE_S)
        assert not thread.is_alive()
        assert isinstance(ended[0], SyncReport), ended

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the process that delivers."""
        with sync_folder(self.settings).turn(threading.Event()) as ours:
            assert ours
            yield

    def _run(self, stop: threading.Event, *, once: bool, accept_log: bool = False) -> SyncReport:
        return run_sync(
            self.settings,
            stop=stop,
            once=once,
            accept_log=accept_log,
            on_trouble=self._tell,
            on_news=self.news.append,
        )

    def _tell(self, _state: State, trouble: Trouble) -> None:
        self.troubles.append(trouble.code)


def wait_until(condition: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    """Wait for what another thread brings about."""
    ticker = threading.Event()
    for _ in range(int(deadline_s / 0.05)):
        if condition():
            return
        ticker.wait(0.05)
    raise AssertionError("it did not happen in time")
