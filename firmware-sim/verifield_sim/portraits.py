"""Portraits that come with well-known packages, found faces, and the photo field of a synthetic card.

The photo field of a real card is a closed format, so the simulator brings its own, 1024 bytes long:

    offset  size  content
    0       6     b"VFSIM\\x01"
    6       1     1 = WebP, 2 = AVIF
    7       2     length of the picture data, little-endian
    9       n     picture data, 102 x 126
    9+n     -     zeros
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image as PilImage
from skimage.feature import Cascade

from verifield_sim.errors import SimError

Image = npt.NDArray[np.uint8]

PHOTO_WIDTH, PHOTO_HEIGHT = 102, 126  # the size of every chip photo seen in public
PHOTO_BYTES = 1024
MAX_PICTURE_BYTES = 32 * 1024 * 1024  # a 40-megapixel JPEG of a good camera has 20 MB
PHOTO_MAGIC = b"VFSIM\x01"
FORMAT_WEBP, FORMAT_AVIF = 1, 2
_HEADER_BYTES = len(PHOTO_MAGIC) + 1 + 2

# A found box spans brows to chin. On a card the head takes six tenths of the width, and the middle of
# the face lies a little below the middle of the picture.
_FRAME_WIDTHS_PER_BOX = 1.85
_BOX_CENTRE_FROM_TOP = 0.52
_OVAL = (0.42, 0.48)  # half axes around head and neck, of the picture's width and height

_SMALLEST_FACE = 0.1  # of the shorter side: smaller finds are patterns in the background
_DETECT_SIDE_PX = 640  # the longer side that the search works on, so that a large photo takes no minutes


def _astronaut() -> Image:
    picture = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)


def _grace_hopper() -> Image:
    return _read_picture(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")


NAMED: dict[str, Callable[[], Image]] = {"astronaut": _astronaut, "grace_hopper": _grace_hopper}


def load(name_or_path: str) -> Image:
    """Return a portrait, uint8 [height, width, 3] BGR, by its name or from a picture file.

    Raises:
        SimError: neither a known name nor a readable picture.
    """
    if (named := NAMED.get(name_or_path)) is not None:
        return named()
    path = Path(name_or_path)
    if not path.is_file():
        raise SimError(f"no portrait {name_or_path!r}: give a picture file or one of {', '.join(NAMED)}")
    return _read_picture(path)


def _read_picture(path: Path) -> Image:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_PICTURE_BYTES + 1)
    except OSError as error:
        raise SimError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > MAX_PICTURE_BYTES:
        raise SimError(f"{path.name} is larger than {MAX_PICTURE_BYTES} bytes")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # an empty file, a picture of absurd size
        picture = None
    if picture is None:
        raise SimError(f"{path.name} is not a picture that can be read")
    return picture.astype(np.uint8, copy=False)


def face_box(image: Image) -> tuple[int, int, int, int]:
    """Return x, y, width, height of the biggest face, in pixels of ``image`` (uint8 BGR).

    Local binary patterns after Liao et al., "Learning Multi-scale Block LBP for Face Recognition", 2007,
    with the cascade that scikit-image ships.

    The newest few answers are remembered, for many scenes show one portrait.

    Raises:
        SimError: no face was found.
    """
    return _face_box(image.tobytes(), image.shape)


@lru_cache(maxsize=4)
def _face_box(data: bytes, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    image = np.frombuffer(data, np.uint8).reshape(shape)
    scale = min(1.0, _DETECT_SIDE_PX / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    short_side = min(small.shape[:2])
    smallest = max(24, round(short_side * _SMALLEST_FACE))  # 24 pixels is what the cascade was trained on
    if short_side < smallest:
        raise SimError("the picture is too small to hold a face")
    trained = skimage.data.lbp_frontal_face_cascade_filename()  # type: ignore[no-untyped-call]
    found = Cascade(trained).detect_multi_scale(
        np.ascontiguousarray(small[..., ::-1]),
        scale_factor=1.1,
        step_ratio=1,
        min_size=(smallest, smallest),
        max_size=(short_side, short_side),
    )
    if not found:
        raise SimError("no face was found in the picture")
    best = max(found, key=lambda box: box["width"])
    x, y, width, height = (round(best[key] / scale) for key in ("c", "r", "width", "height"))
    return x, y, width, height


def id_photo(image: Image) -> Image:
    """Crop ``image`` as an ID photo: uint8 [126, 102, 3] BGR. Missing surroundings repeat the border.

    Raises:
        SimError: no face was found.
    """
    x, y, width, height = face_box(image)
    scale = PHOTO_WIDTH / (width * _FRAME_WIDTHS_PER_BOX)
    # Shrinking inside warpAffine would skip pixels: soften first, as a scanner's lens does.
    source = cv2.GaussianBlur(image, (0, 0), 0.4 / scale) if scale < 1 else image
    transform = np.array(
        [
            [scale, 0, PHOTO_WIDTH / 2 - scale * (x + width / 2)],
            [0, scale, PHOTO_HEIGHT * _BOX_CENTRE_FROM_TOP - scale * (y + height / 2)],
        ]
    )
    photo = cv2.warpAffine(
        source,
        transform,
        (PHOTO_WIDTH, PHOTO_HEIGHT),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _calm_background(photo)


def _calm_background(photo: cv2.typing.MatLike) -> Image:
    """Blur what lies outside an oval: real cards show a plain wall, and 1 KiB is just enough for a face."""
    rows, columns = np.mgrid[:PHOTO_HEIGHT, :PHOTO_WIDTH]
    across = (columns - PHOTO_WIDTH / 2) / (PHOTO_WIDTH * _OVAL[0])
    down = (rows - PHOTO_HEIGHT / 2) / (PHOTO_HEIGHT * _OVAL[1])
    outside = np.clip((np.hypot(across, down) - 0.85) / 0.3, 0, 1)[..., None]  # a soft edge
    calm = cv2.GaussianBlur(photo, (0, 0), 6)
    return np.asarray(photo * (1 - outside) + calm * outside, np.uint8)


def encode_chip_photo(image: Image) -> bytes:
    """Encode uint8 [126, 102, 3] BGR into the 1024-byte photo field, with the codec that loses less.

    Raises:
        SimError: wrong size, or neither codec can say it in so few bytes.
    """
    if image.shape != (PHOTO_HEIGHT, PHOTO_WIDTH, 3):
        raise SimError(f"a card's photo is {PHOTO_WIDTH} x {PHOTO_HEIGHT} in colour, not {image.shape}")
    picture = PilImage.fromarray(np.ascontiguousarray(image[..., ::-1]))
    candidates = [
        (_squared_error(picture, data), code, data)
        for code, name in ((FORMAT_WEBP, "WEBP"), (FORMAT_AVIF, "AVIF"))
        if (data := _best_that_fits(picture, name)) is not None
    ]
    if not candidates:
        raise SimError(f"the picture does not fit into {PHOTO_BYTES} bytes")
    _, code, data = min(candidates)
    field = PHOTO_MAGIC + bytes([code]) + len(data).to_bytes(2, "little") + data
    return field.ljust(PHOTO_BYTES, b"\0")


def _best_that_fits(picture: PilImage.Image, name: str) -> bytes | None:
    """Bisect over the quality: sizes grow with it."""
    best: bytes | None = None
    low, high = 0, 100
    while low <= high:
        quality = (low + high) // 2
        stream = io.BytesIO()
        if name == "WEBP":
            picture.save(stream, name, quality=quality, method=6)
        else:
            picture.save(stream, name, quality=quality, speed=4, max_threads=1)
        if len(data := stream.getvalue()) <= PHOTO_BYTES - _HEADER_BYTES:
            best, low = data, quality + 1
        else:
            high = quality - 1
    return best


def _squared_error(picture: PilImage.Image, data: bytes) -> float:
    with PilImage.open(io.BytesIO(data)) as decoded:
        back = np.asarray(decoded.convert("RGB"), np.float32)
    return float(np.square(back - np.asarray(picture, np.float32)).mean())
