"""The commands behind the counter, against a running service."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner, Result

from cloud.cli import app as commands
from tests.support.bank import COMPANY, INFO, Counter, counter

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Counter]:
    with counter(tmp_path / "counter") as running:
        yield running


@pytest.fixture
def run(at: Counter) -> Callable[..., Result]:
    def command(*words: str, given: str | None = None) -> Result:
        return CliRunner().invoke(commands, [*words, "--data", str(at.cloud.data)], input=given)

    return command


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_banks_are_put_changed_and_withdrawn(at: Counter, run: Callable[..., Result]) -> None:
    names = ("--name-zh", "样本", "--name-en", "Sample", "--name-es", "Muestra")
    made = told(run("bank", "put", "sample", *names, "--period", "P6M", "--period", "P1Y", "--json"))
    assert (made["code"], made["periods"], made["enabled"]) == ("sample", ["P6M", "P1Y"], True)
    changed = told(run("bank", "put", "sample", "--withdraw", "--json"))
    assert changed["bank_id"] == made["bank_id"]
    assert (changed["name_zh"], changed["enabled"]) == ("样本", False)
    listed = told(run("bank", "list", "--json"))["banks"]
    assert [bank["code"] for bank in listed] == sorted([at.bank.code, "sample"])
    shown = run("bank", "list").stdout
    assert "sample" in shown
    assert "P6M P1Y" in shown
    refused = run("bank", "put", "sample", "--offer", "--period", "P99Y", "--json")
    assert refused.exit_code == 6
    assert json.loads(refused.stdout)["error"]["code"] == "PERIOD_INVALID"


def test_notices_are_published_from_files(tmp_path: Path, run: Callable[..., Result]) -> None:
    files = []
    for language, text in (("zh", "提示"), ("en", "Notice"), ("es", "Aviso")):
        file = tmp_path / f"{language}.txt"
        file.write_text(text, encoding="utf-8")
        files += [f"--{language}", str(file)]
    assert told(run("bank", "publish-notice", *files, "--json")) == {"version": 1}
    now = told(run("bank", "notice", "--language", "es", "--json"))
    assert (now["version"], now["text"]) == (1, "Aviso")
    assert now["sha256"] == sha256(b"Aviso").hexdigest()
    first = told(run("bank", "notice", "--version", "0", "--language", "zh", "--json"))
    assert "重要提示" in first["text"]
    assert first["publish_time"] is None
    (tmp_path / "zh.txt").write_bytes(b"\xff\xfe")
    assert run("bank", "publish-notice", *files).exit_code == 3


def test_records_and_customers_are_looked_after(
    at: Counter, tmp_path: Path, run: Callable[..., Result]
) -> None:
    session = at.walk("REQUEST_ISSUED")
    checked = told(run("bank", "check", session.number, "--json"))
    assert (checked["record_id"], checked["state"]) == (session.record_id, "VALID")
    asked = run("customers", "find", given=f"{at.person.id_number}\n")
    assert at.person.name in asked.stdout
    found = told(run("customers", "find", "--id-number", at.person.id_number, "--json"))
    customer = found["customer_id"]
    assert customer == session.customer_id
    linked = told(run("customers", "link", customer, COMPANY, "--json"))
    shown = told(run("customers", "show", customer, "--json"))
    assert shown["address"] == INFO.address
    assert shown["organisations"] == [linked]
    assert COMPANY in run("customers", "show", customer).stdout
    assert told(run("customers", "unlink", customer, linked["organisation_id"], "--json"))["linked"] is False
    out = tmp_path / "request.pdf"
    paper = told(run("bank", "paper", session.record_id, "--out", str(out), "--json"))
    assert sha256(out.read_bytes()).hexdigest() == paper["sha256"]
    words = ("--reason", "customer", "--explanation", "客户要求")
    assert told(run("bank", "revoke", session.number, *words, "--json"))["state"] == "REVOKED"
    assert run("bank", "revoke", session.number, "--reason", "so", "--explanation", "x").exit_code == 2
    [row] = told(run("bank", "records", customer, "--json"))["records"]
    assert (row["number"], row["revocation"]) == (session.number, "CUSTOMER")
    assert session.number in run("bank", "records", customer).stdout
    assert run("bank", "check", "2020-000001").exit_code == 6


def test_the_calls_in_the_page_run_as_they_stand(at: Counter, tmp_path: Path) -> None:
    session = at.walk("REQUEST_ISSUED")
    device, endpoint = at.device, at.cloud.endpoint
    assert device.tls_key is not None
    for name, content in {
        "root.pem": at.cloud.root_pem,
        "operator.token": Path(endpoint.operator_token_file).read_bytes(),
        "device.pem": b"".join(
            x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in device.tls_chain
        ),
        "device.key": device.tls_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }.items():
        (tmp_path / name).write_bytes(content)
    page = (ROOT / "docs/bank.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```sh\n(grpcurl .*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(examples) == page.count("```sh") == 2
    answers = []
    for example in examples:
        command = example.replace("2026-000012", session.number)
        command = command.replace("127.0.0.1:7443", endpoint.listen)
        command = command.replace("127.0.0.1:7444", str(endpoint.device_listen))
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    assert answers[0]["record"]["record_id"] == session.record_id
    assert answers[0]["record"]["state"] == "COOP_RECORD_STATE_VALID"
    assert answers[1]["session"]["state"] == "COOP_STATE_CARD_READ"
