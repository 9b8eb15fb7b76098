"""How ``verifield-edge evaluate liveness`` tells what it found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from edge.commands.common import err, out, print_json
from edge.evaluation.pad_figures import Figures
from edge.evaluation.pad_report import (
    CUE_COLUMNS,
    FIGURE_COLUMNS,
    INSTRUMENT_COLUMNS,
    PASSIVE_ONLY,
    About,
    cue_row,
    figure_rows,
    instrument_row,
    save_report,
    to_json,
)


def tell_liveness(figures: Figures, about: About, report: Path | None, *, as_json: bool) -> None:
    """Write the report where one is wanted, and print one JSON object or tables.

    Raises:
        SetupError: EVALUATION_UNWRITABLE.
    """
    if report is not None:
        written = save_report(report, figures, about)
        err().print(f"Written to {report}: {', '.join(written)}", soft_wrap=True)
        if not any(name.endswith(".png") for name in written):
            err().print("No plots: matplotlib is not installed (pip install matplotlib, or the extra demo).")
    if as_json:
        print_json(to_json(figures, about))
        return
    console = out()
    console.print(PASSIVE_ONLY, soft_wrap=True)
    for note in about.notes:
        console.print(f"Note: {note}", soft_wrap=True)
    console.print(
        f"Threshold {figures.threshold:.4f} ({about.threshold_from}); "
        f"{figures.undecided.total():,} of {len(figures.judged):,} presentations were not judged."
    )
    _print_table(FIGURE_COLUMNS, figure_rows(figures))
    _print_table(INSTRUMENT_COLUMNS, [instrument_row(one) for one in figures.instruments])
    _print_table(CUE_COLUMNS, [cue_row(one) for one in figures.judging_cues])
    _print_table(
        ("not judged because", "presentations"),
        [(reason, f"{count:,}") for reason, count in figures.undecided.most_common()],
    )


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row)
    out().print()
    out().print(table)
