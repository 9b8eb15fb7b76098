"""What the holder of an account sets: filing permission, identity, number, password."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select

from cloud.accounts.desk import Accounts
from cloud.accounts.filing import judge_filing
from cloud.accounts.states import Event, State
from cloud.sources import to_us
from cloud.store.schema import accounts, audit_events
from tests.integration.test_accounts_registration import centre, fields_of
from tests.integration.test_accounts_sign_in import CHEAP, allow_lookups, ended, login, reason
from tests.support.accounts import (
    PASSWORD,
    SignedIn,
    as_account,
    in_database,
    new_citizen,
    register_request,
    registered,
    sign_in,
)
from tests.support.cloud import FakeClock, RunningCloud, refusal, running_cloud
from tests.support.spool import last_code
from verifield.v1 import account_service_pb2 as pb
from verifield.v1 import audit_pb2, otp_service_pb2
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

NOON = datetime(2031, 3, 4, 12, tzinfo=UTC)
SECOND_PASSWORD = "vier-Lamas-im-Schnee"


@pytest.fixture(scope="module")
def cloud(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url, open_calls_per_minute=100_000, **CHEAP) as running:
        allow_lookups(running, 1000)
        yield running


def call(cloud: RunningCloud, signed_in: SignedIn | None, name: str, request: Any) -> Any:
    with as_account(cloud, signed_in) as stub:
        return getattr(stub(AccountServiceStub), name)(request, timeout=20)


def why(cloud: RunningCloud, signed_in: SignedIn | None, name: str, request: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(cloud, signed_in, name, request)
    return str(refusal(caught.value)[1].reason)


def period(start: datetime, end: datetime, *, allowed: bool = True) -> pb.SetFilingPermissionRequest:
    request = pb.SetFilingPermissionRequest(allowed=allowed)
    request.valid_from.FromDatetime(start)
    request.valid_until.FromDatetime(end)
    return request


def state_of(cloud: RunningCloud, signed_in: SignedIn) -> pb.FilingState.ValueType:
    answer = call(cloud, signed_in, "CheckFilingPermission", pb.CheckFilingPermissionRequest())
    found: pb.FilingState.ValueType = answer.filing.state
    return found


@pytest.mark.req("R025")
def test_filing_is_off_until_the_holder_who_has_just_signed_in_allows_it(
    database_url: str, tmp_path: Any
) -> None:
    clock = FakeClock()
    with running_cloud(tmp_path / "data", database=database_url, clock=clock, **CHEAP) as cloud:
        made = registered(cloud)
        assert state_of(cloud, made) == pb.FILING_STATE_DENIED
        assert not call(cloud, made, "GetProfile", pb.GetProfileRequest()).account.filing.allowed
        now = clock.now()
        request = period(now - timedelta(days=1), now + timedelta(days=1))
        # Nobody else: not without a session, not the staff, not another holder for this account.
        assert why(cloud, None, "SetFilingPermission", request) == "OPERATOR_TOKEN_MISSING"
        with pytest.raises(grpc.RpcError) as caught:
            centre(cloud).SetFilingPermission(request)
        assert refusal(caught.value)[1].reason == "METHOD_CLOSED"
        call(cloud, registered(cloud), "SetFilingPermission", request)
        assert state_of(cloud, made) == pb.FILING_STATE_DENIED
        # Not with a sign-in of eleven minutes ago.
        clock.offset += timedelta(minutes=11)
        assert why(cloud, made, "SetFilingPermission", request) == "SIGN_IN_TOO_OLD"
        fresh = replace(made, token=login(cloud, made.person.phone).session.token)
        answer = call(cloud, fresh, "SetFilingPermission", request)
        assert answer.filing.state == pb.FILING_STATE_ALLOWED == state_of(cloud, made)
        with cloud.database() as connection:
            content = connection.execute(
                select(audit_events.c.content).where(
                    audit_events.c.action == "accounts.set_filing_permission",
                    audit_events.c.subject == f"accounts/{made.account_id}",
                )
            ).scalar_one()
    event = audit_pb2.AuditEvent.FromString(bytes(content))
    facts = {fact.key: fact.value for fact in event.facts}
    assert (event.caller, facts["allowed"]) == (f"account/{made.account_id}", "yes")
    assert facts["valid_until"] == request.valid_until.ToJsonString()


@pytest.mark.req("R026")
def test_a_permission_has_a_time_that_ends_after_it_begins(cloud: RunningCloud) -> None:
    made = registered(cloud)
    only_from = pb.SetFilingPermissionRequest(allowed=True, valid_from=Timestamp(seconds=1))
    only_until = pb.SetFilingPermissionRequest(allowed=True, valid_until=Timestamp(seconds=1))
    for request in (
        pb.SetFilingPermissionRequest(allowed=True),
        only_from,
        only_until,
        period(NOON, NOON - timedelta(microseconds=1)),
        period(NOON, NOON),
        period(NOON, NOON + timedelta(days=1), allowed=False),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(cloud, made, "SetFilingPermission", request)
        code, info, _ = refusal(caught.value)
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert state_of(cloud, made) == pb.FILING_STATE_DENIED
    call(cloud, made, "SetFilingPermission", period(NOON, NOON + timedelta(days=1)))
    profile = call(cloud, made, "GetProfile", pb.GetProfileRequest()).account
    assert profile.filing.valid_from.ToDatetime(UTC) == NOON
    call(cloud, made, "SetFilingPermission", pb.SetFilingPermissionRequest(allowed=False))
    assert not call(cloud, made, "GetProfile", pb.GetProfileRequest()).account.filing.HasField("valid_from")


@pytest.mark.req("R027")
def test_business_proceeds_only_with_yes_and_inside_the_time(cloud: RunningCloud) -> None:
    made = registered(cloud)
    now = cloud.clock.now()
    inside = now - timedelta(hours=1), now + timedelta(hours=1)
    before = now + timedelta(hours=1), now + timedelta(hours=2)
    after = now - timedelta(hours=2), now - timedelta(hours=1)
    for times, expected in (
        (inside, pb.FILING_STATE_ALLOWED),
        (before, pb.FILING_STATE_DENIED),
        (after, pb.FILING_STATE_EXPIRED),
    ):
        call(cloud, made, "SetFilingPermission", period(*times))
        assert state_of(cloud, made) == expected
        status = call(cloud, made, "GetAccountStatus", pb.GetAccountStatusRequest())
        assert status.filing == expected
    # No, inside and outside: the contract takes no time with a no, the rows might hold one.
    for times in (inside, before, after):
        start, end = map(to_us, times)
        with cloud.database() as connection:
            own = accounts.c.account_id == made.account_id
            values = {"filing_allowed": False, "filing_from_us": start, "filing_until_us": end}
            connection.execute(accounts.update().where(own).values(values))
        assert state_of(cloud, made) in {pb.FILING_STATE_DENIED, pb.FILING_STATE_EXPIRED}
        assert state_of(cloud, made) != pb.FILING_STATE_ALLOWED


@pytest.mark.req("R027")
def test_the_time_counts_from_its_first_instant_to_before_its_last(cloud: RunningCloud) -> None:
    made = registered(cloud)
    row = in_database(cloud, lambda connection, room: room.accounts.find(connection, made.account_id))
    start, end = to_us(NOON), to_us(NOON + timedelta(days=1))
    row = replace(row, filing_allowed=True, filing_from_us=start, filing_until_us=end)
    assert [judge_filing(row, at).is_allowed for at in (start - 1, start, end - 1, end)] == [
        False,
        True,
        True,
        False,
    ]
    locked = replace(row, state=int(State.LOCKED))
    assert not judge_filing(locked, start).is_allowed


class Told:
    """A room that is told of changes."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, frozenset[str]]] = []

    def identity_changed(self, connection: Any, account_id: str, fields: frozenset[str]) -> None:
        self.changes.append((account_id, fields))

    def deregistered(self, connection: Any, account_id: str) -> None:
        self.changes.append((account_id, frozenset({"ended"})))


