"""Ways to be verified that cross each other, are repeated, or end in an answer that is neither yes nor no."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from cloud.store import verifications as rows
from cloud.store.schema import face_checks, used_evidence, verifications
from cloud.verifications.desk import Verifications
from tests.support.accounts import in_database
from tests.support.authorities import Somebody, somebody
from tests.support.cloud import FakeClock
from tests.support.identity import Holder, IdentityRoom, evidence_of, running_identity
from verifield.v1 import account_service_pb2
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import identity_service_pb2 as pb

CLOCK = FakeClock()
NUMBERS = iter(range(40_000, 90_000))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityRoom]:
    with running_identity(
        tmp_path_factory.mktemp("crossing"), clock=CLOCK, account_calls_per_minute=10_000
    ) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _well(room: IdentityRoom) -> Iterator[None]:
    yield
    CLOCK.offset = timedelta()
    room.authorities.well()


def known(room: IdentityRoom, **changes: Any) -> Somebody:
    person = somebody(next(NUMBERS), **changes)
    room.authorities.add(person)
    return person


def with_elements(room: IdentityRoom, person: Somebody | None = None) -> Holder:
    """Whose four elements are verified."""
    made = room.holder(person or known(room))
    made.verify_elements()
    return made


def start_ctid(holder: Holder, **more: Any) -> tuple[pb.FinishCtidRequest, str]:
    """How to ask about it, and the transaction on which the person acts."""
    started = holder.call("StartCtid", pb.StartCtidRequest(**more))
    finish = pb.FinishCtidRequest(verification_id=started.verification.verification_id)
    return finish, started.link.rpartition("/")[2]


@pytest.mark.req("R063")
def test_a_certificate_that_waits_while_the_face_shows_another_card_verifies_nobody(
    room: IdentityRoom,
) -> None:
    holder = with_elements(room)
    finish, transaction = start_ctid(holder)
    newer = replace(holder.person.elements.validity, valid_to=date(2041, 5, 5))
    card = replace(holder.person.elements, validity=newer)
    assert holder.face_refused(holder.seen(card=card)).reason == "ID_VALIDITY_CONFLICT"
    room.authorities.act(transaction)
    assert holder.refused("FinishCtid", finish).reason == "ID_VALIDITY_CONFLICT"
    identity = holder.identity()
    assert (identity.state, identity.method) == (pb.IDENTITY_STATE_VALIDITY_CONFLICT, 0)


@pytest.mark.req("R063")
def test_who_registered_with_an_old_card_and_shows_that_one_fails_at_the_face(room: IdentityRoom) -> None:
    new = known(room, old_cards=((date(2010, 1, 1), date(2030, 1, 1)),))
    old = new.but(valid_from=date(2010, 1, 1), valid_to=date(2030, 1, 1), old_cards=())
    holder = with_elements(room, old)
    error = holder.face_refused()
    assert (error.reason, error.metadata["remedies"]) == ("ID_VALIDITY_CONFLICT", "TICKET_OLD_CARD")
    assert holder.identity().state == pb.IDENTITY_STATE_VALIDITY_CONFLICT
    assert holder.refused("StartFaceCheck", pb.StartFaceCheckRequest()).reason == "ID_VALIDITY_CONFLICT"


@pytest.mark.req("R075")
def test_a_registry_without_a_photograph_is_missing_data_at_the_face_and_traps_nobody(
    room: IdentityRoom,
) -> None:
    holder = with_elements(room, known(room, portrait=""))
    request = holder.face_request()
    error = holder.refused("SubmitFaceEvidence", request)
    assert error.reason == "VERIFICATION_DATA_MISSING"
    assert error.metadata["retry_class"] == "NEVER"
    assert error.metadata["remedies"] == "CTID,MANUAL"
    identity = holder.identity()
    assert (identity.state, identity.face_tries) == (pb.IDENTITY_STATE_ELEMENTS_VERIFIED, 1)
    assert holder.refused("SubmitFaceEvidence", request).reason == "EVIDENCE_REPLAYED"  # it was an answer
    finish, transaction = start_ctid(holder)
    room.authorities.act(transaction)
    assert holder.call("FinishCtid", finish).verification.state == pb.VERIFICATION_STATE_PASSED


@pytest.mark.parametrize("which", ["valid_from_salt", "valid_to_salt"])
def test_a_package_that_does_not_open_the_days_of_the_card_shows_no_other_card(
    room: IdentityRoom, which: str
) -> None:
    holder = with_elements(room)
    request = holder.face_request()
    genuine = getattr(request.evidence, which)
    setattr(request.evidence, which, bytes(32))
    assert holder.refused("SubmitFaceEvidence", request).reason == "EVIDENCE_PERSON"
    assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED
    setattr(request.evidence, which, genuine)
    verification = holder.call("SubmitFaceEvidence", request).verification
    assert verification.state == pb.VERIFICATION_STATE_PASSED


def test_a_card_that_has_expired_does_not_count_whatever_the_device_thinks_of_the_day(
    room: IdentityRoom,
) -> None:
    today = CLOCK.now().date()
    ended = with_elements(room, known(room, valid_to=today - timedelta(days=2)))
    error = ended.face_refused()
    assert (error.reason, error.metadata["reason"]) == ("EVIDENCE_OUTCOME", "DOCUMENT_EXPIRED")
    last_day = with_elements(room, known(room, valid_to=today))
    assert last_day.verify_face().state == pb.VERIFICATION_STATE_PASSED


def test_one_request_id_for_two_calls_does_not_answer_the_one_with_the_other(room: IdentityRoom) -> None:
    holder, request_id = room.holder(known(room)), str(uuid.uuid4())
    holder.call("VerifyFourElements", pb.VerifyFourElementsRequest(request_id=request_id))
    request = holder.face_request()
    request.request_id = request_id
    verification = holder.call("SubmitFaceEvidence", request).verification
    assert verification.method == pb.VERIFICATION_METHOD_FACE
    assert holder.identity().state == pb.IDENTITY_STATE_VERIFIED


def test_a_network_certificate_that_is_asked_for_twice_is_begun_once(room: IdentityRoom) -> None:
    holder, request_id = room.holder(known(room)), str(uuid.uuid4())
    before = room.authorities.asked("ctid.start")
    finish, transaction = start_ctid(holder, request_id=request_id)
    assert start_ctid(holder, request_id=request_id.upper()) == (finish, transaction)
    assert room.authorities.asked("ctid.start") == before + 1
    room.authorities.act(transaction)
    assert holder.call("FinishCtid", finish).verification.state == pb.VERIFICATION_STATE_PASSED
    assert start_ctid(holder, request_id=request_id) == (finish, transaction)
    assert holder.identity().state == pb.IDENTITY_STATE_VERIFIED


def test_a_network_certificate_that_is_asked_for_again_too_early_is_begun_once(room: IdentityRoom) -> None:
    holder, again = room.holder(known(room)), pb.StartCtidRequest(request_id=str(uuid.uuid4()))
    room.authorities.mode(ctid="slow:1.5")
    before = room.authorities.asked("ctid.start")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(holder.call, "StartCtid", again)
        while not pending(room, holder):
            pass
        assert holder.refused("StartCtid", again).reason == "VERIFICATION_RUNNING"
        started = first.result()
    assert holder.call("StartCtid", again) == started
    assert room.authorities.asked("ctid.start") == before + 1


def test_a_network_certificate_that_ends_at_the_same_moment_twice_verifies_once(room: IdentityRoom) -> None:
    holder = room.holder(known(room))
    finish, transaction = start_ctid(holder)
    room.authorities.act(transaction)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: holder.call("FinishCtid", finish).verification, range(4)))
    assert answers == [answers[0]] * 4
    assert answers[0].state == pb.VERIFICATION_STATE_PASSED


def test_a_certificate_of_who_the_account_was_before_does_not_count_for_who_it_is_now(
    room: IdentityRoom,
) -> None:
    """The transaction is begun for oneself, and ended once the account has somebody else's elements."""
    myself, victim = known(room), known(room)
    holder = room.holder(myself)
    finish, transaction = start_ctid(holder)
    holder.verify_elements(victim.elements)
    room.authorities.act(transaction)
    assert holder.refused("FinishCtid", finish).reason == "CTID_REFUSED"
    assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED


