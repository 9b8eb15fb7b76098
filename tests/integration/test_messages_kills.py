"""kill -9 between commit and delivery, and in the middle of a delivery: nothing promised is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from cloud.accounts.states import State
from tests.support.accounts import SignedIn, as_account, registered
from tests.support.cloud import RunningCloud
from tests.support.cloud_process import begin, ready
from tests.support.gateways import SmsGateway, free_port, running_sms_gateway
from verifield.v1 import account_service_pb2
from verifield.v1 import otp_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

# So that leases end soon: ten seconds after the longest attempt.
QUICK = {"sms_timeout_s": "1", "mail_timeout_s": "1"}


def until(condition: Callable[[], bool], *, within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


def send(cloud: RunningCloud, holder: SignedIn) -> pb.SendCodeResponse:
    with as_account(cloud, holder) as stubs:
        request = pb.SendCodeRequest(purpose=pb.CODE_PURPOSE_REGISTER)
        answer: pb.SendCodeResponse = stubs(OtpServiceStub).SendCode(request)
        return answer


def code_in(gateway: SmsGateway, phone: str) -> str:
    [text] = {one.json["text"] for one in gateway.requests if one.json["to"] == phone}
    return next(word for word in text.replace(",", " ").split() if word.isdigit() and len(word) == 6)


def verified(cloud: RunningCloud, holder: SignedIn, challenge_id: str, code: str) -> bool:
    with as_account(cloud, holder) as stubs:
        stubs(OtpServiceStub).VerifyCode(pb.VerifyCodeRequest(challenge_id=challenge_id, code=code))
        profile = stubs(AccountServiceStub).GetProfile(account_service_pb2.GetProfileRequest())
        return bool(profile.account.state == account_service_pb2.ACCOUNT_STATE_PHONE_VERIFIED)


def test_a_code_survives_the_death_of_the_service_before_and_during_its_delivery(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_sms_gateway() as gateway:
        # Committed, and nobody to take it: then the service is gone.
        away = QUICK | {"sms_url": f"http://127.0.0.1:{free_port()}/send"}
        with ready(begin(data, away), data) as served:
            first = registered(served.cloud, state=State.DRAFT, language="en")
            first_sent = send(served.cloud, first)
            served.kill()
        # The next one is killed while the gateway has the message and has not said so.
        gateway.answers = ["hang"] * 20
        gateway.hang_s = 60
        there = QUICK | {"sms_url": f"{gateway.url}/send", "sms_timeout_s": "3"}
        with ready(begin(data, there), data) as served:
            second = registered(served.cloud, state=State.DRAFT, language="en")
            second_sent = send(served.cloud, second)
            until(lambda: {one.json["to"] for one in gateway.requests} >= {second.person.phone})
            served.kill()
        gateway.answers.clear()
        before = len(gateway.requests)
        with ready(begin(data, QUICK | {"sms_url": f"{gateway.url}/send"}), data) as served:
            phones = {first.person.phone, second.person.phone}
            until(lambda: {one.json["to"] for one in gateway.requests[before:]} >= phones)
            # The repeat has the id of the first attempt, and both codes are good.
            for phone in phones:
                keys = [one.headers["idempotency-key"] for one in gateway.requests if one.json["to"] == phone]
                assert len(set(keys)) == 1
            for holder, sent in ((first, first_sent), (second, second_sent)):
                code = code_in(gateway, holder.person.phone)
                assert verified(served.cloud, holder, sent.challenge_id, code)
