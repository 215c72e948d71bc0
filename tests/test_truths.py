"""Exchanges with right answers: between whom, what they should become, and which come in which batch."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from elegant_tf.data import faces
from elegant_tf.data.sources import FacesSource
from elegant_tf.data.truths import TRUTH_COLUMNS, Truths, truth_dataset
from elegant_tf.images import to_float

SIZE = 32
PICTURES = TRUTH_COLUMNS[:4]


@pytest.fixture(scope="module")
def source():
    return FacesSource(tiny.ATTRIBUTES, SIZE, seed=3, count=24)


@pytest.fixture(scope="module")
def truths(source):
    return Truths(source, 20, seed=5)


def elements(source, truths, count, batch_size=4, seed=0, **options):
    dataset = truth_dataset(source, truths, batch_size, seed, **options)
    return list(dataset.take(count).as_numpy_iterator())


def test_every_attribute_is_exchanged_with_its_absence_and_for_another_alike(source, truths):
    attribute = truths.weights.argmax(1)
    np.testing.assert_array_equal(truths.weights.sum(1), 1)
    sides = source.labels[truths.people, attribute]
    kinds = sorted(zip(attribute.tolist(), *sides.tolist(), strict=True))
    assert kinds == sorted((index, *kind) for index in (0, 1) for kind in ((1, 0), (1, 1)) for _ in range(5))


def test_an_attribute_named_twice_is_exchanged_twice_as_often(source):
    first, second = tiny.ATTRIBUTES
    truths = Truths(source, 24, seed=5, about=(second, first, second))
    np.testing.assert_array_equal(truths.weights.sum(0), [8, 16])
    attribute = truths.weights.argmax(1)
    both = source.labels[truths.people, attribute].all(0)
    np.testing.assert_array_equal(np.bincount(attribute[both]), [4, 8])


@pytest.mark.parametrize(("share", "both"), [(0.0, 0), (0.25, 3), (0.7, 8), (1.0, 12)])
def test_a_share_is_of_two_who_both_have_it(source, share, both):
    truths = Truths(source, 24, seed=5, restyle_share=share)
    attribute = truths.weights.argmax(1)
    found = source.labels[truths.people, attribute].all(0)
    np.testing.assert_array_equal(np.bincount(attribute[found], minlength=2), [both, both])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_pictures_are_of_each_wearing_what_the_other_gives(source, share):
    truths = Truths(source, 8, seed=1, share=share)
    if share:
        assert set(truths.weights.sum(1)) == {1, 2}
    for row in range(len(truths)):
        names = [name for name, weight in zip(source.attributes, truths.weights[row], strict=True) if weight]
        a, b = (source.faces[person] for person in truths.people[:, row])
        for picture, face in zip(truths.pictures[:, row], (a.wearing(b, names), b.wearing(a, names)), strict=True):
            np.testing.assert_array_equal(picture, face.draw(SIZE))


def test_the_seed_chooses_the_people(source, truths):
    again, other = Truths(source, 20, seed=5), Truths(source, 20, seed=6)
    np.testing.assert_array_equal(again.people, truths.people)
    np.testing.assert_array_equal(again.pictures, truths.pictures)
    assert (other.people != truths.people).any()


def test_batches_hold_each_pair_once_an_epoch(source, truths):
    found = elements(source, truths, 10)
    for epoch in (found[:5], found[5:]):
        assert sorted(_rows(source, truths, epoch)) == list(range(len(truths)))
    assert _rows(source, truths, found[:5]) != _rows(source, truths, found[5:])


def _rows(source, truths, batches):
    """Which pair each example is, by its four pictures, told forward or backward."""
    columns = (*source.images[truths.people], *truths.pictures)
    wanted = np.stack([to_float(column.astype(np.float32)) for column in columns], 1)
    shown = np.concatenate([np.stack([batch[name] for name in PICTURES], 1) for batch in batches])
    rows = []
    for pictures in shown:
        told = [(wanted == seen).all((1, 2, 3, 4)) for seen in (pictures, np.roll(pictures, 2, axis=0))]
        matching = [row for row in np.flatnonzero(told[0] | told[1]) if row not in rows]
        rows.append(int(matching[0]))
    return rows


def test_some_pairs_are_told_backward(source, truths):
    before = {source.images[person].tobytes() for person in truths.people.ravel()}
    first = np.concatenate([batch["truth_a"] for batch in elements(source, truths, 20)])
    forward = [np.rint((image + 1) * 127.5).astype(np.uint8).tobytes() in before for image in first]
    assert 0 < sum(forward) < len(forward)


def test_batches_go_on_from_any_number(source, truths):
    whole, later = elements(source, truths, 5, flip=True), elements(source, truths, 2, flip=True, start=3)
    for one, other in zip(whole[3:], later, strict=True):
        assert one.keys() == other.keys() == set(TRUTH_COLUMNS)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    reseeded = elements(source, truths, 5, seed=1)
    assert any((one["truth_c"] != other["truth_c"]).any() for one, other in zip(whole, reseeded, strict=True))


def test_pairs_are_mirrored_whole(source, truths):
    plain, flipped = elements(source, truths, 12), elements(source, truths, 12, flip=True)
    mirrored = []
    for one, other in zip(plain, flipped, strict=True):
        np.testing.assert_array_equal(one["truth_weights"], other["truth_weights"])
        before, after = (np.stack([batch[name] for name in PICTURES], axis=1) for batch in (one, other))
        for pair, seen in zip(before, after, strict=True):
            turned = pair[:, :, ::-1]
            mirrored.append(bool((seen != pair).any()))
            np.testing.assert_array_equal(seen, turned if mirrored[-1] else pair)
    assert 0 < sum(mirrored) < len(mirrored)


def test_truths_are_of_training_people(source, truths):
    held_out = faces.make_counterfactuals(3, 20, tiny.ATTRIBUTES)
    people = {repr(face.identity) for face in source.faces}
    assert not people & {repr(face.identity) for pair in held_out for face in (pair.input, pair.exemplar)}
