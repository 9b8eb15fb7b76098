"""What the commands of ``verifield-edge gallery`` are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge.app import open_identity, open_state
from edge.attest.clock import SystemClock, TimeBounds, bounded_now
from edge.attest.identity import DeviceIdentity
from edge.commands.common import err, out, print_json, print_values, progress_bar
from edge.compare import read_face
from edge.config import EdgeConfig
from edge.errors import InputError, SetupError
from edge.gallery import broken, reenrol
from edge.gallery.decide import Answer
from edge.gallery.faults import missing, other_model
from edge.gallery.home import gallery_key, gallery_path
from edge.gallery.importing import Archive, read_list
from edge.gallery.records import Entry, Found, Listed, Model
from edge.gallery.salvage import Report, changes_of
from edge.gallery.store import Gallery
from edge.gallery.writing import Tell
from edge.model import Embedding
from edge.models.store import ModelStore
from edge.policy import MatchThreshold
from edge.station import certain_day
from edge.vision import EMBEDDING_MODEL, Vision
from verifield.certificates import load_roots
from verifield.v1.attestation_pb2 import TIME_QUALITY_SUSPECT

MAX_LISTED = 10_000
"""Lines that a person or a script can still use at once."""

QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]

_NAME_COLUMNS = 24


@dataclass(frozen=True, slots=True)
class DeskSide:
    """The threshold in force, and the face of who is at the desk; None where nobody was named."""

    live_live: MatchThreshold
    face: Embedding | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Imported:
    """``replaced``: who was in the gallery before. ``refused``: picture and code of what was not added."""

    added: int
    replaced: int
    refused: list[dict[str, str]] = field(default_factory=list)


def today(settings: EdgeConfig) -> date:
    """As far as it is certain: a clock that runs ahead hides nobody."""
    return certain_day(_time_bounds(settings, open_identity(settings)))


def day_to_expire_by(bounds: TimeBounds) -> date:
    """The same, for what cannot be undone.

    Raises:
        SetupError: CLOCK_SUSPECT.
    """
    if bounds.quality == TIME_QUALITY_SUSPECT:
        raise SetupError(
            "CLOCK_SUSPECT",
            "The device's time cannot be believed, so nobody is removed by it.",
            hint="Connect the device and run verifield-edge sync --once, or give the day: "
            "verifield-edge gallery expire --day YYYY-MM-DD",
        )
    return certain_day(bounds)


def model_in_use(settings: EdgeConfig) -> Model:
    """What templates are made with now."""
    entry = ModelStore.open(settings.models_dir).entry(EMBEDDING_MODEL)
    return Model(entry.name, entry.sha256)


def key_of(settings: EdgeConfig) -> bytes:
    """Errors as ``gallery_key``."""
    return gallery_key(settings.data_dir, open_identity(settings).key_store)


@contextmanager
def opened(settings: EdgeConfig) -> Iterator[Gallery]:
    """The device's gallery; whose last day is certainly over is not found."""
    with opened_with_time(settings) as (gallery, _bounds):
        yield gallery


@contextmanager
def opened_with_time(settings: EdgeConfig) -> Iterator[tuple[Gallery, TimeBounds]]:
    """The same, with the time by which that was judged."""
    path, identity = gallery_path(settings.data_dir), open_identity(settings)
    if not path.exists():
        raise missing(path)
    key = gallery_key(settings.data_dir, identity.key_store)
    bounds = _time_bounds(settings, identity)
    with Gallery.open(path, key, today=certain_day(bounds), threads=settings.threads) as gallery:
        if gallery.cut_off:
            err().print(f"{gallery.cut_off} bytes of a write that was never finished are left out.")
        yield gallery, bounds


def erase_earlier(settings: EdgeConfig, remove: Callable[[Gallery], int]) -> int:
    """As ``reenrol.erase``: who is to be erased must not stay because the model has changed."""
    return reenrol.erase(gallery_path(settings.data_dir), key_of(settings), remove)


def kept_files(settings: EdgeConfig) -> int:
    """How many damaged files repairs have kept."""
    return len(broken.kept_beside(gallery_path(settings.data_dir)))


def tell_kept(settings: EdgeConfig) -> int:
    """The same, for whoever erases people: they may be in these files still."""
    files = kept_files(settings)
    if files:
        err().print(
            f"Damaged files that repairs have kept, which may hold erased people still: {files}. When nobody "
            "needs these files: verifield-edge gallery discard"
        )
    return files


def template_of(vision: Vision, picture: Path) -> Embedding:
    """Errors as ``edge.compare.read_face``."""
    return read_face(picture, vision.detector, vision.embedder)[1]


