"""How well edits match counterfactual targets: the realised change and the leak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from elegant_tf.evaluation.bootstrap import Interval, confidence_interval
from elegant_tf.evaluation.counterfactuals import Counterfactuals
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table, interval_cell
from elegant_tf.scoring import Sums


@dataclass(frozen=True)
class Score:
    """One attribute in one direction, or the mean of several.

    realised: `1 - sum|edited - target| / sum|input - target|` over the pixels in which target and input differ; 1 is
        perfect, 0 is the unedited input.
    leak: mean `|edited - input|`, 0 to 255, over the pixels in which target and input are equal; 0 is perfect.
    psnr: decibels, against the target, whole image.
    ssim: structural similarity to the target, whole image, 1 is perfect.
    realised_interval, leak_interval: 95 % confidence intervals (bootstrap over the edits of the kind).
    """

    attribute: str
    direction: str
    realised: float
    leak: float
    psnr: float
    ssim: float
    count: int
    realised_interval: Interval
    leak_interval: Interval


@dataclass(frozen=True)
class Scores(Metric):
    """`rows`: a score per attribute and direction; `mean`: their mean."""

    rows: Sequence[Score]
    mean: Score

    @classmethod
    def measure(cls, context: Context) -> Scores | None:
        if context.counterfactuals is None:
            return None
        rows = scorecard(context.counterfactuals, context.edited)
        return cls(rows, mean_score(rows))

    def tables(self) -> list[Table]:
        return [
            Table(
                "Edits against counterfactual targets",
                "realised: the share of the target's change that the edit makes, 1 is perfect; leak: the mean absolute "
                "change of all other pixels, of 255, 0 is perfect; 95 %: bootstrap confidence intervals over edits.",
                ("attribute", "direction", "realised", "95 %", "leak", "95 %", "PSNR", "SSIM", "n"),
                [_cells(score) for score in [*self.rows, self.mean]],
                words=2,
            )
        ]

    @property
    def captions(self) -> Mapping[tuple[str, str], str]:
        """The scores in words, by attribute and direction."""
        return {
            (row.attribute, row.direction): f"realised {row.realised:.2f}   leak {row.leak:.1f}" for row in self.rows
        }


def scorecard(counterfactuals: Counterfactuals, edited: np.ndarray) -> list[Score]:
    """Scores edited images, uint8 `[M, S, S, 3]`: a row per attribute and direction that occurs."""
    inputs, targets = counterfactuals.inputs, counterfactuals.targets
    return [
        score(name, direction, inputs[rows], targets[rows], edited[rows])
        for name, direction, rows in counterfactuals.kinds()
    ]


def score(name: str, direction: str, inputs: np.ndarray, targets: np.ndarray, edited: np.ndarray) -> Score:
    """Scores edits of one kind, images uint8 `[M, S, S, 3]`."""
    sums = Sums.of(inputs, targets, edited)
    return Score(
        name,
        direction,
        realised=sums.realised(),
        leak=sums.leak(),
        psnr=float(tf.reduce_mean(tf.image.psnr(edited, targets, 255))),
        ssim=float(tf.reduce_mean(tf.image.ssim(tf.constant(edited), tf.constant(targets), 255))),
        count=len(inputs),
        realised_interval=confidence_interval(len(inputs), sums.realised),
        leak_interval=confidence_interval(len(inputs), sums.leak),
    )


def mean_score(scores: Sequence[Score]) -> Score:
    """The unweighted mean over rows; its intervals assume that rows are independent."""
    means: dict[str, Any] = {
        field: float(np.mean([getattr(score, field) for score in scores]))
        for field in ("realised", "leak", "psnr", "ssim")
    }
    intervals: dict[str, Any] = {
        f"{field}_interval": _mean_interval(means[field], [getattr(score, f"{field}_interval") for score in scores])
        for field in ("realised", "leak")
    }
    return Score("mean", "all", count=sum(score.count for score in scores), **means, **intervals)


def best_first(counterfactuals: Counterfactuals, edited: np.ndarray) -> np.ndarray:
    """Rows of the edits by what each realised, the best first: int `[M]`."""
    sums = Sums.of(counterfactuals.inputs, counterfactuals.targets, edited)
    return np.argsort(sums.missing / np.maximum(sums.wanted, 1.0), kind="stable")


def _mean_interval(mean: float, intervals: Sequence[Interval]) -> Interval:
    half = float(np.sqrt(np.sum([((high - low) / 2) ** 2 for low, high in intervals])) / len(intervals))
    return mean - half, mean + half


def _cells(score: Score) -> tuple[str, ...]:
    return (
        score.attribute,
        score.direction,
        f"{score.realised:.3f}",
        interval_cell(score.realised_interval, 2),
        f"{score.leak:.2f}",
        interval_cell(score.leak_interval, 1),
        f"{score.psnr:.2f}",
        f"{score.ssim:.3f}",
        str(score.count),
    )
