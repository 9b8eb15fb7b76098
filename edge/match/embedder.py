"""SFace (Zhong et al., 2021): an aligned face becomes 128 numbers.

The product runs the network by its own compiled kernels (edge.match.network), four to nine times as fast as
onnxruntime does. Where nothing is compiled, or the graph is another one, onnxruntime runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.match.network import SIDE, Network, UnsupportedGraph
from edge.model import Embedding, Image


class Runner(Protocol):
    """Runs the network on one face. Safe to call from several threads."""

    def run(self, aligned: Image) -> npt.NDArray[np.float32]:
        """The 128 numbers of uint8 [112, 112, 3], BGR; of any length."""


class SFaceEmbedder:
    """Safe to call from several threads."""

    def __init__(self, runner: Runner, model_name: str, model_sha256: str) -> None:
        self._runner = runner
        self.model_name = model_name
        self.model_sha256 = model_sha256

    @classmethod
    def open(cls, path: Path, *, model_name: str, model_sha256: str, threads: int) -> SFaceEmbedder:
        """Load the prepared model. ``model_sha256`` is the published file's: it names the template's kind."""
        try:
            runner: Runner = Network.open(path, threads=threads)
        except UnsupportedGraph:
            runner = OnnxRunner(path, threads=threads)
        return cls(runner, model_name, model_sha256)

    def embed(self, aligned: Image) -> Embedding:
        """Embed one aligned face, uint8 [112, 112, 3], BGR."""
        return self.embed_batch([aligned])[0]

    def embed_batch(self, aligned: Sequence[Image]) -> list[Embedding]:
        """Embed several, one after another.

        Raises:
            ValueError: a picture is not 112x112.
        """
        if any(picture.shape != (SIDE, SIDE, 3) or picture.dtype != np.uint8 for picture in aligned):
            raise ValueError("an aligned face is 112x112x3, in bytes")
        if not aligned:
            return []
        raw = np.stack([self._runner.run(picture) for picture in aligned])
        return [Embedding(row, self.model_name, self.model_sha256) for row in unit_rows(raw)]


class OnnxRunner:
    """Runs the prepared graph by onnxruntime: the reference, and the way where nothing is compiled."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """Load the prepared model."""
        import onnxruntime as ort  # noqa: PLC0415 (most devices need it for the detector alone)

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Waiting threads sleep: on a busy two-core device spinning ones cost several times the network.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, aligned: Image) -> npt.NDArray[np.float32]:
        """The 128 numbers of uint8 [112, 112, 3], BGR; of any length."""
        rgb = np.ascontiguousarray(aligned[:, :, ::-1].transpose(2, 0, 1)[None], dtype=np.float32)
        return np.asarray(self._session.run(["fc1"], {"data": rgb})[0][0], np.float32)


def unit_rows(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale each row of [n, d] to unit length.

    Raises:
        ValueError: a row is zero or not finite: no face gives that, and it must not be compared.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ValueError("an embedding without a direction")
    return np.asarray(rows / lengths, dtype=np.float32)
