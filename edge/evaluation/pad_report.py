"""What an evaluation of liveness found, as JSON, as Markdown and as scores in a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.evaluation.pad_figures import (
    CUE_RATE,
    BpcerPoint,
    CueFigures,
    Figures,
    InstrumentFigures,
    Judged,
    count_kinds,
    unreadable,
)
from edge.evaluation.pad_manifest import ATTACK, BONA_FIDE
from edge.evaluation.pad_media import FOLDER_RATE, Kind
from edge.evaluation.pad_plots import draw_all
from edge.evaluation.pad_statistics import Rate
from edge.evaluation.statistics import Interval
from edge.evaluation.templates import unwritable
from edge.files import write_private

JSON_NAME, MARKDOWN_NAME = "report.json", "report.md"
LISTED = 25
"""Presentations of each kind that the page names as answered wrong; --scores has all of them."""

PASSIVE_ONLY = (
    "Judged by the passive part alone: a recording answers no challenge, so neither head turns nor the "
    "screen's light were asked for. A device that asks for them refuses what does not answer them as well."
)
COUNTING = (
    "A presentation is accepted at score >= threshold. One that could not be judged is refused: it counts "
    "in the BPCER where it is bona fide, and as not accepted where it is an attack. `apcer` and what "
    "derives from it take all attacks as one; `worst_apcer` is that of the worst instrument, which ISO/IEC "
    "30107-3 asks for, and ACER is the mean of that and the BPCER."
)
SURENESS = (
    "Wilson score interval at a fixed threshold; at a BPCER, where the threshold comes from the same "
    "recordings, widened to hold the bootstrap over persons (200 drawings) as well; EER: that bootstrap"
)
_BAD = "no: too many bona fide presentations could not be judged"


@dataclass(frozen=True, slots=True)
class About:
    """What was evaluated, and with what. ``models``: digest by name."""

    manifest: str
    seconds: float
    software: str
    threshold_from: str
    models: dict[str, str]
    notes: tuple[str, ...] = field(default=())


def notes_of(figures: Figures) -> tuple[str, ...]:
    """What a reader of the figures should know of the recordings."""
    live, attacks = count_kinds(figures.judged)
    lost = unreadable(figures.judged).hits
    guessed = sum(one.presentation.fps is None and one.kind is Kind.FRAMES for one in figures.judged)
    told = [
        (
            not live,
            "The list has no bona fide presentation: no BPCER, and nothing that rests on it.",
        ),
        (not attacks, "The list has no attack: no APCER, and nothing that rests on it."),
        (lost, f"{lost:,} recordings could not be read; they count as not judged, and say little."),
        (guessed, f"{guessed:,} folders of frames have no fps: {FOLDER_RATE:g} frames a second are taken."),
    ]
    return tuple(text for needed, text in told if needed)


def to_json(figures: Figures, about: About) -> dict[str, Any]:
    """Plain values. Rates are shares, 0..1; null where there is nothing to rest one on."""
    worst = figures.worst
    one_percent, five_percent = figures.points
    live, attacks = count_kinds(figures.judged)
    at_policy = worst.at_policy if worst else None
    return {
        "bpcer": figures.bpcer.value,
        "apcer": figures.apcer.value,
        "apcer_by_instrument": {one.instrument: one.at_policy.value for one in figures.instruments},
        "worst_apcer": _value(at_policy),
        "worst_instrument": worst.instrument if worst else None,
        "acer": figures.average(at_policy),
        "acer_pooled": figures.average(figures.apcer),
        "eer": figures.eer,
        "apcer_at_bpcer_1": _value(one_percent.apcer),
        "apcer_at_bpcer_5": _value(five_percent.apcer),
        "worst_apcer_at_bpcer_1": _value(one_percent.worst_apcer),
        "worst_apcer_at_bpcer_5": _value(five_percent.worst_apcer),
        "undecided": figures.undecided.total(),
        "undecided_bona_fide": figures.undecided_of(bona_fide=True),
        "undecided_attacks": figures.undecided_of(bona_fide=False),
        "undecided_reasons": dict(sorted(figures.undecided.items())),
        "unreadable": unreadable(figures.judged).hits,
        "presentations": len(figures.judged),
        "bona_fide": live,
        "attacks": attacks,
        "threshold": figures.threshold,
        "threshold_from": about.threshold_from,
        "eer_threshold": figures.eer_threshold,
        "passive_only": True,
        "what_was_judged": PASSIVE_ONLY,
        "how_it_counts": COUNTING,
        "manifest": about.manifest,
        "seconds": about.seconds,
        "software": about.software,
        "models": about.models,
        "notes": list(about.notes),
        "instruments": [_instrument_json(one) for one in figures.instruments],
        "operating_points": [_point_json(one) for one in figures.points],
        "cues": [_cue_json(one) for one in figures.cues],
        "intervals_95": {
            "bpcer": _interval(figures.bpcer.interval),
            "apcer": _interval(figures.apcer.interval),
            "worst_apcer": _interval(at_policy.interval if at_policy else None),
            "eer": _interval(figures.eer_interval),
            "apcer_at_bpcer_1": _interval(one_percent.apcer.interval if one_percent.apcer else None),
            "apcer_at_bpcer_5": _interval(five_percent.apcer.interval if five_percent.apcer else None),
            "method": SURENESS,
        },
        "misses": {
            ATTACK: [_miss_json(one) for one in figures.misses(bona_fide=False)[:LISTED]],
            BONA_FIDE: [_miss_json(one) for one in figures.misses(bona_fide=True)[:LISTED]],
        },
    }


def to_markdown(figures: Figures, about: About, drawings: Sequence[str] = ()) -> str:
    """A page for people, the worst instrument first; says what each figure rests on."""
    live, attacks = count_kinds(figures.judged)
    rows = [
        ("list", about.manifest),
        ("presentations: bona fide, attacks", f"{live:,}, {attacks:,}"),
        ("judged", f"the first {about.seconds:g} s of a face in view"),
        ("threshold", f"{figures.threshold:.4f} ({about.threshold_from})"),
        ("software", about.software),
        *about.models.items(),
    ]
    lines = ["# Evaluation of liveness (ISO/IEC 30107-3)", "", PASSIVE_ONLY, "", *_table(("", ""), rows)]
    lines += ["", COUNTING, "", *(f"Note: {note}\n" for note in about.notes), "## Figures", ""]
    lines += [*_table(FIGURE_COLUMNS, figure_rows(figures)), ""]
    lines += ["## Attack instruments, the worst one first", ""]
    lines += [*_table(INSTRUMENT_COLUMNS, [instrument_row(one) for one in figures.instruments]), ""]
    lines += ["## Operating points", ""]
    columns = ("BPCER at most", "threshold", "refused", "APCER", "95 % interval", "worst instrument")
    lines += [*_table(columns, [_point_row(one) for one in figures.points]), ""]
    lines += [f"Intervals: {SURENESS}.", ""]
    if figures.judging_cues:
        lines += ["## Each cue by itself", "", *_cue_tables(figures), ""]
    if figures.undecided:
        reasons = [(reason, f"{count:,}") for reason, count in figures.undecided.most_common()]
        lines += ["## Not judged", "", *_table(("reason", "presentations"), reasons), ""]
    for title, bona_fide in (("Attacks that were accepted", False), ("Bona fide ones refused", True)):
        lines += _misses(title, figures.misses(bona_fide=bona_fide))
    lines += [f"![{name}]({name})\n" for name in drawings]
    return "\n".join(lines).rstrip() + "\n"


def to_scores(judged: Sequence[Judged], threshold: float) -> str:
    """A CSV of every presentation: its score, and each cue's."""
    names = list(dict.fromkeys(name for one in judged for name in one.cues))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["row", "path", "label", "instrument", "score", "accepted", "reason", "frames", *names])
    for one in judged:
        shown = one.presentation
        cells = [shown.row, shown.path, BONA_FIDE if shown.bona_fide else ATTACK, shown.instrument, one.score]
        cells += [
            int(one.accepted(threshold)),
            one.reason,
            one.frames,
            *(one.cues.get(name) for name in names),
        ]
        writer.writerow(cells)
    return stream.getvalue()


