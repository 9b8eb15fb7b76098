"""Ways out: requests to a real HTTP server, mail to a real mail server, files; and how each one fails."""

from __future__ import annotations

import json
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cloud.config import Config
from cloud.errors import SetupError
from cloud.messages.ports import DeliveryError, Fault, Gateway, Outgoing
from cloud.messages.smtp import compose
from cloud.messages.spool import FileSpool
from cloud.messages.values import Channel
from cloud.messages.ways import open_ways
from tests.support.gateways import (
    free_port,
    running_mail_server,
    running_sms_gateway,
    server_context,
    talking,
)

ID = "01980000-0000-7000-8000-00000000000a"
TRICKY = 'Ihr "Code" \\ 123456 & <b>{phone}</b> 验证码\n'


def outgoing(**changes: Any) -> Outgoing:
    values: dict[str, Any] = {
        "message_id": ID,
        "channel": Channel.SMS,
        "template": "code_register",
        "language": "zh",
        "address": "+8613800001234",
        "subject": "验证码",
        "body": TRICKY,
        "values": {"code": "123456"},
    }
    return Outgoing(**(values | changes))


def mail_to(address: str = "zhang@example.org", **changes: Any) -> Outgoing:
    return outgoing(channel=Channel.EMAIL, address=address, body="您的申请已通过。", **changes)


def sms_way(tmp_path: Path, **settings: Any) -> Gateway:
    return open_ways(Config(data=tmp_path, **settings)).gateways[Channel.SMS]


def mail_way(tmp_path: Path, **settings: Any) -> Gateway:
    return open_ways(Config(data=tmp_path, **settings)).gateways[Channel.EMAIL]


def fault_of(way: Gateway, message: Outgoing) -> tuple[Fault, bool]:
    with pytest.raises(DeliveryError) as caught:
        way.send(message)
    assert message.body not in str(caught.value)
    return caught.value.fault, caught.value.final


# HTTP


def test_by_default_a_request_is_json_with_the_id_as_its_key(tmp_path: Path) -> None:
    with running_sms_gateway() as gateway:
        sms_way(tmp_path, **gateway.settings).send(outgoing())
        [request] = gateway.requests
        assert (request.method, request.path) == ("POST", "/send")
        assert request.json == {"id": ID, "to": "+8613800001234", "text": TRICKY}
        assert request.headers["idempotency-key"] == ID


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {
                "sms_headers": {"Content-Type": "application/x-www-form-urlencoded"},
                "sms_body": "to={national}&text={text}&sign={secret}",
            },
            b"to=13800001234&text=Ihr+%22Code%22",
        ),
        (
            {
                "sms_headers": {"Content-Type": "application/json; charset=utf-8"},
                "sms_body": '{"t": "{template}", "p": {values}, "l": "{language}"}',
            },
            b'{"t": "code_register", "p": {"code": "123456"}, "l": "zh"}',
        ),
        (
            {"sms_headers": {"Content-Type": "text/xml"}, "sms_body": '<sms to="{phone}">{text}</sms>'},
            b'<sms to="+8613800001234">Ihr &quot;Code&quot; \\ 123456 &amp; &lt;b&gt;{phone}&lt;/b&gt;',
        ),
        (
            {"sms_headers": {"Content-Type": "text/plain"}, "sms_body": "{phone}: {text}"},
            b'+8613800001234: Ihr "Code"',
        ),
    ],
    ids=["form", "json", "xml", "plain"],
)
def test_what_is_filled_in_is_escaped_for_its_body(
    tmp_path: Path, settings: dict[str, Any], expected: bytes
) -> None:
    (tmp_path / "secret").write_text("geheim&1\n")
    with running_sms_gateway() as gateway:
        given = gateway.settings | {"sms_secret_file": tmp_path / "secret"} | settings
        sms_way(tmp_path, **given).send(outgoing())
        [request] = gateway.requests
        assert request.body.startswith(expected)
        assert b"geheim&1" not in request.body


