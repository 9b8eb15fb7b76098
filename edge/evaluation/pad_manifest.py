"""Lists of presentations for an evaluation of liveness: who or what was shown to the camera.

    CSV with a header, one presentation a line; columns in any order
        path        of a picture, a folder of frames or a video; relative to the list's folder, or absolute
        label       bona_fide or attack
        instrument  of an attack (ISO/IEC 30107-3: presentation attack instrument species); may be left out
        subject     whoever is shown, under any name; may be left out. Those of one are not independent
        fps         frames a second of a folder, or in the place of what a video says; may be left out

Other columns are passed over, and named in the report.
"""

from __future__ import annotations

import csv
import io
import math
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import InputError

REQUIRED = ("path", "label")
OPTIONAL = ("instrument", "subject", "fps")
BONA_FIDE, ATTACK = "bona_fide", "attack"
UNNAMED = "unnamed"
"""The instrument of attacks that name none."""

MAX_LIST_BYTES = 64 * 1024 * 1024
MAX_PRESENTATIONS = 100_000
MAX_NAME = 64
"""Characters of an instrument and of a subject: they are words, not descriptions."""

MAX_PATH = 4096
MAX_RATE = 240.0
NAMED = 10
"""Rows that one message names; it says how many more there are."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """``row``: its line, the header being 1. ``path``: as the list has it, ``place``: where it is.

    ``instrument``: empty for a bona fide presentation. ``fps``: None where the list does not say.
    """

    row: int
    path: str
    place: Path
    bona_fide: bool
    instrument: str = ""
    subject: str = field(default="", repr=False)
    fps: float | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """``notes``: what a reader of the figures should know of the list."""

    presentations: tuple[Presentation, ...]
    notes: tuple[str, ...] = ()


def read_manifest(path: Path) -> Manifest:
    """Read a list, and make sure that all it names is there.

    Raises:
        InputError: MANIFEST_UNREADABLE, MANIFEST_EMPTY, MANIFEST_FORMAT (with its line),
            MANIFEST_TOO_LONG, PRESENTATION_MISSING (with the lines of all that are).
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise InputError(
            "MANIFEST_UNREADABLE",
            f"The list {path.name} cannot be read ({error.strerror or type(error).__name__}).",
            hint="Give the path of a CSV file with the columns path,label,instrument.",
        ) from error
    if len(data) > MAX_LIST_BYTES:
        raise _too_long(f"more than {MAX_LIST_BYTES // 2**20} MiB")
    manifest = parse_manifest(data, folder=path.parent)
    check_present(manifest.presentations)
    return manifest


def parse_manifest(data: bytes, *, folder: Path) -> Manifest:
    """As :func:`read_manifest`, of the file's content; whether the media are there is not asked."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _format(data[: error.start].count(b"\n") + 1, "this is not UTF-8 text") from error
    if not text.strip():
        raise _empty("The list is empty.")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    presentations: list[Presentation] = []
    try:
        columns, notes = _columns(next(reader))
        started = reader.line_num + 1
        for cells in reader:
            number, started = started, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            presentations.append(_presentation(cells, columns, number, folder))
            if len(presentations) > MAX_PRESENTATIONS:
                raise _too_long(f"more than {MAX_PRESENTATIONS:,} presentations")
    except csv.Error as error:
        raise _format(reader.line_num, f"this is not CSV ({error})") from error
    if not presentations:
        raise _empty("The list has a header and no presentation.")
    return Manifest(tuple(presentations), (*notes, *_repeated(presentations)))


def check_present(presentations: Sequence[Presentation]) -> None:
    """Refuse a list of which something is not a file or a folder, naming all such lines at once.

    Raises:
        InputError: PRESENTATION_MISSING.
    """
    missing = [one for one in presentations if not _is_there(one.place)]
    if not missing:
        return
    named = ", ".join(f"line {one.row}: {one.path[:200]}" for one in missing[:NAMED])
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    raise InputError(
        "PRESENTATION_MISSING",
        f"{len(missing)} of {len(presentations)} presentations are no file or folder: {named}{more}.",
        hint="Paths are absolute, or start from the folder that the list lies in.",
    )


def _is_there(place: Path) -> bool:
    """Never a pipe or a device: reading these may not end."""
    try:
        mode = place.stat().st_mode
    except (OSError, ValueError):  # ValueError: a null character in a name
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _columns(header: list[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    names = [name.strip().lower() for name in header]
    known = (*REQUIRED, *OPTIONAL)
    if lacking := [name for name in REQUIRED if name not in names]:
        raise _format(1, f"the header lacks {' and '.join(lacking)}")
    if double := [name for name in known if names.count(name) > 1]:
        raise _format(1, f"the header has {double[0]} twice")
    others = [name[:MAX_NAME] or "(no name)" for name in names if name not in known]
    notes = (f"Columns that were passed over: {', '.join(others)}.",) if others else ()
    return {name: names.index(name) for name in known if name in names}, notes


def _presentation(cells: list[str], columns: dict[str, int], number: int, folder: Path) -> Presentation:
    if len(cells) <= max(columns[name] for name in REQUIRED):
        raise _format(number, "a path and a label are expected here")
    told = {name: cells[place].strip() for name, place in columns.items() if place < len(cells)}
    path, label = told["path"], told["label"].lower().replace("-", "_").replace(" ", "_")
    if not path or len(path) > MAX_PATH or "\0" in path:
        raise _format(number, "this is no path")
    if label not in (BONA_FIDE, ATTACK):
        raise _format(number, f"the label is {BONA_FIDE} or {ATTACK}, not {told['label'][:20]!r}")
    bona_fide = label == BONA_FIDE
    instrument = _name(told.get("instrument", ""), "an instrument", number)
    return Presentation(
        number,
        path,
        folder / path,
        bona_fide,
        "" if bona_fide else instrument or UNNAMED,
        _name(told.get("subject", ""), "a subject", number),
        _rate(told.get("fps", ""), number),
    )


def _name(text: str, what: str, number: int) -> str:
    if len(text) > MAX_NAME or not (text == "" or text.isprintable()):
        raise _format(number, f"{what} is a word of at most {MAX_NAME} characters")
    return text


def _rate(text: str, number: int) -> float | None:
    if not text:
        return None
    try:
        rate = float(text) if text.isascii() else math.nan
    except ValueError:
        rate = math.nan
    if not 0.0 < rate <= MAX_RATE:
        raise _format(number, f"fps is a number above 0 and at most {MAX_RATE:g}, not {text[:20]!r}")
    return rate


def _repeated(presentations: Sequence[Presentation]) -> tuple[str, ...]:
    """Say what stands there twice; what is called both bona fide and an attack is refused."""
    first: dict[Path, Presentation] = {}
    again = 0
    for one in presentations:
        other = first.setdefault(one.place, one)
        if other.bona_fide != one.bona_fide:
            raise _format(one.row, f"line {other.row} gives this path the other label")
        again += other is not one
    return (f"{again} presentations stand in the list more than once, and count as often.",) if again else ()


def _empty(what: str) -> InputError:
    return InputError(
        "MANIFEST_EMPTY", what, hint="Below the header path,label,instrument, name one presentation a line."
    )


def _too_long(what: str) -> InputError:
    return InputError("MANIFEST_TOO_LONG", f"The list has {what}.", hint="Evaluate it in parts.")


def _format(number: int, what: str) -> InputError:
    return InputError(
        "MANIFEST_FORMAT",
        f"Line {number} of the list: {what}.",
        hint="Use a CSV file (UTF-8, commas) with the header path,label,instrument,subject,fps; "
        "the last three may be left out.",
    )
