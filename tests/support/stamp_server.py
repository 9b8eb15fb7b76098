"""A time-stamping authority over HTTP (RFC 3161) that goes away, or does not answer, when a test says so.

with running_stamps(tmp_path) as stamps, running_cloud(tmp_path / "data", **stamps.settings) as cloud:
    stamps.away = True
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from cloud.authority import Authority
from cloud.signers.keys import SignerKeys
from cloud.signers.tsa import EmbeddedAuthority
from cloud.sources import Sources


@dataclass
class StampServer:
    """``away``: it answers 503. ``silent_at``: which question from now on is never answered; 0: none.

    ``offset``: of its clock.
    """

    url: str
    roots: Path
    away: bool = False
    silent_at: int = 0
    asked: int = 0
    offset: timedelta = timedelta()
    reached: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def settings(self) -> dict[str, Any]:
        return {"stamp_authorities": (self.url,), "stamp_roots": self.roots, "stamp_timeout_s": 20.0}

    def silence(self, number: int) -> None:
        """The question with this number, from the next one on, is not answered."""
        self.asked, self.silent_at = 0, number
        self.reached.clear()


@contextmanager
def running_stamps(folder: Path) -> Iterator[StampServer]:
    """Serve until the block ends."""
    keys_folder = folder / "stamps"
    keys_folder.mkdir(parents=True)
    now = datetime.now(UTC)
    root = Authority.open(keys_folder, server_names=[], now=now).root
    keys = SignerKeys.open(keys_folder, list_url="", now=now)
    roots = folder / "stamp-roots.pem"
    roots.write_bytes(root.public_bytes(Encoding.PEM))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            state.asked += 1
            if state.silent_at and state.asked == state.silent_at:
                state.reached.set()
                state.ended.wait(60)
                return
            if state.away:
                self.send_error(503)
                return
            sources = Sources(
                now=lambda: datetime.now(UTC) + state.offset, random_bytes=Sources.system().random_bytes
            )
            answer = EmbeddedAuthority(keys, sources).answer(request)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = StampServer(f"http://127.0.0.1:{server.server_address[1]}/", roots)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