def test_a_new_card_is_kept_and_what_was_verified_is_stale(cloud: RunningCloud) -> None:
    made = registered(cloud)
    before = call(cloud, made, "GetProfile", pb.GetProfileRequest()).account
    request = pb.UpdateIdentityRequest(email="neu@example.org", prefers=pb.CONTACT_CHANNEL_EMAIL)
    answer = call(cloud, made, "UpdateIdentity", request)
    assert (answer.stale, answer.account.email) == (False, "n***@example.org")
    request = pb.UpdateIdentityRequest(etag=before.etag)
    request.validity.valid_from = "2031-01-01"
    request.validity.long_term = True
    assert why(cloud, made, "UpdateIdentity", request) == "ETAG_MISMATCH"
    request.etag = answer.account.etag
    answer = call(cloud, made, "UpdateIdentity", request)
    assert answer.stale
    assert answer.account.validity.valid_from == "2031-01-01"
    contact = in_database(cloud, lambda connection, room: room.accounts.contact(connection, made.account_id))
    assert (contact.email, contact.phone) == ("neu@example.org", made.person.phone)
    elements = in_database(
        cloud, lambda connection, room: room.accounts.elements(connection, made.account_id)
    )
    assert elements.validity.valid_to is None
    assert elements.id_number == made.person.id_number


