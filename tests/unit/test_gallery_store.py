"""The gallery as its users see it: who was added is found, exactly; who was removed is not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edge.errors import EdgeError, InputError, SetupError, StorageError
from edge.gallery import store
from edge.gallery.layout import MAX_BATCH
from edge.gallery.records import Entry, Kind
from edge.gallery.store import Gallery
from tests.support.galleries import (
    KEY,
    MODEL,
    OTHER_MODEL,
    Floats,
    check_found,
    clustered_templates,
    embedding,
    filled,
    person,
    random_templates,
    rows_of,
)

DAY = date(2027, 5, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.gallery"


@pytest.mark.req("E022")
@pytest.mark.parametrize("make", [random_templates, clustered_templates])
@pytest.mark.parametrize("compact", [True, False])
def test_the_answer_is_that_of_comparing_with_everybody(path: Path, make: object, compact: bool) -> None:
    templates: Floats = make(5000, 1)  # type: ignore[operator]
    templates[100:120] = templates[100]  # ties
    known = {person(i): row for i, row in enumerate(templates)}
    probes = np.concatenate([random_templates(3, 9), templates[[3, 105, 4999]]])
    with filled(path, templates, compact=compact, batch=1000) as gallery:
        found = gallery.search([embedding(row) for row in probes], k=30)
        above = gallery.search_above([embedding(row) for row in probes], threshold=0.15)
    for probe, hits, many in zip(probes, found, above, strict=True):
        check_found(hits, known, probe, 30)
        scores = {who: float(row.astype(float) @ probe.astype(float)) for who, row in known.items()}
        assert {one.candidate_id for one in many} == {who for who, score in scores.items() if score >= 0.15}
        assert [one.score for one in many] == sorted((one.score for one in many), reverse=True)


@pytest.mark.req("E022")
def test_an_empty_gallery_knows_nobody(path: Path) -> None:
    with Gallery.create(path, KEY, model=MODEL) as gallery:
        probe = embedding(random_templates(1, 1)[0])
        assert gallery.search([probe], k=5) == [[]]
        assert gallery.search_above([probe], threshold=-1.0) == [[]]
        assert (gallery.size, list(gallery.people()), gallery.remove([person(1)])) == (0, [], 0)
        gallery.compact()
        assert gallery.expire(DAY) == 0
    with Gallery.open(path, KEY) as gallery:
        assert gallery.size == 0


class KnownPeople(RuleBasedStateMachine):
    """A dictionary says what the gallery has to know, whatever happens to it."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[UUID, Floats] = {}
        self.days: dict[UUID, int] = {}
        self.number = 0

    @initialize()
    def create(self) -> None:
        KnownPeople.number_of_files = getattr(KnownPeople, "number_of_files", 0) + 1
        self.path = self.folder / f"{KnownPeople.number_of_files}.gallery"
        self.gallery = Gallery.create(self.path, KEY, model=MODEL)

    @rule(who=st.lists(st.integers(0, 60), min_size=1, max_size=30, unique=True), day=st.integers(0, 6))
    def add(self, who: list[int], day: int) -> None:
        self.number += 1
        templates = random_templates(len(who), self.number)
        people = [person(one) for one in who]
        new = self.gallery.add_rows(rows_of(people, templates, last_day=day))
        assert new == len(set(people) - set(self.known))
        self.known |= dict(zip(people, templates, strict=True))
        self.days |= dict.fromkeys(people, day)

    @rule(who=st.lists(st.integers(0, 80), max_size=20))
    def remove(self, who: list[int]) -> None:
        people = {person(one) for one in who}
        assert self.gallery.remove([person(one) for one in who]) == len(people & set(self.known))
        self._forget(people)

    @rule(today=st.integers(1, 4))
    def expire(self, today: int) -> None:
        gone = {who for who, day in self.days.items() if 0 < day < today}
        assert self.gallery.expire(date(1970, 1, 1) + timedelta(days=today)) == len(gone)
        self._forget(gone)

    @rule()
    def compact(self) -> None:
        version = self.gallery.version
        self.gallery.compact()
        assert (self.gallery.journal_rows, self.gallery.version) == (0, version)

    @rule()
    def reopen(self) -> None:
        version = self.gallery.version
        self.gallery.close()
        self.gallery = Gallery.open(self.path, KEY)
        assert self.gallery.version == version

    @invariant()
    def is_as_known(self) -> None:
        if not hasattr(self, "gallery"):
            return
        people = [one.candidate_id for one in self.gallery.people()]
        assert people == sorted(self.known, key=lambda one: one.bytes)
        assert self.gallery.size == len(self.known)
        probe = random_templates(1, self.number)[0]
        check_found(self.gallery.search([embedding(probe)], k=7)[0], self.known, probe, 7)

    def _forget(self, people: set[UUID]) -> None:
        for one in people:
            self.known.pop(one, None)
            self.days.pop(one, None)

    def teardown(self) -> None:
        if hasattr(self, "gallery"):
            self.gallery.close()


