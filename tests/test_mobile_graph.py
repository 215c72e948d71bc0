from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.export import mobile_graph
from elegant_tf.training.build import make_learner


@pytest.fixture(scope="module", params=[False, True], ids=["", "mask"])
def generator(request):
    generator = make_learner(tiny.config(width=4, mask=request.param)).generator
    random = np.random.default_rng(0)
    for variable in generator.weights:
        variable.assign(random.normal(0, 0.3, variable.shape))
    return generator


def inputs(scale=1.0, seed=0):
    random = np.random.default_rng(seed)
    image, exemplar = (tf.constant(random.uniform(-1, 1, (1, 32, 32, 3)) * scale, tf.float32) for _ in range(2))
    return image, exemplar, tf.constant([[1.0, 0.5]])


@pytest.mark.parametrize("scale", [1.0, 0.01, 0.0])
def test_it_is_the_generator(generator, scale):
    image, exemplar, weights = inputs(scale)
    expected = generator(image, exemplar[:, None], weights[:, None])
    np.testing.assert_allclose(mobile_graph.swap(generator, image, exemplar, weights), expected, atol=1e-4)
    code, skips = mobile_graph.encode(generator, image)
    expected_code, expected_skips = generator.encode(image)
    np.testing.assert_allclose(code, expected_code, atol=1e-4)
    assert [skip.shape for skip in skips] == [skip.shape for skip in expected_skips]


def test_it_has_at_most_four_dimensions(generator):
    swap = tf.function(lambda *arguments: mobile_graph.swap(generator, *arguments), autograph=False)
    graph = swap.get_concrete_function(*inputs()).graph
    assert max(len(output.shape) for op in graph.get_operations() for output in op.outputs) == 4


@pytest.mark.parametrize("size", [1e-3, 1.0, 3e3])
def test_the_normalization_neither_over_nor_underflows_in_float16(generator, size):
    """Squares of 3,000 are beyond float16, and so are those of 0.001, below it; norms of both are not."""
    layer = generator.encoder.normalizations[0]
    x = np.random.default_rng(0).normal(0, size, (1, 2, 2, 512))
    found = mobile_graph.normalize(tf.constant(x, tf.float16), layer).numpy()
    expected = x / np.linalg.norm(x, axis=-1, keepdims=True) * layer.alpha.numpy() + layer.beta.numpy()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=5e-3)
