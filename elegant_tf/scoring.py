"""How far edits come to their targets, in sums over pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sums:
    """The sums that scores consist of, for each of M edits: float64 `[M]`.

    `missing`, `wanted`: `|edited - target|` and `|input - target|`, summed over the pixels in which target and input
    differ; `strayed`: `|edited - input|`, summed over the `kept` values in which they are equal.
    """

    missing: np.ndarray
    wanted: np.ndarray
    strayed: np.ndarray
    kept: np.ndarray

    @classmethod
    def of(cls, inputs: np.ndarray, targets: np.ndarray, edited: np.ndarray) -> Sums:
        """The sums of images uint8 `[M, S, S, 3]`. A pixel counts as changed if any of its channels is."""
        before, wanted, after = (images.astype(np.int16) for images in (inputs, targets, edited))
        changed = (before != wanted).any(axis=-1, keepdims=True)

        def total(values: np.ndarray, where: np.ndarray) -> np.ndarray:
            return np.asarray(np.sum(np.abs(values), axis=(1, 2, 3), where=where, dtype=np.float64))

        kept = 3.0 * np.sum(~changed, axis=(1, 2, 3))
        return cls(
            total(after - wanted, changed), total(before - wanted, changed), total(after - before, ~changed), kept
        )

    def realised(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Over the edits of these rows, with equal weight for every pixel."""
        return float(1.0 - self.missing[rows].sum() / max(self.wanted[rows].sum(), 1e-12))

    def leak(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Over the edits of these rows, with equal weight for every pixel."""
        return float(self.strayed[rows].sum() / max(self.kept[rows].sum(), 1.0))


def mean_over_kinds(sums: Sums, kind: np.ndarray) -> tuple[float, float]:
    """Realised change and leak: the unweighted means over kinds, `kind` int `[M]`."""
    rows = [np.flatnonzero(kind == one) for one in np.unique(kind)]
    return float(np.mean([sums.realised(of) for of in rows])), float(np.mean([sums.leak(of) for of in rows]))