def test_a_nonce_that_was_overtaken_does_not_come_back_with_an_answer_that_did_not(
    room: IdentityRoom,
) -> None:
    holder = with_elements(room)
    first = holder.face_request()
    room.authorities.mode(registry_face="slow:1.5*1")
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(holder.refused, "SubmitFaceEvidence", first)
        while not pending(room, holder):
            pass
        second = holder.face_request()
        interrupt(room, holder)
        assert asking.result().reason == "VERIFICATION_STATE"
    with room.cloud.database() as connection:
        mine = face_checks.c.account_id == holder.account_id
        still = connection.execute(face_checks.select().where(mine, face_checks.c.ended_us.is_(None))).all()
    assert [row.face_check_id for row in still] == [second.face_check_id]
    assert holder.refused("SubmitFaceEvidence", first).reason == "EVIDENCE_NONCE"
    assert holder.call("SubmitFaceEvidence", second).verification.state == pb.VERIFICATION_STATE_PASSED


def interrupt(room: IdentityRoom, holder: Holder) -> None:
    """What the job does where a server has died while it asked."""

    def work(connection: Connection, parts: Any) -> None:
        desk = Verifications(parts.accounts, parts.sources)
        row = rows.find_pending(connection, holder.account_id, pb.VERIFICATION_METHOD_FACE)
        assert row is not None
        desk.interrupt(connection, row, code="NO_ANSWER")

    in_database(room.cloud, work)


