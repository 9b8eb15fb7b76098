"""Who applied is told of the result, once, the way that is preferred: by real servers of both kinds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.accounts import new_citizen
from tests.support.certifications import certifying
from tests.support.cloud import running_cloud
from tests.support.gateways import running_mail_server, running_sms_gateway
from verifield.v1 import account_service_pb2
from verifield.v1 import message_service_pb2 as pb
from verifield.v1.message_service_pb2_grpc import MessageServiceStub

WAIT_S = 40.0


@pytest.mark.req("R098")
def test_one_message_of_a_result_by_the_way_that_is_preferred(tmp_path: Path) -> None:
    with (
        running_sms_gateway() as sms,
        running_mail_server() as mail,
        running_cloud(tmp_path, **sms.settings, **mail.settings) as cloud,
        certifying(cloud) as office,
    ):
        by_sms = office.applicant(person=new_citizen(email="one@example.org"), language="en")
        by_mail = office.applicant(
            person=new_citizen(email="two@example.org"),
            language="en",
            prefers=account_service_pb2.CONTACT_CHANNEL_EMAIL,
        )
        passed, failed = by_sms.submitted(), by_mail.submitted()
        sms.answers, mail.answers = [503], ["451 4.3.0 try later"]
        office.decide(passed)
        office.reject(failed)

        def states(account_id: str) -> dict[str, int]:
            request = pb.ListMessagesRequest(account_id=account_id)
            with cloud.public_channel() as channel:
                token = (cloud.data / "operator.token").read_text().strip()
                answer = MessageServiceStub(channel).ListMessages(
                    request, metadata=(("authorization", f"Bearer {token}"),), timeout=20
                )
            return {one.template: one.state for one in answer.messages}

        expected = [
            {
                "certification_submitted": pb.MESSAGE_STATE_DELIVERED,
                f"certification_{outcome}": pb.MESSAGE_STATE_DELIVERED,
            }
            for outcome in ("passed", "not_passed")
        ]
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            found = [states(by_sms.account_id), states(by_mail.account_id)]
            if found == expected:
                break
            time.sleep(0.2)
        assert found == expected
        assert len(sms.ids()) == 2
        assert len(sms.requests) == 3  # one was refused, and came again with the same id
        told = [one for one in mail.mails if one["To"] == "two@example.org"]
        assert sorted(str(one["Subject"]) for one in told) == [
            "Application received",
            "Certification not passed",
        ]
        assert not any(one["To"] == "one@example.org" for one in mail.mails)
