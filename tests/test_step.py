from __future__ import annotations

import keras
import numpy as np
import pytest
import replicas
import tensorflow as tf
import tiny

from elegant_tf import losses
from elegant_tf.data.truths import TRUTH_COLUMNS
from elegant_tf.training.step import Learner


def make(**overrides):
    config = tiny.config(**overrides)
    keras.utils.set_random_seed(0)
    return config, Learner(config)


def values(network):
    return [variable.numpy() for variable in network.weights]


def swapped_labels(batch):
    labels = tf.concat([batch["y_a"], batch["y_b"]], 0)
    other = tf.concat([batch["y_b"], batch["y_a"]], 0)
    own = tf.one_hot(tf.concat([batch["attribute"]] * 2, 0), labels.shape[1], dtype=labels.dtype)
    return labels, losses.swap_labels(labels, other, own)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def nothing(gradients, rate):
    """An optimizer's `apply` that leaves everything as it is."""


def test_generating_exchanges_each_examples_own_attribute():
    config, learner = make()
    batch = tiny.batch(config)
    assert len(set(batch["attribute"].numpy())) == 2
    made = learner.generate(batch)
    weights = tf.one_hot(batch["attribute"], 2)[:, None]
    c, _ = learner.generator.edit(batch["a"], batch["b"][:, None], weights)
    d, residual_d = learner.generator.edit(batch["b"], batch["a"][:, None], weights)
    a1, _ = learner.generator.edit(batch["a"], batch["b"][:, None], 0 * weights)
    b1, _ = learner.generator.edit(batch["b"], batch["a"][:, None], 0 * weights)
    np.testing.assert_allclose(made.edited, tf.concat([c, d], 0), atol=1e-6)
    np.testing.assert_allclose(made.reconstructed, tf.concat([a1, b1], 0), atol=1e-6)
    np.testing.assert_allclose(made.residuals[config.batch_size :], residual_d, atol=1e-6)


@pytest.mark.parametrize("name", ["official", "paper"])
def test_losses_are_those_of_the_specification(name):
    paper = {
        "reconstruction_norm": "l1",
        "reconstruction_weight": 1.0,
        "discriminator_weight": 1.0,
        "half_scale_weight": 1.0,
    }
    config, learner = make(precision="float64", **(paper if name == "paper" else {}))
    batch = tiny.batch(config)
    made = learner.generate(batch)
    labels, swapped = swapped_labels(batch)

    def bce(images, labels, real):
        """D1's and D2's: a sum of two means over N, A's and B's (or C's and D's)."""
        logits = [score.numpy() for score in learner.discriminator(images, labels[:, None])]
        probabilities = [1 / (1 + np.exp(-score)) for score in logits]
        return np.array([-2 * np.log(p if real else 1 - p).mean() for p in probabilities])

    images = tf.concat([batch["a"], batch["b"]], 0)
    judged = bce(images, labels, True) + bce(made.edited, swapped, False)
    difference = (made.reconstructed - images).numpy()
    fooled = bce(made.edited, swapped, True)
    if name == "official":
        expected_d = (judged[0] + 0.5 * judged[1]) / 4
        expected_g = 5 * 2 * (difference**2).mean() + fooled[0] + 0.5 * fooled[1]
    else:
        expected_d = judged.sum()
        expected_g = 2 * np.abs(difference).mean() + fooled.sum()
    found_d = learner.discriminator_losses(images, made.edited, labels, swapped)["discriminator"]
    found_g = learner.generator_losses(batch, made, swapped)["generator"]
    assert float(found_d) == pytest.approx(expected_d, rel=1e-7)
    assert float(found_g) == pytest.approx(expected_g, rel=1e-7)


def test_the_updated_discriminators_judge_the_generator():
    config, learner = make(learning_rate=1e-2)
    batch = tiny.batch(config)
    made = learner.generate(batch)
    _, swapped = swapped_labels(batch)
    learner.generator_optimizer.apply = nothing
    by_old = float(learner.generator_losses(batch, made, swapped)["generator"])
    told = float(learner.update(batch)["generator"])
    by_updated = float(learner.generator_losses(batch, made, swapped)["generator"])
    assert by_updated != pytest.approx(by_old, rel=1e-3)
    assert told == pytest.approx(by_updated, rel=1e-5)


