"""Galleries that somebody without the key has written to, and faults while one is put in order."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edge.errors import StorageError
from edge.gallery import salvage, store
from edge.gallery.codes import encode_rows
from edge.gallery.glance import glance
from edge.gallery.kernels import SLACK
from edge.gallery.layout import FRAME_HEAD_BYTES, HEADER_BYTES, PAGE_BYTES, parse_header
from edge.gallery.reading import read_headers
from edge.gallery.records import Entry
from edge.gallery.salvage import repair, verify
from edge.gallery.store import Gallery
from edge.gallery.writing import put_in_place, write_file
from tests.support.galleries import KEY, MODEL, Floats, embedding, filled, person, random_templates, rows_of

FAR = date(2050, 1, 1)
TODAY = date(2026, 11, 23)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.gallery"


def here(path: Path) -> set[object]:
    with Gallery.open(path, KEY) as gallery:
        return {one.candidate_id for one in gallery.people()}


def people(*numbers: int) -> set[object]:
    return {person(number) for number in numbers}


def forged_head(data: bytes | bytearray, *, number: int, length: int = 128, kind: int = 2) -> bytes:
    """As a frame's head, but for the seal: its check needs no key."""
    plain = struct.pack("<4sIB3xIQ", b"VFJ1", length, kind, 1, number)
    check = hashlib.sha256(parse_header(bytes(data[:HEADER_BYTES]), KEY)[0].file_id + plain).digest()
    return (plain + check)[: FRAME_HEAD_BYTES - 28] + bytes(28)


def in_steps(path: Path, count: int) -> list[int]:
    """Add ``count`` people one by one; where each of their frames ends in the file."""
    ends = []
    with Gallery.create(path, KEY, model=MODEL) as gallery:
        for number, template in enumerate(random_templates(count, 3)):
            gallery.add([Entry(person(number), embedding(template))])
            ends.append(path.stat().st_size)
    return ends


def test_a_wrong_clock_does_not_widen_what_an_administrator_lets_expire(path: Path) -> None:
    templates = random_templates(2, 1)
    with Gallery.create(path, KEY, model=MODEL) as gallery:
        days = date(2027, 12, 31), date(2026, 1, 1)
        gallery.add([Entry(person(i), embedding(templates[i]), days[i]) for i in range(2)])
    with Gallery.open(path, KEY, today=FAR) as gallery:
        assert (gallery.size, gallery.expire(TODAY)) == (0, 1)
        gallery.compact()
        assert gallery.size == 0
        assert [(one.last_day, one.expired) for one in gallery.people()] == [(days[0], True)]
    assert here(path) == people(0)


@pytest.mark.req("E025")
def test_a_journal_that_is_not_there_any_more_is_told(path: Path) -> None:
    with filled(path, random_templates(39, 1), compact=True) as gallery:
        end = path.stat().st_size
        gallery.remove([person(3)])
    os.truncate(path, end - 10)
    report = repair(path, KEY)
    assert (report.journal_lost, "the journal" in report.damaged) == (True, True)
    assert any("Changes are lost" in line for line in salvage.changes_of(report))


@pytest.mark.req("E025")
@pytest.mark.parametrize("torn", [False, True])
def test_what_cannot_be_opened_is_neither_whole_nor_beyond_repair(path: Path, torn: bool) -> None:
    ends = in_steps(path, 2)
    data = bytearray(path.read_bytes())
    if torn:  # and a bit of its head's seal flipped
        data = data[: ends[0] + FRAME_HEAD_BYTES + 512]
        data[ends[0] + 50] ^= 1
    else:
        data += forged_head(data, number=2)
    path.write_bytes(data)
    with pytest.raises(StorageError):
        Gallery.open(path, KEY)
    assert not verify(path, KEY).whole
    assert repair(path, KEY).kept is not None
    assert here(path) == (people(0) if torn else people(0, 1))


def test_a_frame_of_earlier_brings_nobody_back(path: Path) -> None:
    ends = in_steps(path, 2)
    begin = ends[0] - (ends[1] - ends[0])
    with Gallery.open(path, KEY) as gallery:
        gallery.remove([person(0)])
        version = gallery.version
    data = path.read_bytes()
    path.write_bytes(data + data[begin : ends[0]])
    assert repair(path, KEY).journal_lost
    assert here(path) == people(1)
    with Gallery.open(path, KEY) as gallery:
        assert gallery.version > version


@pytest.mark.parametrize("number", [1, 2**63, 2**64 - 1])
def test_a_forged_head_hides_no_frame_behind_it(path: Path, number: int) -> None:
    ends = in_steps(path, 7)
    data = bytearray(path.read_bytes())
    length = FRAME_HEAD_BYTES + 4 * PAGE_BYTES
    data[ends[0] : ends[0] + FRAME_HEAD_BYTES] = forged_head(data, number=number, length=length, kind=1)
    path.write_bytes(data)
    assert repair(path, KEY).templates == 7  # also the page behind the forged head holds
    assert here(path) == people(*range(7))