def test_whatever_happens_everybody_known_is_found(tmp_path: Path) -> None:
    KnownPeople.folder = tmp_path
    run_state_machine_as_test(
        KnownPeople,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_who_has_expired_is_hidden_by_the_clock_and_removed_by_a_person(path: Path) -> None:
    """A clock that is wrong for a day must not cost anybody's template."""
    templates = random_templates(3, 1)
    entries = [
        Entry(person(0), embedding(templates[0]), DAY),
        Entry(person(1), embedding(templates[1]), DAY + timedelta(days=1), Kind.WATCHED),
        Entry(person(2), embedding(templates[2])),
    ]
    with Gallery.create(path, KEY, model=MODEL) as gallery:
        gallery.add(entries)
    with Gallery.open(path, KEY, today=DAY + timedelta(days=1)) as gallery:
        assert gallery.size == 2
        hits = gallery.search([embedding(templates[0])], k=3)[0]
        assert {one.candidate_id: one.kind for one in hits} == {
            person(1): Kind.WATCHED,
            person(2): Kind.PERSON,
        }
        gallery.compact()
        assert gallery.size == 2
        assert {one.candidate_id for one in gallery.people() if one.expired} == {person(0)}
    with Gallery.open(path, KEY, today=DAY) as gallery:
        assert gallery.size == 3
        assert {one.last_day for one in gallery.people()} == {DAY, DAY + timedelta(days=1), None}
        gallery.hide_expired(DAY + timedelta(days=1))
        assert gallery.expire(date(1900, 1, 1)) == 0
        assert gallery.expire(DAY + timedelta(days=1)) == 1
        assert gallery.size == 2
    with Gallery.open(path, KEY, today=date(1970, 1, 1)) as gallery:  # a clock that was never set
        assert gallery.size == 2
    with Gallery.open(path, KEY) as gallery:
        assert gallery.size == 2


@pytest.mark.req("E026")
def test_another_models_templates_are_refused_and_never_scored(path: Path) -> None:
    templates = random_templates(2, 1)
    foreign = embedding(templates[0], OTHER_MODEL)
    with filled(path, templates) as gallery:
        assert gallery.model == MODEL
        before = path.read_bytes()
        for ask in (
            lambda: gallery.add([Entry(person(5), embedding(templates[1])), Entry(person(6), foreign)]),
            lambda: gallery.search([foreign], k=1),
            lambda: gallery.search_above([embedding(templates[0]), foreign], threshold=0.5),
        ):
            with pytest.raises(SetupError, match="cannot be compared") as caught:
                ask()
            assert caught.value.code == "MODEL_MISMATCH"
            assert "re-enrol" in caught.value.hint
        assert path.read_bytes() == before
    with Gallery.open(path, KEY) as gallery:
        assert gallery.model == MODEL


def bad_templates() -> Iterator[Floats]:
    good = random_templates(1, 1)[0]
    for spoil in (0.0, 1.1, np.nan, np.inf, 1e38):
        yield good * np.float32(spoil)
    one = good.copy()
    one[7] = np.nan
    yield one
    yield good[:64]
    yield np.zeros((2, 128), np.float32)


@pytest.mark.parametrize("bad", list(bad_templates()))
def test_a_template_that_means_nothing_is_refused(path: Path, bad: Floats) -> None:
    good = random_templates(1, 2)[0]
    with filled(path, random_templates(3, 3)) as gallery:
        before = path.read_bytes()
        for ask in (
            lambda: gallery.add([Entry(person(8), embedding(good)), Entry(person(9), embedding(bad))]),
            lambda: gallery.search([embedding(good), embedding(bad)], k=1),
            lambda: gallery.search_above([embedding(bad)], threshold=0.1),
        ):
            with pytest.raises(InputError) as caught:
                ask()
            assert caught.value.code == "TEMPLATE_INVALID"
        assert (gallery.size, path.read_bytes()) == (3, before)


def test_batches_and_questions_have_limits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_templates(MAX_BATCH + 1, 1)
    probe = embedding(rows[0])
    with Gallery.create(path, KEY, model=MODEL) as gallery:
        many = [person(i) for i in range(len(rows))]
        for batch in (
            rows_of(many, rows),
            rows_of([], rows[:0]),
            rows_of([person(1), person(1)], rows[:2]),
            rows_of([UUID(int=0)], rows[:1]),
            rows_of([person(1)], rows[:1], last_day=-1),
        ):
            with pytest.raises(InputError) as caught:
                gallery.add_rows(batch)
            assert caught.value.code == "GALLERY_BATCH"
        with pytest.raises(InputError, match="before 1970"):
            gallery.add([Entry(person(1), probe, date(1960, 1, 1))])
        for ask in (
            lambda: gallery.search([probe], k=0),
            lambda: gallery.search([probe], k=1001),
            lambda: gallery.search([], k=1),
            lambda: gallery.search([probe] * 4097, k=1),
            lambda: gallery.search_above([probe], threshold=float("nan")),
        ):
            with pytest.raises(InputError) as caught:
                ask()
            assert caught.value.code == "GALLERY_QUESTION"
        monkeypatch.setattr(store, "MAX_TEMPLATES", 2)
        with pytest.raises(InputError) as caught:
            gallery.add_rows(rows_of(many[:3], rows[:3]))
        assert caught.value.code == "GALLERY_TOO_MANY"
        assert gallery.size == 0


def test_one_process_at_a_time(path: Path) -> None:
    with filled(path, random_templates(2, 1)):
        for ask in (lambda: Gallery.open(path, KEY), lambda: Gallery.create(path, KEY, model=MODEL)):
            with pytest.raises(StorageError) as caught:
                ask()
            assert caught.value.code == "GALLERY_BUSY"
    with Gallery.open(path, KEY) as gallery:
        assert gallery.size == 2


def test_a_gallery_is_made_once_and_only_for_its_owner(path: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError) as missing:
        Gallery.open(path, KEY)
    assert missing.value.code == "GALLERY_MISSING"
    Gallery.create(path, KEY, model=MODEL).close()
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}
    with pytest.raises(SetupError) as exists:
        Gallery.create(path, KEY, model=MODEL)
    assert exists.value.code == "GALLERY_EXISTS"


