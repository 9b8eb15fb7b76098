"""Steps cannot be skipped, repeated or taken by others: in every state, every call that it does not allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.errors import ClientError
from tests.support.bank import (
    INFO,
    Counter,
    at_device,
    card_of,
    counter,
    customer_person,
    new_id,
    picture_of,
    reason_of,
    strokes,
)
from tests.support.bank_rows import dump
from tests.support.cloud import FakeClock
from verifield.v1 import audit_service_pb2, bank_pb2, customer_service_pb2
from verifield.v1 import coop_service_pb2 as pb

STEPS = (
    "CARD_READ",
    "CARD_ACCEPTED",
    "FACE_PASSED",
    "RECORDS_SHOWN",
    "CUSTOMER_INFO",
    "INFO_CONFIRMED",
    "COMPLETION",
    "NOTICES_CONFIRMED",
    "SIGNED",
)
ENDS = ("REQUEST_ISSUED", "EXITED", "NOT_PASSED", "ENDED")
MISSING = dict(
    zip(
        STEPS,
        (
            "CARD_REQUIRED",
            "FACE_REQUIRED",
            "RECORDS_REQUIRED",
            "DECISION_REQUIRED",
            "CUSTOMER_UNCONFIRMED",
            "COMPLETION_REQUIRED",
            "NOTICES_UNCONFIRMED",
            "SIGNATURE_REQUIRED",
            "REQUEST_REQUIRED",
        ),
        strict=True,
    )
)

# Each call: the states that allow it.
ALLOWED: dict[str, tuple[str, ...]] = {
    "SubmitCard": ("CARD_READ",),
    "GetAuthorityPhoto": ("CARD_ACCEPTED",),
    "SubmitFace": ("CARD_ACCEPTED",),
    "GetCoopDetails": (*STEPS[2:], "REQUEST_ISSUED"),
    "ListRecords": ("FACE_PASSED", "RECORDS_SHOWN"),
    "Decide EXIT": ("RECORDS_SHOWN",),
    "Decide CONTINUE": ("RECORDS_SHOWN",),
    "GetSessionCustomer": STEPS[4:],
    "UpsertCustomer": ("CUSTOMER_INFO",),
    "ConfirmCustomer": ("CUSTOMER_INFO",),
    "CompleteInfo": ("INFO_CONFIRMED",),
    "GetNotices": ("COMPLETION",),
    "ConfirmNotices": ("COMPLETION",),
    "ConfirmSignature": ("NOTICES_CONFIRMED",),
    "IssueRequest": ("SIGNED",),
    "DownloadRequest": ("REQUEST_ISSUED",),
    "CancelSession": STEPS,
}


@pytest.fixture(scope="module")
def shop(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with counter(tmp_path_factory.mktemp("shop"), database=module_database_url, clock=FakeClock()) as running:
        yield running


def call(at: Counter, name: str, session: pb.CoopSession) -> object:
    """Make a call that is good in itself."""
    key = session.session_id
    written = strokes()
    notice = bank_pb2.Notice(sha256=bytes(32))
    calls: dict[str, Callable[[], object]] = {
        "SubmitCard": lambda: at.read_card(session, at.person),
        "GetAuthorityPhoto": lambda: at.call(
            at.coop.GetAuthorityPhoto, pb.GetAuthorityPhotoRequest(session_id=key)
        ),
        "SubmitFace": lambda: at.see_face(session, at.person),
        "GetCoopDetails": lambda: at.call(at.coop.GetCoopDetails, pb.GetCoopDetailsRequest(session_id=key)),
        "ListRecords": lambda: at.records(session),
        "Decide EXIT": lambda: at.decide(session, pb.COOP_DECISION_EXIT),
        "Decide CONTINUE": lambda: at.decide(session, pb.COOP_DECISION_CONTINUE),
        "GetSessionCustomer": lambda: at.call(
            at.customers.GetSessionCustomer, customer_service_pb2.GetSessionCustomerRequest(session_id=key)
        ),
        "UpsertCustomer": lambda: at.upsert(session, version_of(at)),
        "ConfirmCustomer": lambda: at.confirm(session, version_of(at) or 1),
        "CompleteInfo": lambda: at.complete(session),
        "GetNotices": lambda: at.notice(session),
        "ConfirmNotices": lambda: at.confirm_notice(
            session,
            at.notice(session) if session.state == pb.COOP_STATE_COMPLETION else notice,
        ),
        "ConfirmSignature": lambda: at.call(
            at.coop.ConfirmSignature,
            pb.ConfirmSignatureRequest(session_id=key, strokes=written, image=picture_of(written)),
        ),
        "IssueRequest": lambda: at.issue(session),
        "DownloadRequest": lambda: at.call(
            at.coop.DownloadRequest, pb.DownloadRequestRequest(session_id=key)
        ),
        "CancelSession": lambda: at.call(at.coop.CancelSession, pb.CancelSessionRequest(session_id=key)),
    }
    return calls[name]()


def version_of(at: Counter) -> int:
    """The version of the person's customer, 0 where there is none."""
    request = customer_service_pb2.FindCustomerRequest(id_number=at.person.id_number)
    try:
        return at.operator(at.cloud.operator.customers.FindCustomer, request).customer.version
    except ClientError as error:
        if error.code != "CUSTOMER_NOT_FOUND":
            raise
        return 0


