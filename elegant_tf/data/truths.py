"""Exchanges to learn from whose right answers are known: drawn people wearing what others wear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from elegant_tf.data import faces
from elegant_tf.data.batches import read_ahead
from elegant_tf.data.gate import exit_gate
from elegant_tf.data.permutation import derived_keys, shuffled
from elegant_tf.data.sources import FacesSource
from elegant_tf.images import to_float

# Whether A and B have the attribute: C loses it and D gains it, or both are restyled.
_KINDS = ((1, 0), (1, 1))

TRUTH_COLUMNS = ("truth_a", "truth_b", "truth_c", "truth_d", "truth_weights")

# Keys that keep the random streams of one seed apart, from one another and from those of pairs.
_CHOICES, _ORDER, _FLIPS = 10, 11, 12


class Truths:
    """M pairs of a source's people and what they become when they exchange attributes, drawn into memory.

    Pair j is about attribute j mod n of those it is `about`: both have it, or A has it and B has not; every other
    attribute goes along with the chance of `share`, whoever has it. Which people they are is drawn from the seed.

    `people`: int64 `[2, M]`, images of the source: A and B; `weights`: float32 `[M, n]` in {0, 1}, what is exchanged;
    `pictures`: uint8 `[2, M, S, S, 3]`, the right answers: C, who is A with what B has, and D, who is B with A's.

    Args:
        source: the training people.
        count: M, at least 1.
        seed: 0 or more.
        share: 0 to 1.
        about: attributes of the source, one more often the more often it is named; empty: all alike.
        restyle_share: in how many of an attribute's pairs both have it, 0 to 1.
        workers: processes that draw; None: one for each CPU if that pays.
    """

    def __init__(
        self,
        source: FacesSource,
        count: int,
        seed: int,
        share: float = 0.0,
        about: Sequence[str] = (),
        restyle_share: float = 0.5,
        workers: int | None = None,
    ) -> None:
        random = np.random.default_rng([seed, _CHOICES])
        labels, names = source.labels, source.attributes
        columns = np.array([names.index(name) for name in about or names])
        turns, places = np.divmod(np.arange(count), len(columns))
        attributes = columns[places]
        restyles = (np.floor((turns + 1) * restyle_share) - np.floor(turns * restyle_share)).astype(int)
        self.people = np.empty((2, count), np.int64)
        for attribute in range(len(names)):
            for kind, sides in enumerate(_KINDS):
                rows = np.flatnonzero((attributes == attribute) & (restyles == kind))
                for side, has in enumerate(sides):
                    self.people[side, rows] = random.choice(np.flatnonzero(labels[:, attribute] == has), len(rows))
        own = np.eye(len(names), dtype=bool)[attributes]
        self.weights = (own | (random.random(own.shape) < share)).astype(np.float32)
        wearers = [self._wearer(source, side, row) for side in (0, 1) for row in range(count)]
        drawn = faces.draw_faces(wearers, source.image_size, workers)
        self.pictures = drawn.reshape(2, count, *drawn.shape[1:])

    def _wearer(self, source: FacesSource, side: int, row: int) -> faces.Face:
        given = [name for name, weight in zip(source.attributes, self.weights[row], strict=True) if weight]
        return source.faces[self.people[side, row]].wearing(source.faces[self.people[1 - side, row]], given)

    def __len__(self) -> int:
        return len(self.weights)


def truth_dataset(
    source: FacesSource, truths: Truths, batch_size: int, seed: int, flip: bool = False, start: int = 0
) -> tf.data.Dataset:
    """Endless batches of exchanges with their right answers, beginning with batch `start`, a function of its number.

    Each element: `truth_a`, `truth_b`, `truth_c`, `truth_d` float32 `[N, S, S, 3]` in [-1, 1], A, B and what they
    become; `truth_weights` float32 `[N, n]` in {0, 1}. All pairs are used up, in an order shuffled anew, before any
    comes again. Half of them, by chance, are told backward: C and D become A and B, for that is as right. `flip`
    mirrors half of the pairs, by chance: both people and what they become, for one beside the mirror image of another
    would be told to wear bangs that are swept to the other side.
    """
    images = (batch_size, source.image_size, source.image_size, 3)
    order_key = int(np.random.SeedSequence([seed, _ORDER]).generate_state(1, np.uint64)[0])
    gate = exit_gate()

    def choose(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epochs, offsets = np.divmod(k * batch_size + np.arange(batch_size), len(truths))
        rows = shuffled(offsets, np.full(batch_size, len(truths)), derived_keys(order_key, epochs))
        flips, backward = np.random.default_rng([seed, _FLIPS, k]).integers(0, 2, (2, batch_size)).astype(bool)
        return rows, flips & flip, backward

    def load(k: np.ndarray) -> tuple[np.ndarray, ...]:
        with gate:
            gate.check_open()
            rows, flips, backward = choose(int(k))
            before, after = source.images[truths.people[:, rows]], truths.pictures[:, rows]
            for pictures in (before, after):
                pictures[:, flips] = pictures[:, flips][:, :, :, ::-1]
            before[:, backward], after[:, backward] = after[:, backward], before[:, backward]
            return *before, *after, truths.weights[rows]

    def batch(k: tf.Tensor) -> dict[str, tf.Tensor]:
        types = (*[tf.uint8] * 4, tf.float32)
        *pictures, weights = tf.numpy_function(load, [k], types, stateful=False)
        floats = [to_float(tf.cast(tf.ensure_shape(picture, images), tf.float32)) for picture in pictures]
        weights = tf.ensure_shape(weights, (batch_size, len(source.attributes)))
        return dict(zip(TRUTH_COLUMNS, (*floats, weights), strict=True))

    return read_ahead(batch, start)
