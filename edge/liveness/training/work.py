"""One process of the training; several may train one network together."""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed

from edge.liveness.training.learn import Course, Team, open_pool
from edge.liveness.training.shards import shard_path

KEPT, RENDEZVOUS = "course.pt", "rendezvous"


def work(worker: int, options: argparse.Namespace, weights: npt.NDArray[np.float32]) -> None:
    """One process of the training, of ``options.workers``."""
    torch.set_num_threads(1 if options.workers > 1 else options.threads)
    torch.use_deterministic_algorithms(True)
    if options.workers > 1:
        meeting = f"file://{(options.work / RENDEZVOUS).resolve()}"
        distributed.init_process_group("gloo", init_method=meeting, rank=worker, world_size=options.workers)
    course = Course(weights, options.steps, options.work / KEPT, Team(worker, options.workers))
    if course.done < course.steps:
        pool = open_pool([shard_path(options.work / "shards", n) for n in range(options.shards)], weights)
        course.run(pool, course.steps, Progress("training", course.done) if worker == 0 else _quietly)
    if options.workers > 1:
        distributed.destroy_process_group()


def _quietly(_done: int, _value: float) -> None:
    """The other processes say nothing."""


class Progress:
    """One line that is written over."""

    def __init__(self, what: str, begun: int = 0) -> None:
        self._what = what
        self._begun = begun
        self._since = time.monotonic()

    def __call__(self, done: int, value: float) -> None:
        each = (time.monotonic() - self._since) / max(1, done - self._begun)
        print(f"\r{self._what} {done} ({value:.4g}; {each:.2f} s each)  ", end="", flush=True)