def test_whom_the_journal_replaced_or_removed_is_not_called_lost(path: Path) -> None:
    templates = random_templates(17, 1)
    with filled(path, templates[:16], compact=True) as gallery:
        header, _ = parse_header(path.read_bytes()[:HEADER_BYTES], KEY)
        page = sorted((person(i) for i in range(16)), key=lambda one: one.bytes)[:8]
        gallery.remove(page[:1])
        gallery.add_rows(rows_of(page[1:2], templates[16:]))
    data = bytearray(path.read_bytes())
    data[header.pages_at + 100] ^= 1
    path.write_bytes(data)
    report = verify(path, KEY)
    assert (report.lost, set(report.lost_candidates)) == (6, set(page[2:]))


def test_what_goes_bad_while_it_is_repaired_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_steps(path, 2)
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + 100] ^= 1
    path.write_bytes(data)

    def later(*given: object, **named: object) -> Path:
        data[-700] ^= 1
        path.write_bytes(data)
        return write_file(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("edge.gallery.salvage.write_file", later)
    with pytest.raises(StorageError) as caught:
        repair(path, KEY)
    assert caught.value.code == "GALLERY_DAMAGED"
    assert path.read_bytes() == data


def test_what_was_added_is_added_whatever_becomes_of_putting_it_in_order(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(path, random_templates(16, 1), compact=True):
        header, _ = parse_header(path.read_bytes()[:HEADER_BYTES], KEY)
    data = bytearray(path.read_bytes())
    data[header.pages_at + 100] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(store, "JOURNAL_FRAMES", 2)
    more = random_templates(4, 2)
    with Gallery.open(path, KEY) as gallery:
        for number, template in enumerate(more):
            assert gallery.add([Entry(person(100 + number), embedding(template))]) == 1
        assert gallery.size == 20


def failing(*_: object, **__: object) -> None:
    raise OSError(5, os.strerror(5))


@pytest.mark.parametrize("place", ["sync_folder", "open"])
def test_a_fault_within_a_compaction_is_one_of_the_disk_for_every_question(
    path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    templates = random_templates(2, 1)
    gallery = filled(path, templates[:1])
    if place == "open":

        def then_fail(*given: object, **named: object) -> None:
            put_in_place(*given, **named)  # type: ignore[arg-type]
            monkeypatch.setattr(os, "open", failing)

        monkeypatch.setattr("edge.gallery.store.put_in_place", then_fail)
    else:
        monkeypatch.setattr("edge.gallery.writing.sync_folder", failing)
    with pytest.raises(StorageError):
        gallery.compact()
    monkeypatch.undo()
    other = os.open(path, os.O_RDONLY)  # gets the number of what was closed
    entry = Entry(person(1), embedding(templates[1]))
    questions: list[Callable[[], object]] = [
        lambda: gallery.size,
        lambda: gallery.add([entry]),
        lambda: gallery.remove([person(0)]),
        lambda: gallery.expire(TODAY),
        lambda: gallery.search([entry.embedding], k=1),
    ]
    for ask in questions:
        with pytest.raises(StorageError) as caught:
            ask()
        assert caught.value.code == "GALLERY_IO"
    gallery.close()
    os.fstat(other)  # is still open
    os.close(other)
    assert here(path) == people(0)


def test_a_look_beside_a_compaction_sees_the_new_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with filled(path, random_templates(2, 1)) as gallery:
        begun: list[bool] = []

        def late(descriptor: int, key: bytes) -> object:
            if not begun:
                begun.append(True)
                gallery.compact()
            return read_headers(descriptor, key)

        monkeypatch.setattr("edge.gallery.glance.read_headers", late)
        assert glance(path, KEY).count == 2


@pytest.mark.req("E022")
def test_bounds_hold_for_the_longest_probe_that_is_taken(path: Path) -> None:
    """The probe points to where eight bits lost most of a template."""
    templates = random_templates(400, 5)
    error8 = encode_rows(templates).error8
    worst = int(error8.argmax())
    assert 0.0009 * error8[worst] > SLACK  # else nothing would be shown
    template = templates[worst : worst + 1]
    lost = template[0].astype(np.float64) - in_eight_bits(template)
    probe = (lost / np.linalg.norm(lost) * 1.0009).astype(np.float32)
    score = float(template[0].astype(np.float64) @ probe.astype(np.float64))
    with filled(path, np.concatenate([template, random_templates(30, 6)])) as gallery:
        for count in (1, 2):
            found = gallery.search_above([embedding(probe)] * count, threshold=score - 1e-9)[0]
            assert person(0) in {one.candidate_id for one in found}


def in_eight_bits(template: Floats) -> Floats:
    codes = encode_rows(template)
    high, low = codes.high[0].reshape(16, 4).astype(int), codes.low[0].reshape(16, 4).astype(int)
    halves = [(high >> shift & 15) << 4 | low >> shift & 15 for shift in (0, 4)]
    code = np.concatenate(halves, axis=1).reshape(-1)
    return np.asarray(float(codes.scale[0]) * (code - 127.5))
