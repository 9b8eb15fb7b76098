"""What a disk, a power cut or somebody else does to the file: noticed, told, and mended as far as it goes."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import StorageError
from edge.gallery import writing
from edge.gallery.broken import destroy, keep, kept_beside
from edge.gallery.layout import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    HEADERS_BYTES,
    PAGE_BYTES,
    open_chunk,
    open_page,
    parse_header,
    parse_page,
)
from edge.gallery.salvage import changes_of, repair, verify
from edge.gallery.store import Gallery
from edge.gallery.table import Table
from tests.support.galleries import (
    KEY,
    Floats,
    check_found,
    embedding,
    filled,
    person,
    random_templates,
    rows_of,
)

PEOPLE, LATER = 48, 12
TEMPLATES = random_templates(PEOPLE + LATER, 1)
WRONG = bytes(32)


@pytest.fixture(scope="module")
def whole(whole_file: Path) -> bytes:
    return whole_file.read_bytes()


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segment of 48, and a journal: 12 more, one replaced, two removed."""
    path = tmp_path_factory.mktemp("whole") / "people.gallery"
    with filled(path, TEMPLATES[:PEOPLE], compact=True) as gallery:
        gallery.add_rows(rows_of([person(i) for i in range(PEOPLE, PEOPLE + LATER)], TEMPLATES[PEOPLE:]))
        gallery.add_rows(rows_of([person(3)], TEMPLATES[4:5]))
        gallery.remove([person(0), person(PEOPLE)])
    return path


def known() -> dict[object, Floats]:
    people = {person(i): row for i, row in enumerate(TEMPLATES)}
    people[person(3)] = TEMPLATES[4]
    del people[person(0)], people[person(PEOPLE)]
    return people


def written(folder: Path, data: bytes) -> Path:
    path = folder / "people.gallery"
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def read_everything(path: Path) -> Gallery:
    """Open it, and have every page read."""
    gallery = Gallery.open(path, KEY)
    try:
        check_found(gallery.search([embedding(TEMPLATES[9])], k=100)[0], known(), TEMPLATES[9], 100)
    except BaseException:
        gallery.close()
        raise
    return gallery


