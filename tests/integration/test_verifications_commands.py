"""``verifield-cloud identity``: what a window, an auditor and the information centre type."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from cloud.cli import app as commands
from cloud.commands.common import to_pem
from cloud.layout import ROOT_FILE
from tests.support.authorities import somebody
from tests.support.identity import IdentityRoom, running_identity
from tests.support.people import Person


def run(room: IdentityRoom, *words: str, status: int = 0, who: list[str] | None = None) -> Any:
    """What a command prints as JSON; ``who``: options by which somebody comes."""
    given = who or ["--data", str(room.cloud.data)]
    result = CliRunner().invoke(commands, ["identity", *words, *given, "--json"])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout.strip().splitlines()[-1]) if result.stdout.strip() else None


def comes_as(room: IdentityRoom, person: Person, folder: Path) -> list[str]:
    """By certificate, on the port for those who have one."""
    chain, key = folder / "li.pem", folder / "li.key"
    chain.write_bytes(to_pem(person.chain))
    key.write_bytes(person.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    root = str(room.cloud.data / ROOT_FILE)
    return [
        *("--endpoint", room.cloud.endpoint.device_listen, "--root", root),
        *("--certificate", str(chain), "--certificate-key", str(key)),
    ]


def test_a_window_verifies_by_hand_and_the_ledger_shows_it(tmp_path: Path) -> None:
    with running_identity(tmp_path / "data", somebody(1)) as room:
        holder, clerk = room.holder(somebody(1)), room.staff("li.wei")
        holder.elements_refused(somebody(2).but(name="测试错").elements)
        who = comes_as(room, clerk, tmp_path)
        words = ("verify", holder.account_id, "--place", "Office 3", "--document", "resident-id")
        reason = ("--reason", "face-failed")
        error = run(room, *words, *reason, status=6, who=who)["error"]
        assert error["code"] == "STAFF_IDENTITY_REQUIRED"
        number = tmp_path / "number.txt"
        number.write_text(somebody(77).id_number + "\n")
        assert run(room, "declare-staff", "li.wei", "--number-file", str(number))["declared"] is True
        entry = run(room, *words, *reason, who=who)
        assert (entry["number"], entry["documents"]) == (1, ["RESIDENT_ID"])
        assert entry["operator"] == f"user/{clerk.user.user_id}"
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        listed = run(room, "ledger", "--day", today, "--utc-offset", "0")
        assert listed == {"day": today, "entries": [entry]}
        assert run(room, "ledger", "--day", "2020-01-01")["entries"] == []
        stands = run(room, "account", holder.account_id)
        assert (stands["state"], stands["method"], stands["mark"]) == (
            "VERIFIED",
            "MANUAL",
            "MANUAL_VERIFIED",
        )
        found = run(room, "list", "--account", holder.account_id)["verifications"]
        assert [(one["method"], one["state"]) for one in found] == [
            ("MANUAL", "PASSED"),
            ("FOUR_ELEMENTS", "FAILED"),
        ]
        assert run(room, "list", "--state", "failed")["verifications"] == [found[1]]
        assert run(room, "list", "--method", "manual")["verifications"] == [found[0]]
        assert run(room, "show", found[0]["verification_id"]) == found[0]
        plain = CliRunner().invoke(commands, ["identity", "ledger", "--day", today, "--utc-offset", "0",
                                                 "--data", str(room.cloud.data)])  # fmt: skip
        assert "Office 3" in plain.output


@pytest.mark.parametrize("site", ["site-1"])
def test_offices_are_asked_listed_and_told_to_wait_no_more(tmp_path: Path, site: str) -> None:
    with running_identity(tmp_path, somebody(1)) as room:
        holder = room.holder(somebody(1))
        error = run(room, "sites", "request", holder.account_id, site, status=6)["error"]
        assert error["code"] == "ELEMENTS_REQUIRED"
        holder.verify_elements()
        asked = run(room, "sites", "request", holder.account_id, site, "--days", "3")
        assert (asked["state"], asked["site_id"], asked["results"]) == ("OPEN", site, [])
        assert run(room, "sites", "list", "--open")["requests"] == [asked]
        assert run(room, "sites", "list", "--site", "elsewhere")["requests"] == []
        gone = run(room, "sites", "withdraw", asked["task_id"])
        assert gone["state"] == "WITHDRAWN"
        assert run(room, "sites", "list", "--account", holder.account_id)["requests"] == [gone]
        assert run(room, "conflicts", "--open")["conflicts"] == []
        assert (
            run(room, "sites", "withdraw", asked["task_id"], status=6)["error"]["code"] == "SITE_TASK_STATE"
        )
