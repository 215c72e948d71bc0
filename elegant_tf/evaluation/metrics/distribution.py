"""Distances between the sets of edited and of real images, for each attribute and direction: the paper's table.

Photos have no counterfactual targets, but sets of them can be compared: added smiles with real smiles. In Python, with
the held-out images and any features:

    source = open_source(config.data, config.model.attributes, config.model.image_size, "test")
    rows = distances(Editor.load(run), source, Inception(weights), count=2500)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from elegant_tf.data.source import Source
from elegant_tf.errors import UserError
from elegant_tf.evaluation.distances import (
    LEAST_IMAGES,
    TooFewImages,
    frechet_distance,
    kernel_distance,
    kernel_interval,
)
from elegant_tf.evaluation.edits import Evaluated
from elegant_tf.evaluation.metrics.context import Context, Extract
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table, interval_cell

MADE = ("edited", "unedited")

# Real images to compare with, at most: more of them change little and cost time.
MOST = 5000

# With and without an attribute: three quarters of them are `LEAST_IMAGES` to compare with.
LEAST_POOL = -(-LEAST_IMAGES * 4 // 3)

# Restyling is left out: it changes no label, so no set of real images is its target.
_CHANGES = ("add", "remove")

# Images in memory at once.
_BATCH = 32


@dataclass(frozen=True)
class Distance:
    """One attribute in one direction.

    made: `edited`, or `unedited` for the unedited inputs, whose distance the edit should reduce.
    frechet: `distances.frechet_distance`; None with too few images for it.
    kernel: `distances.kernel_distance`, with its 95 % confidence interval from `kernel_low` to `kernel_high`.
    count: edited images; `real_count`: the real images that they are compared with.
    no_frechet: why `frechet` is None, a sentence that the report must show; empty otherwise.
    """

    attribute: str
    direction: str
    made: str
    frechet: float | None
    kernel: float
    kernel_low: float
    kernel_high: float
    count: int
    real_count: int
    no_frechet: str = ""


@dataclass(frozen=True)
class Distances(Metric):
    """`distances`: rows by the name of the features."""

    distances: Mapping[str, Sequence[Distance]]

    @classmethod
    def measure(cls, context: Context) -> Distances | None:
        if not context.extractors or context.source is None:
            return None
        options = (context.distance_count, context.seed)
        return cls(
            {
                name: distances(context.editor, context.source, extract, *options)
                for name, extract in context.extractors.items()
            }
        )

    def tables(self) -> list[Table]:
        return [_table(name, rows) for name, rows in self.distances.items()]


def _table(name: str, rows: Sequence[Distance]) -> Table:
    too_few = next((row.no_frechet for row in rows if row.no_frechet), "")
    return Table(
        f"Distances by {name}",
        "Between edited images and real ones with (add) or without (remove) the attribute, as in the paper's table: "
        f"Fréchet distance, and kernel distance times 1,000. unedited: the inputs themselves. {too_few}".rstrip(),
        ("attribute", "direction", "images", "Fréchet", "kernel", "95 %", "n"),
        [_cells(row) for row in rows],
        words=3,
    )


def _cells(row: Distance) -> tuple[str, ...]:
    return (
        row.attribute,
        row.direction,
        row.made,
        "too few" if row.frechet is None else f"{row.frechet:.2f}",
        f"{1000 * row.kernel:.2f}",
        interval_cell((1000 * row.kernel_low, 1000 * row.kernel_high), 2),
        str(row.count),
    )


class Roles(NamedTuple):
    """The images that take part in one direction: int64 indices.

    `inputs`, `exemplars`: `[N]`, the images to edit, and the images that they take the attribute or its absence from;
    `real`: `[R]`, the images to compare with.
    """

    inputs: np.ndarray
    exemplars: np.ndarray
    real: np.ndarray


def distances(
    editor: Evaluated, source: Source, extract: Extract, count: int, seed: int = 0, most: int = MOST
) -> list[Distance]:
    """Edits held-out images and measures their distance from real ones: the paper's table.

    To add an attribute, images without it take it from exemplars that have it, and are compared with real images
    that have it; to remove it, the reverse. See `choose_roles`. The result is a function of `seed`.

    Args:
        editor: knows the source's attributes.
        source: the held-out images, of the editor's size; it may have fewer attributes, for fewer rows.
        extract: features of images.
        count: edits per attribute and direction, at most; `LEAST_IMAGES` or more. The Fréchet distance needs more of
            them, and more real images, than there are features.
        seed: 0 or more.
        most: real images to compare with, at most; `LEAST_IMAGES` or more.

    Returns:
        For each of the source's attributes: add edited, add unedited, remove edited, remove unedited.

    Raises:
        UserError: an attribute that the editor does not know, images of another size, numbers that are too small,
            or fewer than `LEAST_POOL` images with or without an attribute, all before the first edit; an image
            that cannot be read; features that are not finite.
    """
    _check(editor, source, count, most)
    plans = [
        (name, direction, _roles(editor, source, name, direction, count, seed, most))
        for name in source.attributes
        for direction in _CHANGES
    ]
    originals = _Originals(source, extract)
    rows = []
    for name, direction, roles in plans:
        real = originals.features(roles.real)
        edited = np.concatenate([extract(images) for images in _edits(editor, source, name, roles)])
        for made, features in zip(MADE, (edited, originals.features(roles.inputs)), strict=True):
            rows.append(_distance(name, direction, made, real, features, seed))
    return rows


def enough_for_distances(source: Source) -> bool:
    """Whether a source has enough images with and without each attribute."""
    having = source.labels.sum(axis=0, dtype=np.int64)
    return bool(np.minimum(having, len(source.labels) - having).min() >= LEAST_POOL)


def choose_roles(has: np.ndarray, adding: bool, count: int, most: int, random: np.random.Generator) -> Roles:
    """Chooses inputs, exemplars and images to compare with, for one attribute in one direction.

    An image to compare with is never an input, as inputs lack what it has, nor an exemplar: of the images that the
    edits should resemble, shuffled, up to three quarters are for comparing and the rest are exemplars. Exemplars take
    turns if they are fewer than the inputs.

    Args:
        has: bool `[M]`, which images have the attribute; `LEAST_POOL` or more have it, and as many lack it.
        adding: whether to add or to remove it.
        count: inputs, at most.
        most: images to compare with, at most.
        random: the source of randomness.
    """
    inputs = random.permutation(np.flatnonzero(has != adding))[:count]
    giving = random.permutation(np.flatnonzero(has == adding))
    real_count = min(most, len(giving) * 3 // 4)
    return Roles(inputs, np.resize(giving[real_count:], len(inputs)), giving[:real_count])


def _check(editor: Evaluated, source: Source, count: int, most: int) -> None:
    for flag, value in (("count", count), ("most", most)):
        if value < LEAST_IMAGES:
            raise UserError(f"--{flag}={value}: must be {LEAST_IMAGES} or more for a distance between sets of images")
    if source.image_size != editor.image_size:
        raise UserError(f"images of {source.image_size} pixels: the editor's have {editor.image_size}; use the same")
    unknown = [name for name in source.attributes if name not in editor.attributes]
    if unknown:
        raise UserError(f"--attributes={','.join(unknown)}: this run knows {', '.join(editor.attributes)}")
    for name, positives in zip(source.attributes, source.labels.sum(axis=0, dtype=int), strict=True):
        negatives = len(source.labels) - positives
        if min(positives, negatives) < LEAST_POOL:
            raise UserError(
                f"{name}: {positives} held-out images have it and {negatives} do not; distances need at least "
                f"{LEAST_POOL} of each: give more images or leave the attribute out"
            )


def _roles(editor: Evaluated, source: Source, name: str, direction: str, count: int, seed: int, most: int) -> Roles:
    has = source.labels[:, source.attributes.index(name)] == 1
    # Keyed by the editor's numbers, so that a source with fewer attributes gives the same rows.
    key = (editor.attributes.index(name), _CHANGES.index(direction))
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    return choose_roles(has, direction == "add", count, most, random)


def _edits(editor: Evaluated, source: Source, name: str, roles: Roles) -> Iterator[np.ndarray]:
    """The edited images, a few at a time."""
    coefficients = np.eye(len(editor.attributes))[editor.attributes.index(name)]
    for part in _parts(len(roles.inputs)):
        inputs, exemplars = _load(source, roles.inputs[part]), _load(source, roles.exemplars[part])
        each = np.broadcast_to(coefficients, (len(inputs), 1, len(coefficients)))
        yield editor.edit(inputs, exemplars[:, None], each)


def _distance(attribute: str, direction: str, made: str, real: np.ndarray, features: np.ndarray, seed: int) -> Distance:
    kernel, interval = kernel_distance(real, features), kernel_interval(real, features, seed=seed)
    try:
        frechet, no_frechet = frechet_distance(real, features), ""
    except TooFewImages as error:
        frechet, no_frechet = None, str(error)
    return Distance(attribute, direction, made, frechet, kernel, *interval, len(features), len(real), no_frechet)


class _Originals:
    """Features of a source's images, each extracted once for all attributes."""

    def __init__(self, source: Source, extract: Extract) -> None:
        self._source, self._extract = source, extract
        self._known: dict[int, np.ndarray] = {}

    def features(self, indices: np.ndarray) -> np.ndarray:
        """Float `[N, D]`."""
        new = [index for index in indices.tolist() if index not in self._known]
        for part in _parts(len(new)):
            self._known.update(zip(new[part], self._extract(_load(self._source, new[part])), strict=True))
        return np.stack([self._known[index] for index in indices.tolist()])


def _load(source: Source, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.stack([source.load(int(index)) for index in indices])


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]
