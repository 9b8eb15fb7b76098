"""Liveness against every simulated presentation attack instrument, and against living people.

python -m benchmarks.bench_pad [--per-instrument 150] [--only phone --only mask] [--processes 2]

Each presentation is the product's whole capture in virtual time (benchmarks.pad_presentation). Answers are
kept by the state of the code, the kind and the seed: an interrupted run goes on where it was. All of them,
also of a run that was interrupted, are written to results/pad.jsonl, so that the run can go on elsewhere and
every figure can be traced to its presentations.
Still pictures of ../shared/data/pad, where they are, are judged by the passive signals alone.

What the networks add is seen without them: the other passive signals are fused by themselves, and a limit is
laid where at most 5 % of the living are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

import cv2
import numpy as np
import typer

from benchmarks.machine import RESULTS, ROOT, Noise, Sheet, describe_machine, progress, publish
from benchmarks.pad_presentation import FPS, Presented, present
from benchmarks.pad_report import MAX_LIVE_REFUSED, MAX_SECONDS, write_report
from edge.evaluation.pad_examiner import open_examiner
from edge.evaluation.pad_judging import judge_one
from edge.evaluation.pad_manifest import Presentation
from edge.evaluation.statistics import wilson
from edge.liveness.calibration import PassiveCalibration
from edge.liveness.minifasnet import NAME as MINIFASNET
from edge.liveness.texture import NAME as TEXTURE
from edge.models.store import ModelStore
from edge.policy import Policy
from edge.vision import Vision
from verifield_sim.camera import PersonKind

KINDS: tuple[PersonKind, ...] = tuple(kind for kind in get_args(PersonKind) if kind != "none")
PER_INSTRUMENT = 150
CACHE = ROOT / ".run" / "pad"
ANSWERS = RESULTS / "pad.jsonl"
# What a verdict depends on; the models are named by their digests in the manifest.
CODE = (
    *("edge/liveness", "edge/capture", "edge/match", "edge/compute", "edge/models"),
    "firmware-sim/verifield_sim/camera",
)
FILES = ("edge/face_capture.py", "edge/policy.py", "edge/vision.py", "edge/geometry.py")
FIRST_SEED = 4000  # apart from the seeds that tests use and thresholds were chosen with
NETWORKS = frozenset({TEXTURE, MINIFASNET})


@cache
def _vision() -> Vision:
    """One thread for everything: the processes share the cores."""
    cv2.setNumThreads(1)
    return Vision.open(ModelStore.open(), threads=1)


def _work(order: tuple[PersonKind, int]) -> Presented:
    return present(_vision(), *order)


def code_digest() -> str:
    """Digest of what a verdict depends on."""
    digest = hashlib.sha256()
    paths = [ROOT / name for name in FILES]
    for folder in CODE:
        found = (path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".toml", ".onnx"))
        paths += sorted(path for path in found if "training" not in path.parts)
    for path in (*paths, ROOT / "benchmarks" / "pad_presentation.py"):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


Answers = Mapping[tuple[str, int], Presented]


class Kept:
    """Answers of earlier runs with this state of the code, one file each; ``published``: those of others."""

    def __init__(self, folder: Path, code: str, published: Answers | None = None) -> None:
        self._folder = folder / code
        self._code = code
        self._published = published or {}

    def get(self, kind: str, seed: int) -> Presented | None:
        path = self._folder / f"{kind}-{seed}.json"
        try:
            return Presented.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return self._published.get((kind, seed))  # not there, or half written: it is made again

    def put(self, one: Presented) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        _write_whole(self._folder / f"{one.kind}-{one.seed}.json", json.dumps(one.to_json()))

    def publish(self, path: Path, orders: Sequence[tuple[PersonKind, int]]) -> None:
        """Write those of ``orders`` that are there, a line each behind one that names the code."""
        there = [one.to_json() for order in orders if (one := self.get(*order)) is not None]
        if not there:
            return  # what stands in the file belongs to figures that are still published
        lines = [json.dumps({"code": self._code}), *(json.dumps(_rounded(one)) for one in there)]
        _write_whole(path, "\n".join(lines) + "\n")


def _write_whole(path: Path, text: str) -> None:
    """Whoever is stopped meanwhile leaves what was there before."""
    fresh = path.with_suffix(".part")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def read_published(path: Path, code: str) -> Answers:
    """Those of a file that ``Kept.publish`` wrote; none where it is away, damaged or of other code."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(first)["code"] != code:
            return {}
        told = [Presented.from_json(json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {(one.kind, one.seed): one for one in told}


def _rounded(told: Any) -> Any:
    """The same with five digits behind the point."""
    if isinstance(told, dict):
        return {name: _rounded(value) for name, value in told.items()}
    return round(told, 5) if isinstance(told, float) else told


def hold(orders: Sequence[tuple[PersonKind, int]], kept: Kept, processes: int) -> list[Presented]:
    """Hold the presentations that are not kept yet, and return all."""
    done = {order: one for order in orders if (one := kept.get(*order)) is not None}
    missing = [order for order in orders if order not in done]
    with progress() as bar:
        task = bar.add_task("presentations", total=len(orders), completed=len(done))
        for one in _held(missing, processes):
            kept.put(one)
            done[one.kind, one.seed] = one  # type: ignore[index]
            bar.advance(task)
    return [done[order] for order in orders]


def _held(orders: Sequence[tuple[PersonKind, int]], processes: int) -> Iterator[Presented]:
    if processes == 1 or not orders:
        yield from map(_work, orders)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_work, orders)


def figures_of(presented: Sequence[Presented]) -> dict[str, Any]:
    """Counts, 95 % intervals and times of one kind."""
    count = len(presented)
    verdicts = Counter(one.verdict for one in presented)
    accepted = wilson(verdicts["accepted"], count)
    seconds = sorted(one.seconds for one in presented)
    return {
        "presentations": count,
        "accepted": verdicts["accepted"],
        "attack": verdicts["attack"],
        "inconclusive": verdicts["inconclusive"],
        "accepted_interval": [round(accepted.low, 5), round(accepted.high, 5)],
        "refused_share": round(1 - verdicts["accepted"] / count, 5),
        "accepted_and_matches": sum(one.verdict == "accepted" and one.matches for one in presented),
        "matches": sum(one.matches for one in presented),
        "without_turns": sum("planar_motion" not in one.experts for one in presented),
        "accepted_in_time": sum(
            one.verdict == "accepted" and one.seconds <= MAX_SECONDS for one in presented
        ),
        "seconds_median": round(statistics.median(seconds), 2),
        "seconds_p95": round(seconds[min(count - 1, round(0.95 * count))], 2),
        "reasons": dict(Counter(reason for one in presented for reason in one.reasons).most_common(6)),
        "accepted_seeds": sorted(one.seed for one in presented if one.verdict == "accepted")[:20],
    }


def without_networks(one: Presented, calibration: PassiveCalibration) -> float:
    """Log odds of life by the passive signals but the networks, as the product fuses them.

    Where none of them could judge, nobody is accepted.
    """
    shares = {cue: one.experts.get(cue) for cue in calibration.curves.keys() - NETWORKS}
    evidence = {cue: math.log(share / (1 - share)) for cue, share in shares.items() if share is not None}
    return calibration.fuse(evidence) if evidence else -math.inf


def refused_without_networks(presented: Sequence[Presented]) -> dict[str, float]:
    """Share of each kind below the highest limit that refuses at most 5 % of the living; empty where nobody
    lives."""
    calibration = PassiveCalibration.built_in()
    odds = {
        kind: [without_networks(one, calibration) for one in presented if one.kind == kind] for kind in KINDS
    }
    if not odds["live"]:
        return {}
    limit = sorted(odds["live"])[math.floor(MAX_LIVE_REFUSED * len(odds["live"]))]
    return {kind: round(float(np.mean(np.array(told) < limit)), 5) for kind, told in odds.items() if told}


def stills(folder: Path) -> dict[str, dict[str, Any]]:
    """The passive signals over still pictures, by name, as `verifield-edge evaluate liveness` judges them;
    empty where there are none."""
    if not folder.is_dir():
        return {}
    examiner, limit = open_examiner(None), Policy().liveness.min_score
    told: dict[str, dict[str, Any]] = {}
    pictures = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".png")]
    for number, path in enumerate(pictures):
        name = f"{path.parent.name}/{path.name}"
        judged = judge_one(Presentation(number, name, path, name.startswith("bona-fide/")), examiner)
        told[name] = {
            "score": None if judged.score is None else round(judged.score, 4),
            "reason": judged.reason,
            "passes": judged.accepted(limit),
        }
    return told


