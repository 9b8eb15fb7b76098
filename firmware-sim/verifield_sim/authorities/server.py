"""The simulated authorities over HTTP, as a gateway shows them, and levers beside them.

POST /v1/AUTHORITY/CALL     what docs/authorities.md describes; GET /v1/AUTHORITY/health
GET  /ctid/TRANSACTION      the page that a person opens; POST to it with act=approve or act=refuse
GET  /admin/journal?after=N {"entries": [...]}      GET /admin/modes   {"registry": "busy"}
POST /admin/modes           {"registry": "busy*3", "bank.verify": "ok"}; {} makes all well
POST /admin/people          one person, as in the people file
GET  /admin/ctid            {"transactions": [...]}; POST {"transaction_id": ..., "act": "approve" | "refuse"}
"""

from __future__ import annotations

import hmac
import html
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from verifield_sim.authorities.garbage import garbage_of
from verifield_sim.authorities.modes import CALLS, Mode, ModeKind, Modes
from verifield_sim.authorities.office import Office, RefusedError, digest_of, result_of
from verifield_sim.authorities.people import parse_person
from verifield_sim.errors import SimError

MAX_BODY_BYTES = 2 * 1024 * 1024
"""A picture of a mebibyte in base64, and the rest."""

IDLE_TIMEOUT_S = 10.0

_JSON = "application/json"
_KEY = re.compile(r"[0-9a-f-]{36}")
_TRANSACTION = re.compile(r"/ctid/([A-Za-z0-9_-]{8,128})")
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class AuthoritiesServer(ThreadingHTTPServer):
    """Serves one office. ``token``: demanded of who asks, where it is not empty, but not at the levers."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        office: Office,
        modes: Modes,
        *,
        address: tuple[str, int] = ("127.0.0.1", 0),
        context: ssl.SSLContext | None = None,
        token: str = "",
    ) -> None:
        """Bind the port; 0 takes a free one.

        Raises:
            SimError: it cannot be had.
        """
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise SimError(f"port {address[1]} cannot be had: {error.strerror}") from error
        self.office = office
        self.modes = modes
        self.token = token
        self.stopping = threading.Event()
        self._context = context
        host = "localhost" if context else address[0]
        self.url = f"{'https' if context else 'http'}://{host}:{self.server_address[1]}"
        office.link_base = self.url
        self._garbage = 0
        self._lock = threading.Lock()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the thread of the call: who never ends a handshake does not hold up the others."""
        request.settimeout(IDLE_TIMEOUT_S)
        if self._context is None:
            super().finish_request(request, client_address)
            return
        try:
            with self._context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)
        except OSError:
            return

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: who goes away in the middle is no fault of ours."""

    def next_garbage(self) -> int:
        """Counts what was made up, so that every kind has its turn."""
        with self._lock:
            self._garbage += 1
            return self._garbage - 1

    def shutdown(self) -> None:
        """Also end the calls that are slow on purpose."""
        self.stopping.set()
        super().shutdown()


def open_tls(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """TLS with this certificate; with ``client_ca``, callers have one of that CA.

    Raises:
        SimError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        raise SimError(f"the certificates cannot be used: {type(error).__name__}") from error
    return context


