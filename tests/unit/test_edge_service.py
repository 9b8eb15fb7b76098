"""What daemons tell systemd and each other: readiness, a heartbeat of the loop itself, then silence."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from edge.heartbeat import BEAT_S, SILENT_S, Beat, Heartbeat, read_beat
from edge.service import BEATS_PER_LIMIT, Service
from tests.support.clocks import ManualClock


class Heard:
    """Implements ``edge.service.Notifier``."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def notify(self, state: str) -> None:
        self.said.append(state)


def test_outside_systemd_nothing_is_told() -> None:
    service = Service.open({})
    service.ready("x")
    service.alive()
    service.status("y")
    service.stopping()


@pytest.mark.req("E063")
def test_readiness_status_and_heartbeat_reach_the_socket_that_systemd_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(path))
        ear.settimeout(60)
        environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "30000000"}
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))  # where the library looks
        service = Service.open(environ)
        service.ready("IDLE")
        service.stopping()
        assert [ear.recv(256).decode() for _ in range(4)] == [
            "READY=1",
            "WATCHDOG=1",
            "STATUS=IDLE",
            "STOPPING=1",
        ]
        service.close()


@pytest.mark.req("E063")
def test_the_watchdog_hears_of_the_loop_as_often_as_it_needs_and_no_more() -> None:
    heard, now = Heard(), 0.0
    service = Service(heard, watchdog_s=30.0, monotonic=lambda: now)
    for tenth in range(600):
        now = tenth / 10
        service.alive()
    assert heard.said == ["WATCHDOG=1"] * (60 * BEATS_PER_LIMIT // 30)
    silent = Heard()
    Service(silent).alive()
    assert silent.said == []


def test_a_status_line_is_one_line_of_plain_letters_told_once() -> None:
    heard = Heard()
    service = Service(heard)
    for _ in range(2):
        service.status("WAITING\n 云端 CLOUD_AWAY")
    service.status("")
    assert heard.said == ["STATUS=WAITING ?? CLOUD_AWAY"]


def test_a_heartbeat_is_written_when_it_is_time_or_something_changed(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "run" / "sync.json"
    heart = Heartbeat(path, clock)
    heart.beat(state="IDLE")
    assert read_beat(path, clock) == Beat("IDLE", "", 0.0)
    clock.advance(BEAT_S - 1)
    heart.beat(state="IDLE")
    assert read_beat(path, clock) == Beat("IDLE", "", BEAT_S - 1)
    heart.beat(state="WAITING", code="CLOUD_AWAY")
    assert read_beat(path, clock) == Beat("WAITING", "CLOUD_AWAY", 0.0)
    clock.advance(BEAT_S)
    heart.beat(state="WAITING", code="CLOUD_AWAY")
    beat = read_beat(path, clock)
    assert beat is not None
    assert (beat.age_s, beat.alive) == (0.0, True)
    clock.advance(SILENT_S + 1)
    beat = read_beat(path, clock)
    assert beat is not None
    assert not beat.alive
    assert path.stat().st_mode & 0o077 == 0
    heart.end()
    assert read_beat(path, clock) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b'{"boot_id": 1}', b'{"boot_id": "another", "monotonic_ns": 1}', b"\xff" * 9000],
)
def test_a_file_that_makes_no_sense_is_no_sign_of_life(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sync.json"
    path.write_bytes(content)
    assert read_beat(path, ManualClock()) is None


def test_a_heartbeat_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    Heartbeat(tmp_path / "run" / "sync.json", ManualClock()).beat(state="IDLE")
    assert threading.active_count() >= 1
