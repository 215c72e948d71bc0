"""How well edits match exact counterfactuals: what was realised, and what leaked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from elegant_tf.evaluation.triples import Triples


@dataclass(frozen=True)
class Score:
    """One attribute in one direction, or the mean of several.

    realised: `1 - sum|edited - truth| / sum|input - truth|` over the pixels that the truth changes; 1 is
        perfect, 0 is what leaving the input alone would give.
    leak: mean `|edited - input|`, 0 to 255, over the pixels that the truth leaves alone; 0 is perfect.
    psnr: decibels, against the truth, whole image.
    ssim: structural similarity to the truth, whole image, 1 is perfect.
    """

    attribute: str
    direction: str
    realised: float
    leak: float
    psnr: float
    ssim: float
    count: int


def scorecard(triples: Triples, edited: np.ndarray) -> list[Score]:
    """Scores edited images, uint8 `[M, S, S, 3]`: a row per attribute and direction that the triples hold."""
    scores = []
    for index, name in enumerate(triples.attributes):
        for adding in (True, False):
            chosen = (triples.attribute == index) & (triples.adding == adding)
            if chosen.any():
                images = (triples.inputs[chosen], triples.truths[chosen], edited[chosen])
                scores.append(_score(name, "add" if adding else "remove", *images))
    return scores


def mean_score(scores: Sequence[Score]) -> Score:
    """The plain mean over rows, each attribute and direction counting alike."""
    means = {
        field: float(np.mean([getattr(score, field) for score in scores]))
        for field in ("realised", "leak", "psnr", "ssim")
    }
    return Score("mean", "both", count=sum(score.count for score in scores), **means)


def _score(name: str, direction: str, inputs: np.ndarray, truths: np.ndarray, edited: np.ndarray) -> Score:
    changed = (inputs != truths).any(axis=-1)
    wide = [images.astype(np.float64) for images in (inputs, truths, edited)]
    before, wanted, after = wide
    missing = np.abs(after - wanted)[changed].sum() / max(np.abs(before - wanted)[changed].sum(), 1e-12)
    strayed = np.abs(after - before)[~changed]
    return Score(
        name,
        direction,
        realised=float(1.0 - missing),
        leak=float(strayed.mean()) if strayed.size else 0.0,
        psnr=float(tf.reduce_mean(tf.image.psnr(edited, truths, 255))),
        ssim=float(tf.reduce_mean(tf.image.ssim(tf.constant(edited), tf.constant(truths), 255))),
        count=len(inputs),
    )


def as_rows(scores: Sequence[Score]) -> list[dict[str, str | float | int]]:
    """The scores as plain dictionaries, for JSON."""
    return [dataclasses.asdict(score) for score in scores]
