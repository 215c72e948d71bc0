"""All that is measured of an editor, on drawn people whose right answers are known or on held-out pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elegant_tf.config import Config
from elegant_tf.data.sources import Source
from elegant_tf.editor import Editor
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.combinations import Combination, evaluate_combinations
from elegant_tf.evaluation.distribution import Distance, Extract, distances
from elegant_tf.evaluation.edits import EVALUATION_SEED, Edits, edit_all
from elegant_tf.evaluation.identity import Describe, identity_distance
from elegant_tf.evaluation.interpolation import Interpolation, evaluate_interpolation
from elegant_tf.evaluation.leakage import leakage_matrix, off_diagonal
from elegant_tf.evaluation.lineups import Fidelity, draw_lineups, fidelities
from elegant_tf.evaluation.reconstruction import Reconstruction, evaluate_reconstruction
from elegant_tf.evaluation.scorecard import Score, mean_score, scorecard
from elegant_tf.evaluation.triples import Triples

# Of each kind: edits in a line-up, combinations; and in all: edits that are interpolated, pictures that are
# reconstructed.
LINEUPS, COMBINATIONS = 32, 100
INTERPOLATIONS, RECONSTRUCTIONS = 60, 400
# Edits per attribute and direction whose distance to real pictures is taken.
DISTANCE_EDITS = 500


@dataclass(frozen=True)
class Leakage:
    """How far the classifier's answers move, as `leakage.leakage_matrix` says; rows and columns are the attributes.

    `matrix`: from the input to the edited image; `against_truth`: from the truth to it, None where there is none: a hat
    hides bangs, and rightly so. `off_diagonal`: the mean beside the diagonal, against the truth if there is one.
    """

    matrix: Sequence[Sequence[float]]
    against_truth: Sequence[Sequence[float]] | None
    off_diagonal: float


@dataclass(frozen=True)
class Identity:
    """How far edits moved people in descriptions of them, as a share of how far apart strangers are.

    `moved`: from the input; `wanted`: the truth's own distance from it, which a perfect edit has, too; `from_truth`:
    from the truth, 0 is perfect; both None where there is no truth.
    """

    moved: float
    wanted: float | None
    from_truth: float | None


@dataclass(frozen=True)
class Measurements:
    """What could be measured; None or empty where it could not.

    `scores`, `fidelity` and `combinations` need right answers; `leakage` a classifier; `identity` (by what describes
    people) something that does; `distances` (by whose features) held-out pictures with and without each attribute.
    """

    scores: Sequence[Score]
    fidelity: Sequence[Fidelity]
    combinations: Sequence[Combination]
    reconstruction: Reconstruction
    interpolation: Interpolation
    leakage: Leakage | None
    identity: Mapping[str, Identity]
    distances: Mapping[str, Sequence[Distance]]

    @property
    def mean(self) -> Score | None:
        """The mean of the scores."""
        return mean_score(self.scores) if self.scores else None

    @property
    def rank_one(self) -> float | None:
        """The mean of fidelity's shares."""
        return float(np.mean([row.rank_one for row in self.fidelity])) if self.fidelity else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = dataclasses.asdict(self)
        rows = plain.pop("scores")
        mean = self.mean
        return {"rows": rows, "mean": dataclasses.asdict(mean) if mean else None, "rank_one": self.rank_one, **plain}


def measure(
    editor: Editor,
    config: Config,
    edits: Edits,
    classifier: AttributeClassifier | None = None,
    source: Source | None = None,
    extractors: Mapping[str, Extract] | None = None,
    describers: Mapping[str, Describe] | None = None,
    distance_count: int = DISTANCE_EDITS,
    seed: int = EVALUATION_SEED,
) -> tuple[Measurements, np.ndarray]:
    """Edits and judges; also returns the edited images, uint8 `[M, S, S, 3]`.

    Args:
        editor: of the run.
        config: the run's; line-ups and combinations are drawn if it learned from the drawn faces.
        edits: what to try, with right answers or without.
        classifier: for leakage, if there is one.
        source: held-out pictures, for distances by the features of `extractors`.
        extractors: by name.
        describers: by name, of people, for identity.
        distance_count: edits per attribute and direction whose distance is taken, at most.
        seed: whose people are in line-ups and combinations, and which pictures distances are taken of.
    """
    edited = edit_all(editor, edits)
    known = isinstance(edits, Triples)
    drawn = known and config.data == "faces"
    measurements = Measurements(
        scores=scorecard(edits, edited) if known else [],
        fidelity=_fidelity(editor, config, seed) if drawn else [],
        combinations=_combinations(editor, config, seed) if drawn else [],
        reconstruction=evaluate_reconstruction(editor, _some(edits, RECONSTRUCTIONS).inputs),
        interpolation=evaluate_interpolation(editor, _some(edits, INTERPOLATIONS)),
        leakage=_leakage(classifier, edits, edited) if classifier else None,
        identity={name: _identity(describe, edits, edited) for name, describe in (describers or {}).items()},
        distances={
            name: distances(editor, source, extract, distance_count, seed)
            for name, extract in (extractors or {}).items()
        },
    )
    return measurements, edited


def _fidelity(editor: Editor, config: Config, seed: int) -> list[Fidelity]:
    lineups = draw_lineups(seed, config.attributes, config.image_size, LINEUPS)
    return fidelities(lineups, edit_all(editor, lineups))


def _combinations(editor: Editor, config: Config, seed: int) -> list[Combination]:
    return evaluate_combinations(editor, seed, config.attributes, config.image_size, COMBINATIONS)


def _leakage(classifier: AttributeClassifier, edits: Edits, edited: np.ndarray) -> Leakage:
    matrix = leakage_matrix(classifier, edits.attributes, edits.inputs, edited, edits.attribute)
    against = (
        leakage_matrix(classifier, edits.attributes, edits.truths, edited, edits.attribute)
        if isinstance(edits, Triples)
        else None
    )
    judged = matrix if against is None else against
    return Leakage(matrix.tolist(), None if against is None else against.tolist(), off_diagonal(judged))


def _identity(describe: Describe, edits: Edits, edited: np.ndarray) -> Identity:
    moved = identity_distance(edits.inputs, edited, describe)
    if not isinstance(edits, Triples):
        return Identity(moved, None, None)
    wanted = identity_distance(edits.inputs, edits.truths, describe)
    return Identity(moved, wanted, identity_distance(edits.truths, edited, describe))


def _some(edits: Edits, most: int) -> Edits:
    """At most so many edits, evenly spread over all kinds."""
    rows = np.arange(0, len(edits), -(-len(edits) // most))
    columns = ("inputs", "exemplars", "attribute", "direction")
    return Edits(edits.attributes, *(getattr(edits, column)[rows] for column in columns))
