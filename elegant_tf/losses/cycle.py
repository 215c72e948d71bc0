"""Cycle consistency: an edited image, edited back, is the original again. It teaches style, and what lies underneath.

As in CycleGAN (Zhu et al., 2017), but the way back takes the edited image as an input (`Generated.encode_again`).
"""

from __future__ import annotations

import tensorflow as tf

from elegant_tf.losses.replicas import gathered, own_rows
from elegant_tf.losses.term import Batch, Generated, Step, Weight, encode, halves
from elegant_tf.model.elegant import Elegant
from elegant_tf.model.latent import exchange

RELATIVE_ERROR_FLOOR = 0.01


def relative_error(
    images: tf.Tensor, targets: tf.Tensor, inputs: tf.Tensor, floor: float = RELATIVE_ERROR_FLOOR
) -> tf.Tensor:
    """Squared error of images `[N, S, S, 3]` relative to that of the inputs, mean over N; 1: nothing was gained.

    `mean((image - target)^2) / (mean((input - target)^2) + floor)`: a smile counts about as much as a hat, which
    changes twenty times as much. The floor keeps targets close to their inputs from dominating.
    """
    error, lacking = (tf.reduce_mean(tf.square(x - targets), axis=[1, 2, 3]) for x in (images, inputs))
    return tf.reduce_mean(error / (lacking + floor))


class Cycle:
    """C, given A's attributes back, is A; D, without them again, is B: the sum of both relative errors.

    A's own code gives the attributes back, so that they are *this* pair of glasses; with probability `carrier_share`,
    that of D, which carries them and so learns to show them. The attribute that B lacks is taken away by the block of
    another image that lacks it: B's own could reveal what A's attribute covers.
    """

    name = "cycle"
    needs_partners = True

    def __init__(self, weight: float, carrier_share: float = 0.0, warmup_updates: int = 0) -> None:
        self.weight = linear_warmup(weight, warmup_updates)
        self._carrier_share = carrier_share

    def __call__(self, generator: Elegant, batch: Batch, generated: Generated, step: Step) -> tf.Tensor:
        inputs, codes, skips = generated.encode_again(generator)
        _, codes_b = halves(generated.codes)
        own = tf.one_hot(batch["attribute"], generated.exchanged.shape[1], dtype=codes.dtype)[:, None]
        lacking = exchange(codes_b, of_next_alike(generated, 1, batch["attribute"])[:, None], own)
        having = _having(generator, generated, self._carrier_share, step)
        exemplars = tf.concat([having, lacking], axis=0)[:, None]
        again, _ = generator.edit_encoded(inputs, codes, skips, exemplars, generated.exchanged[:, None], training=True)
        (again_a, again_b), (a, b), (c, d) = map(halves, (again, generated.images, inputs))
        return relative_error(again_a, a, c) + relative_error(again_b, b, d)


class StyleCycle:
    """C in the style of a third person and then in A's own is A: the relative error. It teaches restyling.

    Where both images have an attribute, leaving it unchanged costs nothing otherwise. `carrier_share` as in `Cycle`.
    """

    name = "style_cycle"
    needs_partners = True

    def __init__(self, weight: float, carrier_share: float = 0.0, warmup_updates: int = 0) -> None:
        self.weight = linear_warmup(weight, warmup_updates)
        self._carrier_share = carrier_share

    def __call__(self, generator: Elegant, batch: Batch, generated: Generated, step: Step) -> tf.Tensor:
        inputs, codes, skips = generated.encode_again(generator)
        c, c_code, *c_skips = (halves(part)[0] for part in (inputs, codes, *skips))
        a, exchanged = (halves(part)[0] for part in (generated.images, generated.exchanged))
        coefficients = exchanged[:, None]
        others = of_next_alike(generated, 0, batch["attribute"])[:, None]
        styled, _ = generator.edit_encoded(c, c_code, c_skips, others, coefficients, training=True)
        styled, code, skips = encode(generator, tf.stop_gradient(styled))
        having = _having(generator, generated, self._carrier_share, step)[:, None]
        again, _ = generator.edit_encoded(styled, code, skips, having, coefficients, training=True)
        return relative_error(again, a, styled)


def _having(generator: Elegant, generated: Generated, carrier_share: float, step: Step) -> tf.Tensor:
    """Codes `[N, h, w, C]` with A's attributes: A's own, or by chance D's."""
    codes_a, _ = halves(generated.codes)
    if not carrier_share:
        return codes_a
    chances = step.uniform([tf.shape(codes_a)[0], 1, 1, 1])
    return tf.where(chances < carrier_share, generated.encode_carriers(generator), codes_a)


def linear_warmup(weight: float, updates: int) -> Weight:
    """A weight that grows linearly from 0 over so many updates; 0: the full weight at once."""
    if not updates:
        return weight
    return lambda done: weight * tf.minimum(1.0, tf.cast(done + 1, tf.float32) / updates)


def of_next_alike(generated: Generated, half: int, attribute: tf.Tensor) -> tf.Tensor:
    """Codes `[N, h, w, C]` of each example's next one in the whole batch, see `next_alike`; `half`: 0 of A, 1 of B."""
    if generated.partners is not None:
        return halves(generated.partners)[half]
    return tf.gather(gathered(halves(generated.codes)[half]), places_of_next_alike(attribute))


def places_of_next_alike(attribute: tf.Tensor) -> tf.Tensor:
    """Where in the whole batch each example's next one is, see `next_alike`: int `[N]`."""
    # As numbers that every device can send: GPUs keep int32 in the host's memory.
    return own_rows(next_alike(gathered(tf.cast(attribute, tf.float32))))


def next_alike(attribute: tf.Tensor) -> tf.Tensor:
    """For each example the next one, cyclically, of the same attribute, `[N]`: int `[N]`; itself if none is."""
    count = tf.shape(attribute)[0]
    index = tf.range(count)
    distance = (index[None] - index[:, None] - 1) % count
    return tf.argmin(distance + count * tf.cast(attribute[None] != attribute[:, None], tf.int32), axis=1)