def sheets_of(
    figures: dict[str, dict[str, Any]], still: dict[str, dict[str, Any]], unaided: dict[str, float]
) -> list[Sheet]:
    """As tables, the worst instrument first."""
    attacks = sorted((kind for kind in figures if kind != "live"), key=lambda k: -figures[k]["accepted"])
    rows = []
    for kind in (*attacks, *(["live"] if "live" in figures else [])):
        one = figures[kind]
        low, high = one["accepted_interval"]
        rows.append(
            (
                kind,
                str(one["presentations"]),
                str(one["accepted"]),
                f"{100 * low:.1f} to {100 * high:.1f} %",
                str(one["attack"]),
                str(one["inconclusive"]),
                f"{one['seconds_median']:.1f} / {one['seconds_p95']:.1f}",
                ", ".join(list(one["reasons"])[:2]) or "-",
            )
        )
    columns = ("", "presented", "accepted", "95 %", "attack", "inconclusive", "s (median / p95)", "reasons")
    note = (
        "Accepted: judged LIVE by the whole of liveness, whether or not the face would then match the card."
        " Seconds: of virtual time from the face in view to the verdict, with all that was asked."
    )
    sheets = [Sheet("Presentations before the simulated camera", columns, rows, note)]
    if unaided:
        shares = [(kind, f"{100 * unaided[kind]:.1f} %") for kind in (*attacks, "live") if kind in unaided]
        note = "Motion, repetition, background, refresh, moire, border and the like, fused by themselves."
        sheets.append(Sheet("Passive signals without the networks", ("", "refused"), shares, note))
    if still:
        lines = [
            (name, "-" if one["score"] is None else f"{one['score']:.3f}", "yes" if one["passes"] else "no")
            for name, one in still.items()
        ]
        note = "One picture each, by the passive signals alone: no motion, no challenge."
        sheets.append(Sheet("Still pictures (shared/data/pad)", ("", "score", "passes"), lines, note))
    return sheets