@pytest.mark.req("E025")
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_bit_that_flips_anywhere_is_noticed(
    whole_file: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(whole_file.read_bytes())
    at = chance.choice([chance.randrange(len(data)), chance.randrange(HEADERS_BYTES + 9000)])
    data[at] ^= 1 << chance.randrange(8)
    path = written(tmp_path_factory.mktemp("flip"), bytes(data))
    report = verify(path, KEY)
    assert not report.whole
    assert report.cut_off == 0
    with pytest.raises(StorageError) as caught:
        read_everything(path)
    assert caught.value.code in ("GALLERY_DAMAGED", "GALLERY_FORMAT")
    assert path.read_bytes() == bytes(data), "nothing may be changed by looking"

    mended = repair(path, KEY)
    assert mended.kept is not None
    assert mended.kept.read_bytes() == bytes(data)
    assert verify(path, KEY).whole
    expected = known()
    with Gallery.open(path, KEY) as gallery:
        people = {one.candidate_id for one in gallery.people()}
        lost = set(expected) - people
        assert len(lost) <= 8
        back = people - set(expected)
        assert not back or mended.journal_lost
        if at < HEADERS_BYTES or (lost and not mended.journal_lost):
            assert lost <= set(mended.lost_candidates)
        assert bool(lost or back) <= bool(list(changes_of(mended)))
        if not mended.journal_lost:
            check_found(
                gallery.search([embedding(TEMPLATES[9])], k=100)[0],
                {who: row for who, row in expected.items() if who in people},
                TEMPLATES[9],
                100,
            )


@pytest.mark.req("E025")
def test_a_tail_torn_at_any_byte_is_left_out_and_told(
    whole: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every place where the last write, which removes two, can have been cut off."""
    last = FRAME_HEAD_BYTES + 64
    begun = len(whole) - last
    for length in range(begun, len(whole)):
        path = written(tmp_path, whole[:length])
        caplog.clear()
        with caplog.at_level(logging.WARNING), Gallery.open(path, KEY) as gallery:
            assert (gallery.size, gallery.cut_off) == (PEOPLE + LATER, length - begun)
            assert bool(caplog.records) is (length > begun)
            assert gallery.remove([person(0)]) == 1  # what follows stands in the place of what was torn
        with Gallery.open(path, KEY) as gallery:
            assert (gallery.size, gallery.cut_off) == (PEOPLE + LATER - 1, 0)
        report = verify(written(tmp_path, whole[:length]), KEY)
        assert (report.whole, report.cut_off) == (True, length - begun)


@pytest.mark.req("E025")
def test_a_large_write_that_is_cut_off_anywhere_never_happened(whole: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, whole)
    with Gallery.open(path, KEY) as gallery:
        gallery.add_rows(rows_of([person(100 + i) for i in range(30)], random_templates(30, 5)))
    data = path.read_bytes()
    chance = random.Random(1)
    for length in [
        *range(len(whole), len(whole) + 200),
        *(chance.randrange(len(whole), len(data)) for _ in range(60)),
    ]:
        with Gallery.open(written(tmp_path, data[:length]), KEY) as gallery:
            assert (gallery.size, gallery.cut_off) == (len(known()), length - len(whole))
    for _ in range(40):  # a power cut may also leave sectors of zeros behind
        torn = bytearray(data)
        for sector in range(-(-len(whole) // 512), len(data) // 512):
            if chance.random() < 0.3:
                torn[sector * 512 : (sector + 1) * 512] = bytes(512)
        if torn != data:
            with Gallery.open(written(tmp_path, bytes(torn)), KEY) as gallery:
                assert gallery.size == len(known())


@pytest.mark.parametrize("byte", range(0, FRAME_HEAD_BYTES, 7))
def test_a_frame_that_lost_its_head_loses_nobody(whole: bytes, tmp_path: Path, byte: int) -> None:
    """Its pages are found by their place and their seals. That something may be lost is said all the same."""
    header, _ = parse_header(whole[:HEADER_BYTES], KEY)
    data = bytearray(whole)
    data[header.journal_at + byte] ^= 0x10
    path = written(tmp_path, bytes(data))
    report = repair(path, KEY)
    assert (report.journal_lost, report.templates) == (True, len(known()))
    with Gallery.open(path, KEY) as gallery:
        check_found(gallery.search([embedding(TEMPLATES[9])], k=100)[0], known(), TEMPLATES[9], 100)


def test_zeros_in_the_middle_are_damage_and_no_cut(whole: bytes, tmp_path: Path) -> None:
    header, _ = parse_header(whole[:HEADER_BYTES], KEY)
    data = bytearray(whole)
    data[header.journal_at : header.journal_at + 2048] = bytes(2048)
    with pytest.raises(StorageError) as caught:
        Gallery.open(written(tmp_path, bytes(data)), KEY)
    assert caught.value.code == "GALLERY_DAMAGED"
    report = verify(tmp_path / "people.gallery", KEY)
    assert (report.whole, report.journal_lost) == (False, True)


def test_a_file_that_ends_within_the_segment_is_damaged(whole: bytes, tmp_path: Path) -> None:
    header, _ = parse_header(whole[:HEADER_BYTES], KEY)
    path = written(tmp_path, whole[: header.journal_at - PAGE_BYTES])
    with pytest.raises(StorageError) as caught:
        Gallery.open(path, KEY)
    assert caught.value.code == "GALLERY_DAMAGED"
    assert "repair" in caught.value.hint
    report = repair(path, KEY)
    with Gallery.open(path, KEY) as gallery:
        assert gallery.size == PEOPLE - len(report.lost_candidates) > 0


def test_parts_cannot_be_exchanged_or_brought_back(whole: bytes, tmp_path: Path) -> None:
    header, _ = parse_header(whole[:HEADER_BYTES], KEY)
    data = bytearray(whole)
    one, other = header.pages_at, header.pages_at + PAGE_BYTES
    data[one:other], data[other : other + PAGE_BYTES] = data[other : other + PAGE_BYTES], data[one:other]
    assert not verify(written(tmp_path, bytes(data)), KEY).whole
    again = whole + whole[header.journal_at :]  # the journal a second time: its numbers are over
    with pytest.raises(StorageError) as caught:
        Gallery.open(written(tmp_path, again), KEY)
    assert caught.value.code == "GALLERY_DAMAGED"


def test_another_key_opens_nothing_and_says_so(whole: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, whole)
    for ask in (Gallery.open, verify, repair):
        with pytest.raises(StorageError) as caught:
            ask(path, WRONG)
        assert caught.value.code == "GALLERY_KEY_WRONG"
    assert path.read_bytes() == whole


@pytest.mark.parametrize("data", [b"", b"VFGALRY1", b"x" * 20_000, b"VFGALRY2" + bytes(20_000)])
def test_what_is_no_gallery_is_told_from_one_that_is_damaged(data: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, data)
    for ask in (Gallery.open, verify, repair):
        with pytest.raises(StorageError) as caught:
            ask(path, KEY)
        assert caught.value.code == "GALLERY_FORMAT"
    assert path.read_bytes() == data


def test_both_headers_lost_is_all_lost_and_said(whole: bytes, tmp_path: Path) -> None:
    data = bytearray(whole)
    data[100] ^= 1
    data[HEADER_BYTES + 100] ^= 1
    with pytest.raises(StorageError) as caught:
        repair(written(tmp_path, bytes(data)), KEY)
    assert caught.value.code == "GALLERY_DAMAGED"
    assert "both headers" in caught.value.message


def test_nothing_is_repaired_where_everything_holds(whole: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, whole)
    report = repair(path, KEY)
    assert (report.whole, report.templates, report.kept) == (True, len(known()), None)
    assert path.read_bytes() == whole


@pytest.mark.req("E025")
def test_a_removed_template_is_gone_from_the_file_after_compaction(tmp_path: Path) -> None:
    """Neither its id, nor its numbers, nor its codes are in any part; and the old file cannot be opened."""
    path, kept = tmp_path / "people.gallery", tmp_path / "somebody-kept-a-link"
    with filled(path, TEMPLATES, compact=True) as gallery:
        traces = traces_of(path, 17)
        assert found_in(plain_parts(path), traces) == len(traces)
        gallery.remove([person(17)])
        assert not gallery.search([embedding(TEMPLATES[17])], k=100)[0][0].score > 0.9
        kept.hardlink_to(path)
        gallery.compact()
        parts = plain_parts(path)
        assert found_in(parts, traces) == 0
        assert found_in(parts, traces_of(path, 18, TEMPLATES[18])) > 0
    assert not path.samefile(kept)
    for ask in (Gallery.open, verify):
        with pytest.raises(StorageError) as caught:
            ask(kept, KEY)
        assert caught.value.code == "GALLERY_FORMAT"


def traces_of(path: Path, number: int, template: Floats | None = None) -> list[bytes]:
    """What of a person stands in the file: id, numbers, low and high codes (of its page)."""
    row = TEMPLATES[number] if template is None else template
    records = next(page for page in pages_of(path) if (page["template"] == row).all(axis=1).any())
    record = records[(records["template"] == row).all(axis=1)][0]
    return [person(number).bytes, row.tobytes(), record["low"].tobytes(), record["high"].tobytes()]


def found_in(parts: list[bytes], traces: list[bytes]) -> int:
    return sum(any(trace in part for part in parts) for trace in traces)


def pages_of(path: Path) -> list[np.ndarray]:
    data = path.read_bytes()
    header, sealer = parse_header(data[:HEADER_BYTES], KEY)
    starts = [header.pages_at + index * PAGE_BYTES for index in range(header.pages)]
    return [
        parse_page(open_page(data[at : at + PAGE_BYTES], index, sealer)) for index, at in enumerate(starts)
    ]


def plain_parts(path: Path) -> list[bytes]:
    """The whole file, decrypted."""
    data = path.read_bytes()
    header, sealer = parse_header(data[:HEADER_BYTES], KEY)
    parts = [page.tobytes() for page in pages_of(path)]
    for index in range(header.chunks):
        at, size, rows = header.chunk_place(index)
        table = Table(rows, rows, room=0)
        open_chunk(data[at : at + size], index, sealer, table.chunk(0))
        parts += [one.tobytes() for one in table.chunk(0)]
        high = table.codes.blocks[:, :1024].reshape(-1, 16, 16, 4).transpose(0, 2, 1, 3)
        parts.append(np.ascontiguousarray(high).tobytes())
    assert len(data) == header.journal_at
    return parts


def test_looking_at_the_file_gives_nothing_away(whole: bytes) -> None:
    ids = [person(i).bytes for i in range(PEOPLE)]
    assert not any(one in whole for one in ids)
    assert not any(row.tobytes()[:16] in whole for row in TEMPLATES)


def test_what_was_begun_beside_it_is_cleared_away(whole: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, whole)
    beside = tmp_path / "people.gallery.new"
    beside.write_bytes(b"half")
    Gallery.open(path, KEY).close()
    assert not beside.exists()


@pytest.mark.parametrize("cut", ["replace", "forget_file"])
def test_a_compaction_that_was_cut_off_leaves_no_file_of_before(
    cut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the new file had its name already or not, the old one cannot be read once that is done."""
    path, link = tmp_path / "people.gallery", tmp_path / "somebody-kept-a-link"
    with filled(path, TEMPLATES, compact=True) as gallery:
        link.hardlink_to(path)
        gallery.remove([person(17)])

        def power(name: Path, *_: object, **__: object) -> None:
            if cut == "replace" or name.exists():
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(*((Path, "replace") if cut == "replace" else (writing, "forget_file")), power)
            with pytest.raises(KeyboardInterrupt):
                gallery.compact()
    assert path.samefile(link) == (cut == "replace")
    with Gallery.open(path, KEY) as gallery:
        assert sorted(one.name for one in tmp_path.iterdir()) == [
            "people.gallery",
            "people.gallery.lock",
            "somebody-kept-a-link",
        ]
        assert gallery.size == len(TEMPLATES) - 1
        gallery.compact()
    with pytest.raises(StorageError) as caught:
        Gallery.open(link, KEY)
    assert caught.value.code == "GALLERY_FORMAT"


def test_a_repair_that_was_cut_off_leaves_the_file_under_its_name(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(whole)
    data[-1] ^= 1
    path = written(tmp_path, bytes(data))

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edge.gallery.salvage.put_in_place", cut)
    with pytest.raises(KeyboardInterrupt):
        repair(path, KEY)
    assert path.read_bytes() == bytes(data)
    monkeypatch.undo()
    assert repair(path, KEY).kept == tmp_path / "people.gallery.broken-2"


def test_damaged_files_that_were_kept_are_destroyed_and_the_gallery_never_is(
    whole: bytes, tmp_path: Path
) -> None:
    path, elsewhere = written(tmp_path, whole), tmp_path / "somebody-kept-a-link"
    assert destroy(path) == 0
    data = bytearray(whole)
    data[HEADER_BYTES] ^= 1
    path.write_bytes(data)
    kept = repair(path, KEY).kept
    assert kept is not None
    elsewhere.hardlink_to(kept)
    assert keep(path) == tmp_path / "people.gallery.broken-2"  # as a repair that was cut off leaves it
    assert kept_beside(path) == [kept, tmp_path / "people.gallery.broken-2"]
    assert destroy(path) == 2
    assert kept_beside(path) == []
    with pytest.raises(StorageError):
        verify(elsewhere, KEY)
    read_everything(path).close()
