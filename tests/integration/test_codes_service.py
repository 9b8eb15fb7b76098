"""Proving a telephone number through the service: real gRPC, real delivery into the spool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from cloud.accounts.states import State
from tests.support.accounts import Citizen, SignedIn, as_account, new_citizen, registered
from tests.support.authorities import running_authorities, somebody
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.spool import last_code, spooled, wait_for
from verifield.v1 import account_service_pb2 as accounts_pb
from verifield.v1 import otp_service_pb2 as pb
from verifield.v1 import rulebook_pb2, rulebook_service_pb2
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

REGISTER = pb.CODE_PURPOSE_REGISTER


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path) as running:
        yield running


class Holder:
    """Whoever signed in to an account, at the service."""

    def __init__(self, cloud: RunningCloud, signed_in: SignedIn, stubs: Any) -> None:
        self.cloud = cloud
        self.signed_in = signed_in
        self.codes = stubs(OtpServiceStub)
        self.accounts = stubs(AccountServiceStub)

    def send(self, purpose: int = REGISTER, *, language: str = "en", **given: Any) -> pb.SendCodeResponse:
        metadata = (("accept-language", language),)
        return self.codes.SendCode(pb.SendCodeRequest(purpose=purpose, **given), metadata=metadata)

    def verify(self, challenge_id: str, code: str) -> pb.PhoneProof:
        request = pb.VerifyCodeRequest(challenge_id=challenge_id, code=code)
        return self.codes.VerifyCode(request).proof

    def state(self) -> int:
        return self.profile().state

    def profile(self) -> accounts_pb.Account:
        return self.accounts.GetProfile(accounts_pb.GetProfileRequest()).account


@contextmanager
def drafted(
    cloud: RunningCloud, person: Citizen | None = None, *, state: State = State.DRAFT
) -> Iterator[Holder]:
    signed_in = registered(cloud, person, state=state)
    with as_account(cloud, signed_in) as stubs:
        yield Holder(cloud, signed_in, stubs)


@contextmanager
def refused(status: grpc.StatusCode, reason: str, **facts: str) -> Iterator[dict[str, Any]]:
    told: dict[str, Any] = {}
    with pytest.raises(grpc.RpcError) as caught:
        yield told
    code, info, hint = refusal(caught.value)
    assert (code, info.reason) == (status, reason)
    assert dict(info.metadata).items() >= facts.items()
    told.update(hint=hint, metadata=dict(info.metadata))


FAILED = grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.req("R047")
def test_the_right_code_verifies_the_number_and_a_wrong_one_does_not(cloud: RunningCloud) -> None:
    with drafted(cloud) as holder:
        phone = holder.signed_in.person.phone
        sent = holder.send()
        assert sent.retry_after.ToTimedelta() == timedelta(minutes=1)
        assert sent.masked_phone.startswith("+86 138****")
        code = last_code(cloud, phone)
        with refused(FAILED, "CODE_WRONG", forgiven_left="4"):
            holder.verify(sent.challenge_id, f"{(int(code) + 1) % 10**6:06}")
        assert holder.state() == accounts_pb.ACCOUNT_STATE_DRAFT
        proof = holder.verify(sent.challenge_id, code)
        assert (proof.method, proof.evidence_id) == (pb.PHONE_METHOD_CODE, sent.challenge_id)
        assert holder.state() == accounts_pb.ACCOUNT_STATE_PHONE_VERIFIED
        assert holder.codes.ListPhoneProofs(pb.ListPhoneProofsRequest()).proofs == [proof]
        with refused(FAILED, "ACCOUNT_STATE"):  # it is verified already: nothing is sent
            holder.send()
        assert len(spooled(cloud, to=phone)) == 1


def test_when_no_message_comes_the_hint_says_where_to_go_and_how_long_to_wait(cloud: RunningCloud) -> None:
    with drafted(cloud) as holder:
        for language, word in (("zh-CN", "信号良好"), ("es", "cobertura"), ("en", "good signal")):
            if language == "zh-CN":
                assert word in holder.send(language=language).hint
                continue
            with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "SMS_TOO_OFTEN", scope="phone"):
                holder.send(language=language)
        wait_for(cloud, to=holder.signed_in.person.phone)
        # No new code is sent by itself, whatever time passes.
        cloud.clock.offset += timedelta(minutes=4)
        assert len(spooled(cloud, to=holder.signed_in.person.phone)) == 1


@pytest.mark.req("R038")
def test_the_second_send_within_a_minute_is_refused_with_the_time_to_wait(cloud: RunningCloud) -> None:
    with drafted(cloud) as holder:
        holder.send()
        cloud.clock.offset += timedelta(seconds=50)
        with pytest.raises(grpc.RpcError) as caught:
            holder.send()
        assert refusal(caught.value)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = rpc_status.from_call(caught.value)
        retry = RetryInfo()
        assert status is not None
        assert any(detail.Unpack(retry) for detail in status.details)
        assert timedelta() < retry.retry_delay.ToTimedelta() <= timedelta(seconds=10)
        cloud.clock.offset += timedelta(seconds=10)
        holder.send()


def test_a_person_at_a_kiosk_proves_a_number_and_the_kiosk_is_the_source(tmp_path: Path) -> None:
    """Of a phone nothing is asked but that it receives text messages; all else is the device's."""
    limits = {"sms_source_per_minute": 2}
    with running_cloud(tmp_path, **limits) as cloud:
        device = cloud.enroll()
        with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
            stub = OtpServiceStub(channel)
            for number in range(3):
                signed_in = registered(cloud, state=State.DRAFT)
                request = pb.SendCodeRequest(purpose=REGISTER)
                if number == 2:  # an office has its own limit, whoever stands there
                    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "SMS_TOO_OFTEN", scope="source"):
                        stub.SendCode(request, metadata=signed_in.metadata, timeout=20)
                    break
                sent = stub.SendCode(request, metadata=signed_in.metadata, timeout=20)
                code = last_code(cloud, signed_in.person.phone)
                verify = pb.VerifyCodeRequest(challenge_id=sent.challenge_id, code=code)
                answer = stub.VerifyCode(verify, metadata=signed_in.metadata, timeout=20)
                assert answer.proof.method == pb.PHONE_METHOD_CODE
        with drafted(cloud) as elsewhere:
            elsewhere.send()