def test_rooms_are_told_of_changes_in_the_same_transaction(cloud: RunningCloud) -> None:
    made, told = registered(cloud), Told()

    def work(connection: Any, room: Any) -> None:
        desk = Accounts(room.persons, room.sources, [told])
        desk.rebind(connection, made.account_id, new_citizen().phone)
        desk.advance(connection, made.account_id, Event.DEREGISTER)

    in_database(cloud, work)
    assert told.changes == [
        (made.account_id, frozenset({"phone"})),
        (made.account_id, frozenset({"ended"})),
    ]


@pytest.mark.req("R044")
def test_a_draft_takes_another_number_and_goes_on_without_the_rest(cloud: RunningCloud) -> None:
    citizen = new_citizen(phone=new_citizen().phone.replace("+86138", "+86199"))
    with as_account(cloud, None) as stub:
        made = stub(AccountServiceStub).Register(register_request(citizen), timeout=20)
    signed_in = SignedIn(made.account.account_id, made.session.token, citizen)
    with as_account(cloud, signed_in) as stub:
        otp = stub(OtpServiceStub)
        send = otp_service_pb2.SendCodeRequest(purpose=otp_service_pb2.CODE_PURPOSE_REGISTER)
        with pytest.raises(grpc.RpcError) as caught:
            otp.SendCode(send)
        code, info, _ = refusal(caught.value)
        assert (code, info.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "PHONE_SEGMENT_UNSUPPORTED",
        )
        assert info.metadata["segment"] == "199"
        new_phone = new_citizen().phone
        changed = stub(AccountServiceStub).ChangeDraftPhone(pb.ChangeDraftPhoneRequest(phone=new_phone))
        assert changed.account.account_id == signed_in.account_id
        assert changed.account.id_number == made.account.id_number
        sent = otp.SendCode(send)
        otp.VerifyCode(
            otp_service_pb2.VerifyCodeRequest(
                challenge_id=sent.challenge_id, code=last_code(cloud, new_phone)
            )
        )
        status = stub(AccountServiceStub).GetAccountStatus(pb.GetAccountStatusRequest())
        assert status.state == pb.ACCOUNT_STATE_PHONE_VERIFIED
        # Another number has to be verified anew; that of another account is none.
        taken = pb.ChangeDraftPhoneRequest(phone=registered(cloud).person.phone)
        assert why(cloud, signed_in, "ChangeDraftPhone", taken) == "ACCOUNT_PHONE_TAKEN"
        changed = stub(AccountServiceStub).ChangeDraftPhone(
            pb.ChangeDraftPhoneRequest(phone=new_citizen().phone)
        )
        assert changed.account.state == pb.ACCOUNT_STATE_DRAFT


def test_an_active_holder_changes_to_a_number_that_a_code_reaches(cloud: RunningCloud) -> None:
    made = registered(cloud)
    new_phone = new_citizen().phone
    with as_account(cloud, made) as stub:
        sent = stub(OtpServiceStub).SendCode(
            otp_service_pb2.SendCodeRequest(
                purpose=otp_service_pb2.CODE_PURPOSE_REBIND_PHONE, phone=new_phone
            )
        )
    request = pb.ChangePhoneRequest(
        phone=new_citizen().phone, challenge_id=sent.challenge_id, code=last_code(cloud, new_phone)
    )
    assert why(cloud, made, "ChangePhone", request) == "CODE_WRONG"  # of another number
    request.phone = new_phone
    assert call(cloud, made, "ChangePhone", request).account.phone.endswith(new_phone[-4:])
    assert login(cloud, new_phone).account_id == made.account_id
    assert reason(cloud, made.person.phone) == "LOGIN_USER_NOT_FOUND"


