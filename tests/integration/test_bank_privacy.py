"""What is kept of customers: sealed, cleared after its time, and gone when a person is erased."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import grpc
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from cloud.bank.vault import SEALED
from cloud.cli import app as commands
from cloud.sources import to_us
from cloud.store.database import Store, StoreOptions
from cloud.store.schema import coop_requests, customer_versions
from cloud.store.sealed import forget_person
from tests.support.bank import COMPANY, INFO, Counter, counter, customer_person, reason_of, run_jobs
from tests.support.bank_rows import ROOM, dump
from verifield.v1 import bank_service_pb2, customer_service_pb2
from verifield.v1 import coop_service_pb2 as pb


@pytest.fixture
def at(database_url: str, tmp_path: Path) -> Iterator[Counter]:
    with counter(tmp_path / "counter", database=database_url) as running:
        yield running


def test_nothing_personal_stands_in_the_database(at: Counter) -> None:
    at.walk("REQUEST_ISSUED")
    at.walk("SIGNED")
    at.read_card(at.started(), at.person)
    content = repr(dump(at.cloud, *ROOM))
    for secret in (
        at.person.id_number,
        at.person.name,
        at.person.issuer,
        COMPANY,
        INFO.address,
        INFO.phone,
        INFO.email,
        repr(at.person.name.encode())[2:-1],
        repr(COMPANY.encode())[2:-1],
        repr(b"\x89PNG\r\n")[2:-1],
        "%PDF-",
        repr(b"\xff\xd8\xff\xe0")[2:-1],
    ):
        assert secret not in content, secret
    logged = json.dumps(at.cloud.log.calls, default=str, ensure_ascii=False)
    assert at.person.id_number not in logged
    assert at.person.name not in logged


def test_a_card_without_a_customer_is_cleared_after_its_time_with_its_key(at: Counter) -> None:
    session = at.walk("CARD_ACCEPTED")
    at.cloud.clock.offset = timedelta(minutes=31)
    assert run_jobs(at) == [1, 0]
    [row] = dump(at.cloud, "coop_sessions")["coop_sessions"]
    assert session.session_id in row
    keys = dump(at.cloud, "person_keys")["person_keys"]
    at.cloud.clock.offset = timedelta(minutes=92)
    assert run_jobs(at) == [0, 1]
    [cleared] = dump(at.cloud, "coop_sessions")["coop_sessions"]
    assert len([value for value in row if isinstance(value, bytes)]) > len(
        [value for value in cleared if isinstance(value, bytes)]
    )
    [key] = [one for one in dump(at.cloud, "person_keys")["person_keys"] if session.session_id in one]
    assert key not in keys
    assert b"" in key  # emptied
    assert run_jobs(at) == [0, 0]


def test_a_request_can_be_printed_for_an_hour(at: Counter) -> None:
    session = at.walk("REQUEST_ISSUED")
    download = pb.DownloadRequestRequest(session_id=session.session_id)
    assert at.call(at.coop.DownloadRequest, download).pdf
    at.cloud.clock.offset = timedelta(minutes=61)
    assert run_jobs(at) == [0, 1]
    with pytest.raises(grpc.RpcError) as refused:
        at.call(at.coop.DownloadRequest, download)
    assert reason_of(refused.value) == (grpc.StatusCode.NOT_FOUND, "COOP_RECORD_NOT_FOUND")


def test_when_a_card_gets_a_customer_the_sessions_own_key_goes(at: Counter) -> None:
    session = at.walk("CUSTOMER_INFO")
    [before] = [one for one in dump(at.cloud, "person_keys")["person_keys"] if session.session_id in one]
    at.upsert(session)
    [after] = [one for one in dump(at.cloud, "person_keys")["person_keys"] if session.session_id in one]
    assert before != after
    assert b"" in after
    details = pb.GetCoopDetailsRequest(session_id=session.session_id)
    assert at.call(at.coop.GetCoopDetails, details).card.number == at.person.id_number


def test_who_is_erased_leaves_records_without_a_person(at: Counter) -> None:
    session = at.walk("REQUEST_ISSUED")
    open_session = at.walk("RECORDS_SHOWN")
    with at.cloud.database() as connection:
        assert forget_person(connection, SEALED, session.customer_id, now_us=to_us(at.cloud.clock.now()))
    get = bank_service_pb2.GetCoopRequestRequest(record_id=session.record_id)
    paper = at.operator(at.cloud.operator.bank.GetCoopRequest, get)
    assert paper.pdf == b""
    assert paper.evidence.request_sha256 == paper.sha256
    record = at.operator(
        at.cloud.operator.bank.CheckRecord, bank_service_pb2.CheckRecordRequest(number=session.number)
    ).record
    assert record.organisation_name == ""
    with pytest.raises(Exception, match="no such customer"):
        at.operator(
            at.cloud.operator.customers.GetCustomer,
            customer_service_pb2.GetCustomerRequest(customer_id=session.customer_id),
        )
    details = pb.GetCoopDetailsRequest(session_id=open_session.session_id)
    with pytest.raises(grpc.RpcError) as refused:
        at.call(at.coop.GetCoopDetails, details)
    assert reason_of(refused.value)[1] == "PERSON_ERASED"
    # The same card begins anew, as somebody unknown.
    again = at.walk("REQUEST_ISSUED")
    assert again.customer_id != session.customer_id
    assert again.customer_version == 1


def test_new_keys_open_what_the_old_ones_sealed(at: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both keys are renewed beside the running service, nothing needs the old ones, all is still there."""
    session, open_session = at.walk("REQUEST_ISSUED"), at.walk("CARD_ACCEPTED")
    unknown = customer_person(2)
    at.authorities.add(unknown)
    alone = at.walk("CUSTOMER_INFO", person=unknown)

    monkeypatch.setenv("VERIFIELD_CLOUD_REQUIRE_DURABLE_DATABASE", "false")

    def command(*words: str) -> str:
        where = ("--data", str(at.cloud.data), "--database", at.cloud.database_url)
        result = CliRunner().invoke(commands, ["keys", *words, *where])
        assert result.exit_code == 0, result.output
        return result.stdout

    for family in ("seal", "index"):
        command("rotate", family)
    command("reseal")
    uses = {
        (one["family"], one["version"]): one["uses"] for one in json.loads(command("list", "--json"))["keys"]
    }
    assert uses["seal", 1] == uses["index", 1] == 0
    assert min(uses["seal", 2], uses["index", 2]) > 0
    found = at.operator(
        at.cloud.operator.customers.FindCustomer,
        customer_service_pb2.FindCustomerRequest(id_number=at.person.id_number),
    ).customer
    assert (found.customer_id, found.info) == (session.customer_id, INFO)
    get = bank_service_pb2.GetCoopRequestRequest(record_id=session.record_id)
    paper = at.operator(at.cloud.operator.bank.GetCoopRequest, get)
    assert sha256(paper.pdf).digest() == paper.sha256
    assert at.see_face(open_session, at.person).state == pb.COOP_STATE_FACE_PASSED
    [record] = at.records(open_session)
    assert record.organisation_name == COMPANY
    assert at.upsert(alone).version == 1


