"""Matched pairs, which differ in one attribute only."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.data.matching import Matcher
from elegant_tf.data.sampler import PairSampler


@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 99))
def test_partners_lack_the_attribute_and_nobody_is_nearer(images, attributes, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (images, attributes), np.int8)
    labels[0], labels[1] = 0, 1
    trained = random.integers(0, attributes, 20)
    chosen = np.array([random.choice(np.flatnonzero(labels[:, i])) for i in trained])
    partners = Matcher(labels).match(chosen, trained, random.random(20))
    for a, b, i in zip(chosen, partners, trained, strict=True):
        assert labels[b, i] == 0
        others = np.delete(labels, i, axis=1)
        distances = (others != others[a]).sum(axis=1)
        assert distances[b] == distances[labels[:, i] == 0].min()


def test_equally_near_partners_are_equally_likely():
    labels = np.array([[1, 0], *[[0, 0]] * 8, [0, 1]], np.int8)
    count = 8000
    chances = np.random.default_rng(0).random(count)
    partners = Matcher(labels).match(np.zeros(count, int), np.zeros(count, int), chances)
    found = np.bincount(partners, minlength=10)
    assert found[0] == found[9] == 0
    assert (abs(found[1:9] - count / 8) < 150).all()


def test_matching_breaks_what_goes_together():
    """Mustache goes with Male: free pairs differ in both, matched pairs do not."""
    random = np.random.default_rng(0)
    male = random.random(4000) < 0.4
    mustache = male & (random.random(4000) < 0.1)
    labels = np.stack([mustache, male], axis=1).astype(np.int8)
    differ = {}
    for match in ("none", "all"):
        sampler = PairSampler(labels, 100, "round_robin", 0, match=match)
        batches = [sampler.batch(k) for k in range(0, 20, 2)]
        differ[match] = np.mean([labels[batch.a, 1] != labels[batch.b, 1] for batch in batches])
        assert all((labels[batch.a, 0] == 1).all() and (labels[batch.b, 0] == 0).all() for batch in batches)
    assert differ["none"] > 0.5
    assert differ["all"] == 0