def test_the_journal_is_compacted_when_it_has_grown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "JOURNAL_ROWS", 50)
    templates = random_templates(120, 1)
    with filled(path, templates, batch=20) as gallery:
        assert (gallery.size, gallery.journal_rows) == (120, 0)
        assert gallery.version == 7  # changes count, compaction does not
        monkeypatch.setattr(store, "JOURNAL_FRAMES", 5)
        for number in range(7):
            gallery.remove([person(number)])
        assert gallery.size == 113
        assert gallery.file_bytes < 113 * 1000 + 20_000


def test_a_full_disk_loses_nothing_and_the_journal_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "JOURNAL_ROWS", 10)
    known = random_templates(60, 1)

    def full(*_: object, **__: object) -> Path:
        raise OSError(28, os.strerror(28))

    with filled(path, known[:8]) as gallery:
        monkeypatch.setattr(store, "write_file", full)
        for number in range(8, 60):
            gallery.add([Entry(person(number), embedding(known[number]))])
        assert (gallery.size, gallery.journal_rows) == (60, 60)
        with pytest.raises(StorageError) as caught:
            gallery.compact()
        assert caught.value.code == "GALLERY_FULL"
        assert gallery.search([embedding(known[59])], k=1)[0][0].candidate_id == person(59)
    with Gallery.open(path, KEY) as gallery:
        assert gallery.size == 60


def test_after_a_write_that_failed_nothing_is_said_before_it_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates = random_templates(3, 1)
    with filled(path, templates[:2]) as gallery:
        real = os.fdatasync

        def fail(_: int) -> None:
            raise OSError(5, os.strerror(5))

        monkeypatch.setattr(os, "fdatasync", fail)
        entry = Entry(person(2), embedding(templates[2]))
        codes = []
        for _ in range(2):
            with pytest.raises(StorageError) as caught:
                gallery.add([entry])
            codes.append(caught.value.code)
            monkeypatch.setattr(os, "fdatasync", real)
        assert codes == ["GALLERY_IO", "GALLERY_IO"]
        with pytest.raises(EdgeError):
            gallery.search([entry.embedding], k=1)
    with Gallery.open(path, KEY) as gallery:
        assert (gallery.size, gallery.cut_off) == (2, 0)


def test_memory_is_at_most_160_bytes_a_template(path: Path) -> None:
    with filled(path, random_templates(20_000, 1)) as gallery:
        assert gallery.memory_bytes / gallery.size < 160
        gallery.compact()
        assert gallery.memory_bytes / gallery.size < 155
