"""Running the kiosk: a socket on loopback, the launch address in a private file, a clean end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from edge.answers import Stop
from edge.app import open_identity
from edge.config import EdgeConfig
from edge.errors import SetupError
from edge.files import destroy_file, make_private_folder, write_private
from edge.kiosk.app import make_app
from edge.kiosk.idle import IdleClock
from edge.kiosk.security import Keys
from edge.kiosk.server import Kiosk
from edge.kiosk.sessions import sessions_of
from edge.kiosk.watching import Watch
from edge.service import Service

LOOPBACK = "127.0.0.1"
MAX_CONNECTIONS = 64  # a browser opens a few; somebody who opens more wants to fill us up
GRACE_S = 5  # for answers under way when the kiosk ends
MAX_SAID_BYTES = 4096  # of what a page says on the stream
URL_FILE = "launch-url"


def kiosk_folder(config: EdgeConfig) -> Path:
    """Where the launch address lies while a kiosk runs."""
    return config.data_dir / "kiosk"


def bind(port: int) -> socket.socket:
    """Listen on loopback; 0 takes a free port.

    Raises:
        SetupError: PORT_TAKEN.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise SetupError(
            "PORT_TAKEN",
            f"The kiosk cannot listen on port {port}: {error.strerror or error}.",
            hint="Stop the other kiosk, or choose another --port.",
        ) from None
    return listener


def serve(config: EdgeConfig, *, port: int, portable: bool, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. ``tell``: takes the launch address once pages can be had.

    Raises:
        SetupError: NOT_ENROLLED and the like, or PORT_TAKEN.
    """
    open_identity(config)  # a device that is not enrolled can do nothing here
    with bind(port) as listener:
        keys = Keys(listener.getsockname()[1])
        kiosk = Kiosk(config, keys=keys, portable=portable)
        folder = kiosk_folder(config)
        make_private_folder(folder)
        write_private(folder / URL_FILE, f"{keys.launch_url}\n".encode())
        try:
            _serve(kiosk, listener, tell)
        finally:
            destroy_file(folder / URL_FILE)


def _serve(kiosk: Kiosk, listener: socket.socket, tell: Callable[[str], None]) -> None:
    server = KioskServer(kiosk)
    watch = Watch(kiosk)
    service = server.service = Service.open(os.environ)

    def ready() -> None:
        tell(kiosk.keys.launch_url)
        service.ready("serving")

    server.on_ready = ready
    try:
        watch.start()
        kiosk.office.submit(lambda office: office.vision)  # loaded while nobody waits for it
        server.run(sockets=[listener])
    finally:
        service.stopping()
        watch.close()
        sessions_of(kiosk).stop(Stop.OPERATOR)  # what was begun is attested as stopped
        kiosk.close()


class KioskServer(uvicorn.Server):
    """uvicorn, set up for one browser on this machine. ``on_ready``: called once it listens."""

    def __init__(self, kiosk: Kiosk) -> None:
        super().__init__(
            uvicorn.Config(
                make_app(kiosk),
                http="h11",
                ws="websockets-sansio",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,  # addresses hold a token, and nobody reads them
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_S,
                ws_max_size=MAX_SAID_BYTES,
                ws_per_message_deflate=False,  # JPEGs do not get smaller
            )
        )
        self.on_ready: Callable[[], None] = lambda: None
        self.service = Service(None)
        self._idle = IdleClock(kiosk)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """A stop is obeyed here: uvicorn would raise it again at its end, before a session is recorded."""
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second on the event loop itself: one that hangs feeds no watchdog."""
        self.service.alive()
        self._idle.look()
        return await super().on_tick(counter)


def serve_in_thread(kiosk: Kiosk, listener: socket.socket) -> tuple[KioskServer, threading.Thread]:
    """Serve beside the caller, until ``should_exit`` is set; for tests and measurements."""
    server = KioskServer(kiosk)
    ready = threading.Event()
    server.on_ready = ready.set
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), name="kiosk-server")
    thread.start()
    ready.wait()
    return server, thread
