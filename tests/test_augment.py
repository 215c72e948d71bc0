from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from elegant_tf.training.augment import random_shift

SEED = tf.constant([3, 5], tf.int64)


def images(count=64, size=12, channels=3):
    return np.random.default_rng(0).normal(size=(count, size, size, channels)).astype(np.float32)


def shifted_by(image, down, right, pixels):
    padded = np.pad(image, [(pixels, pixels), (pixels, pixels), (0, 0)], "reflect")
    size = len(image)
    return padded[pixels - down :, pixels - right :][:size, :size]


@pytest.mark.parametrize("pixels", [1, 3])
def test_every_image_is_shifted_by_its_own_whole_number_of_pixels(pixels):
    originals = images()
    found = random_shift(originals, pixels, SEED).numpy()
    steps = range(-pixels, pixels + 1)
    seen = set()
    for image, shifted in zip(originals, found, strict=True):
        fits = [
            (down, right)
            for down in steps
            for right in steps
            if np.array_equal(shifted, shifted_by(image, down, right, pixels))
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert {down for down, _ in seen} == {right for _, right in seen} == set(steps)


def test_the_seed_decides():
    first, again = (random_shift(images(), 2, SEED).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, random_shift(images(), 2, SEED + 1).numpy())


def test_gradients_go_back_to_the_pixels_they_came_from():
    pixels = tf.Variable(images(4, 8))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(random_shift(pixels, 2, SEED))
    counts = tape.gradient(total, pixels).numpy()  # how often each pixel was copied: one at the edge may be twice
    np.testing.assert_array_equal(counts, np.rint(counts))
    assert counts.sum() == counts.size
    assert (counts[:, 2:-2, 2:-2] >= 1).all()


def test_keeps_the_static_shape_and_type():
    @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 3], tf.float64)])
    def shift(batch):
        shifted = random_shift(batch, 2, SEED)
        assert shifted.shape == (None, 16, 16, 3)
        return shifted

    assert shift(tf.zeros([5, 16, 16, 3], tf.float64)).shape == (5, 16, 16, 3)