def test_each_half_moves_its_own_networks_only():
    config, learner = make()
    batch = tiny.batch(config)
    for frozen, still, moving in (
        (learner.discriminator_optimizer, learner.discriminator, learner.generator),
        (learner.generator_optimizer, learner.generator, learner.discriminator),
    ):
        apply = frozen.apply
        frozen.apply = nothing
        before, moved = values(still), values(moving)
        learner.update(batch)
        frozen.apply = apply
        assert same(values(still), before)
        assert not any(np.array_equal(a, b) for a, b in zip(values(moving), moved, strict=True))


@pytest.mark.parametrize(
    "term",
    ["mismatch_weight", "r1_weight", "restoration_weight", "restyle_weight", "residual_weight", "truth_weight"],
)
def test_further_terms_count_by_their_weight(term):
    half = "discriminator" if term in ("mismatch_weight", "r1_weight") else "generator"

    def loss(weight):
        config, learner = make(precision="float64", **{term: weight})
        learner.discriminator_optimizer.apply = nothing
        return float(learner.update(tiny.batch(config))[half])

    without, once, twice = loss(0.0), loss(1.0), loss(2.0)
    assert once > without
    assert twice - without == pytest.approx(2 * (once - without), rel=1e-6)


def error_against_truths(learner, batch, norm, floor=0.01, kept_weight=1.0):
    a, b, c, d, weights = (batch[name] for name in TRUTH_COLUMNS)
    edits = [(a, b, c), (b, a, d)]
    edited = [learner.generator.edit(image, exemplar[:, None], weights[:, None])[0] for image, exemplar, _ in edits]
    errors = [
        losses.relative_error(edit, truth, image, norm, floor, kept_weight)
        for edit, (image, _, truth) in zip(edited, edits, strict=True)
    ]
    return float(sum(errors)) / 2


def test_exchanges_are_held_against_their_right_answers():
    config, learner = make(precision="float64")
    batch = tiny.batch(config)
    assert 0 < float(tf.reduce_mean(batch["truth_weights"])) < 1
    assert float(learner.truth_loss(batch)) == pytest.approx(error_against_truths(learner, batch, "l2"), rel=1e-9)


def test_a_lower_floor_lets_errors_count_more():
    config, learner = make(precision="float64", truth_floor=0.001)
    batch = tiny.batch(config)
    loss = float(learner.truth_loss(batch))
    assert loss == pytest.approx(error_against_truths(learner, batch, "l2", floor=0.001), rel=1e-9)
    assert loss > error_against_truths(learner, batch, "l2")


def test_what_a_right_answer_keeps_counts_as_little_as_wanted():
    config, learner = make(precision="float64", truth_kept_weight=0.1)
    batch = tiny.batch(config)
    batch["truth_c"] = tf.concat([batch["truth_a"][:, :16], batch["truth_c"][:, 16:]], axis=1)
    loss = float(learner.truth_loss(batch))
    assert loss == pytest.approx(error_against_truths(learner, batch, "l2", kept_weight=0.1), rel=1e-9)
    assert loss < error_against_truths(learner, batch, "l2")


def test_errors_count_by_their_size_in_the_last_steps():
    config, learner = make(precision="float64", steps=10, truth_absolute=3)
    batch = tiny.batch(config)
    for step, norm in ((0, "l2"), (6, "l2"), (7, "l1"), (9, "l1")):
        learner.updates.assign(2 * step)
        assert float(learner.truth_loss(batch)) == pytest.approx(error_against_truths(learner, batch, norm), rel=1e-9)


def test_right_answers_alone_train_the_generator_before_the_pairs_do():
    config, learner = make(truth_weight=2.0, truth_updates=3, precision="float64")
    batch = tiny.batch(config)
    assert len(batch["truth_a"]) == 3 * config.truth_batch_size
    parts = [{**batch, **{name: batch[name][k::3] for name in TRUTH_COLUMNS}} for k in range(3)]
    _, by_hand = make(truth_weight=2.0, precision="float64")
    for part in parts[:2]:
        with tf.GradientTape() as tape:
            loss = 2.0 * by_hand.truth_loss(part)
        by_hand.generator_optimizer.apply(tape.gradient(loss, by_hand.generator_variables), by_hand.learning_rate())
    expected, found = by_hand.update(parts[2]), learner.update(batch)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-9), name
    for first, second in zip(values(by_hand.generator), values(learner.generator), strict=True):
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-12)
    assert int(learner.updates) == 1


