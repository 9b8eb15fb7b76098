"""SFace (Zhong et al., 2021) through onnxruntime: an aligned face becomes 128 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from edge.model import Embedding, Image

SIDE = 112


class SFaceEmbedder:
    """Safe to call from several threads."""

    def __init__(self, session: ort.InferenceSession, model_name: str, model_sha256: str) -> None:
        self._session = session
        self.model_name = model_name
        self.model_sha256 = model_sha256

    @classmethod
    def open(cls, path: Path, *, model_name: str, model_sha256: str, threads: int) -> SFaceEmbedder:
        """Load the prepared model. ``model_sha256`` is the published file's: it names the template's kind."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Waiting threads sleep: on a busy two-core device spinning ones cost several times the network.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return cls(session, model_name, model_sha256)

    def embed(self, aligned: Image) -> Embedding:
        """Embed one aligned face, uint8 [112, 112, 3], BGR."""
        return self.embed_batch([aligned])[0]

    def embed_batch(self, aligned: Sequence[Image]) -> list[Embedding]:
        """Embed several at once; equal to embedding one by one, up to rounding.

        Raises:
            ValueError: a picture is not 112x112.
        """
        if not aligned:
            return []
        if any(picture.shape != (SIDE, SIDE, 3) for picture in aligned):
            raise ValueError("an aligned face is 112x112x3")
        rgb = np.stack(aligned)[:, :, :, ::-1].transpose(0, 3, 1, 2)
        (raw,) = self._session.run(["fc1"], {"data": np.ascontiguousarray(rgb, dtype=np.float32)})
        return [Embedding(row, self.model_name, self.model_sha256) for row in unit_rows(raw)]


def unit_rows(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale each row of [n, d] to unit length.

    Raises:
        ValueError: a row is zero or not finite: no face gives that, and it must not be compared.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ValueError("an embedding without a direction")
    return np.asarray(rows / lengths, dtype=np.float32)
