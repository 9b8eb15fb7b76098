"""YuNet's prepared graph, read into a table of layers for the compiled kernels.

A layer is a pointwise convolution and a depthwise one behind it. A graph of any other form is refused, and
is then run by onnxruntime.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Floats = npt.NDArray[np.float32]
STRIDES = (8, 16, 32)
HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""Answers of a cell, in the order in which they are kept, and how many numbers each has."""

_FIRST_CHANNELS = 16


class UnsupportedGraph(ValueError):
    """The graph is not of the form that the kernels run."""


@dataclass(frozen=True, slots=True)
class Layer:
    """``point``: [out, in]; ``depth``: [out, 9], rows then columns; each with its bias [out]."""

    point: Floats
    point_bias: Floats
    depth: Floats
    depth_bias: Floats

    @property
    def channels(self) -> tuple[int, int]:
        """In and out."""
        return self.point.shape[1], self.point.shape[0]


@dataclass(frozen=True, slots=True)
class Layers:
    """What the graph computes.

    ``first``: [16, 3, 3, 3] on the picture, every second pixel, and its bias. ``trunks``: layers at a half of
    the picture's size, a fourth, an eighth, a sixteenth and a thirty-second; between two of them the largest
    of 2x2 is taken. ``laterals`` and ``heads``: by stride.
    """

    first: Floats
    first_bias: Floats
    trunks: tuple[tuple[Layer, ...], ...]
    laterals: tuple[Layer, ...]
    heads: tuple[Layer, ...]


def read_layers(path: Path) -> Layers:
    """Read a prepared YuNet.

    Raises:
        UnsupportedGraph: the graph has another form.
    """
    graph = onnx.load(str(path)).graph
    try:
        return _Reader(graph).read()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnsupportedGraph(str(error)) from error


