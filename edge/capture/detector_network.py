"""YuNet as the product runs it: compiled layers from the picture's bytes to the faces that it shows.

Plans depend on the size of the picture, and the few that are in use are kept.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from llvmlite import binding

from edge.capture import detector_kernels as kernels
from edge.capture.detector_answers import ANSWERS, FOUND, read_answers
from edge.capture.detector_graph import STRIDES, Layer, Layers, UnsupportedGraph, read_layers
from edge.compute.compiling import COMPILED
from edge.compute.crew import share
from edge.compute.intrinsics import COUNTER_STEP
from edge.compute.packing import ALIGNMENT, Octets, Packed, aligned, give_memory_back
from edge.compute.vectors import LANES, Kind, bytes_of, choose_kind, tile_of
from edge.model import Image

Floats = npt.NDArray[np.float32]
SIZE_STEP = 32  # the network halves the picture five times
MOST_PLANS = 16
"""Sizes whose plans are kept: a camera has one, and its faces some more up close."""

TASKS_OF_A_THREAD = 4
"""So many at least in a large layer: who comes late or is held up leaves little that others wait for."""

LEAST_ROWS = 4
"""Of a task: two more rows are computed for each."""

FLOAT = 4
"""Bytes of a number of single precision."""


def exact_kind() -> Kind:
    """The fastest kind of this machine whose faces are onnxruntime's to a thousandth of a pixel."""
    return choose_kind(binding.get_host_cpu_features(), {Kind.SINGLE, Kind.SINGLE_WIDE})


def quick_kind() -> Kind:
    """The fastest kind of this machine: where it is a rounding one, cells that are equally sure of a face may
    be chosen in another order, and its points lie as another of them sees them."""
    return choose_kind(binding.get_host_cpu_features(), kernels.RUNS)


def warm() -> float:
    """Compile what this machine runs, so that nobody waits for it later; return the seconds that took."""
    started = time.perf_counter()
    if COMPILED:
        for kind in {exact_kind(), quick_kind()}:
            kernels.compile_run(kind)
    return time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class _Placed:
    """A layer whose weights lie at ``offsets``: pointwise, its bias, depthwise, its bias."""

    offsets: tuple[int, int, int, int]
    channels: tuple[int, int]
    tile: int


def _placed(layer: Layer, packed: Packed, kind: Kind) -> _Placed:
    channels, wide = layer.channels
    tile = min(wide, tile_of(kind))
    if {channels, wide} - {LANES, 2 * LANES, 4 * LANES}:
        raise UnsupportedGraph("a layer of another size")
    point = packed.add_tiles(layer.point, tile)
    rest = packed.add(layer.point_bias, np.ascontiguousarray(layer.depth.T), layer.depth_bias)
    return _Placed((point, *rest), (channels, wide), tile)  # type: ignore[arg-type]


