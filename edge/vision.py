"""The networks that a verification needs, opened together."""

from __future__ import annotations

from dataclasses import dataclass

from edge.capture.align import align
from edge.capture.chip_photo import with_surroundings
from edge.capture.choose import choose_portrait
from edge.capture.detector import YuNetDetector
from edge.capture.live import LiveDetector
from edge.errors import InputError
from edge.match.embedder import SFaceEmbedder
from edge.model import Embedding, Face, Image
from edge.models.store import ModelStore

DETECTOR_MODEL = "yunet-int8bq"
EMBEDDING_MODEL = "sface-int8bq"


@dataclass(frozen=True, slots=True)
class Vision:
    """Opened with ``Vision.open``. Pictures are uint8 [height, width, 3], BGR."""

    detector: YuNetDetector
    embedder: SFaceEmbedder
    live: LiveDetector

    @classmethod
    def open(cls, store: ModelStore, *, threads: int) -> Vision:
        """Load the default models.

        Raises:
            SetupError: MODEL_MISSING or MODEL_DIGEST.
        """
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
            LiveDetector(quick),
        )

    def detect(self, image: Image) -> list[Face]:
        """All faces, best score first."""
        return self.detector.detect(image)

    def watch(self, image: Image) -> list[Face]:
        """As :meth:`detect`, for pictures of a camera, where time counts: see ``edge.capture.live``."""
        return self.live.detect(image)

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
