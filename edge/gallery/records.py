"""What goes into a gallery and comes out of it, as values; and what may not go in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from uuid import UUID

import numpy as np
import numpy.typing as npt

from edge.gallery.codes import SIZE, Floats, are_unit, encode_rows
from edge.gallery.faults import bad_batch, bad_template, other_model
from edge.gallery.layout import ID_BYTES, MAX_BATCH, NO_DAY, RECORD, Records
from edge.gallery.table import Ids
from edge.model import Embedding

_EPOCH = date(1970, 1, 1)
_LAST_DAY = (date.max - _EPOCH).days


class Kind(IntEnum):
    """Why somebody is in the gallery."""

    PERSON = 0  # enrolled here: to find duplicates
    WATCHED = 1  # on a watch-list


@dataclass(frozen=True, slots=True)
class Model:
    """``sha256``: of the published file, 64 hexadecimal digits: it names the kind of the templates."""

    name: str
    sha256: str

    def check(self, given: Embedding) -> None:
        """Raises SetupError: MODEL_MISMATCH."""
        if given.model_sha256 != self.sha256:
            raise other_model(_named(self.name, self.sha256), _named(given.model_name, given.model_sha256))


@dataclass(frozen=True, slots=True)
class Entry:
    """``candidate_id``: a pseudonym. ``last_day``: on which it counts; None for no end."""

    candidate_id: UUID
    embedding: Embedding = field(repr=False)
    last_day: date | None = None
    kind: Kind = Kind.PERSON


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry without its template. ``expired``: it is no longer found, and goes with the next expiry."""

    candidate_id: UUID
    kind: Kind
    last_day: date | None
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """``score``: the cosine."""

    candidate_id: UUID
    score: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class Rowset:
    """Entries as arrays: ids (S16 [n]), templates (float32 [n, 128]), last days and kinds (integers [n])."""

    ids: Ids
    templates: Floats
    last_days: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, entries: Sequence[Entry], model: Model) -> Rowset:
        """Raises SetupError: MODEL_MISMATCH; InputError: TEMPLATE_INVALID."""
        for entry in entries:
            model.check(entry.embedding)
            if entry.embedding.vector.shape != (SIZE,):
                raise bad_template()
        return cls(
            ids_of([entry.candidate_id for entry in entries]),
            np.array([entry.embedding.vector for entry in entries], np.float32).reshape(-1, SIZE),
            np.array([day_number(entry.last_day) for entry in entries], np.int32),
            np.array([entry.kind for entry in entries], np.uint8),
        )


def check_templates(templates: Floats) -> None:
    """Templates are float32 [n, 128] of unit length.

    Raises:
        InputError: TEMPLATE_INVALID.
    """
    if templates.ndim != 2 or templates.shape[1] != SIZE or not are_unit(templates):
        raise bad_template()


def to_records(rows: Rowset) -> Records:
    """At most MAX_BATCH entries, as the file has them.

    Raises:
        InputError: TEMPLATE_INVALID or GALLERY_BATCH.
    """
    count = len(rows.ids)
    if not 0 < count <= MAX_BATCH:
        raise bad_batch(f"1 to {MAX_BATCH} at once")
    if len(np.unique(rows.ids)) != count:
        raise bad_batch("a candidate is in it twice")
    if (rows.ids == b"").any():
        raise bad_batch("the UUID of zeros names nobody")
    no_day = (rows.last_days < NO_DAY) | (rows.last_days > _LAST_DAY)  # an archive may hold any number
    if no_day.any() or not np.isin(rows.kinds, list(Kind)).all():
        raise bad_batch("a last day or a kind is none")
    check_templates(rows.templates)
    codes = encode_rows(rows.templates)
    records = np.zeros(count, RECORD)
    records["candidate"], records["last_day"], records["kind"] = rows.ids, rows.last_days, rows.kinds
    records["template"] = rows.templates
    for name in ("high", "low", "scale", "error4", "error8"):
        records[name] = getattr(codes, name)
    return records


def ids_of(candidates: Sequence[UUID]) -> Ids:
    """S16 [n]."""
    return np.frombuffer(b"".join(one.bytes for one in candidates), "S16")


def uuids_of(ids: Ids) -> Iterator[UUID]:
    """The reverse; bytes of zeros at the end are theirs too."""
    raw = ids.tobytes()
    return (UUID(bytes=raw[at : at + ID_BYTES]) for at in range(0, len(raw), ID_BYTES))


def day_number(day: date | None) -> int:
    """Days since 1970; NO_DAY for none. Raises InputError: GALLERY_BATCH, for a day before."""
    if day is None:
        return NO_DAY
    number = days_since_1970(day)
    if number <= NO_DAY:
        raise bad_batch("a last day lies before 1970")
    return number


def days_since_1970(day: date) -> int:
    """Negative before: a device whose clock was never set may be there."""
    return (day - _EPOCH).days


def day_of(number: int) -> date | None:
    """The reverse."""
    return None if number == NO_DAY else date.fromordinal(_EPOCH.toordinal() + number)


def _named(name: str, sha256: str) -> str:
    return f"{name} ({sha256[:12]})"
