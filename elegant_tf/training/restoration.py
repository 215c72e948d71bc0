"""Giving edited images back what was exchanged: what teaches an exemplar's style, and what is below, without truths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from elegant_tf import losses
from elegant_tf.latent import exchange
from elegant_tf.model import Elegant

# Random streams, beside those that are the update's own.
NOISE, CARRIER_NOISE, RESTYLED_NOISE, SHIFTS, CARRIERS, RESTYLE_CARRIERS = 0, 1, 3, 4, 6, 7

Seed = Callable[[int], tf.Tensor]


class Edited(NamedTuple):
    """Images under way, `[N, S, S, 3]`, with the codes and skips of what the generator sees of them."""

    images: tf.Tensor
    codes: tf.Tensor
    skips: Sequence[tf.Tensor]


class Restoration:
    """Restores A from C, B from D, and A from A restyled, all of which the generator made and takes as given.

    No gradient goes into what is edited back, so nothing is gained by hiding the original in it, and noise drowns the
    faint rest of what did not come off.

    Args:
        generator: what edits.
        noise: standard deviation of the noise.
        shift: pixels by which A is shifted at most to be its own exemplar: its style is to be read wherever it is. Not
            mirrored: bangs swept to one side are not to be given by the sight of bangs swept to the other.
        carrier_share: how often D, who wears what A had, is the exemplar instead. That alone teaches D to wear it.
        seed: from a stream's number to the int64 `[2]` seed of its numbers in this update.
    """

    def __init__(self, generator: Elegant, noise: float, shift: int, carrier_share: float, seed: Seed) -> None:
        self._generator = generator
        self._noise = noise
        self._shift = shift
        self._carrier_share = carrier_share
        self._seed = seed

    def terms(
        self,
        originals: tuple[tf.Tensor, tf.Tensor],
        codes: tuple[tf.Tensor, tf.Tensor],
        edited: tuple[tf.Tensor, tf.Tensor],
        weights: tf.Tensor,
        attribute: tf.Tensor,
        restyle: bool,
    ) -> dict[str, tf.Tensor]:
        """Relative errors, see `losses.relative_error`: `restoration`, of A and B added, and on demand `restyle`.

        Args:
            originals: A and B, `[N, S, S, 3]`.
            codes: theirs.
            edited: C and D, alike.
            weights: what was exchanged, `[N, 1, n]`.
            attribute: int `[N]`, which of it A has and B has not.
            restyle: whether to restyle.
        """
        (a, b), (codes_a, codes_b), (c, d) = originals, codes, edited
        partners, own = next_alike(attribute), tf.one_hot(attribute, weights.shape[-1], dtype=weights.dtype)[:, None]
        bare, worn = self._take(tf.stop_gradient(tf.concat([c, d], 0)))
        shown, carried = self._exemplars(a, d)
        # B's own code could tell what A's attribute covers. Another's cannot: that is to be guessed from what is left.
        without = exchange(codes_b, tf.gather(codes_b, partners)[:, None], own)
        with_it = self._choose(carried, shown, CARRIERS)
        restored = self._edit((bare, worn), (with_it, without), weights)
        terms = {"restoration": losses.relative_error(restored[0], a, bare.images)}
        terms["restoration"] += losses.relative_error(restored[1], b, worn.images)
        if restyle:
            (styled,) = self._edit((bare,), (tf.gather(codes_a, partners),), weights)
            other = self._see(tf.stop_gradient(styled), RESTYLED_NOISE)
            (again,) = self._edit((other,), (self._choose(carried, shown, RESTYLE_CARRIERS),), weights)
            terms["restyle"] = losses.relative_error(again, a, other.images)
        return terms

    def _take(self, images: tf.Tensor) -> tuple[Edited, Edited]:
        """Two halves, seen at once."""
        seen = self._see(images, NOISE)
        halves = zip(*(tf.split(part, 2) for part in (seen.images, seen.codes, *seen.skips)), strict=True)
        first, second = (Edited(half[0], half[1], half[2:]) for half in halves)
        return first, second

    def _see(self, images: tf.Tensor, stream: int) -> Edited:
        return Edited(images, *self._generator.encode(self._noisy(images, stream), training=True))

    def _exemplars(self, a: tf.Tensor, d: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Codes of A, out of place, and of D."""
        moved = shifted(a, self._shift, self._seed(SHIFTS)) if self._shift else a
        codes, _ = self._generator.encode(tf.concat([moved, self._noisy(d, CARRIER_NOISE)], 0), training=True)
        shown, carried = tf.split(codes, 2)
        return shown, carried

    def _choose(self, carried: tf.Tensor, shown: tf.Tensor, stream: int) -> tf.Tensor:
        chances = tf.random.stateless_uniform([tf.shape(shown)[0], 1, 1, 1], self._seed(stream))
        return tf.where(chances < self._carrier_share, carried, shown)

    def _edit(
        self, edited: Sequence[Edited], exemplars: Sequence[tf.Tensor], weights: tf.Tensor
    ) -> Sequence[tf.Tensor]:
        """Each of the edited with its exemplars' codes, in one pass: images, alike."""
        many = len(edited)
        images, codes, exemplar_codes = (
            tf.concat(parts, 0) for parts in ([one.images for one in edited], [one.codes for one in edited], exemplars)
        )
        skips = [tf.concat(level, 0) for level in zip(*(one.skips for one in edited), strict=True)]
        each = tf.tile(weights, [many, 1, 1])
        made, _ = self._generator.edit_encoded(images, codes, skips, exemplar_codes[:, None], each, training=True)
        return tf.split(made, many)

    def _noisy(self, images: tf.Tensor, stream: int) -> tf.Tensor:
        if not self._noise:
            return images
        shape, dtype = tf.shape(images), images.dtype
        return images + tf.random.stateless_normal(shape, self._seed(stream), 0.0, self._noise, dtype)


def next_alike(attribute: tf.Tensor) -> tf.Tensor:
    """For each example the next one, going round, that is about the same attribute: int `[N]`; itself if none is."""
    count = tf.shape(attribute)[0]
    index = tf.range(count)
    distance = (index[None] - index[:, None] - 1) % count
    return tf.argmin(distance + count * tf.cast(attribute[None] != attribute[:, None], tf.int32), axis=1)


def shifted(images: tf.Tensor, most: int, seed: tf.Tensor) -> tf.Tensor:
    """Images `[N, S, S, 3]`, each shifted by up to `most` pixels, its border reflected."""
    count, size = tf.shape(images)[0], images.shape[1]
    padded = tf.pad(images, [[0, 0], [most, most], [most, most], [0, 0]], "REFLECT")
    offsets = tf.random.stateless_uniform([2, count, 1], seed, 0, 2 * most + 1, tf.int32)
    rows, columns = tf.unstack(offsets + tf.range(size))
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
