"""Attribute generation accuracy: does a classifier find the wanted attribute in edits, and the others as they were?

As AttGAN (He et al., IEEE TIP 2019) and STGAN (Liu et al., CVPR 2019) count it. Restyling is left out: its inputs have
the wanted attribute already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from elegant_tf.evaluation.bootstrap import Interval
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.edits import DIRECTIONS, Edits
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.leakage import columns_of
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table, interval_cell
from elegant_tf.evaluation.shares import Mean, Shares, people_in

_ADD, _REMOVE = DIRECTIONS.index("add"), DIRECTIONS.index("remove")


@dataclass(frozen=True)
class Generation:
    """One attribute in one direction, or the mean of several.

    accuracy: the share of `count` edits in which the classifier finds the wanted value of the edited attribute.
    real: the classifier's own accuracy, on the real inputs and exemplars of these edits; half have the attribute.
    kept: the share of the other attributes for which the classifier answers as for the input; NaN if there is no other.
    target_accuracy, target_kept: accuracy and kept of the counterfactual targets; None without.
    accuracy_interval, kept_interval: 95 % confidence intervals (bootstrap over people).
    """

    attribute: str
    direction: str
    accuracy: float
    accuracy_interval: Interval
    real: float
    kept: float
    kept_interval: Interval
    count: int
    target_accuracy: float | None = None
    target_kept: float | None = None


@dataclass(frozen=True)
class GenerationAccuracy(Metric):
    """`generation`: a row per attribute and direction, add or remove; `generation_mean`: their mean."""

    generation: Sequence[Generation]
    generation_mean: Generation

    @classmethod
    def measure(cls, context: Context) -> GenerationAccuracy | None:
        edits = context.edits
        kinds = [kind for kind in edits.kinds() if kind[1] != "restyle"]
        if context.classifier is None or not kinds:
            return None
        judge = Judge(context.classifier, edits)
        numbers = {**judge.shares(context.edited), "real": judge.real_shares()}
        if context.counterfactuals is not None:
            of_targets = judge.shares(context.counterfactuals.targets)
            numbers |= {f"target_{name}": shares for name, shares in of_targets.items()}
        person = people_in(edits.inputs)

        def row(name: str, direction: str, rows: np.ndarray) -> Generation:
            some = {number: shares.take(rows) for number, shares in numbers.items()}
            return _row(name, direction, some, edits.kind[rows], person[rows])

        every = np.concatenate([rows for *_, rows in kinds])
        return cls([row(*kind) for kind in kinds], row("mean", "all", every))

    def tables(self) -> list[Table]:
        has_targets = self.generation_mean.target_accuracy is not None
        note = (
            "accuracy: the share of edits in which the classifier finds the wanted value of the edited attribute; "
            "real: its own accuracy, on the inputs and exemplars of these edits; kept: the share of the other "
            "attributes for which it answers as for the input; 95 %: bootstrap confidence intervals over people."
        )
        if has_targets:
            note += " target: the same of the targets, which perfect edits reach."
        heads = [("accuracy", "95 %"), ("target",), ("real", "kept", "95 %"), ("target",), ("n",)]
        shown = [head for head in heads if has_targets or head != ("target",)]
        return [
            Table(
                "Attribute generation accuracy",
                note,
                ("attribute", "direction", *(cell for head in shown for cell in head)),
                [_cells(row) for row in [*self.generation, self.generation_mean]],
                words=2,
            )
        ]


class Judge:
    """What a classifier finds in the images of M edits: numbers as shares, not known of restyling.

    Args:
        classifier: may know more attributes than the edits, in another order.
        edits: the edits.

    Raises:
        UserError: the classifier does not know an attribute of the edits.
    """

    def __init__(self, classifier: AttributeClassifier, edits: Edits) -> None:
        self._classifier, self._edits = classifier, edits
        self._columns = columns_of(classifier, edits.attributes)
        self._inputs = self._answers(edits.inputs)
        self._counted = np.isin(edits.direction, (_ADD, _REMOVE)).astype(np.float64)
        self._wanted = np.asarray(edits.direction) == _ADD

    def shares(self, edited: np.ndarray) -> dict[str, Shares]:
        """`accuracy` and `kept`, see `Generation`, of edited images uint8 `[M, S, S, 3]`."""
        answers = self._answers(edited)
        others = np.arange(len(self._columns)) != np.asarray(self._edits.attribute)[:, None]
        kept = ((answers == self._inputs) & others).sum(axis=1)
        right = self._of_edited_attribute(answers) == self._wanted
        return {"accuracy": self._share(right, 1), "kept": self._share(kept, others.sum(axis=1))}

    def real_shares(self) -> Shares:
        """The accuracy on inputs and exemplars."""
        inputs, exemplars = map(self._of_edited_attribute, (self._inputs, self._answers(self._edits.exemplars)))
        return self._share(0.0 + (inputs != self._wanted) + (exemplars == self._wanted), 2)

    def _answers(self, images: np.ndarray) -> np.ndarray:
        """Which attributes the images have: bool `[M, n]`."""
        return self._classifier.probabilities(images)[:, self._columns] > 0.5

    def _of_edited_attribute(self, answers: np.ndarray) -> np.ndarray:
        return answers[np.arange(len(answers)), self._edits.attribute]

    def _share(self, part: np.ndarray, whole: np.ndarray | int) -> Shares:
        return Shares(self._counted * part, self._counted * whole)


def _row(name: str, direction: str, numbers: Mapping[str, Shares], kind: np.ndarray, person: np.ndarray) -> Generation:
    accuracy, kept = (Mean.of(numbers[number], kind, person) for number in ("accuracy", "kept"))
    once = np.ones(len(kind), int)
    others = {
        number: shares.mean(kind, once) for number, shares in numbers.items() if number not in ("accuracy", "kept")
    }
    return Generation(
        name,
        direction,
        accuracy=accuracy.value,
        accuracy_interval=accuracy.interval,
        kept=kept.value,
        kept_interval=kept.interval,
        count=len(kind),
        **others,
    )


def _cells(row: Generation) -> tuple[str, ...]:
    return (
        row.attribute,
        row.direction,
        f"{row.accuracy:.3f}",
        interval_cell(row.accuracy_interval, 2),
        *_target_cell(row.target_accuracy),
        f"{row.real:.3f}",
        _number_cell(row.kept),
        interval_cell(row.kept_interval, 3),
        *_target_cell(row.target_kept),
        str(row.count),
    )


def _target_cell(value: float | None) -> tuple[str, ...]:
    return () if value is None else (_number_cell(value),)


def _number_cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"
