"""Giving back what was exchanged: from whom, to whom, and what it teaches."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.losses import relative_error
from elegant_tf.training.restoration import next_alike, shifted
from elegant_tf.training.step import Learner


def make(updates=0, **overrides):
    config = tiny.config(precision="float64", **{"restoration_weight": 1.0, "restyle_weight": 1.0, **overrides})
    keras.utils.set_random_seed(0)
    learner = Learner(config)
    learner.updates.assign(updates)
    return config, learner


def terms(updates=0, **overrides):
    config, learner = make(updates, **overrides)
    batch = tiny.batch(config)
    return {name: float(term) for name, term in learner.restorations(batch, learner.generate(batch)).items()}


PLAIN = {"exemplar_shift": 0, "restoration_noise": 0.0}


@pytest.mark.parametrize("carried", [0.0, 1.0])
def test_what_was_exchanged_is_given_back(carried):
    config, learner = make(carrier_share=carried, **PLAIN)
    batch = tiny.batch(config)
    found = learner.restorations(batch, learner.generate(batch))
    edit = learner.generator.edit
    weights = tf.one_hot(batch["attribute"], 2, dtype=tf.float64)[:, None]
    a, b, partners = batch["a"], batch["b"], next_alike(batch["attribute"]).numpy()
    assert (partners != np.arange(config.batch_size)).any()
    c, d = (edit(one, other[:, None], weights)[0] for one, other in ((a, b), (b, a)))
    wearer = d if carried else a
    again_a = edit(c, wearer[:, None], weights)[0]
    again_b = edit(d, tf.gather(b, partners)[:, None], weights)[0]
    wanted = float(relative_error(again_a, a, c) + relative_error(again_b, b, d))
    assert float(found["restoration"]) == pytest.approx(wanted, rel=1e-9)
    styled = edit(c, tf.gather(a, partners)[:, None], weights)[0]
    wanted = float(relative_error(edit(styled, wearer[:, None], weights)[0], a, styled))
    assert float(found["restyle"]) == pytest.approx(wanted, rel=1e-9)


def test_of_several_attributes_only_the_one_that_b_lacks_comes_from_another():
    config, learner = make(exchange_share=1.0, carrier_share=0.0, **PLAIN)
    batch = tiny.batch(config)
    everything = tf.ones([config.batch_size, 2], tf.float64)
    found = learner.restorations(batch, learner.generate(batch, everything))
    edit, weights = learner.generator.edit, everything[:, None]
    own = tf.one_hot(batch["attribute"], 2, dtype=tf.float64)[:, None]
    a, b = batch["a"], batch["b"]
    c, d = (edit(one, other[:, None], weights)[0] for one, other in ((a, b), (b, a)))
    exemplars = tf.stack([tf.gather(b, next_alike(batch["attribute"])), b], axis=1)
    again_b = edit(d, exemplars, tf.concat([own, 1.0 - own], 1))[0]
    wanted = float(relative_error(edit(c, a[:, None], weights)[0], a, c) + relative_error(again_b, b, d))
    assert float(found["restoration"]) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_carriers_alone_teach_edited_images(share):
    config, learner = make(carrier_share=share)
    batch = tiny.batch(config)
    made = learner.generate(batch)
    with tf.GradientTape() as tape:
        tape.watch(made.edited)
        loss = tf.add_n(list(learner.restorations(batch, made).values()))
    slopes = tf.split(tape.gradient(loss, made.edited), 2)
    assert [bool(tf.reduce_any(slope != 0)) for slope in slopes] == [False, bool(share)]


@pytest.mark.parametrize(("given", "left"), [("restoration", "restyle"), ("restyle", "restoration")])
def test_only_what_has_a_weight_is_a_term(given, left):
    assert set(terms(**{f"{left}_weight": 0.0})) == {given}


@pytest.mark.parametrize("option", [{"restoration_noise": 0.5}, {"exemplar_shift": 3}, {"carrier_share": 0.5}])
def test_chance_is_a_function_of_seed_and_update(option):
    options = {"carrier_share": 0.0, **PLAIN, **option}
    first = terms(**options)
    assert terms(**options) == first
    others = [terms(**{**options, "seed": 1}), terms(1, **options)]
    assert all(other["restyle"] != first["restyle"] for other in others)


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
def test_partners_go_round_among_those_about_the_same(attribute, partners):
    assert next_alike(tf.constant(attribute)).numpy().tolist() == partners


def test_shifted_pictures_are_cuts_of_the_reflected_ones():
    images = np.random.default_rng(0).random((40, 8, 8, 3)).astype(np.float32)
    moved = shifted(tf.constant(images), 2, tf.constant([0, 1])).numpy()
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
    found = []
    for one, around in zip(moved, padded, strict=True):
        cuts = {(y, x): around[y : y + 8, x : x + 8] for y in range(5) for x in range(5)}
        found += [place for place, cut in cuts.items() if np.array_equal(cut, one)]
    assert len(found) == len(images)
    ys, xs = map(set, zip(*found, strict=True))
    assert (ys, xs) == (set(range(5)), set(range(5)))
