"""Whether a session may begin: asked before anybody is looked at, and said in the record."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edge.answers import EarlierRecord, PrivateField, SessionAnswers
from edge.attempts import WINDOW
from edge.contact import Arrival
from edge.errors import EdgeError
from edge.model import Decision, DocumentType, Outcome, PeripheralKind, Standing, Validity
from edge.outbox import space
from edge.policy import MediaPolicy, OfflinePolicy, Policy
from edge.readiness import check_ready, forget_earlier, note_peripheral
from edge.state.store import MAX_EARLIER
from edge.station import Station
from tests.support.appliance import document, verified_evidence
from tests.support.authority import Authority
from tests.support.bench_device import BenchDevice
from tests.support.known import directive_item, no_wipe
from verifield.media import decrypt_media
from verifield.v1 import attestation_pb2 as pb
from verifield.v1 import policy_pb2

RECIPIENT = X25519PrivateKey.generate()
OFFLINE = OfflinePolicy(degraded_after=timedelta(days=7), stopped_after=timedelta(days=30))
POLICY = Policy(offline=OFFLINE, media=MediaPolicy(("best_shot",), RECIPIENT.public_key().public_bytes_raw()))
VERIFIED = Decision(Outcome.VERIFIED, ())
MOST = POLICY.liveness.max_attempts


class Part:
    """Stands for a camera and for a reader: only their names matter here."""

    def __init__(self) -> None:
        self.camera_id = "usb:cam-1"
        self.sam_id = "05.03-1"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path, authority: Authority) -> Iterator[BenchDevice]:
    bench = BenchDevice(tmp_path, authority, policy=POLICY)
    yield bench
    bench.close()


def station_of(device: BenchDevice, part: Part) -> Station:
    return Station(device.recorder, device.state, part, part)  # type: ignore[arg-type]


def refusal(device: BenchDevice) -> str:
    with pytest.raises(EdgeError) as caught:
        check_ready(device.recorder, device.state)
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize(
    ("silence", "standing"),
    [
        (OFFLINE.degraded_after, Standing.NORMAL),
        (OFFLINE.degraded_after + timedelta(seconds=1), Standing.DEGRADED),
        (OFFLINE.stopped_after, Standing.DEGRADED),
        (OFFLINE.stopped_after + timedelta(seconds=1), None),
    ],
)
def test_the_lease_marks_and_then_stops(
    device: BenchDevice, silence: timedelta, standing: Standing | None
) -> None:
    device.clock.advance(silence)
    if standing is None:
        assert refusal(device) == "DEVICE_STOPPED"
        assert len(device.statements()) == 1  # nothing was recorded
        return
    assert check_ready(device.recorder, device.state) is standing
    station = station_of(device, Part())
    station.check_ready()
    station.attest(verified_evidence(), VERIFIED)
    newest = device.statements()[0]
    assert newest.outcome == pb.OUTCOME_VERIFIED
    assert pb.Standing.Name(newest.standing) == f"STANDING_{standing}"


def test_a_lock_from_the_cloud_stops_sessions_and_manual_decisions(
    device: BenchDevice, authority: Authority
) -> None:
    device.state.apply_pull(
        [directive_item(authority, policy_pb2.DIRECTIVE_ACTION_LOCK)],
        cursor="c1",
        server_time=device.clock.wall(),
        arrival=device.state.contact().arrival,  # type: ignore[union-attr]
        certificates=authority.policy_chain,
        roots=[authority.root],
        wipe=no_wipe,
    )
    assert refusal(device) == "DEVICE_LOCKED"
    assert station_of(device, Part()).is_locked()
    assert len(device.statements()) == 1


def test_a_full_disk_stops_sessions_before_they_begin(
    device: BenchDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "STOP_SHARE", 1.1)
    monkeypatch.setattr(space, "STOP_BYTES", 2**60)
    assert refusal(device) == "DISK_RESERVE"
    assert len(device.statements()) == 1


def test_a_key_that_is_gone_is_missed_before_the_session(device: BenchDevice) -> None:
    device.key_store.destroy("attestation-1")
    assert refusal(device) == "KEY_MISSING"


@pytest.mark.parametrize(("age", "left"), [(timedelta(days=29), 1), (timedelta(days=31), 0)])
def test_documents_are_forgotten_with_time(device: BenchDevice, age: timedelta, left: int) -> None:
    assert not station_of(device, Part()).is_locked()
    name = device.state.pseudonym(DocumentType.RESIDENT_ID, "990000199001019990")
    device.state.note_earlier(name, EarlierRecord("id", "VERIFIED", device.clock.wall()))
    device.clock.advance(age)
    device.clock.set_wall(device.clock.wall() + timedelta(days=3650))  # which proves nothing
    device.state.touch(Arrival(device.clock.boot_id(), device.clock.monotonic_ns()))
    forget_earlier(device.recorder, device.state, retention=timedelta(days=30))
    assert len(device.state.earlier(name)) == left


def note_sessions(
    device: BenchDevice, outcome: Outcome, count: int, *, station: Station | None = None
) -> None:
    """One every quarter of a minute, with the same document. ``station``: which notes its own clock, too."""
    card = document()
    name = device.state.pseudonym(card.type, card.number)
    for _ in range(count):
        device.clock.advance(timedelta(seconds=15))
        mark = station.mark() if station else Arrival("", 0)
        at = device.clock.wall()
        record = EarlierRecord(secrets.token_hex(8), outcome, at, mark.boot_id, mark.monotonic_ns)
        device.state.note_earlier(name, record)


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=3650)])
def test_what_is_no_failure_lets_nobody_try_more_often(device: BenchDevice, ahead: timedelta) -> None:
    """However many sessions end otherwise, also under a clock that runs ahead for a while."""
    station = station_of(device, Part())
    right = device.clock.wall()
    device.clock.set_wall(right + ahead)
    note_sessions(device, Outcome.ABORTED, MAX_EARLIER)
    device.clock.set_wall(right)
    note_sessions(device, Outcome.SPOOF, MOST)
    note_sessions(device, Outcome.ABORTED, MAX_EARLIER)
    assert station.failed_lately(document()) == MOST
    device.clock.advance(WINDOW)
    assert station.failed_lately(document()) == 0


def test_failures_under_a_clock_that_was_ahead_keep_nobody_away_for_longer(device: BenchDevice) -> None:
    station = station_of(device, Part())
    right = device.clock.wall()
    device.clock.set_wall(right + timedelta(days=3650))
    note_sessions(device, Outcome.SPOOF, MOST)
    device.clock.set_wall(right)
    assert station.failed_lately(document()) == MOST  # setting a clock back forgives nothing
    note_sessions(device, Outcome.ABORTED, 1)  # which is what comes of the next visit
    assert station.failed_lately(document()) == MOST
    device.clock.advance(WINDOW)
    assert station.failed_lately(document()) == 0


@pytest.mark.parametrize("ahead", [timedelta(days=3650), timedelta(days=-3650)])
def test_a_clock_that_jumps_forgives_nothing_and_keeps_nobody_away(
    device: BenchDevice, ahead: timedelta
) -> None:
    station = station_of(device, Part())
    note_sessions(device, Outcome.SPOOF, MOST, station=station)
    device.clock.set_wall(device.clock.wall() + ahead)
    assert station.failed_lately(document()) == MOST
    device.clock.advance(WINDOW)
    assert station.failed_lately(document()) == 0


@pytest.mark.parametrize(("retention", "ahead"), [(0, 0), (30, -3650)])
def test_failures_are_not_forgotten_while_they_count(device: BenchDevice, retention: int, ahead: int) -> None:
    """With records that go at once, and with a clock that lost its battery."""
    assert not station_of(device, Part()).is_locked()
    device.clock.set_wall(device.clock.wall() + timedelta(days=ahead))
    station = station_of(device, Part())
    note_sessions(device, Outcome.SPOOF, MOST, station=station)
    kept = timedelta(days=retention)
    assert forget_earlier(device.recorder, device.state, retention=kept) == 0
    assert station.failed_lately(document()) == MOST
    device.clock.advance(max(kept, WINDOW) + timedelta(seconds=1))
    device.state.touch(Arrival(device.clock.boot_id(), device.clock.monotonic_ns()))
    assert forget_earlier(device.recorder, device.state, retention=kept) == MOST


def test_after_a_restart_failures_count_by_the_wall_clock(device: BenchDevice) -> None:
    station = station_of(device, Part())
    note_sessions(device, Outcome.SPOOF, MOST, station=station)
    device.clock.reboot()
    assert station.failed_lately(document()) == MOST
    device.clock.advance(WINDOW)
    assert station.failed_lately(document()) == 0


def test_another_camera_or_reader_is_told_once(device: BenchDevice) -> None:
    part = Part()
    station = station_of(device, part)
    for _ in range(2):
        station.check_ready()
    part.camera_id = "usb:cam-2"
    for _ in range(2):
        station.check_ready()
    changes = [
        (item.kind, item.previous_id, item.current_id)
        for item in (statement.device_event.peripheral for statement in reversed(device.statements()))
        if item.kind
    ]
    assert changes == [
        (pb.PERIPHERAL_KIND_CAMERA, "", "usb:cam-1"),
        (pb.PERIPHERAL_KIND_READER, "", "05.03-1"),
        (pb.PERIPHERAL_KIND_CAMERA, "usb:cam-1", "usb:cam-2"),
    ]


def test_a_card_is_judged_by_time_that_is_certain(device: BenchDevice) -> None:
    """A wall clock that was set decides nothing; the cloud's last word and the time on since do."""
    station = station_of(device, Part())
    today = device.clock.wall().date()
    card = dataclasses.replace(document(), valid_from=today - timedelta(days=90), valid_to=today)
    for_ever = dataclasses.replace(card, valid_to=None)
    assert station.judge_document(card) is Validity.VALID
    device.clock.set_wall(device.clock.wall() + timedelta(days=3650))
    assert station.judge_document(card) is Validity.UNCERTAIN
    assert station.judge_document(for_ever) is Validity.VALID
    device.clock.advance(timedelta(days=3))
    assert station.judge_document(card) is Validity.EXPIRED
    assert station.judge_document(for_ever) is Validity.VALID