def test_a_code_of_another_purpose_and_another_person_is_refused(cloud: RunningCloud) -> None:
    with drafted(cloud) as one, drafted(cloud) as other:
        sent = one.send()
        code = last_code(cloud, one.signed_in.person.phone)
        with refused(grpc.StatusCode.NOT_FOUND, "CODE_NOT_FOUND"):
            other.verify(sent.challenge_id, code)
        with refused(FAILED, "ACCOUNT_NOT_ACTIVE"):
            one.send(pb.CODE_PURPOSE_SIGN_CONTRACT, bound=bytes(32))
    with drafted(cloud, state=State.ACTIVE) as active:
        signing = active.send(pb.CODE_PURPOSE_SIGN_CONTRACT, bound=bytes(32))
        with refused(FAILED, "ACCOUNT_STATE"):
            active.verify(signing.challenge_id, last_code(cloud, active.signed_in.person.phone))


@pytest.mark.parametrize(
    "given",
    [
        {"purpose": pb.CODE_PURPOSE_LOGIN},
        {"purpose": REGISTER, "phone": "+8613800000001"},
        {"purpose": pb.CODE_PURPOSE_REBIND_PHONE},
        {"purpose": pb.CODE_PURPOSE_SIGN_CONTRACT},
        {"purpose": pb.CODE_PURPOSE_SIGN_CONTRACT, "bound": b"short"},
        {"purpose": REGISTER, "bound": bytes(32)},
    ],
)
def test_requests_that_make_no_sense_are_refused(cloud: RunningCloud, given: dict[str, Any]) -> None:
    with drafted(cloud) as holder, refused(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID"):
        holder.send(**given)


def test_who_is_active_changes_to_a_number_that_a_code_reached(cloud: RunningCloud) -> None:
    with drafted(cloud, state=State.ACTIVE) as holder:
        new = "+8613912345678"
        sent = holder.send(pb.CODE_PURPOSE_REBIND_PHONE, phone="139 1234 5678")
        request = accounts_pb.ChangePhoneRequest(
            phone=new, challenge_id=sent.challenge_id, code=last_code(cloud, new)
        )
        holder.accounts.ChangePhone(request)
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "PHONE_INVALID"):
            holder.send(pb.CODE_PURPOSE_REBIND_PHONE, phone="12345")


# Segments


