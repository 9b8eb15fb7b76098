"""The appliance's own texture network: one picture of a face, and whether it looks like a recapture.

A small network looks at the face twice, with little and with more of its surroundings. What it was taught
with, what it can and cannot do: docs/liveness-model.md. It lies beside this module and is loaded as it is
(``python -m edge.liveness.training`` makes it); its digest is recorded with each score.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import onnxruntime as ort

from edge.errors import SetupError
from edge.liveness.crops import FAR, NEAR, as_blob, crop
from edge.liveness.minifasnet import open_network
from edge.model import Face, Image

NAME = "texture"
FILE = "texture.onnx"
MAX_BYTES = 4 << 20  # twice what the network may have


class TextureExpert:
    """Implements ``ports.FrameExpert``. Safe to call from several threads."""

    name = NAME

    def __init__(self, session: ort.InferenceSession, model_sha256: str) -> None:
        self._session = session
        self.model_sha256 = model_sha256

    @classmethod
    def open(cls, *, threads: int = 1, path: Path | None = None) -> TextureExpert:
        """Load the network that comes with the package, or the one at ``path``.

        Raises:
            SetupError: MODEL_MISSING where there is no file, MODEL_UNREADABLE where it is no such network.
        """
        data = _read(path)
        session = open_network(data, name=NAME, threads=threads)
        names = [tensor.name for tensor in session.get_inputs()]
        if names != ["near", "far"] or [tensor.name for tensor in session.get_outputs()] != ["live"]:
            raise SetupError(
                "MODEL_UNREADABLE", "The texture network has another form.", hint="Install the release again."
            )
        return cls(session, hashlib.sha256(data).hexdigest())

    def live(self, image: Image, face: Face) -> float:
        """Return 0..1, higher is more alive; ``image``: uint8 [height, width, 3], BGR.

        Raises:
            ValueError: the picture or the face is not usable, or the network's answer is not a share.
        """
        inputs = {"near": as_blob(crop(image, face, NEAR)), "far": as_blob(crop(image, face, FAR))}
        answer = np.asarray(self._session.run(["live"], inputs)[0], np.float64)
        share = float(answer.reshape(-1)[0]) if answer.size == 1 else float("nan")
        if not 0.0 <= share <= 1.0:  # also where it is not a number
            raise ValueError("the network gave no usable answer")
        return share


def _read(path: Path | None) -> bytes:
    source = resources.files("edge.liveness").joinpath(FILE) if path is None else path
    try:
        with source.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise SetupError(
            "MODEL_MISSING", "The texture network is not installed.", hint="Install the release again."
        ) from error
    if len(data) > MAX_BYTES:
        raise SetupError("MODEL_UNREADABLE", "The texture network has another form.")
    return data
