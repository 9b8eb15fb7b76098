"""When the model changes. Templates cannot be converted: who is enrolled has to come again.

1  the old gallery gets a second name, ``NAME.earlier``: it is opened with its own model, but never searched
2  an empty one for the new model takes its place
3  people come again, each under the same pseudonym; who is still awaited can be asked at any time
4  once a person confirms it, the old gallery is destroyed: it is made unreadable, then its name goes

A cut between 1 and 2 leaves one file under both names, and the old model counts. A compaction then leaves a
file under ``NAME.earlier`` that nobody can read, as does a cut in 4; a repair leaves one of the same model.
None of these counts: the next attempt takes it away and goes on. A link and not a copy: the disk may be
nearly full, and what is removed after a cut stays under no other name.

Whoever changes one of the two files has NAME open, as that keeps everybody else from both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from edge.errors import InputError, StorageError
from edge.files import sync_folder
from edge.gallery import faults
from edge.gallery.damage import DamagedError, WrongKeyError
from edge.gallery.glance import glance
from edge.gallery.layout import HEADER_BYTES, HEADERS_BYTES, MAGIC, parse_header
from edge.gallery.records import Listed, Model
from edge.gallery.store import Gallery
from edge.gallery.writing import forget_file, make_empty, put_in_place
from edge.sqlite import storage_errors

EARLIER_SUFFIX = ".earlier"

_ANY_RELEASE = MAGIC[:-1]
_UNREADABLE = ("GALLERY_DAMAGED", "GALLERY_FORMAT")


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
        if _is_open(path, key):
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
        SetupError, StorageError: as ``Gallery.open``, of either gallery.
    """
    with Gallery.open(path, key) as gallery:
        model = gallery.model
        if not _is_open(path, key):
            return Waiting(None, model, (), 0)
        here = {one.candidate_id for one in gallery.people()}
    with _opened(path, key, today) as old:
        people = [one for one in old.people() if not one.expired]
        left = tuple(one for one in people if one.candidate_id not in here)
        return Waiting(old.model, model, left, len(people) - len(left))


def erase(path: Path, key: bytes, remove: Callable[[Gallery], int]) -> int:
    """Let ``remove`` work on the gallery of the earlier model too; return what it returns, 0 where none is.

    What was removed is gone from its file when this returns, also by an attempt that was cut off before.
    To be called with the gallery at ``path`` open.

    Raises:
        StorageError: as ``Gallery.remove`` and ``Gallery.compact``; repeating it goes on.
    """
    if not _is_open(path, key):
        return 0
    with _opened(path, key) as old:
        removed = remove(old)
        if old.file_bytes > glance(earlier_path(path), key).journal_at:
            old.compact()
    return removed


def confirm(path: Path, key: bytes) -> int | None:
    """Step 4; return how many people never came, None where that can be read no more.

    Raises:
        SetupError: GALLERY_MISSING, where there is nothing to confirm; StorageError.
    """
    never_came: int | None
    try:
        never_came = len(waiting(path, key).people)
    except StorageError as error:
        if error.code not in _UNREADABLE:
            raise
        never_came = None
    earlier = earlier_path(path)
    with Gallery.open(path, key), storage_errors(faults.STORE):
        if not earlier.exists():
            raise faults.missing(earlier)
        forget_file(earlier, but=path)
    return never_came


def earlier_path(path: Path) -> Path:
    """Where the gallery of the earlier model is."""
    return path.with_name(path.name + EARLIER_SUFFIX)


def _is_open(path: Path, key: bytes) -> bool:
    """Whether step 2 was done and step 4 was not; so too where the earlier gallery is damaged."""
    earlier = earlier_path(path)
    with storage_errors(faults.STORE):
        if not earlier.exists() or earlier.samefile(path):
            return False
        with earlier.open("rb") as file:
            headers = [file.read(HEADER_BYTES) for _ in range(HEADERS_BYTES // HEADER_BYTES)]
    if not any(one.startswith(_ANY_RELEASE) for one in headers):
        return False  # overwritten by ``forget_file``
    models = set()
    for one in headers:
        with suppress(DamagedError, WrongKeyError):  # told when it is opened
            models.add(parse_header(one, key)[0].model_sha256)
    return glance(path, key).model_sha256 not in models


@contextmanager
def _opened(path: Path, key: bytes, today: date | None = None) -> Iterator[Gallery]:
    """The gallery of the earlier model. What ``faults`` says to do about damage does not mend this one."""
    try:
        with Gallery.open(earlier_path(path), key, today=today) as old:
            yield old
    except StorageError as error:
        if error.code not in _UNREADABLE:
            raise
        raise StorageError(
            error.code,
            "The gallery of the earlier model is damaged: nobody in it can be listed, or erased from it.",
            hint="Destroy all of it with: verifield-edge gallery re-enrol --confirm",
        ) from None
