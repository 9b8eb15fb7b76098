"""The networks that a verification needs, opened together."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from edge.capture.align import align
from edge.capture.chip_photo import with_surroundings
from edge.capture.choose import choose_portrait
from edge.capture.detector import YuNetDetector
from edge.capture.live import LiveDetector
from edge.errors import InputError
from edge.liveness.calibration import PassiveCalibration
from edge.liveness.minifasnet import open_minifasnet
from edge.liveness.passive import PassiveEvidence
from edge.liveness.texture import TextureExpert
from edge.match.embedder import SFaceEmbedder
from edge.model import Embedding, Face, Image
from edge.models.store import ModelStore
from edge.ports import FrameExpert

DETECTOR_MODEL = "yunet-int8bq"
EMBEDDING_MODEL = "sface-int8bq"


@dataclass(frozen=True, slots=True)
class Vision:
    """Opened with ``Vision.open``. Pictures are uint8 [height, width, 3], BGR.

    ``experts``: what judges from one picture whether a face lives; ``calibration``: of all passive signals.
    """

    detector: YuNetDetector
    embedder: SFaceEmbedder
    live: LiveDetector
    experts: tuple[FrameExpert, ...]
    calibration: PassiveCalibration

    @classmethod
    def open(cls, store: ModelStore, *, threads: int) -> Vision:
        """Load the default models. OpenCV works with one thread from then on, in the whole process.

        Raises:
            SetupError: MODEL_MISSING, MODEL_DIGEST or MODEL_UNREADABLE.
        """
        # A face's points are followed while the next thread looks for faces: OpenCV would halve that work
        # and take the other's processor for it, and nothing else here is large enough to be halved.
        cv2.setNumThreads(1)
        embedding = store.entry(EMBEDDING_MODEL)
        path = store.path(DETECTOR_MODEL)
        detector = YuNetDetector.open(path, threads=threads)
        # In a small picture two threads gain nothing, and the motion test has the other one meanwhile.
        quick = detector if threads == 1 else YuNetDetector.open(path, threads=1)
        return cls(
            detector,
            SFaceEmbedder.open(
                store.path(EMBEDDING_MODEL),
                model_name=embedding.name,
                model_sha256=embedding.sha256,
                threads=threads,
            ),
            LiveDetector(quick, finder=YuNetDetector.open(path, threads=1, rounding=True)),
            _open_experts(store),
            PassiveCalibration.built_in(),
        )

    def detect(self, image: Image) -> list[Face]:
        """All faces, best score first."""
        return self.detector.detect(image)

    def watch(self, image: Image) -> list[Face]:
        """As :meth:`detect`, for pictures of a camera, where time counts: see ``edge.capture.live``."""
        return self.live.detect(image)

    def passive(self) -> PassiveEvidence:
        """Fresh passive signals, for one person."""
        return PassiveEvidence(self.experts, self.calibration)

    def embed(self, image: Image, face: Face) -> Embedding:
        """The template of one face of ``image``."""
        return self.embedder.embed(align(image, face))

    def embed_chip_photo(self, photo: Image) -> Embedding:
        """The template of a card's portrait.

        Raises:
            InputError: CHIP_PHOTO_NO_FACE.
        """
        portrait = with_surroundings(photo)
        face = choose_portrait(self.detect(portrait), portrait.shape[:2])
        if face is None:
            raise InputError(
                "CHIP_PHOTO_NO_FACE",
                "No face was found in the photo on the card.",
                hint="Read the card again; if it stays so, the case needs a clerk.",
            )
        return self.embed(portrait, face)


def _open_experts(store: ModelStore) -> tuple[FrameExpert, ...]:
    """The product's own network, and MiniFASNet where it was fetched; with one thread each."""
    own = TextureExpert.open(threads=1)
    optional = open_minifasnet(store, threads=1)
    return (own,) if optional is None else (own, optional)