def publish(cloud: RunningCloud, rules: rulebook_pb2.Rules, at: datetime | None = None) -> None:
    request = rulebook_service_pb2.PublishRulesRequest(rules=rules, note="a test")
    if at is not None:
        request.effective_time.FromDatetime(at)
    cloud.operator.call(cloud.operator.rules.PublishRules, request)


def ledger_of(cloud: RunningCloud) -> int:
    with cloud.database() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM sms_sends").scalar_one())


@pytest.mark.req("R043", "R044")
def test_segment_199_is_refused_and_the_same_draft_goes_on_with_138(cloud: RunningCloud) -> None:
    with drafted(cloud, new_citizen(phone="+8619912345678")) as holder:
        before = holder.profile()
        with refused(FAILED, "PHONE_SEGMENT_UNSUPPORTED", segment="199") as told:
            holder.send()
        assert set(told["metadata"]["remedies"].split(",")) == {"CHANGE_PHONE", "WAIT_FOR_SEGMENT"}
        assert (ledger_of(cloud), spooled(cloud)) == (0, [])
        holder.accounts.ChangeDraftPhone(accounts_pb.ChangeDraftPhoneRequest(phone="138 9999 0000"))
        sent = holder.send()
        holder.verify(sent.challenge_id, last_code(cloud, "+8613899990000"))
        after = holder.profile()
        assert (before.account_id, after.state) == (
            after.account_id,
            accounts_pb.ACCOUNT_STATE_PHONE_VERIFIED,
        )
        kept = {"name", "masked_id_number", "language", "subject_type", "create_time"}
        known = {field.name for field in accounts_pb.Account.DESCRIPTOR.fields} & kept
        assert known
        assert all(getattr(before, name) == getattr(after, name) for name in known)


# The carrier


def binding(mode: rulebook_pb2.PhoneBinding.ValueType) -> rulebook_pb2.Rules:
    rules = rulebook_pb2.VerificationRules(
        phone_id_binding=mode,
        tries_before_escalation=3,
        face_tries_before_window=3,
    )
    rules.evidence_max_age.FromTimedelta(timedelta(minutes=10))
    rules.recheck_after.FromTimedelta(timedelta(days=365))
    return rulebook_pb2.Rules(verification=rules)


def prove(holder: Holder) -> pb.PhoneProof:
    sent = holder.send()
    return holder.verify(sent.challenge_id, last_code(holder.cloud, holder.signed_in.person.phone))


@pytest.mark.req("R046", "R048")
def test_another_persons_number_passes_off_is_noted_with_warn_and_refused_with_enforce(
    tmp_path: Path,
) -> None:
    one, two, three, own = (somebody(number) for number in range(4))
    people = [one, two, three, own]

    def somebody_elses(person: Any, phone: str) -> Citizen:
        return new_citizen(name=person.name, id_number=person.id_number, phone=phone)

    # Each uses a number that the carrier has under another name.
    lent = [f"+861370000{number:04}" for number in range(3)]
    registers = [*people, somebody(9).but(phones=tuple(lent))]
    with (
        running_authorities(registers) as authorities,
        running_cloud(tmp_path, **authorities.settings) as cloud,
    ):
        with drafted(cloud, somebody_elses(one, lent[0])) as holder:  # as the service comes: OFF
            assert prove(holder).match == pb.PHONE_MATCH_NOT_ASKED
            assert holder.state() == accounts_pb.ACCOUNT_STATE_PHONE_VERIFIED
        assert authorities.asked("carrier") == 0
        publish(cloud, binding(rulebook_pb2.PHONE_BINDING_WARN))
        with drafted(cloud, somebody_elses(two, lent[1])) as holder:
            assert prove(holder).match == pb.PHONE_MATCH_INCONSISTENT
            assert holder.state() == accounts_pb.ACCOUNT_STATE_PHONE_VERIFIED
        publish(cloud, binding(rulebook_pb2.PHONE_BINDING_ENFORCE))
        with drafted(cloud, somebody_elses(three, lent[2])) as holder:
            with refused(FAILED, "PHONE_OTHER_HOLDER"):
                prove(holder)
            assert holder.state() == accounts_pb.ACCOUNT_STATE_DRAFT
        with drafted(cloud, somebody_elses(own, own.phone)) as holder:
            assert prove(holder).match == pb.PHONE_MATCH_CONSISTENT
        before = len(spooled(cloud))
        with (
            drafted(cloud, new_citizen(), state=State.ACTIVE) as holder,
            refused(FAILED, "PHONE_OTHER_HOLDER"),  # nor a new number later
        ):
            holder.send(pb.CODE_PURPOSE_REBIND_PHONE, phone=lent[2])
        assert len(spooled(cloud)) == before


