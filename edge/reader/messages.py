"""What goes into the dialogue and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

from edge.model import Prompt
from edge.reader.link import Reply

# Events


@dataclass(frozen=True, slots=True)
class Open:
    """Find out whether a module answers, and who it is."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read one card; give up where none was found before ``until``."""

    until: float


@dataclass(frozen=True, slots=True)
class Heard:
    """Bytes arrived, whatever they were. Comes before the replies that they completed."""


@dataclass(frozen=True, slots=True)
class Got:
    reply: Reply


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes; wanted at least every 50 ms."""


Event = Open | Read | Heard | Got | Tick

# Commands


@dataclass(frozen=True, slots=True)
class Send:
    frame: bytes


@dataclass(frozen=True, slots=True)
class ClearLink:
    """Forget half-read frames."""


@dataclass(frozen=True, slots=True)
class Show:
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Opened:
    """A module answered; ``sam_id`` in its text form."""

    sam_id: str


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """One good read. ``data``: two lengths, text, photo. ``address``: the newest one, 70 bytes or none.

    Personal: whoever takes it wipes it.
    """

    data: bytearray
    address: bytearray


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of this Open or Read; ``code`` is a key of ``edge.reader.faults.FAULTS``."""

    code: str


Command = Send | ClearLink | Show | Opened | Record | Failed
