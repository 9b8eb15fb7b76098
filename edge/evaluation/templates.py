"""One template of each picture, made once and kept, so that an evaluation that was broken off goes on."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from edge.capture.align import align
from edge.capture.chip_photo import HEIGHT, WIDTH, is_chip_photo, with_surroundings
from edge.capture.choose import MIN_PORTRAIT_SCORE, is_plausible
from edge.capture.pictures import read_picture
from edge.errors import InputError, SetupError
from edge.files import write_private
from edge.model import Embedding, Face, Image
from edge.ports import FaceDetector

SIZE = 128
KEEP_EVERY = 500
"""Pictures; so many are made again, at most, after a power cut (about half a minute)."""

VERSION = 1
"""Of how a face is chosen and cut out here; templates of another one are made again."""

CHIP_EYES, CHIP_EYE_LINE = 0.27, 0.45
"""Distance of the eyes over the width of a card's portrait, and the height of their line from its top."""

CHIP_BYTES = 1024

CACHE_NAME = "templates.npz"
Floats = npt.NDArray[np.float32]
Tell = Callable[[int, int], None]


class Embedder(Protocol):
    """What makes templates; see ``edge.match.embedder``."""

    model_sha256: str

    def embed(self, aligned: Image) -> Embedding:
        """Raises ValueError where the network gives no direction."""


@dataclass(frozen=True, slots=True)
class Templates:
    """Of each picture: ``vectors`` (float32 [n, 128]), zeros where ``found`` is false.

    ``crowded``: how many show several faces; there the one in the middle counts.
    """

    vectors: Floats
    found: npt.NDArray[np.bool_]
    crowded: int


@dataclass(frozen=True, slots=True)
class Maker:
    """``chip``: whether pictures are first made what a card's chip would hold of them."""

    detector: FaceDetector
    embedder: Embedder
    chip: bool = False

    @property
    def kind(self) -> str:
        """Whatever decides on a template beside its picture."""
        return f"{VERSION} {self.embedder.model_sha256} {'chip' if self.chip else 'live'}"

    def make(self, path: Path) -> tuple[Floats | None, bool]:
        """The template of the face that a picture is about, None where none is found; and whether it was
        one of several.

        Raises:
            InputError: NOT_A_PICTURE, PICTURE_TOO_LARGE, TEMPLATE_INVALID.
        """
        image = read_picture(path)
        if is_chip_photo(image):
            image = with_surroundings(image)
        face, several = central_face(self.detector.detect(image), image.shape[:2])
        if face is not None and self.chip:
            image = with_surroundings(as_chip_photo(image, face))
            face, _ = central_face(self.detector.detect(image), image.shape[:2])
        if face is None:
            return None, False
        try:
            return self.embedder.embed(align(image, face)).vector, several
        except ValueError as error:
            raise InputError(
                "TEMPLATE_INVALID",
                f"The network gives no template for {path.name} ({error}).",
                hint="Check the models with: verifield-edge models verify",
            ) from error


def central_face(faces: Sequence[Face], size: tuple[int, int]) -> tuple[Face | None, bool]:
    """The face that a picture is about, and whether there were several.

    Pictures of such collections are centred on their person: among plausible faces, or among all where none
    is, the one counts whose box holds the middle; of several, the one nearest to it in its own size.
    """
    plausible = [face for face in faces if is_plausible(face, size, min_score=MIN_PORTRAIT_SCORE)]
    among = plausible or list(faces)
    height, width = size

    def distance(face: Face) -> float:
        x, y, w, h = face.box
        return float(np.hypot(x + w / 2 - width / 2, y + h / 2 - height / 2)) / max(w, h, 1.0)

    return min(among, key=distance, default=None), len(among) > 1


