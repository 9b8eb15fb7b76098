"""What the network is worth on people, devices and pictures that it was not trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.liveness.training.instruments import HELD_OUT, TRAINING
from edge.liveness.training.samples import LIVE

BPCER = 0.05

Scores = npt.NDArray[np.float32]
Judge = Callable[[npt.NDArray[np.uint8]], Scores]
"""Crops uint8 [n, 2, 80, 80, 3] to 0..1 [n]."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two scorers: correlation of ranks, and how often both are on one side of a half."""

    spearman: float
    same_side: float


def area(live: Scores, attack: Scores) -> float:
    """Area under the ROC: the chance that a live face scores higher than an attack; ties count half."""
    both = np.concatenate([live, attack])
    ranks = mid_ranks(both)
    above = ranks[: len(live)].sum() - len(live) * (len(live) + 1) / 2
    return float(above / (len(live) * len(attack)))


def apcer_at(live: Scores, attack: Scores, bpcer: float = BPCER) -> float:
    """Share of attacks at or above the threshold that refuses ``bpcer`` of the live (ISO/IEC 30107-3)."""
    threshold = np.sort(live)[int(bpcer * len(live))]
    return float((attack >= threshold).mean())


def agreement(one: Scores, other: Scores) -> Agreement:
    """How alike two scorers are."""
    spearman = float(np.corrcoef(mid_ranks(one), mid_ranks(other))[0, 1])
    return Agreement(spearman, float(((one >= 0.5) == (other >= 0.5)).mean()))


def mid_ranks(values: Scores) -> npt.NDArray[np.float64]:
    """Ranks from 1 on; equal values share the middle of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], np.float64)


def by_instrument(
    scores: Scores, kinds: npt.NDArray[np.str_]
) -> dict[str, dict[str, float | int | dict[str, float]]]:
    """Area and APCER for the instruments of the training and those held out, together and each alone."""
    live = scores[kinds == LIVE]
    result: dict[str, dict[str, float | int | dict[str, float]]] = {}
    for name, instruments in (("training_instruments", TRAINING), ("held_out_instruments", HELD_OUT)):
        attacks = scores[np.isin(kinds, instruments)]
        if not len(attacks) or not len(live):
            continue
        each = {
            one: round(apcer_at(live, scores[kinds == one]), 4) for one in instruments if (kinds == one).any()
        }
        result[name] = {
            "presentations": len(attacks),
            "live": len(live),
            "area": round(area(live, attacks), 4),
            "apcer_at_bpcer_5": round(apcer_at(live, attacks), 4),
            "apcer_at_bpcer_5_each": each,
        }
    return result
