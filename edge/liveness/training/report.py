"""The model card's figures: agreement with the teachers and errors, on what training has not seen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.liveness.crops import FAR, NEAR, crop
from edge.liveness.training.corpus import RealPicture, Sitter
from edge.liveness.training.export import OnnxJudge
from edge.liveness.training.figures import Judge, Scores, agreement, by_instrument
from edge.liveness.training.learn import teacher_live
from edge.liveness.training.shards import Shard
from edge.liveness.training.teachers import Teacher
from edge.model import Face


def card(
    network: bytes,
    teachers: tuple[Teacher, Teacher],
    tests: Sequence[Shard],
    held_out: Sequence[Sitter],
    pictures: Sequence[RealPicture],
) -> dict[str, Any]:
    """All figures, as JSON values; beside each the teachers' own."""
    judge, taught = OnnxJudge(network), asked(teachers)
    crops = np.concatenate([shard.crops for shard in tests])
    kinds = np.concatenate([shard.kinds for shard in tests])
    weights = np.stack([teacher.weights for teacher in teachers])
    mine = judge(crops)
    theirs = np.concatenate([teacher_live(shard.embeddings, weights) for shard in tests])
    return {
        "sha256": hashlib.sha256(network).hexdigest(),
        "bytes": len(network),
        "simulated": {
            "agreement": _agreement(mine, theirs),
            "network": by_instrument(mine, kinds),
            "teachers": by_instrument(theirs, kinds),
        },
        "real": {
            **{group: _live_group(held_out, group, judge, taught) for group in ("lfw", "webcam")},
            "pad": _pad(pictures, judge, taught),
        },
    }


def asked(teachers: tuple[Teacher, Teacher]) -> Judge:
    """The mean of both teachers, as MiniFASNet is used."""

    def judge(crops: npt.NDArray[np.uint8]) -> Scores:
        shares = [
            teacher.live(teacher.teach(crops[:, side]).embedding) for side, teacher in enumerate(teachers)
        ]
        return np.asarray(np.mean(shares, axis=0), np.float32)

    return judge


def crops_of(sitter: Sitter | RealPicture) -> npt.NDArray[np.uint8]:
    """Both crops of a picture as it is: [2, 80, 80, 3]."""
    face = (
        sitter.face
        if isinstance(sitter, RealPicture)
        else Face(sitter.box, np.zeros((5, 2), np.float32), 1.0)
    )
    return np.stack([crop(sitter.picture, face, scale) for scale in (NEAR, FAR)])


def _live_group(held_out: Sequence[Sitter], group: str, judge: Judge, taught: Judge) -> dict[str, Any]:
    """Untouched pictures of living people whom training has not seen."""
    chosen = [sitter for sitter in held_out if sitter.group == group]
    if not chosen:
        return {"pictures": 0}
    crops = np.stack([crops_of(sitter) for sitter in chosen])
    mine, theirs = judge(crops), taught(crops)
    return {
        "pictures": len(chosen),
        "agreement": _agreement(mine, theirs),
        "network": _spread(mine),
        "teachers": _spread(theirs),
    }


def _pad(pictures: Sequence[RealPicture], judge: Judge, taught: Judge) -> list[dict[str, Any]]:
    """Each real test picture's score."""
    if not pictures:
        return []
    crops = np.stack([crops_of(picture) for picture in pictures])
    return [
        {
            "name": one.name,
            "live": one.live,
            "network": round(float(mine), 4),
            "teachers": round(float(theirs), 4),
        }
        for one, mine, theirs in zip(pictures, judge(crops), taught(crops), strict=True)
    ]


def _agreement(mine: Scores, theirs: Scores) -> dict[str, float]:
    found = agreement(mine, theirs)
    return {"spearman": round(found.spearman, 4), "same_side": round(found.same_side, 4)}


def _spread(scores: Scores) -> dict[str, float]:
    """Quantiles of the scores."""
    return {f"p{share}": round(float(np.percentile(scores, share)), 4) for share in (5, 25, 50, 75)}