def as_chip_photo(image: Image, face: Face) -> Image:
    """What a card's chip would hold of a portrait: 102x126 pixels, soft, compressed into 1 KiB at most."""
    scale = WIDTH * CHIP_EYES / face.inter_eye
    left, top = face.points[:2].mean(axis=0) * scale - np.array([WIDTH / 2, CHIP_EYE_LINE * HEIGHT])
    matrix = np.array([[scale, 0, -left], [0, scale, -top]])
    soft = cv2.GaussianBlur(image, (0, 0), 0.4 / scale) if scale < 0.5 else image
    small = cv2.warpAffine(soft, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    picture = PilImage.fromarray(np.ascontiguousarray(small[:, :, ::-1]))
    for quality in range(60, -1, -4):
        stream = io.BytesIO()
        picture.save(stream, "WEBP", quality=quality)
        if stream.tell() <= CHIP_BYTES:
            break
    with PilImage.open(stream) as squeezed:
        return np.ascontiguousarray(np.asarray(squeezed.convert("RGB"), np.uint8)[:, :, ::-1])


def make_templates(
    paths: Sequence[Path], maker: Maker, *, cache: Path | None, tell: Tell = lambda _done, _all: None
) -> Templates:
    """A template of each picture. ``cache``: a folder for what was made, taken up again by the next run.

    Raises:
        InputError: PICTURE_MISSING, NOT_A_PICTURE, PICTURE_TOO_LARGE, TEMPLATE_INVALID, EVALUATION_CACHE;
        SetupError: EVALUATION_UNWRITABLE.
    """
    stamps = [_stamp(path) for path in paths]
    kept = _Cache(cache / CACHE_NAME if cache else None, maker.kind)
    vectors = np.zeros((len(paths), SIZE), np.float32)
    found = np.zeros(len(paths), np.bool_)
    crowded = 0
    try:
        for number, (path, stamp) in enumerate(zip(paths, stamps, strict=True)):
            made = kept.get(stamp)
            if made is None:
                vector, several = maker.make(path)
                made = (np.zeros(SIZE, np.float32) if vector is None else vector, vector is not None, several)
                kept.put(stamp, made)
            vectors[number], found[number] = made[0], made[1]
            crowded += made[2]
            tell(number + 1, len(paths))
    finally:
        kept.save()
    return Templates(vectors, found, crowded)


_Array = npt.NDArray[np.generic]
_Made = tuple[Floats, bool, bool]


class _Cache:
    """Templates by what tells one file from another: its path, size and time."""

    def __init__(self, path: Path | None, kind: str) -> None:
        self._path = path
        self._kind = kind
        self._made: dict[str, _Made] = {}
        self._new = 0
        if path is not None and path.exists():
            self._load(path)

    def get(self, stamp: str) -> _Made | None:
        return self._made.get(stamp)

    def put(self, stamp: str, made: _Made) -> None:
        self._made[stamp] = made
        self._new += 1
        if self._new >= KEEP_EVERY:
            self.save()

    def save(self) -> None:
        if self._path is None or not self._new:
            return
        stream = io.BytesIO()
        np.savez(
            stream,
            kind=np.array(self._kind),
            stamps=np.array(list(self._made)),
            vectors=np.stack([one[0] for one in self._made.values()]),
            found=np.array([one[1] for one in self._made.values()]),
            several=np.array([one[2] for one in self._made.values()]),
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_private(self._path, stream.getvalue())
        except OSError as error:
            raise unwritable(self._path.parent, error) from error
        self._new = 0

    def _load(self, path: Path) -> None:
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
                if str(kept["kind"]) != self._kind:
                    return
                stamps, vectors = kept["stamps"], kept["vectors"]
                found, several = kept["found"], kept["several"]
                _check_kept(stamps, vectors, found, several)
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                "EVALUATION_CACHE",
                f"The templates kept in {path.name} cannot be used ({type(error).__name__}).",
                hint=f"Remove {path}; they are made again.",
            ) from error
        for stamp, vector, one, many in zip(stamps, vectors, found, several, strict=True):
            self._made[str(stamp)] = (np.asarray(vector, np.float32), bool(one), bool(many))


def _check_kept(stamps: _Array, vectors: _Array, *flags: _Array) -> None:
    if any(len(one) != len(stamps) for one in (vectors, *flags)):
        raise ValueError("the parts are not of one length")
    if vectors.shape[1:] != (SIZE,) or not np.isfinite(vectors).all():
        raise ValueError("these are no templates")


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have, with a NUL in it
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            "PICTURE_MISSING",
            f"The list names {path.name}, which is not in the folder ({why}).",
            hint="Give the folder that the paths of the list start from with --images.",
        ) from error
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"


def unwritable(folder: Path, error: OSError) -> SetupError:
    """The fault of a folder that takes no report."""
    return SetupError(
        "EVALUATION_UNWRITABLE",
        f"Nothing can be written to {folder} ({error.strerror or type(error).__name__}).",
        hint="Name another folder.",
    )
