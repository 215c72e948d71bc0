"""What metrics measure with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from elegant_tf.config import Config
from elegant_tf.data.source import Source
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.counterfactuals import Counterfactuals
from elegant_tf.evaluation.edits import EVALUATION_SEED, Edits, Evaluated

Extract: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Images, uint8 RGB `[N, S, S, 3]`, to features, float `[N, D]`."""

# Edits per attribute and direction.
COUNT = 64
# The same for distances between sets of images.
DISTANCE_EDITS = 500


@dataclass(frozen=True)
class Context:
    """An editor, its edits, and what judges them.

    Args:
        editor: the run's.
        config: the run's.
        edits: the held-out edits, with counterfactual targets or without.
        edited: what the editor makes of them, uint8 `[M, S, S, 3]`.
        classifier: of attributes, if there is one.
        source: held-out images to compare sets of edits with; needed with `extractors`.
        extractors: features for distances between sets of images, by name.
        describers: features to compare identities in, by name.
        distance_count: edits per attribute and direction for distances between sets, at most.
        count: edits per attribute and direction; metrics that draw further edits draw fewer with a lower count.
        seed: of the evaluation set.
    """

    editor: Evaluated
    config: Config
    edits: Edits
    edited: np.ndarray
    classifier: AttributeClassifier | None = None
    source: Source | None = None
    extractors: Mapping[str, Extract] = field(default_factory=dict)
    describers: Mapping[str, Extract] = field(default_factory=dict)
    distance_count: int = DISTANCE_EDITS
    count: int = COUNT
    seed: int = EVALUATION_SEED

    @property
    def counterfactuals(self) -> Counterfactuals | None:
        """The edits, if they have counterfactual targets."""
        return self.edits if isinstance(self.edits, Counterfactuals) else None

    @property
    def can_draw(self) -> bool:
        """Whether further edits with counterfactual targets can be drawn: the run was trained on drawn faces."""
        return self.counterfactuals is not None and self.config.data.kind == "faces"
