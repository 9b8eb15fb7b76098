"""What the two MiniFASNets think of crops: class scores, embeddings and the last map of features.

To match a teacher's features, not only its answer, gives each picture hundreds of targets instead of two
(Romero et al., FitNets, 2015; Beyer et al., "A good teacher is patient and consistent", 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edge.errors import SetupError
from edge.liveness.minifasnet import SCALES, open_network
from edge.model import Image
from edge.models.store import ModelStore

Array = npt.NDArray[np.float32]
EMBEDDING, MAP = 128, (128, 5, 5)
BATCH = 32


@dataclass(frozen=True, slots=True)
class Lesson:
    """Of n crops: ``embedding`` [n, 128], ``features`` [n, 128, 5, 5]; float32."""

    embedding: Array
    features: Array


class Teacher:
    """One network; ``weights`` [128, 3] turn its embedding into class scores."""

    def __init__(self, name: str, path: Path) -> None:
        """Open a MiniFASNet.

        Raises:
            SetupError: MODEL_UNREADABLE where the graph is another one.
        """
        model = onnx.load(str(path))
        last = next(node for node in model.graph.node if model.graph.output[0].name in node.output)
        adds = [node for node in model.graph.node if node.op_type == "Add"]
        weights = [w for w in model.graph.initializer if w.name in last.input and len(w.dims) == 2]
        if not weights or not adds:
            raise SetupError("MODEL_UNREADABLE", f"The network {name} has another form.")
        matrix = np.asarray(numpy_helper.to_array(weights[0]), np.float32)
        self.weights: Array = matrix if matrix.shape[0] == EMBEDDING else matrix.T
        self.name = name
        self._wanted = [last.input[0], adds[-1].output[0]]
        model.graph.output.extend(onnx.ValueInfoProto(name=wanted) for wanted in self._wanted)
        self._session = open_network(model.SerializeToString(), name=name, threads=1)
        self._input = self._session.get_inputs()[0].name

    def teach(self, crops: npt.NDArray[np.uint8]) -> Lesson:
        """Look at crops, uint8 [n, 80, 80, 3], BGR."""
        parts = []
        for start in range(0, len(crops), BATCH):
            blob = np.ascontiguousarray(crops[start : start + BATCH].transpose(0, 3, 1, 2), np.float32)
            parts.append(self._session.run(self._wanted, {self._input: blob}))
        embeddings, maps = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Lesson(np.asarray(embeddings, np.float32), np.asarray(maps, np.float32))

    def live(self, embedding: Array) -> Array:
        """The share of the class "live" for embeddings [n, 128]: [n]."""
        return live_share(embedding @ self.weights)


def live_share(scores: Array) -> Array:
    """Softmax of scores [n, 3]; of class 1: [n]."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers[:, 1] / powers.sum(axis=1), np.float32)


def open_teachers(store: ModelStore) -> tuple[Teacher, Teacher]:
    """Both networks, of the near and of the far crop, fetched where they are not here yet.

    Raises:
        SetupError: MODEL_FETCH, MODEL_DIGEST or MODEL_UNREADABLE.
    """
    store.pull(list(SCALES))
    near, far = (Teacher(name, store.path(name)) for name in SCALES)
    return near, far


def one(picture: Image) -> npt.NDArray[np.uint8]:
    """A batch of one crop."""
    return picture[None]
