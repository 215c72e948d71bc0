"""StarGAN: one generator for all attributes, told by labels what to show. It takes no exemplars.

Choi et al., StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation, CVPR 2018.
Numbers are those of the authors' program, github.com/yunjey/stargan, where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from benchmarks.peers.plumbing import Losses, Peer, channels
from elegant_tf.losses.term import Batch
from elegant_tf.model.layers import InstanceNormalization
from elegant_tf.training.gradients import GradientStep
from elegant_tf.training.optimizers import Adam

CLASSIFICATION, RECONSTRUCTION, PENALTY = 1.0, 10.0, 10.0  # weights in equations 5, 6 and 8
CRITIC_UPDATES = 5  # for an update of the generator
RATE, BETAS = 1e-4, (0.5, 0.999)
BLOCKS = 6  # residual ones in the generator
WIDTH = 64  # of the first convolution, in both networks
LAST_MAP = 2  # side of the discriminator's last map at the published 128 pixels, after 6 halvings
SLOPE = 0.01


class StarGAN(Peer):
    """The method. A batch is 16 images, both sides of 8 pairs; target labels are those of a permutation of them."""

    pairs = 8
    cools = True

    def __init__(self, attributes: Sequence[str], image_size: int, width: float = 1.0) -> None:
        first = channels(WIDTH, width)
        self.generator = make_generator(len(attributes), image_size, first)
        self.discriminator = make_discriminator(len(attributes), image_size, first)
        self.networks = {"generator": self.generator, "discriminator": self.discriminator}
        self.steps = [
            GradientStep(network.trainable_variables, Adam(RATE, *BETAS)) for network in self.networks.values()
        ]
        self._updates = 0
        self._train_discriminator = tf.function(self.train_discriminator)
        self._train_generator = tf.function(self.train_generator)

    def update(self, batch: Batch) -> Losses:
        images, labels = (tf.concat([batch[a], batch[b]], axis=0) for a, b in (("a", "b"), ("y_a", "y_b")))
        targets = tf.random.shuffle(labels)
        losses = self._train_discriminator(images, labels, targets)
        self._updates += 1
        if self._updates % CRITIC_UPDATES == 0:
            losses = {**losses, **self._train_generator(images, labels, targets)}
        return losses

    def edit(
        self, images: tf.Tensor, exemplars: tf.Tensor, own: tf.Tensor, labels: tf.Tensor, wanted: tf.Tensor
    ) -> tf.Tensor:
        return self.translate(images, labels + own * (wanted[:, None] - labels))

    def translate(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The images as these labels, `[N, n]`, say."""
        return self.generator([images, labels])

    def train_discriminator(self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> Losses:
        """Equation 5, with the adversarial loss of equation 8."""
        edited = self.translate(images, targets)
        _, step = self.steps
        with tf.GradientTape() as tape:
            (of_real, classes), (of_edited, _) = self.discriminator(images), self.discriminator(edited)
            losses = {
                "critic": tf.reduce_mean(of_edited) - tf.reduce_mean(of_real),
                "classified": classification(labels, classes),
                "penalty": gradient_penalty(lambda between: self.discriminator(between)[0], images, edited),
            }
            loss = losses["critic"] + CLASSIFICATION * losses["classified"] + PENALTY * losses["penalty"]
        step(tape, loss)
        return losses

    def train_generator(self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> Losses:
        """Equation 6."""
        step, _ = self.steps
        with tf.GradientTape() as tape:
            edited = self.translate(images, targets)
            again = self.translate(edited, labels)
            of_edited, classes = self.discriminator(edited)
            losses = {
                "adversarial": -tf.reduce_mean(of_edited),
                "edited_classified": classification(targets, classes),
                "reconstruction": tf.reduce_mean(tf.abs(images - again)),
            }
            loss = losses["adversarial"] + CLASSIFICATION * losses["edited_classified"]
            loss += RECONSTRUCTION * losses["reconstruction"]
        step(tape, loss)
        return losses


def classification(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross-entropy, the sum over attributes `[N, n]`, the mean over images."""
    return tf.reduce_mean(tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=1))


def gradient_penalty(critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, edited: tf.Tensor) -> tf.Tensor:
    """`mean((|gradient of the critic| - 1)²)` at random places between real and edited images: WGAN-GP."""
    share = tf.random.uniform([tf.shape(real)[0], 1, 1, 1])
    between = share * real + (1.0 - share) * edited
    with tf.GradientTape() as tape:
        tape.watch(between)
        judged = critic(between)
    slope = tf.sqrt(tf.reduce_sum(tf.square(tape.gradient(judged, between)), axis=[1, 2, 3]))
    return tf.reduce_mean(tf.square(slope - 1.0))


def make_generator(attributes: int, size: int, width: int) -> keras.Model:
    """Images `[N, S, S, 3]` and labels `[N, n]` to images."""
    images, labels = keras.Input((size, size, 3)), keras.Input((attributes,))
    planes = keras.layers.UpSampling2D(size)(keras.layers.Reshape((1, 1, attributes))(labels))
    x = _normalized(_convolution(width, 7)(keras.layers.Concatenate()([images, planes])))
    for factor in (2, 4):
        x = _normalized(_convolution(factor * width, 4, 2)(x))
    for _ in range(BLOCKS):
        inner = _normalized(_convolution(4 * width, 3)(x))
        x = keras.layers.Add()([x, InstanceNormalization(4 * width)(_convolution(4 * width, 3)(inner))])
    for factor in (2, 1):
        up = keras.layers.Conv2DTranspose(factor * width, 4, 2, "same", use_bias=False, kernel_initializer=_kernels())
        x = _normalized(up(x))
    return keras.Model([images, labels], keras.layers.Activation("tanh")(_convolution(3, 7)(x)))


def make_discriminator(attributes: int, size: int, width: int) -> keras.Model:
    """Images to a map of scores `[N, 2, 2, 1]` and logits `[N, n]`."""
    images = x = keras.Input((size, size, 3))
    side, channels_in = size, 3
    while side > LAST_MAP:
        bound = (16 * channels_in) ** -0.5
        biases = keras.initializers.RandomUniform(-bound, bound)
        layer = keras.layers.Conv2D(width, 4, 2, "same", kernel_initializer=_kernels(), bias_initializer=biases)
        x = keras.layers.LeakyReLU(SLOPE)(layer(x))
        side, channels_in, width = side // 2, width, 2 * width
    classes = keras.layers.Conv2D(attributes, side, use_bias=False, kernel_initializer=_kernels())(x)
    return keras.Model(images, [_convolution(1, 3)(x), keras.layers.Flatten()(classes)])


def _convolution(filters: int, kernel: int, stride: int = 1) -> keras.layers.Layer:
    return keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False, kernel_initializer=_kernels())


def _normalized(x: tf.Tensor) -> tf.Tensor:
    return keras.layers.ReLU()(InstanceNormalization(x.shape[-1])(x))


def _kernels() -> keras.initializers.Initializer:
    """PyTorch's default, the authors': uniform in ±1 / sqrt(fan in). One a layer, as it has a seed."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
