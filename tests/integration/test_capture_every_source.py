"""The same verification on every kind of source that can exist here, with nothing else changed.

One session before the simulated person is recorded; the recording is then what each source gives. The
simulator itself is asked live. Of a camera of the machine everything is real but the driver.
"""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.capture.camera_files import PICTURES_PER_SECOND
from edge.capture.sources import POSSIBLE, open_camera
from edge.errors import HardwareError
from edge.model import CameraAssurance, Evidence, Frame, Image, Outcome
from edge.models.store import ModelStore
from edge.policy import Policy
from edge.ports import Camera
from edge.vision import Vision
from tests.support.booth import Booth, SceneCamera, Watched, nonces_to_the_left
from tests.support.clocks import ManualClock
from tests.support.liveness import QUICK
from tests.support.made_machine import MadeMachine
from tests.support.rtsp_server import RtspServer
from verifield_sim import portraits
from verifield_sim.camera import FaultyCamera, Scene
from verifield_sim.scenario import CardSpec, PersonSpec, Scenario
from verifield_sim.server import SimServer
from verifield_sim.world import World

PERSON, SEED = "astronaut", 3
POLICY = Policy(liveness=QUICK)
NONCE = next(nonces_to_the_left())
STEP_S = 1.0 / PICTURES_PER_SECOND
WAIT_S = 60.0  # far beyond what any picture needs
SOURCES = ("index", "serial", "path", "rtsp", "http", "simulator", "video", "folder")


@pytest.fixture(scope="module")
def vision(model_store: ModelStore) -> Vision:
    return Vision.open(model_store, threads=1)


def scene() -> Scene:
    return Scene("live", portraits.load(PERSON), seed=SEED)


def verify(booth: Booth, vision: Vision) -> Evidence:
    """The session under test: the same for all."""
    pipeline = dataclasses.replace(booth.pipeline(vision, policy=POLICY), random=lambda _: NONCE)
    verification = pipeline.run()
    assert verification.decision.outcome is Outcome.VERIFIED, verification.decision
    return verification.evidence


@pytest.fixture(scope="module")
def recorded(vision: Vision) -> list[Image]:
    """Every picture that the camera gave in one session."""
    booth = Booth(scene(), card=PERSON)
    live = SceneCamera(FaultyCamera(booth.scene), booth.clock, fps=PICTURES_PER_SECOND, began=booth.began)
    booth.camera = Watched(live)
    verify(booth, vision)
    frames = [frame.pixels for frame in booth.camera.frames]
    return [*frames, *(scene().frame(99.0 + number * STEP_S) for number in range(20))]


@dataclass
class Paced:
    """Implements ``ports.Camera``: with each look time goes on by a frame, and the source gives one."""

    camera: Camera
    clock: ManualClock
    give: Callable[[], None]
    step_s: float = STEP_S
    unrest: random.Random = field(default_factory=lambda: random.Random(1))

    @property
    def camera_id(self) -> str:
        return self.camera.camera_id

    @property
    def assurance(self) -> CameraAssurance:
        return self.camera.assurance

    def read(self, timeout_s: float) -> Frame:
        self.clock.advance(self.step_s * self.unrest.uniform(0.97, 1.03))  # on a grid no host gets its frames
        self.give()
        return self.camera.read(WAIT_S)

    def close(self) -> None:
        self.camera.close()


@pytest.mark.req("E001")
@pytest.mark.parametrize("source", SOURCES)
def test_the_same_verification_runs_on_each_source(
    vision: Vision, recorded: list[Image], tmp_path: Path, source: str
) -> None:
    booth = Booth(scene(), card=PERSON)
    with ExitStack() as stack:
        camera = stack.enter_context(OPENERS[source](booth, recorded, tmp_path))
        stack.callback(camera.close)
        booth.camera = Watched(camera)
        evidence = verify(booth, vision)
    assert evidence.capture is not None
    assert evidence.match is not None
    assert evidence.match.matched
    host = source in ("index", "serial", "path")
    assert evidence.capture.assurance is (CameraAssurance.HOST if host else CameraAssurance.SIMULATED)


