"""When the model changes. Templates cannot be converted: who is enrolled has to come again.

1  the old gallery gets a second name, ``NAME.earlier``: it is opened with its own model, but never searched
2  an empty one for the new model takes its place
3  people come again, each under the same pseudonym; who is still awaited can be asked at any time
4  once a person confirms it, the old gallery is destroyed

A cut between 1 and 2 leaves one file under both names, and the old model counts; the next attempt goes on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from edge.errors import InputError
from edge.files import sync_folder
from edge.gallery import faults
from edge.gallery.records import Listed, Model
from edge.gallery.store import Gallery
from edge.gallery.writing import forget_file, make_empty, put_in_place
from edge.sqlite import storage_errors

EARLIER_SUFFIX = ".earlier"


@dataclass(frozen=True, slots=True)
class Waiting:
    """``earlier``: the model that people were enrolled with; None where nobody has to come again."""

    earlier: Model | None
    model: Model
    people: tuple[Listed, ...]
    came: int


def begin(path: Path, key: bytes, model: Model) -> bool:
    """Steps 1 and 2; False where the gallery has this model already, and nothing is done.

    Raises:
        InputError: RE_ENROLMENT_OPEN: the model was changed before, and that is not confirmed yet.
        SetupError, StorageError: as ``Gallery.open``.
    """
    earlier = earlier_path(path)
    with Gallery.open(path, key) as gallery, storage_errors(faults.STORE):
        if gallery.model.sha256 == model.sha256:
            return False
        if earlier.exists() and not earlier.samefile(path):
            raise InputError(
                "RE_ENROLMENT_OPEN",
                "People of an earlier change of the model are still awaited.",
                hint="Let them come, then run: verifield-edge gallery re-enrol --confirm",
            )
        beside = make_empty(path, key, model)
        earlier.unlink(missing_ok=True)
        earlier.hardlink_to(path)
        sync_folder(path.parent)
        put_in_place(beside, path, forget=False)
    return True


def waiting(path: Path, key: bytes, *, today: date | None = None) -> Waiting:
    """Who was enrolled with the earlier model, has not expired, and has not come yet.

    Raises:
        SetupError, StorageError: as ``Gallery.open``.
    """
    with Gallery.open(path, key) as gallery:
        model = gallery.model
        here = {one.candidate_id for one in gallery.people()}
    earlier = earlier_path(path)
    if not earlier.exists():
        return Waiting(None, model, (), 0)
    with Gallery.open(earlier, key, today=today) as old:
        people = [one for one in old.people() if not one.expired]
        left = tuple(one for one in people if one.candidate_id not in here)
        return Waiting(old.model, model, left, len(people) - len(left))


def confirm(path: Path, key: bytes) -> int:
    """Step 4; return how many people never came.

    Raises:
        SetupError: GALLERY_MISSING, where there is nothing to confirm; StorageError.
    """
    left = waiting(path, key)
    earlier = earlier_path(path)
    with storage_errors(faults.STORE):
        try:
            descriptor = os.open(earlier, os.O_RDWR)
        except FileNotFoundError:
            raise faults.missing(earlier) from None
        try:
            if not earlier.samefile(path):  # a change that was cut off before anything changed
                forget_file(descriptor)
            earlier.unlink()
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
    return len(left.people)


def earlier_path(path: Path) -> Path:
    """Where the gallery of the earlier model is."""
    return path.with_name(path.name + EARLIER_SUFFIX)
