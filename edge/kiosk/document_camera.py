"""A document before the device's camera: seen live on the page, taken when somebody presses, judged, encoded.

The camera is open exactly as long as the page that shows it has the controls and its step lasts: who goes
elsewhere, reloads, or lets a session begin closes it. Pictures are in memory alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing

import cv2
import numpy as np
import numpy.typing as npt

from edge.attest.clock import SystemClock
from edge.capture.quality import sharpness_of
from edge.capture.sources import open_camera
from edge.capture.steady import CAMERA_ENDED, SteadyCamera
from edge.config import EdgeConfig
from edge.errors import CameraLost, EdgeError, InputError, SetupError
from edge.kiosk.preview import PreviewCamera
from edge.kiosk.stream import Hub
from edge.model import CameraAssurance, Image

FRAME_S = 2.0  # a camera that gives nothing for so long is said to be away
FRAMES = 5  # of which the sharpest is taken: hands tremble
TAKE_S = 15.0
CLOSE_S = 30.0  # a driver that hangs

MIN_LONG_PX, MIN_SHORT_PX = 640, 480
"""Of the camera's picture: an identity card that fills it has 190 dots to the inch."""

MAX_LONG_PX = 2400
"""Of what is kept: a page of A4 at 200 dots to the inch."""

MIN_LUMA, MAX_LUMA = 45.0, 248.0
"""Mean grey level, 0..255: below, text drowns in noise; above, the paper is all there is."""

JUDGED_PX = 960  # longest side, so that the limit of sharpness does not depend on the camera
TILES = 4
SHARPEST_TILES = 4
MIN_SHARPNESS = 60.0
"""Mean variance of the Laplacian of the sharpest tiles: print in focus has hundreds, else some tens."""

QUALITIES = (92, 85, 75)
MAX_PICTURE_BYTES = 4 * 1024 * 1024
"""Of one document; the service takes 10 MiB, over lines that are slow."""

_log = logging.getLogger(__name__)


def judge_document(pixels: Image) -> None:
    """Check that a picture (uint8 [height, width, 3], BGR) can be read by whoever reviews it.

    Raises:
        InputError: DOCUMENT_TOO_SMALL, DOCUMENT_TOO_DARK, DOCUMENT_TOO_BRIGHT or DOCUMENT_BLURRED.
    """
    height, width = pixels.shape[:2]
    if max(height, width) < MIN_LONG_PX or min(height, width) < MIN_SHORT_PX:
        raise InputError(
            "DOCUMENT_TOO_SMALL",
            "The camera's picture is too small to read a document on it.",
            hint=f"Use a camera of at least {MIN_LONG_PX} x {MIN_SHORT_PX} pixels.",
        )
    luma = _grey(pixels)
    mean = float(luma.mean())
    if mean < MIN_LUMA:
        raise InputError("DOCUMENT_TOO_DARK", "The picture is too dark.", hint="Switch on more light.")
    if mean > MAX_LUMA:
        raise InputError("DOCUMENT_TOO_BRIGHT", "The picture is too bright.", hint="Avoid glare.")
    if sharpness(luma) < MIN_SHARPNESS:
        raise InputError("DOCUMENT_BLURRED", "The picture is not sharp.", hint="Hold the document still.")


