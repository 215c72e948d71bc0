"""How far edited photos, as a set, are from real ones that are what the edits should make of them.

Photos have no known right answer to compare with, as `scorecard` does for drawn faces; sets of them can be compared:
smiles that were added with real smiles. This is the paper's table, to add and to remove for each attribute:

    source = open_source(config.data, config.data_dir, config.attributes, config.image_size, split="test")
    rows = distances(Editor.load(run_dir), source, Inception(weights), count=2500)

`extract` may be any function of images, uint8 RGB `[N, S, S, 3]`, that gives features, float `[N, D]`. Whoever shows
rows must show each `no_frechet` that is not empty too: it says why a number is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from elegant_tf.data.sources import Source
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation.distances import (
    LEAST_IMAGES,
    TooFewImages,
    frechet_distance,
    kernel_distance,
    kernel_interval,
)

Extract: TypeAlias = Callable[[np.ndarray], np.ndarray]

MADE = ("edited", "unedited")

# Real images to compare with, at most: more change little and cost time.
MOST = 5000

DIRECTIONS = ("add", "remove")

# With and without an attribute: three quarters of them are `LEAST_IMAGES` to compare with.
LEAST_POOL = -(-LEAST_IMAGES * 4 // 3)

# Images that are in memory at once.
_BATCH = 32


@dataclass(frozen=True)
class Distance:
    """One attribute in one direction.

    made: `edited`, or `unedited` for the same inputs left alone: the distance that the edit should lessen.
    frechet: `distances.frechet_distance`; None if there are too few images for it.
    kernel: `distances.kernel_distance`, with its 95% interval from `kernel_low` to `kernel_high`.
    count: edited images; `real_count`: the real ones that they are compared with.
    no_frechet: why `frechet` is None, in a sentence for the user; else empty.
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


class Roles(NamedTuple):
    """Which images take part in one direction: int64 indices.

    `inputs`, `exemplars`: `[N]`, the images to edit and where each takes the attribute or its lack from; `real`: `[R]`,
    the images to compare with.
    """

    inputs: np.ndarray
    exemplars: np.ndarray
    real: np.ndarray


def distances(
    editor: Editor, source: Source, extract: Extract, count: int, seed: int = 0, most: int = MOST
) -> list[Distance]:
    """Edits held-out images and measures how far they are from real ones: the paper's table.

    To add an attribute, images without it take it from exemplars that have it, and are compared with real images
    that have it; to remove it, the reverse. `choose_roles` says which; all is a function of `seed`.

    Args:
        editor: knows the source's attributes.
        source: the held-out images, of the editor's size; opened with fewer attributes, it gives fewer rows.
        extract: features of images, see above.
        count: edits per attribute and direction, at most, `LEAST_IMAGES` or more. The Fréchet distance needs more of
            them, and of real images, than there are features.
        seed: 0 or more.
        most: real images to compare with, at most, `LEAST_IMAGES` or more.

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
        for direction in DIRECTIONS
    ]
    originals = _Originals(source, extract)
    rows = []
    for name, direction, roles in plans:
        real = originals.features(roles.real)
        edited = np.concatenate([extract(images) for images in _edits(editor, source, name, roles)])
        for made, features in zip(MADE, (edited, originals.features(roles.inputs)), strict=True):
            rows.append(_distance(name, direction, made, real, features, seed))
    return rows


def choose_roles(has: np.ndarray, adding: bool, count: int, most: int, random: np.random.Generator) -> Roles:
    """Chooses inputs, exemplars and images to compare with, for one attribute in one direction.

    No image to compare with is ever an input, which lacks what these have, or an exemplar: of the images that have
    what is to be given, shuffled, up to three quarters are for comparing and the rest for exemplars. Exemplars take
    turns if they are fewer than the inputs.

    Args:
        has: bool `[M]`, which images have the attribute, `LEAST_POOL` of them and as many not.
        adding: whether to add or to remove it.
        count: inputs, at most.
        most: images to compare with, at most.
        random: what decides.
    """
    inputs = random.permutation(np.flatnonzero(has != adding))[:count]
    giving = random.permutation(np.flatnonzero(has == adding))
    real_count = min(most, len(giving) * 3 // 4)
    return Roles(inputs, np.resize(giving[real_count:], len(inputs)), giving[:real_count])


def _check(editor: Editor, source: Source, count: int, most: int) -> None:
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
                f"{name}: {positives} held-out images have it and {negatives} have not; distances need {LEAST_POOL} "
                "of each at least: give more images or leave the attribute out"
            )


def _roles(editor: Editor, source: Source, name: str, direction: str, count: int, seed: int, most: int) -> Roles:
    has = source.labels[:, source.attributes.index(name)] == 1
    # By the editor's numbers, so that a source with fewer attributes gives the same rows.
    key = (editor.attributes.index(name), DIRECTIONS.index(direction))
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    return choose_roles(has, direction == "add", count, most, random)


def _edits(editor: Editor, source: Source, name: str, roles: Roles) -> Iterator[np.ndarray]:
    """The edited images, a few at a time."""
    weights = np.eye(len(editor.attributes))[editor.attributes.index(name)]
    for part in _parts(len(roles.inputs)):
        inputs, exemplars = _load(source, roles.inputs[part]), _load(source, roles.exemplars[part])
        yield editor.edit(inputs, exemplars[:, None], np.broadcast_to(weights, (len(inputs), 1, len(weights))))


def _distance(attribute: str, direction: str, made: str, real: np.ndarray, features: np.ndarray, seed: int) -> Distance:
    kernel, interval = kernel_distance(real, features), kernel_interval(real, features, seed=seed)
    try:
        frechet, no_frechet = frechet_distance(real, features), ""
    except TooFewImages as error:
        frechet, no_frechet = None, str(error)
    return Distance(attribute, direction, made, frechet, kernel, *interval, len(features), len(real), no_frechet)


class _Originals:
    """Features of a source's images, extracted once however many attributes ask for them."""

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
