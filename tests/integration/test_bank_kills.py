"""A server that is killed at each statement of a step: all of the step is there or nothing, and once."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import update

from cloud.store.schema import coop_sessions
from tests.support.bank import Counter, card_of, counter, new_id
from tests.support.bank_rows import dump
from verifield.v1 import audit_service_pb2, bank_service_pb2
from verifield.v1 import coop_service_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("bank", "coop_", "customer", "person_keys", "kept_answers", "used_evidence", "audit")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def at(database_url: str, tmp_path: Path) -> Iterator[Counter]:
    with counter(tmp_path / "counter", database=database_url) as running:
        yield running


def killed_at_each_step(
    at: Counter, step: str, request: pb.IssueRequestRequest | pb.SubmitCardRequest, look: Callable[[], None]
) -> tuple[int, bytes]:
    """How often it was killed before it came through, and the answer then."""
    arguments = [at.cloud.database_url, str(at.cloud.data), step, at.device.device_id, at.authorities.url]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.bank_worker", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.write(f"{base64.b64encode(request.SerializeToString()).decode()}\n")
        process.stdin.flush()
        for kills, said in enumerate(process.stdout):
            if said.startswith("through"):
                return kills, base64.b64decode(said.split()[1])
            assert int(said) == kills + 1
            look()
            process.stdin.write("\n")
            process.stdin.flush()
    raise AssertionError("the worker ended before it came through")


def told(at: Counter, session: pb.CoopSession, action: str) -> int:
    """How often the audit chain tells of something in a session."""
    request = audit_service_pb2.ListAuditEventsRequest(
        filter=f'subject = "coop_sessions/{session.session_id}" AND action = "{action}"'
    )
    return len(at.operator(at.cloud.operator.audit.ListAuditEvents, request).events)


@pytest.mark.req("R019")
def test_a_request_is_issued_once_wherever_its_server_dies(at: Counter) -> None:
    first = at.walk("REQUEST_ISSUED")
    session = at.walk("SIGNED")
    request = pb.IssueRequestRequest(request_id=new_id(), session_id=session.session_id)
    before = dump(at.cloud, *PLACES)

    def look() -> None:
        assert dump(at.cloud, *PLACES) == before

    kills, answer = killed_at_each_step(at, "IssueRequest", request, look)
    assert kills > 20
    issued = pb.IssueRequestResponse.FromString(answer)
    year, _, number = first.number.partition("-")
    assert issued.number == f"{year}-{int(number) + 1:06d}"
    rows = dump(at.cloud, "coop_records", "coop_requests")
    assert [len(found) for found in rows.values()] == [2, 2]
    assert told(at, session, "coop.issue") == told(at, session, "coop.evidence") == 1
    assert at.call(at.coop.IssueRequest, request) == issued  # of the service that runs: the same answer
    paper = at.operator(
        at.cloud.operator.bank.GetCoopRequest,
        bank_service_pb2.GetCoopRequestRequest(record_id=issued.record_id),
    )
    assert sha256(paper.pdf).digest() == issued.sha256
    assert at.walk("REQUEST_ISSUED").number == f"{year}-{int(number) + 2:06d}"


@pytest.mark.req("R001")
def test_a_card_is_asked_for_once_wherever_its_server_dies(at: Counter) -> None:
    session = at.started()
    request = pb.SubmitCardRequest(
        request_id=new_id(), session_id=session.session_id, card=card_of(at.person)
    )

    def look() -> None:
        assert at.session(session).state == pb.COOP_STATE_CARD_READ
        with at.cloud.database() as connection:  # the time of the claim that was left passes
            connection.execute(update(coop_sessions).values(check_until_us=0))

    kills, answer = killed_at_each_step(at, "SubmitCard", request, look)
    assert kills > 10
    assert pb.SubmitCardResponse.FromString(answer).session.state == pb.COOP_STATE_CARD_ACCEPTED
    assert at.authorities.asked("bank.verify") > 1
    assert at.authorities.charged("bank.query") == at.authorities.charged("bank.verify") == 1
    assert told(at, session, "coop.submit_card") == 1
    assert at.call(at.coop.SubmitCard, request).session.state == pb.COOP_STATE_CARD_ACCEPTED
