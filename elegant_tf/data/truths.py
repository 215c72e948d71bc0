"""Edits to learn from whose right answers are known: drawn people wearing what others wear."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from elegant_tf.data import faces
from elegant_tf.data.gate import exit_gate
from elegant_tf.data.permutation import derived_keys, shuffled
from elegant_tf.data.sources import FacesSource
from elegant_tf.images import to_float

# Whether the input and the exemplar have the attribute: adding, removing, restyling.
_KINDS = ((0, 1), (1, 0), (1, 1))

# Keys that keep the random streams of one seed apart, from one another and from those of pairs.
_CHOICES, _ORDER, _FLIPS = 10, 11, 12


class Truths:
    """M edits of a source's people by one another, drawn into memory.

    Edit j is about attribute j mod n, which it adds, removes or restyles in turn; every other attribute goes along
    with the chance of `share`, whatever it is that it does. Which people it is about is drawn from the seed.

    `inputs`, `exemplars`: int64 `[M]`, images of the source; `weights`: float32 `[M, n]` in {0, 1}, what is exchanged;
    `pictures`: uint8 `[M, S, S, 3]`, the right answers.

    Args:
        source: the training people.
        count: M, at least 1.
        seed: 0 or more.
        share: 0 to 1.
        workers: processes that draw; None: one for each CPU if that pays.
    """

    def __init__(
        self, source: FacesSource, count: int, seed: int, share: float = 0.0, workers: int | None = None
    ) -> None:
        random = np.random.default_rng([seed, _CHOICES])
        labels, names = source.labels, source.attributes
        turns, attributes = np.divmod(np.arange(count), len(names))
        people = np.empty((2, count), np.int64)
        for attribute in range(len(names)):
            for kind, sides in enumerate(_KINDS):
                rows = np.flatnonzero((attributes == attribute) & (turns % len(_KINDS) == kind))
                for side, has in enumerate(sides):
                    people[side, rows] = random.choice(np.flatnonzero(labels[:, attribute] == has), len(rows))
        self.inputs, self.exemplars = people
        own = np.eye(len(names), dtype=bool)[attributes]
        self.weights = (own | (random.random(own.shape) < share)).astype(np.float32)
        self.pictures = faces.draw_faces([self._truth(source, row) for row in range(count)], source.image_size, workers)

    def _truth(self, source: FacesSource, row: int) -> faces.Face:
        given = [name for name, weight in zip(source.attributes, self.weights[row], strict=True) if weight]
        return source.faces[self.inputs[row]].wearing(source.faces[self.exemplars[row]], given)

    def __len__(self) -> int:
        return len(self.inputs)


def truth_dataset(
    source: FacesSource, truths: Truths, batch_size: int, seed: int, flip: bool = False, start: int = 0
) -> tf.data.Dataset:
    """Endless batches of edits with their right answers, beginning with batch `start`, a function of its number.

    Each element: `input`, `exemplar`, `truth` float32 `[N, S, S, 3]` in [-1, 1]; `given` float32 `[N, n]` in {0, 1}.
    All edits are used up, in an order shuffled anew, before any comes again. `flip` mirrors half of the exemplars, and
    half of the inputs with their truths, by chance.
    """
    images = (batch_size, source.image_size, source.image_size, 3)
    order_key = int(np.random.SeedSequence([seed, _ORDER]).generate_state(1, np.uint64)[0])
    gate = exit_gate()

    def choose(k: int) -> tuple[np.ndarray, np.ndarray]:
        epochs, offsets = np.divmod(k * batch_size + np.arange(batch_size), len(truths))
        rows = shuffled(offsets, np.full(batch_size, len(truths)), derived_keys(order_key, epochs))
        flips = np.random.default_rng([seed, _FLIPS, k]).integers(0, 2, (2, batch_size)).astype(bool)
        return rows, flips & flip

    def load(k: np.ndarray) -> tuple[np.ndarray, ...]:
        with gate:
            gate.check_open()
            rows, (flip_input, flip_exemplar) = choose(int(k))
            inputs, exemplars = (source.images[people[rows]] for people in (truths.inputs, truths.exemplars))
            pictures = (inputs, exemplars, truths.pictures[rows])
            for picture, flips in zip(pictures, (flip_input, flip_exemplar, flip_input), strict=True):
                picture[flips] = picture[flips, :, ::-1]
            return *pictures, truths.weights[rows]

    def batch(k: tf.Tensor) -> dict[str, tf.Tensor]:
        types = (tf.uint8, tf.uint8, tf.uint8, tf.float32)
        *pictures, given = tf.numpy_function(load, [k], types, stateful=False)
        roles = zip(("input", "exemplar", "truth"), pictures, strict=True)
        floats = {role: to_float(tf.cast(tf.ensure_shape(picture, images), tf.float32)) for role, picture in roles}
        return {**floats, "given": tf.ensure_shape(given, (batch_size, len(source.attributes)))}

    numbers = tf.data.Dataset.counter(start)
    return numbers.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(4)
