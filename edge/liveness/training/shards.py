"""Examples in files of 256, made once with the teachers' answers; each file follows from its number alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.liveness.training.corpus import Sitter
from edge.liveness.training.samples import LIVE, MIXED, PLAIN, draw_sample
from edge.liveness.training.teachers import Teacher

SHARD = 256
SEED = 20_261_122

HalfArray = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Shard:
    """n examples. ``crops``: uint8 [n, 2, 80, 80, 3], near and far; ``embeddings``: [n, 2, 128];

    ``features``: [n, 2, 128, 5, 5]; ``kinds``, ``groups``: [n] of text.
    """

    crops: npt.NDArray[np.uint8]
    embeddings: HalfArray
    features: HalfArray
    kinds: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]

    @property
    def labels(self) -> npt.NDArray[np.float32]:
        """1 live, 0 attack, not a number where there is no saying: [n]."""
        labels = np.where(np.isin(self.kinds, (LIVE, PLAIN)), 1.0, 0.0)
        return np.where(self.kinds == MIXED, np.nan, labels).astype(np.float32)


def make_shard(
    people: Sequence[Sitter],
    kinds: Sequence[str],
    teachers: tuple[Teacher, Teacher],
    seed: tuple[int, ...],
    *,
    count: int = SHARD,
) -> Shard:
    """Draw ``count`` examples and ask the teachers."""
    rng = np.random.default_rng((SEED, *seed))
    samples = [draw_sample(people, kinds, rng) for _ in range(count)]
    crops = np.stack([np.stack([sample.near, sample.far]) for sample in samples])
    lessons = [teacher.teach(crops[:, side]) for side, teacher in enumerate(teachers)]
    return Shard(
        crops=crops,
        embeddings=np.stack([lesson.embedding for lesson in lessons], axis=1).astype(np.float16),
        features=np.stack([lesson.features for lesson in lessons], axis=1).astype(np.float16),
        kinds=np.array([sample.kind for sample in samples]),
        groups=np.array([sample.group for sample in samples]),
    )


def fill(
    folder: Path, wanted: range, make: Callable[[int], Shard], progress: Callable[[int, int], None]
) -> None:
    """Make the shards of ``wanted`` that are not in the folder yet; may be stopped and begun again."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in wanted:
        path = shard_path(folder, number)
        if not path.exists():
            save(path, make(number))
        progress(number - wanted.start + 1, len(wanted))


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / f"{number:05d}.npz"


def save(path: Path, shard: Shard) -> None:
    """Write a shard whole or not at all."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(
        part,
        crops=shard.crops,
        embeddings=shard.embeddings,
        features=shard.features,
        kinds=shard.kinds,
        groups=shard.groups,
    )
    part.replace(path)


def load(path: Path) -> Shard:
    """Read a shard that ``save`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return Shard(**{name: stored[name] for name in stored.files})