def test_a_get_has_all_in_its_address_and_the_secret_in_a_header(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("t0ken\n")
    with running_sms_gateway() as gateway:
        way = sms_way(
            tmp_path,
            sms_url=f"{gateway.url}/send?to={{phone}}&text={{text}}",
            sms_method="GET",
            sms_headers={"Authorization": "Bearer {secret}"},
            sms_secret_file=tmp_path / "secret",
        )
        way.send(outgoing())
        [request] = gateway.requests
        assert request.query == {"to": ["+8613800001234"], "text": [TRICKY]}
        assert request.headers["authorization"] == "Bearer t0ken"
        assert request.body == b""
        assert "t0ken" not in repr(way.__dict__)


def test_an_answer_that_does_not_say_so_is_no_success(tmp_path: Path) -> None:
    with running_sms_gateway() as gateway:
        way = sms_way(tmp_path, **gateway.settings, sms_success_pattern=r'"code": *"OK"')
        gateway.answers = [(200, b'{"code": "LIMIT"}'), (200, b'{"code": "OK"}')]
        assert fault_of(way, outgoing()) == (Fault.NONSENSE, False)
        way.send(outgoing())


@pytest.mark.parametrize(
    ("answer", "fault", "final"),
    [
        (500, Fault.BUSY, False),
        (503, Fault.BUSY, False),
        (429, Fault.BUSY, False),
        (400, Fault.REFUSED, True),
        (422, Fault.REFUSED, True),
        (401, Fault.REFUSED, False),
        (404, Fault.REFUSED, False),
        (302, Fault.NONSENSE, False),
        (206, Fault.NONSENSE, False),
        ("garbage", Fault.NONSENSE, False),
        ((200, b"x" * 100_000), Fault.NONSENSE, False),
        ("drop", Fault.NONSENSE, False),
        ("hang", Fault.TIMEOUT, False),
        ("drip", Fault.TIMEOUT, False),
    ],
)
def test_every_fault_of_a_gateway_has_its_name(
    tmp_path: Path, answer: Any, fault: Fault, final: bool
) -> None:
    with running_sms_gateway() as gateway:
        gateway.answers = [answer]
        way = sms_way(tmp_path, **(gateway.settings | {"sms_timeout_s": 0.5}))
        begun = time.monotonic()
        assert fault_of(way, outgoing()) == (fault, final)
        assert time.monotonic() - begun < 3
        assert len(gateway.requests) == 1  # nothing is followed


def test_nobody_listens(tmp_path: Path) -> None:
    way = sms_way(tmp_path, sms_url=f"http://127.0.0.1:{free_port()}/")
    assert fault_of(way, outgoing()) == (Fault.UNREACHABLE, False)


def test_a_gateway_over_tls_must_be_the_right_one(tmp_path: Path) -> None:
    context, ca = server_context(tmp_path)
    with running_sms_gateway(context) as gateway:
        assert gateway.url.startswith("https:")
        assert fault_of(sms_way(tmp_path, **gateway.settings), outgoing()) == (Fault.UNREACHABLE, False)
        sms_way(tmp_path, **gateway.settings, sms_ca=ca).send(outgoing())
        assert len(gateway.requests) == 1


# Mail


def test_a_mail_is_plain_text_in_utf_8_with_the_id_as_its_key(tmp_path: Path) -> None:
    with running_mail_server() as server:
        mail_way(tmp_path, **server.settings).send(mail_to(subject="申请 “A” 的结果"))
        [mail] = server.mails
        assert mail["Subject"] == "申请 “A” 的结果"
        assert (mail["To"], mail["From"]) == ("zhang@example.org", "no-reply@verifield.example")
        assert mail["Message-ID"] == f"<{ID}@verifield.example>"
        assert (mail["Auto-Submitted"], mail["Content-Language"]) == ("auto-generated", "zh")
        assert mail.get_content_type() == "text/plain"
        assert mail.get_content().strip() == "您的申请已通过。"
        assert server.ids() == [ID]


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # the mail server does not see that all is in TLS
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_mail_goes_over_tls_to_the_right_server_with_a_sign_in(tmp_path: Path, tls: str) -> None:
    context, ca = server_context(tmp_path)
    (tmp_path / "password").write_text("s3sam\n")
    login = ("verifield", "s3sam")
    with running_mail_server(context=context, implicit=tls == "tls", login=login) as server:
        settings = server.settings | {
            "mail_tls": tls,
            "mail_user": "verifield",
            "mail_password_file": tmp_path / "password",
        }
        assert fault_of(mail_way(tmp_path, **settings), mail_to()) == (Fault.UNREACHABLE, False)
        mail_way(tmp_path, **settings, mail_ca=ca).send(mail_to())
        assert server.tls_seen == [True]
        (tmp_path / "password").write_text("wrong\n")
        assert fault_of(mail_way(tmp_path, **settings, mail_ca=ca), mail_to()) == (Fault.REFUSED, False)


def test_nothing_is_sent_in_the_open_where_the_server_offers_no_tls(tmp_path: Path) -> None:
    with running_mail_server() as server:
        way = mail_way(tmp_path, **(server.settings | {"mail_tls": "starttls"}))
        assert fault_of(way, mail_to()) == (Fault.REFUSED, False)
        assert server.attempts == []


@pytest.mark.parametrize(
    ("answer", "fault", "final"),
    [
        ("451 4.3.0 try later", Fault.BUSY, False),
        ("554 5.7.1 not wanted", Fault.REFUSED, True),
    ],
)
def test_what_a_mail_server_says_of_a_message(tmp_path: Path, answer: str, fault: Fault, final: bool) -> None:
    with running_mail_server() as server:
        server.answers = [answer]
        assert fault_of(mail_way(tmp_path, **server.settings), mail_to()) == (fault, final)


def test_a_mailbox_that_there_is_not_is_final(tmp_path: Path) -> None:
    with running_mail_server() as server:
        server.refused = {"nobody@example.org"}
        way = mail_way(tmp_path, **server.settings)
        assert fault_of(way, mail_to("nobody@example.org")) == (Fault.REFUSED, True)


def test_a_mail_server_that_is_slow_away_or_talks_nonsense(tmp_path: Path) -> None:
    with running_mail_server() as server:
        server.hang_s = 5
        way = mail_way(tmp_path, **(server.settings | {"mail_timeout_s": 0.5}))
        assert fault_of(way, mail_to()) == (Fault.TIMEOUT, False)
    settings = server.settings | {"mail_timeout_s": 0.5}
    assert fault_of(mail_way(tmp_path, **settings), mail_to()) == (Fault.UNREACHABLE, False)
    for lines, hang_s, fault in (
        ([b"HTTP/1.1 400 Bad Request\r\n"], 0.0, Fault.NONSENSE),
        ([b"421 4.3.2 closing\r\n"], 0.0, Fault.BUSY),
        ([b"\xff\xfe\x00garbage\r\n"], 0.0, Fault.NONSENSE),
        ([], 5.0, Fault.TIMEOUT),
    ):
        with talking(*lines, hang_s=hang_s) as port:
            way = mail_way(tmp_path, **(settings | {"mail_server": f"127.0.0.1:{port}"}))
            assert fault_of(way, mail_to())[0] in {fault, Fault.UNREACHABLE}


@pytest.mark.parametrize("address", ["no at sign", "a@b\r\nBcc: x@example.org", "<>", ""])
def test_an_address_that_is_none_never_becomes_a_header(address: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        compose(mail_to(address), sender="no-reply@verifield.example")
    assert (caught.value.fault, caught.value.final) == (Fault.REFUSED, True)


# Files


def test_without_a_gateway_messages_become_private_files(tmp_path: Path) -> None:
    ways = open_ways(Config(data=tmp_path))
    ways.gateways[Channel.SMS].send(outgoing())
    ways.gateways[Channel.SMS].send(outgoing())  # once more: the same file
    ways.gateways[Channel.EMAIL].send(mail_to(message_id=ID[:-1] + "b"))
    files = sorted((tmp_path / "spool").iterdir())
    assert [file.name for file in files] == [f"{ID}.json", f"{ID[:-1]}b.json"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    content = json.loads(files[0].read_bytes())
    assert (content["to"], content["text"], content["channel"]) == ("+8613800001234", TRICKY, "SMS")


def test_a_full_folder_takes_no_more_and_what_expired_or_nobody_took_goes(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path / "spool", max_files=2)
    spool.send(outgoing(message_id=ID, expires_us=100))
    spool.send(outgoing(message_id=ID[:-1] + "b"))
    third = outgoing(message_id=ID[:-1] + "c")
    assert fault_of(spool, third) == (Fault.SPOOL_FULL, False)
    spool.send(outgoing(message_id=ID, expires_us=100))  # it is there already
    assert (spool.sweep(now_us=99), spool.sweep(now_us=100)) == (0, 1)
    spool.send(third)
    (tmp_path / "spool" / "other.json").write_text("not ours")
    (tmp_path / "spool" / f".{ID}.json.x").write_text('{"to": "of a message whose writer was ki')
    now_us = time.time_ns() // 1000
    assert spool.sweep(now_us=now_us + 29 * 86_400_000_000) == 0
    assert spool.sweep(now_us=now_us + 31 * 86_400_000_000) == 3
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["other.json"]


def test_a_folder_that_cannot_be_written_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    assert fault_of(FileSpool(tmp_path / "spool"), outgoing()) == (Fault.UNREACHABLE, False)


# Settings


@pytest.mark.parametrize(
    "settings",
    [
        {"sms_url": "http://sms.example/"},
        {"sms_url": "ftp://127.0.0.1/"},
        {"sms_url": "https://{phone}.example/"},
        {"sms_url": "https://sms.example/{pin}"},
        {"sms_url": "https://sms.example/?k={secret}"},
        {"sms_body": "{password}"},
        {"sms_headers": {"X-Text": "{text}"}},
        {"sms_headers": {"X Bad": "1"}},
        {"sms_headers": {"X-Bad": "1\r\nX-Worse: 2"}},
        {"sms_success_pattern": "("},
        {"sms_success_status": ()},
        {"sms_success_status": (302,)},
        {"mail_server": "mail.example:587"},
        {"mail_server": "mail.example", "mail_from": "a@b.example"},
        {"mail_server": "mail.example:99999", "mail_from": "a@b.example"},
        {"mail_server": "mail.example:25", "mail_from": "a@b.example", "mail_tls": "none"},
        {"mail_server": "mail.example:587", "mail_from": "a b@c.example"},
        {"mail_server": "mail.example:587", "mail_from": "a@b.example", "mail_user": "u"},
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Config(data=tmp_path, **settings)


def test_files_of_the_settings_are_read_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for settings, code in (
        ({"sms_url": "https://sms.example/", "sms_ca": tmp_path / "missing"}, "SMS_FILES"),
        ({"sms_url": "https://sms.example/", "sms_secret_file": tmp_path / "missing"}, "SMS_FILES"),
        ({"sms_url": "https://sms.example/", "sms_secret_file": tmp_path / "empty"}, "SMS_FILES"),
        (
            {"mail_server": "m.example:587", "mail_from": "a@b.example", "mail_ca": tmp_path / "empty"},
            "MAIL_FILES",
        ),
    ):
        with pytest.raises(SetupError) as caught:
            open_ways(Config(data=tmp_path, **settings))
        assert caught.value.code == code


# Servers that hold on to us


@contextmanager
def clinging(*, drip_s: float) -> Iterator[tuple[int, list[bytes]]]:
    """A mail server that takes one message, and then never ends its answer to QUIT: a byte now and then."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop, said = threading.Event(), list[bytes]()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            lines = connection.makefile("rb")
            connection.sendall(b"220 here\r\n")
            for line in lines:
                said.append(line)
                if line.upper().startswith(b"QUIT"):
                    while not stop.wait(drip_s):
                        connection.sendall(b"2")
                    return
                if line.upper().startswith(b"DATA"):
                    connection.sendall(b"354 go on\r\n")
                    while lines.readline() != b".\r\n":
                        pass
                connection.sendall(b"250 well\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], said
    finally:
        stop.set()
        thread.join()
        listener.close()


def test_a_mail_server_that_does_not_let_go_holds_nobody(tmp_path: Path) -> None:
    with clinging(drip_s=0.2) as (port, said):
        way = mail_way(
            tmp_path,
            mail_server=f"127.0.0.1:{port}",
            mail_from="no-reply@verifield.example",
            mail_tls="none",
            mail_timeout_s=1.0,
        )
        finished = threading.Event()

        def send() -> None:
            way.send(mail_to())  # it has said that it has the message
            finished.set()

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        assert finished.wait(4)
        assert said[-1].upper().startswith(b"QUIT")


@pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
def test_a_connection_that_comes_too_late_sends_nothing(
    tmp_path: Path, tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that take long to find: the lease may have ended, and another server be sending."""
    context, ca = server_context(tmp_path)
    find = socket.getaddrinfo

    def slowly(*args: Any, **more: Any) -> Any:
        time.sleep(1.0)
        return find(*args, **more)

    with running_mail_server(context=context if tls != "none" else None, implicit=tls == "tls") as server:
        settings = server.settings | {"mail_tls": tls, "mail_timeout_s": 0.5, "mail_ca": ca}
        way = mail_way(tmp_path, **settings)
        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        assert fault_of(way, mail_to()) == (Fault.TIMEOUT, False)
        assert server.attempts == []


def test_a_file_that_is_not_ours_does_not_keep_others_from_being_swept(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path / "spool")
    spool.send(outgoing(message_id=ID, expires_us=100))
    (tmp_path / "spool" / "0.json").write_text("[]")
    assert spool.sweep(now_us=100) == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", '{"to": "{phone}", "parameters": "{values}"}'),
        ("application/json", '{"to": {phone}}'),
        ("application/json; charset=utf-8", '{"to": "{phone}"'),
        ("text/xml", "<sms to={phone}>{text}</sms>"),
        ("application/soap+xml", "<sms>{text}"),
    ],
)
def test_a_body_that_no_gateway_could_read_is_refused_at_the_start(
    tmp_path: Path, kind: str, body: str
) -> None:
    with pytest.raises(ValueError, match="sms_body"):
        Config(data=tmp_path, sms_headers={"content-type": kind}, sms_body=body)
