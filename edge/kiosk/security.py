"""Who may talk to the kiosk: this machine's own browser, which was started with the launch address.

Every request passes these checks, in this order, before any page sees it:

1. the client is on this machine (the socket listens on loopback alone; this is the second lock);
2. ``Host`` is the kiosk's own, so that no other name can be bound to it (DNS rebinding);
3. ``Origin`` and ``Sec-Fetch-Site`` are its own wherever the browser sends them, and ``Origin`` is there
   wherever something may change, so that no other page can act in its name (with SameSite=Strict);
4. not too many requests at once, and none with a body larger than its page takes;
5. the cookie that ``/enter`` hands over to whoever brings the launch address's token.

What goes out says that nothing may be kept, framed, or loaded from elsewhere.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_BYTES = 32
MAX_BODY_BYTES = 64 * 1024  # a signature of many strokes; pages that take pictures say so in BodyLimits
REQUESTS_PER_S = 50.0  # a page with its parts is a dozen requests, a person's answers are one
BURST = 200.0
COOKIE = "verifield-kiosk"
ENTER = "/enter"
STATIC = "/static/"
"""Without the cookie: style and scripts, which hold no secret."""

_SAFE_METHODS = ("GET", "HEAD")
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=(), payment=()",
}

BodyLimits = Mapping[str, int]
"""Largest body in bytes by the beginning of the path, where it is not MAX_BODY_BYTES."""


@dataclass(slots=True)
class Bucket:
    """A token bucket. ``now``: monotonic seconds."""

    rate: float
    burst: float
    now: Callable[[], float] = time.monotonic
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._at = self.burst, self.now()

    def take(self) -> bool:
        """Whether one more is allowed."""
        now = self.now()
        self._left = min(self.burst, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Keys:
    """``token``: of the launch address. ``cookie``: of the browser that came with it. For one process."""

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES), repr=False)
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES), repr=False)

    @property
    def launch_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{ENTER}?token={self.token}"

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({f"127.0.0.1:{self.port}", f"localhost:{self.port}"})

    @property
    def cookie_name(self) -> str:
        return f"{COOKIE}-{self.port}"  # cookies do not know ports: two kiosks must not share one

    def is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def is_cookie(self, header: str) -> bool:
        try:
            morsel = SimpleCookie(header).get(self.cookie_name)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self.cookie.encode())


class _Refused(Exception):
    """``code``: stable."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Guard:
    """The checks around an application; what fails them is answered here."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        body_limits: BodyLimits | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._keys = keys
        self._limits = dict(body_limits or {})
        self._bucket = Bucket(REQUESTS_PER_S, BURST, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check(scope, headers)
        except _Refused as refused:
            await _refuse(scope, receive, send, refused)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
        elif scope["path"] == ENTER:
            await self._enter(scope, receive, send)
        else:
            limited = _limited(receive, self._body_limit(scope["path"]))
            try:
                await self._app(scope, limited, _with_headers(send))
            except _Refused as refused:  # a body that grew beyond what it said
                await _refuse(scope, receive, send, refused)

    def _check(self, scope: Scope, headers: Headers) -> None:
        client = scope.get("client")
        if client is None or not _is_loopback(client[0]):
            raise _Refused(403, "NOT_LOCAL")
        if headers.get("host") not in self._keys.hosts:
            raise _Refused(403, "FOREIGN_HOST")
        self._check_origin(scope, headers)
        if not self._bucket.take():
            raise _Refused(429, "TOO_MANY_REQUESTS")
        self._check_body(scope, headers)
        path = scope["path"]
        if path == ENTER or (path.startswith(STATIC) and scope["type"] == "http"):
            return
        if not self._keys.is_cookie(headers.get("cookie", "")):
            raise _Refused(403, "NO_SESSION")

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origin = headers.get("origin")
        may_change = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if origin is None:
            if may_change:
                raise _Refused(403, "NO_ORIGIN")
        elif origin != f"http://{headers['host']}":
            raise _Refused(403, "FOREIGN_ORIGIN")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise _Refused(403, "FOREIGN_ORIGIN")

    def _check_body(self, scope: Scope, headers: Headers) -> None:
        length = headers.get("content-length")
        if length is None:
            return
        if not (length.isascii() and length.isdecimal()) or int(length[:20]) > self._body_limit(
            scope["path"]
        ):
            raise _Refused(413, "BODY_TOO_LARGE")

    def _body_limit(self, path: str) -> int:
        limits = [limit for start, limit in self._limits.items() if path.startswith(start)]
        return max(limits, default=MAX_BODY_BYTES)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Exchange the launch address's token for the cookie; the address is left at once."""
        query = parse_qs(scope["query_string"].decode("ascii", errors="replace"))
        if scope["method"] != "GET" or not self._keys.is_token(query.get("token", [""])[0]):
            await _refuse(scope, receive, send, _Refused(403, "NO_SESSION"))
            return
        cookie = f"{self._keys.cookie_name}={self._keys.cookie}; Path=/; HttpOnly; SameSite=Strict"
        headers = {"location": "/", "set-cookie": cookie}
        await _answer(send, 303, b"", headers)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _limited(receive: Receive, limit: int) -> Receive:
    """Count what really comes: a length that was said proves nothing, and chunks say none."""
    taken = 0

    async def count() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise _Refused(413, "BODY_TOO_LARGE")
        return message

    return count


def _with_headers(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return add


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: _Refused) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1008, "reason": refused.code})  # HTTP 403
        return
    wants_page = "text/html" in Headers(scope=scope).get("accept", "")
    if wants_page and refused.code == "NO_SESSION":
        await _answer(send, refused.status, _NO_SESSION_PAGE, {"content-type": "text/html; charset=utf-8"})
        return
    body = json.dumps({"error": {"code": refused.code, "text": refused.code}}).encode()
    await _answer(send, refused.status, body, {"content-type": "application/json"})


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    fields = {**HEADERS, **headers, "content-length": str(len(body))}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


_NO_SESSION_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Verifield</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/static/kiosk.css"></head>
<body class="bare"><main class="stage"><h1>Verifield</h1>
<p lang="zh">请使用本设备启动时给出的地址打开此页面。</p>
<p lang="es">Abra esta página con la dirección que el dispositivo dio al arrancar.</p>
<p>Open this page with the address that the device gave when it started.</p>
</main></body></html>
""".encode()
