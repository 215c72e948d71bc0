"""What all methods of the comparison share: the data, training for some minutes, and editing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from elegant_tf.config import Config
from elegant_tf.data.pairs import pair_dataset
from elegant_tf.data.sampler import PairSampler
from elegant_tf.data.source import Source
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.held_out import ReadableSource
from elegant_tf.evaluation.metrics.leakage import columns_of
from elegant_tf.images import to_float, to_uint8
from elegant_tf.losses.term import Batch
from elegant_tf.presets import preset
from elegant_tf.sources import open_source
from elegant_tf.training.gradients import GradientStep

Losses: TypeAlias = Mapping[str, tf.Tensor]

_EDITS_AT_ONCE = 64
_REPORTS = 10  # while a method trains


@dataclass(frozen=True)
class Task:
    """What every method is given.

    data_dir: a folder in CelebA's layout with held-out edits; attributes, image_size: what is edited; minutes: of
    training, compilation included; seed: of weights and pairs; width: the channels of every network as a share of
    those that were published.
    """

    data_dir: str
    attributes: Sequence[str]
    image_size: int = 64
    minutes: float = 20.0
    seed: int = 0
    width: float = 1.0

    def config(self, base: str = "official", **options: object) -> Config:
        """A run on the task's pairs. All methods see them in the same order: `mixed` depends on no batch size."""
        data = {"data": "celeba", "data_dir": self.data_dir, "attribute_schedule": "mixed", "flip": True}
        shown = {"attributes": tuple(self.attributes), "image_size": self.image_size, "seed": self.seed}
        return preset(base, **{**data, **shown, **options})

    def source(self, split: str, attributes: Sequence[str]) -> Source:
        """The images of a split, with the labels of these attributes."""
        return ReadableSource(open_source(self.config().data, attributes, self.image_size, split))


class Peer:
    """A method: its networks, one update, one edit.

    networks: all that is trained, by name; steps: what trains them.
    """

    pairs = 16
    """Pairs of images in a batch."""
    most_attributes: int | None = None
    """Attributes that one model edits; None: any number."""
    cools = False
    """Whether learning rates fall linearly to zero over the second half of training."""

    networks: Mapping[str, keras.Model]
    steps: Sequence[GradientStep]

    def __init__(self, attributes: Sequence[str], image_size: int, width: float = 1.0) -> None:
        raise NotImplementedError

    def update(self, batch: Batch) -> Losses:
        """Trains on one batch of pairs."""
        raise NotImplementedError

    def edit(
        self, images: tf.Tensor, exemplars: tf.Tensor, own: tf.Tensor, labels: tf.Tensor, wanted: tf.Tensor
    ) -> tf.Tensor:
        """Images `[N, S, S, 3]` in [-1, 1] with one attribute changed.

        `exemplars`: as the images; `own`: the edited attribute, one-hot `[N, n]`; `labels`: of the images `[N, n]`;
        `wanted`: whether the exemplars have the edited attribute `[N]`; all in {0, 1}.
        """
        raise NotImplementedError

    def weights(self) -> list[np.ndarray]:
        return [value for network in self.networks.values() for value in network.get_weights()]

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        values = list(values)
        for network in self.networks.values():
            network.set_weights(values[: len(network.weights)])
            del values[: len(network.weights)]


def channels(published: int, width: float) -> int:
    """Channels of a layer at this share of the published width."""
    return max(1, round(published * width))


def train(peer: Peer, source: Source, minutes: float, seed: int) -> int:
    """Trains for so many minutes, and for one update at least: the number of updates."""
    sampler = PairSampler(source.labels, peer.pairs, "mixed", seed, flip=True)
    rates = [float(step.optimizer.learning_rate) for step in peer.steps]
    start, reported, updates = time.monotonic(), 0, 0
    for updates, batch in enumerate(pair_dataset(source, sampler), 1):
        losses = peer.update(batch)
        share = (time.monotonic() - start) / (60.0 * minutes)
        if int(share * _REPORTS) > reported or share >= 1:
            reported = int(share * _REPORTS)
            report(updates, losses)
        if share >= 1:
            break
        if peer.cools:
            for step, rate in zip(peer.steps, rates, strict=True):
                step.optimizer.learning_rate.assign(rate * min(1.0, 2.0 * (1.0 - share)))
    return updates


def report(updates: int, losses: Losses) -> None:
    """Prints losses. Raises FloatingPointError if one is not finite."""
    values = {name: float(value) for name, value in losses.items()}
    print(f"{updates:8d}", *(f"{name} {value:.3f}" for name, value in values.items()), flush=True)
    if not all(map(math.isfinite, values.values())):
        raise FloatingPointError("training diverged")


Labels: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Images uint8 `[N, S, S, 3]` to which of the attributes they have, bool `[N, n]`."""


def labels_by(judge: AttributeClassifier, attributes: Sequence[str]) -> Labels:
    """What a classifier says of these attributes."""
    columns = columns_of(judge, attributes)
    return lambda images: judge.probabilities(images)[:, columns] > 0.5


class PeerEditor:
    """Edits as an `Editor` does.

    The labels that a method needs of inputs and exemplars are those that `labels_of` finds.
    """

    def __init__(self, peer: Peer, attributes: Sequence[str], image_size: int, step: int, labels_of: Labels) -> None:
        self.attributes, self.image_size, self.step = tuple(attributes), image_size, step
        self._labels_of, self._edit = labels_of, tf.function(peer.edit, reduce_retracing=True)

    def edit(self, images: np.ndarray, exemplars: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """As `Editor.edit`, with one exemplar each, `[N, 1, S, S, 3]`, and one attribute at strength 1."""
        starts = range(0, len(images), _EDITS_AT_ONCE)
        parts = [slice(start, start + _EDITS_AT_ONCE) for start in starts]
        return np.concatenate([self._part(images[p], exemplars[p, 0], coefficients[p, 0]) for p in parts])

    def _part(self, images: np.ndarray, exemplars: np.ndarray, own: np.ndarray) -> np.ndarray:
        wanted = (self._labels_of(exemplars) * own).sum(axis=1)
        numbers = (to_float(images), to_float(exemplars), own, self._labels_of(images), wanted)
        return to_uint8(self._edit(*(tf.constant(number, tf.float32) for number in numbers)))


def trained(make: type[Peer], task: Task, path: Path, labels_of: Callable[[Sequence[str]], Labels]) -> PeerEditor:
    """The editor of a method. Weights are in `path`; a method that has them is not trained again.

    Raises:
        SystemExit: the weights there are of another task.
    """
    attributes = task.attributes[: make.most_attributes]
    keras.utils.set_random_seed(task.seed)
    peer = make(attributes, task.image_size, task.width)
    path = path.with_suffix(".npz")
    if path.exists():
        with np.load(path) as file:
            of_task, updates, *weights = (file[name] for name in file.files)
        if str(of_task) != repr(task):
            raise SystemExit(f"{path} holds weights of {of_task}, not of {task}: give another --out")
        peer.set_weights(weights)
    else:
        updates = train(peer, task.source("train", attributes), task.minutes, task.seed)
        np.savez(path, repr(task), updates, *peer.weights())
    return PeerEditor(peer, attributes, task.image_size, int(updates), labels_of(attributes))
