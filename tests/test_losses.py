"""Every loss against its equation, computed edit by edit with the generator's public methods."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_tf.losses.adversarial import Adversarial, Discrimination, R1Penalty, cross_entropy
from elegant_tf.losses.cycle import Cycle, StyleCycle, linear_warmup, next_alike, relative_error
from elegant_tf.losses.reconstruction import Reconstruction, Residual
from elegant_tf.losses.term import Step, weight_at
from elegant_tf.model.keras_versions import tf_variable
from elegant_tf.training.build import make_learner
from elegant_tf.training.update import choose_exchanged, generate

pytestmark = pytest.mark.usefixtures("plain_layers")

few = settings(max_examples=30)
NOW = Step(tf.constant(0, tf.int64), tf.constant([0, 0]))


@pytest.fixture(scope="module", params=["planes", "projection"])
def made(request, plain_layers):
    """Generator, discriminator, batch and what the generator makes of it, in float64."""
    return make(conditioning=request.param)


def make(exchanged=None, **overrides):
    config = tiny.config(precision="float64", **overrides)
    keras.utils.set_random_seed(0)
    learner, batch = make_learner(config), tiny.batch(config)
    exchanged = choose_exchanged(batch, 0.0, None) if exchanged is None else exchanged
    return learner.generator, learner.discriminator, batch, generate(learner.generator, batch, exchanged)


@few
@given(st.lists(st.floats(-15, 15), min_size=1, max_size=6))
def test_cross_entropy_is_that_of_probabilities(logits):
    logits = np.array(logits)
    probabilities = 1 / (1 + np.exp(-logits))
    assert float(cross_entropy(logits, real=True)) == pytest.approx(-np.log(probabilities).mean(), rel=1e-7)
    assert float(cross_entropy(logits, real=False)) == pytest.approx(-np.log1p(-probabilities).mean(), rel=1e-5)


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("logit", [1e4, -1e4, 0.0, 90.0, -90.0])
def test_cross_entropy_stays_finite_with_its_gradient(real, logit):
    logits = tf.constant([logit])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = cross_entropy(logits, real)
    gradient = tape.gradient(loss, logits)
    expected = max(0.0, -logit if real else logit) if logit else np.log(2)
    assert float(loss) == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() <= 1


def bce(score, images, labels, real):
    """BCE of A's (or C's) images plus that of B's (or D's): two means over N."""
    probabilities = 1 / (1 + np.exp(-score(images, labels[:, None]).numpy()))
    return -2 * np.log(probabilities if real else 1 - probabilities).mean()


@pytest.mark.parametrize("scale", ["full", "half"])
def test_adversarial_losses_are_the_specifications(made, scale):
    generator, discriminator, batch, generated = made
    score = discriminator.scale(scale)
    fooled = bce(score, generated.edited, generated.edited_labels, True)
    assert float(Adversarial(discriminator, scale)(generator, batch, generated, NOW)) == pytest.approx(fooled, rel=1e-7)
    judged = bce(score, generated.images, generated.labels, True)
    judged += bce(score, generated.edited, generated.edited_labels, False)
    found = Discrimination(discriminator, scale)(generator, batch, generated, NOW)
    assert float(found) == pytest.approx(judged, rel=1e-7)
    mismatched = bce(score, generated.images, generated.edited_labels, False)
    found = Discrimination(discriminator, scale, mismatch_weight=0.5)(generator, batch, generated, NOW)
    assert float(found) == pytest.approx(judged + 0.5 * mismatched, rel=1e-7)


def test_discriminators_send_no_gradient_into_edited_images(made):
    generator, discriminator, batch, generated = made
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(generated.edited)
        judged = Discrimination(discriminator, "full", mismatch_weight=1.0)(generator, batch, generated, NOW)
        fooled = Adversarial(discriminator, "full")(generator, batch, generated, NOW)
    assert tape.gradient(judged, generated.edited) is None
    assert np.abs(tape.gradient(fooled, generated.edited)).max() > 0


def test_reconstruction_and_residual_are_means(made):
    generator, _, batch, generated = made
    difference = (generated.reconstructed - generated.images).numpy()
    for norm, size in (("l2", np.square), ("l1", np.abs)):
        found = Reconstruction(norm=norm)(generator, batch, generated, NOW)
        assert float(found) == pytest.approx(2 * size(difference).mean(), rel=1e-9)
    found = Residual(1.0)(generator, batch, generated, NOW)
    assert float(found) == pytest.approx(np.abs(generated.residuals).mean(), rel=1e-9)


def test_the_penalty_is_the_squared_gradient_at_real_images(made):
    _, discriminator, _, _ = made
    random = np.random.default_rng(0)
    image, labels = random.uniform(-1, 1, (32, 32, 3)), tf.constant([[1.0, 0.0]], tf.float64)
    step = 1e-5

    def slopes(row):
        """Of the scores by the pixels of a row of the image, by central differences."""
        moved = np.repeat(image[None], 96, axis=0)
        moved[np.arange(96), row, np.arange(96) // 3, np.arange(96) % 3] += step
        both = tf.constant(np.concatenate([moved, 2 * image - moved]))
        scores = sum(discriminator(both, tf.repeat(labels[:, None], 192, axis=0)))
        ahead, behind = tf.split(scores[:, 0], 2)
        return (ahead - behind) / (2 * step)

    expected = 0.5 * sum(float(tf.reduce_sum(slopes(row) ** 2)) for row in range(32))
    found = R1Penalty(discriminator, 1.0).penalty(tf.constant(image[None]), labels)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_penalty_has_the_right_gradient(made):
    _, discriminator, batch, _ = made
    kernel, term = discriminator.full.downs[1].convolution.kernel, R1Penalty(discriminator, 1.0)
    with tf.GradientTape() as tape:
        penalty = term.penalty(batch["a"], batch["y_a"])
    slope = tape.gradient(penalty, tf_variable(kernel))
    start, direction, step = kernel.numpy(), np.random.default_rng(0).normal(size=kernel.shape), 1e-6
    ends = []
    for sign in (1, -1):
        kernel.assign(start + sign * step * direction)
        ends.append(float(term.penalty(batch["a"], batch["y_a"])))
    kernel.assign(start)
    assert float(tf.reduce_sum(slope * direction)) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_the_penalty_comes_every_few_updates_and_counts_for_all(made):
    generator, discriminator, batch, generated = made
    term = R1Penalty(discriminator, 2.0, every=3)
    call = tf.function(lambda updates: term(generator, batch, generated, Step(updates, NOW.seed)))
    found = [float(call(tf.constant(updates, tf.int64))) for updates in range(4)]
    once = float(term.penalty(generated.images, generated.labels))
    assert found == pytest.approx([3 * once, 0.0, 0.0, 3 * once], rel=1e-9)


@pytest.mark.parametrize("carrier_share", [0.0, 1.0])
@pytest.mark.parametrize("everything", [False, True])
def test_cycles_edit_back_with_the_right_codes(everything, carrier_share):
    """Edit by edit: C with A's code or D's, D with that of another image that lacks the attribute, and C restyled."""
    exchanged = tf.ones([4, 2], tf.float64) if everything else None
    generator, _, batch, generated = make(exchanged)
    a, b, partners = batch["a"], batch["b"], next_alike(batch["attribute"]).numpy()
    assert (partners != np.arange(4)).any()
    own = tf.one_hot(batch["attribute"], 2, dtype=tf.float64)[:, None]
    both = tf.ones_like(own) if everything else own
    c, d = (generator.edit(one, other[:, None], both)[0] for one, other in ((a, b), (b, a)))
    having = d if carrier_share else a
    again_a = generator.edit(c, having[:, None], both)[0]
    lacking = tf.stack([tf.gather(b, partners), b], axis=1)
    again_b = generator.edit(d, lacking, tf.concat([own, both - own], axis=1))[0]
    wanted = float(relative_error(again_a, a, c) + relative_error(again_b, b, d))
    found = Cycle(1.0, carrier_share)(generator, batch, generated, NOW)
    assert float(found) == pytest.approx(wanted, rel=1e-9)
    styled = generator.edit(c, tf.gather(a, partners)[:, None], both)[0]
    wanted = float(relative_error(generator.edit(styled, having[:, None], both)[0], a, styled))
    found = StyleCycle(1.0, carrier_share)(generator, batch, generated, NOW)
    assert float(found) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("carrier_share", [0.0, 1.0])
@pytest.mark.parametrize("make_term", [Cycle, StyleCycle])
def test_cycles_take_edited_images_as_inputs(make_term, carrier_share):
    """Gradients reach no edited image but D, where it is the exemplar."""
    generator, _, batch, generated = make()
    with tf.GradientTape() as tape:
        tape.watch(generated.edited)
        loss = make_term(1.0, carrier_share)(generator, batch, generated, NOW)
    gradient = tape.gradient(loss, generated.edited)
    if carrier_share:
        into_c, into_d = np.split(gradient, 2)
        assert np.abs(into_c).max() == 0 < np.abs(into_d).max()
    else:
        assert gradient is None


@pytest.mark.parametrize("make_term", [Cycle, StyleCycle])
def test_carriers_are_chosen_by_the_seed(make_term):
    generator, _, batch, generated = make()

    def loss(number):
        return float(make_term(1.0, 0.5)(generator, batch, generated, Step(NOW.updates, tf.constant([0, number]))))

    losses = [loss(number) for number in range(4)]
    assert loss(0) == losses[0]
    assert len(set(losses)) > 1


@pytest.mark.parametrize(
    ("attribute", "partners"),
    [
        ([0, 1, 0, 1], [2, 3, 0, 1]),
        ([0, 0, 0], [1, 2, 0]),
        ([0, 1, 2], [0, 1, 2]),
        ([1, 0, 1, 1, 0], [2, 4, 3, 0, 1]),
        ([0], [0]),
    ],
)
def test_partners_are_the_next_that_train_the_same_attribute(attribute, partners):
    assert next_alike(tf.constant(attribute)).numpy().tolist() == partners


def test_relative_error_is_relative_to_what_the_input_lacks():
    inputs = tf.zeros([2, 4, 4, 3], tf.float64)
    targets = inputs + tf.constant([0.3, 0.1], tf.float64)[:, None, None, None]
    half = relative_error(targets / 2, targets, inputs)
    assert float(half) == pytest.approx(0.25 * (0.09 / 0.10 + 0.01 / 0.02) / 2)
    low = relative_error(targets / 2, targets, inputs, floor=0.001)
    assert float(low) == pytest.approx(0.25 * (0.09 / 0.091 + 0.01 / 0.011) / 2)
    assert float(relative_error(targets, targets, inputs)) == 0.0
    assert np.isfinite(relative_error(targets, inputs, inputs))


def test_a_weight_may_grow():
    term = Residual(linear_warmup(4.0, 8))
    assert [float(weight_at(term, tf.constant(n), tf.float32)) for n in (0, 3, 7, 100)] == [0.5, 2.0, 4.0, 4.0]
    assert linear_warmup(4.0, 0) == 4.0
    assert float(weight_at(Residual(3.0), tf.constant(0), tf.float64)) == 3.0
