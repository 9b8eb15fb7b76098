"""The commands about what a device knows: its operators, its policy, how it stands."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from argon2 import PasswordHasher

from edge import watch
from edge.attest.clock import BUILD_DATE, SystemClock, TimeBounds, arrival_now
from edge.cli import app
from edge.commands import operator as operator_command
from edge.commands import policy as policy_command
from edge.commands import status as status_command
from edge.commands import tasks as tasks_command
from edge.commands.operator import MAX_PIN_FILE_BYTES
from edge.errors import ExitCode
from edge.health import EXPIRES_SOON, Health, Queue, judge_health
from edge.lease import Lease
from edge.model import KeyProtection, Standing
from edge.operators import pins
from edge.outbox.records import OutboxStats
from edge.outbox.space import Space, SpaceVerdict
from edge.policy import Policy
from edge.state.records import ItemKind, ManualEntry, RefusedItem
from edge.texts import REFUSALS, STANDINGS
from tests.support.appliance import open_outbox
from tests.support.authority import NOW, Authority
from tests.support.known import KnownDevice, directive_item, policy_item
from tests.support.policies import sample_policy, sign_policy
from tests.support.tasks import account_item, bad_item, contract_item, task_id
from verifield.v1 import policy_pb2 as pb
from verifield.v1.attestation_pb2 import TIME_QUALITY_SUSPECT, TIME_QUALITY_TRUSTED

PIN, NEW_PIN = "835062", "472910"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[KnownDevice]:
    """A device whose identity is taken for granted, and whose clock the cloud has just confirmed."""
    known = KnownDevice(tmp_path, authority)
    now = datetime.now(UTC)
    enrolled = authority.enroll("device-1", now=now - timedelta(days=1))
    identity = SimpleNamespace(
        device_id="device-1",
        site_id="site-1",
        key_protection=KeyProtection.SOFTWARE,
        key_store=known.key_store,
        root_pem=authority.root_pem,
        attestation_certificates=tuple(enrolled.chain),
        tls_certificates=tuple(enrolled.chain),
    )
    for module in (operator_command, policy_command, status_command, tasks_command):
        monkeypatch.setattr(module, "open_identity", lambda _config: identity)
    path = tmp_path / "outbox" / "device-1.sqlite"
    open_outbox(path).close()
    monkeypatch.setattr(watch, "open_outbox", lambda _config, _identity: open_outbox(path))
    monkeypatch.setattr(pins, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=4))
    monkeypatch.setattr(pins, "TIME_COST", 1)
    monkeypatch.setattr(pins, "MEMORY_KIB", 64)
    yield known
    known.state.close()


def call(device: KnownDevice, *args: str) -> int:
    try:
        app([*args, "--data", str(device.folder)], prog_name="verifield-edge")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def answer_of(device: KnownDevice, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, Any]:
    status = call(device, *args, "--json")
    (line,) = capsys.readouterr().out.splitlines()
    return status, json.loads(line)


def pin_file(device: KnownDevice, pin: str) -> str:
    path = device.folder / f"pin-{pin}"
    path.write_text(pin + "\n")
    return str(path)


def test_operators_from_the_first_to_the_last_day(
    device: KnownDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    pin, new = pin_file(device, PIN), pin_file(device, NEW_PIN)
    status, added = answer_of(
        device, capsys, "operator", "add", "Li [bold]Wei", "--role", "supervisor", "--pin-file", pin
    )
    assert status == 0
    status, listed = answer_of(device, capsys, "operator", "list")
    assert listed == {
        "operators": [
            {
                "operator_id": added["operator_id"],
                "name": "Li [bold]Wei",
                "role": "supervisor",
                "factors": ["PIN"],
                "blocked_s": 0.0,
            }
        ]
    }
    test = ("operator", "login-test", added["operator_id"], "--pin-file")
    assert answer_of(device, capsys, *test, pin) == (
        0,
        {
            "signed_in": True,
            "operator_id": added["operator_id"],
            "role": "supervisor",
            "factors": ["PIN"],
        },
    )
    changed = answer_of(
        device, capsys, "operator", "change-pin", "Li [bold]Wei", "--old-file", pin, "--new-file", new
    )
    assert changed == (0, {"changed": True})
    assert answer_of(device, capsys, *test, pin) == (
        ExitCode.NEGATIVE,
        {"signed_in": False, "refusal": "WRONG", "wait_s": 0.0},
    )
    assert call(device, *test, new) == 0
    assert call(device, "operator", "list") == 0
    assert "Li [bold]Wei" in capsys.readouterr().out
    assert answer_of(device, capsys, "operator", "remove", "Li [bold]Wei")[0] == 0
    status, gone = answer_of(device, capsys, *test, new)
    assert (status, gone["error"]["code"]) == (ExitCode.INPUT, "NO_OPERATOR")


@pytest.mark.parametrize("read", [False, True])
def test_a_removal_says_where_the_old_row_stays_for_now(
    device: KnownDevice, capsys: pytest.CaptureFixture[str], *, read: bool
) -> None:
    call(device, "operator", "add", "Ana", "--role", "clerk", "--pin-file", pin_file(device, PIN))
    capsys.readouterr()
    with closing(sqlite3.connect(device.path, isolation_level=None)) as reader:
        if read:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM operators").fetchall()
        assert call(device, "operator", "remove", "Ana") == 0
    assert ("keeps the sealed row" in " ".join(capsys.readouterr().out.split())) is read


def test_a_refusal_is_told_in_the_language_of_the_device(
    device: KnownDevice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(device, "operator", "add", "Ana", "--role", "clerk", "--pin-file", pin_file(device, PIN))
    monkeypatch.setenv("VERIFIELD_EDGE_LANGUAGE", "es")
    capsys.readouterr()
    assert call(device, "operator", "login-test", "Ana", "--pin-file", pin_file(device, NEW_PIN)) == 1
    assert "inténtelo de nuevo" in capsys.readouterr().err


def test_a_pin_comes_from_a_file_or_standard_input_and_has_an_end(
    device: KnownDevice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = ("operator", "add", "Ana", "--role", "clerk", "--pin-file")
    assert answer_of(device, capsys, *add, "missing")[1]["error"]["code"] == "PIN_FILE"
    long = device.folder / "long"
    long.write_text("8" * (MAX_PIN_FILE_BYTES + 1))
    assert answer_of(device, capsys, *add, str(long))[1]["error"]["code"] == "PIN_FORM"
    assert answer_of(device, capsys, *add, "/dev/zero")[1]["error"]["code"] == "PIN_FORM"
    long.write_bytes(b"\xff\xfe")
    assert answer_of(device, capsys, *add, str(long))[1]["error"]["code"] == "PIN_FILE"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(PIN.encode() + b"\n")))
    assert answer_of(device, capsys, *add, "-")[0] == 0


def test_a_typed_pin_is_asked_for_twice(
    device: KnownDevice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter([PIN, NEW_PIN, PIN, PIN])
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("typer.prompt", lambda *_args, **_kwargs: next(typed))
    add = ("operator", "add", "Ana", "--role", "clerk")
    assert answer_of(device, capsys, *add)[1]["error"]["code"] == "PIN_DIFFERS"
    assert answer_of(device, capsys, *add)[0] == 0


def test_the_ledger_is_shown_only_when_it_is_whole(
    device: KnownDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = ManualEntry("id-1", "op-1", "op-2", accepted=True, not_before=NOW, wall=NOW)
    device.state.ledger.append(entry)
    status, shown = answer_of(device, capsys, "operator", "ledger")
    assert status == 0
    assert shown["entries"][0]["decided_by"] == "op-1"
    assert call(device, "operator", "ledger") == 0
    assert "op-2" in capsys.readouterr().out
    with device.state._db.writing():
        device.state._db.run("UPDATE ledger SET accepted = 0")
    status, shown = answer_of(device, capsys, "operator", "ledger")
    assert (status, shown["error"]["code"]) == (ExitCode.STORAGE, "LEDGER_BROKEN")


def test_the_policy_in_force_is_shown(device: KnownDevice, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = answer_of(device, capsys, "policy", "show")
    assert (status, shown["built_in"], shown["version"]) == (0, True, 0)
    assert shown["sha256"] == Policy().sha256().hex()
    device.pull(policy_item(device.authority, 3))
    status, shown = answer_of(device, capsys, "policy", "show")
    assert (shown["built_in"], shown["version"]) == (False, 3)
    assert shown["offline"] == {"degraded_after_s": 604800.0, "stopped_after_s": 2592000.0}
    assert shown["session"]["steps"] == ["CONSENT", "CUSTOMER_DATA", "NOTICE"]
    assert shown["number_segments"] == [{"prefix": "138", "digits": 11}]
    assert call(device, "policy", "show") == 0
    lines = capsys.readouterr().out
    assert "match.live_chip_photo.threshold" in lines
    assert "您同意吗？" in lines


def now_contact() -> dict[str, Any]:
    return {"at": datetime.now(UTC), "arrival": arrival_now(SystemClock())}


def test_the_status_tells_what_is_wrong_and_only_then_is_not_0(
    device: KnownDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown = answer_of(device, capsys, "status")
    assert status == ExitCode.NEGATIVE
    assert shown["problems"][:2] == ["POLICY_MISSING", "CLOCK_SUSPECT"]
    message = policy_item_until(device.authority, days=3000)
    device.pull(message, account_item("a", issued=datetime.now(UTC)), **now_contact())
    status, shown = answer_of(device, capsys, "status")
    assert {"POLICY_MISSING", "CLOCK_SUSPECT"}.isdisjoint(shown["problems"])
    assert shown["standing"] == "NORMAL"
    assert shown["clock"]["quality"] == "TRUSTED"
    assert shown["waiting"] == {"account": 1, "contract": 0}
    assert shown["certificates"]["attestation"]["days_left"] == 363
    assert shown["queue"]["pending"] == 0
    assert status == (1 if shown["problems"] else 0)
    lock = directive_item(device.authority, pb.DIRECTIVE_ACTION_LOCK)
    device.pull(bad_item("b"), lock, **now_contact())
    status, shown = answer_of(device, capsys, "status")
    assert (status, shown["problems"][0]) == (ExitCode.NEGATIVE, "DEVICE_LOCKED")
    assert "NEWS_REFUSED" in shown["problems"]
    assert shown["detail"] == "Reported as lost"
    assert call(device, "status") == ExitCode.NEGATIVE
    printed = capsys.readouterr().out
    assert STANDINGS[Standing.LOCKED]["en"] in printed
    assert "EMPTY" in printed
    assert call(device, "status", "--quiet") == ExitCode.NEGATIVE
    assert capsys.readouterr().out == ""


@pytest.mark.req("E054")
def test_what_waits_is_listed_and_shown(device: KnownDevice, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    account = account_item("a", issued=now, life=timedelta(days=2))
    device.pull(account, contract_item("c", title="Lease [bold]", issued=now), **now_contact())
    status, shown = answer_of(device, capsys, "tasks", "list")
    assert status == ExitCode.OK
    assert [one["task_id"] for one in shown["tasks"]] == [task_id("a"), task_id("c")]
    status, shown = answer_of(device, capsys, "tasks", "show", task_id("c"))
    assert shown == {
        "task_id": task_id("c"),
        "kind": "CONTRACT",
        "subject_id": "contract-1",
        "masked_name": "试***",
        "document_type": "RESIDENT_ID",
        "steps": ["SIGNATURE"],
        "issue_time": now.isoformat(),
        "expire_time": (now + timedelta(days=30)).isoformat(),
        "perhaps_expired": False,
        "nonce": hashlib.sha256(b"c").hexdigest(),
        "contract": {
            "title": "Lease [bold]",
            "party": "Sample Housing",
            "document_sha256": bytes(range(32)).hex(),
        },
    }
    assert call(device, "tasks", "list") == ExitCode.OK
    assert "Lease [bold]" in capsys.readouterr().out
    status, shown = answer_of(device, capsys, "tasks", "show", task_id("nobody's"))
    assert (status, shown["error"]["code"]) == (ExitCode.INPUT, "TASK_UNKNOWN")


def test_a_task_that_has_expired_by_a_clock_that_nobody_vouches_for_says_so(
    device: KnownDevice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certain is only the cloud's last word, and how long the device is on since: here an hour."""
    monkeypatch.setattr(SystemClock, "monotonic_ns", lambda _self: 3_600 * 10**9)
    day = timedelta(days=1)
    device.pull(account_item("a", issued=NOW, life=timedelta(days=90)), at=NOW)
    device.pull(account_item("b", issued=BUILD_DATE, life=day), at=BUILD_DATE)
    assert {one.item_id for one in device.state.items(ItemKind.ACCOUNT)} == {task_id("a"), task_id("b")}
    status, shown = answer_of(device, capsys, "tasks", "list")
    assert status == ExitCode.OK
    [task] = shown["tasks"]
    assert (task["task_id"], task["perhaps_expired"]) == (task_id("b"), True)


