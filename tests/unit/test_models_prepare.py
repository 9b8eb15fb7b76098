from __future__ import annotations

import hashlib

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.models.manifest import load_manifest
from edge.models.prepare import (
    IR_VERSION,
    Preparation,
    UnsupportedModel,
    dequantize_blockwise,
    prepare,
)
from edge.models.store import ModelStore


def quantized_model() -> bytes:
    """x [1, 4] times a block-quantised, reshaped weight [4, 2] that is also declared as an input."""
    weight = np.arange(-4, 4, dtype=np.int8).reshape(2, 4)
    initializers = [
        numpy_helper.from_array(weight, "w_q"),
        numpy_helper.from_array(np.array([[0.5, 2.0], [1.0, 0.25]], np.float32), "w_scale"),
        numpy_helper.from_array(np.zeros((2, 2), np.int8), "w_zero"),
        numpy_helper.from_array(np.array([4, 2], np.int64), "w_shape"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "w_scale", "w_zero"], ["w_f"], axis=1, block_size=2),
        helper.make_node("Reshape", ["w_f", "w_shape"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=6)
    return model.SerializeToString()


def test_folding_keeps_what_the_graph_computes_and_frees_the_batch() -> None:
    prepared = prepare(quantized_model(), Preparation.DYNAMIC_BATCH)
    session = ort.InferenceSession(prepared, providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_inputs()] == ["x"]
    x = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32)
    (y,) = session.run(None, {"x": x})
    np.testing.assert_array_equal(y, [[-2.0, -1.5], [-4.0, -2.0], [0.0, 1.0]])


def test_the_prepared_graph_is_small_and_of_a_readable_version() -> None:
    model = onnx.load_model_from_string(prepare(quantized_model(), Preparation.DYNAMIC_BATCH))
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert [item.name for item in model.graph.initializer] == ["w"]
    assert model.ir_version == IR_VERSION


def test_preparing_twice_gives_the_same_bytes() -> None:
    source = quantized_model()
    assert prepare(source, Preparation.DYNAMIC_BATCH) == prepare(source, Preparation.DYNAMIC_BATCH)


def test_no_preparation_leaves_the_bytes_alone() -> None:
    assert prepare(b"anything", Preparation.NONE) == b"anything"


@pytest.mark.parametrize("source", [b"", b"not a model", b"\xff" * 64])
def test_what_is_not_a_model_is_refused(source: bytes) -> None:
    with pytest.raises(UnsupportedModel):
        prepare(source, Preparation.DYNAMIC_BATCH)


def test_scales_count_per_tensor_per_axis_or_in_blocks() -> None:
    values = np.array([[2, 4, 6], [8, 10, 12]], np.int8)
    one = np.array([0.5], np.float32)
    np.testing.assert_array_equal(dequantize_blockwise(values, one, None, 1, 3), values * 0.5)
    rows = np.array([1.0, 10.0], np.float32)
    np.testing.assert_array_equal(
        dequantize_blockwise(values, rows, np.array([2, 0], np.int8), 0, 0), [[0, 2, 4], [80, 100, 120]]
    )
    blocks = np.array([[1.0, 10.0], [2.0, 0.5]], np.float32)  # the last block is one wide
    np.testing.assert_array_equal(dequantize_blockwise(values, blocks, None, 1, 2), [[2, 4, 60], [16, 20, 6]])


def test_the_default_models_prepare_to_the_pinned_bytes(model_store: ModelStore) -> None:
    for entry in load_manifest():
        if entry.default:
            published = model_store.path(entry.name).parent.parent / "published" / entry.file
            prepared = prepare(published.read_bytes(), entry.preparation)
            assert hashlib.sha256(prepared).hexdigest() == entry.prepared_sha256
