"""The scorecard by group, of edits whose numbers are known."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

from elegant_tf.evaluation import shares
from elegant_tf.evaluation.counterfactuals import Counterfactuals
from elegant_tf.evaluation.edits import Edits
from elegant_tf.evaluation.metrics import groups as module
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.groups import Groups
from elegant_tf.scoring import Sums, mean_over_kinds

PEOPLE = {"Male": np.array(["yes", "no"] * 6), "region": np.array(["north"] * 5 + ["south"] * 7)}
ATTRIBUTE, DIRECTION = np.arange(12) // 4 % 2, np.arange(12) // 6


@pytest.fixture(autouse=True)
def few_people(monkeypatch):
    monkeypatch.setattr(module, "FEWEST_PEOPLE", 6)
    monkeypatch.setattr(shares, "confidence_interval", functools.partial(shares.confidence_interval, draws=50))


def random_images(seed):
    return np.random.default_rng(seed).integers(0, 256, (12, 4, 4, 3)).astype(np.uint8)


def measure(edits, edited, classifier=None):
    return Groups.measure(Context(None, None, edits, edited, classifier=classifier))


def test_groups_are_means_over_the_edits_of_their_people():
    inputs, exemplars, targets, edited = map(random_images, range(4))
    targets[:, 2:] = inputs[:, 2:]
    columns = (inputs, exemplars, ATTRIBUTE, DIRECTION)
    edits = Counterfactuals(("Bangs", "Hat"), *columns, targets, people=PEOPLE)
    found = measure(edits, edited).groups
    assert [(group.column, group.value, group.people, group.count) for group in found] == [
        ("all", "", 12, 12),
        ("Male", "no", 6, 6),
        ("Male", "yes", 6, 6),
        ("region", "north", 5, 5),
        ("region", "south", 7, 7),
    ]
    rows = [np.arange(12), np.arange(1, 12, 2), np.arange(0, 12, 2), None, np.arange(5, 12)]
    for group, some in zip(found, rows, strict=True):
        if some is None:
            assert group.means is None
            continue
        sums, kind = Sums.of(inputs[some], targets[some], edited[some]), edits.kind[some]
        realised, leak = mean_over_kinds(sums, kind)
        assert set(group.means) == {"realised", "leak"}
        assert group.means["realised"].value == pytest.approx(realised)
        assert group.means["leak"].value == pytest.approx(leak)
        low, high = group.means["realised"].interval
        assert low < realised < high
        assert group.kinds == len(np.unique(kind))


def test_a_group_of_few_people_is_named_and_not_scored():
    edits = Edits(("Bangs", "Hat"), random_images(0), random_images(1), ATTRIBUTE, DIRECTION, people=PEOPLE)
    found = measure(edits, random_images(2))
    (table,) = found.tables()
    assert table.heads == ("column", "group", "moved", "95 %", "kinds", "people", "n")
    assert table.rows[3] == ("region", "north: too few people", "", "", "2", "5", "5")
    moved = np.abs(random_images(2).astype(int) - random_images(0))[1::2].mean(axis=(1, 2, 3))
    kind = edits.kind[1::2]
    expected = np.mean([moved[kind == one].mean() for one in np.unique(kind)])
    assert table.rows[1][:3] == ("Male", "no", f"{expected:.2f}")
    values = json.loads(json.dumps(found.as_json()))["groups"]
    assert values[3]["means"] is None
    assert set(values[1]["means"]["moved"]) == {"value", "interval"}


def test_an_image_that_is_edited_often_is_one_person():
    inputs = random_images(0)
    inputs[6:] = inputs[:6]
    edits = Edits(("Bangs", "Hat"), inputs, inputs, ATTRIBUTE, DIRECTION, people=PEOPLE)
    assert [(group.people, group.count) for group in measure(edits, random_images(2)).groups[:2]] == [(6, 12), (3, 6)]


def test_a_classifier_adds_its_numbers():
    class Always:
        attributes = ("Hat", "Bangs")

        def probabilities(self, images):
            return np.ones((len(images), 2))

    edits = Edits(("Bangs", "Hat"), random_images(0), random_images(1), ATTRIBUTE, DIRECTION, people=PEOPLE)
    found = measure(edits, random_images(2), Always()).groups
    assert found[0].means["accuracy"].value == 0.5  # It finds what is added and never that something was removed.
    assert found[0].means["kept"].value == 1.0


def test_all_groups_may_be_too_small(monkeypatch):
    monkeypatch.setattr(module, "FEWEST_PEOPLE", 20)
    edits = Edits(("Bangs", "Hat"), random_images(0), random_images(1), ATTRIBUTE, DIRECTION, people=PEOPLE)
    (table,) = measure(edits, random_images(2)).tables()
    assert table.heads == ("column", "group", "kinds", "people", "n")
    assert table.rows[0][:2] == ("all", "too few people")


def test_no_columns_no_groups():
    assert measure(Edits(("Bangs",), *[random_images(0)] * 2, ATTRIBUTE, DIRECTION), random_images(1)) is None