def pending(room: IdentityRoom, holder: Holder) -> bool:
    with room.cloud.database() as connection:
        found = verifications.select().where(
            verifications.c.account_id == holder.account_id, verifications.c.state == 1
        )
        return connection.execute(found).first() is not None


def test_another_record_at_a_place_of_the_chain_that_the_service_knows_does_not_count(
    room: IdentityRoom,
) -> None:
    holder, device = with_elements(room), room.cloud.enroll()
    head = device.head
    room.cloud.deliver(device, [evidence_of(device, holder.seen(), nonce=bytes(32)).envelope])
    device.head = head  # and now it signs the same place once more, as a copy of the key would
    error = holder.refused("SubmitFaceEvidence", holder.face_request(device=device))
    assert (error.reason, error.metadata["check"]) == ("EVIDENCE_DEVICE", "FORK")
    with room.cloud.database() as connection:
        assert not [
            row
            for row in connection.execute(used_evidence.select())
            if row.subject.endswith(holder.account_id)
        ]


def test_a_record_that_was_delivered_before_it_was_handed_in_counts(room: IdentityRoom) -> None:
    holder, device = with_elements(room), room.cloud.enroll()
    request = holder.face_request(device=device)
    room.cloud.deliver(device, [request.evidence.envelope])
    verification = holder.call("SubmitFaceEvidence", request).verification
    assert verification.state == pb.VERIFICATION_STATE_PASSED


def test_signatures_that_are_added_to_a_record_do_not_make_another_one_of_it(room: IdentityRoom) -> None:
    holder = with_elements(room)
    request = holder.face_request()
    assert holder.call("SubmitFaceEvidence", request).verification.state == pb.VERIFICATION_STATE_PASSED
    for extra in (b"\x1a\x04\x0a\x02xy", b"\x1a\x03\x0a\x01z"):  # one more EnvelopeSignature
        again = pb.SubmitFaceEvidenceRequest()
        again.CopyFrom(request)
        again.evidence.envelope += extra
        again.face_check_id = holder.start_face().face_check_id
        assert holder.refused("SubmitFaceEvidence", again).reason == "EVIDENCE_NONCE"


@pytest.mark.parametrize("extra", [b"\x5a\x01x", b"\x0a\x00", b"\x98\x06\x01"])
def test_fields_that_are_unknown_or_stand_twice_make_no_other_record(
    room: IdentityRoom, extra: bytes
) -> None:
    """An unknown field, a second payload that is empty, an unknown number."""
    holder = with_elements(room)
    request = holder.face_request()
    genuine = request.evidence.envelope
    request.evidence.envelope = genuine + extra
    assert holder.refused("SubmitFaceEvidence", request).reason in {"EVIDENCE_INVALID", "EVIDENCE_SIGNATURE"}
    request.evidence.envelope = genuine
    assert holder.call("SubmitFaceEvidence", request).verification.state == pb.VERIFICATION_STATE_PASSED


def test_a_device_that_signs_what_its_rules_forbid_is_not_believed(room: IdentityRoom) -> None:
    """A manual decision, a document that no chip gave, a liveness that was not decided."""

    def undecided(statement: att.Statement) -> None:
        statement.liveness.decision = att.LIVENESS_DECISION_INSUFFICIENT
        statement.outcome = att.OUTCOME_INCONCLUSIVE

    def typed(statement: att.Statement) -> None:
        statement.document.read_method = att.READ_METHOD_TYPED
        statement.outcome = att.OUTCOME_INCONCLUSIVE

    holder = with_elements(room)
    for change in (undecided, typed):
        error = holder.face_refused(holder.seen(change=change))
        assert (error.reason, error.metadata["outcome"]) == ("EVIDENCE_OUTCOME", "INCONCLUSIVE")


def test_an_account_that_ends_while_an_authority_is_asked_is_not_verified(room: IdentityRoom) -> None:
    holder = with_elements(room)
    request = holder.face_request()
    room.authorities.mode(registry_face="slow:1*1")
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(holder.refused, "SubmitFaceEvidence", request)
        while not pending(room, holder):
            pass
        room.cloud.operator.call(
            room.cloud.operator.accounts.Deregister,
            account_service_pb2.DeregisterRequest(
                account_id=holder.account_id, reason=account_service_pb2.DEREGISTRATION_REASON_HOLDER_ASKED
            ),
        )
        assert asking.result().reason == "ACCOUNT_STATE"
    shown = room.cloud.operator.call(
        room.cloud.operator.identity.GetAccountIdentity,
        pb.GetAccountIdentityRequest(account_id=holder.account_id),
    ).identity
    assert shown.state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED
    assert shown.verification_id == ""
