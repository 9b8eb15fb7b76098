"""Makes ``edge/liveness/passive.toml`` anew: what the passive cues' values mean, fitted and cross-validated.

    python -m edge.liveness.training.fusion --data ../shared/data --models ../shared/models --cache FOLDER

It makes presentations (or takes them from the cache), lets the product's own ``PassiveEvidence`` look at
them, fits (see ``fitting``), and reports twice: with each person judged by a calibration that never saw
them, and with each instrument judged by one that never saw it. Numbers, not network weights: no
deep-learning library is needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from edge.capture.detector import YuNetDetector
from edge.errors import SetupError
from edge.liveness.calibration import FILE, PassiveCalibration
from edge.liveness.minifasnet import NAME as MINIFASNET
from edge.liveness.minifasnet import SCALES, MiniFasNet, open_network
from edge.liveness.texture import TextureExpert
from edge.liveness.training import shelf
from edge.liveness.training.drawing import draw_cues
from edge.liveness.training.fitting import PRIORS, Measured, fit, log_odds, threshold_at, without
from edge.liveness.training.measuring import NETWORK_FRAMES, Notes, cues_digest, measure
from edge.liveness.training.presentations import (
    BONA_FIDE,
    CLIPS,
    PICTURES,
    PORTRAITS,
    REPLAY,
    STILL,
    Presentation,
    clips,
    portraits,
    recorded,
)
from edge.models.store import ModelStore
from edge.ports import FaceDetector, FrameExpert

SEED = 20260101
PEOPLE = 260  # of the portraits
FOLDS = 5
PUBLISHED = {
    "minifasnet-v2": "minifasnet_v2_2.7_80x80.onnx",
    "minifasnet-v1se": "minifasnet_v1se_4.0_80x80.onnx",
}


def make(data: Path, detector: FaceDetector, *, people: int) -> Iterator[Presentation]:
    """All presentations, always the same."""
    return chain(
        recorded(data, detector),
        clips(data, detector, np.random.default_rng(SEED)),
        portraits(data, detector, np.random.default_rng(SEED + 1), people=people),
    )


def open_experts(models: Path | None) -> list[FrameExpert]:
    """The product's network, and MiniFASNet where its published files lie in ``models``."""
    experts: list[FrameExpert] = []
    try:
        experts.append(TextureExpert.open())
    except SetupError as error:
        print(f"without the texture network: {error}", file=sys.stderr)
    if models is not None and all((models / name).is_file() for name in PUBLISHED.values()):
        sessions, digests = {}, ""
        for name, scale in SCALES.items():
            blob = (models / PUBLISHED[name]).read_bytes()
            digests += hashlib.sha256(blob).hexdigest()
            sessions[scale] = open_network(blob, name=name, threads=1)
        experts.append(MiniFasNet(sessions, hashlib.sha256(digests.encode()).hexdigest()))
    return experts


def judge_left_out(measured: Sequence[Measured], key: str) -> list[tuple[Measured, float]]:
    """Each presentation with its log odds by a fit without its fold of people, or without its instrument."""
    judged: list[tuple[Measured, float]] = []
    if key == "person":
        people = sorted({one.person for one in measured})
        folds = {person: number % FOLDS for number, person in enumerate(people)}
        for fold in range(FOLDS):
            rest = [one for one in measured if folds[one.person] != fold]
            own = [one for one in measured if folds[one.person] == fold]
            judged += _judged(rest, own)
        return judged
    for instrument in sorted({one.instrument for one in measured if one.kind != BONA_FIDE}):
        rest = [one for one in measured if one.instrument != instrument]
        judged += _judged(rest, [one for one in measured if one.instrument == instrument])
    return judged + _judged(measured, [one for one in measured if one.kind == BONA_FIDE])


def report(judged: Sequence[tuple[Measured, float]], form: str) -> dict[str, Any]:
    """Error rates where 5 % of the living are refused."""
    chosen = [(one, odds) for one, odds in judged if one.form == form]
    live = np.array([odds for one, odds in chosen if one.kind == BONA_FIDE])
    attacks = [(one, odds) for one, odds in chosen if one.kind != BONA_FIDE]
    if len(live) == 0 or not attacks:
        return {}
    limit = threshold_at(live, 0.05)
    passed = {
        name: [odds >= limit for one, odds in attacks if name in (one.instrument, one.kind)]
        for name in (STILL, REPLAY, *sorted({one.instrument for one, _ in attacks}))
    }
    rates = {name: round(float(np.mean(each)), 4) for name, each in passed.items() if each}
    worst = max((name for name in rates if name not in (STILL, REPLAY)), key=lambda name: rates[name])
    other = np.array([odds for _, odds in attacks])
    return {
        "bona_fide": len(live),
        "attacks": len(other),
        "auc": round(float((live[:, None] > other[None]).mean()), 4),
        "apcer_at_bpcer_5": round(float((other >= limit).mean()), 4),
        "still": rates.get(STILL, 0.0),
        "replay": rates.get(REPLAY, 0.0),
        "worst_instrument": worst,
        "worst_apcer": rates[worst],
    }


