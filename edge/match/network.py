"""SFace as the product runs it: its prepared graph read into a table of layers for the compiled kernels.

Batch normalisation is folded into the convolutions before it, what stands before the last layer into its
matrix. A graph of any other form is refused, and is then run by onnxruntime.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from llvmlite import binding
from onnx import numpy_helper

from edge.compute.compiling import COMPILED
from edge.compute.crew import share
from edge.compute.intrinsics import COUNTER_STEP
from edge.compute.packing import ALIGNMENT, Floats, Octets, Packed, aligned, give_memory_back, to_shorts
from edge.compute.vectors import Kind, choose_kind
from edge.match import network_kernels as kernels
from edge.match.network_ir import CHANNEL_STEP, FIRST_CHANNELS, LARGEST_SHORT, OUTPUTS, PIXELS
from edge.model import Image

SIDE = kernels.SIDE
STRIP_BYTES = 64 * 1024
"""Of depthwise results, as they are multiplied, that wait for their pointwise convolution: they stay in the
second cache."""

LAST_TASKS = 14
"""Of the last layer. Its matrix, two thirds of all weights, is kept in whole numbers of 8 bits, as the
published file has it; each task and each output has a scale. That costs less than 0.00002 of the cosine."""


class UnsupportedGraph(ValueError):
    """The graph is not of the form that the kernels run."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """``weights``: [out, in / groups, rows, columns], with normalisation folded in. ``slope``: of PRelu."""

    weights: Floats
    bias: Floats
    slope: Floats
    stride: int


@dataclass(frozen=True, slots=True)
class Layers:
    """What the graph computes: first convolution, pairs of depthwise and pointwise ones, and a matrix.

    ``matrix``: [128, channels, rows, columns]. The input is (pixel - ``mean``) * ``scale``, RGB.
    """

    mean: float
    scale: float
    first: Convolution
    blocks: tuple[tuple[Convolution, Convolution], ...]
    matrix: Floats
    bias: Floats


def machine_kind() -> Kind:
    """The fastest kind of this machine."""
    return choose_kind(binding.get_host_cpu_features())


def warm() -> float:
    """Compile what this machine runs, so that nobody waits for it later; return the seconds that took."""
    started = time.perf_counter()
    if COMPILED:
        kernels.compile_run(machine_kind())
    return time.perf_counter() - started


def read_layers(path: Path) -> Layers:
    """Read a prepared SFace.

    Raises:
        UnsupportedGraph: the graph has another form.
    """
    graph = onnx.load(str(path)).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    try:
        return _Reader(_chain(graph), constants).read()
    except (IndexError, KeyError, ValueError) as error:
        raise UnsupportedGraph(str(error)) from error


def _chain(graph: Any) -> list[Any]:
    """The nodes, each of which takes what the one before gives; those that change nothing are left out."""
    nodes, now = [], graph.input[0].name
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        if node.input[0] != now:
            raise ValueError("the layers do not follow one another")
        now = node.output[0]
        if node.op_type not in ("Dropout", "Flatten"):
            nodes.append(node)
    if [item.name for item in graph.output] != [now]:
        raise ValueError("the last layer is not the answer")
    return nodes


class _Reader:
    def __init__(self, nodes: Sequence[Any], constants: dict[str, npt.NDArray[Any]]) -> None:
        self._nodes = list(nodes)
        self._constants = constants
        self._at = 0

    def read(self) -> Layers:
        mean, scale = (float(self._values("Sub")[0].item()), float(self._values("Mul")[0].item()))
        first = self._convolution()
        blocks = []
        while self._peek() == "Conv":
            blocks.append((self._convolution(), self._convolution()))
        factor, shift = self._normalisation()
        matrix, bias = self._values("Gemm")
        factor_out, shift_out = self._normalisation()
        if self._at != len(self._nodes):
            raise ValueError("something follows the last layer")
        channels = len(factor)
        cells = matrix.reshape(OUTPUTS, channels, -1)
        side = round(cells.shape[2] ** 0.5)
        bias = bias + cells.sum(axis=2, dtype=np.float64) @ shift
        cells = cells * factor.astype(np.float32)[None, :, None]
        cells *= factor_out.astype(np.float32)[:, None, None]
        return Layers(
            mean,
            scale,
            first,
            tuple(blocks),
            cells.reshape(OUTPUTS, channels, side, side),
            (bias * factor_out + shift_out).astype(np.float32),
        )

    def _peek(self) -> str:
        return str(self._nodes[self._at].op_type)

    def _next(self, kind: str) -> Any:
        node = self._nodes[self._at]
        if node.op_type != kind:
            raise ValueError(f"{kind} is expected, not {node.op_type}")
        self._at += 1
        return node

    def _values(self, kind: str) -> list[npt.NDArray[Any]]:
        return [self._constants[name] for name in self._next(kind).input if name in self._constants]

    def _normalisation(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        node = self._next("BatchNormalization")
        scale, shift, mean, variance = (self._constants[name].astype(np.float64) for name in node.input[1:5])
        epsilon = {item.name: item.f for item in node.attribute}.get("epsilon", 1e-5)
        factor = scale / np.sqrt(variance + epsilon)
        return factor, shift - mean * factor

    def _convolution(self) -> Convolution:
        node = self._next("Conv")
        told = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        weights = self._constants[node.input[1]].astype(np.float64)
        strides, pads, side = told.get("strides", [1, 1]), told.get("pads", [0] * 4), weights.shape[2]
        factor, shift = self._normalisation()
        bias = self._constants[node.input[2]].astype(np.float64) if len(node.input) > 2 else 0.0
        (slope,) = self._values("PRelu")
        groups = int(told.get("group", 1))
        plain = (
            weights.shape[2] == weights.shape[3] == (1 if side == 1 else 3)
            and strides[0] == strides[1]
            and list(pads) == [side // 2] * 4
            and set(told.get("dilations", [1])) == {1}
            and groups in (1, len(weights))
            and slope.size == len(weights)
        )
        if not plain:
            raise ValueError("a convolution of another form")
        return Convolution(
            (weights * factor[:, None, None, None]).astype(np.float32),
            (bias * factor + shift).astype(np.float32),
            slope.reshape(-1).astype(np.float32),
            int(strides[0]),
        )


class Network:
    """Opened with ``Network.open``. One run at a time; who calls meanwhile waits."""

    def __init__(self, layers: Layers, kind: Kind, threads: int) -> None:
        self._kind = kind
        self._sizes = kernels.tile_sizes(kind)
        self._bias = layers.bias
        pixels = ((np.arange(256, dtype=np.float64) - layers.mean) * layers.scale).astype(np.float32)
        self._pixels = pixels
        packed = Packed(kind)
        packed.add(_first_weights(layers.first), layers.first.bias, layers.first.slope)
        self._plan, work, strip, source = _plan_of(layers, packed, kind)
        octets, scales = _product_weights(layers.matrix)
        matrix, (scaled,) = packed.add_octets(octets), packed.add(scales)
        self._last = np.array([source, matrix, scaled, octets.shape[0] // LAST_TASKS], np.int64)
        self._weights = packed.joined()
        self._work = aligned(work)
        self._strips = [aligned(strip) for _ in range(threads)]
        self._sums = np.zeros((LAST_TASKS, OUTPUTS), np.float32)
        self._counters = np.zeros((2 + len(self._plan)) * 2 * COUNTER_STEP, np.int64)
        self._picture = np.zeros((kernels.PADDED, kernels.PADDED, 3), np.float32)
        self._lock = threading.Lock()
        self._helpers = ThreadPoolExecutor(max(1, threads - 1), "embed")  # threads begin when first needed

    @classmethod
    def open(cls, path: Path, *, threads: int, kind: Kind | None = None) -> Self:
        """Read a prepared SFace.

        Raises:
            UnsupportedGraph: the kernels cannot run it, or nothing is compiled here.
        """
        if not COMPILED:
            raise UnsupportedGraph("nothing is compiled here")
        chosen = machine_kind() if kind is None else kind
        with ThreadPoolExecutor(1) as beside:  # the code is there before a person waits, and meanwhile
            compiled = beside.submit(kernels.compile_run, chosen)
            made = cls(read_layers(path), chosen, max(1, threads))
            compiled.result()
        give_memory_back()
        return made

    def run(self, aligned: Image) -> Floats:
        """The 128 numbers of one face, uint8 [112, 112, 3], BGR; not yet of unit length."""
        with self._lock:
            self._picture[1:-1, 1:-1] = cv2.LUT(aligned, self._pixels)
            self._counters[:] = 0
            share(self._helpers, self._take_part, self._strips)
            return np.asarray(self._sums.sum(axis=0) + self._bias, np.float32)

    def _take_part(self, strip: Octets) -> None:
        kernels.RUNS[self._kind](
            self._sizes,
            self._picture,
            self._weights,
            self._work,
            self._plan,
            self._counters,
            strip,
            self._last,
            self._sums,
        )


def _first_weights(first: Convolution) -> Floats:
    """[27, 32]: rows, columns, colours; the picture's are BGR, the network's RGB."""
    if first.weights.shape != (FIRST_CHANNELS, 3, 3, 3) or first.stride != 1:
        raise UnsupportedGraph("another first layer")
    return np.ascontiguousarray(first.weights[:, ::-1].transpose(2, 3, 1, 0).reshape(27, FIRST_CHANNELS))


def _product_weights(matrix: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """[128, channels, rows, columns] for an input whose pixels have their channels together: int8
    [cells, 128], and what each task multiplies its outputs by, [tasks, 128]."""
    if matrix[0].size % LAST_TASKS:
        raise UnsupportedGraph("a last layer of another size")
    parts = matrix.transpose(2, 3, 1, 0).reshape(LAST_TASKS, -1, OUTPUTS)
    scales = np.maximum(np.abs(parts).max(axis=1), np.finfo(np.float32).tiny) / np.float32(127)
    octets = np.rint(parts / scales[:, None]).astype(np.int8)
    return octets.reshape(-1, OUTPUTS), scales


def _plan_of(layers: Layers, packed: Packed, kind: Kind) -> tuple[npt.NDArray[np.int64], int, int, int]:
    """The table of blocks, bytes of workspace and strip, and where the last block's output stands."""
    size, tile, factor = kernels.tile_sizes(kind)
    space = _Space(size)
    side, channels = kernels.SIDE, FIRST_CHANNELS
    source = space.padded(side, channels)
    rows = np.zeros((len(layers.blocks), kernels.COLUMNS), np.int64)
    strip = 0
    for number, (depth, point) in enumerate(layers.blocks):
        row, last = rows[number], number == len(layers.blocks) - 1
        wide = len(point.weights)
        out = side // depth.stride
        if depth.weights.shape != (channels, 1, 3, 3) or point.weights.shape != (wide, channels, 1, 1):
            raise UnsupportedGraph("a block of another form")
        if (
            out % PIXELS
            or channels % CHANNEL_STEP
            or wide % tile
            or depth.stride not in (1, 2)
            or point.stride != 1
        ):
            raise UnsupportedGraph("a block of another size")
        target = space.plain(out, wide) if last else space.padded(out, wide)
        row[kernels.SOURCE], row[kernels.TARGET] = source, target
        row[kernels.WIDTH_IN], row[kernels.CHANNELS_IN], row[kernels.STRIDE] = (
            side + 2,
            channels,
            depth.stride,
        )
        row[kernels.SIZE_OUT], row[kernels.CHANNELS_OUT] = out, wide
        spread = depth.weights.reshape(channels, 9).T
        row[kernels.DEPTH_WEIGHTS : kernels.DEPTH_SLOPE + 1] = packed.add(spread, depth.bias, depth.slope)
        matrix = point.weights.reshape(wide, channels)
        if kind is Kind.SHORT:
            shorts, scales = to_shorts(matrix, LARGEST_SHORT)
            row[kernels.POINT_WEIGHTS] = packed.add_short_tiles(shorts, tile)
            (row[kernels.POINT_SCALE],) = packed.add(scales)
        else:
            row[kernels.POINT_WEIGHTS] = packed.add_tiles(matrix, tile)
        row[kernels.POINT_BIAS], row[kernels.POINT_SLOPE] = packed.add(point.bias, point.slope)
        fitting = max(1, STRIP_BYTES // (out * channels * factor))
        row[kernels.ROWS], row[kernels.SPLITS] = (out, 2) if out == PIXELS else (_even_rows(out, fitting), 1)
        row[kernels.PADDING] = 0 if last else 1
        strip = max(strip, kernels.strip_bytes(kind, int(row[kernels.ROWS]), out, channels))
        source, side, channels = target, out, wide
    if layers.matrix.shape != (OUTPUTS, channels, side, side):
        raise UnsupportedGraph("a last layer of another size")
    return rows, space.bytes, strip, source


def _even_rows(out: int, fitting: int) -> int:
    """Rows of a task: so that there are two tasks or more, all of the same size where that can be."""
    wanted = min(fitting, out // 2)
    return max(rows for rows in range(1, wanted + 1) if out % rows == 0 and out // rows % 2 == 0)


class _Space:
    """Places in the workspace. Layers of one form take turns in two of them; borders stay zero."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[tuple[int, int, int], list[int]] = {}
        self.bytes = 0

    def padded(self, side: int, channels: int) -> int:
        return self._place(side, channels, 2)

    def plain(self, side: int, channels: int) -> int:
        return self._place(side, channels, 0)

    def _place(self, side: int, channels: int, border: int) -> int:
        places = self._known.setdefault((side, channels, border), [])
        if len(places) == 2:
            places.reverse()
            return places[1]
        places.append(self.bytes)
        taken = (side + border) ** 2 * channels * self._size
        self.bytes += -(-taken // ALIGNMENT) * ALIGNMENT
        return places[-1]
