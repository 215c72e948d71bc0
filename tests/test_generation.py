"""Attribute generation accuracy by a classifier whose answers are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from elegant_tf.errors import UserError
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.counterfactuals import Counterfactuals, draw_counterfactuals
from elegant_tf.evaluation.edits import DIRECTIONS, Edits
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.generation import GenerationAccuracy, Judge
from elegant_tf.images import to_float
from elegant_tf.rundir import SHIPPED
from elegant_tf.scoring import Sums, mean_over_kinds

NAMES = ("Bangs", "Smiling", "Mustache")
BLACK, RED, GREEN, BLUE = (0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200)
PURPLE, CYAN = (200, 0, 200), (0, 200, 200)


class ByColour:
    """Red is Mustache, green Bangs, blue Smiling, each as probable as it is bright."""

    attributes = ("Mustache", "Bangs", "Smiling")

    def probabilities(self, images):
        return np.reshape([image.mean(axis=(0, 1)) / 255 for image in images], (-1, 3))


def flat(*colours) -> np.ndarray:
    """Images of one colour each, all different."""
    images = np.stack([np.full((8, 8, 3), colour, np.uint8) for colour in colours])
    images[:, 0, 0, 0] = np.arange(len(images))
    return images


BY_COLOUR = ByColour()

# Bangs added twice, a smile removed, a mustache restyled.
EDITS = Edits(
    NAMES,
    inputs=flat(BLACK, BLUE, BLUE, RED),
    exemplars=flat(GREEN, BLACK, BLACK, RED),
    attribute=np.array([0, 0, 1, 2]),
    direction=np.array([DIRECTIONS.index(name) for name in ("add", "add", "remove", "restyle")]),
)
# Right; wrong, without the smile and with a mustache; right, with a mustache; not counted.
EDITED = flat(GREEN, RED, RED, BLACK)
TARGETS = Counterfactuals(**vars(EDITS), targets=flat(GREEN, CYAN, PURPLE, RED))


def measure(edits=EDITS, edited=EDITED, classifier=BY_COLOUR):
    return GenerationAccuracy.measure(Context(None, None, edits, edited, classifier=classifier))


def test_known_edits():
    found = measure()
    add, remove = found.generation
    assert (add.attribute, add.direction, add.accuracy, add.kept, add.count) == ("Bangs", "add", 0.5, 0.5, 2)
    assert (remove.attribute, remove.direction, remove.count) == ("Smiling", "remove", 1)
    assert (remove.accuracy, remove.kept) == (1.0, 0.5)
    assert add.real == 0.75  # It finds no bangs in the second exemplar.
    assert remove.real == 1.0
    assert add.accuracy_interval == (0.0, 1.0)
    assert np.isnan(remove.accuracy_interval).all()
    mean = found.generation_mean
    assert (mean.accuracy, mean.real, mean.kept, mean.count) == (0.75, 0.875, 0.5, 3)
    assert add.target_accuracy is add.target_kept is None
    (table,) = found.tables()
    assert [row[:3] for row in table.rows] == [
        ("Bangs", "add", "0.500"),
        ("Smiling", "remove", "1.000"),
        ("mean", "all", "0.750"),
    ]
    assert "target" not in table.heads
    assert {len(row) for row in table.rows} == {len(table.heads)}


def test_targets_are_judged_in_the_same_way():
    found = measure(TARGETS)
    add, remove = found.generation
    assert (add.target_accuracy, add.target_kept) == (1.0, 1.0)
    assert (remove.target_accuracy, remove.target_kept) == (0.0, 0.5)
    assert (add.accuracy, add.real) == (0.5, 0.75)
    (table,) = found.tables()
    assert table.rows[0][table.heads.index("target")] == "1.000"
    assert {len(row) for row in table.rows} == {len(table.heads)}


def test_an_attribute_alone_has_no_others_to_keep():
    alone = dataclasses.replace(EDITS, attributes=("Bangs",), attribute=np.zeros(4, int))
    found = measure(alone)
    assert np.isnan(found.generation_mean.kept)
    assert found.tables()[0].rows[0][5:7] == ("", "")


def test_edits_of_one_person_are_drawn_together():
    columns = (EDITS.inputs, EDITS.exemplars, EDITS.attribute, EDITS.direction)
    both = Edits(NAMES, *(np.concatenate([column, column]) for column in columns))
    alone = measure().generation[0]
    together = measure(both, np.concatenate([EDITED, EDITED])).generation[0]
    assert (together.accuracy_interval, together.count) == (alone.accuracy_interval, 4)


def test_without_a_classifier_or_edits_to_count():
    restyled = dataclasses.replace(EDITS, direction=np.full(4, DIRECTIONS.index("restyle")))
    assert measure(classifier=None) is measure(restyled) is None
    with pytest.raises(UserError, match="the classifier does not know Male"):
        Judge(ByColour(), dataclasses.replace(EDITS, attributes=("Bangs", "Male", "Mustache")))


def test_accuracy_can_be_fooled_where_realised_cannot():
    """A change too faint to see, along the gradient of the classifier, passes for an edit."""
    judge = AttributeClassifier.load(SHIPPED / "faces" / "classifier")
    edits = draw_counterfactuals(0, judge.attributes, 64, count=2, directions=("add", "remove"))
    edited = edits.inputs.astype(np.float32)
    sign = np.where(edits.direction == DIRECTIONS.index("add"), 1.0, -1.0)[:, None]
    aim = tf.constant(sign * np.eye(len(judge.attributes))[edits.attribute], tf.float32)
    for _ in range(4):
        images = tf.constant(edited)
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits, _ = judge.network(to_float(images), training=False)
            found = tf.reduce_sum(logits * aim)
        edited = np.clip(edited + 2 * np.sign(tape.gradient(found, images)), 0, 255)
    edited = edited.astype(np.uint8)
    assert np.abs(edited.astype(int) - edits.inputs).max() <= 8
    realised, _ = mean_over_kinds(Sums.of(edits.inputs, edits.targets, edited), edits.kind)
    assert measure(edits, edits.inputs, judge).generation_mean.accuracy < 0.1
    assert measure(edits, edited, judge).generation_mean.accuracy == 1.0
    assert realised < 0.0
