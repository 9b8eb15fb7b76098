"""What happened becomes a signed record, exactly once, at the place of the chain that is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.answers import ManualVerdict, SessionAnswers, SignedIn, SignInFactor
from edge.attest.media import SealedMedia
from edge.contact import Arrival
from edge.errors import InputError
from edge.model import Decision, Evidence, Hole, Outcome, PeripheralKind, Position, ResetReason, Standing
from edge.outbox.records import SignedRecord, StoredRecord
from edge.outbox.store import Outbox
from edge.policy import Policy
from edge.recorder import Recorder
from tests.support.appliance import MemorySigner, open_outbox, verified_evidence
from tests.support.authority import NOW, Authority
from tests.support.clocks import ManualClock
from verifield.chain import ChainBreak, ChainHead
from verifield.commitments import parse_disclosures
from verifield.dsse import check_signature, parse_envelope
from verifield.receipt import check_receipt
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2 as pb

ABORTED = (Evidence(aborted="TIMEOUT"), Decision(Outcome.ABORTED, ("TIMEOUT",)))


class LateLook:
    """An outbox as seen by a process that looked before another one had begun the chain."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def head(self) -> None:
        return None

    def reset_needed(self) -> None:
        return None

    def append(self, make: Callable[..., SignedRecord]) -> StoredRecord:
        return self._outbox.append(make)


def recorder_into(outbox: Any, *, predecessor_id: str = "") -> Recorder:
    identity: Any = SimpleNamespace(
        device_id="device-1",
        site_id="s",
        predecessor_id=predecessor_id,
        attestation_serial=lambda: "ab",
    )
    return Recorder(
        identity=identity,
        signer=MemorySigner(),
        outbox=outbox,
        clock=ManualClock(),
        policy=Policy(),
        config_sha256=bytes(32),
        software_version="0",
    )


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with open_outbox(tmp_path / "outbox.db") as opened:
        yield opened


def statement_of(record: StoredRecord) -> pb.Statement:
    return parse_statement(parse_envelope(record.envelope).payload)


def test_the_chain_begins_once(outbox: Outbox) -> None:
    first = recorder_into(LateLook(outbox)).ensure_enrolled()
    assert first is not None
    assert recorder_into(LateLook(outbox)).ensure_enrolled() is None
    assert recorder_into(outbox).ensure_enrolled() is None
    assert [record.seq for record in outbox.newest(limit=9)] == [first.seq] == [1]


def test_a_device_that_took_anothers_place_says_so(outbox: Outbox) -> None:
    first = recorder_into(outbox, predecessor_id="device-0").ensure_enrolled()
    assert first is not None
    assert statement_of(first).device_event.predecessor_id == "device-0"


def test_a_verification_carries_its_files_and_the_devices_standing(outbox: Outbox) -> None:
    picture = SealedMedia("best_shot", b"as it was", b"encrypted")
    record = recorder_into(outbox).record(
        verified_evidence(), Decision(Outcome.VERIFIED, ()), standing=Standing.DEGRADED, media=[picture]
    )
    statement = statement_of(record)
    assert statement.standing == pb.STANDING_DEGRADED
    [reference] = statement.media
    assert (reference.name, reference.sha256, reference.size_bytes) == ("best_shot", picture.sha256, 9)
    [(sha256, _state)] = outbox.media_of(record.position)
    assert sha256 == picture.sha256
    fields = [item.field for item in parse_disclosures(outbox.private(record.attestation_id))]
    assert "media.best_shot" in fields
    assert "document.number" in fields


def test_two_people_sign_what_they_decided(outbox: Outbox) -> None:
    recorder, cosigner = recorder_into(outbox), MemorySigner()
    attempt = recorder.record(verified_evidence(), Decision(Outcome.INCONCLUSIVE, ("LOW_LIGHT",)))
    verdict = ManualVerdict(
        accepted=True,
        causes=("INCONCLUSIVE", "LOW_LIGHT"),
        cosigner=SignedIn("op-2", "supervisor", frozenset({SignInFactor.PIN})),
        cosigner_key=cosigner.public_key_der(),
        attempt_id=attempt.attestation_id,
    )
    session = SessionAnswers(bytes(16), operator=SignedIn("op-1", "clerk", frozenset({SignInFactor.PIN})))
    record = recorder.record_manual(
        verdict,
        Decision(Outcome.MANUAL, ()),
        find_attempt=lambda: statement_of(attempt),
        session=session,
        cosigner=cosigner,
    )
    envelope = parse_envelope(record.envelope)
    assert len(envelope.signatures) == 2
    check_signature(envelope, cosigner.key.public_key())
    assert statement_of(record).document == statement_of(attempt).document


