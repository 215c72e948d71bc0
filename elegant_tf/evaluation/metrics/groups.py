"""The scorecard by group: means over the edits of people who are alike in a column of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.generation import Judge
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table, interval_cell
from elegant_tf.evaluation.shares import Mean, Shares, people_in, pixel_shares

# People of a group, at least: an interval over fewer says too little.
FEWEST_PEOPLE = 20

# Numbers in the order of the report: what they mean, and digits after the point.
_MEANINGS = {
    "realised": ("the share of the target's change that the edit makes", 3),
    "leak": ("the mean absolute change of all other pixels, of 255", 2),
    "moved": ("the mean absolute change of all pixels, of 255", 2),
    "accuracy": ("the share of edits in which the classifier finds the wanted value", 3),
    "kept": ("the share of other attributes for which it answers as for the input", 3),
}


@dataclass(frozen=True)
class Group:
    """The `count` edits of the `people` who have a `value` in a `column`.

    `kinds`: how many attributes and directions there are among the edits; `means`: the unweighted means over kinds,
    with 95 % confidence intervals (bootstrap over people), by the name of the number; None if there are fewer people
    than `FEWEST_PEOPLE`.
    """

    column: str
    value: str
    people: int
    count: int
    kinds: int
    means: Mapping[str, Mean] | None


@dataclass(frozen=True)
class Groups(Metric):
    """`groups`: all people together, then a row for each value of each column of `Edits.people`."""

    groups: Sequence[Group]

    @classmethod
    def measure(cls, context: Context) -> Groups | None:
        edits = context.edits
        if not edits.people:
            return None
        targets = context.counterfactuals.targets if context.counterfactuals else None
        numbers = pixel_shares(edits.inputs, context.edited, targets)
        if context.classifier:
            numbers |= Judge(context.classifier, edits).shares(context.edited)
        person = people_in(edits.inputs)
        groups = [_group("all", "", numbers, edits.kind, person)]
        for column, values in edits.people.items():
            for value in np.unique(values).tolist():
                rows = np.flatnonzero(values == value)
                some = {name: shares.take(rows) for name, shares in numbers.items()}
                groups.append(_group(column, value, some, edits.kind[rows], person[rows]))
        return cls(groups)

    def tables(self) -> list[Table]:
        names = list(next((group.means for group in self.groups if group.means), {}))
        meanings = "".join(f"{name}: {_MEANINGS[name][0]}; " for name in names)
        heads = [cell for name in names for cell in (name, "95 %")]
        return [
            Table(
                "By group",
                f"{meanings}95 %: bootstrap confidence intervals over people. Means over the kinds of edits "
                "(attributes and directions) of the people whose images were edited. A group needs "
                f"{FEWEST_PEOPLE} people.",
                ("column", "group", *heads, "kinds", "people", "n"),
                [_cells(group, names) for group in self.groups],
                words=2,
            )
        ]


def _group(column: str, value: str, numbers: Mapping[str, Shares], kind: np.ndarray, person: np.ndarray) -> Group:
    people = len(np.unique(person))
    enough = people >= FEWEST_PEOPLE
    means = {name: Mean.of(shares, kind, person) for name, shares in numbers.items()} if enough else None
    return Group(column, value, people, len(kind), len(np.unique(kind)), means)


def _cells(group: Group, names: Sequence[str]) -> tuple[str, ...]:
    shown = [cell for name in names for cell in (_mean_cells(group.means[name], name) if group.means else ("", ""))]
    value = group.value if group.means else f"{group.value}: too few people".removeprefix(": ")
    return group.column, value, *shown, str(group.kinds), str(group.people), str(group.count)


def _mean_cells(mean: Mean, name: str) -> tuple[str, str]:
    digits = _MEANINGS[name][1]
    return "" if np.isnan(mean.value) else f"{mean.value:.{digits}f}", interval_cell(mean.interval, digits)
