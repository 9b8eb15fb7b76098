from __future__ import annotations

import io
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image as PilImage

from edge.capture import camera_stream
from edge.capture.camera_stream import (
    MAX_LINE_BYTES,
    MAX_LINES,
    MAX_PART_BYTES,
    StreamBroken,
    open_stream,
    read_parts,
)
from edge.capture.sources import open_camera
from edge.errors import CameraLost, HardwareError
from edge.model import CameraAssurance
from tests.support.clocks import ManualClock
from tests.support.scans import jpeg_of_scans
from verifield.jpeg import MAX_SCANS

WAIT_S = 10.0


def jpeg(level: int) -> bytes:
    buffer = io.BytesIO()
    PilImage.new("L", (16, 8), level).save(buffer, "JPEG")
    return buffer.getvalue()


def part(body: bytes, number: int | None = None, *, boundary: str = "frame") -> bytes:
    header = f"--{boundary}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n"
    if number is not None:
        header += f"X-Frame-Number: {number}\r\n"
    return header.encode() + b"\r\n" + body + b"\r\n"


def parsed(data: bytes, boundary: str = "frame") -> list[tuple[bytes, int | None]]:
    return [(item.body, item.number) for item in read_parts(io.BytesIO(data), boundary)]


def test_parts_are_read_to_the_end_of_the_stream() -> None:
    bodies = [b"one", b"--frame\r\nin the body", b"", b"\r\n"]
    data = b"".join(part(body, index) for index, body in enumerate(bodies))
    expected = [(body, index) for index, body in enumerate(bodies)]
    assert parsed(data) == expected
    assert parsed(data + b"--frame--\r\nepilogue") == expected
    assert parsed(data + part(b"half a pict")[:-7]) == expected


def test_a_boundary_may_be_declared_with_its_hyphens_and_numbers_may_be_absent() -> None:
    assert parsed(part(b"x"), "--frame") == [(b"x", None)]


@pytest.mark.parametrize(
    "data",
    [
        b"--frame\r\n\r\nbody",
        b"--frame\r\nContent-Length: -1\r\n\r\n",
        b"--frame\r\nContent-Length: 1e3\r\n\r\n",
        b"--frame\r\nContent-Length: " + b"9" * 19 + b"\r\n\r\n",
        b"--frame\r\nContent-Length: 1\r\nX-Frame-Number: one\r\n\r\nx",
        b"--frame\r\n" + b"a: b\r\n" * (MAX_LINES + 1),
        b"junk\r\n" * (MAX_LINES + 1),
        b"-" * (MAX_LINE_BYTES + 1),
        b"--frame\r\nContent-Length: %d\r\n\r\n" % (MAX_PART_BYTES + 1),
    ],
)
def test_a_stream_beyond_the_format_or_its_limits_is_broken(data: bytes) -> None:
    with pytest.raises(StreamBroken):
        parsed(data)


def test_just_inside_the_limits_is_read() -> None:
    assert parsed(part(bytes(MAX_PART_BYTES)))[0][0] == bytes(MAX_PART_BYTES)
    assert parsed(b"junk\r\n" * (MAX_LINES - 1) + part(b"x")) == [(b"x", None)]
    padded = part(b"x").replace(b"\r\n", b"\r\n" + b"a: b\r\n" * (MAX_LINES - 3), 1)
    assert parsed(padded) == [(b"x", None)]
    assert parsed(b"a" * (MAX_LINE_BYTES - 2) + b"\r\n" + part(b"x")) == [(b"x", None)]


