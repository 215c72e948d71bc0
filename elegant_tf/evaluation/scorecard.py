"""How well edits match exact counterfactuals: what was realised, and what leaked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from elegant_tf.evaluation.bootstrap import confidence_interval
from elegant_tf.evaluation.triples import Triples

Interval = tuple[float, float]


@dataclass(frozen=True)
class Score:
    """One attribute in one direction, or the mean of several.

    realised: `1 - sum|edited - truth| / sum|input - truth|` over the pixels that the truth changes; 1 is
        perfect, 0 is what leaving the input alone would give.
    leak: mean `|edited - input|`, 0 to 255, over the pixels that the truth leaves alone; 0 is perfect.
    psnr: decibels, against the truth, whole image.
    ssim: structural similarity to the truth, whole image, 1 is perfect.
    realised_interval, leak_interval: where 95 % of values lie if other edits of the kind had been drawn (bootstrap).
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
class Sums:
    """What scores are made of, for each of M edits: float64 `[M]`.

    `missing`, `wanted`: `|edited - truth|` and `|input - truth|`, summed where the truth changes the input; `strayed`:
    `|edited - input|`, summed over the `kept` values that it leaves alone.
    """

    missing: np.ndarray
    wanted: np.ndarray
    strayed: np.ndarray
    kept: np.ndarray

    @classmethod
    def of(cls, inputs: np.ndarray, truths: np.ndarray, edited: np.ndarray) -> Sums:
        """The sums of images uint8 `[M, S, S, 3]`. A pixel counts as changed if any of its channels is."""
        before, wanted, after = (images.astype(np.int16) for images in (inputs, truths, edited))
        changed = (before != wanted).any(axis=-1, keepdims=True)

        def total(values: np.ndarray, where: np.ndarray) -> np.ndarray:
            return np.sum(np.abs(values), axis=(1, 2, 3), where=where, dtype=np.float64)

        kept = 3.0 * np.sum(~changed, axis=(1, 2, 3))
        return cls(
            total(after - wanted, changed), total(before - wanted, changed), total(after - before, ~changed), kept
        )

    def realised(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Over the edits of these rows, all pixels counting alike."""
        return float(1.0 - self.missing[rows].sum() / max(self.wanted[rows].sum(), 1e-12))

    def leak(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Over the edits of these rows, all pixels counting alike."""
        return float(self.strayed[rows].sum() / max(self.kept[rows].sum(), 1.0))


def scorecard(triples: Triples, edited: np.ndarray) -> list[Score]:
    """Scores edited images, uint8 `[M, S, S, 3]`: a row per attribute and direction that the triples hold."""
    return [
        score(name, direction, triples.inputs[rows], triples.truths[rows], edited[rows])
        for name, direction, rows in triples.kinds()
    ]


def score(name: str, direction: str, inputs: np.ndarray, truths: np.ndarray, edited: np.ndarray) -> Score:
    """Scores edits of one kind, images uint8 `[M, S, S, 3]`."""
    sums = Sums.of(inputs, truths, edited)
    return Score(
        name,
        direction,
        realised=sums.realised(),
        leak=sums.leak(),
        psnr=float(tf.reduce_mean(tf.image.psnr(edited, truths, 255))),
        ssim=float(tf.reduce_mean(tf.image.ssim(tf.constant(edited), tf.constant(truths), 255))),
        count=len(inputs),
        realised_interval=confidence_interval(len(inputs), sums.realised),
        leak_interval=confidence_interval(len(inputs), sums.leak),
    )


def mean_score(scores: Sequence[Score]) -> Score:
    """The plain mean over rows, each counting alike; its intervals as if they were independent."""
    means = {
        field: float(np.mean([getattr(score, field) for score in scores]))
        for field in ("realised", "leak", "psnr", "ssim")
    }
    intervals = {
        f"{field}_interval": _mean_interval(means[field], [getattr(score, f"{field}_interval") for score in scores])
        for field in ("realised", "leak")
    }
    return Score("mean", "all", count=sum(score.count for score in scores), **means, **intervals)


def _mean_interval(mean: float, intervals: Sequence[Interval]) -> Interval:
    half = float(np.sqrt(np.sum([((high - low) / 2) ** 2 for low, high in intervals])) / len(intervals))
    return mean - half, mean + half


def as_rows(scores: Sequence[Score]) -> list[dict[str, str | float | int | Interval]]:
    """The scores as plain dictionaries, for JSON."""
    return [dataclasses.asdict(score) for score in scores]
