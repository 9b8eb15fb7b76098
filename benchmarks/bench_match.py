"""How well faces are told apart, on the development pictures, with the product's own evaluation.

python -m benchmarks.bench_match

Needs ../shared/data (or the folder that VERIFIELD_DATA names): 1,546 pictures of Labeled Faces in the Wild
whose people are not in its official pairs. Everybody is compared with everybody; the pairs for the accuracy
are all pairs of one person, and around all pictures one of two people each. No time is measured here.
"""

from __future__ import annotations

import csv
import os
import random
import sys
import tempfile
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.machine import ROOT, Noise, Sheet, describe_machine, progress, publish
from edge.evaluation.pairs import PairList, read_pairs
from edge.evaluation.report import to_json
from edge.evaluation.templates import Maker, make_templates
from edge.evaluation.trial import judge_all, judge_pairs
from edge.match.network import machine_kind
from edge.models.store import ModelStore
from edge.policy import LIVE_CHIP_PHOTO, LIVE_LIVE, Policy
from edge.vision import Vision

SUFFIXES = {".jpg", ".png"}
SEED = 1
FOLDERS = {"Labeled Faces in the Wild, development part": "faces/lfw-dev"}
QUICK_PEOPLE = 60


@dataclass(frozen=True, slots=True)
class Collection:
    """Pictures, a folder for each person."""

    name: str
    folder: Path
    pairs: PairList


def collections(quick: bool) -> list[Collection]:
    """What is here of the development data."""
    data = Path(os.environ.get("VERIFIELD_DATA", ROOT.parent / "shared" / "data"))
    found = []
    for name, folder in FOLDERS.items():
        if not (data / folder).is_dir():
            print(f"left out: {name} is not here ({data / folder})", file=sys.stderr)
            continue
        found.append(Collection(name, data / folder, pairs_of(data / folder, quick)))
    return found


def pairs_of(folder: Path, quick: bool) -> PairList:
    """All pairs of one person, and for each a pair of two people; every picture is in one at least."""
    people = [
        sorted(str(one.relative_to(folder)) for one in person.iterdir() if one.suffix.lower() in SUFFIXES)
        for person in sorted(folder.iterdir())
        if person.is_dir()
    ]
    people = sorted(people, key=len, reverse=True)[:QUICK_PEOPLE] if quick else people
    same = [(*pair, 1) for own in people for pair in combinations(own, 2)]
    rng = random.Random(SEED)
    strangers = [(number, name) for number, own in enumerate(people) for name in own]
    rng.shuffle(strangers)
    around = zip(strangers, strangers[1:] + strangers[:1], strict=True)
    different = [(one[1], other[1], 0) for one, other in around if one[0] != other[0]]
    while len(different) < len(same):
        one, other = rng.sample(strangers, 2)
        if one[0] != other[0]:
            different.append((one[1], other[1], 0))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "pairs.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("path_a", "path_b", "same"), *same, *different])
        return read_pairs(path)


def evaluate(vision: Vision, one: Collection) -> dict[str, Any]:
    """Pairs, all against all, and all against all chip photos."""
    paths = [one.folder / name for name in one.pairs.pictures]
    policy = Policy().match
    with progress() as bar:
        task = bar.add_task(one.name, total=2 * len(paths))
        live, chip = (
            make_templates(
                paths,
                Maker(vision.detector, vision.embedder, chip=kind),
                cache=None,
                tell=lambda _done, _all: bar.advance(task),
            )
            for kind in (False, True)
        )
    about = {"pictures_of": one.name}
    return {
        "pairs": to_json(
            judge_pairs(one.pairs, live, live, policy.live_live), about=about | {"domain": LIVE_LIVE}
        ),
        "all against all": to_json(
            judge_all(one.pairs, live, live, policy.live_live), about=about | {"domain": LIVE_LIVE}
        ),
        "all against all chip photos": to_json(
            judge_all(one.pairs, live, chip, policy.live_chip_photo),
            about=about | {"domain": LIVE_CHIP_PHOTO},
        ),
    }


def to_sheets(told: dict[str, dict[str, Any]]) -> list[Sheet]:
    sheets = []
    for name, kinds in told.items():
        rows = []
        for kind, one in kinds.items():
            accuracy = (
                "-" if one["accuracy"] is None else f"{one['accuracy']:.4f} ± {one['accuracy_std']:.4f}"
            )
            tmr = tuple(
                "-" if value is None else f"{value:.4f}{'' if point['supported'] else ' *'}"
                for value, point in zip(one["tmr_at_fmr"].values(), one["operating_points"], strict=True)
            )
            counts = (f"{one['genuine_pairs']:,} / {one['impostor_pairs']:,}", str(one["failed_to_detect"]))
            rows.append((kind, *counts, accuracy, f"{one['eer']:.4f}", *tmr))
        columns = ("", "genuine / impostor", "no face", "accuracy", "EER")
        columns += ("TMR at 1e-3", "1e-4", "1e-5", "1e-6")
        sheets.append(
            Sheet(name, columns, rows, "* fewer than 30 false matches: so few comparisons say little.")
        )
    return sheets


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="Few people, to try it; keeps no result.")] = False,
) -> None:
    """Evaluate the matcher on the development pictures."""
    found = collections(quick)
    if not found:
        raise SystemExit("Nothing to evaluate: the development data are not here.")
    noise = Noise()
    machine = describe_machine("opencv-python", "onnxruntime", "numpy", "numba")
    vision = Vision.open(ModelStore.open(), threads=1)
    told = {one.name: evaluate(vision, one) for one in found}
    first = next(iter(told.values()))["pairs"]
    names = ("accuracy", "accuracy_std", "accuracy_at_policy", "eer", "tmr_at_fmr", "failed_to_detect")
    figures = {name: first[name] for name in names} | {
        "numbers": machine_kind().name,
        "machine": machine,
        "noise": noise.stop(),
        "collections": told,
    }
    publish("match", "Telling faces apart", figures, to_sheets(told), as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
