"""What the device itself adds to a visit: the card's four elements, and one picture of the person.

Both are taken between two sessions, and go into the visit alone: nothing is recorded.
"""

from __future__ import annotations

import time
from contextlib import closing

import cv2

from edge.attest.clock import SystemClock
from edge.capture.sources import open_camera
from edge.errors import InputError, SetupError
from edge.kiosk.account_visit import Elements
from edge.kiosk.card import read_card
from edge.kiosk.office import Office
from edge.kiosk.server import Kiosk
from edge.model import CameraAssurance, Face, Image

LOOK_S = 20.0
FRAME_S = 5.0
MIN_EYES_PX = 40.0
"""Between the eyes; the registry's own photographs have less."""

PICTURE_PX = 480
QUALITY = 88
MAX_PICTURE_BYTES = 256 * 1024
"""A limit of the contract (account_service.proto)."""


async def read_elements(kiosk: Kiosk) -> Elements:
    """Read the card that lies on the reader, or is laid on it now; what to do with it is said on the page.

    Errors as ``read_card``.
    """
    document = await read_card(kiosk)
    return Elements(
        document.name,
        document.number,
        document.valid_from.isoformat(),
        document.valid_to.isoformat() if document.valid_to else "",
    )


def take_portrait(office: Office) -> bytes:
    """A JPEG of the one face before the camera, with its surroundings. On the office's thread.

    Raises:
        SetupError: CAMERA_NOT_ALLOWED.
        HardwareError: NO_CAMERA and the like.
        InputError: NO_FACE.
    """
    vision = office.vision
    with closing(open_camera(office.config.camera, clock=SystemClock())) as camera:
        if camera.assurance is CameraAssurance.SIMULATED and not office.config.allow_simulated_camera:
            raise SetupError(
                "CAMERA_NOT_ALLOWED",
                "This camera is a file, a stream or a simulator, whose pictures could be made up.",
                hint="Use a camera attached to this device; for trials set allow_simulated_camera = true.",
            )
        until = time.monotonic() + LOOK_S
        while time.monotonic() < until:
            pixels = camera.read(FRAME_S).pixels
            faces = vision.detect(pixels)
            if len(faces) == 1 and faces[0].inter_eye >= MIN_EYES_PX:
                return _encode(_around(pixels, faces[0]))
    raise InputError("NO_FACE", "No face was seen.", hint="Look straight into the camera, alone.")


def _around(pixels: Image, face: Face) -> Image:
    """The face with half its size around it."""
    height, width = pixels.shape[:2]
    x, y, w, h = face.box
    left, top = max(0, int(x - w / 2)), max(0, int(y - h / 2))
    right, bottom = min(width, int(x + w * 1.5)), min(height, int(y + h * 1.5))
    cut: Image = pixels[top:bottom, left:right]
    return cut


def _encode(pixels: Image) -> bytes:
    longest = max(pixels.shape[:2])
    if longest > PICTURE_PX:
        scale = PICTURE_PX / longest
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype("uint8")
    content = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))[1].tobytes()
    if len(content) > MAX_PICTURE_BYTES:
        raise AssertionError("480 pixels fit into 256 KiB at this quality")
    return content
