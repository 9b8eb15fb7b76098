"""A session that a kill or a power cut ends has a record: at the next start, once, whatever happens then.

VERIFIELD_SOAK=10 makes it ten times as many kills.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.answers import SessionAnswers
from edge.errors import StorageError
from edge.model import Decision, Evidence, Outcome, Standing
from edge.outbox.begun import SESSION_ID_BYTES
from edge.outbox.records import BegunSession
from edge.outbox.recover import recover
from edge.outbox.rows import statement_of
from edge.recorder import POWER_OR_CRASH, Recorder
from tests.support.appliance import WALL, Appliance, MemorySigner
from tests.support.cloud import running_cloud
from tests.support.field_office import FieldOffice
from tests.support.session_worker import OPERATOR
from verifield.v1 import attestation_pb2 as pb

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
KILLS = 100 * SOAK
ROOT = Path(__file__).resolve().parents[2]
ABORTED = Decision(Outcome.ABORTED, ("NO_CARD",))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path / "outbox.db", MemorySigner())
    yield appliance
    appliance.outbox.close()


def session(number: int = 1) -> SessionAnswers:
    return SessionAnswers(bytes([number]) * SESSION_ID_BYTES, operator=OPERATOR)


def begin(device: Appliance, number: int = 1, standing: Standing = Standing.NORMAL) -> SessionAnswers:
    begun = session(number)
    device.outbox.begin(BegunSession(begun, standing))
    return begun


def sessions_of(device: Appliance) -> list[tuple[bytes, list[str]]]:
    """Id and reasons of every session that has a record, oldest first."""
    statements = [statement_of(record) for record in device.outbox.newest(limit=1 << 30)[::-1]]
    return [
        (statement.session.session_id, list(statement.reasons))
        for statement in statements
        if statement.kind == pb.RECORD_KIND_VERIFICATION
    ]


@pytest.mark.req("E040")
def test_kill_9_in_the_middle_of_sessions_leaves_one_record_of_each(tmp_path: Path) -> None:
    """Also where the process that would record it is killed meanwhile."""
    path, chance = tmp_path / "outbox.db", random.Random(40)
    said: Counter[tuple[str, str]] = Counter()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.session_worker", str(path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as workers:
        for seed in range(KILLS):
            for line in _killed(workers, seed, chance):
                words = line.decode().rsplit(" ", 1)
                if line.endswith(b"\n") and len(words) == 2:
                    said[words[0], words[1].strip()] += 1
        assert workers.stdin is not None
        workers.stdin.close()
        assert workers.wait(60) == 0
    device = Appliance(path, MemorySigner())
    try:
        device.recorder().record_cut_off()
        assert device.outbox.begun() == []
        recorded = Counter(session_id.hex() for session_id, _ in sessions_of(device))
        cut_off = {one.hex() for one, reasons in sessions_of(device) if reasons == [POWER_OR_CRASH]}
    finally:
        device.outbox.close()
    begun = {session_id for what, session_id in said if what == "begun"}
    done = {session_id for what, session_id in said if what == "done"}
    assert begun <= recorded.keys(), "a session vanished"
    assert set(recorded.values()) == {1}, "a session has two records"
    assert not done & cut_off
    assert len(cut_off) > KILLS / 4  # that kills did hit sessions
    assert len(done) > KILLS / 4


def _killed(workers: subprocess.Popen[bytes], seed: int, chance: random.Random) -> Iterator[bytes]:
    """Start a worker, kill it after a few of its lines and a little more; give all that it said."""
    assert workers.stdin is not None
    assert workers.stdout is not None
    workers.stdin.write(f"{seed}\n".encode())
    workers.stdin.flush()
    pid, left = 0, chance.randint(0, 6)
    for line in workers.stdout:
        if line.startswith(b"PID "):
            pid = int(line.split()[1])
        elif b"END " in line:
            yield line[: line.index(b"END ")]
            return
        else:
            left -= 1
            yield line
        if pid and left <= 0:
            time.sleep(chance.random() * 0.006)
            os.kill(pid, signal.SIGKILL)
            pid, left = 0, 1 << 30


def test_a_session_with_a_record_was_not_cut_off(device: Appliance) -> None:
    begun = begin(device)
    device.recorder().record(Evidence(aborted="NO_CARD", session=begun), ABORTED)
    device.restart()
    assert device.recorder().record_cut_off() == []
    assert sessions_of(device) == [(begun.session_id, ["NO_CARD"])]


def test_what_was_cut_off_is_recorded_as_it_began(device: Appliance) -> None:
    begun = begin(device, standing=Standing.DEGRADED)
    other = SessionAnswers(bytes(SESSION_ID_BYTES))
    device.outbox.begin(BegunSession(other))
    device.restart()
    first, second = map(statement_of, device.recorder().record_cut_off())
    assert (first.outcome, list(first.reasons)) == (pb.OUTCOME_ABORTED, [POWER_OR_CRASH])
    assert first.session.session_id == begun.session_id
    assert (first.operator.operator_id, first.operator.role) == ("op-17", "clerk")
    assert list(first.operator.factors) == [pb.AUTHENTICATION_FACTOR_PIN]
    assert first.standing == pb.STANDING_DEGRADED
    assert (second.session.session_id, second.operator.operator_id) == (other.session_id, "")
    assert second.standing == pb.STANDING_NORMAL
    assert device.recorder().record_cut_off() == []


def test_a_session_under_way_is_left_alone(device: Appliance) -> None:
    begin(device)
    with device.outbox.open_for_sessions(), device.outbox.open_for_sessions():  # of two processes
        assert device.recorder().record_cut_off() == []
        assert len(device.outbox.begun()) == 1
    with device.outbox.closed_for_sessions() as closed:
        assert closed
        assert device.recorder().record_cut_off() == []  # another process is at it
    assert len(device.recorder().record_cut_off()) == 1


def test_a_record_that_cannot_be_stored_keeps_the_mark(
    device: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(device, 1)
    begin(device, 2)
    recorder = device.recorder()
    append = device.outbox.append
    calls = 0

    def full_after_one(make: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StorageError("OUTBOX_FULL", "full")
        return append(make)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(device.outbox, "append", full_after_one)
        with pytest.raises(StorageError):
            recorder.record_cut_off()
    assert [one.session for one in device.outbox.begun()] == [session(2)]
    device.restart()
    assert len(device.recorder().record_cut_off()) == 1
    assert [session_id for session_id, _ in sessions_of(device)] == [
        session(1).session_id,
        session(2).session_id,
    ]


def test_where_only_a_reset_may_follow_the_mark_waits(
    device: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(device)
    with monkeypatch.context() as patched:
        patched.setattr(device.outbox, "reset_needed", lambda: "STORE_BEHIND")
        assert device.recorder().record_cut_off() == []
    assert len(device.recorder().record_cut_off()) == 1


def test_a_mark_that_a_failing_disk_changed_stops_nothing(device: Appliance) -> None:
    for number in range(1, 8):
        begin(device, number)
    connection = device.outbox._store.db.conn
    connection.execute("UPDATE begun SET session_id = x'00' WHERE rowid = 1")
    connection.execute("UPDATE begun SET factors = 'NOSE' WHERE rowid = 2")
    connection.execute("UPDATE begun SET standing = x'ff' WHERE rowid = 3")
    connection.execute("UPDATE begun SET operator_id = x'ff' WHERE rowid = 4")
    connection.execute("UPDATE begun SET operator_id = 'op 17' WHERE rowid = 5")
    connection.execute("UPDATE begun SET role = char(7) WHERE rowid = 6")
    connection.execute("UPDATE begun SET role = x'ff' WHERE rowid = 7")
    records = device.recorder().record_cut_off()
    assert [statement_of(record).operator.operator_id for record in records] == [""] * 6
    assert device.recorder().record_cut_off() == []


def test_a_store_that_was_recovered_still_knows_what_was_cut_off(device: Appliance) -> None:
    device.verify()
    begun = begin(device)
    device.outbox.close()
    recover(device.path, device_id=device.device_id, now=WALL)
    device.restart()
    assert len(device.recorder().record_cut_off()) == 1
    assert sessions_of(device)[-1] == (begun.session_id, [POWER_OR_CRASH])


def test_whatever_starts_next_records_it_and_the_daemon_delivers_it(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "cloud") as cloud:
        office = FieldOffice.open(cloud, tmp_path / "device")
        with office.recorder() as recorder:
            recorder.outbox.begin(BegunSession(session()))
        office.sync()
        assert office.all_confirmed()
        with office.recorder() as recorder:
            [newest, _enrolled] = recorder.outbox.newest(limit=9)
        assert list(statement_of(newest).reasons) == [POWER_OR_CRASH]


def test_a_full_disk_stops_no_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of what was cut off waits for room; what is stored already goes out."""
    with running_cloud(tmp_path / "cloud") as cloud:
        office = FieldOffice.open(cloud, tmp_path / "device")
        office.verify()
        with office.recorder() as recorder:
            recorder.outbox.begin(BegunSession(session()))

        def full(_self: Recorder) -> None:
            raise StorageError("OUTBOX_FULL", "full")

        with monkeypatch.context() as patched:
            patched.setattr(Recorder, "record_cut_off", full)
            assert office.sync().delivered == 2
        assert office.sync().delivered == 1


def test_a_mark_tells_nobody_who_the_person_was(device: Appliance) -> None:
    begin(device)
    columns = device.outbox._store.all("SELECT * FROM begun")
    assert columns == [
        {
            "session_id": session().session_id,
            "operator_id": "op-17",
            "role": "clerk",
            "factors": "PIN",
            "standing": "NORMAL",
        }
    ]
