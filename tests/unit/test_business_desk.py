"""Requests for registration business: who may, in which state, and what is kept of why."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from cloud.business.describe import describe, outline
from cloud.business.desk import MAX_DOCUMENTS, subject_of
from cloud.business.etags import etag_of
from cloud.business.personal import SEALED
from cloud.business.states import (
    DELEGATIONS,
    MACHINE,
    DelegationEvent,
    DelegationState,
    Event,
    State,
    state_of,
)
from cloud.errors import Reason, ServiceError
from cloud.reviews.port import Decision, Outcome, ReasonText, Supplement
from cloud.rulebook.desk import RulebookDesk
from cloud.rulebook.kinds import RuleKind
from cloud.sources import to_us
from cloud.store import business as rows
from cloud.store import schema, steps
from cloud.store.database import Store, StoreOptions
from cloud.store.sealed import forget_person
from tests.support.business import NOON, BusinessRoom
from verifield.v1 import business_service_pb2 as pb
from verifield.v1 import rulebook_pb2


@pytest.fixture
def room(database_url: str, tmp_path: Path) -> Iterator[BusinessRoom]:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    yield BusinessRoom(store, tmp_path)
    store.close()


def refused(room: BusinessRoom, work: Callable[..., Any], *args: Any, **kwargs: Any) -> ServiceError:
    """What a call is refused for; nothing of the room's rows has changed."""
    return refused_call(room, lambda: room.run(work, *args, **kwargs))


def refused_call(room: BusinessRoom, call: Callable[[], Any]) -> ServiceError:
    before = room.dump()
    with pytest.raises(ServiceError) as caught:
        call()
    assert room.dump() == before
    return caught.value


def wanted(holder: str, **changes: Any) -> dict[str, Any]:
    given = {"caller": holder, "principal": holder, "service_code": "NAME_CHECK", "text": "words"}
    return given | changes


def delegate(
    room: BusinessRoom,
    principal: str,
    agent: str,
    *codes: str,
    starts: timedelta = timedelta(),
    lasts: timedelta = timedelta(days=30),
    accepted: bool = True,
) -> str:
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(room.now + starts)
    end.FromDatetime(room.now + starts + lasts)
    row = room.run(
        room.delegations.offer,
        principal=principal,
        agent=agent,
        service_codes=list(codes or ("NAME_CHECK",)),
        valid_from=start,
        valid_until=end,
    )
    if accepted:
        room.run(room.delegations.answer, row.delegation_id, caller=agent, accept=True)
    return row.delegation_id


@pytest.mark.req("R023")
def test_without_a_verified_identity_no_business_begins(room: BusinessRoom) -> None:
    holder = room.account(verified=False)
    assert refused(room, room.desk.create, **wanted(holder)).reason is Reason.IDENTITY_REQUIRED
    room.verify(holder, stale=True)
    assert refused(room, room.desk.create, **wanted(holder)).reason is Reason.IDENTITY_REQUIRED
    room.verify(holder)
    assert room.get(room.begin(holder)).state == State.DRAFT


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    ("offset_us", "inside"), [(-1, False), (0, True), (10_000_000 - 1, True), (10_000_000, False)]
)
def test_only_a_permission_whose_time_is_running_lets_business_begin(
    room: BusinessRoom, allowed: bool, offset_us: int, inside: bool
) -> None:
    holder = room.account(allowed=False)
    if allowed:
        room.allow(holder, NOON, NOON + timedelta(seconds=10))
    room.now = NOON + timedelta(microseconds=offset_us)
    if allowed and inside:
        assert room.begin(holder)
    else:
        error = refused(room, room.desk.create, **wanted(holder))
        assert error.reason is Reason.FILING_NOT_ALLOWED