_REFUSALS = {
    ModeKind.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    ModeKind.LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ModeKind.SYSTEM_ERROR: HTTPStatus.INTERNAL_SERVER_ERROR,
    ModeKind.REFUSED: HTTPStatus.FORBIDDEN,
}


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a call ends. ``status``: 0 where the connection is reset."""

    status: int
    send: Callable[[], None]
    result: str = ""
    charged: bool = False


class _Handler(BaseHTTPRequestHandler):
    server: AuthoritiesServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_TIMEOUT_S
    disable_nagle_algorithm = True  # head and content are two writes: the second would wait 40 ms

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        office = self.server.office
        match parts.path.strip("/").split("/"):
            case ["v1", authority, "health"] if authority in CALLS:
                self._health(authority)
            case ["ctid", _]:
                self._page(parts.path)
            case ["admin", "journal"]:
                after = parse_qs(parts.query).get("after", ["0"])[0]
                self._answer({"entries": office.entries(int(after) if after.isdecimal() else 0)})
            case ["admin", "modes"]:
                self._answer(self.server.modes.shown())
            case ["admin", "ctid"]:
                self._answer({"transactions": office.transactions()})
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        try:
            match urlsplit(self.path).path.strip("/").split("/"):
                case ["v1", authority, call] if call in CALLS.get(authority, ()):
                    self._call(authority, call, self._json(body))
                case ["ctid", transaction]:
                    self.server.office.act(
                        transaction, parse_qs(body.decode("ascii", "replace")).get("act", [""])[0]
                    )
                    self._page(self.path)
                case ["admin", "modes"]:
                    self._set_modes(self._json(body))
                case ["admin", "people"]:
                    self.server.office.add(parse_person(self._json(body), folder=Path()))
                    self._answer({"ok": True})
                case ["admin", "ctid"]:
                    act = self._json(body)
                    self.server.office.act(str(act.get("transaction_id")), str(act.get("act")))
                    self._answer({"ok": True})
                case _:
                    self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
        except SimError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: standard output belongs to the endpoint, and what is asked is personal."""

    def _call(self, authority: str, call: str, body: dict[str, Any]) -> None:
        """Noted before it is answered, so that whoever has the answer finds it in the journal."""
        mode = self.server.modes.take(authority, call)
        key = self.headers.get("Idempotency-Key", "")
        if not self._is_known():
            ending = self._refusal(HTTPStatus.UNAUTHORIZED)
        elif not _KEY.fullmatch(key):
            ending = self._refusal(HTTPStatus.BAD_REQUEST)
        else:
            ending = self._misbehave(authority, call, body, mode=mode, key=key)
        self.server.office.note(
            authority=authority,
            call=call,
            key=key,
            digest=digest_of(body),
            mode=mode.kind.value,
            status=ending.status,
            result=ending.result,
            charged=ending.charged,
        )
        ending.send()

    def _misbehave(self, authority: str, call: str, body: dict[str, Any], *, mode: Mode, key: str) -> _Ending:
        """What the mode makes of a call."""
        if mode.kind in _REFUSALS:
            after = f"{mode.seconds:g}" if mode.kind is ModeKind.LIMITED else ""
            return self._refusal(_REFUSALS[mode.kind], retry_after=after)
        if mode.kind is ModeKind.DOWN:
            return _Ending(0, self._reset)
        if mode.kind is ModeKind.SLOW:
            self.server.stopping.wait(mode.seconds)
        try:
            done = self.server.office.do(authority, call, body, key=key, lie=mode.kind is ModeKind.WRONG)
        except RefusedError as error:
            return self._refusal(HTTPStatus(error.status))
        told, result = {"request_id": key, **done.result}, result_of(done.result)
        if mode.kind is ModeKind.LOST:
            return _Ending(0, self._reset, result, done.charged)
        if mode.kind is ModeKind.GARBAGE:
            made = garbage_of(self.server.next_garbage(), told)
            return _Ending(200, partial(self._send, HTTPStatus.OK, made, _JSON), "", done.charged)
        return _Ending(200, partial(self._answer, told), result, done.charged)

    def _refusal(self, status: HTTPStatus, *, retry_after: str = "") -> _Ending:
        return _Ending(int(status), partial(self._refuse, status, status.phrase, retry_after=retry_after))

    def _health(self, authority: str) -> None:
        mode = self.server.modes.now(authority).kind
        if not self._is_known():
            self._refuse(HTTPStatus.UNAUTHORIZED, "who asks is not known")
        elif mode is ModeKind.DOWN:
            self._reset()
        elif mode in {ModeKind.BUSY, ModeKind.LIMITED}:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "busy")
        elif mode is ModeKind.SYSTEM_ERROR:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "system error")
        else:
            self._answer({"status": "OK"})

    def _is_known(self) -> bool:
        token = self.server.token
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return not token or hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())

    def _set_modes(self, wanted: Mapping[str, Any]) -> None:
        if not wanted:
            self.server.modes.clear()
        for target, mode in wanted.items():
            self.server.modes.set(target, str(mode))
        self._answer(self.server.modes.shown())

    def _page(self, path: str) -> None:
        match = _TRANSACTION.fullmatch(path)
        states = {one["transaction_id"]: one["state"] for one in self.server.office.transactions()}
        state = states.get(match[1]) if match else None
        if state is None:
            self._refuse(HTTPStatus.NOT_FOUND, "no such transaction")
            return
        buttons = "".join(
            f'<button name="act" value="{act}">{act}</button> ' for act in ("approve", "refuse")
        )
        form = f'<form method="post">{buttons}</form>' if state == "PENDING" else ""
        page = (
            '<!doctype html><html lang="zh"><meta charset="utf-8"><title>网证 CTID</title>'
            f"<h1>网证 CTID (simulated)</h1><p>{html.escape(state)}</p>{form}</html>"
        )
        self._send(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8")

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 10):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
            return None
        if int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes")
            return None
        return self.rfile.read(int(length))

    def _json(self, content: bytes) -> dict[str, Any]:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise SimError("the request is not JSON") from error
        if not isinstance(body, dict):
            raise SimError("the request is not a JSON object")
        return body

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        socket.socket.close(self.connection)

    def _answer(self, body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, json.dumps(body, ensure_ascii=False).encode(), _JSON)

    def _refuse(self, status: HTTPStatus, why: str, *, retry_after: str = "") -> None:
        self.close_connection = True  # an unread body must not pass as the next request
        self._send(status, json.dumps({"error": why}).encode(), _JSON, retry_after=retry_after)

    def _send(self, status: HTTPStatus, data: bytes, media_type: str, *, retry_after: str = "") -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True  # whoever asked did not wait