def read_desk(settings: EdgeConfig, operator: str | None) -> DeskSide:
    """Raises InputError: NO_OPERATOR; SetupError: OPERATOR_NO_FACE."""
    identity = open_identity(settings)
    with open_state(settings, identity) as state:
        threshold = state.policy(load_roots(identity.root_pem)).match.live_live
        if operator is None:
            return DeskSide(threshold, None)
        for one in state.operators.all():
            if operator in (one.operator_id, one.credentials.name):
                if one.credentials.face is None:
                    raise SetupError(
                        "OPERATOR_NO_FACE",
                        "This operator has enrolled no face, so nobody can tell whether it is theirs.",
                        hint="Add the operator anew, with --face.",
                    )
                return DeskSide(threshold, one.credentials.face)
    raise InputError(
        "NO_OPERATOR",
        "There is no such operator on this device.",
        hint="See them with: verifield-edge operator list",
    )


def import_archive(gallery: Gallery, file: Path, tell: Tell) -> Imported:
    """Raises SetupError: MODEL_MISMATCH; InputError: GALLERY_IMPORT, TEMPLATE_INVALID and the like."""
    with ExitStack() as stack:
        archive = Archive(file, stack)
        if archive.model_sha256 != gallery.model.sha256:
            raise other_model(gallery.model.name, archive.model_sha256[:12])
        added = done = 0
        for part in archive.parts():
            try:
                added += gallery.add_rows(part)
            except InputError as error:  # what came before it is durable
                hint = f"The first {done} of the archive are added and stay; mend it, and import it again."
                raise InputError(error.code, error.message, hint=hint) from None
            done += len(part.ids)
            tell(done, archive.count)
    return Imported(added, done - added)


def import_pictures(vision: Vision, gallery: Gallery, file: Path, tell: Tell) -> Imported:
    """Each is durable when the next is begun. Raises InputError: GALLERY_IMPORT."""
    pictures, added, refused = read_list(file), 0, []
    for number, one in enumerate(pictures, start=1):
        try:
            template = template_of(vision, one.path)
            added += gallery.add([Entry(one.candidate_id, template, one.last_day, one.kind)])
        except InputError as error:
            refused.append({"picture": one.path.name, "code": error.code})
        tell(number, len(pictures))
    return Imported(added, len(pictures) - len(refused) - added, refused)


def answer_json(answer: Answer) -> dict[str, Any]:
    """Plain values for ``--json``."""
    cut = answer.cut_off
    return {
        "verdict": answer.verdict.value,
        "candidates": [found_json(one) for one in answer.candidates],
        "cut_off": None
        if cut is None
        else {
            "threshold": cut.threshold,
            "false_match_rate": cut.false_match_rate,
            "needed": cut.needed,
            "fpir": cut.fpir,
            "known": cut.known,
        },
    }


def found_json(one: Found) -> dict[str, Any]:
    """Plain values."""
    return {"candidate_id": str(one.candidate_id), "score": min(1.0, one.score), "kind": one.kind.name}


def listed_json(one: Listed) -> dict[str, Any]:
    """Plain values."""
    return {
        "candidate_id": str(one.candidate_id),
        "kind": one.kind.name,
        "last_day": one.last_day.isoformat() if one.last_day else None,
        "expired": one.expired,
    }


def report_json(report: Report) -> dict[str, Any]:
    """Plain values, and what a person has to do."""
    return {
        "whole": report.whole,
        "templates": report.templates,
        "damaged": report.damaged,
        "lost": report.lost,
        "lost_candidates": [str(one) for one in report.lost_candidates],
        "journal_lost": report.journal_lost,
        "cut_off_bytes": report.cut_off,
        "kept": str(report.kept) if report.kept else None,
        "to_do": list(changes_of(report)),
    }


def print_people(people: list[Listed]) -> None:
    """One line for each."""
    table = Table("candidate", "kind", "last day", box=None)
    for one in people:
        last = "expired" if one.expired else one.last_day.isoformat() if one.last_day else ""
        table.add_row(str(one.candidate_id), one.kind.name, last)
    out().print(table)


def say(values: dict[str, Any], as_json: bool) -> None:
    """One object, or one line for each value."""
    if as_json:
        print_json(values)
    else:
        print_values(values, width=_NAME_COLUMNS)


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[Tell]:
    """A bar on standard error."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with progress_bar(*columns, quiet=quiet) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _time_bounds(settings: EdgeConfig, identity: DeviceIdentity) -> TimeBounds:
    with open_state(settings, identity) as state:
        return bounded_now(SystemClock(), contact=state.contact())
