"""Identity preservation: how far edits move people in a feature space, relative to the distance between people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.evaluation.metrics.context import Context, Extract
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table


@dataclass(frozen=True)
class Identity:
    """`identity_distance` of edits: 0 is the same image, 1 a stranger.

    `moved`: from the input to the edited image; `wanted`: from the input to the target, the distance of a perfect
    edit; `from_target`: from the target to the edited image, 0 is perfect; both None without targets.
    """

    moved: float
    wanted: float | None
    from_target: float | None


@dataclass(frozen=True)
class IdentityPreservation(Metric):
    """`identity`: by the name of the features."""

    identity: Mapping[str, Identity]

    @classmethod
    def measure(cls, context: Context) -> IdentityPreservation | None:
        if not context.describers:
            return None
        return cls({name: _measure(context, describe) for name, describe in context.describers.items()})

    def tables(self) -> list[Table]:
        rows = [
            (name, *("" if value is None else f"{value:.3f}" for value in (row.moved, row.wanted, row.from_target)))
            for name, row in self.identity.items()
        ]
        return [
            Table(
                "Identity preservation",
                "Mean distance in features of a person, as a share of that between different people: of edits and of "
                "targets from the inputs, and of edits from the targets (0 is perfect).",
                ("features", "edit to input", "target to input", "edit to target"),
                rows,
            )
        ]


def _measure(context: Context, describe: Extract) -> Identity:
    inputs, edited = context.edits.inputs, context.edited
    moved = identity_distance(inputs, edited, describe)
    if context.counterfactuals is None:
        return Identity(moved, None, None)
    targets = context.counterfactuals.targets
    return Identity(moved, identity_distance(inputs, targets, describe), identity_distance(targets, edited, describe))


def identity_distance(before: np.ndarray, after: np.ndarray, describe: Extract) -> float:
    """How far edits move people, as a share of the distance between people: 0 is the same image, 1 a stranger.

    The mean cosine distance between the descriptions of an image before and after, divided by the mean between
    different images before; equal images there count as one person. Wanted changes move descriptions, too: a perfect
    edit has the distance of its counterfactual target from `before`, not 0.

    Args:
        before: uint8 `[M, S, S, 3]`.
        after: the same images edited.
        describe: images to vectors that are close for the same person: `AttributeClassifier.features` or a
            `FaceDescriber`.

    Raises:
        UserError: the numbers of images differ, or all images before have the same description.
    """
    if len(before) != len(after):
        raise UserError(f"{len(before)} images before and {len(after)} after: must be equal")
    numbers: dict[bytes, int] = {}
    people = np.array([numbers.setdefault(image.tobytes(), len(numbers)) for image in before])
    strangers = people[:, None] != people
    old, new = (_unit(describe(images)) for images in (before, after))
    apart = (1 - old @ old.T)[strangers] if len(numbers) > 1 else np.zeros(1)
    if apart.mean() < 1e-9:
        raise UserError(f"{len(before)} images before: give different people, two at least, to compare with")
    return float((1 - (old * new).sum(axis=1)).mean() / apart.mean())


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