REFUSALS = {"PERSON_ERASED", "CUSTOMER_NOT_FOUND", "CUSTOMER_REQUIRED", "ETAG_MISMATCH", "STEP_DONE"}


def test_people_are_erased_beside_a_busy_counter(at: Counter) -> None:
    """Issuing, changing, leaving and erasing at once: each ends, in a refusal of its own or done."""
    at.walk("REQUEST_ISSUED")
    for _ in range(3):
        signed, changing = at.walk("SIGNED"), at.walk("CUSTOMER_INFO")
        customer_id = signed.customer_id

        def erase(customer_id: str = customer_id) -> str:
            store = Store.open(at.cloud.database_url, StoreOptions(require_durable=False))
            try:
                now_us = to_us(at.cloud.clock.now())
                store.run(lambda connection: forget_person(connection, SEALED, customer_id, now_us=now_us))
            finally:
                store.close()
            return "DONE"

        def ended(step: Callable[[], object]) -> str:
            try:
                step()
            except grpc.RpcError as error:
                return reason_of(error)[1]
            return "DONE"

        steps: list[Callable[[], object]] = [
            lambda signed=signed: at.issue(signed),
            lambda changing=changing: at.upsert(changing, changing.customer_version or 1),
            erase,
            lambda changing=changing: at.confirm(changing, 1),
        ]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(ended, steps))
        assert found[2] == "DONE"
        assert set(found) <= {"DONE", "PERSON_ERASED", "CUSTOMER_NOT_FOUND", "ETAG_MISMATCH", "STEP_DONE"}, (
            found
        )
        content = repr(dump(at.cloud, "customer", "coop_"))
        assert at.person.name not in content
        with at.cloud.database() as connection:
            left = select(customer_versions.c.content).where(
                customer_versions.c.customer_id == customer_id, customer_versions.c.content.is_not(None)
            )
            assert connection.execute(left).all() == []
            papers = select(coop_requests.c.pdf).where(
                coop_requests.c.customer_id == customer_id, coop_requests.c.pdf.is_not(None)
            )
            assert connection.execute(papers).all() == []
        for session in (signed, changing):
            ended(
                lambda session=session: at.call(
                    at.coop.CancelSession, pb.CancelSessionRequest(session_id=session.session_id)
                )
            )
        at.walk("REQUEST_ISSUED")
