"""What goes wrong at a counter: devices that are shut out, answers that come too late, things that change
between a choice and the request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import grpc
import pytest
from sqlalchemy import select, update

from cloud.bank.vault import SEALED
from cloud.sources import to_us
from cloud.store.schema import coop_signatures, devices
from cloud.store.sealed import forget_person
from tests.integration.test_bank_flow import text_of
from tests.integration.test_bank_machine import ALLOWED, call, version_of
from tests.support.bank import (
    COMPANY,
    Counter,
    at_device,
    broken_pngs,
    card_of,
    counter,
    new_id,
    own_counter,
    picture_of,
    reason_of,
    run_jobs,
    strokes,
)
from tests.support.bank_rows import dump
from tests.support.cloud import FakeClock
from verifield.v1 import (
    audit_service_pb2,
    bank_pb2,
    bank_service_pb2,
    customer_service_pb2,
    device_service_pb2,
)
from verifield.v1 import coop_service_pb2 as pb

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
ROWS = ("bank", "coop_", "customer", "person_keys", "used_evidence")


@pytest.fixture(scope="module")
def shop(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with counter(tmp_path_factory.mktemp("shop"), database=module_database_url, clock=FakeClock()) as running:
        yield running


@pytest.fixture
def at(shop: Counter, request: pytest.FixtureRequest) -> Iterator[Counter]:
    with own_counter(shop, request.node.name) as own:
        yield own


def refused_as(step: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        step()
    return reason_of(refused.value)[1]


def told(at: Counter, session: pb.CoopSession) -> list[dict[str, str]]:
    """Facts of the questions to the authority in the audit chain, oldest first."""
    request = audit_service_pb2.ListAuditEventsRequest(
        filter=f'subject = "coop_sessions/{session.session_id}" AND action = "coop.authority_call"'
    )
    events = at.operator(at.cloud.operator.audit.ListAuditEvents, request).events
    return [{fact.key: fact.value for fact in event.facts} for event in sorted(events, key=lambda e: e.seq)]


# Who calls.


@pytest.mark.parametrize("state", ["CARD_READ", "RECORDS_SHOWN", "CUSTOMER_INFO", "SIGNED", "REQUEST_ISSUED"])
def test_another_device_finds_no_session_whatever_it_calls(at: Counter, state: str) -> None:
    session = at.walk(state)
    with at_device(at.cloud, at.authorities, at.person) as neighbour:
        neighbour.bank = at.bank
        session.nonce = session.nonce or bytes(32)
        before = dump(at.cloud, *ROWS)
        for name in (*ALLOWED, "GetSession"):
            if name == "ConfirmNotices":
                continue  # the helper looks at the notice first, which is refused the same way
            step = (lambda: neighbour.session(session)) if name == "GetSession" else None
            found = refused_as(step or (lambda name=name: call(neighbour, name, session)))
            assert found == "COOP_SESSION_NOT_FOUND", name
        assert dump(at.cloud, *ROWS) == before


def test_a_revoked_device_gets_nothing_more(at: Counter) -> None:
    sessions = {state: at.walk(state) for state in ("RECORDS_SHOWN", "SIGNED", "REQUEST_ISSUED")}
    revoke = device_service_pb2.RevokeDeviceRequest(
        device_id=at.device.device_id, reason=device_service_pb2.REVOCATION_REASON_KEY_COMPROMISE
    )
    at.operator(at.cloud.operator.devices.RevokeDevice, revoke)
    before = dump(at.cloud, *ROWS)
    for state, session in sessions.items():
        for name, states in ALLOWED.items():
            if state in states:
                assert (
                    refused_as(lambda name=name, session=session: call(at, name, session)) == "DEVICE_REVOKED"
                ), name
    assert refused_as(at.started) == "DEVICE_REVOKED"
    assert refused_as(lambda: at.session(sessions["SIGNED"])) == "DEVICE_REVOKED"
    assert refused_as(lambda: at.call(at.coop.ListBanks, pb.ListBanksRequest())) == "DEVICE_REVOKED"
    assert dump(at.cloud, *ROWS) == before


@pytest.mark.parametrize(
    ("state", "reason"),
    [("PENDING", "DEVICE_PENDING"), ("SUSPENDED", "DEVICE_NOT_ACTIVE"), ("REPLACED", "DEVICE_NOT_ACTIVE")],
)
def test_a_device_that_is_not_let_in_serves_nobody(at: Counter, state: str, reason: str) -> None:
    session = at.walk("CUSTOMER_INFO")
    value = device_service_pb2.DeviceState.Value(f"DEVICE_STATE_{state}")
    with at.cloud.database() as connection:
        connection.execute(
            update(devices).where(devices.c.device_id == at.device.device_id).values(state=value)
        )
    assert refused_as(at.started) == reason
    assert refused_as(lambda: at.upsert(session)) == reason
    assert refused_as(lambda: at.session(session)) == reason


# Answers of the authority that come too late, or to nobody.


@contextmanager
def in_background(step: Callable[[], object]) -> Iterator[list[str]]:
    """A call that is under way while the block runs; then how it ended."""
    ended: list[str] = []

    def run() -> None:
        try:
            step()
            ended.append("")
        except grpc.RpcError as error:
            ended.append(reason_of(error)[1])

    thread = threading.Thread(target=run)
    thread.start()
    yield ended
    thread.join(30)


def until_asked(at: Counter, target: str, count: int) -> None:
    for _ in range(200):
        if at.authorities.asked(target) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("the authority was not asked")


@pytest.mark.req("R001")
@pytest.mark.parametrize("how", ["time", "cancel"])
def test_what_was_asked_for_a_session_that_ended_meanwhile_is_told(at: Counter, how: str) -> None:
    session = at.started()
    asked = at.authorities.asked("bank.query")
    at.authorities.mode(bank_verify="slow:1")
    with in_background(lambda: at.read_card(session, at.person)) as ended:
        until_asked(at, "bank.query", asked + 1)
        if how == "time":
            at.cloud.clock.offset = timedelta(minutes=31)
            run_jobs(at)
        else:
            call(at, "CancelSession", session)
    assert ended == ["COOP_SESSION_ENDED"]
    assert [one["mode"] for one in told(at, session)] == ["QUERY", "VERIFY"]
    assert at.session(session).state == pb.COOP_STATE_ENDED
    [row] = [row for row in dump(at.cloud, "coop_sessions")["coop_sessions"] if session.session_id in row]
    assert at.person.id_number not in repr(row)


@pytest.mark.req("R001")
def test_a_question_whose_asker_went_away_is_told(at: Counter) -> None:
    session = at.started()
    at.authorities.mode(bank_query="slow:3")
    request = pb.SubmitCardRequest(session_id=session.session_id)
    request.card.CopyFrom(card_of(at.person))
    with pytest.raises(grpc.RpcError) as late:
        at.coop.SubmitCard(request, timeout=0.7)
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    at.authorities.well()
    for _ in range(100):
        if told(at, session):
            break
        time.sleep(0.05)
    [one] = told(at, session)
    assert (one["mode"], one["outcome"]) == ("QUERY", "ABANDONED")
    assert int(one["latency_ms"]) > 100
    assert at.read_card(session, at.person).state == pb.COOP_STATE_CARD_ACCEPTED  # the claim was let go


def test_a_photo_that_the_authority_does_not_show_is_not_verified(at: Counter) -> None:
    """VERIFY says that all agrees; QUERY had none: the device has nothing to compare a face with."""
    session = at.started()
    at.authorities.add(at.person.but(portrait=""))
    asked = at.authorities.asked("bank.query")
    at.authorities.mode(bank_verify="slow:1")
    with in_background(lambda: at.read_card(session, at.person)) as ended:
        until_asked(at, "bank.query", asked + 1)
        at.authorities.add(at.person)
    assert ended == [""]
    session = at.session(session)
    by_item = {one.item: one.result for one in session.items}
    assert by_item.pop(bank_pb2.COOP_ITEM_NAME_PHOTO) == bank_pb2.COOP_ITEM_RESULT_UNAVAILABLE
    assert set(by_item.values()) == {bank_pb2.COOP_ITEM_RESULT_MATCH}
    assert session.state == pb.COOP_STATE_NOT_PASSED


# The same step at once.


def outcomes(steps: list[Callable[[], object]]) -> list[str]:
    start = threading.Barrier(len(steps))

    def run(step: Callable[[], object]) -> str:
        start.wait()
        try:
            step()
        except grpc.RpcError as error:
            return reason_of(error)[1]
        return "DONE"

    with ThreadPoolExecutor(len(steps)) as pool:
        return list(pool.map(run, steps))


@pytest.mark.req("R020")
@pytest.mark.parametrize(
    ("state", "name", "other"),
    [
        ("RECORDS_SHOWN", "Decide CONTINUE", "STEP_DONE"),
        ("RECORDS_SHOWN", "Decide EXIT", "COOP_SESSION_ENDED"),
        ("INFO_CONFIRMED", "CompleteInfo", "STEP_DONE"),
        ("NOTICES_CONFIRMED", "ConfirmSignature", "STEP_DONE"),
        ("SIGNED", "IssueRequest", "COOP_SESSION_ENDED"),
    ],
)
def test_of_calls_at_once_one_does_the_step(at: Counter, state: str, name: str, other: str) -> None:
    session = at.walk(state)
    records = len(dump(at.cloud, "coop_records")["coop_records"])
    found = outcomes([lambda: call(at, name, session)] * 4)
    assert sorted(found) == sorted(["DONE", *[other] * 3])
    made = len(dump(at.cloud, "coop_records")["coop_records"]) - records
    assert made == (name == "IssueRequest")


@pytest.mark.req("R009")
def test_leaving_beside_other_calls_changes_nothing(at: Counter) -> None:
    """All that a device may call at that moment, at once with EXIT: the first decision holds."""
    at.walk("REQUEST_ISSUED")
    for _ in range(3):
        session = at.walk("RECORDS_SHOWN")
        kept = (
            "customer",
            "coop_records",
            "coop_requests",
            "coop_signatures",
            "coop_numbers",
            "bank",
            "used_evidence",
        )
        before = dump(at.cloud, *kept)
        names = [
            "Decide EXIT",
            "Decide EXIT",
            "UpsertCustomer",
            "ConfirmCustomer",
            "IssueRequest",
            "CompleteInfo",
        ]
        found = dict(
            zip(
                range(len(names)),
                outcomes([lambda name=name, session=session: call(at, name, session) for name in names]),
                strict=True,
            )
        )
        assert sorted(found[index] for index in (0, 1)) == ["COOP_SESSION_ENDED", "DONE"]
        assert all(
            found[index] in {"DECISION_REQUIRED", "COOP_SESSION_ENDED"} for index in range(2, len(names))
        )
        assert dump(at.cloud, *kept) == before
        assert at.session(session).state == pb.COOP_STATE_EXITED


def test_one_card_at_two_banks_at_once(at: Counter) -> None:
    """Both requests are made; of two changes of the customer the second is ABORTED; each says what it saw."""
    at.walk("REQUEST_ISSUED")
    with at_device(at.cloud, at.authorities, at.person) as other:
        other.bank = at.put_bank(name_zh="另一家模拟银行")
        pairs = [(one, one.walk("CUSTOMER_INFO")) for one in (at, other)]
        changed = customer_service_pb2.CustomerInfo(address="模拟市另一区虚构路9号")
        found = outcomes([lambda one=one, s=s: one.upsert(s, 1, changed) for one, s in pairs])
        assert sorted(found) == ["DONE", "ETAG_MISMATCH"]
        numbers = []
        for one, session in pairs:
            assert refused_as(lambda one=one, session=session: one.confirm(session, 1)) == "ETAG_MISMATCH"
            one.confirm(session, 2)
            one.complete(session)
            one.confirm_notice(session, one.notice(session))
            one.sign(session)
        third = at.walk("CUSTOMER_INFO")  # a change behind the confirmation does not reach the papers
        at.upsert(third, version_of(at))
        call(at, "CancelSession", third)
        assert (
            outcomes([lambda one=one, s=s: numbers.append(one.issue(s)) for one, s in pairs]) == ["DONE"] * 2
        )
        assert len({one.number for one in numbers}) == 2
        for issued in numbers:
            paper = at.operator(
                at.cloud.operator.bank.GetCoopRequest,
                bank_service_pb2.GetCoopRequestRequest(record_id=issued.record_id),
            )
            assert paper.evidence.customer_version == 2
            assert "虚构路9号" in text_of(paper.pdf)


# What changes between a choice and the request.


@pytest.mark.parametrize("what", ["BANK", "PERIOD", "ORGANISATION"])
def test_what_was_withdrawn_since_it_was_chosen_is_in_no_request(at: Counter, what: str) -> None:
    at.bank = at.put_bank()
    session = at.walk("INFO_CONFIRMED")
    link = customer_service_pb2.LinkOrganisationRequest(customer_id=session.customer_id, name=COMPANY)
    linked = at.operator(at.cloud.operator.customers.LinkOrganisation, link).organisation
    assert at.complete(session, organisation_id=linked.organisation_id).linked
    at.confirm_notice(session, at.notice(session))
    at.sign(session)
    if what == "ORGANISATION":
        at.operator(
            at.cloud.operator.customers.UnlinkOrganisation,
            customer_service_pb2.UnlinkOrganisationRequest(
                customer_id=session.customer_id, organisation_id=linked.organisation_id
            ),
        )
    else:
        bank = bank_pb2.Bank()
        bank.CopyFrom(at.bank)
        bank.etag = ""
        if what == "BANK":
            bank.enabled = False
        else:
            bank.periods[:] = ["P90D"]
        at.operator(at.cloud.operator.bank.PutBank, bank_service_pb2.PutBankRequest(bank=bank))
    before = dump(at.cloud, *ROWS)
    with pytest.raises(grpc.RpcError) as refused:
        at.issue(session)
    assert reason_of(refused.value) == (PRECONDITION, "CHOICE_WITHDRAWN")
    assert dump(at.cloud, *ROWS) == before


def test_who_has_a_new_name_is_not_confirmed_under_the_old_one(at: Counter) -> None:
    old = at.walk("REQUEST_ISSUED")
    renamed = at.person.but(name="测试新名")
    at.authorities.add(renamed)
    session = at.walk("CUSTOMER_INFO", person=renamed)
    assert refused_as(lambda: at.confirm(session, 1)) == "CUSTOMER_REQUIRED"
    assert at.upsert(session, 1).name == "测试新名"
    at.confirm(session, 2)
    at.complete(session)
    at.confirm_notice(session, at.notice(session))
    at.sign(session)
    issued = at.issue(session)
    assert at.session(session).customer_id == old.customer_id
    get = bank_service_pb2.GetCoopRequestRequest(record_id=issued.record_id)
    text = text_of(at.operator(at.cloud.operator.bank.GetCoopRequest, get).pdf)
    assert "测试新名" in text
    assert at.person.name not in text


def test_one_session_writes_so_many_versions_and_no_more(at: Counter) -> None:
    session = at.walk("CUSTOMER_INFO")
    for version in range(20):
        at.upsert(session, version)
    with pytest.raises(grpc.RpcError) as refused:
        at.upsert(session, 20)
    assert reason_of(refused.value) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CUSTOMER_CHANGES_TOO_MANY")
    assert at.confirm(session, 20).state == pb.COOP_STATE_INFO_CONFIRMED


# Afterwards.


@pytest.mark.req("R019")
def test_the_same_request_id_gives_the_same_number_for_days(at: Counter) -> None:
    session, request_id = at.walk("SIGNED"), new_id()
    issued = at.issue(session, request_id)
    at.cloud.clock.offset = timedelta(hours=2)
    run_jobs(at)
    assert at.issue(session, request_id) == issued
    at.cloud.clock.offset = timedelta(days=6, hours=23)
    assert at.issue(session, request_id) == issued


def test_the_hour_of_a_request_is_over_without_any_job(at: Counter) -> None:
    session = at.walk("REQUEST_ISSUED")
    at.cloud.clock.offset = timedelta(minutes=61)
    for name in ("DownloadRequest", "GetCoopDetails"):
        assert refused_as(lambda name=name: call(at, name, session)) == "COOP_RECORD_NOT_FOUND"


def test_a_signature_without_a_request_is_not_kept(at: Counter) -> None:
    cancelled, issued = at.walk("SIGNED"), at.walk("REQUEST_ISSUED")
    call(at, "CancelSession", cancelled)
    at.cloud.clock.offset = timedelta(minutes=61)
    run_jobs(at)
    with at.cloud.database() as connection:
        found = {
            row.session_id: (row.strokes, row.image)
            for row in connection.execute(select(coop_signatures)).all()
        }
    assert found[cancelled.session_id] == (None, None)
    assert all(found[issued.session_id])


def test_the_record_of_somebody_erased_can_be_revoked(at: Counter) -> None:
    session = at.walk("REQUEST_ISSUED")
    with at.cloud.database() as connection:
        assert forget_person(connection, SEALED, session.customer_id, now_us=to_us(at.cloud.clock.now()))
    download = pb.DownloadRequestRequest(session_id=session.session_id)
    assert refused_as(lambda: at.call(at.coop.DownloadRequest, download)) == "PERSON_ERASED"
    request = bank_service_pb2.RevokeRecordRequest(
        record_id=session.record_id, revocation=bank_pb2.COOP_REVOCATION_CUSTOMER, explanation="要求撤销"
    )
    record = at.operator(at.cloud.operator.bank.RevokeRecord, request).record
    assert record.state == bank_pb2.COOP_RECORD_STATE_REVOKED


def test_a_name_that_is_too_long_is_refused(at: Counter) -> None:
    session = at.walk("INFO_CONFIRMED")
    with pytest.raises(grpc.RpcError) as refused:
        at.complete(session, organisation_name="公" * 10_000)
    assert reason_of(refused.value) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")


def test_a_picture_that_breaks_its_reader_is_refused(at: Counter) -> None:
    """A chunk whose length fits and whose content does not: the library fails with an error of its own."""
    session = at.walk("NOTICES_CONFIRMED")
    for image in broken_pngs(picture_of(strokes())):
        request = pb.ConfirmSignatureRequest(session_id=session.session_id, strokes=strokes(), image=image)
        with pytest.raises(grpc.RpcError) as refused:
            at.call(at.coop.ConfirmSignature, request)
        assert reason_of(refused.value) == (grpc.StatusCode.INVALID_ARGUMENT, "SIGNATURE_INVALID")
