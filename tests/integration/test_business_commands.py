"""The commands of this part, against a running service: rules, catalogue, business, feedback."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud.commands.business import show_span
from tests.support.accounts import SignedIn, as_account, registered
from tests.support.business import may_file
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.samples import pdf
from verifield.v1 import business_service_pb2, feedback_service_pb2
from verifield.v1.business_service_pb2_grpc import BusinessServiceStub
from verifield.v1.feedback_service_pb2_grpc import FeedbackServiceStub

BIN = Path(sys.executable).parent
Run = Callable[..., subprocess.CompletedProcess[str]]
Call = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture
def run(cloud: RunningCloud) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "verifield-cloud"), *words, "--data", str(cloud.data)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "COLUMNS": "200", "LANG": "C.UTF-8"},
        )

    return run


@pytest.fixture
def call(run: Run) -> Call:
    def call(*words: str) -> dict[str, Any]:
        done = run(*words, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return call


@pytest.fixture(scope="module")
def holder(cloud: RunningCloud) -> SignedIn:
    signed_in = registered(cloud)
    may_file(cloud, signed_in)
    return signed_in


def test_rules_from_a_template_to_their_withdrawal(
    run: Run, call: Call, tmp_path: Path, cloud: RunningCloud
) -> None:
    shown = run("rules", "show", "number-segments")
    assert shown.returncode == 0, shown.stderr
    rules = json.loads(shown.stdout)
    [segment] = rules["numberSegments"]["segments"]
    assert (segment["prefix"], segment["status"]) == ("199", "SEGMENT_STATUS_UNSUPPORTED")
    segment["status"], segment["note"] = "SEGMENT_STATUS_SUPPORTED", "from the month's end"
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(rules), encoding="utf-8")
    start = (cloud.clock.now() + timedelta(days=8)).strftime("%Y-%m-%dT%H:%M:%SZ")

    publish = ("rules", "publish", "--file", str(file), "--from", start, "--note", "carriers are ready")
    made = call(*publish)
    assert (made["kind"], made["version"], made["state"]) == ("NUMBER_SEGMENTS", 1, "DRAFT")
    assert made["effective_time"] == start
    assert made["author"].startswith("service-token/")
    listed = call("rules", "list", "number-segments")["editions"]
    assert [(one["version"], one["state"]) for one in listed] == [(1, "DRAFT"), (0, "EFFECTIVE")]
    then = call("rules", "show", "number-segments", "--at", start)
    assert then["rules"]["numberSegments"]["segments"][0]["note"] == "from the month's end"
    again = run(*publish)
    assert again.returncode == 6
    assert again.stderr.startswith("RULES_ORDER: ")
    assert call("rules", "withdraw", "number-segments", "--version", "1")["state"] == "WITHDRAWN"
    table = run("rules", "list", "number-segments").stdout
    assert "carriers are ready" in table
    assert "WITHDRAWN" in table
    assert call("rules", "versions", "kiosk")["min_version"]


@pytest.mark.parametrize("content", ["", "{}", '{"nothing": {}}', "[" * 50, '{"login": {"lockFor": "soon"}}'])
def test_a_file_that_holds_no_rules_is_refused_here(run: Run, tmp_path: Path, content: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(content, encoding="utf-8")
    done = run("rules", "publish", "--file", str(file), "--note", "n")
    assert done.returncode == 3
    assert done.stderr.startswith("RULES_UNREADABLE: ")


def test_an_unknown_kind_is_a_usage_error(run: Run) -> None:
    done = run("rules", "list", "segments")
    assert done.returncode == 2
    assert "number-segments" in done.stderr


def test_the_catalogue_in_three_languages(run: Run, call: Call) -> None:
    found = call("catalogue")["service_types"]
    assert len(found) == 37
    assert [one["code"] for one in found if one["needs_reason"]] == ["OTHER_CHANGE"]
    lines = run("catalogue", "--group", "4", "--language", "zh").stdout.splitlines()
    assert len(lines) == 8
    assert lines[1].split() == ["4.1", "LEGAL_REPRESENTATIVE_CHANGE", "法定代表人变更"]
    assert run("catalogue", "--language", "de").returncode == 2


def test_a_request_is_listed_shown_reported_and_closed(
    cloud: RunningCloud, holder: SignedIn, run: Run, call: Call, tmp_path: Path
) -> None:
    content = pdf("articles")
    with as_account(cloud, holder) as stubs:
        business = stubs(BusinessServiceStub)
        begin = business_service_pb2.CreateBusinessRequestRequest(
            service_code="ADDRESS_CHANGE", text="a new street"
        )
        made = business.CreateBusinessRequest(begin).business
        kept = upload(business, made.business_id, content)
        business.SubmitBusinessRequest(
            business_service_pb2.SubmitBusinessRequestRequest(business_id=made.business_id)
        )

    listed = call("business", "list", "--state", "submitted", "--account", holder.account_id)["business"]
    assert [one["business_id"] for one in listed] == [made.business_id]
    filtered = call("business", "list", "--filter", 'service_code = "NAME_CHECK"')["business"]
    assert filtered == []
    shown = call("business", "show", made.business_id)
    assert (shown["text"], shown["permission"]["method"]) == ("a new street", "FACE")
    assert [one["event"] for one in shown["timeline"]] == ["CREATED", "SUBMITTED"]
    text = run("business", "show", made.business_id).stdout
    assert "a new street" in text
    assert kept.document_id in text
    out = tmp_path / "articles.pdf"
    written = call("business", "document", made.business_id, kept.document_id, "--out", str(out))
    assert out.read_bytes() == content
    assert written["sha256"] == kept.sha256.hex()

    since = ("--since", (cloud.clock.now() - timedelta(days=1)).strftime("%Y-%m-%d"))
    [step] = call("business", "report", *since)["steps"]
    told = (step["process"], step["step"], step["count"], step["process_version"])
    assert told == ("business", "DRAFT", 1, 0)
    assert "DRAFT" in run("business", "report", *since).stdout
    closed = call("business", "close", made.business_id, "--why", "asked for at the window")
    assert closed["state"] == "WITHDRAWN"
    assert "asked for at the window" in run("business", "show", made.business_id).stdout
    again = run("business", "close", made.business_id, "--why", "once more")
    assert again.returncode == 6
    assert again.stderr.startswith("BUSINESS_STATE: ")


def upload(stub: Any, business_id: str, content: bytes) -> business_service_pb2.BusinessDocument:
    header = business_service_pb2.BusinessDocumentHeader(
        business_id=business_id, kind=3, sha256=hashlib.sha256(content).digest()
    )
    parts = [
        business_service_pb2.UploadBusinessDocumentRequest(header=header),
        business_service_pb2.UploadBusinessDocumentRequest(content=content),
    ]
    return stub.UploadBusinessDocument(iter(parts)).document  # type: ignore[no-any-return]


def test_a_report_is_drawn_where_matplotlib_is_installed(
    cloud: RunningCloud, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "report.png"
    since = (cloud.clock.now() - timedelta(days=1)).strftime("%Y-%m-%d")
    done = run("business", "report", "--since", since, "--plot", str(out))
    if importlib.util.find_spec("matplotlib"):
        assert done.returncode == 0, done.stderr
        assert out.read_bytes().startswith(b"\x89PNG")
    else:
        assert done.returncode == 3
        assert done.stderr.startswith("PLOT_UNAVAILABLE: ")


def test_feedback_is_listed_and_counted(cloud: RunningCloud, holder: SignedIn, run: Run, call: Call) -> None:
    context = feedback_service_pb2.FeedbackContext(screen="face", app="kiosk", app_version="0.1.0")
    with as_account(cloud, holder) as stubs:
        for text in ("too dark", "too bright"):
            request = feedback_service_pb2.SubmitFeedbackRequest(category=5, text=text, context=context)
            number = stubs(FeedbackServiceStub).SubmitFeedback(request).ack_number
    with cloud.public_channel() as channel:
        anonymous = feedback_service_pb2.SubmitAnonymousFeedbackRequest(category=9, text="friendly")
        FeedbackServiceStub(channel).SubmitAnonymousFeedback(anonymous, timeout=20)
    listed = call("feedback", "list", "--category", "face")["feedback"]
    assert [one["text"] for one in listed] == ["too bright", "too dark"]
    [one] = call("feedback", "list", "--number", number.lower().replace("0", "o"))["feedback"]
    assert (one["text"], one["account_id"], one["screen"]) == ("too bright", holder.account_id, "face")
    since = (cloud.clock.now() - timedelta(days=1)).strftime("%Y-%m-%d")
    counted = call("feedback", "summary", "--since", since)
    assert counted == {
        "counts": [
            {"category": "FACE", "count": 2, "from_accounts": 2},
            {"category": "STAFF", "count": 1, "from_accounts": 0},
        ],
        "total": 3,
    }
    assert run("feedback", "list").stdout.count("kiosk 0.1.0") == 2


@pytest.mark.parametrize(
    ("seconds", "shown"), [(3.21, "3.2 s"), (90, "1.5 min"), (3600, "1.0 h"), (172_800, "2.0 d")]
)
def test_spans_are_shown_for_people(seconds: float, shown: str) -> None:
    assert show_span(seconds) == shown
