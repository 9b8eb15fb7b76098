"""Drawings of an evaluation of liveness: detection error trade-off, scores, instruments."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from edge.evaluation.pad_figures import Figures
from edge.evaluation.pad_statistics import Floats, trade

DET_NAME, SCORES_NAME, INSTRUMENTS_NAME = "det.png", "scores.png", "instruments.png"
TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
"""Of a DET plot's axes, which are those of the normal deviate (Martin et al. 1997, ISO/IEC 19795-1)."""

FLOOR, CEILING = 0.0005, 0.9
"""Where such an axis begins and ends: a rate of 0 lies at no finite place, and is drawn at its begin."""

MARGIN = 0.1
"""Beyond both, so that what lies there is seen."""

DRAWN_KINDS = 8
"""Instruments with a curve of their own, the worst ones."""

DRAWN_POINTS = 4000
BINS = 40


def draw_all(figures: Figures, folder: Path) -> tuple[str, ...]:
    """Draw what can be drawn; return the files' names, none where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (no part of the product)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return ()
    drawn = []
    for name, draw in ((DET_NAME, _det), (SCORES_NAME, _scores), (INSTRUMENTS_NAME, _instruments)):
        figure = Figure(figsize=(6.4, 4.8), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        if draw(figures, figure.add_subplot()):
            figure.savefig(folder / name, metadata={"Software": None})
            drawn.append(name)
    return tuple(drawn)


def _det(figures: Figures, axes: Any) -> bool:
    if figures.trade is None:
        return False
    curves = [("all attacks", figures.trade, 2.0)]
    for one in figures.instruments[:DRAWN_KINDS] if len(figures.instruments) > 1 else ():
        of_kind = trade(figures.bona_fide, figures.attacks[one.instrument])
        if of_kind is not None:
            curves.append((one.instrument, of_kind, 1.0))
    for name, both, width in curves:
        step = max(1, len(both.thresholds) // DRAWN_POINTS)
        axes.step(probit(both.apcer[::step]), probit(both.bpcer[::step]), where="post", label=name, lw=width)
    bpcer, apcer = figures.bpcer.value or 0.0, figures.apcer.value or 0.0
    at = probit(np.array([apcer, bpcer]))
    axes.plot(at[0], at[1], "o", color="black", label=f"policy, threshold {figures.threshold:.3f}")
    places = probit(np.array(TICKS))
    names = [f"{100 * tick:g}" for tick in TICKS]
    low, high = probit(np.array([FLOOR, CEILING]))
    ends = (low - MARGIN, high + MARGIN)
    axes.set(xlabel="APCER (%)", ylabel="BPCER (%)", title="Detection error trade-off", xlim=ends, ylim=ends)
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    return True


def probit(rates: Floats) -> Floats:
    """The normal deviate of each rate; those beyond the axis are put at its ends."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(float(rate)) for rate in np.clip(rates, FLOOR, CEILING)])


def _scores(figures: Figures, axes: Any) -> bool:
    attacks = np.concatenate([*figures.attacks.values(), np.zeros(0)])
    bins = np.linspace(0.0, 1.0, BINS + 1)
    shown = False
    for name, scores, colour in (
        ("bona fide", figures.bona_fide, "tab:green"),
        ("attacks", attacks, "tab:red"),
    ):
        judged = scores[np.isfinite(scores)]
        if judged.size:
            weights = np.full(judged.size, 1.0 / scores.size)
            label = f"{name}: {judged.size:,}, {scores.size - judged.size:,} not judged"
            axes.hist(judged, bins, weights=weights, alpha=0.6, color=colour, label=label)
            shown = True
    axes.axvline(figures.threshold, color="black", linestyle="--", label="policy")
    axes.set(xlabel="score", ylabel="share of presentations", title="Scores", xlim=(0, 1))
    if shown:
        axes.legend(fontsize="small")
    return shown


def _instruments(figures: Figures, axes: Any) -> bool:
    """APCER with its interval, the worst one on top."""
    if not figures.instruments:
        return False
    worst_last = figures.instruments[::-1]
    heights = np.arange(len(worst_last))
    values = np.array([one.at_policy.value or 0.0 for one in worst_last]) * 100
    ends = [one.at_policy.interval for one in worst_last]
    low = np.array([end.low if end else 0.0 for end in ends]) * 100
    high = np.array([end.high if end else 1.0 for end in ends]) * 100
    axes.barh(heights, values, color="tab:red", alpha=0.6)
    errors = np.maximum(np.stack([values - low, high - values]), 0.0)
    axes.errorbar(values, heights, xerr=errors, fmt="none", ecolor="black", capsize=3)
    axes.set_yticks(heights, [f"{one.instrument} ({one.at_policy.count})" for one in worst_last])
    axes.set(xlabel="APCER (%) with 95 % interval", title="Attack instruments", xlim=(0, None))
    axes.grid(visible=True, axis="x", alpha=0.3)
    return True
