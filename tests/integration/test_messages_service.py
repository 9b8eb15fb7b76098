"""Messages through the whole service: by the preferred way, again after a fault, seen by staff and holder."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from cloud.access.roles import Role
from cloud.accounts.states import State
from cloud.cli import app as commands
from cloud.messages.outbox import Messages
from cloud.messages.spool import FileSpool, drop_erased
from cloud.messages.templates import Template, Text
from tests.support.accounts import SignedIn, as_account, in_database, new_citizen, registered
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.gateways import free_port, running_mail_server, running_sms_gateway
from tests.support.people import add_person, channel_of
from tests.support.spool import wait_for
from verifield.v1 import account_service_pb2, otp_service_pb2
from verifield.v1 import message_service_pb2 as pb
from verifield.v1.message_service_pb2_grpc import MessageServiceStub
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub

NEWS = Template(
    "test_decision",
    zh=Text("关于 {title}", "您好，{title} 已通过。"),
    en=Text("About {title}", "{title} has passed."),
    es=Text("Sobre {title}", "{title} ha sido aprobado."),
)


def notify(cloud: RunningCloud, signed_in: SignedIn, title: str = "A") -> str:
    """What a room does in the transaction of a decision."""

    def work(connection: Any, room: Any) -> str | None:
        contact = room.accounts.contact(connection, signed_in.account_id)
        messages = Messages(room.persons, room.sources)
        return messages.notify(
            connection,
            template=NEWS,
            person_id=signed_in.account_id,
            contact=contact,
            values={"title": title},
        )

    message_id = in_database(cloud, work)
    assert message_id is not None
    return message_id


def message_of(cloud: RunningCloud, message_id: str) -> pb.SentMessage:
    request = pb.GetMessageRequest(message_id=message_id)
    return cloud.operator.call(cloud.operator.messages.GetMessage, request).message


def until(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


@contextmanager
def refused(status: grpc.StatusCode, reason: str) -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as caught:
        yield
    code, info, _ = refusal(caught.value)
    assert (code, info.reason) == (status, reason)


@pytest.mark.req("R098")
def test_each_is_told_once_by_preference_again_after_a_fault_and_it_is_seen(tmp_path: Path) -> None:
    with (
        running_sms_gateway() as sms,
        running_mail_server() as mail,
        running_cloud(tmp_path, **sms.settings, **mail.settings) as cloud,
    ):
        sms.answers, mail.answers = [503], ["451 4.3.0 try later"]
        by_sms = registered(cloud, new_citizen(email="li.na@example.org"), language="zh")
        by_mail = registered(
            cloud,
            new_citizen(email="zhang.wei@example.org"),
            prefers=account_service_pb2.CONTACT_CHANNEL_EMAIL,
            language="es",
        )
        first, second = notify(cloud, by_sms, "申请 1"), notify(cloud, by_mail, "Solicitud 2")
        for message_id, mask in ((first, "*"), (second, "z***@example.org")):
            until(lambda: message_of(cloud, message_id).fault == "BUSY")  # noqa: B023 (waits here)
            seen = message_of(cloud, message_id)
            assert seen.state == pb.MESSAGE_STATE_QUEUED
            assert mask in seen.masked_address
            assert seen.HasField("next_attempt_time")
        cloud.clock.offset += timedelta(seconds=30)
        for message_id in (first, second):
            until(lambda: message_of(cloud, message_id).state == pb.MESSAGE_STATE_DELIVERED)  # noqa: B023
            assert message_of(cloud, message_id).attempts == 2
        # One message each, by the way that each prefers, and in each one's language.
        assert sms.ids() == [first]
        assert [one.json["text"] for one in sms.requests] == ["您好，申请 1 已通过。"] * 2
        assert sms.requests[0].json["to"] == by_sms.person.phone
        assert mail.ids() == [second]
        assert mail.attempts == [second] * 2
        assert mail.mails[0]["To"] == "zhang.wei@example.org"
        assert mail.mails[0].get_content().strip() == "Solicitud 2 ha sido aprobado."
        # The holder sees own ones, and no others.
        for signed_in, message_id in ((by_sms, first), (by_mail, second)):
            with as_account(cloud, signed_in) as stubs:
                own = stubs(MessageServiceStub).ListOwnMessages(pb.ListOwnMessagesRequest()).messages
            assert [(one.message_id, one.state) for one in own] == [(message_id, pb.MESSAGE_STATE_DELIVERED)]
        lines = repr(cloud.log.calls)
        for secret in (by_sms.person.phone, by_sms.person.phone[3:], "zhang.wei", "申请 1", "Solicitud 2"):
            assert secret not in lines


def test_staff_take_up_what_was_given_up_and_never_what_expired(tmp_path: Path) -> None:
    with running_sms_gateway() as sms, running_cloud(tmp_path, **sms.settings) as cloud:
        sms.answers = [400, 400]
        signed_in = registered(cloud, state=State.DRAFT)
        message_id = notify(cloud, signed_in)
        with as_account(cloud, signed_in) as stubs:
            stubs(OtpServiceStub).SendCode(
                otp_service_pb2.SendCodeRequest(purpose=otp_service_pb2.CODE_PURPOSE_REGISTER)
            )
        failed = pb.ListMessagesRequest(state=pb.MESSAGE_STATE_FAILED)
        operator = cloud.operator
        until(lambda: len(operator.call(operator.messages.ListMessages, failed).messages) == 2)
        found = operator.call(operator.messages.ListMessages, failed).messages
        assert {(one.template, one.fault) for one in found} == {
            ("test_decision", "REFUSED"),
            ("code_register", "REFUSED"),
        }
        [code] = [one for one in found if one.template == "code_register"]
        clerk = add_person(cloud, "clerk", Role.INFORMATION_CENTRE)
        auditor = add_person(cloud, "auditor", Role.AUDITOR)
        with channel_of(cloud, auditor) as channel:  # sees all, changes nothing
            stub = MessageServiceStub(channel)
            assert len(stub.ListMessages(failed, timeout=20).messages) == 2
            with refused(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING"):
                stub.RetryMessage(pb.RetryMessageRequest(message_id=message_id), timeout=20)
        with channel_of(cloud, clerk) as channel:
            stub = MessageServiceStub(channel)
            with refused(grpc.StatusCode.FAILED_PRECONDITION, "MESSAGE_EXPIRED"):
                stub.RetryMessage(pb.RetryMessageRequest(message_id=code.message_id), timeout=20)
            again = pb.RetryMessageRequest(request_id=str(uuid.uuid4()), message_id=message_id)
            answer = stub.RetryMessage(again, timeout=20)
            assert answer.message.state == pb.MESSAGE_STATE_QUEUED
            assert answer.message.masked_address.endswith(signed_in.person.phone[-4:])
            until(lambda: message_of(cloud, message_id).state == pb.MESSAGE_STATE_DELIVERED)
            with refused(grpc.StatusCode.FAILED_PRECONDITION, "MESSAGE_STATE"):
                stub.RetryMessage(pb.RetryMessageRequest(message_id=message_id), timeout=20)
            with refused(grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND"):
                stub.GetMessage(pb.GetMessageRequest(message_id=signed_in.account_id), timeout=20)
            assert stub.RetryMessage(again, timeout=20) == answer  # asked once more, answered as then
            erased = CliRunner().invoke(
                commands, ["persons", "erase", signed_in.account_id, "--yes", "--data", str(cloud.data)]
            )
            assert erased.exit_code == 0, erased.output
            assert stub.RetryMessage(again, timeout=20).message.masked_address == ""


def test_lists_go_page_by_page_newest_first(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        one, other = registered(cloud), registered(cloud)
        ids = [notify(cloud, one, str(number)) for number in range(7)]
        notify(cloud, other)
        wait_for(cloud, 8)
        request = pb.ListMessagesRequest(page_size=3, account_id=one.account_id)
        operator = cloud.operator
        pages = list(operator.pages(operator.messages.ListMessages, request))
        assert [len(page.messages) for page in pages] == [3, 3, 1]
        found = [message.message_id for page in pages for message in page.messages]
        assert found == sorted(ids, reverse=True)
        with as_account(cloud, other) as stubs:
            stub = stubs(MessageServiceStub)
            assert len(stub.ListOwnMessages(pb.ListOwnMessagesRequest()).messages) == 1
            token = operator.call(operator.messages.ListMessages, pb.ListMessagesRequest(page_size=3))
            with refused(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
                stub.ListOwnMessages(pb.ListOwnMessagesRequest(page_token=token.next_page_token))


def run(cloud: RunningCloud, *arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(commands, [*arguments, "--data", str(cloud.data), "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_the_commands_show_and_retry(tmp_path: Path) -> None:
    settings = {"sms_url": f"http://127.0.0.1:{free_port()}/", "sms_timeout_s": 1.0}
    with running_cloud(tmp_path, **settings) as cloud:
        signed_in = registered(cloud)
        message_id = notify(cloud, signed_in)
        until(lambda: message_of(cloud, message_id).fault == "UNREACHABLE")
        code, listed = run(cloud, "messages", "list", "--state", "queued", "--account", signed_in.account_id)
        assert code == 0
        [row] = listed["messages"]
        assert (row["message_id"], row["channel"], row["fault"]) == (message_id, "SMS", "UNREACHABLE")
        assert signed_in.person.phone not in repr(listed)
        code, shown = run(cloud, "messages", "show", message_id)
        assert (code, shown["state"]) == (0, "QUEUED")
        code, error = run(cloud, "messages", "retry", message_id)
        assert (code, error["error"]["code"]) == (6, "MESSAGE_STATE")
        plain = CliRunner().invoke(commands, ["messages", "list", "--data", str(cloud.data)])
        assert message_id in plain.stdout
        code, proofs = run(cloud, "phones", "show", signed_in.account_id)
        assert (code, proofs) == (0, {"proofs": []})
        wrong = CliRunner().invoke(commands, ["messages", "list", "--state", "lost"])
        assert wrong.exit_code == 2


def test_of_who_was_erased_no_file_is_left_in_the_place_of_a_gateway(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        gone, stays = registered(cloud), registered(cloud)
        message_id, other = notify(cloud, gone), notify(cloud, stays)
        wait_for(cloud, 2, template=NEWS.name)
        spool = cloud.data / "spool"
        killed = spool / f".{message_id}.json.x"  # of a server that was killed while it wrote
        killed.write_bytes((spool / f"{message_id}.json").read_bytes())
        erase = ["persons", "erase", gone.account_id, "--yes", "--data", str(cloud.data)]
        assert CliRunner().invoke(commands, erase).exit_code == 0
        assert not [path for path in spool.iterdir() if message_id in path.name]
        assert (spool / f"{other}.json").exists()
        # Of a server that sent while the person was erased, or has a folder of its own:
        (spool / f"{message_id}.json").write_text("{}")
        assert in_database(cloud, lambda connection, _room: drop_erased(connection, FileSpool(spool))) == 1
        assert (spool / f"{other}.json").exists()
