"""What an evaluation measures. A metric is one module here and one entry in `METRICS`."""

from __future__ import annotations

from elegant_tf.evaluation.metrics.combinations import Combinations
from elegant_tf.evaluation.metrics.cost import Cost
from elegant_tf.evaluation.metrics.distribution import Distances
from elegant_tf.evaluation.metrics.generation import GenerationAccuracy
from elegant_tf.evaluation.metrics.groups import Groups
from elegant_tf.evaluation.metrics.identity import IdentityPreservation
from elegant_tf.evaluation.metrics.interpolation import Interpolation
from elegant_tf.evaluation.metrics.leakage import Leakage
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.metrics.reconstruction import Reconstruction
from elegant_tf.evaluation.metrics.robustness import Robustness
from elegant_tf.evaluation.metrics.scores import Scores
from elegant_tf.evaluation.metrics.style_fidelity import StyleFidelity

METRICS: list[type[Metric]] = [
    Scores,
    StyleFidelity,
    Combinations,
    Reconstruction,
    Interpolation,
    IdentityPreservation,
    Leakage,
    GenerationAccuracy,
    Robustness,
    Distances,
    Groups,
    Cost,
]
"""All metrics, in the order of the report."""
