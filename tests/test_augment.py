"""Differentiable augmentation: what each kind does to images, and that nothing else is touched."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.config import AUGMENTATIONS
from elegant_tf.losses.adversarial import Adversarial, Discrimination
from elegant_tf.losses.augment import KINDS, UNCHANGED, Augmentation, colour, cutout, shift
from elegant_tf.losses.replicas import Part
from elegant_tf.losses.term import Step
from elegant_tf.training.build import make_learner

pytestmark = pytest.mark.usefixtures("quick_training")

ALL = Augmentation(AUGMENTATIONS)


def images(count, side=16):
    return tf.constant(np.random.default_rng(0).uniform(-1, 1, (count, side, side, 3)))


def chances(*rows):
    return tf.constant(rows, tf.float64)


def step(number=0, part=None):
    seed = tf.constant([0, number], tf.int64)
    return Step(tf.constant(0, tf.int64), seed, part) if part else Step(tf.constant(0, tf.int64), seed)


def test_every_flag_names_a_kind_in_the_order_of_application():
    assert tuple(KINDS) == AUGMENTATIONS


@pytest.mark.parametrize("count", [1, 3])
def test_without_names_images_are_the_same_tensor(count):
    x = images(count)
    assert UNCHANGED(x, 1, step()) is x


def test_colour_in_the_middle_of_its_ranges_changes_nothing():
    x = images(2)
    np.testing.assert_allclose(colour(x, chances(*[[0.5, 0.5, 0.5]] * 2)), x, atol=1e-14)


@pytest.mark.parametrize("least", [True, False])
def test_colour_at_the_ends_of_its_ranges(least):
    x, middle, end = images(1), 0.5, 0.0 if least else 1.0
    brighter = colour(x, chances([end, middle, middle]))
    np.testing.assert_allclose(brighter, x + (-0.5 if least else 0.5), atol=1e-14)
    saturated = colour(x, chances([middle, end, middle])).numpy()
    grey = x.numpy().mean(axis=3, keepdims=True)
    np.testing.assert_allclose(saturated, grey + (0.0 if least else 2.0) * (x - grey), atol=1e-14)
    contrasted = colour(x, chances([middle, middle, end])).numpy()
    mean = x.numpy().mean()
    np.testing.assert_allclose(contrasted, mean + (0.5 if least else 1.5) * (x - mean), atol=1e-14)


def test_colour_treats_each_image_by_itself():
    x, both = images(2), chances([0.1, 0.9, 0.2], [0.7, 0.3, 0.6])
    together = colour(x, both)
    for row in range(2):
        np.testing.assert_allclose(together[row], colour(x[row : row + 1], both[row : row + 1])[0], atol=1e-14)


@pytest.mark.parametrize("side", [16, 36])
def test_shift_moves_by_up_to_an_eighth_and_fills_with_zeros(side):
    farthest = int(side / 8 + 0.5)
    x, count = images(1, side).numpy()[0], 2 * farthest + 1
    for number in range(count):
        moved = shift(tf.constant(x[None]), chances([(number + 0.5) / count, 0.5])).numpy()[0]
        rows = number - farthest
        expected = np.zeros_like(x)
        expected[max(rows, 0) : side + min(rows, 0)] = x[max(-rows, 0) : side - max(rows, 0)]
        np.testing.assert_array_equal(moved, expected)
        turned = shift(tf.constant(x[None].transpose(0, 2, 1, 3)), chances([0.5, (number + 0.5) / count])).numpy()[0]
        np.testing.assert_array_equal(turned, expected.transpose(1, 0, 2))


def test_the_largest_random_number_is_no_shift_too_far():
    x = images(1, 64)
    largest = tf.constant([[np.nextafter(np.float32(1), 0)] * 2], tf.float32)
    moved = shift(tf.cast(x, tf.float32), largest).numpy()
    np.testing.assert_array_equal(moved[0, 8:, 8:], x.numpy().astype(np.float32)[0, :-8, :-8])


@pytest.mark.parametrize(
    ("place", "rows"), [((0.5, 0.5), (4, 12)), ((0.0, 0.5), (0, 4)), ((0.999, 0.5), (12, 16)), ((0.06, 0.5), (0, 5))]
)
def test_cutout_sets_a_square_of_half_the_side_to_zero(place, rows):
    x = images(1) + 2.0
    expected = x.numpy()
    expected[:, rows[0] : rows[1], 4:12] = 0.0
    np.testing.assert_array_equal(cutout(x, chances(place)), expected)
    turned = cutout(tf.transpose(x, [0, 2, 1, 3]), chances(place[::-1]))
    np.testing.assert_array_equal(turned, expected.transpose(0, 2, 1, 3))


@pytest.mark.parametrize("name", [*AUGMENTATIONS, ",".join(AUGMENTATIONS)])
def test_gradients_are_the_slopes(name):
    augment, x = Augmentation(name.split(",")), images(2, 8)
    random = np.random.default_rng(1)
    weights, direction = tf.constant(random.normal(size=x.shape)), tf.constant(random.normal(size=x.shape))

    def value(x):
        return tf.reduce_sum(weights * tf.sin(augment(x, 1, step())))

    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = value(x)
    slope = float(tf.reduce_sum(tape.gradient(loss, x) * direction))
    size = 1e-6
    ahead, behind = (float(value(x + sign * size * direction)) for sign in (1, -1))
    assert slope == pytest.approx((ahead - behind) / (2 * size), rel=1e-7)


def test_numbers_differ_by_image_and_seed_alone():
    x = tf.repeat(images(1), 4, axis=0)
    first, again, other = (ALL(x, 2, step(number)).numpy() for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({image.tobytes() for image in first}) == 4


def test_parts_of_a_batch_are_changed_as_the_whole():
    x = images(8).numpy()  # two groups of four examples
    whole = ALL(tf.constant(x), 2, step()).numpy()
    for index in range(2):
        rows = [2 * index, 2 * index + 1, 4 + 2 * index, 5 + 2 * index]
        part = ALL(tf.constant(x[rows]), 2, step(part=Part(index, 2)))
        np.testing.assert_array_equal(part, whole[rows])


class Judge:
    """A discriminator that remembers what it saw."""

    def __init__(self):
        self.seen = []

    def scale(self, name):
        return self

    def __call__(self, images, labels, training):
        self.seen.append((images, labels))
        return tf.reduce_mean(images, axis=[1, 2, 3])[:, None] + tf.zeros(labels.shape[:2], images.dtype)


class Made:
    """Of two pairs: dark real images, bright edited ones."""

    images = tf.fill([4, 8, 8, 3], tf.constant(-0.5, tf.float64))
    edited = tf.fill([4, 8, 8, 3], tf.constant(0.5, tf.float64))
    labels = tf.constant([[1.0, 0.0]] * 4, tf.float64)
    edited_labels = tf.constant([[0.0, 1.0]] * 4, tf.float64)


def test_both_sides_see_real_and_edited_images_changed_under_their_labels():
    judge = Judge()
    with tf.GradientTape() as tape:
        tape.watch(Made.edited)
        loss = Adversarial(judge, "full", augment=Augmentation(["cutout"]))(None, {}, Made, step())
    assert np.abs(tape.gradient(loss, Made.edited)).max() > 0
    Discrimination(judge, "full", augment=Augmentation(["cutout"]))(None, {}, Made, step())
    (fakes, fake_labels), (both, labels) = judge.seen
    for seen, value in ((fakes, 0.5), (both[:4], -0.5), (both[4:], 0.5)):
        assert set(np.unique(seen)) == {0.0, value}
        assert all((image == 0).any() for image in seen.numpy())
    np.testing.assert_array_equal(fake_labels[:, 0], Made.edited_labels)
    np.testing.assert_array_equal(labels[:, 0], tf.concat([Made.labels, Made.edited_labels], axis=0))


def test_only_what_discriminators_see_changes():
    """Losses of the generator alone are the same with and without."""

    def losses(**options):
        config = tiny.config(precision="float64", **tiny.EVERY_LOSS, **options)
        keras.utils.set_random_seed(0)
        return {name: float(loss) for name, loss in make_learner(config).update(tiny.batch(config)).items()}

    plain, augmented = losses(), losses(augment=AUGMENTATIONS)
    same = {name for name in plain if plain[name] == augmented[name]}
    assert same == {"reconstruction", "residual", "mask", "cycle", "style_cycle"}
