"""Quantization to int8, weights and activations, by LiteRT's quantizer, calibrated on images."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.export.litert import load_litert
from elegant_tf.images import to_float

# What computes in int8. Normalizations stay in float: they divide by a sum of squares at every place, and 8 bits do
# not hold the range of such sums.
INT8_OPS = ("CONV_2D", "CONV_2D_TRANSPOSE")

_INPUTS = {
    "swap": ("image", "exemplar", "weights"),
    "encode": ("image",),
    "edit_with_code": ("image", "code", "weights"),
}


def check_quantizer() -> None:
    """Raises UserError if the quantizer is not installed."""
    _load_quantizer()


def quantize(data: bytes, images: np.ndarray, attributes: int, float_layers: Sequence[str] = ()) -> bytes:
    """The data of a float32 file that `export_tflite` writes, with convolutions in int8; inputs and outputs stay float.

    Args:
        data: of the file.
        images: like those that the run was trained on, to calibrate with, uint8 `[C, S, S, 3]`, two or more.
        attributes: n.
        float_layers: layers, by the names in `mobile_graph`, that stay in float.

    Raises:
        UserError: the quantizer is not installed.
    """
    made = _load_quantizer()(bytearray(data))
    for op in INT8_OPS:
        made.add_static_config(".*", op, activation_num_bits=8, weight_num_bits=8)
        for layer in float_layers:
            made.update_quantization_recipe(rf"(^|[/;]){layer}/", op, algorithm_key="no_quantize")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # bars and sizes
        data_of = {name: list(_inputs(data, name, images, attributes)) for name in _INPUTS}
        return bytes(made.quantize(made.calibrate(data_of, num_threads=2)).quantized_model)


def _inputs(data: bytes, signature: str, images: np.ndarray, attributes: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of a signature: each image, with the next one as its exemplar."""
    encode = load_litert()(model_content=data, num_threads=2).get_signature_runner("encode")
    for row in range(len(images)):
        image, exemplar = (to_float(images[[index % len(images)]]) for index in (row, row + 1))
        inputs = {"image": image, "weights": np.eye(attributes, dtype=np.float32)[[row % attributes]]}
        if signature == "swap":
            inputs["exemplar"] = exemplar
        if signature == "edit_with_code":
            inputs["code"] = encode(image=exemplar)["code"]
        yield {name: inputs[name] for name in _INPUTS[signature]}


def _load_quantizer() -> Any:
    try:
        from litert_quantizer.quantizer import Quantizer
    except ImportError:
        raise UserError("int8 files need LiteRT's quantizer: pip install 'elegant-tf[tflite]'") from None
    return Quantizer
