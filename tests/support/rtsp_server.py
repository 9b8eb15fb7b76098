"""A small RTSP server: one stream of JPEG pictures, RTP interleaved in the connection (RFC 2326, 2435, 3550).

    with RtspServer() as server:
        camera = open_camera(server.url(), clock=clock)
        server.send(picture)

It asks for a password where it has one (Basic, RFC 2617), and can fall silent or hang up.
"""

from __future__ import annotations

import base64
import queue
import socketserver
import struct
import threading
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from edge.model import Image

CLOCK_HZ = 90_000  # of RTP's timestamps for JPEG
FRAGMENT = 1400  # bytes of a picture in one packet
Q_IN_BAND = 255  # the quantisation tables come with the picture
TYPE_420 = 1
JPEG_QUALITY = 95
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track1\r\n"


class RtspServer:
    """Serves one picture after the other, as they are handed to ``send``, to whoever plays."""

    def __init__(self, *, login: str = "", status: str = "200 OK") -> None:
        self.login = login
        self.status = status  # of DESCRIBE
        self.outgoing: queue.Queue[Image | None] = queue.Queue()
        self.asked: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, *, login: str = "") -> str:
        return f"rtsp://{login}127.0.0.1:{self._server.server_address[1]}/live"

    def send(self, picture: Image) -> None:
        self.outgoing.put(picture)

    def hang_up(self) -> None:
        """End the stream that is playing."""
        self.outgoing.put(None)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    owner: RtspServer


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        owner = self.server.owner
        try:
            while request := self._request():
                method, headers = request
                owner.asked.append(method)
                if method == "TEARDOWN" or not self._answer(method, headers):
                    return
                if method == "PLAY":
                    self._play()
                    return
        except (ConnectionError, ValueError):
            return

    def _request(self) -> tuple[str, dict[str, str]] | None:
        line = self.rfile.readline(4096).decode()
        if not line:
            return None
        headers: dict[str, str] = {}
        while row := self.rfile.readline(4096).decode().strip():
            name, _, value = row.partition(":")
            headers[name.strip().lower()] = value.strip()
        return line.split(" ")[0], headers

    def _answer(self, method: str, headers: dict[str, str]) -> bool:
        owner = self.server.owner
        fields = {"CSeq": headers.get("cseq", "0")}
        body, status = "", "200 OK"
        expected = "Basic " + base64.b64encode(owner.login.encode()).decode()
        if owner.login and method != "OPTIONS" and headers.get("authorization") != expected:
            status = "401 Unauthorized"
            fields["WWW-Authenticate"] = 'Basic realm="camera"'
        elif method == "OPTIONS":
            fields["Public"] = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
        elif method == "DESCRIBE":
            status, body = owner.status, SDP
            fields |= {"Content-Type": "application/sdp", "Content-Base": f"{owner.url()}/"}
        elif method == "SETUP":
            if "interleaved" not in headers.get("transport", ""):
                status = "461 Unsupported Transport"
            fields |= {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"}
        elif method == "PLAY":
            fields |= {"Session": "1", "Range": "npt=0.000-"}
        fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.wfile.write(f"RTSP/1.0 {status}\r\n{head}\r\n{body}".encode())
        return status in ("200 OK", "401 Unauthorized", "461 Unsupported Transport")

    def _play(self) -> None:
        sequence = 0
        frame = 0
        while (picture := self.server.owner.outgoing.get()) is not None:
            for packet in packets(picture, sequence=sequence, timestamp=frame * CLOCK_HZ // 15):
                self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                sequence += 1
            frame += 1


def packets(picture: Image, *, sequence: int, timestamp: int) -> list[bytes]:
    """The RTP packets of one picture (uint8 [height, width, 3] BGR; sides are multiples of 16)."""
    height, width = picture.shape[:2]
    jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()
    tables, scan = _parts(jpeg)
    starts = range(0, len(scan), FRAGMENT)
    made = []
    for start in starts:
        last = start + FRAGMENT >= len(scan)
        rtp = struct.pack(
            ">BBHII", 0x80, 26 | (0x80 if last else 0), (sequence + len(made)) & 0xFFFF, timestamp, 7
        )
        head = struct.pack(">I", start) + bytes([TYPE_420, Q_IN_BAND, width // 8, height // 8])
        if start == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        made.append(rtp + head + scan[start : start + FRAGMENT])
    return made


def _parts(jpeg: bytes) -> tuple[bytes, bytes]:
    """Quantisation tables (64 bytes each) and the scan's data of a baseline JPEG."""
    at, tables = 2, b""
    while True:
        marker, length = struct.unpack_from(">HH", jpeg, at)
        body = jpeg[at + 4 : at + 2 + length]
        if marker == 0xFFDB:
            for start in range(0, len(body), 65):
                tables += body[start + 1 : start + 65]
        at += 2 + length
        if marker == 0xFFDA:
            return tables, jpeg[at:].removesuffix(b"\xff\xd9")


def picture_of(level: int, *, size: tuple[int, int] = (96, 128)) -> Image:
    """A picture with something to see, of a mean brightness that tells it from others."""
    shade = np.linspace(-20, 20, size[1])[None, :, None] + np.full((*size, 3), float(level))
    return np.clip(shade, 0, 255).astype(np.uint8)