class _Table:
    """Lays the layers out for one size of picture: where each reads and writes, and by how many rows."""

    def __init__(self, kind: Kind, threads: int) -> None:
        self._size, self._threads = bytes_of(kind), threads
        self._free: list[tuple[int, int]] = []
        self._taken: dict[int, int] = {}
        self.rows: list[list[int]] = []
        self.work_bytes = self.zeros_bytes = self.kept_bytes = self.line_bytes = 0

    def add(
        self,
        layer: _Placed,
        shape: tuple[int, int],
        sources: tuple[int, ...],
        *,
        of: int = kernels.PLAIN,
        to: int = kernels.KEPT,
        target: int | None = None,
    ) -> int:
        """Add a layer whose convolutions have ``shape`` (height, width), and return where it writes."""
        (height, width), (channels, wide) = shape, layer.channels
        out = (height // 2, width // 2) if to == kernels.POOLED else shape
        if target is None:
            target = self._room(out[0] * out[1] * wide * self._size)
        even = -(-out[0] // (TASKS_OF_A_THREAD * self._threads))
        rows = out[0] if self._threads == 1 else max(LEAST_ROWS, even)
        source, other = (*sources, 0)[:2]
        point, point_bias, depth, depth_bias = layer.offsets
        form = [of, source, other, target, channels, wide, height, width, to]
        self.rows.append([*form, point, point_bias, depth, depth_bias, layer.tile, rows])
        kept = (width + 2) * wide * FLOAT
        self.zeros_bytes = max(self.zeros_bytes, kept)
        self.kept_bytes = max(self.kept_bytes, kernels.KEPT_ROWS * kept)
        self.line_bytes = max(self.line_bytes, width * channels * self._size)
        return target

    def follow(self, layer: _Placed, shape: tuple[int, int], source: int, *, to: int = kernels.KEPT) -> int:
        """Add a layer that is the only one to read its source."""
        target = self.add(layer, shape, (source,), to=to)
        self.release(source)
        return target

    def places(self, width: int) -> tuple[npt.NDArray[np.int64], int]:
        """Offsets in a thread's strip for a picture of this width, and the strip's bytes."""
        line = (width + 1) * 3 * FLOAT
        parts = (max(self.zeros_bytes, line), self.kept_bytes, self.line_bytes, kernels.KEPT_ROWS * line)
        ends = np.cumsum([-(-part // ALIGNMENT) * ALIGNMENT for part in parts])
        return np.array([0, *ends[:-1]], np.int64), int(ends[-1])

    def release(self, target: int) -> None:
        """Nobody reads any longer what was written there: what is written next stays in the nearest cache."""
        self._free.append((target, self._taken.pop(target)))

    def _room(self, size: int) -> int:
        for number, (start, there) in enumerate(self._free):
            if there >= size:
                del self._free[number]
                self._taken[start] = there
                return start
        start, taken = self.work_bytes, -(-size // ALIGNMENT) * ALIGNMENT
        self._taken[start] = taken
        self.work_bytes += taken
        return start


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one size of picture takes. The arrays are those of ``kernels._run``; a strip for each thread."""

    layers: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    grids: npt.NDArray[np.int64]
    counters: npt.NDArray[np.int64]
    strips: list[Octets]
    work_bytes: int
    cells: int


class Network:
    """Opened with ``Network.open``. One search at a time; who calls meanwhile waits."""

    def __init__(self, layers: Layers, kind: Kind, threads: int) -> None:
        self._kind, self._threads = kind, threads
        packed = Packed(kind)
        colours = layers.first.transpose(2, 3, 1, 0).reshape(-1, len(layers.first))
        (self._first,) = packed.add(np.concatenate([colours, layers.first_bias[None]]))
        self._trunks = [[_placed(one, packed, kind) for one in trunk] for trunk in layers.trunks]
        self._laterals = [_placed(one, packed, kind) for one in layers.laterals]
        self._heads = [_placed(one, packed, kind) for one in layers.heads]
        self._weights = packed.joined()
        self._work = aligned(0)
        self._answers = np.zeros((0, ANSWERS), np.float32)
        self._found = np.zeros((0, FOUND), np.float32)
        self._plans: OrderedDict[tuple[int, int], _Plan] = OrderedDict()
        self._lock = threading.Lock()
        self._helpers = ThreadPoolExecutor(max(1, threads - 1), "detect")  # they begin when first needed

    @classmethod
    def open(cls, path: Path, *, threads: int, kind: Kind | None = None) -> Self:
        """Read a prepared YuNet; ``kind``: of its numbers, where not ``exact_kind``.

        Raises:
            UnsupportedGraph: the kernels cannot run it, or nothing is compiled here.
        """
        if not COMPILED:
            raise UnsupportedGraph("nothing is compiled here")
        chosen = exact_kind() if kind is None else kind
        made = cls(read_layers(path), chosen, max(1, threads))
        kernels.compile_run(chosen)  # the code is there before a person waits
        give_memory_back()
        return made

    def run(self, image: Image, least: float) -> Floats:
        """Faces that cells of the network see in ``image`` (uint8 [height, width, 3], BGR) with this score or
        more: [n, 15], score, box (x, y, width, height) and five points, in pixels; many cells see the same.

        Raises:
            ValueError: it is no such picture.
        """
        with self._lock:
            plan = self._search(image)
            count = read_answers(self._answers, plan.grids, least, self._found)
            return self._found[:count].copy()

    def answers(self, image: Image) -> Floats:
        """What the network says of each cell, [cells, 16]: class and object (before the sigmoid), box and
        points; the cells of stride 8 row by row, then those of 16 and 32."""
        with self._lock:
            plan = self._search(image)
            return self._answers[: plan.cells].copy()

    def _search(self, image: Image) -> _Plan:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError("a picture is height x width x 3, in bytes")
        image = np.ascontiguousarray(image)
        plan = self._plan_for(step_up(image.shape[0]), step_up(image.shape[1]))
        plan.counters[:] = 0
        share(self._helpers, partial(self._take_part, image, plan), plan.strips)
        return plan

    def _take_part(self, image: Image, plan: _Plan, strip: Octets) -> None:
        kernels.RUNS[self._kind](
            bytes_of(self._kind),
            (image.ctypes.data, *image.shape[:2]),
            self._weights,
            self._work,
            plan.layers,
            plan.places,
            plan.counters,
            strip,
            self._answers,
        )

    def _plan_for(self, height: int, width: int) -> _Plan:
        """The plan of pictures that are up to so large, and room for it."""
        plan = self._plans.get((height, width))
        if plan is None:
            plan = self._plans[height, width] = self._make_plan(height, width)
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end((height, width))
        if len(self._work) < plan.work_bytes:
            self._work = aligned(plan.work_bytes)
        if len(self._answers) < plan.cells:
            self._answers = np.zeros((plan.cells, ANSWERS), np.float32)
            self._found = np.zeros((plan.cells, FOUND), np.float32)
        return plan

    def _make_plan(self, height: int, width: int) -> _Plan:
        table = _Table(self._kind, self._threads)
        shapes = [(height >> level, width >> level) for level in range(6)]
        cells = [shapes[level][0] * shapes[level][1] for level in (3, 4, 5)]
        ((top,), lower, upper, middle, last) = self._trunks
        at = table.add(top, shapes[1], (0, self._first), of=kernels.PICTURE, to=kernels.POOLED)
        for number, layer in enumerate(lower):
            to = kernels.POOLED if number == len(lower) - 1 else kernels.KEPT
            at = table.follow(layer, shapes[2], at, to=to)
        skips: list[int] = []
        for layers, shape, of in (
            (upper, shapes[3], kernels.PLAIN),
            (middle, shapes[4], kernels.LARGEST),
            (last, shapes[5], kernels.LARGEST),
        ):
            before, at = at, table.add(layers[0], shape, (at,), of=of)
            if not skips:
                table.release(before)
            at = table.follow(layers[1], shape, at)
            skips.append(at)
        sources: tuple[int, ...] = (skips[2],)
        for level in (2, 1, 0):
            of = kernels.PLAIN if level == 2 else kernels.SUM
            at = table.add(self._laterals[level], shapes[3 + level], sources, of=of)
            first_cell = sum(cells[:level])
            table.add(self._heads[level], shapes[3 + level], (at,), to=kernels.HEAD, target=first_cell)
            sources = (skips[level - 1], at)
        places, strip_bytes = table.places(width)
        return _Plan(
            np.array(table.rows, np.int64),
            places,
            np.array([[*shapes[3 + level], stride] for level, stride in enumerate(STRIDES)], np.int64),
            np.zeros(len(table.rows) * 2 * COUNTER_STEP, np.int64),
            [aligned(strip_bytes) for _ in range(self._threads)],
            table.work_bytes,
            sum(cells),
        )


def step_up(size: int) -> int:
    """The next size that the network takes."""
    return -(-size // SIZE_STEP) * SIZE_STEP
