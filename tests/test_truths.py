"""Edits with right answers: who is edited by whom, what they should become, and which come in which batch."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from elegant_tf.data import faces
from elegant_tf.data.sources import FacesSource
from elegant_tf.data.truths import Truths, truth_dataset
from elegant_tf.images import to_float

SIZE = 32


@pytest.fixture(scope="module")
def source():
    return FacesSource(tiny.ATTRIBUTES, SIZE, seed=3, count=24)


@pytest.fixture(scope="module")
def truths(source):
    return Truths(source, 18, seed=5)


def elements(source, truths, count, batch_size=6, seed=0, **options):
    dataset = truth_dataset(source, truths, batch_size, seed, **options)
    return list(dataset.take(count).as_numpy_iterator())


def test_every_attribute_is_added_removed_and_restyled_alike(source, truths):
    attribute = truths.weights.argmax(1)
    np.testing.assert_array_equal(truths.weights.sum(1), 1)
    sides = source.labels[truths.inputs, attribute], source.labels[truths.exemplars, attribute]
    kinds = sorted(zip(attribute.tolist(), *(side.tolist() for side in sides), strict=True))
    assert kinds == sorted((index, *kind) for index in (0, 1) for kind in ((0, 1), (1, 0), (1, 1)) for _ in range(3))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_pictures_are_of_the_inputs_wearing_what_is_given(source, share):
    truths = Truths(source, 8, seed=1, share=share)
    if share:
        assert set(truths.weights.sum(1)) == {1, 2}
    for row in range(len(truths)):
        names = [name for name, weight in zip(source.attributes, truths.weights[row], strict=True) if weight]
        face = source.faces[truths.inputs[row]].wearing(source.faces[truths.exemplars[row]], names)
        np.testing.assert_array_equal(truths.pictures[row], face.draw(SIZE))


def test_the_seed_chooses_the_people(source, truths):
    again, other = Truths(source, 18, seed=5), Truths(source, 18, seed=6)
    np.testing.assert_array_equal(again.inputs, truths.inputs)
    np.testing.assert_array_equal(again.pictures, truths.pictures)
    assert (other.inputs != truths.inputs).any()


def test_batches_hold_each_edit_once_an_epoch(source, truths):
    found = elements(source, truths, 6)
    for epoch in (found[:3], found[3:]):
        assert sorted(_rows(source, truths, epoch)) == list(range(len(truths)))
    assert _rows(source, truths, found[:3]) != _rows(source, truths, found[3:])


def _rows(source, truths, batches):
    """Which edit each example is, by its three pictures."""
    columns = (source.images[truths.inputs], source.images[truths.exemplars], truths.pictures)
    wanted = np.stack([to_float(column.astype(np.float32)) for column in columns], 1)
    shown = np.concatenate([np.stack([batch[role] for role in ("input", "exemplar", "truth")], 1) for batch in batches])
    rows = []
    for picture in shown:
        matching = [row for row in np.flatnonzero((wanted == picture).all((1, 2, 3, 4))) if row not in rows]
        rows.append(int(matching[0]))
    return rows


def test_batches_go_on_from_any_number(source, truths):
    whole, later = elements(source, truths, 5, flip=True), elements(source, truths, 2, flip=True, start=3)
    for one, other in zip(whole[3:], later, strict=True):
        assert one.keys() == other.keys() == {"input", "exemplar", "truth", "given"}
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    reseeded = elements(source, truths, 5, seed=1)
    assert any((one["truth"] != other["truth"]).any() for one, other in zip(whole, reseeded, strict=True))


def test_an_input_is_mirrored_with_its_truth_and_exemplars_by_themselves(source, truths):
    plain, flipped = elements(source, truths, 12), elements(source, truths, 12, flip=True)
    mirrored = {name: [] for name in ("input", "exemplar", "truth")}
    for one, other in zip(plain, flipped, strict=True):
        np.testing.assert_array_equal(one["given"], other["given"])
        for name, seen in mirrored.items():
            turned = one[name][:, :, ::-1]
            same = (other[name] == one[name]).all((1, 2, 3))
            assert (same | (other[name] == turned).all((1, 2, 3))).all()
            seen += same.tolist()
    assert mirrored["input"] == mirrored["truth"] != mirrored["exemplar"]
    assert 0 < sum(mirrored["input"]) < len(mirrored["input"])


def test_truths_are_of_training_people(source, truths):
    held_out = faces.make_counterfactuals(3, 20, tiny.ATTRIBUTES)
    people = {repr(face.identity) for face in source.faces}
    assert not people & {repr(face.identity) for pair in held_out for face in (pair.input, pair.exemplar)}
