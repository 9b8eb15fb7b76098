"""Every fault of a reader or a card: its code, its sentence, what to do about it."""

from __future__ import annotations

from edge.errors import EdgeError, HardwareError, InputError, ReaderGone

_REPLUG = "Unplug the card reader, plug it in again, and check the configured speed."
_LAY_AGAIN = "Lift the card, lay it flat in the middle of the reader, and leave it there."
_OTHER_DOCUMENT = "Use another identity document, or send the person to the issuing authority."
_SERVICE = "Have the reader replaced."

FAULTS: dict[str, tuple[type[EdgeError], str, str]] = {
    "READER_GONE": (ReaderGone, "The card reader went away.", "Plug it in again and check the cable."),
    "READER_BUSY": (HardwareError, "Another program holds the card reader.", "Stop the other program."),
    "READER_FORBIDDEN": (
        HardwareError,
        "This account may not use the card reader.",
        "Add the account to the group that owns the serial port (on Debian: dialout).",
    ),
    "READER_SILENT": (HardwareError, "The card reader does not answer.", _REPLUG),
    "READER_GARBLED": (HardwareError, "What the card reader sends makes no sense.", _REPLUG),
    "READER_DIALECT": (
        HardwareError,
        "The card reader speaks another protocol than this device.",
        "Set the reader to the protocol of SAM_V modules, or connect one that speaks it.",
    ),
    "READER_REFUSED": (HardwareError, "The card reader refuses a needed command.", _SERVICE),
    "READER_OUT_OF_SERVICE": (HardwareError, "The card reader is out of service.", _SERVICE),
    "READER_CHANGED": (
        HardwareError,
        "This is not the card reader that the device was enrolled with.",
        "Connect the pinned reader, or pin this one: verifield-edge doctor --pin.",
    ),
    "NO_CARD": (HardwareError, "No card was laid on the reader in time.", _LAY_AGAIN),
    "CARD_NOT_READABLE": (InputError, "The card could not be read.", _LAY_AGAIN),
    "CARD_NOT_GENUINE": (InputError, "The reader does not accept the card as genuine.", _OTHER_DOCUMENT),
    "CARD_TYPE_UNKNOWN": (
        InputError,
        "The card is of a type that this device does not know.",
        _OTHER_DOCUMENT,
    ),
    "CARD_DATA_INVALID": (InputError, "The card's data contradict themselves.", _OTHER_DOCUMENT),
    "SCAN_NO_CARD": (
        InputError,
        "No card is found in the picture.",
        "Lay the card on a plain, darker ground, fill the picture with it, and avoid reflections.",
    ),
    "SCAN_INCOMPLETE": (
        InputError,
        "Not everything could be read from the pictures.",
        "Take pictures of both sides again, sharper and straight from above; or type it: verify --typed.",
    ),
    "SCAN_OTHER_CARD": (
        InputError,
        "The picture shows another card than the one on the reader.",
        "Take a picture of the card that lies on the reader.",
    ),
    "NO_DOCUMENT_TYPED": (
        InputError,
        "The document was not typed, or not in time.",
        "Begin again with the document at hand.",
    ),
    "PERSON_STOPPED": (
        InputError,
        "The person did not want to go on.",
        "Begin again if they change their mind.",
    ),
    "OPERATOR_STOPPED": (InputError, "The operator stopped the session.", "Begin again when ready."),
    "READERS_MANY": (
        HardwareError,
        "More than one card reader is connected, and none of them is pinned.",
        "Name the port with reader_port or --reader, or pin one: verifield-edge doctor --reader PORT --pin.",
    ),
    "TYPED_DATA_INVALID": (
        InputError,
        "What was typed cannot be on a document.",
        "Compare it with the document, character by character.",
    ),
    "CARD_PHOTO_INVALID": (InputError, "The photo on the card is damaged.", _OTHER_DOCUMENT),
}


def fault(code: str, detail: str = "") -> EdgeError:
    """Return the error for ``code``; ``detail`` never holds a value from a card."""
    kind, message, hint = FAULTS[code]
    return kind(code, f"{message} ({detail})" if detail else message, hint=hint)
