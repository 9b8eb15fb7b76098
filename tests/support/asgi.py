"""A browser for ASGI applications without a socket: one request or one stream at a time, cookies kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp

DEADLINE_S = 60.0
Message = MutableMapping[str, Any]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class AsgiBrowser:
    """``host``: what it says in Host; ``address``: where it is."""

    app: ASGIApp
    host: str
    address: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)

    def get(
        self, path: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return self.request("GET", path, query=query, headers=headers)

    def post(self, path: str, values: object, headers: Mapping[str, str] | None = None) -> Answer:
        """Send JSON."""
        body = json.dumps(values).encode()
        sent = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        return self.request("POST", path, headers=sent, chunks=[body])

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        chunks: Iterable[bytes] = (),
    ) -> Answer:
        """``chunks``: the body in the parts in which it comes."""
        scope = {**self._scope("http", path, query, headers), "method": method, "scheme": "http"}
        parts = [*chunks]
        inbox: list[Message] = [
            {"type": "http.request", "body": part, "more_body": i + 1 < len(parts)}
            for i, part in enumerate(parts)
        ]
        inbox = inbox or [{"type": "http.request", "body": b"", "more_body": False}]
        sent = asyncio.run(_exchange(self.app, scope, inbox))
        start = next(message for message in sent if message["type"] == "http.response.start")
        body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
        answered = {name.decode(): value.decode() for name, value in start["headers"]}
        if "set-cookie" in answered:
            name, _, value = answered["set-cookie"].partition(";")[0].partition("=")
            self.cookies[name] = value
        return Answer(start["status"], answered, body)

    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> list[Message]:
        """Open a WebSocket, and leave when the first message has come; what was sent to us."""
        scope = {**self._scope("websocket", path, None, headers), "scheme": "ws", "subprotocols": []}
        inbox: list[Message] = [{"type": "websocket.connect"}]
        return asyncio.run(
            _exchange(self.app, scope, inbox, leave={"type": "websocket.disconnect", "code": 1001})
        )

    def _scope(
        self,
        kind: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> dict[str, Any]:
        fields = {"host": self.host, **(headers or {})}
        if self.cookies:
            fields["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": urlencode(query or {}).encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields.items()],
            "client": (self.address, 50000),
            "server": ("127.0.0.1", 80),
        }


async def _exchange(
    app: ASGIApp, scope: dict[str, Any], inbox: list[Message], *, leave: Message | None = None
) -> list[Message]:
    sent: list[Message] = []
    told = asyncio.Event()

    async def receive() -> Message:
        if inbox:
            return inbox.pop(0)
        if leave is None:
            await asyncio.Event().wait()
        await told.wait()
        return leave or {}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] in ("websocket.send", "websocket.close"):
            told.set()

    await asyncio.wait_for(app(scope, receive, send), DEADLINE_S)
    return sent