def policy_item_until(authority: Authority, *, days: int) -> Any:
    message = sample_policy()
    message.expire_time.FromDatetime(NOW + timedelta(days=days))
    item = policy_item(authority, 1)
    item.content = sign_policy(authority, message)
    return item


def test_an_outbox_that_cannot_be_used_is_told_with_the_rest(
    device: KnownDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    (device.folder / "outbox" / "device-1.sqlite.key").write_bytes(b"of another device" * 9)
    status, shown = answer_of(device, capsys, "status")
    assert status == ExitCode.NEGATIVE
    assert (shown["queue"]["unusable"], shown["queue"]["pending"]) == ("DATA_KEY_WRONG", 0)
    assert "QUEUE_UNUSABLE" in shown["problems"]
    (device.folder / "outbox" / "device-1.sqlite").write_bytes(b"no database" * 100)
    status, shown = answer_of(device, capsys, "status")
    assert shown["queue"] == {"left": 0, "unusable": "OUTBOX_CORRUPT"}


LEASE = Lease(Standing.NORMAL, "", "", timedelta(0), timedelta(days=30), policy_expired=False)


@pytest.fixture(scope="module")
def stats(tmp_path_factory: pytest.TempPathFactory) -> OutboxStats:
    """Of an outbox that is empty and whole."""
    with open_outbox(tmp_path_factory.mktemp("empty") / "outbox.sqlite") as outbox:
        return outbox.stats()


SPACE = Space(free_bytes=90, total_bytes=100, verdict=SpaceVerdict.OK)
WELL = Health(
    lease=LEASE,
    bounds=TimeBounds(NOW, TIME_QUALITY_TRUSTED, NOW),
    policy=Policy(version=1),
    certificates=(("attestation", NOW + EXPIRES_SOON),),
    queue=Queue(),
    refused=(),
)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lease": replace(LEASE, standing=Standing.LOCKED)}, "DEVICE_LOCKED"),
        ({"lease": replace(LEASE, standing=Standing.STOPPED)}, "DEVICE_STOPPED"),
        ({"lease": replace(LEASE, standing=Standing.DEGRADED)}, "DEVICE_DEGRADED"),
        ({"lease": replace(LEASE, policy_expired=True)}, "POLICY_EXPIRED"),
        ({"policy": None}, "POLICY_DAMAGED"),
        ({"policy": Policy()}, "POLICY_MISSING"),
        ({"certificates": (("tls", NOW + EXPIRES_SOON - TICK),)}, "CERTIFICATE_EXPIRES"),
        ({"certificates": (("tls", NOW),)}, "CERTIFICATE_EXPIRES"),
        ({"certificates": (("tls", NOW - TICK),)}, "CERTIFICATE_EXPIRED"),
        ({"bounds": TimeBounds(NOW, TIME_QUALITY_SUSPECT, NOW)}, "CLOCK_SUSPECT"),
        ({"space": replace(SPACE, verdict=SpaceVerdict.LOW)}, "DISK_LOW"),
        ({"space": replace(SPACE, verdict=SpaceVerdict.STOP)}, "DISK_RESERVE"),
        ({"queue": Queue(unusable="OUTBOX_CORRUPT")}, "QUEUE_UNUSABLE"),
        ({"stats": {"oldest_pending": NOW - timedelta(days=7) - TICK}}, "QUEUE_STUCK"),
        ({"stats": {"oldest_pending": NOW - timedelta(days=1) - TICK}}, "QUEUE_WAITS"),
        ({"stats": {"invalid": 1}}, "RECORDS_REFUSED"),
        ({"stats": {"damaged": 1}}, "RECORDS_DAMAGED"),
        ({"stats": {"missing": 1}}, "RECORDS_DAMAGED"),
        ({"stats": {"media_lost": 1}}, "RECORDS_DAMAGED"),
        ({"stats": {"reset_needed": "STORE_BEHIND"}}, "RECORDS_DAMAGED"),
        ({"refused": (RefusedItem("POLICY", "p", "SIGNATURE", "x"),)}, "NEWS_REFUSED"),
    ],
)
def test_each_problem_alone_is_told(stats: OutboxStats, changes: dict[str, Any], problem: str) -> None:
    rest = dict(changes)
    figures = replace(stats, **rest.pop("stats", {}))
    rest.setdefault("queue", Queue(figures, rest.pop("space", SPACE)))
    assert judge_health(replace(WELL, **rest)) == (problem,)


def test_a_device_that_is_well_has_no_problem(stats: OutboxStats) -> None:
    for oldest in (None, NOW - timedelta(days=1)):
        queue = Queue(replace(stats, oldest_pending=oldest), SPACE)
        assert judge_health(replace(WELL, queue=queue)) == ()


@pytest.mark.parametrize("texts", [STANDINGS, REFUSALS])
def test_every_text_is_there_in_every_language(texts: dict[Any, dict[str, str]]) -> None:
    (kind,) = {type(key) for key in texts}
    assert list(texts) == list(kind.__members__.values())
    for by_language in texts.values():
        assert set(by_language) == {"zh", "es", "en"}
        assert all(by_language.values())
