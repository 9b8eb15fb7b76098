"""A camera that streams JPEG pictures over HTTP (multipart/x-mixed-replace), as the simulated one does."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from edge.capture.latest import LatestSlot, camera_lost
from edge.capture.pictures import decode_picture
from edge.errors import HardwareError, InputError
from edge.model import CameraAssurance, Frame
from edge.ports import Clock

SILENCE_TIMEOUT_S = 2.0  # a stream without a byte for this long is dead (a camera's loss shows within 2 s)
CLOSE_TIMEOUT_S = 2.0  # as long as a silent stream is waited for
MAX_PART_BYTES = 4 * 1024 * 1024  # a 12-megapixel JPEG of good quality
MAX_LINE_BYTES = 1024  # of a part's header
MAX_LINES = 32  # of a part's header


class StreamBroken(Exception):
    """The stream does not follow the format, or exceeds a limit; the sentence says how."""


class ByteStream(Protocol):
    """The part of a binary file that is used."""

    def readline(self, limit: int = -1, /) -> bytes: ...

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Part:
    """One picture as it came. ``number``: what X-Frame-Number says, None where it is absent."""

    body: bytes
    number: int | None


def read_parts(stream: ByteStream, boundary: str) -> Iterator[Part]:
    """Parse the parts of a stream until it ends (RFC 2046 section 5.1; each part gives its length).

    Raises:
        StreamBroken: a malformed part, one without Content-Length, or one beyond a limit.
    """
    marker = boundary.strip("-").encode()  # some cameras count the two hyphens to the boundary
    while True:
        line = _skip_to_marker(stream, marker)
        if line is None or line.endswith(b"--"):
            return
        headers = _read_headers(stream)
        length = _parse_number(headers.get("content-length"))
        if length is None:
            raise StreamBroken("a part without Content-Length")
        if length > MAX_PART_BYTES:
            raise StreamBroken(f"a part of {length} bytes")
        body = stream.read(length)
        if len(body) < length:
            return
        yield Part(body, _parse_number(headers.get("x-frame-number")))


def _skip_to_marker(stream: ByteStream, marker: bytes) -> bytes | None:
    for _ in range(MAX_LINES):
        line = _read_line(stream)
        if line is None:
            return None
        if line.startswith(b"-") and line.strip(b"-") == marker:
            return line
    raise StreamBroken("no boundary where one should be")


def _read_headers(stream: ByteStream) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(MAX_LINES):
        line = _read_line(stream)
        if not line:
            return headers
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    raise StreamBroken("too many header lines")


def _read_line(stream: ByteStream) -> bytes | None:
    """One line without its end; None at the end of the stream."""
    line = stream.readline(MAX_LINE_BYTES + 1)
    if not line:
        return None
    if len(line) > MAX_LINE_BYTES:
        raise StreamBroken("a header line is too long")
    return line.rstrip(b"\r\n")


def _parse_number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise StreamBroken("a header that should be a number is not")
    return int(text)


class StreamCamera:
    """Implements ``ports.Camera``: a thread reads the stream; only a picture that is asked for is decoded."""

    def __init__(self, link: StreamLink, *, camera_id: str, clock: Clock) -> None:
        self._link = link
        self._camera_id = camera_id
        self._slot: LatestSlot[tuple[bytes, int]] = LatestSlot(clock)
        self._repeated = 0
        self._thread = threading.Thread(target=self._run, name="camera-stream", daemon=True)
        self._thread.start()

    @property
    def camera_id(self) -> str:
        return self._camera_id

    @property
    def assurance(self) -> CameraAssurance:
        """Anyone on the way can send pictures."""
        return CameraAssurance.SIMULATED

    @property
    def dropped(self) -> int:
        """Pictures that nobody had time for, and those that came a second time."""
        return self._slot.dropped + self._repeated

    def read(self, timeout_s: float) -> Frame:
        """See ``ports.Camera``."""
        (data, number), captured_at = self._slot.take(timeout_s)
        try:
            pixels = decode_picture(data, name="a picture of the stream")
        except InputError as error:
            raise camera_lost(f"The stream is broken: {error.message}") from error
        return Frame(pixels, captured_at, number)

    def close(self) -> None:
        """Hang up and stop the thread."""
        self._slot.fail("The camera was closed.")
        self._link.hang_up()
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        newest = -1
        try:
            for part in read_parts(self._link.answer, self._link.boundary):
                number = newest + 1 if part.number is None else part.number
                if number <= newest:
                    self._repeated += 1  # a picture that was sent before is not a fresh one
                    continue
                newest = number
                self._slot.put((part.body, number))
            self._slot.fail("The stream ended.")
        except StreamBroken as error:
            self._slot.fail(f"The stream is broken: {error}.")
        except (OSError, http.client.HTTPException, ValueError):  # ValueError: read after hang-up
            self._slot.fail("The connection to the camera broke off.")
        finally:
            self._link.close()


class StreamLink:
    """An HTTP answer that goes on and on, and a way to end it from another thread."""

    def __init__(
        self, connection: http.client.HTTPConnection, link: socket.socket, answer: http.client.HTTPResponse
    ) -> None:
        self._connection = connection
        self._socket = link
        self.answer = answer
        self.boundary = answer.headers.get_boundary() or ""

    def hang_up(self) -> None:
        """Wake whoever reads, which finds the stream at its end."""
        with contextlib.suppress(OSError):  # the other side was faster
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


def open_stream(url: str, *, clock: Clock) -> StreamCamera:
    """Connect to ``http://[user:password@]host[:port]/path``.

    Raises:
        HardwareError: NO_CAMERA or CAMERA_BUSY.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _no_camera("The address of the stream", "cannot be understood") from error
    camera_id = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"
    connection = http.client.HTTPConnection(host, port, timeout=SILENCE_TIMEOUT_S)
    try:
        connection.connect()
        connection.request("GET", _target(parts), headers=_credentials(parts))
        link = connection.sock
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise _no_camera(camera_id, "does not answer") from error
    except ValueError as error:  # characters that an address cannot have
        connection.close()
        raise _no_camera(camera_id, "cannot be asked for: write its address in ASCII") from error
    if answer.status != http.client.OK or not answer.headers.get_boundary():
        answer.close()
        connection.close()
        if answer.status == http.client.SERVICE_UNAVAILABLE:
            raise HardwareError(
                "CAMERA_BUSY", f"{camera_id} serves somebody else.", hint="Close the other program."
            )
        raise _no_camera(camera_id, f"does not stream pictures (HTTP {answer.status})")
    return StreamCamera(StreamLink(connection, link, answer), camera_id=camera_id, clock=clock)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _credentials(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(words.encode()).decode()}


def _no_camera(camera_id: str, what: str) -> HardwareError:
    return HardwareError(
        "NO_CAMERA", f"{camera_id} {what}.", hint="Check the address and that the camera is switched on."
    )
