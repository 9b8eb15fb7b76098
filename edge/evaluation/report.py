"""What an evaluation found, as JSON, as Markdown and as a drawing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.evaluation.statistics import SUPPORT, Curve, Interval, OperatingPoint
from edge.evaluation.templates import unwritable
from edge.evaluation.trial import Figures
from edge.files import write_private

JSON_NAME, MARKDOWN_NAME, PLOT_NAME = "match.json", "match.md", "det.png"
LISTED = 50
"""Pictures without a face that the page names; the JSON object has all."""

COUNTING = (
    "A picture without a face that is found makes its pairs impossible to score. In the accuracies such a "
    'pair is answered "not the same person". In the rates a genuine one counts as a false non-match, and '
    "an impostor one is left out."
)
SURENESS = {
    "accuracy": "Wilson score interval over all pairs, as if these were independent",
    "eer": "bootstrap over persons, 200 drawings; where nobody is missed, up to Wilson over genuine pairs",
    "tmr_at_fmr": "bootstrap over persons, 200 drawings; where it can say nothing, Wilson over genuine pairs",
}
DRAWN_POINTS = 4000


def to_json(figures: Figures, *, about: dict[str, Any]) -> dict[str, Any]:
    """Plain values; ``about``: what was evaluated (model, list, domain)."""
    accuracy, policy = figures.accuracy, figures.policy
    return {
        "accuracy": accuracy.mean if accuracy else None,
        "accuracy_std": accuracy.std if accuracy else None,
        "accuracy_at_policy": policy.accuracy,
        "eer": figures.eer,
        "tmr_at_fmr": {_rate(point.fmr): point.tmr for point in figures.points},
        "failed_to_detect": len(figures.failed),
        **about,
        "all_against_all": figures.all_against_all,
        "pictures": figures.pictures,
        "persons": figures.persons,
        "genuine_pairs": figures.genuine,
        "impostor_pairs": figures.impostor,
        "failed_pairs": figures.failed_pairs,
        "failed_genuine_pairs": figures.failed_genuine,
        "failed_pictures": list(figures.failed),
        "pictures_with_several_faces": figures.crowded,
        "how_failures_count": COUNTING,
        "official_folds": figures.official_folds,
        "accuracy_folds": list(accuracy.folds) if accuracy else None,
        "accuracy_thresholds": list(accuracy.thresholds) if accuracy else None,
        "eer_threshold": figures.eer_threshold,
        "policy": {
            "threshold": policy.threshold,
            "claimed_fmr": policy.claimed_fmr,
            "fmr": policy.fmr,
            "tmr": policy.tmr,
        },
        "operating_points": [_point_json(figures, point) for point in figures.points],
        "intervals_95": {
            "accuracy": _interval(accuracy.interval if accuracy else None),
            "accuracy_at_policy": _interval(policy.accuracy_interval),
            "fmr_at_policy": _interval(policy.fmr_interval),
            "eer": _interval(figures.intervals.eer),
            "method": SURENESS,
        },
    }


def _point_json(figures: Figures, point: OperatingPoint) -> dict[str, Any]:
    by_person = figures.intervals.tmr.get(point.fmr)
    if by_person and by_person.low == by_person.high:  # nobody was missed, and so in no drawing either
        by_person = None
    return {
        "fmr": point.fmr,
        "threshold": point.threshold,
        "tmr": point.tmr,
        "tmr_interval_95": _interval(by_person or point.tmr_interval),
        "interval_method": None if point.tmr is None else "bootstrap over persons" if by_person else "Wilson",
        "false_matches": point.false_matches,
        "supported": point.supported,
    }


def to_markdown(figures: Figures, *, about: dict[str, Any]) -> str:
    """A page for people; says what each figure rests on."""
    told = to_json(figures, about=about)
    rows = [(name, str(value)) for name, value in about.items()]
    rows += [
        ("pictures, persons", f"{figures.pictures:,}, {figures.persons:,}"),
        ("pairs: genuine, impostor", f"{figures.genuine:,}, {figures.impostor:,}"),
        ("pictures without a face that is found", f"{len(figures.failed):,}"),
        ("pairs that could not be scored", f"{figures.failed_pairs:,} ({figures.failed_genuine:,} genuine)"),
        ("pictures with several faces (the middle one counts)", f"{figures.crowded:,}"),
    ]
    lines = ["# Evaluation of matching", "", *_table(("", ""), rows), "", COUNTING, "", "## Figures", ""]
    lines += [*_table(("figure", "value", "95 % interval"), _figure_rows(figures)), ""]
    if figures.accuracy:
        folds = "the list's own folds" if figures.official_folds else "folds dealt out in turn"
        lines += [
            f"Accuracy over {len(figures.accuracy.folds)} folds ({folds}): each is judged at the threshold"
            " that is best for all others.",
            "",
        ]
    lines += ["## Operating points", ""]
    columns = ("FMR", "threshold", "TMR", "95 % interval", "false matches", "supported")
    lines += [*_table(columns, [_point_row(one) for one in told["operating_points"]]), ""]
    lines += [
        f"A rate is supported where {SUPPORT} false matches or more may occur at it (ISO/IEC 19795-1, rule of"
        " 30). One that is not rests on too few comparisons; without a single one nothing is said.",
        "",
    ]
    lines += [f"Intervals: {name}: {method}." for name, method in SURENESS.items()]
    if figures.failed:
        more = f" (the first {LISTED})" if len(figures.failed) > LISTED else ""
        lines += ["", f"## Pictures without a face that is found{more}", ""]
        lines += [f"- {name}" for name in figures.failed[:LISTED]]
    return "\n".join(lines) + "\n"


def _figure_rows(figures: Figures) -> list[tuple[str, str, str]]:
    policy = figures.policy
    rows = []
    if figures.accuracy:
        one = figures.accuracy
        rows.append(("accuracy", f"{one.mean:.4f} ± {one.std:.4f}", _words(one.interval)))
    if policy.accuracy is not None:
        rows.append(
            (
                f"accuracy at the policy's threshold {policy.threshold:.3f}",
                f"{policy.accuracy:.4f}",
                _words(policy.accuracy_interval),
            )
        )
    rows.append(
        (
            f"FMR there (claimed {policy.claimed_fmr:.0e})",
            f"{policy.fmr:.2e}",
            _words(policy.fmr_interval, "e"),
        )
    )
    rows.append(("TMR there", f"{policy.tmr:.4f}", ""))
    rows.append(
        (f"EER (at {figures.eer_threshold:.3f})", f"{figures.eer:.4f}", _words(figures.intervals.eer))
    )
    return rows


def _point_row(told: dict[str, Any]) -> tuple[str, ...]:
    if told["tmr"] is None:
        return (_rate(told["fmr"]), "-", "-", "-", "0", "no: too few comparisons")
    low, high = told["tmr_interval_95"]
    return (
        _rate(told["fmr"]),
        f"{told['threshold']:.4f}",
        f"{told['tmr']:.4f}",
        f"{low:.4f} to {high:.4f} ({told['interval_method']})",
        f"{told['false_matches']:,}",
        "yes" if told["supported"] else "no: fewer than 30 false matches",
    )


def save_report(folder: Path, figures: Figures, *, about: dict[str, Any]) -> tuple[str, ...]:
    """Write the page, the JSON object and, where matplotlib is installed, the drawing; return their names.

    Raises:
        SetupError: EVALUATION_UNWRITABLE.
    """
    told = json.dumps(to_json(figures, about=about), indent=1, ensure_ascii=False) + "\n"
    page = to_markdown(figures, about=about)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = draw(figures.curve, figures.policy.threshold, folder / PLOT_NAME)
        if drawn:
            page += f"\n![False non-match rate over false match rate]({PLOT_NAME})\n"
        write_private(folder / JSON_NAME, told.encode())
        write_private(folder / MARKDOWN_NAME, page.encode())
    except OSError as error:
        raise unwritable(folder, error) from error
    return (JSON_NAME, MARKDOWN_NAME, *([PLOT_NAME] if drawn else []))


def draw(both: Curve, threshold: float, path: Path) -> bool:
    """Draw the detection error trade-off; False where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (no part of the product)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return False
    seen = (both.fmr > 0) & (both.fnmr > 0)
    places = np.flatnonzero(seen)
    places = places[:: max(1, len(places) // DRAWN_POINTS)]
    figure = Figure(figsize=(6, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if len(places):
        axes.step(both.fmr[places], both.fnmr[places], where="post", label="measured")
        axes.set_xscale("log")
        axes.set_yscale("log")
    chosen = min(int(np.searchsorted(both.thresholds, threshold)), len(both.thresholds) - 1)
    if both.fmr[chosen] > 0 and both.fnmr[chosen] > 0:
        axes.plot(both.fmr[chosen], both.fnmr[chosen], "o", label=f"policy, threshold {threshold:.3f}")
    axes.set(xlabel="false match rate", ylabel="false non-match rate", title="Detection error trade-off")
    axes.grid(visible=True, which="both", alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    figure.savefig(path)
    return True


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (columns, ("---",) * len(columns), *rows)]


def _rate(value: float) -> str:
    """1e-3, as people and the requirement write it."""
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _interval(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None


def _words(interval: Interval | None, form: str = "f") -> str:
    if interval is None:
        return "-"
    return (
        f"{interval.low:.4f} to {interval.high:.4f}"
        if form == "f"
        else f"{interval.low:.1e} to {interval.high:.1e}"
    )
