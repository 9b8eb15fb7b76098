"""Lists of pictures to compare: the pairs.txt of Labeled Faces in the Wild, or a CSV file.

    pairs.txt   first line FOLDS<tab>N, then for each fold N lines NAME<tab>A<tab>B (one person) and N lines
                NAME<tab>A<tab>OTHER<tab>B (two). A first line of one number N is one such list without folds.
                NAME, number 1 is NAME/NAME_0001.jpg
    CSV         header path_a,path_b,same; same is 1 or 0 (true, false, yes, no); paths are within the folder

Who a person is: in pairs.txt the name; in a CSV all pictures that chains of "same" tie together.
"""

from __future__ import annotations

import csv
import io
import posixpath
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.errors import InputError
from edge.evaluation.statistics import Booleans, Integers, deterministic_folds

HEADER = ["path_a", "path_b", "same"]
MAX_LIST_BYTES = 256 * 1024 * 1024
MAX_PAIRS = 2_000_000
_TRUE, _FALSE = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})


@dataclass(frozen=True, slots=True)
class PairList:
    """``pictures``: each once, as paths within the folder. ``first`` and ``second``: places in it.

    ``persons``: a number for each picture. ``official_folds``: whether the list itself has the folds.
    """

    pictures: tuple[str, ...]
    persons: Integers
    first: Integers
    second: Integers
    same: Booleans
    folds: Integers
    official_folds: bool


def read_pairs(path: Path) -> PairList:
    """Read a list of either kind.

    Raises:
        InputError: PAIRS_UNREADABLE, PAIRS_EMPTY, PAIRS_FORMAT (with its line), PAIRS_TOO_FEW.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise InputError(
            "PAIRS_UNREADABLE",
            f"The list {path.name} cannot be read ({error.strerror or type(error).__name__}).",
            hint="Give the path of a pairs.txt, or of a CSV file with the header path_a,path_b,same.",
        ) from error
    if len(data) > MAX_LIST_BYTES:
        raise _format(1, f"the list has more than {MAX_LIST_BYTES // 2**20} MiB")
    return parse_pairs(data)


def parse_pairs(data: bytes) -> PairList:
    """As :func:`read_pairs`, of the file's content."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _format(data[: error.start].count(b"\n") + 1, "this is not UTF-8 text") from error
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        raise InputError(
            "PAIRS_EMPTY", "The list has no pairs.", hint="Name at least two pairs of each kind."
        )
    first = lines[0].strip()
    if first.replace("\t", "").replace(" ", "").isdigit():
        return _parse_official(lines)
    return _parse_csv(text)


@dataclass(frozen=True, slots=True)
class _Line:
    first: str
    second: str
    same: bool
    fold: int


def _parse_official(lines: list[str]) -> PairList:
    numbers = [_positive(part, 1) for part in lines[0].split()]
    if len(numbers) not in (1, 2):
        raise _format(1, "the first line is FOLDS<tab>PAIRS, or PAIRS alone")
    folds, each = (numbers[0], numbers[1]) if len(numbers) == 2 else (1, numbers[0])
    _check_count(2 * folds * each)
    rows = [(number, line.rstrip("\r\n")) for number, line in enumerate(lines[1:], start=2) if line.strip()]
    if not rows:
        raise InputError("PAIRS_EMPTY", "The list has no pairs.", hint="It ends after its first line.")
    pairs: list[_Line] = []
    for place, (number, line) in enumerate(rows):
        fold, within = divmod(place, 2 * each)
        if fold >= folds:
            raise _format(number, f"the first line announces {2 * folds * each} pairs, and there are more")
        pairs.append(_official_pair(line.split("\t"), number, same=within < each, fold=fold))
    if len(pairs) != 2 * folds * each:
        raise _format(
            rows[-1][0], f"the first line announces {2 * folds * each} pairs, and there are {len(pairs)}"
        )
    names = {picture: picture.split("/")[0] for one in pairs for picture in (one.first, one.second)}
    return _collect(pairs, names, official_folds=len(numbers) == 2 and folds > 1)