def test_a_carrier_that_is_down_is_noted_with_warn_and_holds_up_with_enforce(tmp_path: Path) -> None:
    with running_authorities([somebody(1)]) as authorities:
        authorities.mode(carrier="down")
        settings = authorities.settings | {"authority_tries": 1}
        with running_cloud(tmp_path, **settings) as cloud:
            publish(cloud, binding(rulebook_pb2.PHONE_BINDING_WARN))
            with drafted(cloud) as holder:
                assert prove(holder).match == pb.PHONE_MATCH_UNKNOWN
            publish(cloud, binding(rulebook_pb2.PHONE_BINDING_ENFORCE))
            with drafted(cloud) as holder:
                sent = holder.send()
                code = last_code(cloud, holder.signed_in.person.phone)
                with pytest.raises(grpc.RpcError) as caught:
                    holder.verify(sent.challenge_id, code)
                assert refusal(caught.value)[0] is grpc.StatusCode.UNAVAILABLE
                # The code was not used up: when the carrier is back, it is taken.
                authorities.well()
                with refused(FAILED, "PHONE_HOLDER_UNKNOWN"):
                    holder.verify(sent.challenge_id, code)


def test_a_number_that_changed_is_another_question_to_the_carrier(tmp_path: Path) -> None:
    """Under the key of the former one the carrier's gateway would answer as before, or refuse."""
    own = somebody(0)
    with (
        running_authorities([own]) as authorities,
        running_cloud(tmp_path, **authorities.settings) as cloud,
    ):
        publish(cloud, binding(rulebook_pb2.PHONE_BINDING_ENFORCE))
        person = new_citizen(name=own.name, id_number=own.id_number, phone=own.phone)
        with drafted(cloud, person) as holder:
            sent = holder.send()
            code = last_code(cloud, own.phone)
            wrong = f"{(int(code) + 1) % 10**6:06}"
            for _ in range(2):
                with refused(FAILED, "CODE_WRONG"):
                    holder.verify(sent.challenge_id, wrong)
            assert (authorities.asked("carrier"), authorities.charged("carrier")) == (2, 1)
            holder.accounts.ChangeDraftPhone(accounts_pb.ChangeDraftPhoneRequest(phone="+8613700008888"))
            with refused(FAILED, "CODE_WRONG"):
                holder.verify(sent.challenge_id, code)


def test_a_wrong_code_asks_no_carrier_about_anybody_who_was_sent_none(tmp_path: Path) -> None:
    with (
        running_authorities([somebody(1)]) as authorities,
        running_cloud(tmp_path, **authorities.settings) as cloud,
    ):
        publish(cloud, binding(rulebook_pb2.PHONE_BINDING_ENFORCE))
        with drafted(cloud) as holder, refused(grpc.StatusCode.NOT_FOUND, "CODE_NOT_FOUND"):
            holder.verify("01980000-0000-7000-8000-000000000001", "123456")
        assert authorities.asked("carrier") == 0


def test_the_staff_see_how_a_number_was_proven(cloud: RunningCloud) -> None:
    with drafted(cloud) as holder:
        prove(holder)
        request = pb.GetPhoneProofsRequest(account_id=holder.signed_in.account_id)
        [proof] = cloud.operator.call(cloud.operator.phones.GetPhoneProofs, request).proofs
        assert proof.masked_phone.endswith(holder.signed_in.person.phone[-4:])
        assert holder.signed_in.person.phone not in proof.masked_phone


@pytest.mark.req("R042")
def test_nothing_that_is_logged_names_codes_or_numbers(cloud: RunningCloud) -> None:
    with drafted(cloud) as holder:
        sent = holder.send()
        code = last_code(cloud, holder.signed_in.person.phone)
        with refused(FAILED, "CODE_WRONG"):
            holder.verify(sent.challenge_id, f"{(int(code) + 1) % 10**6:06}")
        holder.verify(sent.challenge_id, code)
        lines = repr(cloud.log.calls)
        assert "VerifyCode" in lines
        person = holder.signed_in.person
        assert not any(secret in lines for secret in (code, person.phone, person.phone[3:], person.id_number))
