"""What is kept of customers: sealed, cleared after its time, and gone when a person is erased."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from cloud.bank.jobs import jobs
from cloud.bank.sessions import Sessions
from cloud.bank.vault import SEALED, Vault
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.sources import Sources, to_us
from cloud.store.database import Store, StoreOptions
from cloud.store.sealed import forget_person
from tests.support.bank import COMPANY, INFO, Counter, counter, reason_of
from tests.support.bank_rows import ROOM, dump
from verifield.v1 import bank_service_pb2, customer_service_pb2
from verifield.v1 import coop_service_pb2 as pb


@pytest.fixture
def at(database_url: str, tmp_path: Path) -> Iterator[Counter]:
    with counter(tmp_path / "counter", database=database_url) as running:
        yield running


def run_jobs(at: Counter) -> list[int]:
    """The jobs of the room, as a server runs them."""
    sources = Sources(now=at.cloud.clock.now, random_bytes=secrets.token_bytes)
    store = Store.open(at.cloud.database_url, StoreOptions(require_durable=False))
    try:
        ring = KeyRing.open(
            at.cloud.data / "keys", now_us=to_us(sources.now()), random_bytes=sources.random_bytes
        )
        sessions = Sessions(Vault(Persons(ring, sources)), sources)
        return [job.run() for job in jobs(store, sessions)]
    finally:
        store.close()


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