def save_report(folder: Path, figures: Figures, about: About) -> tuple[str, ...]:
    """Write the page, the JSON object and, where matplotlib is installed, the drawings; return their names.

    Raises:
        SetupError: EVALUATION_UNWRITABLE.
    """
    told = json.dumps(to_json(figures, about), indent=1, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawings = draw_all(figures, folder)
        write_private(folder / JSON_NAME, told.encode())
        write_private(folder / MARKDOWN_NAME, to_markdown(figures, about, drawings).encode())
    except OSError as error:
        raise unwritable(folder, error) from error
    return (JSON_NAME, MARKDOWN_NAME, *drawings)


def save_scores(path: Path, figures: Figures) -> None:
    """Write :func:`to_scores` into a file; errors as :func:`save_report`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, to_scores(figures.judged, figures.threshold).encode())
    except OSError as error:
        raise unwritable(path.parent, error) from error


FIGURE_COLUMNS = ("figure", "value", "95 % interval", "counted")


def figure_rows(figures: Figures) -> list[tuple[str, str, str, str]]:
    """Name, value, interval and what was counted."""
    worst = figures.worst
    rows = [_rate_row("BPCER", figures.bpcer)]
    if worst:
        rows.append(_rate_row(f"APCER of the worst instrument ({worst.instrument})", worst.at_policy))
    rows.append(_rate_row("APCER of all attacks as one", figures.apcer))
    acer = figures.average(worst.at_policy if worst else None)
    rows.append(("ACER", percent(acer), "-", "worst APCER and BPCER"))
    rows.append(("EER", percent(figures.eer), words(figures.eer_interval), "all attacks as one"))
    for point in figures.points:
        name = f"APCER at BPCER {point.wanted:.0%}"
        if point.apcer is None:
            rows.append((name, "-", "-", _BAD if point.threshold is None and figures.bona_fide.size else "-"))
            continue
        rows.append(_rate_row(name, point.apcer))
        if point.worst_apcer:
            rows.append(_rate_row(f"{name}, worst instrument ({point.worst})", point.worst_apcer))
    return rows


INSTRUMENT_COLUMNS = (
    "instrument",
    "attacks",
    "accepted",
    "APCER",
    "95 % interval",
    "at BPCER 1%",
    "at BPCER 5%",
    "not judged",
)


def instrument_row(one: InstrumentFigures) -> tuple[str, ...]:
    """Cells of INSTRUMENT_COLUMNS."""
    return (
        one.instrument.replace("|", "/"),
        f"{one.at_policy.count:,}",
        f"{one.at_policy.hits:,}",
        percent(one.at_policy.value),
        words(one.at_policy.interval),
        *(percent(_value(rate)) for rate in one.at_bpcer.values()),
        f"{one.undecided:,}" + (f" ({one.unreadable:,} unreadable)" if one.unreadable else ""),
    )


CUE_COLUMNS = ("cue", "bona fide", "attacks", "AUC", f"APCER at BPCER {CUE_RATE:.0%}", "95 % interval")


def cue_row(one: CueFigures) -> tuple[str, ...]:
    """Cells of CUE_COLUMNS."""
    return (
        one.name,
        f"{one.bona_fide:,}",
        f"{one.attacks:,}",
        "-" if one.auc is None else f"{one.auc:.3f}",
        percent(_value(one.apcer)),
        words(one.apcer.interval if one.apcer else None),
    )


def percent(value: float | None) -> str:
    """A share for people."""
    return "-" if value is None else f"{value:.2%}"


def words(interval: Interval | None) -> str:
    """An interval for people."""
    return "-" if interval is None else f"{interval.low:.2%} to {interval.high:.2%}"


def _cue_tables(figures: Figures) -> list[str]:
    lines = _table(CUE_COLUMNS, [cue_row(one) for one in figures.judging_cues])
    lines += ["", "Counted: presentations that the cue has a score for.", ""]
    lines += ["Area under the curve (AUC) by instrument:", ""]
    kinds = [one.instrument for one in figures.instruments]
    rows = []
    for one in figures.judging_cues:
        cells = (one.auc_by_instrument.get(kind) for kind in kinds)
        rows.append((one.name, *("-" if cell is None else f"{cell:.3f}" for cell in cells)))
    return [*lines, *_table(("cue", *(kind.replace("|", "/") for kind in kinds)), rows)]


def _misses(title: str, found: Sequence[Judged]) -> list[str]:
    if not found:
        return []
    more = f", the worst {LISTED} of {len(found):,}" if len(found) > LISTED else ""
    rows = []
    for one in found[:LISTED]:
        shown = one.presentation
        score = "-" if one.score is None else f"{one.score:.4f}"
        cells = (str(shown.row), shown.path, shown.instrument, score, one.reason)
        rows.append(tuple(cell.replace("|", "\\|") for cell in cells))
    return [f"## {title}{more}", "", *_table(("line", "path", "instrument", "score", "reason"), rows), ""]


def _rate_row(name: str, rate: Rate) -> tuple[str, str, str, str]:
    return (name, percent(rate.value), words(rate.interval), f"{rate.hits:,} of {rate.count:,}")


def _point_row(point: BpcerPoint) -> tuple[str, ...]:
    wanted = f"{point.wanted:.0%}"
    if point.threshold is None or point.bpcer is None:
        return (wanted, "-", "-", "-", "-", _BAD)
    refused = f"{point.bpcer.hits:,} of {point.bpcer.count:,}"
    if not point.supported:
        refused += " (too few: the lowest score places the threshold)"
    worst = "-" if point.worst_apcer is None else f"{point.worst}: {percent(point.worst_apcer.value)}"
    interval = words(point.apcer.interval if point.apcer else None)
    return (wanted, f"{point.threshold:.4f}", refused, percent(_value(point.apcer)), interval, worst)


def _instrument_json(one: InstrumentFigures) -> dict[str, Any]:
    told: dict[str, Any] = {
        "instrument": one.instrument,
        "attacks": one.at_policy.count,
        "accepted": one.at_policy.hits,
        "apcer": one.at_policy.value,
        "apcer_interval_95": _interval(one.at_policy.interval),
        "apcer_of_decided": one.of_decided.value,
        "undecided": one.undecided,
        "unreadable": one.unreadable,
    }
    for rate, found in one.at_bpcer.items():
        name = f"apcer_at_bpcer_{rate * 100:.0f}"
        told[name] = _value(found)
        told[f"{name}_interval_95"] = _interval(found.interval if found else None)
    return told


def _point_json(point: BpcerPoint) -> dict[str, Any]:
    return {
        "bpcer_at_most": point.wanted,
        "threshold": point.threshold,
        "bpcer": _value(point.bpcer),
        "bona_fide_refused": point.bpcer.hits if point.bpcer else None,
        "apcer": _value(point.apcer),
        "apcer_interval_95": _interval(point.apcer.interval if point.apcer else None),
        "attacks_accepted": point.apcer.hits if point.apcer else None,
        "worst_instrument": point.worst or None,
        "worst_apcer": _value(point.worst_apcer),
        "worst_apcer_interval_95": _interval(point.worst_apcer.interval if point.worst_apcer else None),
        "supported": point.supported,
    }


def _cue_json(one: CueFigures) -> dict[str, Any]:
    return {
        "cue": one.name,
        "bona_fide": one.bona_fide,
        "attacks": one.attacks,
        "auc": one.auc,
        "apcer_at_bpcer_5": _value(one.apcer),
        "apcer_interval_95": _interval(one.apcer.interval if one.apcer else None),
        "threshold": one.threshold,
        "auc_by_instrument": one.auc_by_instrument,
    }


def _miss_json(one: Judged) -> dict[str, Any]:
    shown = one.presentation
    return {
        "row": shown.row,
        "path": shown.path,
        "instrument": shown.instrument,
        "score": one.score,
        "reason": one.reason,
    }


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (columns, ("---",) * len(columns), *rows)]


def _value(rate: Rate | None) -> float | None:
    return rate.value if rate else None


def _interval(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None
