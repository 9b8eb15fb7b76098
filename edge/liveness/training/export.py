"""From trained weights to the file that the appliance runs, and back to a judge of crops."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from edge.liveness.crops import SIDE
from edge.liveness.minifasnet import open_network
from edge.liveness.training.figures import Scores
from edge.liveness.training.network import TextureNetwork

OPSET, IR_VERSION = 17, 10
LIMIT = 2_000_000  # bytes
BATCH = 64


class _Judge(nn.Module):
    def __init__(self, network: TextureNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, near: Tensor, far: Tensor) -> Tensor:
        return self.network.judge(near, far)


def to_onnx(network: TextureNetwork) -> bytes:
    """float32, inputs "near" and "far" [n, 3, 80, 80] in 0..255 BGR, output "live" [n] in 0..1.

    Raises:
        ValueError: larger than LIMIT.
    """
    judge = _Judge(network).eval().to(memory_format=torch.contiguous_format)
    crops = torch.zeros(1, 3, SIDE, SIDE)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the other exporter needs a further package
        torch.onnx.export(
            judge,
            (crops, crops),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=["near", "far"],
            output_names=["live"],
            dynamic_axes={"near": {0: "n"}, "far": {0: "n"}, "live": {0: "n"}},
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "verifield", ""  # the same bytes from another release
    onnx.checker.check_model(model)
    data = bytes(model.SerializeToString(deterministic=True))
    if len(data) > LIMIT:
        raise ValueError(f"the network has {len(data)} bytes, more than {LIMIT}")
    return data


class OnnxJudge:
    """Runs the exported file on crops."""

    def __init__(self, data: bytes) -> None:
        self._session = open_network(data, name="texture", threads=1)

    def __call__(self, crops: npt.NDArray[np.uint8]) -> Scores:
        """uint8 [n, 2, 80, 80, 3], BGR, to 0..1 [n]."""
        parts = []
        for start in range(0, len(crops), BATCH):
            blob = crops[start : start + BATCH].transpose(1, 0, 4, 2, 3).astype(np.float32)
            near, far = (np.ascontiguousarray(side) for side in blob)
            parts.append(self._session.run(["live"], {"near": near, "far": far})[0])
        return np.concatenate(parts).astype(np.float32)


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
