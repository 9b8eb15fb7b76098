"""From registering to an active account over gRPC alone: each way there, and any steps against a model."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.accounts import Citizen, SignedIn, as_account, register_request
from tests.support.authorities import Somebody, face_of, somebody
from tests.support.cloud import refusal
from tests.support.identity import Holder, IdentityRoom, manual_request, running_identity
from tests.support.people import Person
from tests.support.spool import last_code
from verifield.v1 import account_service_pb2, otp_service_pb2
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

OTHER_FACE = face_of("grace_hopper")
QUICK: dict[str, Any] = {
    "password_memory_kib": 8,
    "password_passes": 1,
    "password_lanes": 1,
    "open_calls_per_minute": 100_000,
    "account_calls_per_minute": 100_000,
    "sms_source_per_minute": 10_000,
    "sms_source_per_hour": 10_000,
    "sms_source_per_day": 10_000,
    "authority_tries": 2,
}
CLERK = somebody(4)
NUMBERS = itertools.count(5000)
FAULTS = {
    "busy": "AUTHORITY_BUSY",
    "system_error": "REALNAME_SYSTEM_ERROR",
    "garbage": "REALNAME_SYSTEM_ERROR",
    "down": "REALNAME_SYSTEM_ERROR",
}


@dataclass
class Registered:
    """Somebody who has registered over the open port, and was sent a code."""

    holder: Holder
    challenge_id: str
    code: str

    def take_code(self, code: str) -> str:
        """Give a code back; the reason of a refusal, or nothing."""
        request = otp_service_pb2.VerifyCodeRequest(challenge_id=self.challenge_id, code=code)
        with as_account(self.holder.room.cloud, self.holder.signed_in) as stub:
            return reason_of(lambda: stub(OtpServiceStub).VerifyCode(request))

    def account(self) -> account_service_pb2.Account:
        with as_account(self.holder.room.cloud, self.holder.signed_in) as stub:
            request = account_service_pb2.GetProfileRequest()
            account: account_service_pb2.Account = stub(AccountServiceStub).GetProfile(request).account
        return account


def register(room: IdentityRoom, person: Somebody) -> Registered:
    """Register, and have a code sent; everything as an application would."""
    citizen = Citizen(person.name, person.id_number, person.phone, person.elements.validity)
    with as_account(room.cloud, None) as stub:
        made = stub(AccountServiceStub).Register(register_request(citizen))
    signed_in = SignedIn(made.account.account_id, made.session.token, citizen)
    with as_account(room.cloud, signed_in) as stub:
        wanted = otp_service_pb2.SendCodeRequest(purpose=otp_service_pb2.CODE_PURPOSE_REGISTER)
        sent = stub(OtpServiceStub).SendCode(wanted)
    return Registered(
        Holder(room, signed_in, citizen), sent.challenge_id, last_code(room.cloud, citizen.phone)
    )


def reason_of(call: Callable[[], Any]) -> str:
    """Why a call is refused; empty where it is not."""
    try:
        call()
    except grpc.RpcError as error:
        return str(refusal(error)[1].reason)
    return ""


def start_ctid(holder: Holder) -> tuple[str, str]:
    """The verification that begins, and the transaction behind its link."""
    started = holder.call("StartCtid", pb.StartCtidRequest())
    return started.verification.verification_id, started.link.rpartition("/")[2]


def finish_ctid(holder: Holder, verification_id: str) -> pb.Verification:
    return holder.call("FinishCtid", pb.FinishCtidRequest(verification_id=verification_id)).verification


@contextmanager
def open_room(data: Path, *people: Somebody, **more: Any) -> Iterator[IdentityRoom]:
    with running_identity(data, *people, **QUICK, **more) as room:
        yield room


@pytest.mark.req("R021")
def test_from_nothing_to_active_without_a_visit_and_without_a_role(tmp_path: Path, database_url: str) -> None:
    person = somebody(1)
    with open_room(tmp_path, person, database=database_url) as room:
        me = register(room, person)
        assert me.account().state == account_service_pb2.ACCOUNT_STATE_DRAFT
        assert me.holder.elements_refused().reason == "ACCOUNT_STATE"  # the telephone number first
        assert me.take_code(me.code) == ""
        assert me.holder.verify_elements().state == pb.VERIFICATION_STATE_PASSED
        assert me.account().next_step == account_service_pb2.NEXT_STEP_VERIFY_FACE
        assert me.holder.verify_face().state == pb.VERIFICATION_STATE_PASSED
        assert me.account().state == account_service_pb2.ACCOUNT_STATE_ACTIVE
        identity = me.holder.identity()
        assert (identity.state, identity.method) == (pb.IDENTITY_STATE_VERIFIED, pb.VERIFICATION_METHOD_FACE)
        assert [one["call"] for one in room.authorities.journal()] == ["elements", "face"]
        logged = repr(room.cloud.log.calls)
        assert "VerifyFourElements" in logged
        assert not any(value in logged for value in (person.name, person.id_number, person.phone))


@pytest.mark.req("R077")
def test_while_the_registry_is_away_the_network_certificate_leads_there(
    tmp_path: Path, database_url: str
) -> None:
    person = somebody(2)
    with open_room(tmp_path, person, database=database_url) as room:
        me = register(room, person)
        assert me.take_code(me.code) == ""
        room.authorities.mode(registry="busy")
        assert me.holder.elements_refused().reason == "AUTHORITY_BUSY"
        verification_id, transaction = start_ctid(me.holder)
        assert finish_ctid(me.holder, verification_id).state == pb.VERIFICATION_STATE_PENDING
        room.authorities.act(transaction)
        assert finish_ctid(me.holder, verification_id).state == pb.VERIFICATION_STATE_PASSED
        identity = me.holder.identity()
        assert (identity.state, identity.method) == (pb.IDENTITY_STATE_VERIFIED, pb.VERIFICATION_METHOD_CTID)
        assert me.account().state == account_service_pb2.ACCOUNT_STATE_ACTIVE


def test_where_nothing_answers_somebody_at_a_window_leads_there(tmp_path: Path, database_url: str) -> None:
    person = somebody(3)
    with open_room(tmp_path, person, database=database_url) as room:
        me = register(room, person)
        assert me.take_code(me.code) == ""
        for authority in ("registry", "ctid"):
            room.authorities.mode(**{authority: "down"})
        assert me.holder.elements_refused().reason == "REALNAME_SYSTEM_ERROR"
        assert me.holder.refused("StartCtid", pb.StartCtidRequest()).reason == "REALNAME_SYSTEM_ERROR"
        clerk = room.staff("clerk", id_number=CLERK.id_number)
        request = manual_request(me.holder.account_id, reason=pb.MANUAL_REASON_AUTHORITY_AWAY)
        room.as_staff(clerk, "RecordManualVerification", request)
        identity = me.holder.identity()
        assert (identity.state, identity.mark) == (
            pb.IDENTITY_STATE_VERIFIED,
            pb.VERIFICATION_MARK_MANUAL_VERIFIED,
        )
        assert me.account().state == account_service_pb2.ACCOUNT_STATE_ACTIVE


DRAFT = account_service_pb2.ACCOUNT_STATE_DRAFT
PHONE = account_service_pb2.ACCOUNT_STATE_PHONE_VERIFIED
ELEMENTS = account_service_pb2.ACCOUNT_STATE_ELEMENTS_VERIFIED
ACTIVE = account_service_pb2.ACCOUNT_STATE_ACTIVE


class Journey(RuleBasedStateMachine):
    """One person's way, in any order, with authorities that come and go; beside it what must be the case."""

    room: ClassVar[IdentityRoom]
    clerk: ClassVar[Person]

    def __init__(self) -> None:
        super().__init__()
        self.room.authorities.well()
        self.state = DRAFT
        self.elements_known = False
        self.method = 0
        self.wrong_codes = 0
        self.modes = {"registry": "ok", "ctid": "ok"}
        self.ctid: tuple[str, str] | None = None
        self.acted = ""

    @initialize(proven=st.booleans())
    def register(self, proven: bool) -> None:
        self.person = somebody(next(NUMBERS))
        self.room.authorities.add(self.person)
        self.me = register(self.room, self.person)
        if proven:
            self.right_code()

    def fault(self, authority: str) -> str:
        return FAULTS.get(self.modes[authority], "")

    def verified(self, method: int) -> None:
        self.state, self.method = ACTIVE, method

    @rule(authority=st.sampled_from(["registry", "ctid"]), mode=st.sampled_from(["ok", "ok", *FAULTS]))
    def authority_changes(self, authority: str, mode: str) -> None:
        self.modes[authority] = mode
        self.room.authorities.mode(**{authority: mode})

    @rule()
    def right_code(self) -> None:
        told = self.me.take_code(self.me.code)
        if self.state == DRAFT:
            assert told == ""
            self.state = PHONE
        else:
            assert told in {"CODE_USED", "ACCOUNT_STATE"}

    @precondition(lambda self: self.wrong_codes < 4)
    @rule()
    def wrong_code(self) -> None:
        wrong = f"{(int(self.me.code) + 1) % 10**6:06d}"
        told = self.me.take_code(wrong)
        self.wrong_codes += 1
        assert told == "CODE_WRONG" if self.state == DRAFT else told in {"CODE_USED", "ACCOUNT_STATE"}

    @rule(wrong=st.booleans())
    def four_elements(self, wrong: bool) -> None:
        given = replace(self.person.elements, name="测试错") if wrong else None
        told = reason_of(lambda: self.me.holder.verify_elements(given))
        if self.state == DRAFT:
            assert told == "ACCOUNT_STATE"
        elif wrong and self.state != PHONE:
            assert told == "VERIFICATION_STATE"
        elif self.fault("registry"):
            assert told == self.fault("registry")
        elif wrong:
            assert told == "VERIFICATION_DATA_MISSING"
        else:
            assert told == ""
            self.elements_known = True
            self.state = ELEMENTS if self.state == PHONE else self.state

    @rule(other=st.booleans())
    def face(self, other: bool) -> None:
        seen = self.me.holder.seen(picture=OTHER_FACE) if other else None
        told = reason_of(lambda: self.me.holder.verify_face(seen))
        if self.state == DRAFT:
            assert told == "ACCOUNT_STATE"
        elif not self.elements_known:
            assert told == "ELEMENTS_REQUIRED"
        elif self.fault("registry"):
            assert told == self.fault("registry")
        elif other:
            assert told == "FACE_MISMATCH"
        else:
            assert told == ""
            self.verified(pb.VERIFICATION_METHOD_FACE)

    @rule()
    def network_certificate_begins(self) -> None:
        begun: list[tuple[str, str]] = []
        told = reason_of(lambda: begun.append(start_ctid(self.me.holder)))
        if self.state == DRAFT:
            assert told == "ACCOUNT_STATE"
            return
        self.ctid, self.acted = None, ""  # one that waited has ended
        if self.fault("ctid"):
            assert told == self.fault("ctid")
        else:
            assert told == ""
            [self.ctid] = begun

    @precondition(lambda self: self.ctid and not self.acted)
    @rule(act=st.sampled_from(["approve", "refuse"]))
    def person_acts(self, act: str) -> None:
        assert self.ctid is not None
        self.room.authorities.act(self.ctid[1], act)
        self.acted = act

    @precondition(lambda self: self.ctid)
    @rule()
    def network_certificate_ends(self) -> None:
        assert self.ctid is not None
        verification_id = self.ctid[0]
        found: list[pb.Verification] = []
        told = reason_of(lambda: found.append(finish_ctid(self.me.holder, verification_id)))
        if self.fault("ctid"):
            assert told == self.fault("ctid")  # the person may answer yet
        elif self.acted == "refuse":
            assert told == "CTID_REFUSED"
            self.ctid = None
        elif self.acted == "approve":
            assert found[0].state == pb.VERIFICATION_STATE_PASSED
            self.verified(pb.VERIFICATION_METHOD_CTID)
            self.ctid = None
        else:
            assert found[0].state == pb.VERIFICATION_STATE_PENDING

    @rule()
    def somebody_at_a_window(self) -> None:
        request = manual_request(self.me.holder.account_id)
        told = reason_of(lambda: self.room.as_staff(self.clerk, "RecordManualVerification", request))
        if self.state == DRAFT:
            assert told == "ACCOUNT_STATE"
        else:
            assert told == ""
            self.verified(pb.VERIFICATION_METHOD_MANUAL)

    @invariant()
    def stands_as_it_must(self) -> None:
        if not hasattr(self, "me"):
            return
        assert self.me.account().state == self.state
        identity = self.me.holder.identity()
        assert identity.method == self.method
        if self.method:
            assert identity.state == pb.IDENTITY_STATE_VERIFIED
        elif self.elements_known:
            assert identity.state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED
        else:
            assert identity.state == pb.IDENTITY_STATE_UNVERIFIED


Journey.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=16,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class TestJourneys(Journey.TestCase):
    """Against one service, which sees one person after the other."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = ExitStack()
        folder = cls.stack.enter_context(tempfile.TemporaryDirectory())
        Journey.room = cls.stack.enter_context(open_room(Path(folder) / "data"))
        Journey.clerk = Journey.room.staff("clerk", id_number=CLERK.id_number)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.stack.close()
