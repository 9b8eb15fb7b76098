"""The kiosk's whole web application on a ``LocalDevice``, served on loopback by a thread; and a plain client.

    with local_kiosk(device) as local:
        with local.client() as client:
            client.sign_in(CLERK)
            client.get("/queue")

The client is one page of a browser without the browser: it holds the stream open, so that it has the
controls, and posts what a page posts.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from websockets.sync.client import ClientConnection, connect

from edge.answers import Stop
from edge.kiosk import app as application
from edge.kiosk import stick
from edge.kiosk.security import Keys
from edge.kiosk.server import Kiosk
from edge.kiosk.serving import bind, serve_in_thread
from edge.kiosk.sessions import sessions_of
from edge.kiosk.sticks import Stick
from edge.kiosk.watching import Watch
from tests.support.local_device import PINS, LocalDevice

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Page:
    """An answer. ``path``: where redirections have led."""

    status: int
    path: str
    content: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def location(self) -> str:
        return self.headers.get("location", "")

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def code(self) -> str:
        """The fault's stable code; empty where there is none."""
        return str(self.json.get("error", {}).get("code", ""))


@dataclass
class Client:
    """``number``: of its page, which has the controls."""

    keys: Keys
    stream: ClientConnection
    number: int

    def get(self, path: str, *, accept: str = "text/html", follow: bool = True) -> Page:
        for _ in range(5):
            page = self._ask("GET", path, {"Accept": accept})
            if page.status != 303 or not follow:
                return page
            path = page.location
        raise AssertionError("it redirects for ever")

    def post(self, path: str, **values: Any) -> Page:
        headers = {"Content-Type": "application/json", "X-Kiosk-Page": str(self.number)}
        return self._ask("POST", path, headers, json.dumps(values).encode())

    def sign_in(self, who: str) -> None:
        assert self.post("/sign-in", who=who, pin=PINS[who]).json == {"go": "/"}

    def state(self) -> dict[str, Any]:
        """The next whole state that the stream says."""
        said = self.stream.recv(timeout=TIMEOUT_S)
        while isinstance(said, bytes):
            said = self.stream.recv(timeout=TIMEOUT_S)
        state: dict[str, Any] = json.loads(said)
        return state

    def until(self, name: str, wanted: Any) -> dict[str, Any]:
        """The first state of which ``wanted(state[name])`` is true."""
        while True:
            state = self.state()
            if name in state and wanted(state[name]):
                return state

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Page:
        connection = http.client.HTTPConnection("127.0.0.1", self.keys.port, timeout=TIMEOUT_S)
        try:
            own = {
                "Origin": f"http://127.0.0.1:{self.keys.port}",
                "Cookie": f"{self.keys.cookie_name}={self.keys.cookie}",
            }
            connection.request(method, path, body=body, headers=own | headers)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Page(answer.status, path, answer.read(), headers)
        finally:
            connection.close()


@dataclass
class LocalKiosk:
    """``sticks``: what is said to be plugged in; change it as you like."""

    device: LocalDevice
    kiosk: Kiosk
    sticks: list[Stick] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The launch address."""
        return self.kiosk.keys.launch_url

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.kiosk.keys.port}"

    @contextmanager
    def client(self) -> Iterator[Client]:
        keys = self.kiosk.keys
        with connect(
            f"ws://127.0.0.1:{keys.port}/stream",
            origin=self.origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": f"{keys.cookie_name}={keys.cookie}"},
            open_timeout=TIMEOUT_S,
        ) as stream:
            client = Client(keys, stream, 0)
            client.number = client.until("controls", bool)["page"]
            yield client


@contextmanager
def local_kiosk(
    device: LocalDevice, *, portable: bool = False, sticks: Sequence[Stick] = (), watch: bool = False
) -> Iterator[LocalKiosk]:
    """Serve until the block ends. ``watch``: whether the header's hints are looked at again and again."""
    listener = bind(0)
    kiosk = Kiosk(device.config, keys=Keys(listener.getsockname()[1]), portable=portable)
    local = LocalKiosk(device, kiosk, list(sticks))

    def stick_routes(kiosk: Kiosk) -> Any:
        return stick.routes(kiosk, lambda: list(local.sticks))

    flows = tuple(stick_routes if flow is stick.routes else flow for flow in application.FLOWS)
    with patch.object(application, "FLOWS", flows):
        server, thread = serve_in_thread(kiosk, listener)
    watching = Watch(kiosk) if watch else None
    if watching is not None:
        watching.start()
    try:
        yield local
    finally:
        if watching is not None:
            watching.close()
        sessions_of(kiosk).stop(Stop.OPERATOR)
        server.should_exit = True
        thread.join(TIMEOUT_S)
        kiosk.close()
    assert not thread.is_alive()
