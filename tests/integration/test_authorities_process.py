"""``verifield-sim authorities`` as a process: its line, its people file, its levers over HTTP, its end."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.authorities import somebody

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60.0
KEY = "019abcde-0000-7000-8000-000000000001"


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "firmware-sim"), "authorities", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield process, urlsplit(told["registry"]).netloc
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def request(address: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=data, headers=named)
        answer = connection.getresponse()
        content = answer.read()
        kind = answer.headers.get_content_type()
        return answer.status, json.loads(content) if kind == "application/json" else content.decode()
    finally:
        connection.close()


def ask(address: str, path: str, body: dict[str, Any], key: str = KEY) -> tuple[int, Any]:
    return request(address, "POST", path, body, Idempotency_Key=key)


def elements() -> dict[str, Any]:
    person = somebody(1)
    return {
        "name": person.name,
        "id_number": person.id_number,
        "valid_from": "2020-01-01",
        "valid_to": "2040-01-01",
    }


@pytest.fixture(scope="module", params=["toml", "json"])
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same person in both writings."""
    entry = somebody(1).entry()
    file: Path = tmp_path_factory.mktemp("people") / f"people.{request.param}"
    if request.param == "json":
        file.write_text(json.dumps({"people": [entry]}), encoding="utf-8")
        return file
    lines = ["[[people]]"]
    for key, value in entry.items():
        shown = json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict):
            shown = "{" + ", ".join(f"{name} = {json.dumps(one)}" for name, one in value.items()) + "}"
        lines.append(f"{key} = {shown}")
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_a_process_answers_is_steered_and_ends(people: Path) -> None:
    with started("--people", str(people), "--mode", "registry=busy*1") as (process, address):
        assert ask(address, "/v1/registry/elements", elements())[0] == 503
        assert ask(address, "/v1/registry/elements", elements()) == (
            200,
            {"request_id": KEY, "result": "MATCH"},
        )
        assert request(address, "POST", "/admin/modes", {"registry.elements": "system_error"}) == (
            200,
            {"registry": "busy*0", "registry.elements": "system_error"},
        )
        assert ask(address, "/v1/registry/elements", elements())[0] == 500
        assert request(address, "POST", "/admin/modes", {}) == (200, {})
        other = somebody(2, portrait="")
        assert request(address, "POST", "/admin/people", other.entry()) == (200, {"ok": True})
        asked = {"phone": other.phone, "id_number": other.id_number}
        assert ask(address, "/v1/carrier/consistency", asked)[1]["result"] == "CONSISTENT"
        status, journal = request(address, "GET", "/admin/journal")
        assert status == 200
        assert [(one["call"], one["status"]) for one in journal["entries"]] == [
            ("elements", 503),
            ("elements", 200),
            ("elements", 500),
            ("consistency", 200),
        ]
        assert other.id_number not in json.dumps(journal)
        assert request(address, "GET", "/v1/registry/health") == (200, {"status": "OK"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0


def test_a_person_acts_on_the_page_behind_the_link(people: Path) -> None:
    with started("--people", str(people)) as (_, address):
        asked = {"name": somebody(1).name, "id_number": somebody(1).id_number, "nonce": "ab" * 32}
        begun = ask(address, "/v1/ctid/start", asked)[1]
        page = urlsplit(begun["link"])
        assert page.netloc == address
        assert "PENDING" in request(address, "GET", page.path)[1]
        status, shown = request(address, "POST", page.path, b"act=approve")
        assert status == 200
        assert "VERIFIED" in shown
        assert request(address, "POST", page.path, b"act=refuse")[0] == 400  # it is over
        finished = ask(
            address, "/v1/ctid/finish", {"transaction_id": begun["transaction_id"]}, KEY[:-1] + "2"
        )
        assert finished[1]["state"] == "VERIFIED"
        assert len(finished[1]["identity_digest"]) == 64


def test_who_asks_badly_is_told_so(people: Path) -> None:
    with started("--people", str(people)) as (_, address):
        for path, body, key, status in (
            ("/v1/registry/elements", {"id_number": 5}, KEY, 400),
            ("/v1/registry/elements", {}, KEY, 400),
            ("/v1/registry/elements", elements(), "x", 400),
            ("/v1/registry/face", {"id_number": "x", "picture": "%"}, KEY, 400),
            ("/v1/bank/verify", {"id_number": "x", "name": "y", "other": [1]}, KEY, 400),
            ("/v1/ctid/start", {"id_number": "x", "name": "y", "nonce": "zz"}, KEY, 400),
            ("/v1/police/elements", {}, KEY, 404),
            ("/v1/registry/verify", {}, KEY, 404),
            ("/admin/modes", {"police": "busy"}, KEY, 400),
            ("/admin/modes", {"registry": "asleep"}, KEY, 400),
            ("/admin/people", {"name": "x"}, KEY, 400),
            ("/admin/ctid", {"transaction_id": "x", "act": "approve"}, KEY, 400),
        ):
            assert ask(address, path, body, key)[0] == status, path
        assert request(address, "POST", "/v1/registry/elements", b"\xff", Idempotency_Key=KEY)[0] == 400
        assert request(address, "GET", "/nothing")[0] == 404
        assert request(address, "GET", "/ctid/xxxxxxxx")[0] == 404


@pytest.mark.parametrize(
    "options",
    [
        ("--mode", "registry=asleep"),
        ("--mode", "police=busy"),
        ("--mode", "registry=busy:3"),
        ("--mode", "registry=slow"),
        ("--listen", "127.0.0.1"),
        ("--listen", "0.0.0.0:0"),
        ("--people", "missing.toml"),
        ("--certificate", "missing.pem"),
        ("--models", "/"),
        ("--token-file", "missing"),
    ],
)
def test_what_cannot_be_used_ends_it_with_usage(options: tuple[str, ...]) -> None:
    command = [sys.executable, str(ROOT / "firmware-sim"), "authorities", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 2, done.stderr
