"""Archives from elsewhere: whatever is in them, they are imported or refused, within bounds."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import InputError
from edge.gallery.importing import Archive, read_list
from edge.gallery.records import Rowset, day_of
from edge.gallery.store import Gallery
from tests.support.galleries import KEY, MODEL, person, random_templates, rows_of

LAST_DAY = (date.max - date(1970, 1, 1)).days


def npy(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


def npy_header(descr: str, shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def members(count: int = 5) -> dict[str, bytes]:
    ids = np.frombuffer(b"".join(person(i).bytes for i in range(count)), np.uint8).reshape(count, 16)
    columns = {"candidates": ids, "templates": random_templates(count, 1), "model_sha256": MODEL.sha256}
    return {name: npy(value) for name, value in columns.items()}


def written(path: Path, parts: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in parts.items():
            file.writestr(f"{name}.npy", data)
    return path


def read(path: Path) -> tuple[str, list[Rowset]]:
    with ExitStack() as stack:
        archive = Archive(path, stack)
        return archive.model_sha256, list(archive.parts())


def check_refused(path: Path, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        read(path)
    assert caught.value.code == "GALLERY_IMPORT"


def is_refused(path: Path) -> bool:
    """Any other error comes out as it is."""
    try:
        read(path)
    except InputError:
        return True
    return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.npz"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_numpy_wrote_is_read(path: Path, method: int) -> None:
    model, [rows] = read(written(path, members(), method))
    assert model == MODEL.sha256
    np.testing.assert_array_equal(rows.templates, random_templates(5, 1))


def test_a_candidate_stands_in_a_file_once(path: Path) -> None:
    """The second would take the place of the first; far apart, they are in different pieces."""
    count = 5000
    ids = np.arange(count * 16, dtype=np.uint32).view(np.uint8).reshape(-1, 16)[:count].copy()
    columns = {"candidates": ids, "templates": random_templates(count, 1), "model_sha256": MODEL.sha256}
    parts = {name: npy(value) for name, value in columns.items()}
    _, rows = read(written(path, parts))
    assert np.array_equal(np.concatenate([one.ids for one in rows]), ids.view("S16").reshape(-1))
    ids[4999] = ids[3]
    with ExitStack() as stack, pytest.raises(InputError, match="row 4999") as caught:
        next(Archive(written(path, parts | {"candidates": npy(ids)}), stack).parts())
    assert caught.value.code == "GALLERY_IMPORT"


def test_a_candidate_stands_in_a_list_once(tmp_path: Path) -> None:
    lines = ["picture,candidate_id", f"a.png,{person(1)}", f"b.png,{person(2)}"]
    file = tmp_path / "people.csv"
    file.write_text("\n".join(lines))
    assert [one.candidate_id for one in read_list(file)] == [person(1), person(2)]
    file.write_text("\n".join([*lines, f"c.png,{str(person(1)).upper()}"]))
    with pytest.raises(InputError, match=r"line 4: this candidate stands in line 2\.") as caught:
        read_list(file)
    assert caught.value.code == "GALLERY_IMPORT"


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (npy_header("<f8", (10**14,)), "one text"),
        (npy_header("<U64", (10**14,)), "one text"),
        (npy_header(f"<U{10**8}", ()), "one text"),
        (npy("a" * 65), "one text"),
        (npy([MODEL.sha256]), "one text"),
        (npy(MODEL.sha256.encode()), "one text"),
        (npy("\x1b[2J"), "cannot be shown"),
        (npy(MODEL.sha256)[:-1], "ends too early"),
        (npy_header("<U64", ()), "ends too early"),
        (npy_header("<U0", ()), "cannot be imported"),
    ],
)
def test_the_model_is_one_short_text(path: Path, model: bytes, why: str) -> None:
    check_refused(written(path, members() | {"model_sha256": model}), why)


def test_a_small_archive_takes_little_memory(path: Path) -> None:
    size = 20_000_000
    written(path, members() | {"model_sha256": npy_header("|u1", (size,)) + bytes(size)})
    tracemalloc.start()
    try:
        check_refused(path, "one text of at most 64 characters")
        assert tracemalloc.get_traced_memory()[1] < size // 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_the_compression_of_numpy_is_unpacked(path: Path, method: int) -> None:
    """The others would be unpacked whole at the first read."""
    check_refused(written(path, members(), method), "compressed in another way")


@pytest.mark.filterwarnings("ignore")  # numpy's, on headers of Python 2
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_broken_bytes_are_refused(path: Path, method: int) -> None:
    whole = written(path, members(), method).read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(400):
        data = np.frombuffer(whole, np.uint8).copy()
        at = rng.integers(0, len(data), rng.integers(1, 4))
        data[at] = rng.integers(0, 256, len(at))
        path.write_bytes(data.tobytes())
        refused += is_refused(path)
    assert refused > 300


@pytest.mark.filterwarnings("ignore")
def test_broken_headers_are_refused(path: Path) -> None:
    """With the right checksum: numpy's parser sees them."""
    rng = np.random.default_rng(6)
    parts = members()
    refused = 0
    for _ in range(400):
        data = np.frombuffer(parts["model_sha256"], np.uint8).copy()
        at = rng.integers(0, 80, rng.integers(1, 4))
        data[at] = rng.choice(np.frombuffer(b"()[]{}'\\,-:\n#", np.uint8), len(at))
        refused += is_refused(written(path, parts | {"model_sha256": data.tobytes()}))
    assert refused > 300


def test_a_last_day_that_no_date_has_is_refused(tmp_path: Path) -> None:
    """Once durable, it could never be listed."""
    templates = random_templates(2, 1)
    with Gallery.create(tmp_path / "people.gallery", KEY, model=MODEL) as gallery:
        for day in (LAST_DAY + 1, 3_000_000, 2**31 - 1):
            with pytest.raises(InputError) as caught:
                gallery.add_rows(rows_of([person(1)], templates[:1], last_day=day))
            assert caught.value.code == "GALLERY_BATCH"
        gallery.add_rows(rows_of([person(2)], templates[1:], last_day=LAST_DAY))
        assert [one.last_day for one in gallery.people()] == [date.max]
    assert day_of(LAST_DAY) == date.max
