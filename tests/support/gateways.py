"""A gateway for text messages and a mail server to send to: real ones on free ports, with levers.

with running_sms_gateway() as sms, running_mail_server() as mail:
    with running_cloud(tmp_path, **sms.settings, **mail.settings) as cloud:
        sms.answers = [503, 503]      # then well again
        ...
        [request] = sms.requests
"""

# ruff: noqa: N802, N815 (names that the servers look for)

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

GARBAGE = b"\x00\xff this is no answer\r\n\r\n"


@dataclass
class SmsRequest:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class SmsGateway:
    """``answers``: what the next requests are answered with, then 200. A status, a status with a body,
    ``garbage`` (no HTTP), ``hang`` (for ``hang_s``), ``drop`` (the connection is closed), ``drip``."""

    url: str = ""
    requests: list[SmsRequest] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    hang_s: float = 5.0
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def settings(self) -> dict[str, Any]:
        return {"sms_url": f"{self.url}/send", "sms_timeout_s": 2.0}

    def ids(self) -> list[str]:
        """The ids of the messages that were taken, each once."""
        return list(dict.fromkeys(one.headers["idempotency-key"] for one in self.requests))


@contextmanager
def running_sms_gateway(context: ssl.SSLContext | None = None) -> Iterator[SmsGateway]:
    gateway = SmsGateway()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            gateway.requests.append(
                SmsRequest(self.command, parts.path, parse_qs(parts.query), headers, body)
            )
            self.close_connection = True
            answer = gateway.answers.pop(0) if gateway.answers else 200
            match answer:
                case "garbage":
                    self.wfile.write(GARBAGE)
                case "hang":
                    gateway.closing.wait(gateway.hang_s)
                case "drop":
                    self.connection.shutdown(socket.SHUT_RDWR)
                case "drip":
                    self._drip()
                case (status, content):
                    self._answer(status, content)
                case status:
                    self._answer(status, b"{}")

        do_GET = do_PUT = do_POST

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if 300 <= status < 400:
                self.send_header("Location", f"{gateway.url}/elsewhere")
            self.end_headers()
            self.wfile.write(content)

        def _drip(self) -> None:
            """One byte after the other: each soon enough, and all of them never."""
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            end = time.monotonic() + gateway.hang_s
            while time.monotonic() < end and not gateway.closing.wait(0.05):
                self.wfile.write(b"x")
                self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # clients that go away are part of the tests

    server = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    gateway.url = f"{'https' if context else 'http'}://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield gateway
    finally:
        gateway.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class MailServer:
    """``answers``: what the next messages are answered with at their end, then 250."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    hang_s: float = 0.0
    tls_seen: list[bool] = field(default_factory=list)
    implicit: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "mail_server": f"localhost:{self.port}",
            "mail_from": "no-reply@verifield.example",
            "mail_tls": "none",
            "mail_timeout_s": 2.0,
        }

    def ids(self) -> list[str]:
        return [str(mail["Idempotency-Key"]) for mail in self.mails]

    # What aiosmtpd calls.

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=email.policy.SMTP)
        assert isinstance(mail, EmailMessage)
        self.attempts.append(str(mail["Idempotency-Key"]))
        self.tls_seen.append(self.implicit or session.ssl is not None)
        if self.hang_s:
            await asyncio.sleep(self.hang_s)
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            self.mails.append(mail)
        return answer


@contextmanager
def running_mail_server(
    *,
    context: ssl.SSLContext | None = None,
    implicit: bool = False,
    login: tuple[str, str] | None = None,
) -> Iterator[MailServer]:
    """``context``: of STARTTLS, or with ``implicit`` from the first byte. ``login``: needed to send."""
    server = MailServer(implicit=implicit)

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=(data.login.decode(), data.password.decode()) == login, handled=False)

    options: dict[str, Any] = {"auth_required": login is not None}
    if login is not None:
        options |= {"authenticator": authenticate, "auth_require_tls": context is not None and not implicit}
    if context is not None and not implicit:
        options |= {"tls_context": context, "require_starttls": True}
    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=free_port(),
        ssl_context=context if implicit else None,
        enable_SMTPUTF8=True,
        **options,
    )
    controller.start()
    server.port = controller.port
    try:
        yield server
    finally:
        controller.stop()


@contextmanager
def talking(*lines: bytes, hang_s: float = 0.0) -> Iterator[int]:
    """A port where each caller is told these lines, one for each of its own; then nothing, or the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        listener.settimeout(0.05)
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1.0)
                try:
                    for line in lines:
                        connection.sendall(line)
                        connection.recv(4096)
                    stop.wait(hang_s)
                except OSError:
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        thread.join()
        listener.close()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """TLS for localhost with a CA of its own; the CA as a PEM file."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    pem, secret = folder / "gateway.pem", folder / "gateway.key"
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, pem