def expected(state: str, name: str) -> str:
    """The reason that a refused call has to have."""
    if state in ENDS:
        return "COOP_SESSION_ENDED"
    last = max((STEPS.index(one) for one in ALLOWED[name] if one in STEPS), default=len(STEPS))
    return "STEP_DONE" if STEPS.index(state) > last else MISSING[state]


def check_refused(at: Counter, session: pb.CoopSession, names: list[str]) -> None:
    """All of these calls are refused with the right reason, and leave every row as it was."""
    state = pb.CoopState.Name(session.state).removeprefix("COOP_STATE_")
    version_of(at)  # its audit is written before the rows are looked at
    before = dump(at.cloud, "bank", "coop_", "customer", "person_keys", "kept_answers", "used_evidence")
    for name in names:
        with pytest.raises(grpc.RpcError) as refused:
            call(at, name, session)
        assert reason_of(refused.value) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            expected(state, name),
        ), (state, name)
    after = dump(at.cloud, "bank", "coop_", "customer", "person_keys", "kept_answers", "used_evidence")
    assert after == before, (state, names)


def session_in(at: Counter, state: str) -> pb.CoopSession:
    """A session in this state."""
    if state == "EXITED":
        return at.decide(at.walk("RECORDS_SHOWN"), pb.COOP_DECISION_EXIT)
    if state == "NOT_PASSED":
        return at.read_card(at.started(), at.person, issuer="模拟市公安局另一分局")
    if state == "ENDED":
        session = at.walk("CUSTOMER_INFO")
        request = pb.CancelSessionRequest(session_id=session.session_id)
        return at.call(at.coop.CancelSession, request).session
    return at.walk(state)


@pytest.mark.req("R020")
@pytest.mark.parametrize("state", [*STEPS, *ENDS])
def test_every_call_that_a_state_does_not_allow_changes_nothing(shop: Counter, state: str) -> None:
    with at_device(shop.cloud, shop.authorities, shop.person) as at:
        at.bank = shop.bank
        session = session_in(at, state)
        check_refused(at, session, [name for name, states in ALLOWED.items() if state not in states])


@pytest.mark.req("R020")
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*ALLOWED]), min_size=5, max_size=20), st.integers(1000, 9000))
def test_no_order_of_calls_skips_or_repeats_a_step(shop: Counter, names: list[str], number: int) -> None:
    person = customer_person(number)
    shop.authorities.add(person)
    with at_device(shop.cloud, shop.authorities, person) as at:
        at.bank = shop.bank
        session = at.started()
        for name in names:
            session = at.session(session)
            state = pb.CoopState.Name(session.state).removeprefix("COOP_STATE_")
            if state not in ALLOWED[name]:
                check_refused(at, session, [name])
            elif name != "ConfirmCustomer" or version_of(at):
                call(at, name, session)
            _go_on(at, session)


