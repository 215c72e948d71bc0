"""CycleGAN: two generators for one attribute, of which one adds it and the other removes it. It takes no exemplars.

Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017. Numbers are
those of the authors' program, github.com/junyanz/pytorch-CycleGAN-and-pix2pix.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import keras
import tensorflow as tf

from benchmarks.peers.plumbing import Losses, Peer, channels
from elegant_tf.losses.term import Batch
from elegant_tf.model.layers import Downsample, InstanceNormalization, Upsample
from elegant_tf.training.gradients import GradientStep
from elegant_tf.training.optimizers import Adam

CYCLE = 10.0  # weight of both cycles
IDENTITY = 0.5  # weight of what should stay, relative to the cycle's; the program's default
RATE, BETAS = 2e-4, (0.5, 0.999)
BLOCKS = 6  # residual ones, for images of 128 pixels and less
WIDTH = 64  # of the first convolution, in all networks
KEPT = 50  # edited images that discriminators may see again
SLOPE = 0.2
STDDEV = 0.02  # of new kernels


class CycleGAN(Peer):
    """The method: A has the attribute, B lacks it. A batch is one image of each."""

    pairs = 1
    most_attributes = 1
    cools = True

    def __init__(self, attributes: Sequence[str], image_size: int, width: float = 1.0) -> None:
        first = channels(WIDTH, width)
        self.remover, self.adder = make_generator(image_size, first), make_generator(image_size, first)
        self.judge_of_b, self.judge_of_a = (make_discriminator(image_size, first) for _ in range(2))
        self.networks = {
            "remover": self.remover,
            "adder": self.adder,
            "judge_of_b": self.judge_of_b,
            "judge_of_a": self.judge_of_a,
        }
        generators, judges = (self.remover, self.adder), (self.judge_of_b, self.judge_of_a)
        self.steps = [
            GradientStep([v for network in side for v in network.trainable_variables], Adam(RATE, *BETAS))
            for side in (generators, judges)
        ]
        self._pools = Pool(KEPT, 0), Pool(KEPT, 1)
        self._train_generators = tf.function(self.train_generators)
        self._train_discriminators = tf.function(self.train_discriminators)

    def update(self, batch: Batch) -> Losses:
        losses, *made = self._train_generators(batch["a"], batch["b"])
        shown = (pool.exchange(images) for pool, images in zip(self._pools, made, strict=True))
        return {**losses, **self._train_discriminators(batch["a"], batch["b"], *shown)}

    def edit(
        self, images: tf.Tensor, exemplars: tf.Tensor, own: tf.Tensor, labels: tf.Tensor, wanted: tf.Tensor
    ) -> tf.Tensor:
        return tf.where(wanted[:, None, None, None] > 0.5, self.adder(images), self.remover(images))

    def train_generators(self, a: tf.Tensor, b: tf.Tensor) -> tuple[Losses, tf.Tensor, tf.Tensor]:
        """The losses, A without the attribute, and B with it."""
        step, _ = self.steps
        with tf.GradientTape() as tape:
            without, having = self.remover(a), self.adder(b)
            losses = {
                "adversarial": squares(self.judge_of_b(without), 1.0) + squares(self.judge_of_a(having), 1.0),
                "cycle": apart(self.adder(without), a) + apart(self.remover(having), b),
                "identity": apart(self.adder(a), a) + apart(self.remover(b), b),
            }
            loss = losses["adversarial"] + CYCLE * (losses["cycle"] + IDENTITY * losses["identity"])
        step(tape, loss)
        return losses, without, having

    def train_discriminators(self, a: tf.Tensor, b: tf.Tensor, without: tf.Tensor, having: tf.Tensor) -> Losses:
        _, step = self.steps
        with tf.GradientTape() as tape:
            of_b = squares(self.judge_of_b(b), 1.0) + squares(self.judge_of_b(without), 0.0)
            of_a = squares(self.judge_of_a(a), 1.0) + squares(self.judge_of_a(having), 0.0)
            loss = 0.5 * (of_a + of_b)
        step(tape, loss)
        return {"discriminators": loss}


class Pool:
    """Edited images of earlier updates: half of the time, one of them takes the place of a new one."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._images, self._random = size, [], random.Random(seed)

    def exchange(self, images: tf.Tensor) -> tf.Tensor:
        """New images, or earlier ones of as many, in whose place the new ones are kept."""
        if len(self._images) < self._size:
            self._images.append(images)
            return images
        if self._random.random() < 0.5:
            return images
        place = self._random.randrange(self._size)
        earlier, self._images[place] = self._images[place], images
        return earlier


def squares(scores: tf.Tensor, label: float) -> tf.Tensor:
    """The least-squares adversarial loss."""
    return tf.reduce_mean(tf.square(scores - label))


def apart(images: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """The mean absolute error."""
    return tf.reduce_mean(tf.abs(images - others))


def make_generator(size: int, width: int) -> keras.Model:
    """Images to images: two halvings, residual blocks, two doublings."""
    images = keras.Input((size, size, 3))
    x = _normalized(_reflecting(images, width, 7))
    for factor in (1, 2):
        x = _normalized(Downsample(factor * width, 2 * factor * width)(x))
    for _ in range(BLOCKS):
        inner = _normalized(_reflecting(x, 4 * width, 3))
        x = keras.layers.Add()([x, _instance(_reflecting(inner, 4 * width, 3))])
    for factor in (4, 2):
        x = _normalized(Upsample(factor * width, factor * width // 2)(x))
    return keras.Model(images, keras.layers.Activation("tanh")(_reflecting(x, 3, 7)))


def make_discriminator(size: int, width: int) -> keras.Model:
    """Images to a map of scores, each for a patch: the "70 x 70" PatchGAN."""
    images = x = keras.Input((size, size, 3))
    for place, (factor, stride) in enumerate(((1, 2), (2, 2), (4, 2), (8, 1))):
        x = _patches(x, factor * width, stride)
        x = keras.layers.LeakyReLU(SLOPE)(_instance(x) if place else x)
    return keras.Model(images, _patches(x, 1, 1))


def _patches(x: tf.Tensor, filters: int, stride: int) -> tf.Tensor:
    """A 4x4 convolution with one pixel of padding on each side."""
    layer = keras.layers.Conv2D(filters, 4, stride, kernel_initializer=_kernels())
    return layer(keras.layers.ZeroPadding2D(1)(x))


def _reflecting(x: tf.Tensor, filters: int, kernel: int) -> tf.Tensor:
    """A convolution of the image continued by its reflection."""
    side = [kernel // 2, kernel // 2]
    padded = keras.ops.pad(x, [[0, 0], side, side, [0, 0]], mode="reflect")
    return keras.layers.Conv2D(filters, kernel, kernel_initializer=_kernels())(padded)


def _instance(x: tf.Tensor) -> tf.Tensor:
    """Instance normalization without a scale and a shift of its own."""
    return InstanceNormalization(x.shape[-1], trainable=False)(x)


def _normalized(x: tf.Tensor) -> tf.Tensor:
    return keras.layers.ReLU()(_instance(x))


def _kernels() -> keras.initializers.Initializer:
    """One a layer, as it has a seed."""
    return keras.initializers.RandomNormal(0.0, STDDEV)
