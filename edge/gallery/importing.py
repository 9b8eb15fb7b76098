"""Many people at once: templates out of a numpy archive, or a list of pictures.

.npz   candidates (uint8 [n, 16]: UUIDs), templates (float32 [n, 128]), model_sha256 (one text of at most
       64 characters); where wanted last_days (int32 [n], days since 1970, 0 for no end) and kinds
       (uint8 [n]). But for the candidates it is read piece by piece: it may be larger than memory
.csv   a header, then one line for each picture: picture,candidate_id[,last_day[,kind]]
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from edge.errors import InputError
from edge.gallery.codes import SIZE
from edge.gallery.layout import ID_BYTES, MAX_BATCH
from edge.gallery.records import Kind, Rowset
from edge.gallery.store import MAX_TEMPLATES
from edge.gallery.table import Ids

MAX_LINES = 100_000
"""Pictures of one list: a day's work of the networks."""

_MAX_LINE_CHARS = 4096
_MAX_HEADER_BYTES = 4096
_MODEL = "model_sha256"
_MAX_MODEL_BYTES = 64 * 4  # numpy's text has four bytes for each character
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes. Of the others zipfile unpacks all that it read, however little was asked for."""

_COLUMNS: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    "candidates": (np.dtype(np.uint8), (ID_BYTES,)),
    "templates": (np.dtype(np.float32), (SIZE,)),
    "last_days": (np.dtype(np.int32), ()),
    "kinds": (np.dtype(np.uint8), ()),
}
_NEEDED = ("candidates", "templates")


@dataclass(frozen=True, slots=True)
class Picture:
    """One line of a list; ``path`` is relative to the list."""

    path: Path
    candidate_id: UUID
    last_day: date | None
    kind: Kind


class Archive:
    """An open .npz; ``count``: how many templates are in it. Use :meth:`parts` once."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path = path
        with self._faults_of_the_file():
            self._zip = stack.enter_context(zipfile.ZipFile(path))
            names = {Path(name).stem for name in self._zip.namelist()}
            self.model_sha256 = self._model(stack)
            self._columns = {
                name: self._open(name, stack) for name in _COLUMNS if name in names or name in _NEEDED
            }
        counts = {shape[0] for _, shape in self._columns.values()}
        if len(counts) != 1 or not 0 <= min(counts) <= MAX_TEMPLATES:
            raise self._unusable("its arrays differ in length, or are too long")
        self.count = counts.pop()

    def parts(self) -> Iterator[Rowset]:
        """MAX_BATCH entries at a time, when it is known that each candidate is in it once.

        Raises:
            InputError: GALLERY_IMPORT.
        """
        ids = self._take("candidates", self.count).view("S16").reshape(-1)
        self._check_once(ids)
        rest = [name for name in self._columns if name != "candidates"]
        for start in range(0, self.count, MAX_BATCH):
            count = min(MAX_BATCH, self.count - start)
            columns = {name: self._take(name, count) for name in rest}
            yield Rowset(
                ids[start : start + count],
                columns["templates"],
                columns.get("last_days", np.zeros(count, np.int32)),
                columns.get("kinds", np.zeros(count, np.uint8)),
            )

    def _check_once(self, ids: Ids) -> None:
        """The second of two would take the first one's place, and nobody would know of the first."""
        first = np.unique(ids, return_index=True)[1]
        if len(first) != self.count:
            again = np.delete(np.arange(self.count), first)[0]
            raise self._unusable(f"the candidate of row {again} stands in an earlier row")

    def _member(self, name: str, stack: ExitStack) -> IO[bytes]:
        member = self._zip.getinfo(f"{name}.npy")
        if member.compress_type not in _METHODS:
            raise ValueError(f"{name} is compressed in another way than numpy does")
        return stack.enter_context(self._zip.open(member))

    def _model(self, stack: ExitStack) -> str:
        file = self._member(_MODEL, stack)
        shape, _, dtype = _read_header(file, _MODEL)
        if shape or dtype.kind != "U" or dtype.itemsize > _MAX_MODEL_BYTES:
            raise ValueError(f"{_MODEL} has to be one text of at most 64 characters")
        text = str(np.frombuffer(_read(file, dtype.itemsize), dtype)[0])
        if not text.isprintable():  # it is shown where the model is another one
            raise ValueError(f"{_MODEL} has characters that cannot be shown")
        return text

    def _open(self, name: str, stack: ExitStack) -> tuple[IO[bytes], tuple[int, ...]]:
        file = self._member(name, stack)
        shape, fortran, dtype = _read_header(file, name)
        wanted, rest = _COLUMNS[name]
        if dtype != wanted or fortran or shape[1:] != rest or not shape:
            raise ValueError(f"{name} has to be {wanted} [n{''.join(f', {one}' for one in rest)}]")
        return file, shape

    def _take(self, name: str, count: int) -> npt.NDArray[Any]:
        dtype, rest = _COLUMNS[name]
        size = count * dtype.itemsize * int(np.prod(rest, dtype=np.int64))
        with self._faults_of_the_file():
            data = _read(self._columns[name][0], size)
        return np.frombuffer(data, dtype).reshape(count, *rest)

    @contextmanager
    def _faults_of_the_file(self) -> Iterator[None]:
        try:
            yield
        # Broken bytes make zipfile, zlib and numpy's header parser fail in any way: zlib.error, TokenError,
        # TypeError, RuntimeError (encrypted), NotImplementedError, ...
        except Exception as error:
            raise self._unusable(str(error) or type(error).__name__) from error

    def _unusable(self, why: str) -> InputError:
        return _unusable(self._path, why)


def _read_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} has another form")
    return np.lib.format.read_array_header_1_0(file, max_header_size=_MAX_HEADER_BYTES)


def _read(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it ends too early")
    return data


def read_list(path: Path) -> list[Picture]:
    """The lines of a .csv, each with another candidate.

    Raises:
        InputError: GALLERY_IMPORT, naming the line.
    """
    pictures: list[Picture] = []
    stands_in: dict[UUID, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(_limited(file, path))
            if not {"picture", "candidate_id"} <= set(lines.fieldnames or ()):
                raise _unusable(path, "its first line has to name picture and candidate_id")
            for line in lines:
                if len(pictures) >= MAX_LINES:
                    raise _unusable(path, f"it has more than {MAX_LINES} lines")
                picture, number = _read_line(path, lines.line_num, line), lines.line_num
                earlier = stands_in.setdefault(picture.candidate_id, number)
                if earlier != number:
                    raise _unusable(path, f"line {number}: this candidate stands in line {earlier}")
                pictures.append(picture)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unusable(path, str(error)) from None
    return pictures


def _read_line(path: Path, number: int, line: dict[str, str | None]) -> Picture:
    try:
        return Picture(
            path.parent / (line["picture"] or ""),
            UUID(line["candidate_id"] or ""),
            date.fromisoformat(line["last_day"] or "") if line.get("last_day") else None,
            Kind[(line["kind"] or "").upper()] if line.get("kind") else Kind.PERSON,
        )
    except (KeyError, ValueError) as error:
        raise _unusable(path, f"line {number}: {error}") from None


def _limited(file: IO[str], path: Path) -> Iterator[str]:
    while line := file.readline(_MAX_LINE_CHARS):
        if len(line) == _MAX_LINE_CHARS:
            raise _unusable(path, "a line is too long")
        yield line


def _unusable(path: Path, why: str) -> InputError:
    return InputError(
        "GALLERY_IMPORT",
        f"{path.name} cannot be imported: {why}.",
        hint="docs/gallery.md says what such a file holds. What was added before stays added.",
    )
