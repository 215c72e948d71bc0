from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.errors import UserError
from elegant_tf.losses.reconstruction import Residual
from elegant_tf.training.build import make_learner
from elegant_tf.training.update import choose_exchanged, generate

pytestmark = pytest.mark.usefixtures("plain_layers")


def make(**overrides):
    config = tiny.config(**overrides)
    keras.utils.set_random_seed(0)
    return config, make_learner(config)


def values(network):
    return [variable.numpy() for variable in network.weights]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def freeze(step):
    """Keeps an optimizer from moving anything."""
    step.optimizer.apply = lambda gradients, variables: None


def test_generating_exchanges_each_examples_own_attribute():
    config, learner = make()
    batch, generator = tiny.batch(config), learner.generator
    assert len(set(batch["attribute"].numpy())) == 2
    made = generate(generator, batch, choose_exchanged(batch, 0.0, None))
    own = tf.one_hot(batch["attribute"], 2)[:, None]
    c, _ = generator.edit(batch["a"], batch["b"][:, None], own)
    d, residual_d = generator.edit(batch["b"], batch["a"][:, None], own)
    a1, _ = generator.edit(batch["a"], batch["b"][:, None], 0 * own)
    b1, _ = generator.edit(batch["b"], batch["a"][:, None], 0 * own)
    np.testing.assert_allclose(made.edited, tf.concat([c, d], 0), atol=1e-6)
    np.testing.assert_allclose(made.reconstructed, tf.concat([a1, b1], 0), atol=1e-6)
    np.testing.assert_allclose(made.residuals[config.data.batch_size :], residual_d, atol=1e-6)
    y_c, y_d = np.split(made.edited_labels, 2)
    trained = own[:, 0].numpy() == 1
    np.testing.assert_array_equal(y_c, np.where(trained, batch["y_b"], batch["y_a"]))
    np.testing.assert_array_equal(y_d, np.where(trained, batch["y_a"], batch["y_b"]))


@pytest.mark.parametrize("name", ["official", "paper"])
def test_losses_are_weighted_as_published(name):
    paper = {
        "reconstruction_norm": "l1",
        "reconstruction_weight": 1.0,
        "discriminator_weight": 1.0,
        "half_scale_weight": 1.0,
    }
    config, learner = make(precision="float64", **(paper if name == "paper" else {}))
    found = {key: float(value) for key, value in learner.update(tiny.batch(config)).items()}
    assert set(found) == {
        *("generator", "discriminator", "reconstruction", "adversarial_full", "adversarial_half"),
        *("discriminator_full", "discriminator_half"),
    }
    full, half = found["discriminator_full"], found["discriminator_half"]
    expected = full + half if name == "paper" else (full + 0.5 * half) / 4
    assert found["discriminator"] == pytest.approx(expected, rel=1e-12)
    reconstruction, full, half = (found[key] for key in ("reconstruction", "adversarial_full", "adversarial_half"))
    expected = reconstruction + full + half if name == "paper" else 5 * reconstruction + full + 0.5 * half
    assert found["generator"] == pytest.approx(expected, rel=1e-12)


def test_the_updated_discriminators_judge_the_generator():
    config, learner = make(learning_rate=1e-2)
    batch = tiny.batch(config)
    freeze(learner.generator_step)
    by_updated = float(learner.update(batch)["adversarial_full"])
    config, learner = make(learning_rate=1e-2)
    freeze(learner.generator_step)
    freeze(learner.discriminator_step)
    by_old = float(learner.update(batch)["adversarial_full"])
    assert by_updated != pytest.approx(by_old, rel=1e-3)


def test_each_half_moves_its_own_networks_only():
    for frozen in ("generator", "discriminator"):
        config, learner = make()
        freeze(getattr(learner, f"{frozen}_step"))
        still, moving = learner.generator, learner.discriminator
        still, moving = (still, moving) if frozen == "generator" else (moving, still)
        before, moved = values(still), values(moving)
        learner.update(tiny.batch(config))
        assert same(values(still), before)
        assert not any(np.array_equal(a, b) for a, b in zip(values(moving), moved, strict=True))


TERMS = ["mismatch_weight", "r1_weight", "cycle_weight", "style_cycle_weight", "residual_weight", "mask_weight"]


@pytest.mark.parametrize("term", TERMS)
def test_further_terms_count_by_their_weight(term):
    half = "discriminator" if term in ("mismatch_weight", "r1_weight") else "generator"

    def loss(weight):
        config, learner = make(precision="float64", mask=term == "mask_weight", **{term: weight})
        freeze(learner.discriminator_step)
        return float(learner.update(tiny.batch(config))[half])

    without, once, twice = loss(0.0), loss(1.0), loss(2.0)
    assert once > without
    assert twice - without == pytest.approx(2 * (once - without), rel=1e-6)


class Noise:
    """A term with random numbers, of a user's own."""

    name, weight = "noise", 1.0

    def __call__(self, generator, batch, generated, step):
        noise = tf.random.stateless_normal(tf.shape(generated.edited), step.seed, dtype=generated.edited.dtype)
        return tf.reduce_mean(generated.edited * noise)