def _go_on(at: Counter, session: pb.CoopSession) -> None:
    """Where chance would take hundreds of calls to get past the first steps: take one of them."""
    session = at.session(session)
    if session.state == pb.COOP_STATE_CARD_READ:
        at.read_card(session, at.person)
    elif session.state == pb.COOP_STATE_CARD_ACCEPTED:
        at.see_face(session, at.person)
    elif session.state == pb.COOP_STATE_CUSTOMER_INFO and version_of(at) == 0:
        at.upsert(session, 0, INFO)


@pytest.mark.req("R020")
def test_a_session_is_over_at_its_time_limit(shop: Counter) -> None:
    with at_device(shop.cloud, shop.authorities, shop.person) as at:
        at.bank = shop.bank
        session = at.walk("COMPLETION")
        shop.cloud.clock.offset = timedelta(minutes=31)
        try:
            names = [name for name in ALLOWED if name != "ConfirmNotices"]
            for name in names:
                with pytest.raises(grpc.RpcError) as refused:
                    call(at, name, session)
                assert reason_of(refused.value)[0] == grpc.StatusCode.FAILED_PRECONDITION
            at.started()  # beginning a new one ends those whose time is over
            ended = at.session(session)
            assert (ended.state, ended.end) == (pb.COOP_STATE_ENDED, pb.COOP_END_TIME_LIMIT)
            request = audit_service_pb2.ListAuditEventsRequest(
                filter=f'subject = "coop_sessions/{session.session_id}" AND action = "coop.run_out"'
            )
            assert len(at.operator(at.cloud.operator.audit.ListAuditEvents, request).events) == 1
        finally:
            shop.cloud.clock.offset = timedelta()


def test_a_device_has_three_open_sessions_at_most(shop: Counter) -> None:
    with at_device(shop.cloud, shop.authorities, shop.person) as at:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: _try_start(at), range(8)))
        sessions = [one for one in answers if isinstance(one, pb.CoopSession)]
        assert len(sessions) == 3
        assert [one for one in answers if isinstance(one, str)] == ["COOP_SESSIONS_OPEN"] * 5
        call(at, "CancelSession", sessions[0])
        assert at.started().state == pb.COOP_STATE_CARD_READ
        with at_device(shop.cloud, shop.authorities, shop.person) as neighbour:
            assert neighbour.started().state == pb.COOP_STATE_CARD_READ


def _try_start(at: Counter) -> pb.CoopSession | str:
    try:
        return at.started()
    except grpc.RpcError as error:
        return reason_of(error)[1]


@pytest.mark.req("R019")
def test_numbers_have_no_gaps_whoever_issues_at_once(shop: Counter) -> None:
    with at_device(shop.cloud, shop.authorities, shop.person) as at:
        at.bank = shop.bank
        first = int(at.walk("REQUEST_ISSUED").number.partition("-")[2])
        sessions = [at.walk("SIGNED") for _ in range(3)]
        keys = [new_id() for _ in sessions]

        def issue(which: int) -> str:
            return at.issue(sessions[which % 3], keys[which % 3]).number

        with ThreadPoolExecutor(6) as pool:
            numbers = list(pool.map(issue, range(6)))
        assert numbers[:3] == numbers[3:]  # the same key gives the same number, also at once
        counts = sorted(int(number.partition("-")[2]) for number in set(numbers))
        assert counts == [first + 1, first + 2, first + 3]


def test_two_devices_with_one_unknown_card_make_one_customer(shop: Counter) -> None:
    person = customer_person(777)
    shop.authorities.add(person)
    with (
        at_device(shop.cloud, shop.authorities, person) as one,
        at_device(shop.cloud, shop.authorities, person) as other,
    ):
        pairs = [(at, at.walk("CUSTOMER_INFO")) for at in (one, other)]

        def upsert(pair: tuple[Counter, pb.CoopSession]) -> str:
            try:
                return str(pair[0].upsert(pair[1]).version)
            except grpc.RpcError as error:
                return reason_of(error)[1]

        with ThreadPoolExecutor(2) as pool:
            answers = sorted(pool.map(upsert, pairs))
        assert answers == ["1", "ETAG_MISMATCH"]
        assert card_of(person).number == person.id_number
