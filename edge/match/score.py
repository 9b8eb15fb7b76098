"""One to one: the cosine of two embeddings against a threshold chosen by its false match rate."""

from __future__ import annotations

import numpy as np

from edge.errors import SetupError
from edge.model import Embedding, MatchResult
from edge.policy import MatchThreshold


def match(probe: Embedding, reference: Embedding, *, threshold: MatchThreshold, domain: str) -> MatchResult:
    """Compare two unit-length embeddings of one model. ``domain``: for example live/chip_photo.

    Raises:
        SetupError: MODEL_MISMATCH; embeddings of different models are never scored.
        ValueError: a vector is not of unit length, so that its score would mean nothing.
    """
    if probe.model_sha256 != reference.model_sha256:
        raise SetupError(
            "MODEL_MISMATCH",
            f"Templates of {probe.model_name} and {reference.model_name} cannot be compared.",
            hint="Enrol the person again with the model in use.",
        )
    for embedding in (probe, reference):
        if not abs(float(np.linalg.norm(embedding.vector)) - 1.0) < 1e-3:
            raise ValueError("an embedding must have unit length")
    cosine = float(np.dot(probe.vector, reference.vector))
    return MatchResult(
        score=max(-1.0, min(1.0, cosine)),
        threshold=threshold.threshold,
        false_match_rate=threshold.false_match_rate,
        domain=domain,
        model_name=probe.model_name,
        model_sha256=probe.model_sha256,
    )
