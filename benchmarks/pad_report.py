"""docs/liveness-report.md: what the liveness suite showed, in words that follow from its figures."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

from benchmarks.machine import Sheet

MAX_LIVE_REFUSED = 0.05
MAX_SECONDS = 3.0
TEMPLATE = Path(__file__).with_name("pad_report.template.md")


def write_report(figures: dict[str, Any], sheet: Sheet, path: Path) -> None:
    """Write the report to ``path``. ``sheet``: the table of all kinds."""
    machine = figures["machine"]
    rule = ["---"] + ["---:"] * (len(sheet.columns) - 1)
    text = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        fps=f"{figures['fps']:.0f}",
        provenance=f"{machine['date']}, revision {machine['revision']}, state of the code {figures['code']};"
        f" {figures['per_instrument']} presentations of each kind.",
        against="\n".join(against(figures["kinds"])),
        table="\n".join(f"| {' | '.join(row)} |" for row in (sheet.columns, rule, *sheet.rows)),
        note=sheet.note,
        stills=_stills(figures["stills"]),
    )
    path.write_text(text, encoding="utf-8")


def against(kinds: dict[str, dict[str, Any]]) -> list[str]:
    """Each part of the requirement, and whether it was met."""
    attacks = {kind: one for kind, one in kinds.items() if kind != "live"}
    passed = [
        f"{kind} {one['accepted']} of {one['presentations']}"
        for kind, one in attacks.items()
        if one["accepted"]
    ]
    accepted, total = (sum(one[key] for one in attacks.values()) for key in ("accepted", "presentations"))
    verdict = f"**Missed**: {', '.join(passed)}." if passed else "Met."
    lines = [f"- Attacks accepted: {accepted} of {total} (required: 0). {verdict}"]
    live = kinds.get("live")
    if live is None:
        return lines
    share = live["refused_share"]
    verdict = "Met." if share <= MAX_LIVE_REFUSED else "**Missed.**"
    limit = f"required: at most {100 * MAX_LIVE_REFUSED:.0f} %"
    lines.append(f"- Live refused: {100 * share:.1f} % of {live['presentations']} ({limit}). {verdict}")
    late = f"**Missed**: {live['without_turns']} of {live['presentations']} were decided without turns."
    verdict = "Met." if live["seconds_p95"] <= MAX_SECONDS else late
    median, p95 = (f"{live[key]:.1f} s" for key in ("seconds_median", "seconds_p95"))
    lines.append(
        f"- Live sessions decided within {median} of the face coming into view (median), 95 % within {p95}"
        f" (required: {MAX_SECONDS:.0f} s). {verdict}"
    )
    return lines


def _stills(stills: dict[str, dict[str, Any]]) -> str:
    if not stills:
        return "The development pictures (`pad`) were not there."
    wrong = [name for name, one in stills.items() if one["passes"] != name.startswith("bona-fide/")]
    undecided = [name for name, one in stills.items() if one["score"] is None]
    return (
        f"{len(stills)} pictures of `pad`, one frame each, by the passive signals alone:"
        f" {len(stills) - len(wrong)} judged rightly. Wrong or refused: {', '.join(wrong) or 'none'}."
        f" Could not be judged: {', '.join(undecided) or 'none'}."
    )
