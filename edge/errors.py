"""Every fault of the appliance, in one tree and one table.

    EdgeError
    +-- SetupError       the person who set the device up can mend it
    +-- HardwareError    a part is missing or was unplugged
    +-- InputError       a file or an answer given by a person is not usable
    +-- CloudError       the cloud refused, or is away
    +-- StorageError     the device's own store refused
    +-- Interrupted      somebody pressed stop
    +-- SoftwareFault    a bug: nobody foresaw it

A verification that ends badly (a spoof, no match) is an outcome, never an error.
Each error carries a stable ``code``, one sentence for a person, a hint that says what
to do, and the exit status of the command that it ends.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses of ``verifield-edge``; documented in docs/commands.md."""

    OK = 0
    NEGATIVE = 1  # the command worked and the answer is no (no match, not verified)
    USAGE = 2  # wrong options; also what Typer uses
    SETUP = 3
    HARDWARE = 4
    INPUT = 5
    CLOUD = 6
    STORAGE = 7
    SOFTWARE = 70  # as sysexits.h has it; Python's own, 1, would read as "no match"
    INTERRUPTED = 130  # 128 + SIGINT, as shells say it


class EdgeError(Exception):
    """Base of all faults. ``code`` is stable and machine readable."""

    exit_code = ExitCode.SETUP

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class SetupError(EdgeError):
    """Configuration, models, keys or enrolment are not as needed."""

    exit_code = ExitCode.SETUP


class HardwareError(EdgeError):
    """No camera, no reader, or one that went away."""

    exit_code = ExitCode.HARDWARE


class ReaderGone(HardwareError):
    """The serial port died, in whichever way a port can die."""


class CameraLost(HardwareError):
    """The camera gives no fresh frames."""


class InputError(EdgeError):
    """A picture, a file or a document that cannot be used."""

    exit_code = ExitCode.INPUT


class CloudError(EdgeError):
    """The cloud is away, or it refused."""

    exit_code = ExitCode.CLOUD


class StorageError(EdgeError):
    """The outbox cannot be opened or written."""

    exit_code = ExitCode.STORAGE


class SoftwareFault(EdgeError):
    """A fault of the program itself."""

    exit_code = ExitCode.SOFTWARE


class Interrupted(EdgeError):
    """Stopped by a person or by the system."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self) -> None:
        super().__init__(
            "INTERRUPTED",
            "Stopped before the end.",
            hint="Nothing that was stored is lost: run the command again.",
        )
