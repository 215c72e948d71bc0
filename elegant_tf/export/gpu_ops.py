"""What LiteRT's delegate for phones' GPUs takes, and whether a TFLite file consists of it.

The list is read off `NewOperationParser` and `IsAllAllowedTensors` in `tflite/delegates/gpu/common/model_builder.cc` of
google-ai-edge/LiteRT at commit 34ec5ba. The delegate also checks the operations' options; no phone was asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from elegant_tf.errors import UserError
from elegant_tf.export.litert import op_names

MAX_DIMENSIONS = 4

GPU_OPS = frozenset({
    "ABS", "ADD", "ADD_N", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CAST", "CONCATENATION", "CONV_2D", "COS", "CUMSUM",
    "DENSIFY", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE", "DIV", "ELU", "EQUAL", "EXP", "FLOOR", "FLOOR_DIV",
    "FLOOR_MOD", "FULLY_CONNECTED", "GATHER", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH", "LEAKY_RELU", "LESS",
    "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGISTIC", "LSTM", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MIRROR_PAD",
    "MUL", "NEG", "NOT_EQUAL", "ONE_HOT", "PACK", "PAD", "PADV2", "POW", "PRELU", "QUANTIZE", "REDUCE_MAX",
    "REDUCE_MIN", "REDUCE_PROD", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT", "SELECT_V2", "SIGN", "SIN", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH",
    "SPLIT", "SPLIT_V", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE",
    "TRANSPOSE", "TRANSPOSE_CONV", "UNPACK",
})  # fmt: skip


def check_gpu_ops(model: Any, name: str) -> None:
    """Raises `UserError` if a TFLite model, a `ModelT`, has an operation that the delegate does not take.

    `name`: what the error calls the file. It names the operations and the tensors that they make.
    """
    faults = list(dict.fromkeys(_faults(model)))
    if faults:
        raise UserError(f"{name}: would not run on a phone's GPU: {'; '.join(faults[:3])}")


def _faults(model: Any) -> Iterator[str]:
    names = op_names(model)
    for graph in model.subgraphs:
        for operator in graph.operators:
            op = names[operator.opcodeIndex]
            made = graph.tensors[operator.outputs[0]].name.decode()
            if op not in GPU_OPS:
                yield f"LiteRT's GPU delegate has no {op}, which makes {made}"
            for index in (*operator.inputs, *operator.outputs):
                if index >= 0 and len(_shape(graph.tensors[index])) > MAX_DIMENSIONS:
                    yield f"{op}, which makes {made}, has a tensor of {len(_shape(graph.tensors[index]))} dimensions"


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(tensor.shape)
