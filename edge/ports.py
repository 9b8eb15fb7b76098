"""What the appliance needs from the world: small protocols, each with at least one real adapter.

Whoever implements a port promises which errors leave it; anything else is a bug.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from edge.answers import EarlierRecord, GalleryResult, SessionText, SignedIn, Stop, TextShown
from edge.model import (
    CameraAssurance,
    Colour,
    DocumentType,
    Embedding,
    Face,
    Frame,
    IdDocument,
    Image,
    KeyProtection,
    Prompt,
)


class Camera(Protocol):
    """A source of frames, opened by its adapter's ``open_*`` function."""

    @property
    def camera_id(self) -> str:
        """Stable name without credentials."""

    @property
    def assurance(self) -> CameraAssurance: ...

    def read(self, timeout_s: float) -> Frame:
        """Return the newest frame that was not returned before.

        A camera that was lost is opened again by the next look, where it is back.

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
    """Tells the person what to do, and lights the face where it can."""

    @property
    def can_light(self) -> bool:
        """Whether it can fill itself with one colour, as far as it knows now."""

    def show(self, prompt: Prompt) -> None: ...

    def light(self, colour: Colour | None) -> None:
        """Fill the screen with ``colour`` (sRGB, 0..255 each) until told otherwise; None: back to normal.

        Returns once the colour was handed over; the prompt stays readable on it.
        """


class Desk(Protocol):
    """The people's side of a session: each question returns their answer, or why there is none.

    ``timeout_s``: seconds for this question; a desk that gets no answer by then says Stop.TIMEOUT.
    """

    def identify(self, timeout_s: float) -> SignedIn | Stop:
        """Let the operator sign in."""

    def ask_consent(self, text: SessionText, timeout_s: float) -> TextShown | Stop:
        """Show the text to the person, and say in which language and whether they agreed."""

    def show_earlier(self, records: Sequence[EarlierRecord], timeout_s: float) -> bool | Stop:
        """Show what this device recorded of the same document, newest first; True to go on."""

    def ask_field(self, name: str, timeout_s: float, *, again: bool) -> str | Stop:
        """Ask for one customer field, ``again`` where the last answer was not usable; empty: refused."""

    def show_notice(self, text: SessionText, timeout_s: float) -> TextShown | Stop:
        """Show a notice that the person confirms or refuses."""

    def ask_signature(self, timeout_s: float) -> bytes | Stop:
        """Return the strokes or the typed name, encoded as JSON; empty: refused."""

    def stop_requested(self) -> Stop | None:
        """Say at once, without waiting, whether somebody has asked to stop."""


class EarlierRecords(Protocol):
    """What this device remembers of documents, each under a pseudonym that only it can make."""

    def pseudonym(self, document_type: DocumentType, number: str) -> str: ...

    def earlier(self, pseudonym: str) -> list[EarlierRecord]:
        """Newest first."""

    def note_earlier(self, pseudonym: str, record: EarlierRecord) -> None: ...


class GallerySearch(Protocol):
    """The people enrolled on this device."""

    def search(self, probe: Embedding) -> GalleryResult:
        """Nobody is an answer too."""


class FaceDetector(Protocol):
    def detect(self, image: Image) -> list[Face]:
        """All faces, best score first."""


class FrameExpert(Protocol):
    """Judges from one picture whether a face is alive. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """Stable name, under which its score is recorded."""

    @property
    def model_sha256(self) -> str:
        """Digest of the file that judges, 64 lower-case hexadecimal digits."""

    def live(self, image: Image, face: Face) -> float:
        """Return 0..1, higher is more alive; ``image``: uint8 [height, width, 3], BGR.

        Raises:
            ValueError: the picture, the face or the network's answer is not usable. That is no score,
                and never a pass.
        """


class Signer(Protocol):
    """A P-256 key that never leaves its place."""

    @property
    def protection(self) -> KeyProtection: ...

    def public_key_der(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 over SHA-256 of ``message``, DER."""


class KeyStore(Protocol):
    """Where the device's keys live: software, a PKCS#11 token or a TPM. Every method may raise SetupError."""

    @property
    def protection(self) -> KeyProtection: ...

    def create(self, name: str) -> Signer:
        """Make a new key called ``name`` (1 to 64 of a-z, 0-9, -, .), where none is yet (else KEY_EXISTS)."""

    def open(self, name: str) -> Signer:
        """Open the key called ``name``; KEY_MISSING where there is none, KEY_STORE_AWAY where the
        hardware is not there."""

    def destroy(self, name: str) -> None:
        """Destroy the key for ever; no fault where there is none."""

    def wrap(self, secret: bytes, *, label: str) -> bytes:
        """Return ``secret`` (1 to 64 bytes) sealed under this store, of no use on another device.

        ``label`` says what for; the same is needed to unwrap.
        """

    def unwrap(self, wrapped: bytes, *, label: str) -> bytes:
        """Return the secret; KEY_UNREADABLE where it was sealed elsewhere, damaged or destroyed."""

    def destroy_wrapping(self) -> None:
        """Make everything that was ever wrapped unreadable for ever."""


class RollbackCounter(Protocol):
    """A number in hardware that only grows, so that an old copy of the disk shows."""

    def read(self) -> int: ...

    def increment(self) -> int:
        """Return the new value."""


class Clock(Protocol):
    """Time as the device knows it."""

    def monotonic_ns(self) -> int: ...

    def wall(self) -> datetime:
        """Aware, UTC."""

    def boot_id(self) -> str: ...
