"""One drawing for the report: how well each cue by itself tells living faces from attacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.liveness.training.fitting import PRIORS, Measured
from edge.liveness.training.presentations import BONA_FIDE, CLIPS, REPLAY, STILL

TITLES = {STILL: "against pictures held up", REPLAY: "against videos played back"}


def draw_cues(measured: Sequence[Measured], path: Path) -> bool:
    """Draw a receiver operating characteristic per cue, on clips; False where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (no part of the product)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return False
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (kind, title) in enumerate(TITLES.items(), start=1):
        axes = figure.add_subplot(1, 2, place)
        for number, cue in enumerate(PRIORS):
            live, other = (
                np.array(
                    [m.values[cue] for m in measured if m.form == CLIPS and m.kind == k and cue in m.values]
                )
                for k in (BONA_FIDE, kind)
            )
            if len(live) and len(other) and cue != "fresh_frames":
                limits = np.unique(np.concatenate([live, other, [np.inf]]))
                refused = [float((live < limit).mean()) for limit in limits]
                caught = [float((other < limit).mean()) for limit in limits]
                axes.plot(refused, caught, label=cue, linestyle="-" if number < 10 else "--")
        axes.set_xlabel("living refused")
        axes.set_ylabel("attacks caught")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="lower right")
    figure.savefig(path, dpi=80)
    return True
