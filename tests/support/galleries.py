"""Galleries for tests: made-up templates, and what comparing with everybody would find."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt

from edge.gallery.codes import SIZE
from edge.gallery.records import Found, Kind, Model, Rowset, ids_of
from edge.gallery.store import Gallery
from edge.model import Embedding

Floats = npt.NDArray[np.float32]
MODEL = Model("sface-int8bq", "ab" * 32)
OTHER_MODEL = Model("sface-next", "cd" * 32)
KEY = bytes(range(32))


def unit(rows: npt.NDArray[np.floating]) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def random_templates(n: int, seed: int) -> Floats:
    return unit(np.random.default_rng(seed).standard_normal((n, SIZE)))


def clustered_templates(n: int, seed: int, *, spread: float = 0.2) -> Floats:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, n // 12), SIZE))
    return unit(centres[rng.integers(0, len(centres), n)] + spread * rng.standard_normal((n, SIZE)))


def person(number: int) -> UUID:
    """Pseudonyms in no order, some with bytes of zeros at their ends."""
    mixed = (number * 0x9E3779B97F4A7C15 + 1) & (1 << 64) - 1
    return UUID(int=(mixed << 64) | ((number % 7 == 0 and 1 << 60) or number))


def embedding(vector: Floats, model: Model = MODEL) -> Embedding:
    return Embedding(np.asarray(vector, np.float32), model.name, model.sha256)


def rows_of(people: list[UUID], templates: Floats, *, last_day: int = 0) -> Rowset:
    count = len(people)
    return Rowset(
        ids_of(people), templates, np.full(count, last_day, np.int32), np.full(count, Kind.PERSON, np.uint8)
    )


def filled(path: Path, templates: Floats, *, compact: bool = False, batch: int = 4096) -> Gallery:
    """A new gallery in which person(i) has templates[i]."""
    gallery = Gallery.create(path, KEY, model=MODEL)
    for start in range(0, len(templates), batch):
        some = templates[start : start + batch]
        gallery.add_rows(rows_of([person(start + i) for i in range(len(some))], some))
    if compact:
        gallery.compact()
    return gallery


def brute_force(known: dict[UUID, Floats], probe: Floats) -> list[tuple[UUID, float]]:
    """Everybody, best first, by the score alone."""
    scores = {
        who: float(np.dot(row.astype(np.float64), probe.astype(np.float64))) for who, row in known.items()
    }
    return sorted(scores.items(), key=lambda item: -item[1])


def check_found(found: list[Found], known: dict[UUID, Floats], probe: Floats, k: int) -> None:
    """The k best, with their scores; among equals any order is right."""
    expected = brute_force(known, probe)
    assert np.allclose([one.score for one in found], [score for _, score in expected[:k]], atol=1e-12)
    assert len({one.candidate_id for one in found}) == len(found) == min(k, len(known))
    scores = dict(expected)
    assert all(abs(scores[one.candidate_id] - one.score) < 1e-12 for one in found)
