"""Scores of a method with the package's metrics: a row for each attribute and direction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.plumbing import Task
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.counterfactuals import Counterfactuals
from elegant_tf.evaluation.edits import Evaluated
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.distribution import Distances, enough_for_distances
from elegant_tf.evaluation.metrics.generation import GenerationAccuracy
from elegant_tf.evaluation.metrics.identity import identity_distance
from elegant_tf.evaluation.metrics.scores import scorecard
from elegant_tf.evaluation.metrics.style_fidelity import CANDIDATES, nearest
from elegant_tf.synthetic import DressedCounterfactual, load_photos, make_dressed_counterfactuals
from elegant_tf.synthetic.dressed_folder import held_out_photos
from elegant_tf.synthetic.photo_list import PhotoList


@dataclass(frozen=True)
class Row:
    """How well a method edits one attribute in one direction; docs/evaluation.md explains the numbers.

    `identity`: from the target to the edited image; `rank_one`: None for methods without exemplars, for removing, and
    without galleries; `frechet`: None with too few held-out images.
    """

    attribute: str
    direction: str
    realised: float
    leak: float
    rank_one: float | None
    identity: float
    accuracy: float
    frechet: float | None


def score(
    editor: Evaluated,
    task: Task,
    edits: Counterfactuals,
    edited: np.ndarray,
    judge: AttributeClassifier,
    galleries: Mapping[str, np.ndarray],
) -> list[Row]:
    """Scores for adding and removing.

    Args:
        editor: the method.
        task: what it was given.
        edits: held-out edits of the editor's attributes.
        edited: what it makes of them, uint8 `[M, S, S, 3]`.
        judge: knows the attributes.
        galleries: see `draw_galleries`; empty: no rank 1.
    """
    source = task.source("test", editor.attributes)
    extractors = {"judge": judge.features} if enough_for_distances(source) else {}
    context = Context(editor, task.config(), edits, edited, classifier=judge, source=source, extractors=extractors)
    generation, distances = GenerationAccuracy.measure(context), Distances.measure(context)
    apart = distances.distances["judge"] if distances else []
    accuracy = {(row.attribute, row.direction): row.accuracy for row in generation.generation}
    frechet = {(row.attribute, row.direction): row.frechet for row in apart if row.made == "edited"}
    rows = []
    for found, (name, direction, places) in zip(scorecard(edits, edited), edits.kinds(), strict=True):
        if direction == "restyle":
            continue
        shown = galleries.get(name) if direction == "add" else None
        rows.append(
            Row(
                name,
                direction,
                realised=found.realised,
                leak=found.leak,
                rank_one=None if shown is None else rank_one(edited[places], shown),
                identity=identity_distance(edits.targets[places], edited[places], judge.features),
                accuracy=accuracy[name, direction],
                frechet=frechet.get((name, direction)),
            )
        )
    return rows


def rank_one(edited: np.ndarray, candidates: np.ndarray) -> float:
    """The share of edits `[M, S, S, 3]` that are closest to the first of their candidates `[M, 10, S, S, 3]`."""
    return float((nearest(edited, candidates) == 0).mean())


def draw_galleries(listed: PhotoList, task: Task, edits: Counterfactuals) -> dict[str, np.ndarray]:
    """By attribute, the targets of ten exemplars for each edit that adds it, its own first: uint8 `[M, 10, S, S, 3]`.

    Raises:
        SystemExit: the edits are not of these photos, or too few.
    """
    index = json.loads((Path(task.data_dir) / "counterfactuals/index.json").read_text(encoding="utf-8"))
    paths, landmarks = held_out_photos(listed.paths, listed.landmarks, index["seed"])
    bases = load_photos(paths, landmarks, task.image_size)
    added = {name: places for name, direction, places in edits.kinds() if direction == "add"}
    if min(map(len, added.values())) < CANDIDATES:
        raise SystemExit(
            f"rank 1 takes {CANDIDATES} edits or more that add an attribute: raise --count, or no --photos"
        )
    most = max(map(len, added.values()))
    pairs = list(make_dressed_counterfactuals(bases, index["seed"], most, task.attributes))
    galleries = {}
    for name, places in added.items():
        own = [pair for pair in pairs if pair.direction == "add" and pair.attributes == (name,)][: len(places)]
        galleries[name] = np.stack([_gallery(own, place, task.image_size) for place in range(len(own))])
        if not np.array_equal(galleries[name][:, 0], edits.targets[places]):
            raise SystemExit(f"--photos: {task.data_dir} was dressed from others, or with other options")
    return galleries


def _gallery(pairs: list[DressedCounterfactual], place: int, size: int) -> np.ndarray:
    """The input of a pair in the style of its own exemplar, then in those of the next pairs."""
    pair = pairs[place]
    exemplars = (pairs[(place + step) % len(pairs)].exemplar for step in range(CANDIDATES))
    return np.stack([pair.input.wearing(exemplar, pair.attributes).draw(size) for exemplar in exemplars])
