"""The commands ``enroll`` and ``wipe`` as a person uses them, against the cloud's own rules."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edge.app import open_identity, open_recorder, open_state, outbox_path
from edge.attest.clock import arrival_now, bounded_now
from edge.attest.enroll import Enrolment, Progress
from edge.cli import app
from edge.commands import enroll as command
from edge.commands.enroll import format_fingerprint
from edge.config import load_config
from edge.errors import ExitCode
from edge.lease import judge_lease, silence_of
from edge.model import Decision, Evidence, Outcome, Position, Standing
from edge.state.records import LockState
from edge.state.signatures import About, SignatureRow, SignatureState
from tests.support.clocks import SteeredClock
from tests.support.enrolment import Desk, open_desk
from verifield.certificates import load_roots


@pytest.fixture(scope="module")
def the_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("cloud")) as opened:
        yield opened


@pytest.fixture(scope="module")
def endpoint(the_desk: Desk) -> Iterator[str]:
    with the_desk.serving() as public:
        yield public


@pytest.fixture
def desk(the_desk: Desk) -> Desk:
    the_desk.reset()
    return the_desk


@dataclass
class Person:
    """Somebody at the device's terminal."""

    data: Path
    endpoint: str
    desk: Desk
    capsys: pytest.CaptureFixture[str]

    def types(self, *args: str) -> tuple[int, str]:
        try:
            app([*args, "--data", str(self.data)], prog_name="verifield-edge")
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return status, self.capsys.readouterr().out

    def asks(self, *args: str) -> tuple[int, dict[str, Any]]:
        status, printed = self.types(*args, "--json")
        return status, json.loads(printed)

    def application(self, token: str) -> list[str]:
        root, token_file = self.data.parent / "root.pem", self.data.parent / "token.txt"
        root.write_bytes(self.desk.authority.root_pem())
        token_file.write_text(token)
        return ["--cloud", self.endpoint, "--root", str(root), "--token-file", str(token_file)]