class _Reader:
    """Goes from the answers back to the picture: each value is made by one node."""

    def __init__(self, graph: Any) -> None:
        self._constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._seen: set[str] = set()
        self._count = sum(node.op_type != "Constant" for node in graph.node)
        self._input = graph.input[0].name

    def read(self) -> Layers:
        heads, features = zip(*(self._head(stride) for stride in STRIDES), strict=True)
        lateral_8, sums = self._layer(features[0])
        skip_8 = self._sum(sums, features[1])
        lateral_16, sums = self._layer(features[1])
        skip_16 = self._sum(sums, features[2])
        lateral_32, name = self._layer(features[2])
        last, name = self._row(name, 2)
        self._expect(self._pooled(name) == skip_16)
        middle, name = self._row(skip_16, 2)
        self._expect(self._pooled(name) == skip_8)
        upper, name = self._row(skip_8, 2)
        lower, name = self._row(self._pooled(name), 4)
        top, name = self._layer(self._pooled(name))
        first, bias = self._first(name)
        self._expect(len(self._seen) == self._count)  # nothing is computed beside
        trunks = ((top,), lower, upper, middle, last)
        return Layers(first, bias, trunks, (lateral_8, lateral_16, lateral_32), tuple(heads))

    def _expect(self, holds: bool) -> None:
        if not holds:
            raise ValueError("layers are joined in another way")

    def _maker(self, name: str, *kinds: str) -> Any:
        node = self._makers[name]
        if node.op_type not in kinds:
            raise ValueError(f"{' or '.join(kinds)} is expected, not {node.op_type}")
        self._seen.add(node.output[0])
        return node

    def _told(self, node: Any) -> dict[str, Any]:
        return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}

    def _convolution(self, name: str, *, side: int, groups: int | None) -> tuple[Floats, Floats, str]:
        """Weights, bias and input of a plain convolution; ``groups`` None: each channel by itself."""
        node = self._maker(name, "Conv")
        told, weights = self._told(node), self._constants[node.input[1]]
        self._expect(
            weights.shape[2:] == (side, side)
            and list(told.get("pads", [0] * 4)) == [side // 2] * 4
            and list(told.get("strides", [1, 1])) == [1, 1]
            and set(told.get("dilations", [1])) == {1}
            and told.get("group", 1) == (groups or len(weights))
            and (groups is not None or weights.shape[1] == 1)
        )
        return weights.astype(np.float32), self._bias(node, len(weights)), node.input[0]

    def _bias(self, node: Any, count: int) -> Floats:
        bias = self._constants[node.input[2]].astype(np.float32)
        self._expect(bias.shape == (count,))
        return bias

    def _pair(self, name: str) -> tuple[Layer, str]:
        """A layer without what may follow it, and the name of its input."""
        depth, depth_bias, name = self._convolution(name, side=3, groups=None)
        point, point_bias, name = self._convolution(name, side=1, groups=1)
        self._expect(len(depth) == len(point))
        return Layer(point[:, :, 0, 0], point_bias, depth.reshape(-1, 9), depth_bias), name

    def _layer(self, name: str) -> tuple[Layer, str]:
        return self._pair(self._maker(name, "Relu").input[0])

    def _row(self, name: str, count: int) -> tuple[tuple[Layer, ...], str]:
        """So many layers, one after another, and the name of the first one's input."""
        found: list[Layer] = []
        for _ in range(count):
            layer, name = self._layer(name)
            found.insert(0, layer)
        return tuple(found), name

    def _pooled(self, name: str) -> str:
        node = self._maker(name, "MaxPool")
        told = self._told(node)
        self._expect(
            list(told["kernel_shape"]) == [2, 2] == list(told["strides"])
            and set(told.get("pads", [0])) == {0}
            and not told.get("ceil_mode", 0)
        )
        return str(node.input[0])

    def _sum(self, name: str, smaller: str) -> str:
        """The name of what is added to the layer ``smaller``, enlarged twice."""
        node = self._maker(name, "Add")
        (enlarged,) = [one for one in node.input if self._makers[one].op_type == "Resize"]
        (other,) = [one for one in node.input if one != enlarged]
        resize = self._maker(enlarged, "Resize")
        told = self._told(resize)
        self._expect(
            resize.input[0] == smaller
            and told["mode"] == b"nearest"
            and told["nearest_mode"] == b"floor"
            and told["coordinate_transformation_mode"] == b"asymmetric"
            and self._constants[resize.input[2]].tolist() == [1, 1, 2, 2]
        )
        return str(other)

    def _head(self, stride: int) -> tuple[Layer, str]:
        """All answers of one stride as one layer, and the name of its input."""
        pairs, sources = zip(*(self._answer(kind, stride) for kind in HEADS), strict=True)
        self._expect(len(set(sources)) == 1)
        parts = [np.concatenate([getattr(one, part) for one in pairs]) for part in Layer.__slots__]
        return Layer(*parts), sources[0]

    def _answer(self, kind: str, stride: int) -> tuple[Layer, str]:
        name = f"{kind}_{stride}"
        if kind in ("cls", "obj"):
            name = self._maker(name, "Sigmoid").input[0]
        reshape = self._maker(name, "Reshape")
        shape = self._constants[reshape.input[1]].tolist()
        self._expect(shape[1:] == [-1, HEADS[kind]])
        transpose = self._maker(reshape.input[0], "Transpose")
        self._expect(list(self._told(transpose)["perm"]) == [0, 2, 3, 1])
        pair, source = self._pair(transpose.input[0])
        self._expect(len(pair.point) == HEADS[kind])
        return pair, source

    def _first(self, name: str) -> tuple[Floats, Floats]:
        node = self._maker(self._maker(name, "Relu").input[0], "Conv")
        told, weights = self._told(node), self._constants[node.input[1]].astype(np.float32)
        self._expect(
            node.input[0] == self._input
            and weights.shape == (_FIRST_CHANNELS, 3, 3, 3)
            and list(told["strides"]) == [2, 2]
            and list(told["pads"]) == [1] * 4
            and set(told.get("dilations", [1])) == {1}
            and told.get("group", 1) == 1
        )
        return weights, self._bias(node, len(weights))