def main(
    per_instrument: Annotated[int, typer.Option(help="Presentations of each kind.", min=1)] = PER_INSTRUMENT,
    only: Annotated[list[str] | None, typer.Option(help="Only this kind; may be given again.")] = None,
    processes: Annotated[int, typer.Option(help="How many work at once.", min=1, max=64)] = 1,
    cache: Annotated[Path, typer.Option(help="Where answers are kept.")] = CACHE,
    any_code: Annotated[bool, typer.Option(help="Take answers of another state of the code, too.")] = False,
    quick: Annotated[bool, typer.Option(help="Two of each, to try it; keeps no result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    keep: Annotated[bool, typer.Option(help="Write results/pad.* and docs/liveness-report.md.")] = True,
) -> None:
    """Present everything and say what was accepted."""
    if unknown := set(only or ()) - set(KINDS):
        raise typer.BadParameter(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    per_instrument, keep = (2, False) if quick else (per_instrument, keep)
    kinds = [kind for kind in KINDS if not only or kind in only]
    noise = Noise()
    digest = "any" if any_code else code_digest()
    # Seed by seed over all kinds: what is kept of an interrupted run says something of each.
    orders = [(kind, FIRST_SEED + number) for number in range(per_instrument) for kind in kinds]
    complete = not only and per_instrument >= PER_INSTRUMENT
    kept = Kept(cache, digest, read_published(ANSWERS, digest))
    try:
        presented = hold(orders, kept, processes)
    finally:
        if keep and complete and not any_code:
            kept.publish(ANSWERS, orders)
    told: dict[str, dict[str, Any]] = {
        kind: figures_of([one for one in presented if one.kind == kind]) for kind in kinds
    }
    data = Path(os.environ.get("VERIFIELD_DATA", ROOT.parent / "shared" / "data"))
    still, unaided = stills(data / "pad"), refused_without_networks(presented)
    figures: dict[str, Any] = {
        "code": digest,
        "per_instrument": per_instrument,
        "fps": FPS,
        "kinds": told,
        "refused_without_networks": unaided,
        "stills": still,
        "machine": describe_machine("opencv-python", "onnxruntime", "numpy"),
        "noise": noise.stop(),
    }
    sheets = sheets_of(told, still, unaided)
    publish("pad", "Presentation attacks", figures, sheets, as_json=as_json, keep=keep and complete)
    if keep and complete:
        write_report(figures, sheets[0], ROOT / "docs" / "liveness-report.md")


if __name__ == "__main__":
    typer.run(main)