@pytest.mark.req("R035")
def test_a_request_keeps_the_permission_that_justified_it(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    room.run(room.desk.add_document, business_id, room.stage(holder), caller=holder, kind=1)
    room.run(room.desk.submit, business_id, caller=holder)
    began = outline(room.get(business_id)).permission

    room.now += timedelta(days=2)  # the permission's time is over
    room.allow(holder, None, None)  # and it was taken back
    room.verify(holder, stale=True)

    room.run(room.handler.assigned, room.task(business_id, holder))
    room.run(
        room.handler.decided,
        room.task(business_id, holder),
        Decision(Outcome.PASSED, ()),
    )
    shown = room.read(describe, room.desk, room.get(business_id))
    assert shown.state == pb.BUSINESS_STATE_ACCEPTED
    assert shown.permission == began
    assert began.allowed
    assert began.method == "FACE"
    assert began.verification_id
    assert began.check_time.ToMicroseconds() == to_us(NOON)
    assert began.valid_from.ToMicroseconds() == to_us(NOON - timedelta(hours=1))
    assert began.valid_until.ToMicroseconds() == to_us(NOON + timedelta(days=1))
    assert shown.submit_permission == began
    assert (shown.service_code, shown.account_id, shown.text) == ("NAME_CHECK", holder, "words")
    assert [one.kind for one in shown.documents] == [pb.BUSINESS_DOCUMENT_KIND_APPLICATION_FORM]
    assert shown.documents[0].media_type == "application/pdf"
    assert [one.event for one in shown.timeline] == [
        pb.BUSINESS_EVENT_CREATED,
        pb.BUSINESS_EVENT_SUBMITTED,
        pb.BUSINESS_EVENT_ASSIGNED,
        pb.BUSINESS_EVENT_ACCEPTED,
    ]


def test_a_draft_is_handed_in_only_under_a_permission_of_that_moment(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    room.now += timedelta(days=2)
    assert refused(room, room.desk.submit, business_id, caller=holder).reason is Reason.FILING_NOT_ALLOWED
    room.allow(holder, room.now, room.now + timedelta(days=1))
    row = room.run(room.desk.submit, business_id, caller=holder)
    first, second = outline(row).permission, outline(row).submit_permission
    assert first.check_time.ToMicroseconds() == to_us(NOON)
    assert second.check_time.ToMicroseconds() == to_us(room.now)
    assert room.reviews.told == ["open BUSINESS business 4"]


def test_an_unknown_kind_of_business_is_not_found(room: BusinessRoom) -> None:
    holder = room.account()
    error = refused(room, room.desk.create, **wanted(holder, service_code="NO_SUCH_THING"))
    assert error.reason is Reason.SERVICE_UNKNOWN


def test_another_change_says_what_it_is(room: BusinessRoom) -> None:
    holder = room.account()
    for empty in ("", "  \n"):
        error = refused(room, room.desk.create, **wanted(holder, service_code="OTHER_CHANGE", text=empty))
        assert error.violations[0].field == "text"
    business_id = room.begin(holder, "OTHER_CHANGE")
    error = refused(room, room.desk.edit, business_id, caller=holder, text="", etag="")
    assert error.reason is Reason.REQUEST_INVALID


def test_an_agent_needs_a_delegation_that_counts(room: BusinessRoom) -> None:
    principal, agent = room.account(), room.account(allowed=False)
    acting = wanted(principal, caller=agent)

    def missing() -> bool:
        return refused(room, room.desk.create, **acting).reason is Reason.DELEGATION_MISSING

    assert missing()
    delegate(room, agent, principal)  # the other way round
    assert missing()
    delegate(room, principal, agent, "ADDRESS_CHANGE", "EQUITY_CHANGE")  # for something else
    assert missing()
    delegate(room, principal, agent, starts=timedelta(hours=1))  # not yet
    assert missing()
    offered = delegate(room, principal, agent, accepted=False)
    assert missing()

    room.run(room.delegations.answer, offered, caller=agent, accept=True)
    row = room.run(room.desk.create, **acting)
    assert (row.account_id, row.agent_account_id, row.delegation_id) == (principal, agent, offered)
    assert outline(row).permission.delegation_id == offered

    room.run(room.delegations.revoke, offered, caller=principal)
    assert missing()
    for step in (room.desk.submit, room.desk.withdraw, room.desk.check_may_add):
        error = refused(room, step, row.business_id, caller=agent)
        assert error.reason is Reason.DELEGATION_MISSING
    room.run(room.desk.withdraw, row.business_id, caller=principal)


def test_a_delegation_counts_to_its_last_microsecond(room: BusinessRoom) -> None:
    principal, agent = room.account(), room.account(allowed=False)
    delegate(room, principal, agent, lasts=timedelta(seconds=5))
    room.now = NOON + timedelta(seconds=5, microseconds=-1)
    room.begin(principal, caller=agent)
    room.now = NOON + timedelta(seconds=5)
    error = refused(room, room.desk.create, **wanted(principal, caller=agent))
    assert error.reason is Reason.DELEGATION_MISSING


def test_both_sides_of_a_delegation_are_verified(room: BusinessRoom) -> None:
    principal, agent = room.account(), room.account(verified=False, allowed=False)
    delegate(room, principal, agent)
    error = refused(room, room.desk.create, **wanted(principal, caller=agent))
    assert error.reason is Reason.IDENTITY_REQUIRED


def test_a_third_account_finds_nothing(room: BusinessRoom) -> None:
    business_id = room.begin(room.account())
    stranger = room.account()
    for step in (room.desk.submit, room.desk.withdraw, room.desk.check_may_add):
        error = refused(room, step, business_id, caller=stranger)
        assert error.reason is Reason.BUSINESS_NOT_FOUND
    other = delegate(room, room.account(), room.account())
    for work in (room.delegations.revoke,):
        assert refused(room, work, other, caller=stranger).reason is Reason.DELEGATION_NOT_FOUND


def test_how_many_requests_an_account_begins_is_limited_and_exact(room: BusinessRoom) -> None:
    limit = rulebook_pb2.ApplicationLimitRules()
    limit.CopyFrom(RuleKind.APPLICATION_LIMITS.default)
    limit.business_requests.count = 3
    rules = RulebookDesk(room.sources)
    room.run(
        rules.publish,
        rulebook_pb2.Rules(application_limits=limit),
        effective=None,
        author="user/a",
        note="fewer",
    )
    holder = room.account()
    done: list[Any] = []

    def begin() -> None:
        try:
            done.append(room.begin(holder))
        except ServiceError as error:
            done.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    errors = [one for one in done if isinstance(one, ServiceError)]
    assert len(done) - len(errors) == 3
    assert {error.reason for error in errors} == {Reason.BUSINESS_TOO_OFTEN}
    assert errors[0].retry_s == pytest.approx(86_400)
    room.now += timedelta(days=1)
    room.allow(holder, room.now, room.now + timedelta(hours=1))
    assert room.begin(holder)


def test_documents_belong_to_drafts_and_supplements(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)

    def add() -> rows.DocumentRow:
        return room.run(room.desk.add_document, business_id, room.stage(holder), caller=holder, kind=2)

    kept = [add() for _ in range(MAX_DOCUMENTS)]
    staged = room.stage(holder)
    error = refused(room, room.desk.add_document, business_id, staged, caller=holder, kind=2)
    assert error.reason is Reason.BUSINESS_TOO_MANY_DOCUMENTS
    room.run(room.desk.remove_document, business_id, kept[0].document_id, caller=holder)
    with pytest.raises(ServiceError) as caught:
        room.read(room.objects.open, kept[0].document_id)
    assert caught.value.reason is Reason.OBJECT_NOT_FOUND
    for document in (kept[0].document_id, room.sources.uuid7()):
        error = refused(room, room.desk.remove_document, business_id, document, caller=holder)
        assert error.reason is Reason.BUSINESS_NOT_FOUND


def test_a_supplement_is_asked_for_given_and_told(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    task = room.task(business_id, holder)
    room.run(room.desk.submit, business_id, caller=holder)
    room.run(room.handler.assigned, task)
    until = to_us(NOON + timedelta(days=3))
    asked = Supplement(ReasonText("PAGE_MISSING", "page 2"), ("articles",), until)
    room.run(room.handler.supplement_asked, task, asked)

    shown = room.read(describe, room.desk, room.get(business_id))
    assert shown.state == pb.BUSINESS_STATE_IN_REVIEW
    assert shown.supplement_until.ToMicroseconds() == until
    assert [(one.code, one.text) for one in shown.reasons] == [
        ("PAGE_MISSING", "page 2"),
        ("PAGE_MISSING", "articles"),
    ]
    room.run(room.desk.add_document, business_id, room.stage(holder), caller=holder, kind=3)
    room.run(room.desk.submit, business_id, caller=holder)
    shown = room.read(describe, room.desk, room.get(business_id))
    assert not shown.HasField("supplement_until")
    assert not shown.reasons
    assert room.reviews.told[-1] == "resubmitted business"

    room.run(room.handler.supplement_asked, task, asked)
    room.run(room.handler.supplement_expired, task)
    shown = room.read(describe, room.desk, room.get(business_id))
    assert shown.state == pb.BUSINESS_STATE_REJECTED
    assert shown.reasons[0].code == "SUPPLEMENT_MISSED"
    with room.store.reading() as connection:
        sent = connection.execute(select(schema.messages.c.template)).scalars().all()
    assert sorted(sent) == ["business_decided", "business_supplement", "business_supplement"]


def test_the_etag_keeps_a_change_from_going_over_another_one(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    seen = etag_of(room.get(business_id))
    room.run(room.desk.edit, business_id, caller=holder, text="second", etag=seen)
    error = refused(room, room.desk.submit, business_id, caller=holder, etag=seen)
    assert error.reason is Reason.ETAG_MISMATCH
    room.run(room.desk.submit, business_id, caller=holder, etag=etag_of(room.get(business_id)))


def test_words_and_reasons_are_nowhere_in_plain_and_go_with_the_person(room: BusinessRoom) -> None:
    holder = room.account()
    row = room.run(room.desk.create, **wanted(holder, text="a-secret-plan"))
    room.run(room.desk.close, row.business_id, caller="user/a", why="a-private-reason")
    with room.store.reading() as connection:
        kept = repr(connection.execute(select(schema.business_requests)).all())
    assert "a-secret-plan" not in kept
    assert "a-private-reason" not in kept
    room.run(forget_person, [SEALED], holder, now_us=to_us(room.now))
    shown = room.read(describe, room.desk, room.get(row.business_id))
    assert (shown.text, list(shown.reasons)) == ("", [])


def test_a_decision_about_who_was_erased_stands(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    task = room.task(business_id, holder)
    room.run(room.desk.submit, business_id, caller=holder)
    room.run(room.handler.assigned, task)
    room.run(forget_person, [SEALED], holder, now_us=to_us(room.now))
    reasons = (ReasonText("NOT_CLEAR", "words"),)
    room.run(room.handler.decided, task, Decision(Outcome.NOT_PASSED, reasons))
    assert room.get(business_id).state == State.REJECTED


def test_a_reviewer_sees_the_material(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    document = room.run(room.desk.add_document, business_id, room.stage(holder), caller=holder, kind=3)
    shown = room.read(room.handler.shown, room.task(business_id, holder))
    assert shown["service"] == "NAME_CHECK"
    assert shown["verification"] == "FACE"
    assert shown["document_1"] == f"ARTICLES {document.document_id}"


def test_a_process_report_is_exact(room: BusinessRoom) -> None:
    holder = room.account()
    lasted = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    for seconds in lasted:
        business_id = room.begin(holder)
        room.now += timedelta(seconds=seconds)
        room.run(room.desk.submit, business_id, caller=holder)
    business_id = room.begin(holder)
    room.run(room.desk.submit, business_id, caller=holder)
    room.run(room.desk.withdraw, business_id, caller=holder)
    end_us = to_us(room.now) + 1

    found = room.read(steps.report_business, start_us=to_us(NOON), end_us=end_us)
    ranked = sorted([*lasted, 0])
    [draft, submitted] = found
    assert (draft.left_state, draft.count, draft.process_version) == (State.DRAFT, 11, 0)
    second = 1_000_000
    assert draft.p50_us == ranked[5] * second  # nearest rank: the 6th of 11
    assert draft.p90_us == ranked[9] * second  # the 10th
    assert draft.p99_us == draft.max_us == 9 * second
    assert (submitted.left_state, submitted.count, submitted.max_us) == (State.SUBMITTED, 1, 0)
    assert room.read(steps.report_business, start_us=end_us, end_us=end_us + 1) == []


@pytest.mark.req("R115")
def test_what_has_begun_keeps_the_version_of_its_process(room: BusinessRoom) -> None:
    holder = room.account()
    before = room.begin(holder)
    rules = rulebook_pb2.Rules(process=RuleKind.PROCESS.default)
    effective = Timestamp()
    effective.FromDatetime(NOON + timedelta(hours=1))
    published = room.run(
        RulebookDesk(room.sources).publish,
        rules,
        effective=effective,
        author="user/the-department",
        note="after the feedback of November",
    )
    assert (published.version, published.author) == (1, "user/the-department")
    assert published.effective_us == to_us(NOON + timedelta(hours=1))
    still = room.begin(holder)
    room.now += timedelta(hours=1)
    after = room.begin(holder)
    room.run(room.desk.submit, before, caller=holder)
    assert [room.get(one).process_version for one in (before, still, after)] == [0, 0, 1]
    found = room.read(steps.report_business, start_us=to_us(NOON), end_us=to_us(room.now) + 1)
    assert [(one.left_state, one.process_version) for one in found] == [(State.DRAFT, 0)]


EVENTS = {
    "edit": Event.EDIT,
    "add": Event.ADD_DOCUMENT,
    "remove": Event.REMOVE_DOCUMENT,
    "submit": Event.SUBMIT,
    "withdraw": Event.WITHDRAW,
    "close": Event.CLOSE,
    "assigned": Event.ASSIGN,
    "ask": Event.ASK,
    "expired": Event.MISS,
    "pass": Event.ACCEPT,
    "fail": Event.REJECT,
    "reopened": Event.REOPEN,
}


ACTIONS = st.lists(st.sampled_from(sorted(EVENTS)), min_size=1, max_size=14)


def act(room: BusinessRoom, action: str, business_id: str, holder: str) -> None:
    desk, handler, task = room.desk, room.handler, room.task(business_id, holder)
    documents = room.read(rows.list_documents, business_id)
    document = documents[0].document_id if documents else room.sources.uuid7()
    reason = ReasonText("CODE", "text")
    calls: dict[str, Callable[[], Any]] = {
        "edit": lambda: room.run(desk.edit, business_id, caller=holder, text="more", etag=""),
        "add": lambda: room.run(desk.add_document, business_id, room.stage(holder), caller=holder, kind=1),
        "remove": lambda: room.run(desk.remove_document, business_id, document, caller=holder),
        "submit": lambda: room.run(desk.submit, business_id, caller=holder),
        "withdraw": lambda: room.run(desk.withdraw, business_id, caller=holder),
        "close": lambda: room.run(desk.close, business_id, caller="user/a", why="asked at the window"),
        "assigned": lambda: room.run(handler.assigned, task),
        "ask": lambda: room.run(
            handler.supplement_asked, task, Supplement(reason, ("item",), to_us(NOON) + 9)
        ),
        "expired": lambda: room.run(handler.supplement_expired, task),
        "pass": lambda: room.run(handler.decided, task, Decision(Outcome.PASSED)),
        "fail": lambda: room.run(handler.decided, task, Decision(Outcome.NOT_PASSED, (reason,))),
        "reopened": lambda: room.run(handler.reopened, task),
    }
    calls[action]()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_what_a_state_does_not_allow_is_refused_and_changes_nothing(
    room: BusinessRoom, actions: list[str]
) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    for action in actions:
        before, dump, told = room.get(business_id), room.dump(), list(room.reviews.told)
        had_document = bool(room.read(rows.list_documents, business_id))
        reason = None
        try:
            act(room, action, business_id, holder)
        except ServiceError as error:
            reason = error.reason
        state, event = state_of(before), EVENTS[action]
        after = room.get(business_id)
        if not MACHINE.allows(state, event):
            assert reason is Reason.BUSINESS_STATE, (state, event)
        elif action == "remove" and not had_document:
            assert reason is Reason.BUSINESS_NOT_FOUND
        else:
            assert reason is None, (state, event)
            assert state_of(after) is MACHINE.after(state, event)
            continue
        assert (after, room.dump(), room.reviews.told) == (before, dump, told)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(
        st.sampled_from(["accept", "decline", "revoke", "resign", "pass"]), min_size=1, max_size=6
    )
)
def test_a_delegation_that_has_ended_stays_so(room: BusinessRoom, actions: list[str]) -> None:
    principal, agent = room.account(), room.account()
    delegation_id = delegate(room, principal, agent, lasts=timedelta(hours=1), accepted=False)
    events = {
        "accept": DelegationEvent.ACCEPT,
        "decline": DelegationEvent.DECLINE,
        "revoke": DelegationEvent.REVOKE,
        "resign": DelegationEvent.REVOKE,
    }
    try:
        for action in actions:
            row = room.read(rows.get_delegation, delegation_id)
            assert row is not None
            state = room.delegations.state_of(row)
            if action == "pass":
                room.now += timedelta(minutes=40)
                continue
            dump, reason = room.dump(), None
            try:
                if action in ("accept", "decline"):
                    room.run(room.delegations.answer, delegation_id, caller=agent, accept=action == "accept")
                else:
                    side = principal if action == "revoke" else agent
                    room.run(room.delegations.revoke, delegation_id, caller=side)
            except ServiceError as error:
                reason = error.reason
            if DELEGATIONS.allows(state, events[action]):
                assert reason is None
            else:
                assert reason is Reason.DELEGATION_STATE
                assert room.dump() == dump
    finally:
        room.now = NOON


def test_a_delegation_has_its_limits(room: BusinessRoom) -> None:
    principal, agent = room.account(), room.account()
    error = refused_call(room, lambda: delegate(room, principal, principal))
    assert error.violations[0].rule == "delegation.self"
    error = refused_call(room, lambda: delegate(room, principal, agent, "NO_SUCH_THING"))
    assert error.reason is Reason.SERVICE_UNKNOWN
    error = refused_call(room, lambda: delegate(room, principal, agent, lasts=timedelta(days=732)))
    assert error.violations[0].rule == "delegation.longest"
    error = refused_call(room, lambda: delegate(room, principal, agent, starts=-timedelta(days=31)))
    assert error.violations[0].rule == "delegation.past"
    error = refused_call(room, lambda: delegate(room, principal, room.sources.uuid7()))
    assert error.reason is Reason.ACCOUNT_NOT_FOUND
    own = delegate(room, principal, agent, accepted=False)
    error = refused(room, room.delegations.answer, own, caller=principal, accept=True)
    assert error.reason is Reason.DELEGATION_NOT_FOUND


def test_every_state_of_the_contract_is_one_of_ours() -> None:
    numbers = {one.number for one in pb.BusinessState.DESCRIPTOR.values if one.number}
    assert {int(state.told) for state in State} == numbers
    numbers = {one.number for one in pb.DelegationState.DESCRIPTOR.values if one.number}
    assert {int(state) for state in DelegationState} == numbers


def test_the_words_of_staff_are_read_by_the_applicant(room: BusinessRoom) -> None:
    holder = room.account()
    business_id = room.begin(holder)
    room.run(room.desk.submit, business_id, caller=holder)
    room.run(room.desk.close, business_id, caller="user/a", why="The account has ended.")
    shown = room.read(describe, room.desk, room.get(business_id))
    assert shown.state == pb.BUSINESS_STATE_WITHDRAWN
    assert [(one.code, one.text) for one in shown.reasons] == [("CLOSED_BY_STAFF", "The account has ended.")]
    assert room.reviews.told == ["open BUSINESS business 4", "withdrawn business"]
    with room.store.reading() as connection:
        callers = connection.execute(text("SELECT caller FROM business_events ORDER BY seq")).scalars()
        assert list(callers) == [holder, holder, "user/a"]
    assert subject_of(business_id) == f"business/{business_id}"