class StreamServer(ThreadingHTTPServer):
    """Sends what is put into ``outgoing`` to whoever asks; None ends the answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.outgoing: queue.Queue[bytes | None] = queue.Queue()
        self.requests: list[tuple[str, str | None]] = []
        self.status = 200
        self.kind = "multipart/x-mixed-replace; boundary=frame"

    def url(self, path: str = "/stream", login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: StreamServer

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["Authorization"]))
        self.send_response(self.server.status)
        self.send_header("Content-Type", self.server.kind)
        self.end_headers()
        while (data := self.server.outgoing.get()) is not None:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.outgoing.put(None)
        server.shutdown()
        thread.join()


def test_pictures_arrive_with_their_numbers(server: StreamServer) -> None:
    camera = open_camera("sim+" + server.url("/stream?size=1"), clock=ManualClock())
    for number, level in ((5, 40), (9, 80)):
        server.outgoing.put(part(jpeg(level), number))
        frame = camera.read(WAIT_S)
        assert frame.number == number
        assert frame.pixels.shape == (8, 16, 3)
        assert frame.pixels.mean() == pytest.approx(level, abs=2)
        assert frame.captured_at == 1000.0
    assert camera.assurance is CameraAssurance.SIMULATED
    assert camera.camera_id == "sim+" + server.url("/stream")
    assert server.requests == [("/stream?size=1", None)]
    camera.close()


def test_the_latest_wins_and_dropped_pictures_are_counted(server: StreamServer) -> None:
    camera = open_stream(server.url(), clock=ManualClock())
    server.outgoing.put(b"".join(part(jpeg(level), level) for level in (10, 20, 30)))
    frames = [camera.read(WAIT_S)]
    while frames[-1].number < 30:
        frames.append(camera.read(WAIT_S))
    assert frames[-1].pixels.mean() == pytest.approx(30, abs=2)
    assert len(frames) + camera.dropped == 3
    camera.close()


def test_a_repeated_picture_is_not_a_fresh_one(server: StreamServer) -> None:
    camera = open_stream(server.url(), clock=ManualClock())
    server.outgoing.put(part(jpeg(10), 7))
    assert camera.read(WAIT_S).number == 7
    server.outgoing.put(part(jpeg(10), 7) + part(jpeg(10), 6) + part(jpeg(10), 8))
    assert camera.read(WAIT_S).number == 8
    assert camera.dropped == 2
    camera.close()


def test_a_stream_without_numbers_is_counted_here(server: StreamServer) -> None:
    camera = open_stream(server.url(), clock=ManualClock())
    for expected in (0, 1):
        server.outgoing.put(part(jpeg(10)))
        assert camera.read(WAIT_S).number == expected
    camera.close()


@pytest.mark.parametrize(
    "data", [None, b"--frame\r\n\r\n", part(b"not a picture", 1), part(jpeg_of_scans(MAX_SCANS + 1))]
)
def test_a_stream_that_ends_or_breaks_is_a_lost_camera(server: StreamServer, data: bytes | None) -> None:
    camera = open_stream(server.url(), clock=ManualClock())
    server.outgoing.put(data)
    with pytest.raises(CameraLost) as caught:
        camera.read(WAIT_S)
    assert caught.value.code == "CAMERA_LOST"
    camera.close()


def test_a_silent_stream_is_lost_after_the_time_out_of_the_reader(server: StreamServer) -> None:
    camera = open_stream(server.url(), clock=ManualClock())
    with pytest.raises(CameraLost, match="no picture"):
        camera.read(0.02)
    camera.close()


def test_a_silent_connection_breaks_off(server: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_stream, "SILENCE_TIMEOUT_S", 0.05)
    camera = open_stream(server.url(), clock=ManualClock())
    with pytest.raises(CameraLost, match="broke off"):
        camera.read(WAIT_S)
    camera.close()


def test_after_closing_nothing_is_given_and_the_thread_is_gone(server: StreamServer) -> None:
    camera = open_stream(server.url(), clock=ManualClock())
    camera.close()
    with pytest.raises(CameraLost):
        camera.read(WAIT_S)
    assert not any(thread.name == "camera-stream" for thread in threading.enumerate())


def test_credentials_are_sent_and_never_shown(server: StreamServer) -> None:
    camera = open_stream(server.url(login="clerk:se%3Acret@"), clock=ManualClock())
    assert "cret" not in camera.camera_id
    assert server.requests[0][1] == "Basic Y2xlcms6c2U6Y3JldA=="
    camera.close()


@pytest.mark.parametrize(
    ("status", "kind"), [(404, "multipart/x-mixed-replace; boundary=f"), (200, "text/html")]
)
def test_an_answer_that_is_no_stream_is_no_camera(server: StreamServer, status: int, kind: str) -> None:
    server.status, server.kind = status, kind
    server.outgoing.put(None)
    with pytest.raises(HardwareError) as caught:
        open_stream(server.url(login="clerk:secret@"), clock=ManualClock())
    assert caught.value.code == "NO_CAMERA"
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://127.0.0.1:99999/", "http://[::1/", "http:///x"]
)
def test_an_address_where_nobody_answers_is_no_camera(url: str) -> None:
    with pytest.raises(HardwareError) as caught:
        open_stream(url, clock=ManualClock())
    assert caught.value.code == "NO_CAMERA"


def test_an_address_that_http_cannot_carry_is_no_camera(server: StreamServer) -> None:
    server.outgoing.put(None)
    with pytest.raises(HardwareError) as caught:
        open_stream(server.url() + "/c\u00e1mara", clock=ManualClock())
    assert caught.value.code == "NO_CAMERA"
    assert "ASCII" in caught.value.message


def test_a_camera_that_serves_somebody_else_is_busy(server: StreamServer) -> None:
    server.status = 503
    server.outgoing.put(None)
    with pytest.raises(HardwareError) as caught:
        open_stream(server.url(login="clerk:s3cret@"), clock=ManualClock())
    assert caught.value.code == "CAMERA_BUSY"
    assert "s3cret" not in caught.value.message + caught.value.hint
