"""Whose number an account may be given: the carrier is asked where the rules of the day want it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from cloud.accounts.states import State
from tests.integration.test_accounts_registration import centre
from tests.integration.test_accounts_sign_in import CHEAP, login, reason
from tests.integration.test_codes_service import binding, publish
from tests.support.accounts import Citizen, SignedIn, as_account, new_citizen, registered
from tests.support.authorities import running_authorities, somebody
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.spool import last_code
from verifield.v1 import account_service_pb2 as pb
from verifield.v1 import otp_service_pb2, rulebook_pb2
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

ENFORCE, WARN = rulebook_pb2.PHONE_BINDING_ENFORCE, rulebook_pb2.PHONE_BINDING_WARN


def send(cloud: RunningCloud, signed_in: SignedIn, phone: str) -> pb.ChangePhoneRequest:
    request = otp_service_pb2.SendCodeRequest(purpose=otp_service_pb2.CODE_PURPOSE_REBIND_PHONE, phone=phone)
    with as_account(cloud, signed_in) as stub:
        sent = stub(OtpServiceStub).SendCode(request)
    return pb.ChangePhoneRequest(phone=phone, challenge_id=sent.challenge_id, code=last_code(cloud, phone))


def change(cloud: RunningCloud, signed_in: SignedIn, request: pb.ChangePhoneRequest) -> str:
    with as_account(cloud, signed_in) as stub:
        try:
            stub(AccountServiceStub).ChangePhone(request)
        except grpc.RpcError as error:
            return str(refusal(error)[1].reason)
    return ""


def proofs_of(cloud: RunningCloud, account_id: str) -> list[otp_service_pb2.PhoneProof]:
    request = otp_service_pb2.GetPhoneProofsRequest(account_id=account_id)
    return list(cloud.operator.call(cloud.operator.phones.GetPhoneProofs, request).proofs)


def rebind(staff: Any, account_id: str, phone: str) -> str:
    try:
        done = staff.RebindPhone(pb.RebindPhoneRequest(account_id=account_id, phone=phone)).done
    except grpc.RpcError as error:
        return str(refusal(error)[1].reason)
    return "done" if done else "proposed"


def citizen_of(person: Any) -> Citizen:
    return new_citizen(name=person.name, id_number=person.id_number)


@pytest.mark.req("R048")
def test_a_new_number_is_the_holders_own_where_the_rules_want_it(database_url: str, tmp_path: Path) -> None:
    lent, own = "+8613700001111", "+8613700002222"
    holder = somebody(1).but(phones=(own,))
    with (
        running_authorities([holder, somebody(2).but(phones=(lent,))]) as authorities,
        running_cloud(tmp_path / "data", database=database_url, **CHEAP, **authorities.settings) as cloud,
    ):
        made = registered(cloud, citizen_of(holder))
        early = send(cloud, made, lent)  # the rules say OFF
        publish(cloud, binding(ENFORCE))
        assert change(cloud, made, early) == "PHONE_OTHER_HOLDER"
        assert reason(cloud, lent) == "LOGIN_USER_NOT_FOUND"
        assert not proofs_of(cloud, made.account_id)
        request = send(cloud, made, own)
        asked = authorities.asked("carrier")
        wrong = pb.ChangePhoneRequest(
            phone=own, challenge_id="01980000-0000-7000-8000-000000000001", code="123456"
        )
        assert change(cloud, made, wrong) == "CODE_NOT_FOUND"
        assert authorities.asked("carrier") == asked  # nobody is asked about whoever was sent nothing
        assert change(cloud, made, request) == ""
        assert login(cloud, own).account_id == made.account_id
        [proof] = proofs_of(cloud, made.account_id)
        assert proof.method == otp_service_pb2.PHONE_METHOD_CODE
        assert proof.match == otp_service_pb2.PHONE_MATCH_CONSISTENT
        assert proof.evidence_id == request.challenge_id


@pytest.mark.req("R048", "R073")
def test_the_centre_binds_no_number_that_the_carrier_has_under_another_name(
    database_url: str, tmp_path: Path
) -> None:
    lent, own = "+8613700001111", "+8613700002222"
    holder = somebody(1).but(phones=(own,))
    with (
        running_authorities([holder, somebody(2).but(phones=(lent,))]) as authorities,
        running_cloud(tmp_path / "data", database=database_url, **CHEAP, **authorities.settings) as cloud,
    ):
        made = registered(cloud, citizen_of(holder), state=State.SYNCED_INACTIVE)
        first, second = centre(cloud), centre(cloud)
        assert rebind(first, made.account_id, lent) == "proposed"  # the rules say OFF
        publish(cloud, binding(ENFORCE))
        assert rebind(second, made.account_id, lent) == "PHONE_OTHER_HOLDER"
        assert rebind(first, made.account_id, own) == "proposed"
        assert rebind(second, made.account_id, own) == "done"
        [proof] = proofs_of(cloud, made.account_id)
        assert proof.method == otp_service_pb2.PHONE_METHOD_MANUAL
        assert proof.match == otp_service_pb2.PHONE_MATCH_CONSISTENT
        assert (proof.requested_by, proof.confirmed_by) == (
            f"user/{first.person.user.user_id}",
            f"user/{second.person.user.user_id}",
        )
        publish(cloud, binding(WARN))
        assert rebind(first, made.account_id, lent) == "proposed"
        assert rebind(second, made.account_id, lent) == "done"
        assert proofs_of(cloud, made.account_id)[0].match == otp_service_pb2.PHONE_MATCH_INCONSISTENT
