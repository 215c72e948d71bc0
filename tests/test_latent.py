from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_tf.model.latent import block_bounds, exchange, spread

few = settings(max_examples=30)
shapes = st.tuples(st.integers(1, 4), st.integers(4, 24), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**16))


def draw(shape):
    """Codes `[2, 3, 1, C]`, exemplars of K, weights, and the borders, from a hypothesis shape."""
    attributes, channels, exemplars, batch, seed = shape
    random = np.random.default_rng(seed)
    code = random.normal(size=(batch, 3, 1, channels))
    others = random.normal(size=(batch, exemplars, 3, 1, channels))
    weights = random.normal(size=(batch, exemplars, attributes))
    return code, others, weights, block_bounds(channels, attributes)


@pytest.mark.parametrize(
    ("channels", "attributes", "bounds"),
    [
        (512, 1, [0, 512]),
        (512, 2, [0, 256, 512]),
        (512, 3, [0, 171, 341, 512]),
        (512, 5, [0, 102, 205, 307, 410, 512]),
        (5, 2, [0, 2, 5]),  # 2.5 goes to the even 2
        (7, 2, [0, 4, 7]),  # 3.5 goes to the even 4
        (4, 4, [0, 1, 2, 3, 4]),
    ],
)
def test_bounds_are_rounded_half_to_even(channels, attributes, bounds):
    assert block_bounds(channels, attributes).tolist() == bounds


@given(st.integers(1, 40), st.integers(0, 500))
def test_blocks_cover_all_channels_and_are_about_equal(attributes, more):
    channels = attributes + more
    sizes = np.diff(block_bounds(channels, attributes))
    assert sizes.sum() == channels
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 2


@few
@given(shapes)
def test_spread_repeats_over_blocks(shape):
    _, _, weights, bounds = draw(shape)
    channel_weights = spread(tf.constant(weights), bounds[-1]).numpy()
    for index in range(weights.shape[-1]):
        block = channel_weights[..., bounds[index] : bounds[index + 1]]
        np.testing.assert_array_equal(block, np.broadcast_to(weights[..., index : index + 1], block.shape))


@few
@given(shapes)
def test_weight_zero_keeps(shape):
    code, others, weights, _ = draw(shape)
    np.testing.assert_array_equal(exchange(code, others, np.zeros_like(weights)), code)


@few
@given(shapes)
def test_weight_one_takes_the_block_and_leaves_the_rest(shape):
    code, others, weights, bounds = draw(shape)
    for index in range(weights.shape[-1]):
        one = np.zeros_like(weights)
        one[:, 0, index] = 1
        edited = exchange(code, others, one).numpy()
        block = np.zeros(code.shape[-1], bool)
        block[bounds[index] : bounds[index + 1]] = True
        np.testing.assert_allclose(edited[..., block], others[:, 0][..., block], atol=1e-12)
        np.testing.assert_array_equal(edited[..., ~block], code[..., ~block])


@few
@given(shapes)
def test_all_weights_one_give_the_exemplar(shape):
    code, others, weights, _ = draw(shape)
    np.testing.assert_allclose(exchange(code, others[:, :1], np.ones_like(weights[:, :1])), others[:, 0], atol=1e-12)


@few
@given(shapes, st.floats(-3, 3))
def test_weights_between_and_beyond_move_along_a_line(shape, strength):
    code, others, weights, _ = draw(shape)
    whole = exchange(code, others, weights).numpy() - code
    part = exchange(code, others, strength * weights).numpy() - code
    np.testing.assert_allclose(part, strength * whole, atol=1e-10)


@few
@given(shapes)
def test_exemplars_add_up_and_their_order_does_not_matter(shape):
    code, others, weights, _ = draw(shape)
    together = exchange(code, others, weights).numpy() - code
    each = [exchange(code, others[:, k : k + 1], weights[:, k : k + 1]).numpy() - code for k in range(others.shape[1])]
    np.testing.assert_allclose(together, np.sum(each, axis=0), atol=1e-10)
    backwards = exchange(code, others[:, ::-1], weights[:, ::-1]).numpy() - code
    np.testing.assert_allclose(together, backwards, atol=1e-10)


@few
@given(shapes)
def test_examples_are_edited_apart(shape):
    code, others, weights, _ = draw(shape)
    edited = exchange(code, others, weights).numpy()
    for index in range(len(code)):
        alone = exchange(code[index : index + 1], others[index : index + 1], weights[index : index + 1])
        np.testing.assert_allclose(edited[index : index + 1], alone, atol=1e-12)


@few
@given(shapes)
def test_matrix_corners_mix_to_a_weighted_mean(shape):
    """Weights (1-a)b, a(1-b), ab of three exemplars leave (1-a)(1-b) to the input."""
    code, others, weights, _ = draw(shape)
    others = np.repeat(others[:, :1], 3, axis=1) * np.array([1.0, 2.0, -1.0])[None, :, None, None, None]
    a, b = 0.25, 0.5
    corners = np.array([(1 - a) * b, a * (1 - b), a * b])
    edited = exchange(code, others, np.tile(corners[None, :, None], (len(code), 1, weights.shape[-1])))
    expected = (1 - a) * (1 - b) * code + np.einsum("k,nkhwc->nhwc", corners, others)
    np.testing.assert_allclose(edited, expected, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_keeps_the_codes_dtype(dtype):
    code = tf.zeros([2, 1, 1, 6], dtype)
    assert exchange(code, code[:, None], tf.ones([2, 1, 3])).dtype == dtype


def test_works_with_unknown_sizes_in_a_graph():
    spec = (
        tf.TensorSpec([None, None, None, 8]),
        tf.TensorSpec([None, None, None, None, 8]),
        tf.TensorSpec([None, None, 2]),
    )
    graph = tf.function(exchange, input_signature=spec)
    code, others, weights, _ = draw((2, 8, 3, 2, 5))
    arguments = [tf.constant(value, tf.float32) for value in (code, others, weights)]
    np.testing.assert_allclose(graph(*arguments), exchange(*arguments), atol=1e-6)
