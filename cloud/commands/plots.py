"""Drawings of reports, where matplotlib is installed (the extra `demo` brings it): nothing depends on it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud.commands.files import write_output
from cloud.errors import SetupError

HOUR_S = 3600


def plot_steps(path: Path, rows: Sequence[Mapping[str, Any]], *, percentiles: Sequence[str]) -> None:
    """Draw how long steps took, a group of bars for each step and version, in hours.

    Raises:
        SetupError: PLOT_UNAVAILABLE, OUTPUT_UNWRITABLE.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise SetupError(
            "PLOT_UNAVAILABLE",
            "matplotlib is not installed here.",
            hint="Install the extra `demo`, or take --json to a machine that has a program for drawing.",
        ) from error
    figure = Figure(figsize=(max(6.0, 1.6 * len(rows)), 4.0), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(percentiles)
    for number, name in enumerate(percentiles):
        places = [place + number * width for place in range(len(rows))]
        axes.bar(places, [row[f"{name}_s"] / HOUR_S for row in rows], width, label=name)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(rows))])
    axes.set_xticklabels(
        [f"{row['process']}\n{row['step']}\nversion {row['process_version']}" for row in rows]
    )
    axes.set_ylabel("hours")
    if rows:
        axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_output(path, picture.getvalue())
