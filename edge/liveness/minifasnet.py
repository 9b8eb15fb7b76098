"""MiniFASNet, two public networks (minivision-ai/Silent-Face-Anti-Spoofing, 2020): an expert where they are.

They are not part of the product: ``models pull minifasnet-v2 minifasnet-v1se`` fetches them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from edge.errors import SetupError
from edge.liveness.crops import FAR, NEAR, as_blob, crop
from edge.model import Face, Image
from edge.ports import FrameExpert

NAME = "minifasnet"
SCALES: Mapping[str, float] = {"minifasnet-v2": NEAR, "minifasnet-v1se": FAR}
LIVE = 1  # of three classes; the others are two kinds of attack


class ModelFiles(Protocol):
    """Where models lie; ``edge.models.store.ModelStore`` is one."""

    def path(self, name: str) -> Path:
        """Where the file lies, its digest checked; SetupError MODEL_MISSING where it does not."""


class MiniFasNet:
    """Implements ``ports.FrameExpert``: the mean of both networks' share of the class "live"."""

    name = NAME

    def __init__(self, sessions: Mapping[float, ort.InferenceSession], model_sha256: str) -> None:
        """``sessions``: by how much larger than the face's box each one's crop is."""
        self._sessions = dict(sessions)
        self.model_sha256 = model_sha256

    def live(self, image: Image, face: Face) -> float:
        """Return 0..1, higher is more alive.

        Raises:
            ValueError: the picture or the face is not usable, or a network's answer is not finite.
        """
        shares = [
            _share(session, as_blob(crop(image, face, scale))) for scale, session in self._sessions.items()
        ]
        return float(np.mean(shares))


def open_minifasnet(store: ModelFiles, *, threads: int = 1) -> FrameExpert | None:
    """Load both networks; None where ``models pull`` did not fetch both.

    ``model_sha256`` of the expert is the SHA-256 of both files' digests as text, in the order of SCALES.

    Raises:
        SetupError: MODEL_DIGEST where a file is there and damaged, MODEL_UNREADABLE where onnxruntime
            refuses it, CACHE_UNREADABLE.
    """
    sessions: dict[float, ort.InferenceSession] = {}
    digests = ""
    for name, scale in SCALES.items():
        try:
            data = store.path(name).read_bytes()
        except SetupError as error:
            if error.code == "MODEL_MISSING":
                return None
            raise
        digests += hashlib.sha256(data).hexdigest()
        sessions[scale] = open_network(data, name=name, threads=threads)
    return MiniFasNet(sessions, hashlib.sha256(digests.encode()).hexdigest())


def open_network(data: bytes, *, name: str, threads: int) -> ort.InferenceSession:
    """A session for a network given as ONNX.

    Raises:
        SetupError: MODEL_UNREADABLE.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised
    # Waiting threads sleep: on a busy two-core device spinning ones cost several times the network.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's classes have no common base but this
        raise SetupError(
            "MODEL_UNREADABLE",
            f"The network {name} cannot be read.",
            hint="Install the release again, or fetch the model again: verifield-edge models pull.",
        ) from error


def _share(session: ort.InferenceSession, blob: npt.NDArray[np.float32]) -> float:
    logits = np.asarray(session.run(None, {session.get_inputs()[0].name: blob})[0], np.float64)
    if logits.shape != (1, 3) or not np.isfinite(logits).all():
        raise ValueError("the network gave no usable answer")
    powers = np.exp(logits[0] - logits[0].max())
    return float(powers[LIVE] / powers.sum())