def test_a_session_that_is_cut_off_is_recorded_as_the_device_stood(device: BenchDevice) -> None:
    device.clock.advance(OFFLINE.degraded_after + timedelta(seconds=1))
    station = station_of(device, Part())
    station.check_ready()
    station.note_begun(SessionAnswers(bytes(range(16))))
    [record] = device.recorder.record_cut_off()
    newest = device.statements()[0]
    assert newest.attestation_id == record.attestation_id
    assert list(newest.reasons) == ["POWER_OR_CRASH"]
    assert newest.standing == pb.STANDING_DEGRADED


def test_a_part_without_a_name_changes_nothing(device: BenchDevice) -> None:
    note_peripheral(device.recorder, device.state, PeripheralKind.READER, "")
    assert len(device.statements()) == 1


def test_pictures_are_stored_encrypted_with_their_record(device: BenchDevice) -> None:
    evidence = dataclasses.replace(verified_evidence(), media=(PrivateField("best_shot", b"a picture"),))
    record = station_of(device, Part()).attest(evidence, VERIFIED)
    (stated,) = device.statements()[0].media
    ((sha256, _),) = device.outbox.media_of(record.position)
    assert stated.sha256 == sha256
    device.outbox.mark_delivered([record.position])
    (file,) = device.outbox.media_pending()
    assert decrypt_media(file.path.read_bytes(), private_key=RECIPIENT) == b"a picture"


def test_a_picture_that_cannot_be_encrypted_costs_no_record(
    device: BenchDevice, caplog: pytest.LogCaptureFixture
) -> None:
    evidence = dataclasses.replace(
        verified_evidence(), media=(PrivateField("best_shot", b""), PrivateField("document_photo", b"kept"))
    )
    station_of(device, Part()).attest(evidence, VERIFIED)
    statement = device.statements()[0]
    assert statement.outcome == pb.OUTCOME_VERIFIED
    assert [item.name for item in statement.media] == ["document_photo"]
    assert "best_shot is not kept: MEDIA_SIZE" in caplog.text