@pytest.fixture
def person(desk: Desk, endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Person:
    return Person(tmp_path / "device", endpoint, desk, capsys)


def test_a_waived_token_enrols_in_one_go(person: Person) -> None:
    status, answer = person.asks("enroll", *person.application(person.desk.token(waive_approval=True)))
    [row] = person.desk.devices()
    assert status == 0
    assert (answer["state"], answer["device_id"]) == ("ACTIVE", row.device_id)
    assert answer["attestation_id"]
    status, answer = person.asks("enroll", *person.application(person.desk.token()))
    assert (status, answer["error"]["code"]) == (ExitCode.SETUP, "ALREADY_ENROLLED")


def test_the_lease_counts_from_the_enrolment_on(person: Person) -> None:
    """Also on a device that never hears of its cloud again, and that is off most of the time."""
    before = datetime.now(UTC)
    person.types("enroll", *person.application(person.desk.token(waive_approval=True)))
    config = load_config(None, data_dir=person.data)
    identity = open_identity(config)
    with open_state(config, identity) as state:
        contact = state.contact()
        policy = state.policy(load_roots(identity.root_pem))
    assert contact is not None
    assert contact.server_time is not None
    assert abs(contact.server_time - before) < timedelta(seconds=30)
    clock = SteeredClock(wall=before + policy.offline.stopped_after + timedelta(hours=1))
    clock.reboot()
    now = arrival_now(clock)
    bounds = bounded_now(clock, contact=contact)
    silence = silence_of(contact, now=now, bounds=bounds)
    assert judge_lease(silence, policy, bounds=bounds, lock=LockState()).standing is Standing.STOPPED


def test_the_fingerprint_is_shown_until_a_person_approves_it(person: Person) -> None:
    status, printed = person.types("enroll", *person.application(person.desk.token()))
    [row] = person.desk.devices()
    assert status == ExitCode.NEGATIVE
    for line in format_fingerprint(row.attestation_key_sha256):
        assert line in printed
    status, answer = person.asks("enroll")
    assert (status, answer["state"]) == (ExitCode.NEGATIVE, "PENDING_APPROVAL")
    assert answer["key_sha256"] == row.attestation_key_sha256.hex()
    person.desk.approve(row.device_id, row.attestation_key_sha256)
    status, answer = person.asks("enroll")
    assert (status, answer["state"], answer["device_id"]) == (0, "ACTIVE", row.device_id)


def test_waiting_ends_with_the_approval(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "POLL_S", 0.05)

    def approve() -> None:
        while not person.desk.devices():
            time.sleep(0.02)
        [row] = person.desk.devices()
        time.sleep(0.2)
        person.desk.approve(row.device_id, row.attestation_key_sha256)

    approver = threading.Thread(target=approve)
    approver.start()
    status, answer = person.asks("enroll", "--wait", *person.application(person.desk.token()))
    approver.join()
    assert (status, answer["state"]) == (0, "ACTIVE")


def test_a_fingerprint_is_in_groups_that_can_be_read_out() -> None:
    lines = format_fingerprint(bytes(range(32)))
    assert lines[0] == "0001  0203  0405  0607"
    assert len(lines) == 4
    assert "".join(lines).replace(" ", "").lower() == bytes(range(32)).hex()


@pytest.mark.parametrize("left_out", [0, 2, 4])
def test_all_three_options_or_none(person: Person, left_out: int) -> None:
    options = person.application("token")
    del options[left_out : left_out + 2]
    status, answer = person.asks("enroll", *options)
    assert (status, answer["error"]["code"]) == (ExitCode.INPUT, "OPTIONS_INCOMPLETE")
    status, answer = person.asks("enroll")
    assert (status, answer["error"]["code"]) == (ExitCode.SETUP, "NO_ENROLMENT")


def test_nothing_is_replaced_while_records_wait(person: Person) -> None:
    person.types("enroll", *person.application(person.desk.token(waive_approval=True)))
    again = person.application(person.desk.token(waive_approval=True))
    status, answer = person.asks("enroll", "--replace", *again)
    assert (status, answer["error"]["code"]) == (ExitCode.SETUP, "RECORDS_WAIT")
    assert "sync --once" in answer["error"]["hint"]
    assert len(person.desk.devices()) == 1


def confirm_everything(person: Person) -> None:
    """As receipts would."""
    config = load_config(None, data_dir=person.data)
    with closing(sqlite3.connect(outbox_path(config, open_identity(config).device_id))) as db:
        db.execute("UPDATE delivery SET state = 'CONFIRMED'")
        db.commit()


def test_what_is_recorded_while_the_new_identity_waits_is_delivered_first(person: Person) -> None:
    """The old one works on until a person has approved the new one's key."""
    person.types("enroll", *person.application(person.desk.token(waive_approval=True)))
    confirm_everything(person)
    status, answer = person.asks("enroll", "--replace", *person.application(person.desk.token()))
    assert (status, answer["state"]) == (ExitCode.NEGATIVE, "PENDING_APPROVAL")
    new = next(row for row in person.desk.devices() if row.device_id == answer["device_id"])
    config = load_config(None, data_dir=person.data)
    with open_recorder(config) as recorder:
        recorder.record(Evidence(aborted="NO_CARD"), Decision(Outcome.ABORTED, ("NO_CARD",)))
    person.desk.approve(new.device_id, new.attestation_key_sha256)
    for _ in range(2):
        status, answer = person.asks("enroll")
        assert (status, answer["error"]["code"]) == (ExitCode.SETUP, "RECORDS_WAIT")
    assert open_identity(config).device_id != new.device_id
    confirm_everything(person)
    status, answer = person.asks("enroll")
    assert (status, answer["device_id"]) == (0, new.device_id)
    assert "RECORDS_LEFT" not in person.asks("status")[1]["problems"]


def test_what_a_killed_process_left_goes_at_the_next_start(person: Person) -> None:
    person.types("enroll", *person.application(person.desk.token(waive_approval=True)))
    config = load_config(None, data_dir=person.data)
    folders = [person.data, person.data / "outbox", person.data / "state"]
    folders += [path for path in (person.data / "identity").rglob("*") if path.is_dir()]
    left = [folder / ".name.0123456789abcdef" for folder in folders]
    for path in left:
        path.write_bytes(b"half a file")
    with open_recorder(config):
        assert [path for path in left if path.exists()] == []


def test_records_that_an_earlier_identity_left_are_told(person: Person) -> None:
    person.types("enroll", *person.application(person.desk.token(waive_approval=True)))
    config = load_config(None, data_dir=person.data)
    old = outbox_path(config, open_identity(config).device_id)
    confirm_everything(person)
    person.types("enroll", "--replace", *person.application(person.desk.token(waive_approval=True)))
    with closing(sqlite3.connect(old)) as db:  # as a session that ended in the last moment
        db.execute("UPDATE delivery SET state = 'PENDING'")
        db.commit()
    status, answer = person.asks("status")
    assert status == ExitCode.NEGATIVE
    assert "RECORDS_LEFT" in answer["problems"]
    assert answer["queue"]["left"] == 1
    confirm_everything(person)
    assert "1 records of earlier identities" in person.asks("wipe")[1]["error"]["message"]
    old.write_bytes(b"no database any more")
    assert person.asks("status")[1]["queue"]["left"] == 1


def sign_offline(person: Person) -> None:
    """As a person does at a device that is not online: the cloud is to be told later."""
    config, now = load_config(None, data_dir=person.data), datetime.now(UTC)
    about = About("Lease", "Party", "L***", bytes(32), now)
    row = SignatureRow(
        submission_id="s-1",
        task_id="t-1",
        contract_id="c-1",
        state=SignatureState.PREPARED,
        session_id=bytes(16),
        head=Position(1, 1),
        attestation_id="",
        reason="",
        noted=now,
        about=about,
        content=b"picture",
    )
    with open_state(config, open_identity(config)) as state:
        state.signatures.prepare(row)


def test_nothing_is_replaced_while_a_signature_waits(person: Person) -> None:
    person.types("enroll", *person.application(person.desk.token(waive_approval=True)))
    confirm_everything(person)
    sign_offline(person)
    again = person.application(person.desk.token(waive_approval=True))
    status, answer = person.asks("enroll", "--replace", *again)
    assert (status, answer["error"]["code"]) == (ExitCode.SETUP, "RECORDS_WAIT")
    assert "1 signatures" in answer["error"]["message"]
    _, answer = person.asks("wipe")
    assert "1 signatures" in answer["error"]["message"]


def test_nothing_is_replaced_under_a_session(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by one that is under way, nor does one begin before the new identity is there."""
    person.types("enroll", *person.application(person.desk.token(waive_approval=True)))
    confirm_everything(person)
    again = person.application(person.desk.token(waive_approval=True))
    config = load_config(None, data_dir=person.data)
    with open_recorder(config) as old:
        with old.outbox.open_for_sessions():
            status, answer = person.asks("enroll", "--replace", *again)
        assert (status, answer["error"]["code"]) == (ExitCode.SETUP, "SESSION_RUNNING")
        advance, begun = Enrolment.advance, []

        def advance_beside_a_session(enrolment: Enrolment) -> Progress:
            progress = advance(enrolment)
            with old.outbox.closed_for_sessions() as closed:
                begun.append(closed)
            return progress

        monkeypatch.setattr(Enrolment, "advance", advance_beside_a_session)
        status, answer = person.asks("enroll", "--replace", *again)
    assert (status, answer["state"], begun) == (0, "ACTIVE", [False])


@pytest.mark.req("E055")
def test_a_wipe_asks_first_and_says_what_would_be_lost(person: Person) -> None:
    person.types("enroll", *person.application(person.desk.token(waive_approval=True)))
    status, answer = person.asks("wipe")
    assert (status, answer["error"]["code"]) == (ExitCode.SETUP, "WIPE_UNCONFIRMED")
    assert "1 records" in answer["error"]["message"]  # the enrolment
    assert person.types("outbox", "stats")[0] == 0

    left = person.data / "identity" / ".device-secret.0123456789abcdef"  # by a kill at the wrong moment
    left.write_bytes(b"a secret")
    status, answer = person.asks("wipe", "--yes")
    assert (status, answer["attestation_keys"], answer["undelivered_records"]) == (0, 1, 1)
    assert not left.exists()
    assert list(person.data.rglob("*.key")) == []
    status, answer = person.asks("verify")
    assert (status, answer["error"]["code"]) == (ExitCode.SETUP, "NOT_ENROLLED")
    status, answer = person.asks("wipe", "--yes")  # twice does no harm
    assert (status, answer["device_id"]) == (0, None)


def test_a_wiped_device_may_become_another_one(person: Person) -> None:
    person.types("enroll", *person.application(person.desk.token(waive_approval=True)))
    person.types("wipe", "--yes")
    status, answer = person.asks("enroll", *person.application(person.desk.token(waive_approval=True)))
    assert (status, answer["state"]) == (0, "ACTIVE")
    assert load_config(None, data_dir=person.data).key_store == "software"
