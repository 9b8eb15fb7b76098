"""What can be wrong with a gallery, each with its code and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import InputError, SetupError, StorageError
from edge.gallery.damage import DamagedError, WrongKeyError
from edge.sqlite import StoreName, storage_errors

STORE = StoreName("GALLERY", "The gallery")
"""Faults of the disk: GALLERY_FULL, GALLERY_READONLY, GALLERY_UNREADABLE, GALLERY_IO."""

_CARE = (
    "Nothing was changed. See what is whole with: verifield-edge gallery verify; then save that with: "
    "verifield-edge gallery repair"
)


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """What the disk, and what is written in the file at ``path``, makes fail, as the gallery's errors."""
    with storage_errors(STORE):
        try:
            yield
        except DamagedError as error:
            raise (no_gallery(path) if error.part == "format" else damaged(error.part)) from None
        except WrongKeyError:
            raise key_wrong(path) from None


def damaged(part: str) -> StorageError:
    """``part``: what does not hold."""
    return StorageError("GALLERY_DAMAGED", f"The gallery is damaged: {part}.", hint=_CARE)


def missing(path: Path) -> SetupError:
    """Nothing was ever made there."""
    return SetupError(
        "GALLERY_MISSING",
        f"There is no gallery at {path}.",
        hint="Make an empty one with: verifield-edge gallery create",
    )


def exists(path: Path) -> SetupError:
    """It is not made twice."""
    return SetupError(
        "GALLERY_EXISTS",
        f"There is a gallery at {path} already.",
        hint="Use it as it is; verifield-edge gallery info tells what it holds.",
    )


def busy(path: Path) -> StorageError:
    """One process at a time."""
    return StorageError(
        "GALLERY_BUSY",
        f"Another process has the gallery {path} open.",
        hint="Stop the appliance's other processes, or wait until they are done.",
    )


def key_wrong(path: Path) -> StorageError:
    """The file is whole, and sealed with another key."""
    return StorageError(
        "GALLERY_KEY_WRONG",
        f"The gallery {path} was made with another key.",
        hint="It is another device's, or its data key was replaced: restore the file and its key together.",
    )


def no_gallery(path: Path) -> StorageError:
    """The file begins as no gallery does."""
    return StorageError(
        "GALLERY_FORMAT",
        f"{path} is no gallery, or one of a later release.",
        hint="Check the path, and whether this device was set back to an older release.",
    )


def other_model(held: str, given: str) -> SetupError:
    """Never scored."""
    return SetupError(
        "MODEL_MISMATCH",
        f"The gallery holds templates of {held}; templates of {given} cannot be compared with these.",
        hint="Templates cannot be converted: see who has to come again with verifield-edge gallery re-enrol",
    )


def bad_template() -> InputError:
    """Not finite, zero, or not of unit length."""
    return InputError(
        "TEMPLATE_INVALID",
        "A template is not 128 finite numbers of unit length, so its scores would mean nothing.",
        hint="Make the template again from a picture.",
    )


def bad_batch(why: str) -> InputError:
    """``why``: the end of a sentence."""
    return InputError("GALLERY_BATCH", f"This cannot be added: {why}.", hint="Nothing of it was added.")


def too_many(limit: int) -> InputError:
    """The gallery is full."""
    return InputError(
        "GALLERY_TOO_MANY",
        f"The gallery holds at most {limit} templates.",
        hint="Remove those that are not needed, or let them expire.",
    )


def bad_question(why: str) -> InputError:
    """``why``: the end of a sentence."""
    return InputError("GALLERY_QUESTION", f"The gallery cannot be asked this: {why}.")


def must_reopen() -> StorageError:
    """After a write that failed."""
    return StorageError(
        "GALLERY_IO",
        "The disk has refused a write; whether it is whole is only known when the gallery is opened again.",
        hint="Look at the system's log, then start the appliance again.",
    )
