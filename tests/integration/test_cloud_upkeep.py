"""The operator's commands around the audit chain, backups, keys and the schema, beside a running service."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from cloud.access.call import Call, Caller, Kind
from cloud.access.roles import Role
from cloud.access.rules import Rules
from cloud.audit.layer import UNKNOWN, AuditLayer
from cloud.audit.trail import Trail
from cloud.cli import app as commands
from cloud.errors import ExitCode, SetupError
from cloud.privacy.ring import RETIRE_AFTER, RING_FILE
from tests.support.cloud import FakeClock, RunningCloud, next_envelopes, running_cloud
from tests.support.people import add_person
from tests.support.released import write_0001
from verifield.v1 import audit_service_pb2 as pb
from verifield.v1 import user_service_pb2 as users_pb
from verifield.v1.audit_service_pb2_grpc import AuditServiceStub


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        device = running.enroll()
        running.deliver(device, next_envelopes(device, 3))
        yield running


def run(*arguments: object, code: int = 0, as_json: bool = True) -> dict[str, Any]:
    """Run a command; what it prints as JSON."""
    options = ("--json",) if as_json else ()
    outcome = CliRunner().invoke(commands, [*map(str, arguments), *options])
    assert outcome.exit_code == code, outcome.output
    values: dict[str, Any] = json.loads(outcome.stdout) if as_json else {}
    return values


def test_what_was_done_is_listed_and_can_be_narrowed(cloud: RunningCloud) -> None:
    where = ("--data", cloud.data)
    events = run("audit", "list", *where)["events"]
    assert [event["seq"] for event in events] == list(range(len(events), 0, -1))
    [token] = [event for event in events if event["action"] == "devices.create_join_token"]
    assert token["outcome"] == "done"
    assert token["caller"].startswith("service-token/")
    narrowed = run("audit", "list", "--action", token["action"], "--caller", token["caller"], *where)
    assert narrowed["events"] == [token]
    assert run("audit", "list", "--action", "no.such", *where)["events"] == []
    assert run("audit", "list", "--limit", 1, *where)["events"] == events[:1]
    assert run("audit", "list", "--filter", "seq <= 1 AND outcome = DONE", *where)["events"] == events[-1:]
    error = run("audit", "list", "--filter", "colour = red", *where, code=ExitCode.CLOUD)["error"]
    assert error["code"] == "FILTER_INVALID"
    run("audit", "list", "--outcome", "perhaps", *where, code=2, as_json=False)
    run("audit", "list", *where, as_json=False)


def test_pages_of_events_meet_without_gap(cloud: RunningCloud) -> None:
    request = pb.ListAuditEventsRequest(page_size=1)
    seqs = [
        event.seq
        for page in cloud.operator.pages(cloud.operator.audit.ListAuditEvents, request)
        for event in page.events
    ]
    assert seqs == list(range(len(seqs), 0, -1))


def test_a_head_is_signed_on_demand_kept_and_checked_against(cloud: RunningCloud, tmp_path: Path) -> None:
    where = ("--data", cloud.data)
    kept = tmp_path / "off-box" / "head"
    head = run("audit", "head", "--sign", "--output", kept, *where)
    assert head["signed"]["seq"] == head["seq"] - 1  # the signing itself is an event
    for how in ((), ("--online",)):
        report = run("audit", "verify", "--head", kept, *where, *how)
        assert report["holds"]
        assert report["events"] == head["seq"]
        assert (report["signed_heads"], report["kept_heads"]) == (1, 1)
    assert run("verify-log", *where)["sound"]
    run("audit", "head", *where, as_json=False)
    run("audit", "verify", *where, as_json=False)
    run("verify-log", *where, as_json=False)


def test_a_chain_that_was_cut_is_found_with_a_kept_head_also_online(tmp_path: Path) -> None:
    data, kept = tmp_path / "data", tmp_path / "head"
    with running_cloud(data) as cloud:
        for _ in range(3):
            cloud.join_token()
        run("audit", "head", "--sign", "--output", kept, "--data", data)
    with closing(sqlite3.connect(data / "verifield.db")) as raw:
        [digest] = raw.execute("SELECT sha256 FROM audit_events WHERE seq = 2").fetchone()
        raw.execute("DELETE FROM audit_events WHERE seq > 2")
        raw.execute("DELETE FROM audit_heads")
        raw.execute("UPDATE audit_chains SET seq = 2, sha256 = ?", (digest,))
        raw.commit()
    report = run("audit", "verify", "--head", kept, "--data", data, code=ExitCode.UNSOUND)
    assert {one["fault"] for one in report["findings"]} == {"CHAIN_CUT", "HEAD_MISSING"}
    run("audit", "verify", "--head", kept, "--data", data, code=ExitCode.UNSOUND, as_json=False)
    with running_cloud(data):
        report = run("audit", "verify", "--online", "--head", kept, "--data", data, code=ExitCode.UNSOUND)
    assert {one["fault"] for one in report["findings"]} == {"CHAIN_CUT"}
    (tmp_path / "no-head").write_bytes(b"no head")
    run("audit", "verify", "--head", tmp_path / "no-head", "--data", data, code=ExitCode.SETUP)


def test_refused_calls_are_events_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_cloud(data) as cloud, cloud.public_channel() as channel:
        stub = AuditServiceStub(channel)
        for token in (None, "Bearer wrong", "Bearer wrong"):
            with pytest.raises(grpc.RpcError):
                stub.GetAuditHead(
                    pb.GetAuditHeadRequest(),
                    timeout=10,
                    metadata=(("authorization", token),) if token else (),
                )
    with running_cloud(data):
        events = run("audit", "list", "--outcome", "refused", "--data", data)["events"]
        assert {event["caller"] for event in events} == {UNKNOWN}
        assert sum(int(event["facts"].get("count", "1")) for event in events) == 3
        assert all(event["facts"]["reason"] for event in events)
        assert run("audit", "verify", "--data", data)["holds"]


def test_a_service_signs_the_head_of_a_day_ago_when_it_starts(tmp_path: Path) -> None:
    data, clock = tmp_path / "data", FakeClock()
    with running_cloud(data, clock=clock) as cloud:
        cloud.join_token()
        assert run("audit", "head", "--data", data)["signed"] is None
        run("audit", "head", "--output", tmp_path / "none", "--data", data, code=ExitCode.SETUP)
    clock.offset += timedelta(days=1)
    with running_cloud(data, clock=clock) as cloud:
        for _ in range(1000):
            if run("audit", "head", "--data", data)["signed"]:
                break
        assert run("audit", "head", "--data", data)["signed"]["seq"] == 1


def test_nothing_but_ids_gets_into_the_chain_from_a_request() -> None:
    """Whoever may read users could else write what he likes into a chain that is never erased."""

    class Request:
        user_id = "Zhang Xiaoming 11010119900307123X"

    notes: list[dict[str, str]] = []

    class Notes(Trail):
        def __init__(self) -> None:
            pass

        def record_read(self, **note: str) -> None:
            notes.append(note)

    method = "/verifield.v1.UserService/GetUser"
    call = Call(method, "ipv4:1", caller=Caller(Kind.USER, "one"), request_id="r")
    layer = AuditLayer(Notes(), Rules.of(["verifield.v1.UserService"]))
    layer.check(call, Request())
    Request.user_id = "0190f5c0-0000-7000-8000-000000000001"
    layer.check(call, Request())
    assert [note["subject"] for note in notes] == ["GetUser", f"users/{Request.user_id}"]


def test_backups_from_the_command_line(cloud: RunningCloud, tmp_path: Path) -> None:
    where, folder = ("--data", cloud.data), tmp_path / "backups"
    assert run("backup", "create", folder, *where, code=ExitCode.SETUP)["error"]["code"] == "BACKUP_RECIPIENT"
    keys = run("backup", "keygen", tmp_path / "backup.key")
    run("backup", "keygen", tmp_path / "backup.key", code=ExitCode.SETUP)
    made = run("backup", "create", folder, "--recipient", keys["public_key"], "--keep", 2, *where)
    assert made["encrypted"]
    assert made["deleted"] == []
    assert run("backup", "verify", made["backup"], *where)["opened"] is False
    identity = ("--identity", keys["private_key"])
    assert run("backup", "verify", made["backup"], *identity, *where)["opened"]
    run("backup", "create", folder, "--plain", *where)
    third = run("backup", "create", folder, "--plain", "--keep", 2, *where)
    assert third["deleted"] == [Path(made["backup"]).name]
    listed = run("backup", "list", folder, *where)["backups"]
    assert [one["encrypted"] for one in listed] == [False, False]
    assert listed[-1]["backup"] == third["backup"]
    root = tmp_path / "root.pem"
    shutil.copy(cloud.data / "root.pem", root)
    done = run("restore", third["backup"], "--data", tmp_path / "again", "--root", root)
    assert done["restored"]
    assert done["log_size"] >= 3
    assert done["audit"]["holds"]
    target = ("--data", tmp_path / "again")
    error = run("restore", third["backup"], *target, "--root", root, code=ExitCode.SETUP)["error"]
    assert error["code"] == "RESTORE_NOT_EMPTY"
    assert run("audit", "verify", *target)["holds"]
    assert run("verify-log", *target)["sound"]
    run("backup", "list", folder, *where, as_json=False)
    (Path(third["backup"]) / "database").write_bytes(b"")
    error = run("backup", "verify", third["backup"], *where, code=ExitCode.SETUP)["error"]
    assert error["code"] == "BACKUP_DAMAGED"


def test_migrate_shows_asks_copies_and_brings_forward(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_0001(f"sqlite:///{data / 'verifield.db'}")
    where = ("--data", data)
    error = run("verify-log", *where, code=ExitCode.SETUP)["error"]
    assert error["code"] == "DATABASE_OLD"
    outcome = CliRunner().invoke(commands, ["migrate", "--data", str(data)], input="n\n")
    assert outcome.exit_code == 1
    with closing(sqlite3.connect(data / "verifield.db")) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    done = run("migrate", "--yes", *where)
    assert done["migrated"]
    assert done["current"] == done["newest"]
    with closing(sqlite3.connect(done["copy"])) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert raw.execute("SELECT count(*) FROM attestations").fetchone() == (3,)
    again = run("migrate", *where)
    assert (again["migrated"], again["copy"]) == (False, None)
    error = run("migrate", "--data", tmp_path / "nowhere", code=ExitCode.SETUP)["error"]
    assert error["code"] == "DATABASE_MISSING"
    assert not (tmp_path / "nowhere").exists()


def age_ring(data: Path, by: timedelta) -> None:
    """Make all versions of the ring older."""
    path = data / "keys" / RING_FILE
    content = json.loads(path.read_bytes())
    for key in (key for family in content.values() for key in family):
        key["created_us"] -= by // timedelta(microseconds=1)
    path.write_text(json.dumps(content))


def test_keys_are_rotated_beside_a_running_service(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_cloud(data) as cloud:
        where = ("--data", data)
        user = cloud.operator.call(
            cloud.operator.users.CreateUser,
            users_pb.CreateUserRequest(
                user=users_pb.User(
                    login="zhang",
                    display_name="Zhang",
                    issuer="https://issuer.example",
                    subject="subject-1",
                    roles=[users_pb.ROLE_VIEWER],
                )
            ),
        ).user

        def uses() -> list[tuple[str, int, int]]:
            keys = run("keys", "list", *where)["keys"]
            return [(key["family"], key["version"], key["uses"]) for key in keys]

        assert uses() == [("seal", 1, 1), ("index", 1, 1)]
        for family in ("seal", "index"):
            assert run("keys", "rotate", family, *where)["version"] == 2
            error = run("keys", "retire", family, 1, "--yes", *where, code=ExitCode.SETUP)["error"]
            assert error["code"] == "RING_VERSION_IN_USE"
        assert run("keys", "reseal", *where) == {"seal": 1, "index": 1}
        assert run("keys", "reseal", *where) == {"seal": 0, "index": 0}
        for family in ("seal", "index"):
            # A transaction that began before the rotation could still seal with the first version.
            error = run("keys", "retire", family, 1, "--yes", *where, code=ExitCode.SETUP)["error"]
            assert error["code"] == "RING_VERSION_IN_USE"
        age_ring(data, RETIRE_AFTER)
        for family, version in (("seal", 2), ("index", 9)):
            run("keys", "retire", family, version, "--yes", *where, code=ExitCode.SETUP)
        for family in ("seal", "index"):
            run("keys", "retire", family, 1, "--yes", *where)
        assert uses() == [("seal", 2, 1), ("index", 2, 1)]
        got = cloud.operator.call(
            cloud.operator.users.GetUser, users_pb.GetUserRequest(user_id=user.user_id)
        ).user
        assert (got.display_name, got.subject) == ("Zhang", "subject-1")
        actions = [event["action"] for event in run("audit", "list", *where)["events"]]
        assert actions.count("keys.rotate") == 2
        assert actions.count("keys.retire") == 2
        assert actions.count("keys.reseal") == 1
        error = run("persons", "erase", "nobody", "--yes", *where, code=ExitCode.SETUP)["error"]
        assert error["code"] == "PERSON_UNKNOWN"
        run("keys", "list", *where, as_json=False)


def test_a_lost_ring_is_made_by_no_command_and_no_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_cloud(data) as cloud:
        add_person(cloud, "zhang", Role.VIEWER, display_name="Zhang")
    ring = data / "keys" / RING_FILE
    kept = ring.read_bytes()
    ring.unlink()
    assert run("keys", "list", "--data", data, code=ExitCode.SETUP)["error"]["code"] == "KEYS_UNUSABLE"
    with pytest.raises(SetupError) as caught, running_cloud(data):
        pass
    assert caught.value.code == "KEYS_UNUSABLE"
    assert not ring.exists()
    ring.write_bytes(kept)
    with running_cloud(data):
        pass