def sharpness(luma: npt.NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a grey picture's sharpest tiles: a form may be empty on one half."""
    rows = np.array_split(luma, TILES)
    tiles = [tile for row in rows for tile in np.array_split(row, TILES, axis=1)]
    found = sorted((sharpness_of(np.ascontiguousarray(tile)) for tile in tiles), reverse=True)
    return float(np.mean(found[:SHARPEST_TILES]))


def encode_document(pixels: Image) -> bytes:
    """A JPEG of at most MAX_LONG_PX and MAX_PICTURE_BYTES."""
    longest = max(pixels.shape[:2])
    if longest > MAX_LONG_PX:
        scale = MAX_LONG_PX / longest
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    for quality in QUALITIES:
        content = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()
        if len(content) <= MAX_PICTURE_BYTES:
            return content
    raise InputError("DOCUMENT_BLURRED", "The picture is nothing but noise.", hint="Take it again.")


class DocumentCamera:
    """One camera for one page. ``wanted``: whether that page still shows it; asked with every frame."""

    def __init__(self, config: EdgeConfig, hub: Hub) -> None:
        self._config = config
        self._hub = hub
        self._opening = threading.Lock()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wanted: Callable[[], bool] = lambda: False
        self._asked = 0  # frames that somebody still waits for
        self._best: tuple[float, Image] | None = None
        self._fault: EdgeError | None = None

    def open(self, wanted: Callable[[], bool]) -> None:
        """Show the camera as long as ``wanted``; blocks until it is open.

        Raises:
            SetupError: CAMERA_NOT_ALLOWED.
            HardwareError: NO_CAMERA and the like.
        """
        with self._opening:
            self.close()
            camera = open_camera(self._config.camera, clock=SystemClock())
            if camera.assurance is CameraAssurance.SIMULATED and not self._config.allow_simulated_camera:
                camera.close()
                raise SetupError(
                    "CAMERA_NOT_ALLOWED",
                    "This camera is a file, a stream or a simulator, whose pictures could be made up.",
                    hint="Use a camera of this device; for trials set allow_simulated_camera = true.",
                )
            with self._changed:
                self._wanted, self._fault, self._asked, self._best = wanted, None, 0, None
                self._thread = threading.Thread(
                    target=self._work, args=(camera, wanted), name="document-camera", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Close the camera, if it is open; blocks until it is."""
        with self._changed:
            thread, self._wanted = self._thread, lambda: False
        if thread is not None:
            thread.join(CLOSE_S)

    def take(self) -> Image:
        """The sharpest of the next frames, uint8 [height, width, 3], BGR; blocks.

        Raises:
            CameraLost: it is away.
            InputError: CAMERA_CLOSED: the page does not show it any more.
        """
        deadline = time.monotonic() + TAKE_S
        with self._changed:
            self._asked, self._best = FRAMES, None
            self._changed.wait_for(
                lambda: not self._asked or not self._wanted(), max(0.0, deadline - time.monotonic())
            )
            best, fault, self._asked, self._best = self._best, self._fault, 0, None
        if best is not None:
            return best[1]
        raise fault or InputError("CAMERA_CLOSED", "The camera is closed.", hint="Open it again.")

    def _work(self, camera: SteadyCamera, wanted: Callable[[], bool]) -> None:
        shown = PreviewCamera(camera, self._hub.offer_frame)
        with closing(shown):
            self._tell("")
            while self._wanted is wanted and wanted():
                try:
                    frame = shown.read(FRAME_S)
                except CameraLost as lost:  # it is opened again by the next look
                    self._note(lost)
                    if lost.code == CAMERA_ENDED:
                        break
                else:
                    self._take(frame.pixels)
        self._hub.forget_frame()
        with self._changed:
            self._asked = 0
            self._changed.notify_all()

    def _take(self, pixels: Image) -> None:
        with self._changed:
            asked, recovered, self._fault = self._asked, self._fault is not None, None
        if recovered:
            self._tell("")
        if not asked:
            return
        value = sharpness(_grey(pixels))
        with self._changed:
            if self._best is None or value > self._best[0]:
                self._best = (value, pixels)
            self._asked = max(0, self._asked - 1)
            self._changed.notify_all()

    def _note(self, lost: CameraLost) -> None:
        with self._changed:
            known, self._fault, self._asked = self._fault, lost, 0
            self._changed.notify_all()
        if known is None or known.code != lost.code:
            _log.warning("no pictures of a document: %s", lost.code)
            self._tell(lost.code)

    def _tell(self, fault: str) -> None:
        self._hub.tell(document_camera=fault)


def _grey(pixels: Image) -> npt.NDArray[np.uint8]:
    """The picture as grey levels, at most JUDGED_PX long."""
    longest = max(pixels.shape[:2])
    if longest > JUDGED_PX:
        scale = JUDGED_PX / longest
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)
