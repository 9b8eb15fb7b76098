"""A change of the model: cut off anywhere it goes on; who is to be erased does not stay in the old file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import InputError, SetupError, StorageError
from edge.gallery import reenrol, salvage
from edge.gallery.layout import HEADER_BYTES, HEADERS_BYTES, MAGIC, PAGE_BYTES
from edge.gallery.records import Entry
from edge.gallery.store import Gallery
from tests.support.galleries import KEY, MODEL, OTHER_MODEL, embedding, filled, person, random_templates

TEMPLATES = random_templates(4, 1)
PEOPLE = {person(i) for i in range(4)}
DAY = date(2027, 5, 1)
_CHANGES = ("open", "link", "unlink", "replace", "pwrite", "ftruncate", "fsync", "fdatasync")


class Cut(BaseException):
    """The power is gone."""


@contextmanager
def power_for(calls: int, *, done: bool) -> Iterator[list[str]]:
    """Only so many calls change the disk; ``done``: the one that fails has done its work."""
    made: list[str] = []

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            made.append(name)
            if len(made) <= calls:
                return real(*args, **kwargs)
            if done and len(made) == calls + 1 and name != "open":
                real(*args, **kwargs)
            raise Cut

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in _CHANGES:
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        yield made


def cut_everywhere(
    work: Callable[[Path], object], ready: Callable[[Path], None], folder: Path
) -> Iterator[Path]:
    """A gallery that ``ready`` has made, for each place at which ``work`` on it can have been cut off."""
    for done in (False, True):
        for calls in range(200):
            path = folder / f"{calls}-{done}" / "people.gallery"
            path.parent.mkdir()
            ready(path)
            with power_for(calls, done=done) as made:
                try:
                    work(path)
                except Cut:
                    pass
                else:
                    break
            assert len(made) > calls
            yield path
        assert calls > 3, "nothing was cut off"


def make_old(path: Path) -> None:
    filled(path, TEMPLATES).close()


def make_begun(path: Path) -> None:
    make_old(path)
    assert reenrol.begin(path, KEY, OTHER_MODEL)


def leave(path: Path) -> None:
    """Nothing happens between the cut and the next attempt."""


def compact(path: Path) -> None:
    with Gallery.open(path, KEY) as gallery:
        gallery.compact()


def damage_and_repair(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + 9] ^= 1
    with path.open("r+b") as file:  # in place: a file under two names is damaged under both
        file.write(data)
    assert salvage.repair(path, KEY).kept


def awaited(path: Path) -> set[object]:
    return {one.candidate_id for one in reenrol.waiting(path, KEY).people}


def erase(path: Path, number: int) -> tuple[int, int]:
    """As ``verifield-edge gallery remove``."""
    with Gallery.open(path, KEY) as gallery:
        removed = gallery.remove([person(number)])
        return removed, reenrol.erase(path, KEY, lambda old: old.remove([person(number)]))


@pytest.mark.req("E026")
@pytest.mark.parametrize("meanwhile", [leave, compact, damage_and_repair])
def test_a_beginning_that_is_cut_off_goes_on(meanwhile: Callable[[Path], None], tmp_path: Path) -> None:
    def begin(path: Path) -> object:
        return reenrol.begin(path, KEY, OTHER_MODEL)

    models = set()
    for path in cut_everywhere(begin, make_old, tmp_path):
        meanwhile(path)
        with Gallery.open(path, KEY) as gallery:
            begun = gallery.model == OTHER_MODEL
            models.add(gallery.model)
            assert gallery.size == (0 if begun else 4)
        assert awaited(path) == (PEOPLE if begun else set())
        assert begin(path) is not begun
        assert awaited(path) == PEOPLE
        assert reenrol.confirm(path, KEY) == 4
        assert not reenrol.earlier_path(path).exists()
    assert models == {MODEL, OTHER_MODEL}


@pytest.mark.req("E026")
def test_after_a_cut_the_gallery_can_be_used_and_erased_from(tmp_path: Path) -> None:
    def begin(path: Path) -> object:
        return reenrol.begin(path, KEY, OTHER_MODEL)

    for path in cut_everywhere(begin, make_old, tmp_path):
        assert sum(erase(path, 2)) == 1
        begin(path)
        assert awaited(path) == PEOPLE - {person(2)}


@pytest.mark.req("E026")
def test_a_confirmation_that_is_cut_off_goes_on(tmp_path: Path) -> None:
    def confirm(path: Path) -> object:
        return reenrol.confirm(path, KEY)

    for path in cut_everywhere(confirm, make_begun, tmp_path):
        assert reenrol.begin(path, KEY, OTHER_MODEL) is False
        awaited(path)
        if reenrol.earlier_path(path).exists():
            assert confirm(path) in (4, 0)
        with pytest.raises(SetupError):
            confirm(path)
        assert reenrol.begin(path, KEY, MODEL) is True


@pytest.mark.req("E026")
def test_who_is_erased_is_gone_from_the_file_of_the_earlier_model(tmp_path: Path) -> None:
    path = tmp_path / "people.gallery"
    make_begun(path)
    earlier = reenrol.earlier_path(path)
    with earlier.open("rb") as before_it:
        assert erase(path, 2) == (0, 1)
        assert before_it.read(len(MAGIC)) != MAGIC, "its blocks can still be read"
    assert awaited(path) == PEOPLE - {person(2)}
    assert erase(path, 2) == (0, 0)
    before = earlier.stat()
    assert erase(path, 9) == (0, 0)
    assert earlier.stat().st_ino == before.st_ino, "written anew for nothing"
    with Gallery.open(earlier, KEY) as old:
        assert old.journal_rows == 0
    report = salvage.verify(earlier, KEY)
    assert (report.whole, report.templates) == (True, 3)
    for number in (0, 1, 3):
        erase(path, number)
    assert reenrol.waiting(path, KEY).came == 0
    assert earlier.stat().st_size < HEADERS_BYTES + PAGE_BYTES


@pytest.mark.req("E026")
def test_who_came_again_and_who_has_expired_are_erased_from_both(tmp_path: Path) -> None:
    path = tmp_path / "people.gallery"
    with filled(path, TEMPLATES[:2]) as gallery:
        gallery.add([Entry(person(2), embedding(TEMPLATES[2]), date(2026, 1, 1))])
        gallery.remove([person(1)])  # still in the journal when the model changes
    assert reenrol.begin(path, KEY, OTHER_MODEL)
    with Gallery.open(path, KEY) as gallery:
        gallery.add([Entry(person(0), embedding(TEMPLATES[0], OTHER_MODEL))])
        assert reenrol.erase(path, KEY, lambda old: old.expire(DAY)) == 1
    assert erase(path, 0) == (1, 1)
    assert (awaited(path), salvage.verify(reenrol.earlier_path(path), KEY).templates) == (set(), 0)


@pytest.mark.req("E026")
def test_an_erasure_that_is_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    for path in cut_everywhere(lambda path: erase(path, 2), make_begun, tmp_path):
        assert awaited(path) - {person(2)} == PEOPLE - {person(2)}
        erase(path, 2)
        assert awaited(path) == PEOPLE - {person(2)}
        with Gallery.open(reenrol.earlier_path(path), KEY) as old:
            assert (old.size, old.journal_rows) == (3, 0)
            old.compact()
            size = old.file_bytes
        assert erase(path, 2) == (0, 0)
        assert reenrol.earlier_path(path).stat().st_size == size


@pytest.mark.req("E026")
@pytest.mark.parametrize("at", [0, HEADER_BYTES])
def test_an_earlier_gallery_that_is_damaged_can_be_destroyed(tmp_path: Path, at: int) -> None:
    """Half of its headers may be overwritten: by a cut in the middle of the last step."""
    path = tmp_path / "people.gallery"
    make_begun(path)
    earlier = reenrol.earlier_path(path)
    with earlier.open("r+b") as file:
        file.seek(at)
        file.write(np.random.default_rng(1).bytes(HEADER_BYTES))
    for ask in (lambda: reenrol.waiting(path, KEY), lambda: erase(path, 2)):
        with pytest.raises(StorageError) as caught:
            ask()
        assert "--confirm" in caught.value.hint
    third = type(MODEL)("a-third", "ef" * 32)
    with pytest.raises(InputError) as refused:  # it may be mended: not taken away unasked
        reenrol.begin(path, KEY, third)
    assert refused.value.code == "RE_ENROLMENT_OPEN"
    assert reenrol.confirm(path, KEY) is None
    assert not earlier.exists()
    assert reenrol.begin(path, KEY, third)
