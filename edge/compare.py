"""Two picture files: the same person?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.capture.align import align
from edge.capture.chip_photo import is_chip_photo, with_surroundings
from edge.capture.choose import Chosen, MultipleFaces, choose_face, choose_portrait
from edge.capture.pictures import read_picture
from edge.errors import InputError
from edge.match.embedder import SFaceEmbedder
from edge.match.score import match
from edge.model import Embedding, Face, MatchResult
from edge.policy import LIVE_CHIP_PHOTO, LIVE_LIVE, Policy
from edge.ports import FaceDetector


@dataclass(frozen=True, slots=True)
class ComparedFace:
    """The face that was judged, in pixels of the upright picture (of the enlarged one for a chip photo)."""

    face: Face
    width: int
    height: int
    chip_photo: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answer, and the two faces that it is about."""

    result: MatchResult
    faces: tuple[ComparedFace, ComparedFace]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "decision": "MATCH" if self.result.matched else "NO_MATCH",
            "score": self.result.score,
            "threshold": self.result.threshold,
            "fmr": self.result.false_match_rate,
            "domain": self.result.domain,
            "model": self.result.model_name,
            "model_sha256": self.result.model_sha256,
            "faces": [_face_json(compared) for compared in self.faces],
        }


def compare_files(
    first: Path, second: Path, *, detector: FaceDetector, embedder: SFaceEmbedder, policy: Policy
) -> Comparison:
    """Compare the faces of two picture files.

    A picture of exactly a chip portrait's size is treated as one, with that domain's threshold.

    Raises:
        InputError: NOT_A_PICTURE, PICTURE_TOO_LARGE, NO_FACE or MULTIPLE_FACES, naming the file.
    """
    one, one_template = read_face(first, detector, embedder)
    other, other_template = read_face(second, detector, embedder)
    chip = one.chip_photo or other.chip_photo
    result = match(
        one_template,
        other_template,
        threshold=policy.match.live_chip_photo if chip else policy.match.live_live,
        domain=LIVE_CHIP_PHOTO if chip else LIVE_LIVE,
    )
    return Comparison(result, (one, other))


def read_face(path: Path, detector: FaceDetector, embedder: SFaceEmbedder) -> tuple[ComparedFace, Embedding]:
    """The only face of a picture file, and its template; errors as :func:`compare_files`."""
    image = read_picture(path)
    chip_photo = is_chip_photo(image)
    if chip_photo:
        image = with_surroundings(image)
    height, width = image.shape[:2]
    faces = detector.detect(image)
    portrait = choose_portrait(faces, (height, width)) if chip_photo else None
    choice = Chosen(portrait) if portrait else choose_face(faces, (height, width))
    if isinstance(choice, Chosen):
        face = choice.face
        return ComparedFace(face, width, height, chip_photo), embedder.embed(align(image, face))
    if isinstance(choice, MultipleFaces):
        raise InputError(
            "MULTIPLE_FACES",
            f"{path.name} shows {choice.count} people of comparable size.",
            hint="Use a picture of one person, or cut the others away.",
        )
    raise InputError(
        "NO_FACE",
        f"No face was found in {path.name}.",
        hint="Use a picture in which the face is large, upright and well lit.",
    )


def _face_json(compared: ComparedFace) -> dict[str, Any]:
    face = compared.face
    return {
        "box": [round(value, 1) for value in face.box],
        "points": [[round(float(value), 1) for value in point] for point in face.points],
        "score": round(face.score, 4),
        "inter_eye_px": round(face.inter_eye, 1),
        "picture": [compared.width, compared.height],
        "chip_photo": compared.chip_photo,
    }
