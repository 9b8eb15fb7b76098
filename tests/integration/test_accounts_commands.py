"""``verifield-cloud accounts`` as the staff uses it, in processes of their own."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cloud.accounts.states import State
from tests.integration.test_accounts_sign_in import CHEAP, allow_lookups, login, reason
from tests.support.accounts import as_account, new_citizen, registered
from tests.support.cloud import RunningCloud, running_cloud
from verifield.v1 import diagnostics_service_pb2
from verifield.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data", **CHEAP) as running:
        allow_lookups(running, 1000)
        yield running


def run(cloud: RunningCloud, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [str(BIN / "verifield-cloud"), "accounts", *words, "--data", str(cloud.data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def ask(cloud: RunningCloud, *words: str) -> dict[str, Any]:
    status, out, err = run(cloud, *words, "--json")
    assert status == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_an_account_is_shown_masked_locked_and_ended(cloud: RunningCloud) -> None:
    made = registered(cloud)
    shown = ask(cloud, "show", made.account_id)
    assert (shown["state"], shown["next_step"], shown["filing"]) == ("ACTIVE", "NONE", "DENIED")
    assert made.person.id_number not in str(shown)
    assert shown["phone"] == f"138****{made.person.phone[-4:]}"
    status, out, _ = run(cloud, "show", made.account_id)
    assert status == 0
    assert made.account_id in out
    assert ask(cloud, "lock", made.account_id)["state"] == "LOCKED"
    assert reason(cloud, made.person.phone) == "ACCOUNT_LOCKED"
    assert ask(cloud, "unlock", made.account_id)["state"] == "ACTIVE"
    login(cloud, made.person.phone)
    tries = ask(cloud, "sign-ins", made.account_id)["sign_ins"]
    assert [one["outcome"] for one in tries] == ["DONE", "LOCKED"]
    assert tries[0]["from"] == "127.0.0.1"
    ended = ask(cloud, "deregister", made.account_id, "--reason", "holder-asked", "--yes")
    assert (ended["state"], ended["end_reason"]) == ("DEREGISTERED", "HOLDER_ASKED")
    status, out, _ = run(cloud, "lock", made.account_id, "--json")
    assert status == 6
    assert json.loads(out)["error"]["code"] == "ACCOUNT_STATE"


def test_accounts_are_listed_by_state_and_by_person(cloud: RunningCloud) -> None:
    made = registered(cloud, state=State.ELEMENTS_VERIFIED)
    listed = ask(cloud, "list", "--state", "elements-verified")["accounts"]
    assert [one["account_id"] for one in listed] == [made.account_id]
    found = ask(cloud, "list", "--id-number", made.person.id_number)["accounts"]
    assert [one["account_id"] for one in found] == [made.account_id]
    first = ask(cloud, "list", "--page", "first")
    assert "next_page" in first


def test_whoever_has_the_services_token_rebinds_nothing(cloud: RunningCloud) -> None:
    """It may be anybody's, and so that of the one person who is to be two."""
    made = registered(cloud, state=State.SYNCED_INACTIVE)
    for _ in range(2):
        status, out, _ = run(cloud, "rebind", made.account_id, new_citizen().phone, "--json")
        assert (status, json.loads(out)["error"]["code"]) == (6, "SECOND_PERSON_NEEDED")


def test_a_file_of_an_earlier_system_is_brought_over_once(cloud: RunningCloud, tmp_path: Path) -> None:
    people = [new_citizen(login_name=f"old-{number}") for number in range(450)]
    file = tmp_path / "accounts.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["name", "id_number", "phone", "login_name", "valid_from", "valid_to"])
        for person in people:
            row = [person.name, person.id_number, person.phone, person.login_name]
            lines.writerow([*row, "2020-01-02", "long-term"])
        lines.writerow(["王芳", "110101199003070000", "13800138000", "", "", ""])
    first = ask(cloud, "import", str(file))
    assert (first["created"], first["existing"], first["refused"]) == (450, 0, 1)
    assert first["refusals"] == [{"line": 452, "reason": "ID_NUMBER_INVALID"}]
    again = ask(cloud, "import", str(file))
    assert (again["created"], again["existing"], again["refused"]) == (0, 450, 1)
    assert reason(cloud, "old-449") == "ACTIVATION_REQUIRED"
    file.write_text("name,phone\n", encoding="utf-8")
    status, out, _ = run(cloud, "import", str(file), "--json")
    assert (status, json.loads(out)["error"]["code"]) == (3, "ACCOUNTS_UNREADABLE")


@pytest.mark.parametrize("damaged", ["{line},Secret Street 5", "{name},{number}", '{name},"{number}'])
def test_of_a_file_with_a_damaged_line_nothing_is_brought_over(
    cloud: RunningCloud, tmp_path: Path, damaged: str
) -> None:
    people = [new_citizen() for _ in range(300)]  # more than go into one request
    lines = [f"{one.name},{one.id_number},{one.phone}" for one in people]
    last = people[-1]
    lines[-1] = damaged.format(line=lines[-1], name=last.name, number=last.id_number)
    file = tmp_path / "accounts.csv"
    file.write_text("\n".join(["name,id_number,phone", *lines]), encoding="utf-8")
    status, out, err = run(cloud, "import", str(file), "--json")
    told = json.loads(out)["error"]
    assert (status, told["code"]) == (3, "ACCOUNTS_UNREADABLE")
    assert ("line 301 " in told["message"]) is ('"' not in damaged)
    assert not any(word in out + err for word in (last.id_number, "Secret Street"))
    assert ask(cloud, "list", "--id-number", people[0].id_number)["accounts"] == []


def test_diagnostics_are_found_by_the_id_that_a_user_tells(cloud: RunningCloud) -> None:
    made = registered(cloud)
    found = diagnostics_service_pb2.Diagnostics(
        diagnostic_id=str(uuid.uuid4()), error_code="network_unavailable", activity="activation"
    )
    found.occur_time.FromDatetime(datetime.now(UTC))
    found.connect.fault = "TimeoutError"
    with as_account(cloud, made) as stub:
        stub(DiagnosticsServiceStub).UploadDiagnostics(
            diagnostics_service_pb2.UploadDiagnosticsRequest(diagnostics=found)
        )
    shown = ask(cloud, "diagnostics", "show", found.diagnostic_id)
    assert shown["sender"] == f"account/{made.account_id}"
    assert shown["diagnostics"]["connect"]["fault"] == "TimeoutError"
    listed = ask(cloud, "diagnostics", "list", "--sender", f"account/{made.account_id}")
    assert len(listed["diagnostics"]) == 1
    status, out, _ = run(cloud, "diagnostics", "list")
    assert status == 0
    assert "TimeoutError" in out
    status, out, _ = run(cloud, "diagnostics", "show", str(uuid.uuid4()), "--json")
    assert (status, json.loads(out)["error"]["code"]) == (6, "DIAGNOSTICS_NOT_FOUND")
