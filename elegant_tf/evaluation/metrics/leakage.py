"""Leakage: how far edits of one attribute move a classifier's probabilities of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table
from elegant_tf.images import resize


@dataclass(frozen=True)
class Movement:
    """How far the classifier's probabilities move, see `leakage_matrix`; rows and columns are `attributes`.

    `matrix`: from the input to the edited image; `against_target`: from the target to the edited image, None without
    targets (a hat rightly hides bangs, and the target shows that); `off_diagonal`: the mean off the diagonal, against
    the targets if there are any.
    """

    attributes: Sequence[str]
    matrix: Sequence[Sequence[float]]
    against_target: Sequence[Sequence[float]] | None
    off_diagonal: float


@dataclass(frozen=True)
class Leakage(Metric):
    """`leakage`: how far the classifier's probabilities move."""

    leakage: Movement

    @classmethod
    def measure(cls, context: Context) -> Leakage | None:
        if context.classifier is None:
            return None
        judge, edits, edited = context.classifier, context.edits, context.edited
        matrix = judged = leakage_matrix(judge, edits.attributes, edits.inputs, edited, edits.attribute)
        against_target = None
        if context.counterfactuals is not None:
            targets = context.counterfactuals.targets
            judged = leakage_matrix(judge, edits.attributes, targets, edited, edits.attribute)
            against_target = judged.tolist()
        return cls(Movement(edits.attributes, matrix.tolist(), against_target, off_diagonal(judged)))

    def tables(self) -> list[Table]:
        found = self.leakage
        note = "How far the classifier's probability of the column's attribute, after edits of the row's, is from "
        if found.against_target is None:
            note += "that of the input; off the diagonal, 0 is perfect."
        else:
            note += "that of the target; 0 is perfect."
        note += f" Mean off the diagonal: {found.off_diagonal:.3f}."
        rows = zip(found.attributes, found.against_target or found.matrix, strict=True)
        cells = [(name, *("" if np.isnan(value) else f"{value:.3f}" for value in row)) for name, row in rows]
        return [Table("Leakage", note, ("edited", *found.attributes), cells)]


def leakage_matrix(
    classifier: AttributeClassifier,
    attributes: Sequence[str],
    before: np.ndarray,
    after: np.ndarray,
    attribute: np.ndarray,
) -> np.ndarray:
    """How far edits of one attribute move the probability of each: float64 `[n, n]`.

    Row i, column j is the mean of `|p_j(after) - p_j(before)|` over the edits of attribute i; the row of an attribute
    without edits is NaN. The diagonal is the wanted change, the rest is leakage. A wanted change may entail others (a
    hat hides bangs): with counterfactual targets as `before`, every entry is unwanted.

    Args:
        classifier: may know more attributes than these, in another order.
        attributes: the n names.
        before: images uint8 `[M, S, S, 3]`, resized to the classifier's size if theirs is another.
        after: the same images edited.
        attribute: int `[M]`, which of `attributes` was edited.

    Raises:
        UserError: the classifier does not know all of them, or the numbers of images disagree.
    """
    if not len(before) == len(after) == len(attribute):
        raise UserError(f"{len(before)} images before, {len(after)} after and {len(attribute)} edits: must be equal")
    columns = columns_of(classifier, attributes)
    old, new = (classifier.probabilities(_resized(images, classifier.image_size)) for images in (before, after))
    moved = np.abs(new - old)[:, columns]
    matrix = np.full((len(attributes), len(attributes)), np.nan)
    for index in np.unique(attribute):
        matrix[index] = moved[attribute == index].mean(axis=0)
    return matrix


def off_diagonal(matrix: np.ndarray) -> float:
    """The mean of a `leakage_matrix` off its diagonal, over the rows that have edits; NaN without any."""
    others = matrix[~np.eye(len(matrix), dtype=bool)]
    known = others[np.isfinite(others)]
    return float(known.mean()) if known.size else float("nan")


def columns_of(classifier: AttributeClassifier, attributes: Sequence[str]) -> list[int]:
    """The places of attributes in the classifier's answers. Raises UserError if it does not know all of them."""
    if lacking := [name for name in attributes if name not in classifier.attributes]:
        raise UserError(
            f"the classifier does not know {', '.join(lacking)}, only {', '.join(classifier.attributes)}: "
            "train one with `elegant-tf train-classifier --run RUN`"
        )
    return [classifier.attributes.index(name) for name in attributes]


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    if not len(images):
        return np.empty((0, size, size, 3), np.uint8)
    return np.stack([resize(image, size) for image in images])
