"""YuNet (Wu, Peng and Yu, 2023): all faces of a picture, with five points.

The product runs the network by its own compiled kernels (edge.capture.detector_network). Where nothing is
compiled, or the graph is another one, onnxruntime runs it; both find the same faces.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from edge.capture.detector_graph import STRIDES, UnsupportedGraph
from edge.capture.detector_network import Network, exact_kind, quick_kind, step_up
from edge.model import Face, Image

LONG_SIDE = (
    640  # bounds the work for any camera; a face of 40 pixels between the eyes stays far above the floor
)
MIN_SCORE = 0.6  # below this most finds are not faces; the policy asks for more before a face is judged
MAX_OVERLAP = 0.3  # intersection over union of two boxes that are still two faces, as in OpenCV's detector
MAX_CANDIDATES = 1000  # a crowd has fewer; bounds the suppression on a hostile picture

_FloatArray = npt.NDArray[np.float32]


class Runner(Protocol):
    """Runs the network on one picture. Safe to call from several threads."""

    def run(self, image: Image, least: float) -> _FloatArray:
        """What cells see in uint8 [height, width, 3], BGR, with this score or more: [n, 15], score, box (x,
        y, width, height) and five points, in pixels; many cells see the same face."""


class YuNetDetector:
    """Implements ``ports.FaceDetector``. Safe to call from several threads."""

    def __init__(self, runner: Runner, long_side: int) -> None:
        self._runner = runner
        self._long_side = long_side

    @classmethod
    def open(
        cls, path: Path, *, threads: int, long_side: int = LONG_SIDE, rounding: bool = False
    ) -> YuNetDetector:
        """Load the prepared model; a picture with a longer side than ``long_side`` is searched reduced.

        ``rounding``: where it is faster, compute with shorter numbers: the same faces, their points within
        the unrest that they have from frame to frame.
        """
        try:
            runner: Runner = Network.open(
                path, threads=threads, kind=quick_kind() if rounding else exact_kind()
            )
        except UnsupportedGraph:
            runner = OnnxRunner(path, threads=threads)
        return cls(runner, long_side)

    def detect(self, image: Image) -> list[Face]:
        """All faces of ``image`` (uint8 [height, width, 3], BGR), best score first, in its own pixels."""
        scale = min(1.0, self._long_side / max(image.shape[:2]))
        seen = self._runner.run(_reduced(image, scale), MIN_SCORE)
        in_its_pixels = seen / scale
        return [
            Face(
                box=tuple(in_its_pixels[index, 1:5].tolist()),
                points=in_its_pixels[index, 5:].reshape(5, 2),
                score=float(seen[index, 0]),
            )
            for index in suppress(seen[:, 0], seen[:, 1:5])
        ]


class OnnxRunner:
    """Runs the prepared graph by onnxruntime: the reference, and the way where nothing is compiled."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """Load the prepared model."""
        import onnxruntime as ort  # noqa: PLC0415 (most devices need it for no more than liveness)

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Waiting threads sleep: on a busy two-core device spinning ones cost several times the network.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._outputs = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]

    def run(self, image: Image, least: float) -> _FloatArray:
        """As ``Runner.run``."""
        blob = _blob(image)
        answers = self._session.run(self._outputs, {"input": blob})
        found = [
            decode(
                *answers[4 * level : 4 * level + 4],
                stride=stride,
                columns=blob.shape[3] // stride,
                least=least,
            )
            for level, stride in enumerate(STRIDES)
        ]
        scores, boxes, points = (np.concatenate(part) for part in zip(*found, strict=True))
        return np.concatenate([scores[:, None], boxes, points.reshape(-1, 10)], axis=1)


def _reduced(image: Image, scale: float) -> Image:
    if scale >= 1.0:
        return image
    interpolation = cv2.INTER_AREA if scale <= 0.5 else cv2.INTER_LINEAR
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.uint8)


def _blob(image: Image) -> _FloatArray:
    """Float32 [1, 3, height, width], BGR, 0..255; black at the right and bottom up to the step."""
    height, width = image.shape[:2]
    blob = np.zeros((1, 3, step_up(height), step_up(width)), dtype=np.float32)
    for channel in range(3):
        blob[0, channel, :height, :width] = image[:, :, channel]
    return blob


def decode(
    cls: _FloatArray,
    obj: _FloatArray,
    bbox: _FloatArray,
    kps: _FloatArray,
    *,
    stride: int,
    columns: int,
    least: float = MIN_SCORE,
) -> tuple[_FloatArray, _FloatArray, _FloatArray]:
    """Candidates of one stride: scores [n], boxes [n, 4] (x, y, width, height), points [n, 5, 2]."""
    scores = np.sqrt(np.clip(cls[0, :, 0], 0, 1) * np.clip(obj[0, :, 0], 0, 1))
    hits = np.flatnonzero(scores >= least)
    cells = np.stack([hits % columns, hits // columns], axis=1).astype(np.float32)
    centres = (cells + bbox[0, hits, :2]) * stride
    sizes = np.exp(bbox[0, hits, 2:]) * stride
    boxes = np.concatenate([centres - sizes / 2, sizes], axis=1)
    points = (cells[:, None, :] + kps[0, hits].reshape(-1, 5, 2)) * stride
    return scores[hits], boxes, points


def suppress(scores: _FloatArray, boxes: _FloatArray) -> list[int]:
    """Greedy non-maximum suppression: indices that stay, best score first."""
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    kept: list[int] = []
    while order.size:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        order = rest[overlaps(boxes[best], boxes[rest]) <= MAX_OVERLAP]
    return kept


def overlaps(box: _FloatArray, others: _FloatArray) -> _FloatArray:
    """Intersection over union of one box [4] with others [n, 4], each x, y, width, height."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(box[2:]) + np.prod(others[:, 2:], axis=1) - common
    return np.asarray(common / np.maximum(union, np.finfo(np.float32).tiny), dtype=np.float32)
