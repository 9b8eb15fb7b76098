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
        unaided=unaided(figures["refused_without_networks"]),
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
    in_time, held = live["accepted_in_time"], live["presentations"]
    verdict = "Met." if in_time >= (1 - MAX_LIVE_REFUSED) * held else "**Missed.**"
    lines.append(
        f"- Living people accepted within {MAX_SECONDS:.0f} s of the face in view: {in_time} of {held}"
        f" (median {live['seconds_median']:.2f} s; {held - live['without_turns']} were asked to turn, too)."
        f" Required are {100 * (1 - MAX_LIVE_REFUSED):.0f} %: who is not accepted by then counts as refused."
        f" {verdict}"
    )
    return lines


def unaided(shares: dict[str, float]) -> str:
    """What the passive signals do without the networks, in a sentence."""
    attacks = {kind: share for kind, share in shares.items() if kind != "live"}
    if not attacks:
        return "Nobody living was presented, so that no limit could be laid."
    told = ", ".join(f"{kind} {100 * share:.1f} %" for kind, share in attacks.items())
    return f"Refused at the limit that refuses {100 * shares['live']:.1f} % of the living: {told}."


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