@pytest.mark.req("E001")
@pytest.mark.parametrize("uri", ["", "usb:1", "ftp://x/y", "gstreamer:videotestsrc"])
def test_an_unknown_source_is_refused_with_all_that_are_possible(uri: str) -> None:
    with pytest.raises(HardwareError) as caught:
        open_camera(uri, clock=ManualClock())
    assert caught.value.code == "CAMERA_UNKNOWN"
    assert all(item in caught.value.hint for item in POSSIBLE)
    for beginning in ("v4l2:0", "v4l2:serial=", "/dev/", "rtsp:", "http:", "sim+http:", "video:", "folder:"):
        assert any(beginning in item for item in POSSIBLE)


@contextmanager
def of_the_machine(booth: Booth, frames: list[Image], folder: Path, *, address: str) -> Iterator[Camera]:
    pictures = iter(frames)
    made = MadeMachine(folder / "machine", lambda: next(pictures, None))
    device = made.plug("video0", serial="S-1")
    uri = address.format(device=device)
    camera = open_camera(uri, clock=booth.clock, wait=booth.clock.advance, machine=made.machine)
    try:
        yield Paced(camera, booth.clock, made.next_one)
    finally:
        made.unplug("video0")


@contextmanager
def of_rtsp(booth: Booth, frames: list[Image], folder: Path) -> Iterator[Camera]:
    pictures = iter(frames)
    with RtspServer(login="a:b") as server:
        for _ in range(3):  # FFmpeg looks at some before it says yes
            server.send(frames[0])
        camera = open_camera(server.url(login="a:b@"), clock=booth.clock, wait=booth.clock.advance)
        yield Paced(camera, booth.clock, lambda: server.send(next(pictures)))


@contextmanager
def of_http(booth: Booth, frames: list[Image], folder: Path) -> Iterator[Camera]:
    gate = threading.Semaphore(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=x")
            self.end_headers()
            for picture in frames:
                gate.acquire()
                body = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 95))[1].tobytes()
                head = f"--x\r\nContent-Length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body + b"\r\n")

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        camera = open_camera(f"http://127.0.0.1:{port}/", clock=booth.clock, wait=booth.clock.advance)
        yield Paced(camera, booth.clock, gate.release)
        gate.release(len(frames))


@contextmanager
def of_the_simulator(booth: Booth, frames: list[Image], folder: Path) -> Iterator[Camera]:
    gate = threading.Semaphore(0)
    scenario = Scenario("test", SEED, CardSpec(PERSON), PersonSpec("live", PERSON))
    world = World.open(scenario, link=folder / "reader", clock=lambda: booth.now)
    booth.show = lambda prompt: world.show(prompt.value)  # type: ignore[method-assign]
    try:
        with serving(SimServer(world, wait=lambda _: bool(gate.acquire()))) as port:
            uri = f"sim+http://127.0.0.1:{port}/camera"
            camera = open_camera(uri, clock=booth.clock, wait=booth.clock.advance)
            yield Paced(camera, booth.clock, gate.release, step_s=STEP_S / 3)  # turns are short
            gate.release(10_000)
    finally:
        world.close()


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[int]:
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def of_a_video(booth: Booth, frames: list[Image], folder: Path) -> Iterator[Camera]:
    path = folder / "session.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), PICTURES_PER_SECOND, (640, 480))
    for frame in frames:
        writer.write(frame)
    writer.release()
    yield open_camera(f"video:{path}", clock=booth.clock, wait=booth.clock.advance)


@contextmanager
def of_a_folder(booth: Booth, frames: list[Image], folder: Path) -> Iterator[Camera]:
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:04}.bmp"), frame)
    yield open_camera(f"folder:{folder}", clock=booth.clock, wait=booth.clock.advance)


Opener = Callable[[Booth, list[Image], Path], Any]

OPENERS: dict[str, Opener] = {
    "index": lambda *given: of_the_machine(*given, address="v4l2:0"),
    "serial": lambda *given: of_the_machine(*given, address="v4l2:serial=S-1"),
    "path": lambda *given: of_the_machine(*given, address="v4l2:{device}"),
    "rtsp": of_rtsp,
    "http": of_http,
    "simulator": of_the_simulator,
    "video": of_a_video,
    "folder": of_a_folder,
}