def test_a_users_term_is_summed_in_with_random_numbers_of_seed_and_update():
    def losses(updates=0, **overrides):
        config = tiny.config(precision="float64", **overrides)
        keras.utils.set_random_seed(0)
        learner = make_learner(config, terms=[Noise(), Residual(2.0)])
        learner.updates.assign(updates)
        freeze(learner.generator_step)
        return {name: float(value) for name, value in learner.update(tiny.batch(config)).items()}

    first = losses()
    assert losses() == first
    summed = 5 * first["reconstruction"] + first["adversarial_full"] + 0.5 * first["adversarial_half"]
    assert first["generator"] == pytest.approx(summed + first["noise"] + 2 * first["residual"], rel=1e-9)
    assert len({losses(**options)["noise"] for options in ({}, {"seed": 1}, {"seed": 2**31}, {"updates": 1})}) == 4


def test_two_terms_of_one_name_are_refused():
    with pytest.raises(ValueError, match="needs a name of its own; received generator"):
        make_learner(tiny.config(residual_weight=1.0), terms=[Residual(2.0)])


def test_compiling_several_replicas_is_refused():
    with pytest.raises(UserError, match="--jit: compiles the updates of one device, and 2 train"):
        make_learner(tiny.config(jit=True), replicas=2)


@pytest.mark.parametrize(("size", "depth"), [(36, 2), (40, 3), (48, 4), (96, 5)])
def test_any_image_size_that_the_generator_takes_can_be_trained(size, depth):
    config, learner = make(image_size=size, depth=depth, batch_size=2)
    terms = learner.update(tiny.batch(config))
    assert all(np.isfinite(float(term)) for term in terms.values())


@pytest.mark.parametrize("conditioning", ["planes", "projection"])
def test_both_kinds_of_conditioning_learn_from_mismatches(conditioning):
    config, learner = make(conditioning=conditioning, mismatch_weight=1.0, learning_rate=3e-3)
    batch = tiny.batch(config)
    freeze(learner.generator_step)
    update = tf.function(learner.update, autograph=False)
    losses = [float(update(batch)["discriminator"]) for _ in range(60)]
    # Not the last one alone: at this rate it fluctuates.
    assert np.mean(losses[-10:]) < 0.9 * losses[0]


def test_updates_are_counted():
    config, learner = make()
    for count in (1, 2, 3):
        learner.update(tiny.batch(config, count))
        assert int(learner.updates) == int(learner.generator_step.optimizer.iterations) == count


def test_graph_and_eager_agree():
    options = {"precision": "float64", "cycle_weight": 1.0, "style_cycle_weight": 1.0, "r1_weight": 1.0}
    config, eager = make(**options)
    _, compiled = make(**options)
    update = tf.function(compiled.update, autograph=False)
    for seed in range(2):
        batch = tiny.batch(config, seed)
        expected, found = eager.update(batch), update(batch)
        assert {name: float(value) for name, value in found.items()} == pytest.approx(
            {name: float(value) for name, value in expected.items()}, rel=1e-9
        )
    for a, b in zip(values(eager.generator), values(compiled.generator), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_the_average_forgets_half_in_its_half_life():
    config, learner = make(ema_half_life=3.0)
    start = values(learner.average)
    assert same(start, values(learner.generator))
    assert learner.editing_generator is learner.average
    freeze(learner.generator_step)
    for variable in learner.generator.weights:
        variable.assign_add(tf.ones_like(variable))
    for seed in range(3):
        learner.update(tiny.batch(config, seed))
    for before, after in zip(start, values(learner.average), strict=True):
        np.testing.assert_allclose(after - before, 0.5, atol=1e-5)


def test_without_a_half_life_there_is_no_average():
    _, learner = make()
    assert learner.average is None
    assert learner.editing_generator is learner.generator


@pytest.mark.parametrize(
    ("precision", "norm", "compiled"),
    [
        ("mixed_float16", "l2", True),
        ("mixed_bfloat16", "l2", False),
        ("mixed_float16", "spectral", False),
        ("mixed_float16", "instance", False),
    ],
)
def test_mixed_precision_updates_near_float32(precision, norm, compiled):
    judging = {"discriminator_norm": norm, "image_size": 48 if norm == "instance" else 32}
    judging["conditioning"] = "projection"  # one score alone has no direction to move
    config, learner = make(precision=precision, **judging)
    _, exact = make(**judging)
    update, batch = tf.function(learner.update, autograph=False) if compiled else learner.update, tiny.batch(config)
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


def test_other_attributes_are_exchanged_along_by_chance():
    config, learner = make(exchange_share=0.5, batch_size=64)
    batch = tiny.batch(config)
    seeds = tf.constant([[0, 1], [0, 2]])
    seen = [choose_exchanged(batch, 0.5, seed).numpy() for seed in seeds]
    own = tf.one_hot(batch["attribute"], 2).numpy()
    for exchanged in seen:
        assert (exchanged[own == 1] == 1).all()
        assert 16 < exchanged[own == 0].sum() < 48
    assert not same(*seen)
    made = generate(learner.generator, batch, tf.constant(seen[0]))
    c, _ = learner.generator.edit(batch["a"], batch["b"][:, None], seen[0][:, None])
    np.testing.assert_allclose(made.edited[:64], c, atol=1e-5)
