"""``python -m edge.liveness.training``: from a folder of pictures to texture.onnx and its figures.

    export VERIFIELD_DATA=../shared/data VERIFIELD_MODELS=../shared/models
    python -m edge.liveness.training --work FOLDER

May be stopped at any time and begun again with the same FOLDER. Needs the extras ``edge`` and ``train``,
and the face detector (``verifield-edge models pull``). Two cores take some hours; three gigabytes of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import multiprocessing

from edge.capture.detector import YuNetDetector
from edge.errors import EdgeError, SetupError
from edge.liveness.texture import FILE
from edge.liveness.training import export
from edge.liveness.training.corpus import Sitter, real_pictures, sitters
from edge.liveness.training.instruments import HELD_OUT, TRAINING
from edge.liveness.training.learn import Course
from edge.liveness.training.report import card
from edge.liveness.training.samples import LIVE, training_kinds
from edge.liveness.training.shards import Shard, fill, load, make_shard, shard_path
from edge.liveness.training.teachers import Teacher, open_teachers
from edge.liveness.training.work import KEPT, RENDEZVOUS, Progress, work
from edge.models.store import ModelStore

DETECTOR = "yunet-int8bq"
TRAINING_SHARDS, TEST_SHARDS, STEPS = 320, 16, 6_000
TRAINING_SEED, TEST_SEED = 1, 2


def main() -> int:
    """Run the training; 0 where it came to its end."""
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    torch.use_deterministic_algorithms(True)
    try:
        _train(options)
    except EdgeError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return int(error.exit_code)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge.liveness.training", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made on the way")
    parser.add_argument(
        "--out", type=Path, help="where texture.onnx and texture.json go; default: the work folder"
    )
    parser.add_argument("--shards", type=int, default=TRAINING_SHARDS, help="of 256 examples each")
    parser.add_argument("--test-shards", type=int, default=TEST_SHARDS)
    parser.add_argument("--steps", type=int, default=STEPS, help="of 128 examples each")
    parser.add_argument("--threads", type=int, default=2, help="of one process; with several each has one")
    parser.add_argument("--workers", type=int, default=1, help="processes that train together")
    return parser


def _train(options: argparse.Namespace) -> None:
    data = os.environ.get("VERIFIELD_DATA")
    if not data:
        raise SetupError(
            "TRAINING_DATA", "VERIFIELD_DATA names no folder.", hint="See docs/liveness-model.md."
        )
    store = ModelStore.open()
    detector = YuNetDetector.open(store.path(DETECTOR), threads=1)
    teachers = open_teachers(store)
    options.work.mkdir(parents=True, exist_ok=True)
    people = sitters(Path(data), detector)
    _prepare(options, people, teachers)
    weights = np.stack([teacher.weights for teacher in teachers])
    if options.workers == 1:
        work(0, options, weights)
    else:
        (options.work / RENDEZVOUS).unlink(missing_ok=True)
        multiprocessing.spawn(work, (options, weights), nprocs=options.workers)
    network = export.to_onnx(Course(weights, options.steps, options.work / KEPT).mean)
    tests = [load(shard_path(options.work / "test", n)) for n in range(options.test_shards)]
    pictures = real_pictures(Path(data), detector)
    figures = card(network, teachers, tests, [sitter for sitter in people if sitter.held_out], pictures)
    figures |= {"steps": options.steps, "examples": options.shards * 256, "people": _people(people)}
    out = options.out or options.work
    export.write(out / FILE, network)
    text = json.dumps(figures, indent=2, sort_keys=True) + "\n"
    export.write(out / Path(FILE).with_suffix(".json").name, text.encode())
    print(f"\n{text}")


def _prepare(options: argparse.Namespace, people: list[Sitter], teachers: tuple[Teacher, Teacher]) -> None:
    """Make the examples of the training and of the tests."""
    seen = [sitter for sitter in people if not sitter.held_out]
    unseen = [sitter for sitter in people if sitter.held_out]
    kinds = training_kinds(TRAINING)
    test_kinds = ([*TRAINING, *[LIVE] * len(TRAINING)], [*HELD_OUT, *[LIVE] * len(HELD_OUT)])

    def for_training(number: int) -> Shard:
        return make_shard(seen, kinds, teachers, (TRAINING_SEED, number))

    def for_tests(number: int) -> Shard:
        return make_shard(unseen, test_kinds[number % 2], teachers, (TEST_SEED, number))

    fill(options.work / "test", range(options.test_shards), for_tests, Progress("test pictures"))
    fill(options.work / "shards", range(options.shards), for_training, Progress("pictures"))


def _people(people: list[Sitter]) -> dict[str, dict[str, int]]:
    groups = sorted({sitter.group for sitter in people})
    return {
        group: {
            part: sum(sitter.group == group and sitter.held_out == held for sitter in people)
            for part, held in (("training", False), ("held_out", True))
        }
        for group in groups
    }


if __name__ == "__main__":
    raise SystemExit(main())