@pytest.mark.req("R054")
def test_after_a_reset_the_new_password_counts_and_earlier_sessions_are_over(
    cloud: RunningCloud,
) -> None:
    made = registered(cloud)
    for _ in range(4):
        reason(cloud, made.person.phone, "wrong-wrong")
    request = pb.StartPasswordResetRequest(identifier=made.person.id_number)
    sent = call(cloud, None, "StartPasswordReset", request)
    assert sent.phone.endswith(made.person.phone[-4:])
    assert made.person.phone not in sent.phone
    reset = pb.ResetPasswordRequest(
        identifier=made.person.phone,
        challenge_id=sent.challenge_id,
        code="000000",
        new_password=SECOND_PASSWORD,
    )
    code = last_code(cloud, made.person.phone)
    reset.code = "000000" if code != "000000" else "000001"
    assert why(cloud, None, "ResetPassword", reset) == "CODE_WRONG"
    reset.code = code
    # The code is good for this account alone.
    reset.identifier = registered(cloud).person.phone
    assert why(cloud, None, "ResetPassword", reset) == "CODE_NOT_FOUND"
    reset.identifier = made.person.phone
    assert not ended(cloud, made)
    assert call(cloud, None, "ResetPassword", reset).ended_sessions == 1
    assert ended(cloud, made)
    new = login(cloud, made.person.phone, SECOND_PASSWORD)  # the wait of the wrong ones is over too
    assert new.account_id == made.account_id
    assert reason(cloud, made.person.phone) == "BAD_PASSWORD"  # the old one
    with pytest.raises(grpc.RpcError) as caught:
        login(cloud, made.person.phone, SECOND_PASSWORD[:-1])  # a typo
    _, info, hint = refusal(caught.value)
    assert info.reason == "BAD_PASSWORD"
    assert "check what you typed" in hint
    assert why(cloud, None, "ResetPassword", reset) == "CODE_USED"


def test_a_draft_whose_number_nobody_verified_is_not_opened_by_a_code(cloud: RunningCloud) -> None:
    draft = registered(cloud, state=State.DRAFT)
    request = pb.StartPasswordResetRequest(identifier=draft.person.phone)
    assert why(cloud, None, "StartPasswordReset", request) == "ACCOUNT_NOT_ACTIVE"


def test_the_old_password_gives_a_new_one_and_other_sessions_end(cloud: RunningCloud) -> None:
    made = registered(cloud)
    other = sign_in(cloud, made)
    request = pb.ChangePasswordRequest(old_password="wrong-wrong", new_password=SECOND_PASSWORD)
    assert why(cloud, made, "ChangePassword", request) == "BAD_PASSWORD"
    request.old_password = PASSWORD
    call(cloud, made, "ChangePassword", request)
    assert ended(cloud, other)
    assert not ended(cloud, made)
    assert login(cloud, made.person.phone, SECOND_PASSWORD).account_id == made.account_id
    weak = pb.ChangePasswordRequest(old_password=SECOND_PASSWORD, new_password="abcdefgh")
    with pytest.raises(grpc.RpcError) as caught:
        call(cloud, made, "ChangePassword", weak)
    assert fields_of(caught.value) == ["new_password"]


def test_staff_locks_and_unlocks(cloud: RunningCloud) -> None:
    made, staff = registered(cloud), centre(cloud)
    locked = staff.LockAccount(pb.LockAccountRequest(account_id=made.account_id)).account
    assert locked.state == pb.ACCOUNT_STATE_LOCKED
    assert ended(cloud, made)
    assert reason(cloud, made.person.phone) == "ACCOUNT_LOCKED"
    staff.UnlockAccount(pb.UnlockAccountRequest(account_id=made.account_id))
    assert login(cloud, made.person.phone).account_id == made.account_id
