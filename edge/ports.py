"""What the appliance needs from the world: small protocols, each with at least one real adapter.

Whoever implements a port promises which errors leave it; anything else is a bug.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from edge.model import CameraAssurance, Face, Frame, IdDocument, Image, KeyProtection, Prompt


class Camera(Protocol):
    """A source of frames, opened by its adapter's ``open_*`` function."""

    @property
    def camera_id(self) -> str:
        """Stable name without credentials."""

    @property
    def assurance(self) -> CameraAssurance: ...

    def read(self, timeout_s: float) -> Frame:
        """Return the newest frame that was not returned before.

        Raises:
            CameraLost: no fresh frame within ``timeout_s``, or the camera went away.
        """

    def close(self) -> None: ...


class CardReader(Protocol):
    """An ID-card reader."""

    @property
    def sam_id(self) -> str: ...

    def read_document(self, timeout_s: float, screen: Screen) -> IdDocument:
        """Wait for a card and read it whole, prompting through ``screen``.

        Raises:
            ReaderGone: the port died.
            HardwareError: the module is out of service, or no card came in time (NO_CARD).
            InputError: the card is there but not readable or not genuine.
        """

    def close(self) -> None: ...


class PhotoDecoder(Protocol):
    """Turns a card's 1024-byte photo field into a picture."""

    def decode(self, data: bytes) -> Image | None:
        """Return uint8 [126, 102, 3] BGR, or None where this decoder does not know the format."""


class Screen(Protocol):
    """Tells the person what to do."""

    def show(self, prompt: Prompt) -> None: ...


class FaceDetector(Protocol):
    def detect(self, image: Image) -> list[Face]:
        """All faces, best score first."""


class Signer(Protocol):
    """A P-256 key that never leaves its place."""

    @property
    def protection(self) -> KeyProtection: ...

    def public_key_der(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 over SHA-256 of ``message``, DER."""


class Clock(Protocol):
    """Time as the device knows it."""

    def monotonic_ns(self) -> int: ...

    def wall(self) -> datetime:
        """Aware, UTC."""

    def boot_id(self) -> str: ...