def _official_pair(parts: list[str], number: int, *, same: bool, fold: int) -> _Line:
    if len(parts) != (3 if same else 4):
        expected = "NAME<tab>A<tab>B" if same else "NAME<tab>A<tab>OTHER<tab>B"
        raise _format(number, f"{expected} is expected here")
    first = (parts[0], parts[1])
    second = (parts[0], parts[2]) if same else (parts[2], parts[3])
    if not same and parts[0] == parts[2]:
        raise _format(number, "a pair of two people names one")
    one, other = (_official_path(name, text, number) for name, text in (first, second))
    if one == other:
        raise _itself(number)
    return _Line(one, other, same, fold)


def _official_path(name: str, text: str, number: int) -> str:
    if not name or "/" in name or name in (".", ".."):
        raise _format(number, "this is not a name")
    return f"{name}/{name}_{_positive(text, number):04d}.jpg"


def _parse_csv(text: str) -> PairList:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    pairs: list[_Line] = []
    numbers: list[int] = []  # of the lines, as an editor counts them
    try:
        header = [part.strip() for part in next(reader)]
        if header != HEADER:
            raise _format(1, f"the header {','.join(HEADER)} is expected here")
        for row in reader:
            if not row:
                continue
            pairs.append(_csv_pair([part.strip() for part in row], reader.line_num))
            numbers.append(reader.line_num)
            _check_count(len(pairs))
    except csv.Error as error:
        raise _format(reader.line_num, f"this is not CSV ({error})") from error
    if not pairs:
        raise InputError(
            "PAIRS_EMPTY", "The list has no pairs.", hint="Name at least two pairs of each kind."
        )
    persons = _tied_together(pairs)
    for number, one in zip(numbers, pairs, strict=True):
        if not one.same and persons[one.first] == persons[one.second]:
            raise _format(number, "other lines say that these two pictures show one person")
    return _collect(pairs, persons, official_folds=False)


def _csv_pair(row: list[str], number: int) -> _Line:
    if len(row) != len(HEADER) or not row[0] or not row[1]:
        raise _format(number, "two paths and 1 or 0 are expected here")
    said = row[2].lower()
    if said not in _TRUE | _FALSE:
        raise _format(number, f"same is 1 or 0, not {row[2][:20]!r}")
    one, other = posixpath.normpath(row[0]), posixpath.normpath(row[1])  # one name for each picture
    if one == other:
        raise _itself(number)
    return _Line(one, other, said in _TRUE, 0)


def _itself(number: int) -> InputError:
    return _format(number, "a picture is not compared with itself")


def _tied_together(pairs: list[_Line]) -> dict[str, str]:
    """One picture of each person stands for all of theirs (union-find)."""
    leader: dict[str, str] = {}

    def find(picture: str) -> str:
        while leader.setdefault(picture, picture) != picture:
            leader[picture] = leader[leader[picture]]
            picture = leader[picture]
        return picture

    for one in pairs:
        first, second = find(one.first), find(one.second)
        if one.same:
            leader[second] = first
    return {picture: find(picture) for picture in list(leader)}


def _collect(pairs: list[_Line], names: dict[str, str], *, official_folds: bool) -> PairList:
    pictures = tuple(dict.fromkeys(path for one in pairs for path in (one.first, one.second)))
    places = {path: place for place, path in enumerate(pictures)}
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names[path] for path in pictures))}
    same = np.array([one.same for one in pairs], np.bool_)
    try:
        dealt = deterministic_folds(same)
    except ValueError as error:
        raise InputError(
            "PAIRS_TOO_FEW",
            "The list has fewer than two pairs of one person, or of two.",
            hint="Error rates take both kinds.",
        ) from error
    return PairList(
        pictures,
        np.array([numbers[names[path]] for path in pictures], np.int64),
        np.array([places[one.first] for one in pairs], np.int64),
        np.array([places[one.second] for one in pairs], np.int64),
        same,
        np.array([one.fold for one in pairs], np.int64) if official_folds else dealt,
        official_folds,
    )


def _positive(text: str, number: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 7 or int(text) == 0:
        raise _format(number, f"{text[:20]!r} is not a number from 1")
    return int(text)


def _check_count(count: int) -> None:
    if count > MAX_PAIRS:
        raise _format(1, f"more than {MAX_PAIRS} pairs; --all-against-all makes more of fewer")


def _format(number: int, what: str) -> InputError:
    return InputError(
        "PAIRS_FORMAT",
        f"Line {number} of the list: {what}.",
        hint="Use the pairs.txt of Labeled Faces in the Wild, or a CSV file with path_a,path_b,same.",
    )
