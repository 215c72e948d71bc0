"""Requests that TF Serving runs before it answers others, so that no client waits for the first ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from elegant_tf.errors import UserError
from elegant_tf.images import to_float

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
_STEPS = 2


def warmup_inputs(size: int, attributes: int, code_shape: Sequence[int]) -> dict[str, dict[str, tf.Tensor]]:
    """Inputs of one request for every signature: images of side `size`, codes `[h, w, C]` of `code_shape`."""
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    images = np.stack([np.broadcast_to(ramp[:, None, None], (size, size, 3)), np.full((size, size, 3), 128, np.uint8)])
    image, exemplar = (tf.io.encode_jpeg(one)[None] for one in images)
    pixels = tf.constant(to_float(images))
    weights = tf.one_hot([0], attributes)
    code = tf.zeros([1, *code_shape])
    return {
        "serving_default": {"image": image, "exemplar": exemplar, "weights": weights},
        "edit": {"images": pixels[:1], "exemplars": pixels[None, 1:], "weights": weights[None]},
        "encode": {"image": exemplar},
        "edit_with_code": {"image": image, "code": code, "weights": weights},
        "edit_with_codes": {"image": image, "codes": code[:, None], "weights": weights[:, None]},
        "interpolate": {"image": image, "exemplar": exemplar, "weights": weights, "steps": tf.constant([_STEPS])},
        "metadata": {"id": tf.constant([0])},
    }


def write_warmup(path: Path, inputs: Mapping[str, Mapping[str, tf.Tensor]]) -> None:
    """Writes requests into a SavedModel's directory, where TF Serving looks for them.

    Raises:
        UserError: tensorflow-serving-api is not installed.
    """
    logs = list(_logs(inputs))
    (path / WARMUP_FILE).parent.mkdir()
    with tf.io.TFRecordWriter(str(path / WARMUP_FILE)) as writer:
        for log in logs:
            writer.write(log)


def _logs(inputs: Mapping[str, Mapping[str, tf.Tensor]]) -> Iterator[bytes]:
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        raise UserError(
            "--warmup needs tensorflow-serving-api: pip install 'elegant-tf[serving]', or export without --warmup"
        ) from None
    for signature, tensors in inputs.items():
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "elegant"
        request.model_spec.signature_name = signature
        for name, tensor in tensors.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(tensor.numpy()))
        log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
        yield log.SerializeToString()