@pytest.mark.parametrize("conditioning", ["planes", "projection"])
def test_the_penalty_is_the_squared_slope_at_real_images(conditioning):
    _, learner = make(precision="float64", conditioning=conditioning)
    random = np.random.default_rng(0)
    image, labels = random.uniform(-1, 1, (32, 32, 3)), tf.constant([[1.0, 0.0]], tf.float64)
    step = 1e-5

    def slopes(row):
        """Of the scores by the pixels of a row of the image, by central differences."""
        moved = np.repeat(image[None], 96, axis=0)
        moved[np.arange(96), row, np.arange(96) // 3, np.arange(96) % 3] += step
        both = tf.constant(np.concatenate([moved, 2 * image - moved]))
        scores = sum(learner.discriminator(both, tf.repeat(labels[:, None], 192, axis=0)))
        ahead, behind = tf.split(scores[:, 0], 2)
        return (ahead - behind) / (2 * step)

    expected = 0.5 * sum(float(tf.reduce_sum(slopes(row) ** 2)) for row in range(32))
    found = learner.gradient_penalty(tf.constant(image[None]), labels)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_penalty_has_the_right_gradient():
    config, learner = make(precision="float64", conditioning="projection")
    batch = tiny.batch(config)
    kernel = learner.discriminator.full.downs[1].convolution.kernel
    with tf.GradientTape() as tape:
        penalty = learner.gradient_penalty(batch["a"], batch["y_a"])
    slope = tape.gradient(penalty, kernel.value)
    start, direction, step = kernel.numpy(), np.random.default_rng(0).normal(size=kernel.shape), 1e-6
    ends = []
    for sign in (1, -1):
        kernel.assign(start + sign * step * direction)
        ends.append(float(learner.gradient_penalty(batch["a"], batch["y_a"])))
    assert float(tf.reduce_sum(slope * direction)) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_the_penalty_comes_every_few_updates_for_all_of_them():
    config, learner = make(r1_weight=2.0, r1_every=3)
    update, batch = tf.function(learner.update), tiny.batch(config)
    images, labels = tf.concat([batch["a"], batch["b"]], 0), tf.concat([batch["y_a"], batch["y_b"]], 0)
    expected = 6.0 * float(learner.gradient_penalty(images, labels))
    told = [float(update(batch)["r1"]) for _ in range(4)]
    assert told[0] == pytest.approx(expected, rel=1e-4)
    assert told[1:3] == [0.0, 0.0]
    assert told[3] > 0


def test_learning_rate_falls_by_steps_of_one_update_per_attribute():
    _, learner = make(learning_rate=1e-3, learning_rate_decay=0.5, learning_rate_decay_steps=10)
    for updates, expected in ((0, 1e-3), (19, 1e-3), (20, 5e-4), (39, 5e-4), (40, 2.5e-4)):
        learner.updates.assign(updates)
        assert float(learner.learning_rate()) == pytest.approx(expected)
    _, learner = make(
        attribute_schedule="mixed", learning_rate=1e-3, learning_rate_decay=0.5, learning_rate_decay_steps=10
    )
    learner.updates.assign(10)
    assert float(learner.learning_rate()) == pytest.approx(5e-4)


def test_learning_rate_falls_to_nothing_over_the_cooldown():
    _, learner = make(learning_rate=1e-3, learning_rate_decay=1.0, steps=10, learning_rate_cooldown=4)
    for step, expected in ((0, 1e-3), (6, 1e-3), (7, 7.5e-4), (9, 2.5e-4), (10, 0.0), (11, 0.0)):
        learner.updates.assign(2 * step)
        assert float(learner.learning_rate()) == pytest.approx(expected)


@pytest.mark.parametrize(("size", "depth"), [(36, 2), (40, 3), (48, 4), (96, 5)])
def test_any_image_size_that_the_generator_takes_can_be_trained(size, depth):
    config, learner = make(image_size=size, depth=depth, batch_size=2)
    terms = tf.function(learner.update)(tiny.batch(config))
    assert all(np.isfinite(float(term)) for term in terms.values())


@pytest.mark.parametrize("conditioning", ["planes", "projection"])
def test_both_ways_to_take_labels_in_learn_from_mismatches(conditioning):
    config, learner = make(conditioning=conditioning, mismatch_weight=1.0, learning_rate=3e-3)
    batch = tiny.batch(config)
    update = tf.function(learner.update)
    learner.generator_optimizer.apply = nothing
    losses = [float(update(batch)["discriminator"]) for _ in range(60)]
    # Not the last one alone: at this rate it goes up and down by chance.
    assert np.mean(losses[-10:]) < 0.9 * losses[0]


def test_updates_are_counted():
    config, learner = make()
    update = tf.function(learner.update)
    for count in (1, 2, 3):
        update(tiny.batch(config, count))
        assert int(learner.updates) == count


def test_graph_and_eager_agree():
    config, eager = make(precision="float64")
    _, compiled = make(precision="float64")
    update = tf.function(compiled.update)
    for seed in range(2):
        batch = tiny.batch(config, seed)
        expected, found = eager.update(batch), update(batch)
        assert {name: float(value) for name, value in found.items()} == pytest.approx(
            {name: float(value) for name, value in expected.items()}, rel=1e-9
        )
    for a, b in zip(values(eager.generator), values(compiled.generator), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_average_forgets_half_in_its_half_life():
    config, learner = make(ema_half_life=3.0)
    assert learner.averaged is not None
    start = values(learner.averaged)
    assert same(start, values(learner.generator))
    learner.generator_optimizer.apply = nothing
    for variable in learner.generator.weights:
        variable.assign_add(tf.ones_like(variable))
    for seed in range(3):
        learner.update(tiny.batch(config, seed))
    for before, after in zip(start, values(learner.averaged), strict=True):
        np.testing.assert_allclose(after - before, 0.5, atol=1e-5)


def test_without_a_half_life_there_is_no_average():
    _, learner = make()
    assert learner.averaged is None


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_updates_near_float32(precision):
    config, learner = make(precision=precision)
    _, exact = make()
    update, batch = tf.function(learner.update), tiny.batch(config)
    before = [*values(learner.generator), *values(learner.discriminator)]
    terms = update(batch)
    assert {term.dtype for term in terms.values()} == {tf.float32}
    for name, value in exact.update(batch).items():
        assert float(terms[name]) == pytest.approx(float(value), rel=0.05), name
    for _ in range(8):  # float16 may skip some, until its loss scale is low enough
        update(batch)
    after = [*values(learner.generator), *values(learner.discriminator)]
    assert {value.dtype for value in after} == {np.dtype("float32")}
    assert all(np.isfinite(value).all() for value in after)
    assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_float16_skips_an_update_that_overflows():
    config, learner = make(precision="mixed_float16")
    for optimizer in (learner.generator_optimizer, learner.discriminator_optimizer):
        optimizer.scale.assign(1e38)
    before = [*values(learner.generator), *values(learner.discriminator)]
    learner.update(tiny.batch(config))
    assert same(before, [*values(learner.generator), *values(learner.discriminator)])
    assert float(learner.generator_optimizer.scale) == pytest.approx(5e37)


@pytest.fixture(scope="module")
def on_two():
    """What two replicas made of the same batches, from a process with two CPU devices."""
    return replicas.run("tiny")


@pytest.mark.slow
def test_two_replicas_train_as_one(on_two):
    config, learner = make(**replicas.TINY)
    for seed in range(3):
        terms = learner.update(tiny.batch(config, seed))
    for name, value in terms.items():
        assert on_two[f"loss/{name}"] == pytest.approx(float(value), rel=1e-7), name
    trained = [*learner.generator.weights, *learner.discriminator.weights, *learner.averaged.weights]
    for index, variable in enumerate(trained):
        for replica in range(2):
            found = on_two[f"weight/{index}/{replica}"]
            np.testing.assert_allclose(found, variable.numpy(), rtol=0, atol=1e-8, err_msg=variable.path)


@pytest.mark.slow
def test_an_overflow_on_one_replica_skips_the_update_on_both(on_two):
    for replica in range(2):
        assert on_two[f"overflow/moved/{replica}"] == 0
        assert on_two[f"overflow/scale/{replica}"] == 2.0**14


def test_other_attributes_are_exchanged_along_by_chance():
    config, learner = make(exchange_share=0.5, batch_size=64)
    batch = tiny.batch(config)
    seen = []
    generate = learner.generate
    learner.generate = lambda batch, exchanged: seen.append(exchanged.numpy()) or generate(batch, exchanged)
    for _ in range(2):
        learner.update(batch)
    own = tf.one_hot(batch["attribute"], 2).numpy()
    for exchanged in seen:
        assert (exchanged[own == 1] == 1).all()
        assert 16 < exchanged[own == 0].sum() < 48
    assert not same(*seen)
    made = generate(batch, seen[0])
    c, _ = learner.generator.edit(batch["a"], batch["b"][:, None], seen[0][:, None])
    np.testing.assert_allclose(made.edited[:64], c, atol=1e-5)
