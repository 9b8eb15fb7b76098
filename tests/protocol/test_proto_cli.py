"""The verify command on committed bundles: exit statuses, JSON, words, files that are no bundles."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.authority import SALT
from tests.support.cases import build_case
from tests.support.events import MEDIA_CONTENT
from verifield.bundle import MAX_BUNDLE_BYTES
from verifield.cli import MAX_SHOWN_CHARS, _show, main
from verifield.commitments import Disclosure, encode_disclosures

FOLDER = Path(__file__).parents[1] / "vectors/attestation"
ROOT = FOLDER / "root.pem"
CASES = [
    {"name": Path(case["file"]).stem, "options": [], **case, "folder": folder}
    for folder in (FOLDER, FOLDER / "first")
    for case in json.loads((folder / "bundles.json").read_text(encoding="utf-8"))
]
STATUS = {"verified": 0, "malformed": 3, "forged": 4, "untrusted": 5, "unknown": 6}
KEYS = """
    file verdict ok headline attestation_id device_id chain_epoch seq kind outcome reasons
    not_before not_after key_protection camera read_method printed_photo log_index event witnesses
    revocation_checked policy_version disclosed proved not_proved checks error
"""


def run(*arguments: str | Path) -> int:
    """Run the command in this process and return its exit status."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Run with --json; standard error must stay empty."""
    status = run(*arguments, "--root", ROOT, "--json")
    captured = capsys.readouterr()
    assert captured.err == ""
    return status, [json.loads(line) for line in captured.out.splitlines()]


@pytest.mark.req("E043")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['folder'].name}/{case['name']}")
def test_committed_bundles_keep_their_answers(
    capsys: pytest.CaptureFixture[str], case: dict[str, Any]
) -> None:
    """The very bytes of before, also of before the format grew, with the options that belong to them."""
    folder = case["folder"]
    options = [name if name.startswith("--") else folder / name for name in case["options"]]
    status = run(folder / case["file"], "--root", folder / "root.pem", "--json", *options)
    record = json.loads(capsys.readouterr().out)
    assert status == STATUS[case["verdict"]]
    assert record["verdict"] == case["verdict"]
    assert record["ok"] == (status == 0)
    assert record["outcome"] == case["outcome"]
    assert (record["error"] or {"code": None})["code"] == case["code"]
    assert set(record) == set(KEYS.split())
    if "missing" in case and record["device_id"]:
        assert [c["name"] for c in record["checks"] if c["status"] == "missing"] == case["missing"]


def test_the_json_says_what_the_record_says(capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run_json(capsys, FOLDER / "verified.bundle")
    assert status == 0
    expected = {
        "attestation_id": "019ca5a0-0000-7000-8000-000000000002",
        "device_id": "device-1",
        "chain_epoch": 1,
        "seq": 2,
        "kind": "VERIFICATION",
        "not_before": "2026-03-01T10:49:58.500000Z",
        "not_after": "2026-03-01T12:00:00Z",
        "key_protection": "SOFTWARE",
        "camera": "SIMULATED",
        "read_method": "CHIP",
        "printed_photo": False,
        "log_index": 6,
        "event": None,
        "witnesses": 1,
        "revocation_checked": True,
        "policy_version": None,
        "disclosed": [],
        "error": None,
    }
    assert {key: record[key] for key in expected} == expected
    assert [check["status"] for check in record["checks"]] == ["passed"] * 15 + ["missing"] * 2


def test_what_is_brought_beside_the_bundle_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        *("--policy", FOLDER / "policy.envelope", "--policy-certificates", FOLDER / "policy-chain.pem"),
        *("--disclose", FOLDER / "disclosures.json", "--root", ROOT),
    )
    assert run(FOLDER / "verified.bundle", *options, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["policy_version"], record["disclosed"]) == (1, ["document.name", "customer.phone"])
    assert {check["status"] for check in record["checks"]} == {"passed"}
    assert "测试" not in json.dumps(record, ensure_ascii=False)
    assert run(FOLDER / "verified.bundle", *options) == 0
    out = capsys.readouterr().out
    assert "Disclosed document.name: 测试" in out
    assert "Disclosed customer.phone: 13800000000" in out


