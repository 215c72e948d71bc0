from __future__ import annotations

import pytest
import tensorflow as tf
import tiny

from elegant_tf.errors import UserError
from elegant_tf.export import mobile_graph
from elegant_tf.export.gpu_ops import check_gpu_ops
from elegant_tf.export.litert import parse_model
from elegant_tf.training.build import make_learner

pytest.importorskip("ai_edge_litert")

IMAGE = tf.TensorSpec([1, 32, 32, 3])


def convert(function, *specs):
    """A function as a TFLite model."""
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    return parse_model(converter.convert())


def test_the_keras_model_is_refused_naming_operations_and_layers():
    """As the files of version 0.2.0 had it: exemplars in five dimensions, and mirror images."""
    generator = make_learner(tiny.config(flip_tta=True)).generator

    def edit(image, exemplar, weights):
        return generator(image, exemplar[:, None], weights[:, None])

    model = convert(edit, IMAGE, IMAGE, tf.TensorSpec([1, 2]))
    with pytest.raises(UserError, match=r"^a.tflite: would not run on a phone's GPU: ") as caught:
        check_gpu_ops(model, "a.tflite")
    assert "LiteRT's GPU delegate has no REVERSE_V2, which makes " in str(caught.value)
    generator.flip_tta = False
    with pytest.raises(UserError, match=r"has a tensor of 5 dimensions"):
        check_gpu_ops(convert(edit, IMAGE, IMAGE, tf.TensorSpec([1, 2])), "a.tflite")


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (lambda x: tf.math.l2_normalize(x, axis=-1), "L2_NORMALIZATION"),
        (lambda x: tf.broadcast_to(x[:, :1], [1, 32, 32, 3]), "BROADCAST_TO"),
        (lambda x: tf.reverse(x, [2]), "REVERSE_V2"),
    ],
)
def test_operations_without_a_kernel_are_refused(function, op):
    with pytest.raises(UserError, match=op):
        check_gpu_ops(convert(function, IMAGE), "a.tflite")


def test_a_mask_has_kernels():
    generator = make_learner(tiny.config(mask=True)).generator

    def swap(image, exemplar, coefficients):
        return mobile_graph.swap(generator, image, exemplar, coefficients)

    check_gpu_ops(convert(swap, IMAGE, IMAGE, tf.TensorSpec([1, 2])), "a.tflite")


def test_operations_with_a_kernel_pass():
    check_gpu_ops(convert(lambda x: tf.nn.leaky_relu(tf.nn.avg_pool2d(x, 2, 2, "VALID")) + 1.0, IMAGE), "a.tflite")
