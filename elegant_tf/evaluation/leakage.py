"""What else an edit changed: how far a classifier's answers about each attribute moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.images import resize


class Classifier(Protocol):
    """Tells which attributes pictures show, as `classifier.AttributeClassifier` does."""

    attributes: tuple[str, ...]
    image_size: int

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 `[N, S, S, 3]` to float `[N, n]` in [0, 1]."""
        ...


def leakage_matrix(
    classifier: Classifier,
    attributes: Sequence[str],
    before: np.ndarray,
    after: np.ndarray,
    attribute: np.ndarray,
) -> np.ndarray:
    """How far edits of one attribute moved each: float64 `[n, n]`.

    Row i, column j is the mean of `|p_j(after) - p_j(before)|` over the edits of attribute i; NaN in the whole row if
    there is none. The diagonal is the wanted change, all else leaked. A wanted change can have others along with it (a
    hat hides bangs): given the right answers as `before`, all that is left was not wanted.

    Args:
        classifier: may know more attributes than these, in another order.
        attributes: the n names.
        before: pictures uint8 `[M, S, S, 3]`, resized if of another size than the classifier's.
        after: the same pictures edited.
        attribute: int `[M]`, which of `attributes` was edited.

    Raises:
        UserError: the classifier does not know all of them, or the numbers of pictures disagree.
    """
    if not len(before) == len(after) == len(attribute):
        raise UserError(f"{len(before)} pictures before, {len(after)} after and {len(attribute)} edits: must be equal")
    columns = _columns(classifier, attributes)
    answers = [classifier.probabilities(_resized(images, classifier.image_size)) for images in (before, after)]
    moved = np.abs(answers[1] - answers[0])[:, columns]
    matrix = np.full((len(attributes), len(attributes)), np.nan)
    for index in np.unique(attribute):
        matrix[index] = moved[attribute == index].mean(axis=0)
    return matrix


def off_diagonal(matrix: np.ndarray) -> float:
    """The mean of a `leakage_matrix` beside its diagonal, over the rows that have edits; NaN if nothing is there."""
    beside = matrix[~np.eye(len(matrix), dtype=bool)]
    known = beside[np.isfinite(beside)]
    return float(known.mean()) if known.size else float("nan")


def _columns(classifier: Classifier, attributes: Sequence[str]) -> list[int]:
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