def cue_table(measured: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Area under the curve of each cue by itself against each kind of attack, on clips."""
    table: dict[str, dict[str, float]] = {}
    moving = [one for one in measured if one.form == CLIPS]
    for cue in PRIORS:
        table[cue] = {}
        for kind in (STILL, REPLAY):
            live, other = (
                np.array([m.values[cue] for m in moving if m.kind == which and cue in m.values])
                for which in (BONA_FIDE, kind)
            )
            if len(live) and len(other):
                wins = (live[:, None] > other[None]).mean() + 0.5 * (live[:, None] == other[None]).mean()
                table[cue][kind] = round(float(wins), 3)
    return table


def evaluate(measured: Sequence[Measured], experts: Sequence[FrameExpert]) -> dict[str, Any]:
    """Cross-validated both ways, for each set of experts and for pictures and clips."""
    names = {expert.name for expert in experts}
    sets = {"texture": [MINIFASNET], "texture and minifasnet": [], "neither": [MINIFASNET, "texture"]}
    if MINIFASNET not in names:
        sets.pop("texture and minifasnet")
    told: dict[str, Any] = {}
    for name, left_out in sets.items():
        chosen = without(measured, left_out)
        for key in ("person", "instrument"):
            judged = judge_left_out(chosen, key)
            for form in (CLIPS, PICTURES, PORTRAITS):
                told[f"{name}, {form}, {key} left out"] = report(judged, form)
    return told


def to_toml(
    calibration: PassiveCalibration, evaluation: dict[str, Any], experts: Sequence[FrameExpert]
) -> str:
    """The calibration as data, with the evaluation that belongs to it."""
    lines = [
        "# Calibration of the passive cues, made by `python -m edge.liveness.training.fusion`, not by hand.",
        f"version = {calibration.version}",
        "",
        "[curves]",
    ]
    for cue, one in calibration.curves.items():
        lines.append(
            f'{cue} = {{ form = "{one.form}", centre = {one.centre:.4f}, slope = {one.slope:.4f},'
            f" against = {one.against}, in_favour = {one.in_favour} }}"
        )
    for name, kind in calibration.kinds.items():
        lines += ["", f"[kinds.{name}]", f"share = {kind.share}", f"[kinds.{name}.weights]"]
        lines += [f"{cue} = {weight}" for cue, weight in kind.weights.items()]
    lines += ["", "[points]"]
    for name, point in calibration.points.items():
        lines.append(f'"{name}" = {{ centre = {point.centre}, slope = {point.slope} }}')
    lines += ["", "[alike]", *(f"{name} = {weight}" for name, weight in calibration.alike.items())]
    lines += ["", "[experts] # digests of the networks whose scores these curves are for"]
    lines += [f'{expert.name} = "{expert.model_sha256}"' for expert in experts]
    for title, told in evaluation.items():
        lines += ["", f'[evaluation."{title}"]']
        lines += [f"{name} = {json.dumps(value)}" for name, value in told.items()]
    return "\n".join(lines) + "\n"


def main(  # noqa: PLR0917 (Typer calls by name)
    data: Annotated[Path, typer.Option(help="Folder of the development data.")] = Path("../shared/data"),
    models: Annotated[Path | None, typer.Option(help="Folder with MiniFASNet's published files.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Keeps the presentations here.")] = None,
    people: Annotated[int, typer.Option(min=20, help="How many people's portraits.")] = PEOPLE,
    plot: Annotated[Path | None, typer.Option(help="Draw each cue's ROC into this file.")] = None,
    out: Annotated[Path, typer.Option(help="Where to write the calibration.")] = Path(__file__).parents[1]
    / FILE,
) -> None:
    """Calibrate the passive half of liveness."""
    cv2.setNumThreads(1)
    data = Path(os.environ.get("VERIFIELD_DATA", data))
    detector = YuNetDetector.open(ModelStore.open().path("yunet-int8bq"), threads=1)
    experts = open_experts(models)
    if cache is not None and (cache / "complete").is_file():
        whole = not Notes(cache / "notes.json").knows(cues_digest())
        presentations = shelf.kept(cache, most=None if whole else NETWORK_FRAMES)
    else:
        made = make(data, detector, people=people)
        presentations = made if cache is None else shelf.keep(made, cache)
    measured = measure(presentations, experts, Notes(None if cache is None else cache / "notes.json"))
    if cache is not None:
        (cache / "complete").touch()
    optional = [MINIFASNET] if any(expert.name == MINIFASNET for expert in experts) else []
    calibration = fit(measured, optional)
    evaluation = evaluate(measured, experts)
    evaluation |= {f"cue {cue}": told for cue, told in cue_table(measured).items()}
    out.write_text(to_toml(calibration, evaluation, experts), encoding="utf-8")
    if plot is not None:
        draw_cues(measured, plot)
    print(json.dumps(evaluation, indent=1))


def _judged(rest: Sequence[Measured], own: Sequence[Measured]) -> list[tuple[Measured, float]]:
    optional = [MINIFASNET] if any(MINIFASNET in one.values for one in rest) else []
    odds = log_odds(fit(rest, optional), own)
    return list(zip(own, (float(one) for one in odds), strict=True))


if __name__ == "__main__":
    typer.run(main)
