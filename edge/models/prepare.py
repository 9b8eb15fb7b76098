"""Rewrites a published ONNX file so that onnxruntime runs it well; deterministic, so its result is pinned.

Block-quantised weights (``DequantizeLinear``, maybe followed by ``Reshape``) become float32 initialisers,
weights stop being graph inputs, and the batch (for a detector also height and width) becomes free.
Values do not change: a folded weight is what the node would have computed in float32.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

IR_VERSION = 10  # the newest that every supported onnxruntime reads

_Constants = dict[str, npt.NDArray[np.generic]]


class Preparation(StrEnum):
    """What is free in the prepared graph."""

    NONE = "none"  # used as published
    DYNAMIC_BATCH = "dynamic-batch"
    FULLY_CONVOLUTIONAL = "fully-convolutional"  # batch, height and width


class UnsupportedModel(ValueError):
    """The file is not an ONNX graph of the kind that can be prepared."""


def prepare(source: bytes, preparation: Preparation) -> bytes:
    """Return the prepared model for a published one, byte for byte the same every time.

    Raises:
        UnsupportedModel: not ONNX, or a graph that the steps do not fit.
    """
    if preparation is Preparation.NONE:
        return source
    try:
        model = onnx.load_model_from_string(source)
    except Exception as error:  # the protobuf runtimes raise different classes
        raise UnsupportedModel("not an ONNX file") from error
    _fold_constants(model.graph)
    _keep_real_inputs(model.graph)
    _free_dimensions(model.graph, preparation)
    del model.graph.value_info[:]  # shapes inferred for the old, fixed size
    model.ir_version = IR_VERSION
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise UnsupportedModel(str(error)) from error
    return bytes(model.SerializeToString(deterministic=True))


def dequantize_blockwise(
    quantized: npt.NDArray[np.generic],
    scales: npt.NDArray[np.generic],
    zero_points: npt.NDArray[np.generic] | None,
    axis: int,
    block_size: int,
) -> npt.NDArray[np.float32]:
    """ONNX DequantizeLinear (opset 21) as float32: per tensor, per axis, or in blocks along ``axis``.

    A scalar scale counts for the whole tensor whatever ``block_size`` says.
    """
    values = quantized.astype(np.float32)
    scale, zero = (
        _spread(factor, quantized.shape, axis, block_size)
        for factor in (scales, np.zeros_like(scales) if zero_points is None else zero_points)
    )
    return np.asarray((values - zero) * scale, dtype=np.float32)


def _spread(
    factor: npt.NDArray[np.generic], shape: tuple[int, ...], axis: int, block_size: int
) -> npt.NDArray[np.float32]:
    """Bring a scale or zero point to a shape that broadcasts against the tensor."""
    values = factor.astype(np.float32)
    if values.size == 1:
        return values.reshape(())
    if block_size:
        spread = np.repeat(values, block_size, axis=axis)
        return spread.take(range(shape[axis]), axis=axis)  # the last block may be short
    along = [1] * len(shape)
    along[axis] = -1
    return values.reshape(along)


def _fold_constants(graph: onnx.GraphProto) -> None:
    constants: _Constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        folded = _folded_value(node, constants)
        if folded is None:
            kept.append(node)
        else:
            constants[node.output[0]] = folded
    used = {name for node in kept for name in node.input}
    del graph.node[:]
    graph.node.extend(kept)
    del graph.initializer[:]
    graph.initializer.extend(_tensor(name, constants[name]) for name in sorted(used & constants.keys()))


def _folded_value(node: onnx.NodeProto, constants: _Constants) -> npt.NDArray[np.generic] | None:
    """The value of a node whose inputs are all known, for the two kinds that carry weights."""
    if not all(name in constants for name in node.input if name):
        return None
    inputs = [constants[name] for name in node.input if name]
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    if node.op_type == "DequantizeLinear":
        zero_points = inputs[2] if len(inputs) > 2 else None
        return dequantize_blockwise(
            inputs[0],
            inputs[1],
            zero_points,
            axis=int(attributes.get("axis", 1)),
            block_size=int(attributes.get("block_size", 0)),
        )
    if node.op_type == "Reshape":
        return inputs[0].reshape([int(size) for size in inputs[1]])
    return None


def _tensor(name: str, value: npt.NDArray[np.generic]) -> onnx.TensorProto:
    """As ``numpy_helper.from_array``, with the byte order and layout fixed, for a stable digest."""
    little = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"))
    tensor = onnx.TensorProto(name=name, dims=value.shape, raw_data=little.tobytes())
    tensor.data_type = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    return tensor


def _keep_real_inputs(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    constants = {item.name for item in graph.initializer}
    kept = [item for item in graph.input if item.name in used and item.name not in constants]
    if len(kept) != 1:
        raise UnsupportedModel(f"expected one input, found {len(kept)}")
    del graph.input[:]
    graph.input.extend(kept)


def _free_dimensions(graph: onnx.GraphProto, preparation: Preparation) -> None:
    names = ["batch", "channels", "height", "width"]
    free = (0, 2, 3) if preparation is Preparation.FULLY_CONVOLUTIONAL else (0,)
    for position in free:
        graph.input[0].type.tensor_type.shape.dim[position].dim_param = names[position]
    for output in graph.output:
        dims = output.type.tensor_type.shape.dim
        dims[0].dim_param = "batch"
        if preparation is Preparation.FULLY_CONVOLUTIONAL:
            dims[1].dim_param = f"cells_{output.name}"
    _free_reshapes(graph)


def _free_reshapes(graph: onnx.GraphProto) -> None:
    """Reshapes of activations name batch 1: 0 takes the dimension over from the input instead."""
    constants = {item.name: item for item in graph.initializer}
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for name in sorted(targets & constants.keys()):
        shape = numpy_helper.to_array(constants[name]).copy()
        if shape.size and shape[0] == 1:
            shape[0] = 0
            constants[name].CopyFrom(_tensor(name, shape))
