"""Robustness: what edits still do when inputs are shifted, turned, scaled, compressed, blurred, darker or brighter."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from elegant_tf.data.disturbance import about_centre, blurred, compressed, known, lit, moved
from elegant_tf.data.similarity import Similarity
from elegant_tf.evaluation.bootstrap import Interval, confidence_interval
from elegant_tf.evaluation.counterfactuals import Counterfactuals
from elegant_tf.evaluation.edits import Evaluated
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.plots import Plot
from elegant_tf.evaluation.report.tables import Table, interval_cell
from elegant_tf.scoring import Sums

# Of so many edits of a kind, one is disturbed: with all its levels it must cost little beside the rest.
ONE_OF = 64

# Between the directions in which successive edits are shifted: they never repeat and cover the circle evenly.
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


class Disturbed(NamedTuple):
    """What a disturbance does to one edit.

    `apply`: from the input and the target, uint8 `[S, S, 3]` each, to both disturbed.
    `measured`: the pixels to measure, bool `[S, S]`.
    """

    apply: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    measured: np.ndarray


@dataclass(frozen=True)
class Disturbance:
    """A disturbance of several levels; at `neutral` it would do nothing.

    `of(level, number, size)`: what it does to edit `number`, whose images have the side `size`.
    """

    name: str
    unit: str
    neutral: float
    levels: tuple[float, ...]
    of: Callable[[float, int, int], Disturbed]


@dataclass(frozen=True)
class Point:
    """Edits at one level of a disturbance, `none` for the same edits undisturbed.

    realised, leak: means over the edits.
    change: of realised, from the undisturbed edits.
    interval: of the change, 95 % (bootstrap over the edits).
    """

    disturbance: str
    level: float
    realised: float
    change: float
    interval: Interval
    leak: float
    count: int


@dataclass(frozen=True)
class Robustness(Metric):
    """`robustness`: the undisturbed edits, then a row per disturbance and level."""

    robustness: Sequence[Point]

    @classmethod
    def measure(cls, context: Context) -> Robustness | None:
        edits = context.counterfactuals
        if edits is None:
            return None
        rows = np.concatenate([rows[: max(1, len(rows) // ONE_OF)] for _, _, rows in edits.kinds()])
        columns = (edits.inputs, edits.exemplars, edits.attribute, edits.direction, edits.targets)
        some = Counterfactuals(edits.attributes, *(column[rows] for column in columns))
        return cls(robustness(context.editor, some, context.edited[rows]))

    def tables(self) -> list[Table]:
        return [
            Table(
                "Robustness",
                "The same edits with disturbed inputs, measured against targets that are disturbed alike (with JPEG: "
                "the disturbed input with the exact change); exemplars are not disturbed. change: of realised, from "
                "the undisturbed edits; 95 %: its bootstrap confidence interval over edits. Where a moved image has no "
                "content, nothing is measured.",
                ("disturbance", "unit", "level", "realised", "change", "95 %", "leak", "n"),
                [_cells(point) for point in self.robustness],
                words=2,
                plots=_plots(self.robustness),
            )
        ]


def robustness(editor: Evaluated, edits: Counterfactuals, edited: np.ndarray) -> list[Point]:
    """Disturbs edits in every way; `edited`: their results when undisturbed, uint8 `[M, S, S, 3]`."""
    whole = np.ones(edits.inputs.shape[:3], bool)
    before = list(map(_sums, edits.inputs, edits.targets, edited, whole))
    points = [_point("none", 0, before, before)]
    for kind in DISTURBANCES:
        for level in kind.levels:
            points.append(_point(kind.name, level, _disturbed(editor, edits, kind, level), before))
    return points


def _disturbed(editor: Evaluated, edits: Counterfactuals, kind: Disturbance, level: float) -> list[Sums]:
    """The sums of each edit at a level."""
    ways = [kind.of(level, number, edits.inputs.shape[1]) for number in range(len(edits))]
    pairs = [way.apply(*pair) for way, *pair in zip(ways, edits.inputs, edits.targets, strict=True)]
    inputs, targets = map(np.stack, zip(*pairs, strict=True))
    edited = editor.edit(inputs, edits.exemplars[:, None], edits.coefficients)
    return list(map(_sums, inputs, targets, edited, (way.measured for way in ways)))


def _sums(before: np.ndarray, wanted: np.ndarray, after: np.ndarray, measured: np.ndarray) -> Sums:
    """The sums of one edit, images uint8 `[S, S, 3]`, over the pixels bool `[S, S]`."""
    return Sums.of(*(image[measured][None, None] for image in (before, wanted, after)))


def _point(name: str, level: float, sums: Sequence[Sums], before: Sequence[Sums]) -> Point:
    realised = np.array([edit.realised() for edit in sums])
    changes = realised - [edit.realised() for edit in before]
    return Point(
        name,
        level,
        float(realised.mean()),
        float(changes.mean()),
        confidence_interval(len(sums), lambda rows: float(changes[rows].mean())),
        float(np.mean([edit.leak() for edit in sums])),
        len(sums),
    )


def _move(similarity: Similarity, size: int) -> Disturbed:
    return Disturbed(_alike(lambda image: moved(image, similarity)), known(size, similarity))


def _change(change: Callable[[np.ndarray], np.ndarray], size: int) -> Disturbed:
    return Disturbed(_alike(change), np.ones((size, size), bool))


def _alike(
    change: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    return lambda before, wanted: (change(before), change(wanted))


def _compress(quality: int, size: int) -> Disturbed:
    """The target's change, uncompressed, is added to the compressed input: no edit can foresee its compression."""

    def apply(before: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        after = compressed(before, quality)
        target = after.astype(np.int16) + wanted - before
        return after, np.clip(target, 0, 255).astype(np.uint8)

    return Disturbed(apply, np.ones((size, size), bool))


DISTURBANCES = (
    Disturbance(
        "shift",
        "% of the side",
        0,
        (1, 2, 4),
        lambda level, number, size: _move(
            about_centre(size, shift=cmath.rect(level / 100, number * _GOLDEN_ANGLE)), size
        ),
    ),
    Disturbance(
        "turn",
        "degrees",
        0,
        (2, 5, 10),
        # To the right and to the left, in turn.
        lambda level, number, size: _move(about_centre(size, angle=math.radians(level) * (-1) ** number), size),
    ),
    Disturbance(
        "scale",
        "%",
        100,
        (90, 95, 105, 110),
        lambda level, number, size: _move(about_centre(size, scale=level / 100), size),
    ),
    Disturbance(
        "JPEG",
        "quality",
        100,
        (20, 50, 80),
        lambda level, number, size: _compress(int(level), size),
    ),
    Disturbance(
        "blur",
        "sigma, % of the side",
        0,
        (0.5, 1, 2),
        lambda level, number, size: _change(lambda image: blurred(image, level / 100), size),
    ),
    Disturbance(
        "light",
        "%",
        100,
        (60, 80, 120, 140),
        lambda level, number, size: _change(lambda image: lit(image, level / 100), size),
    ),
)
"""All disturbances, in the order of the report."""

_UNITS = {kind.name: kind.unit for kind in DISTURBANCES}


def _cells(point: Point) -> tuple[str, ...]:
    disturbed = point.disturbance in _UNITS
    return (
        point.disturbance,
        _UNITS.get(point.disturbance, ""),
        f"{point.level:g}" if disturbed else "",
        f"{point.realised:.3f}",
        f"{point.change:+.3f}" if disturbed else "",
        interval_cell(point.interval, 2) if disturbed else "",
        f"{point.leak:.2f}",
        str(point.count),
    )


def _plots(points: Sequence[Point]) -> list[Plot]:
    """Realised, then leak, over the levels of each disturbance, all on the same axes."""
    undisturbed, *rest = points
    plots = []
    for field in ("realised", "leak"):
        values = [getattr(point, field) for point in points]
        span = (min(0.0, *values), max(values))
        for kind in DISTURBANCES:
            line = {point.level: getattr(point, field) for point in rest if point.disturbance == kind.name}
            line = dict(sorted({**line, kind.neutral: getattr(undisturbed, field)}.items()))
            title = f"{field}: {kind.name}, {kind.unit}"
            ticks = [(level, f"{level:g}") for level in line]
            plots.append(Plot(title, list(line), list(line.values()), ticks, span, dots=True))
    return plots