def test_an_attempt_that_is_not_here_cannot_be_decided(outbox: Outbox) -> None:
    verdict = ManualVerdict(
        True, (), SignedIn("op-2", "supervisor", frozenset({SignInFactor.PIN})), b"", "no such id"
    )

    def nobody() -> pb.Statement:
        raise InputError("ATTEMPT_UNKNOWN", "not here")

    with pytest.raises(InputError) as error:
        recorder_into(outbox).record_manual(
            verdict,
            Decision(Outcome.MANUAL, ()),
            find_attempt=nobody,
            session=SessionAnswers(bytes(16)),
            cosigner=MemorySigner(),
        )
    assert error.value.code == "ATTEMPT_UNKNOWN"
    assert outbox.head() is None


def test_another_camera_is_an_event(outbox: Outbox) -> None:
    record = recorder_into(outbox).record_peripheral(PeripheralKind.CAMERA, "usb-1", "usb-2")
    event = statement_of(record).device_event
    assert event.type == pb.DEVICE_EVENT_TYPE_PERIPHERAL
    assert event.peripheral.kind == pb.PERIPHERAL_KIND_CAMERA
    assert (event.peripheral.previous_id, event.peripheral.current_id) == ("usb-1", "usb-2")


def test_lost_and_refused_places_are_given_up_by_name(outbox: Outbox) -> None:
    recorder = recorder_into(outbox)
    refused, lost = (recorder.record(*ABORTED) for _ in range(2))
    gap = statement_of(recorder.record_gap(Hole(1, 2, 2, lost.sha256, "DAMAGED")))
    assert (gap.device_event.gap.first_seq, gap.device_event.gap.last_seq) == (2, 2)
    assert (gap.device_event.gap.last_sha256, gap.device_event.gap.reason) == (lost.sha256, "DAMAGED")
    tombstone = statement_of(recorder.record_tombstone(refused.position, "MALFORMED"))
    assert tombstone.device_event.tombstone.seq == 1
    assert tombstone.device_event.tombstone.envelope_sha256 == refused.sha256
    assert tombstone.device_event.tombstone.reason == "MALFORMED"


def test_places_of_an_epoch_that_is_over_cannot_be_given_up(outbox: Outbox) -> None:
    recorder = recorder_into(outbox)
    old = recorder.record(*ABORTED)
    head = recorder.record_reset(ChainHead(1, 9, b"c" * 32), ResetReason.STORE_BEHIND)
    with pytest.raises(ChainBreak):
        recorder.record_tombstone(old.position, "MALFORMED")
    with pytest.raises(ChainBreak):
        recorder.record_gap(Hole(1, 1, 1, old.sha256, "LOST"))
    with pytest.raises(ChainBreak):
        recorder.record_tombstone(Position(2, 7), "MALFORMED")  # there is none
    assert outbox.head() == ChainHead(2, 1, head.sha256)


def test_records_tell_how_long_ago_the_receipt_arrived(outbox: Outbox) -> None:
    authority, recorder, clock = Authority.create(), recorder_into(outbox), ManualClock()
    first = recorder.record(*ABORTED)
    envelope = authority.receipt("device-1", ChainHead(1, 1, first.sha256), at=NOW)
    receipt = check_receipt(envelope, certificates=authority.receipt_chain, roots=[authority.root])
    arrival = Arrival(clock.boot_id(), clock.monotonic_ns() - 5_000_000_000)
    outbox.apply_receipt(envelope, receipt, arrival=arrival, tree_size=1)
    assert statement_of(recorder.record(*ABORTED)).clock.since_receipt_ns == 5_000_000_000
    assert not statement_of(first).clock.HasField("since_receipt_ns")
