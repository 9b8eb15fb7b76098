"""What the authority says of a card and a face; and what happens where it does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
from sqlalchemy import update

from cloud.sources import to_us
from cloud.store.schema import coop_sessions
from tests.support.authorities import RunningAuthorities, face_of
from tests.support.bank import Counter, at_device, card_of, counter, customer_person, new_id, reason_of
from tests.support.bank_rows import dump
from tests.support.cloud import running_cloud
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import audit_service_pb2, bank_pb2
from verifield.v1 import coop_service_pb2 as pb

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
MATCH, MISMATCH, UNAVAILABLE = (
    bank_pb2.COOP_ITEM_RESULT_MATCH,
    bank_pb2.COOP_ITEM_RESULT_MISMATCH,
    bank_pb2.COOP_ITEM_RESULT_UNAVAILABLE,
)


@pytest.fixture
def at(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with counter(tmp_path_factory.mktemp("counter"), database=database_url) as running:
        yield running


def results(session: pb.CoopSession) -> dict[str, int]:
    return {
        bank_pb2.CoopItemName.Name(one.item).removeprefix("COOP_ITEM_NAME_"): one.result
        for one in session.items
    }


def told(at: Counter, session: pb.CoopSession) -> list[dict[str, str]]:
    """Facts of the questions in the audit chain, oldest first."""
    request = audit_service_pb2.ListAuditEventsRequest(
        filter=f'subject = "coop_sessions/{session.session_id}" AND action = "coop.authority_call"'
    )
    events = at.operator(at.cloud.operator.audit.ListAuditEvents, request).events
    ordered = sorted(events, key=lambda event: event.seq)
    return [{fact.key: fact.value for fact in event.facts} for event in ordered]


@pytest.mark.req("R001")
def test_verify_and_query_are_asked_and_audited(at: Counter) -> None:
    wrong = at.read_card(at.started(), at.person, name="测试他人")
    assert results(wrong)["NAME"] == MISMATCH
    assert wrong.outcome == bank_pb2.COOP_OUTCOME_NOT_PASSED
    right = at.read_card(at.started(), at.person)
    photo = at.call(at.coop.GetAuthorityPhoto, pb.GetAuthorityPhotoRequest(session_id=right.session_id))
    assert photo.photo.startswith(b"\xff\xd8")  # the registered record, as QUERY gave it
    for session, outcome in ((wrong, "MISMATCH"), (right, "MATCH")):
        query, verify = told(at, session)
        assert (query["mode"], query["outcome"]) == ("QUERY", "FOUND")
        assert (verify["mode"], verify["outcome"]) == ("VERIFY", outcome)
        assert all(int(one["latency_ms"]) >= 0 and one["tries"] == "1" for one in (query, verify))
    assert at.authorities.asked("bank.verify") == at.authorities.asked("bank.query") == 2
    assert at.person.id_number not in str(dump(at.cloud, "audit_events"))


@pytest.mark.req("R002")
def test_another_issuing_authority_is_one_item_and_does_not_pass(at: Counter) -> None:
    session = at.read_card(at.started(), at.person, issuer="模拟市公安局另一分局")
    found = results(session)
    assert found.pop("ISSUER") == MISMATCH
    assert set(found) == {"NAME", "ID_NUMBER", "PHOTO", "OTHER"}
    assert set(found.values()) == {MATCH}
    assert all(one.source for one in session.items)
    assert session.outcome == bank_pb2.COOP_OUTCOME_NOT_PASSED
    assert (session.state, session.end) == (pb.COOP_STATE_NOT_PASSED, pb.COOP_END_ITEMS)
    with pytest.raises(grpc.RpcError) as refused:
        at.see_face(session, at.person)
    assert reason_of(refused.value) == (PRECONDITION, "COOP_SESSION_ENDED")


def test_what_is_not_registered_is_unavailable_and_does_not_pass(at: Counter) -> None:
    bare = customer_person(2)
    at.authorities.add(bare.but(issuer="", other={}, portrait=""))
    session = at.read_card(at.started(), bare)
    found = results(session)
    assert (found["PHOTO"], found["ISSUER"], found["OTHER"]) == (UNAVAILABLE,) * 3
    assert session.outcome == bank_pb2.COOP_OUTCOME_NOT_PASSED


@pytest.mark.req("R003")
def test_another_face_than_the_authoritys_never_reaches_the_notices(at: Counter) -> None:
    session = at.walk("CARD_ACCEPTED")
    nonces = {session.nonce}
    for left in (2, 1, 0):
        seen = at.see_face(session, at.person, portrait="grace_hopper")
        assert results(seen)["PHOTO"] == MISMATCH
        assert seen.outcome == bank_pb2.COOP_OUTCOME_NOT_PASSED
        with pytest.raises(grpc.RpcError) as refused:
            at.notice(session)
        assert reason_of(refused.value)[0] == PRECONDITION
        session = at.session(session)
        if left:
            assert (session.state, session.face_tries_left) == (pb.COOP_STATE_CARD_ACCEPTED, left)
            assert session.nonce not in nonces
            nonces.add(session.nonce)
    assert (session.state, session.end) == (pb.COOP_STATE_NOT_PASSED, pb.COOP_END_FACE)


@pytest.mark.req("R003")
def test_a_card_with_another_photo_is_refused(at: Counter) -> None:
    session = at.read_card(at.started(), at.person, photo=face_of("grace_hopper"))
    assert results(session)["PHOTO"] == MISMATCH
    assert session.state == pb.COOP_STATE_NOT_PASSED


@pytest.mark.req("R003")
def test_what_the_device_itself_sees_counts_besides(at: Counter) -> None:
    session = at.walk("CARD_ACCEPTED")
    seen = at.see_face(session, at.person, local=pb.COOP_LOCAL_MATCH_NOT_MATCHED)
    assert results(seen)["PHOTO"] == MISMATCH
    assert [one.source for one in seen.items if one.result == MISMATCH] == ["people's registry; device"]
    session = at.session(session)
    assert at.see_face(session, at.person).state == pb.COOP_STATE_FACE_PASSED


def test_evidence_must_be_of_this_session_card_and_device(at: Counter) -> None:
    session = at.walk("CARD_ACCEPTED")
    other = customer_person(5)

    def simulated(statement: att.Statement) -> None:
        statement.assurance.camera = att.CAMERA_ASSURANCE_SIMULATED

    def refused_as(request: pb.SubmitFaceRequest) -> str:
        with pytest.raises(grpc.RpcError) as refused:
            at.call(at.coop.SubmitFace, request)
        return reason_of(refused.value)[1]

    wrong = pb.CoopSession(session_id=session.session_id, nonce=bytes(32))
    assert refused_as(at.face(wrong, at.person)) == "EVIDENCE_NONCE"
    assert refused_as(at.face(session, other)) == "EVIDENCE_PERSON"
    renewed = at.person.but(valid_from=at.person.valid_from and at.person.valid_from + timedelta(days=1))
    assert refused_as(at.face(session, renewed)) == "EVIDENCE_PERSON"
    assert refused_as(at.face(session, at.person, change=simulated)) == "EVIDENCE_OUTCOME"
    with at_device(at.cloud, at.authorities, at.person) as neighbour:
        assert refused_as(neighbour.face(session, at.person)) == "EVIDENCE_DEVICE"
        with pytest.raises(grpc.RpcError) as refused:
            neighbour.session(session)
        assert reason_of(refused.value) == (grpc.StatusCode.NOT_FOUND, "COOP_SESSION_NOT_FOUND")
    used = at.face(session, at.person)
    assert at.call(at.coop.SubmitFace, used).session.state == pb.COOP_STATE_FACE_PASSED
    again = at.walk("CARD_ACCEPTED")
    used.session_id = again.session_id
    assert refused_as(used) in {"EVIDENCE_NONCE", "EVIDENCE_REPLAYED"}


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("busy", "AUTHORITY_BUSY"),
        ("system_error", "REALNAME_SYSTEM_ERROR"),
        ("garbage", "REALNAME_SYSTEM_ERROR"),
    ],
)
def test_where_the_authority_does_not_answer_the_session_stands(at: Counter, mode: str, reason: str) -> None:
    session = at.started()
    at.authorities.mode(bank=mode)
    with pytest.raises(grpc.RpcError) as refused:
        at.read_card(session, at.person)
    assert reason_of(refused.value)[1] == reason
    assert at.session(session).state == pb.COOP_STATE_CARD_READ
    [asked] = told(at, session)
    assert asked["mode"] == "QUERY"
    assert asked["outcome"] in {"BUSY", "SYSTEM_ERROR", "NONSENSE", "UNREACHABLE"}
    at.authorities.well()
    session = at.read_card(session, at.person)
    request = at.face(session, at.person)
    at.authorities.mode(bank=mode)
    with pytest.raises(grpc.RpcError) as refused:
        at.call(at.coop.SubmitFace, request)
    assert reason_of(refused.value)[1] == reason
    at.authorities.well()
    # The evidence was judged and used up, for this very question: it is not asked for anew.
    assert at.call(at.coop.SubmitFace, request).session.state == pb.COOP_STATE_FACE_PASSED


def test_one_question_at_a_time_and_the_same_again_is_one(at: Counter) -> None:
    session = at.started()
    request = pb.SubmitCardRequest(
        request_id=new_id(), session_id=session.session_id, card=card_of(at.person)
    )
    at.authorities.mode(bank="slow:0.5")
    start = threading.Barrier(4)

    def submit(_: int) -> str:
        start.wait()
        try:
            return pb.CoopState.Name(at.call(at.coop.SubmitCard, request).session.state)
        except grpc.RpcError as error:
            return reason_of(error)[1]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(submit, range(4)))
    assert sorted(answers) == ["COOP_CHECK_RUNNING"] * 3 + ["COOP_STATE_CARD_ACCEPTED"]
    at.authorities.well()
    assert submit_again(at, request).state == pb.COOP_STATE_CARD_ACCEPTED
    assert at.authorities.asked("bank.query") == at.authorities.asked("bank.verify") == 1


def submit_again(at: Counter, request: pb.SubmitCardRequest) -> pb.CoopSession:
    """The same request, whose answer is kept."""
    return at.call(at.coop.SubmitCard, request).session


def test_a_question_that_was_lost_is_not_charged_twice(at: Counter) -> None:
    session = at.started()
    at.authorities.mode(bank_verify="lost")  # answered and charged, and then the line breaks
    with pytest.raises(grpc.RpcError):
        at.read_card(session, at.person)
    at.authorities.well()
    assert at.read_card(session, at.person).state == pb.COOP_STATE_CARD_ACCEPTED
    assert at.authorities.charged("bank.query") == at.authorities.charged("bank.verify") == 1


def test_a_claim_that_a_fallen_server_left_is_over_after_its_time(at: Counter) -> None:
    session = at.started()
    at.authorities.mode(bank_verify="busy")
    with pytest.raises(grpc.RpcError):
        at.read_card(session, at.person)
    at.authorities.well()
    until_us = to_us(at.cloud.clock.now()) + 60_000_000
    with at.cloud.database() as connection:  # as a server leaves it that ends between question and answer
        connection.execute(update(coop_sessions).values(check_until_us=until_us))
    with pytest.raises(grpc.RpcError) as refused:
        at.read_card(session, at.person)
    assert reason_of(refused.value) == (grpc.StatusCode.UNAVAILABLE, "COOP_CHECK_RUNNING")
    at.cloud.clock.offset = timedelta(seconds=61)
    assert at.read_card(session, at.person).state == pb.COOP_STATE_CARD_ACCEPTED
    assert at.authorities.charged("bank.query") == 1


def test_without_an_authority_nothing_passes(tmp_path_factory: pytest.TempPathFactory) -> None:
    person = customer_person(1)
    with (
        running_cloud(tmp_path_factory.mktemp("cloud")) as cloud,
        at_device(cloud, RunningAuthorities.__new__(RunningAuthorities), person) as at,
    ):
        session = at.started()
        with pytest.raises(grpc.RpcError) as refused:
            at.read_card(session, person)
        assert reason_of(refused.value)[1] == "AUTHORITY_NOT_CONFIGURED"
        assert at.session(session).state == pb.COOP_STATE_CARD_READ
