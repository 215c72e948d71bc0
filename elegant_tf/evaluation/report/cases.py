"""Single edits as images: the best, the worst and random ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elegant_tf.evaluation.counterfactuals import Counterfactuals
from elegant_tf.evaluation.edits import Edits
from elegant_tf.images import grid

CASES, CASES_ACROSS = 12, 3


def columns(edits: Edits, edited: np.ndarray) -> dict[str, np.ndarray]:
    """What an edit is shown as, from left to right: images uint8 `[M, S, S, 3]` by label."""
    targets = {"target": edits.targets} if isinstance(edits, Counterfactuals) else {}
    return {"input": edits.inputs, "exemplar": edits.exemplars, **targets, "edited": edited}


def draw_cases(edits: Edits, edited: np.ndarray, best_first: np.ndarray | None, seed: int) -> dict[str, np.ndarray]:
    """Grids of edits, uint8 `[H, W, 3]`, by heading: the best, the worst, and random ones.

    Args:
        edits: M edits.
        edited: their results, uint8 `[M, S, S, 3]`.
        best_first: int `[M]`, the edits in their order; None: it is unknown, and random ones alone are drawn.
        seed: of the random ones.
    """
    random = np.random.default_rng(seed).permutation(len(edits))[:CASES]
    chosen = {"Random edits": random}
    if best_first is not None:
        chosen = {"Best edits": best_first[:CASES], "Worst edits": best_first[::-1][:CASES], **chosen}
    return {heading: _case_grid(columns(edits, edited), rows) for heading, rows in chosen.items()}


def _case_grid(shown: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    cases = np.stack([images[rows] for images in shown.values()], axis=1)
    whole = len(rows) // CASES_ACROSS * CASES_ACROSS or len(rows)
    return grid(cases[:whole].reshape(-1, *cases.shape[2:]), columns=len(shown) * min(CASES_ACROSS, whole))