def test_a_value_that_cannot_be_printed_is_shown_by_its_digest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    case = build_case()
    (tmp_path / "b.bundle").write_bytes(case.good.SerializeToString())
    (tmp_path / "root.pem").write_bytes(case.authority.root_pem)
    opened = [Disclosure("media.best_shot", MEDIA_CONTENT, SALT)]
    (tmp_path / "d.json").write_bytes(encode_disclosures(opened))
    arguments = [tmp_path / "b.bundle", "--root", tmp_path / "root.pem", "--disclose", tmp_path / "d.json"]
    assert run(*arguments) == 0
    assert f"Disclosed media.best_shot: {MEDIA_CONTENT.decode()}" in capsys.readouterr().out
    for value in (b"\xff\x00", b"\x1b[2J", b"x" * (MAX_SHOWN_CHARS + 1)):
        assert _show(value) == f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"
    assert _show(b"x" * MAX_SHOWN_CHARS) == "x" * MAX_SHOWN_CHARS


def opened(*fields: str, salt: bytes = SALT) -> bytes:
    """Return a file of disclosures, by default of the field a."""
    return encode_disclosures([Disclosure(field, b"", salt) for field in fields or ("a",)])


def test_disclosures_that_can_be_read_are_checked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "d.json").write_bytes(opened("a", "b"))
    assert run(FOLDER / "verified.bundle", "--root", ROOT, "--disclose", tmp_path / "d.json") == 4
    assert "REFUSED, forged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "content", "code"),
    [
        ("--disclose", b"", "DISCLOSE_FILE"),
        ("--disclose", b"[]", "DISCLOSE_FILE"),
        ("--disclose", b'{"field": 1}', "DISCLOSE_FILE"),
        ("--disclose", opened().replace(b'"value": ""', b'"value": "*"'), "DISCLOSE_FILE"),
        ("--disclose", opened().replace(b'"value"', b'"more": "", "value"'), "DISCLOSE_FILE"),
        ("--disclose", opened().replace(b'"a"', b"7"), "DISCLOSE_FILE"),
        ("--disclose", opened().replace(b'"a"', b'"a\\ud800"'), "DISCLOSE_FILE"),
        ("--disclose", opened("A"), "DISCLOSE_FILE"),
        ("--disclose", opened("a", "b", "a"), "DISCLOSE_FILE"),
        ("--disclose", opened(salt=SALT[:-1]), "DISCLOSE_FILE"),
        ("--disclose", opened(salt=SALT + b"!"), "DISCLOSE_FILE"),
        ("--disclose", b"[" * 100_000, "DISCLOSE_FILE"),
        ("--disclose", None, "DISCLOSE_FILE"),
        ("--policy", None, "POLICY_FILE"),
        ("--policy-certificates", b"no pem", "POLICY_CERTIFICATES_FILE"),
        ("--policy-certificates", ROOT.read_bytes(), "POLICY_FILE"),  # of which policy?
        ("--revocations", None, "REVOCATIONS_FILE"),
    ],
)
def test_an_option_whose_file_cannot_be_used_ends_with_two(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, content: bytes | None, code: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    assert run(FOLDER / "verified.bundle", "--root", ROOT, option, path, "--json") == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == code
    assert option in captured.err


def test_disclosures_belong_to_one_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    both = [FOLDER / "verified.bundle", FOLDER / "spoof.bundle"]
    assert run(*both, "--root", ROOT, "--disclose", FOLDER / "disclosures.json") == 2
    assert "belong to one record" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--policy", "--revocations"])
def test_a_file_that_the_checks_refuse_gives_the_bundle_its_verdict(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").write_bytes(b"something else")
    assert run(FOLDER / "verified.bundle", "--root", ROOT, option, tmp_path / "file", "--json") == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == "malformed"


@pytest.mark.parametrize(
    "name", ["spoof", "aborted", "device_event", "manual", "gap", "tombstone", "peripheral", "reset"]
)
def test_a_genuine_refusal_cannot_be_read_as_a_verified_person(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(FOLDER / f"{name}.bundle", "--root", ROOT) == 0
    assert "NO person" in capsys.readouterr().out


def test_a_person_reads_verdict_reason_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FOLDER / "forged.bundle", "--root", ROOT) == 4
    out = capsys.readouterr().out
    assert "REFUSED, forged" in out
    assert "The signature does not fit the content" in out
    assert "no word of this bundle may be relied on" in out
    assert "019ca5a0" not in out
    assert run(FOLDER / "incomplete.bundle", "--root", ROOT) == 6
    out = capsys.readouterr().out
    assert "NOT established" in out
    assert "Outcome claimed, not established: VERIFIED" in out
    assert run(FOLDER / "verified.bundle", "--root", ROOT) == 0
    out = capsys.readouterr().out
    assert "a live person whose face matched" in out
    assert "Not proved:" in out


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["verified", "spoof"], 0),
        (["verified", "unknown"], 6),
        (["unknown", "malformed"], 3),
        (["malformed", "untrusted", "verified"], 5),
        (["untrusted", "forged", "malformed"], 4),
        (["absent", "verified"], 2),
        (["absent", "unknown"], 6),
    ],
)
def test_of_several_bundles_the_worst_counts(
    capsys: pytest.CaptureFixture[str], names: list[str], status: int
) -> None:
    got, records = run_json(capsys, *(FOLDER / f"{name}.bundle" for name in names))
    assert got == status
    assert [Path(record["file"]).stem for record in records] == names


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "EMPTY"),
        (b"not a bundle at all\n", "NOT_PROTOBUF"),
        (b"\0" * 100, "NOT_PROTOBUF"),
        (b"\x0a\0" * (MAX_BUNDLE_BYTES // 2), "NOT_A_BUNDLE"),
        (b"\x0a\0" * (MAX_BUNDLE_BYTES // 2) + b"\0", "TOO_LARGE"),
    ],
)
def test_files_that_are_no_bundles_are_malformed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, code: str
) -> None:
    path = tmp_path / "some.bundle"
    path.write_bytes(content)
    status, (record,) = run_json(capsys, path)
    assert (status, record["verdict"], record["error"]["code"]) == (3, "malformed", code)
    assert record["error"]["message"].endswith(".")


def test_a_file_without_end_is_read_only_to_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run_json(capsys, Path("/dev/zero"))
    assert (status, record["error"]["code"]) == (3, "TOO_LARGE")


def test_a_file_that_cannot_be_read_ends_with_two(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        status, (record,) = run_json(capsys, path)
        assert (status, record["verdict"], record["error"]["code"]) == (2, "unreadable", "FILE")


@pytest.mark.parametrize("content", [None, b"", b"no pem", b"\xff" * 10])
def test_a_root_that_cannot_be_used_ends_with_two_and_a_hint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "root.pem"
    if content is not None:
        path.write_bytes(content)
    assert run(FOLDER / "verified.bundle", "--root", path) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "The trust root cannot be used" in captured.err
    assert "--root" in captured.err
    assert run(FOLDER / "verified.bundle", "--root", path, "--json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "ROOT_FILE"
    assert error["message"]
    assert "--root" in error["hint"]


def test_missing_options_end_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FOLDER / "verified.bundle") == 2
    assert run("--root", ROOT) == 2
    assert "--root" in capsys.readouterr().err


def test_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No markup, no emoji, no terminal sequences, no crash on bytes that are no text."""
    for name in (b"[red]a.bundle", b":warning:.bundle", b"\x1b[2J.bundle", b"\xff\xfe.bundle"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    assert run(*sorted(tmp_path.iterdir()), "--root", ROOT) == 3
    out = capsys.readouterr().out
    for expected in ("[red]a.bundle", ":warning:.bundle", "\ufffd[2J.bundle", "\ufffd\ufffd.bundle"):
        assert expected in out
    assert "\x1b" not in out


def test_help_explains_every_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = " ".join(capsys.readouterr().out.split())
    for phrase in ("0 every required check passed", "3 malformed", "4 forged", "5 untrusted", "6 unknown"):
        assert phrase in out
