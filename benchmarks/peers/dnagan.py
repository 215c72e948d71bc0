"""DNA-GAN: an image's code has a block for each attribute, which an edit takes from the exemplar or sets to zero.

Xiao et al., DNA-GAN: Learning Disentangled Representations from Multi-Attribute Images, ICLR 2018 workshop. Numbers
are those of the authors' program, github.com/Prinsphield/DNA-GAN, which works at 64 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from benchmarks.peers.plumbing import Losses, Peer, channels
from elegant_tf.losses.term import Batch
from elegant_tf.training.gradients import GradientStep

RATE, DECAY, EPSILON = 5e-5, 0.8, 1e-10  # RMSProp's; epsilon is TensorFlow 1's default
CLIP = 0.01  # of the discriminator's variables: a Wasserstein GAN
OFTEN, OFTEN_EVERY = 100, 500  # updates of the discriminator in every 500th update, from the first one on
BLOCK = 0.25  # of the code's channels, for each attribute
ENCODER, DECODER, JUDGE = (128, 256, 512), (512, 256), (128, 256, 512, 512)
SLOPE = 0.2
STDDEV = 0.02  # of new kernels


class DNAGAN(Peer):
    """The method. Its batches have 64 pairs in the authors' program and 16 here, as ELEGANT's.

    The authors' weight decay is left out: the names that their program looks for match no variable.
    """

    def __init__(self, attributes: Sequence[str], image_size: int, width: float = 1.0) -> None:
        count = len(attributes)
        self.encoder = make_encoder(image_size, width)
        code = self.encoder.output_shape[1:]
        self.block = block_channels(code[-1], count)
        self.decoder, self.discriminator = make_decoder(code, width), make_discriminator(count, image_size, width)
        self.networks = {"encoder": self.encoder, "decoder": self.decoder, "discriminator": self.discriminator}
        generator = self.encoder.trainable_variables + self.decoder.trainable_variables
        self.steps = [
            GradientStep(variables, keras.optimizers.RMSprop(RATE, rho=DECAY, epsilon=EPSILON))
            for variables in (generator, self.discriminator.trainable_variables)
        ]
        self._updates = 0
        self._train_discriminator = tf.function(self.train_discriminator)
        self._train_generator = tf.function(self.train_generator)
        self._generate = tf.function(self.generate)

    def update(self, batch: Batch) -> Losses:
        _, _, without, having = self._generate(batch)
        for _ in range(OFTEN if self._updates % OFTEN_EVERY == 0 else 1):
            losses = self._train_discriminator(batch, without, having)
        self._updates += 1
        return {**losses, **self._train_generator(batch)}

    def edit(
        self, images: tf.Tensor, exemplars: tf.Tensor, own: tf.Tensor, labels: tf.Tensor, wanted: tf.Tensor
    ) -> tf.Tensor:
        given = self.encoder(exemplars) * wanted[:, None, None, None]
        return self.decoder(replaced(self.encoder(images), given, self.mask(own)))

    def mask(self, own: tf.Tensor) -> tf.Tensor:
        """1 in the channels of an attribute's block, which is one-hot `[N, n]`: `[N, 1, 1, C]`."""
        blocks = tf.repeat(own, self.block, axis=1)
        return tf.pad(blocks, [[0, 0], [0, self.encoder.output_shape[-1] - blocks.shape[1]]])[:, None, None]

    def generate(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """A and B again, A without its attribute, and B with it. Batch statistics are those of each of the four."""
        mask = self.mask(tf.one_hot(batch["attribute"], batch["y_a"].shape[1]))
        a, b = (self.encoder(batch[side], training=True) for side in ("a", "b"))
        nothing = tf.zeros_like(a)
        codes = (a, replaced(b, nothing, mask), replaced(a, nothing, mask), replaced(b, a, mask))
        a_again, b_again, without, having = (self.decoder(code, training=True) for code in codes)
        return a_again, b_again, without, having

    def train_discriminator(self, batch: Batch, without: tf.Tensor, having: tf.Tensor) -> Losses:
        """The Wasserstein loss, and the clipping of every variable."""
        _, step = self.steps
        with tf.GradientTape() as tape:
            real_a, real_b = self.judge(batch["a"], batch, "y_a"), self.judge(batch["b"], batch, "y_b")
            edited_a, edited_b = self.judge(having, batch, "y_a"), self.judge(without, batch, "y_b")
            loss = tf.reduce_mean(edited_a - real_a) + tf.reduce_mean(edited_b - real_b)
        step(tape, loss)
        for variable in step.variables:
            variable.assign(tf.clip_by_value(variable, -CLIP, CLIP))
        return {"critic": loss}

    def train_generator(self, batch: Batch) -> Losses:
        step, _ = self.steps
        with tf.GradientTape() as tape:
            a_again, b_again, without, having = self.generate(batch)
            edited = self.judge(having, batch, "y_a"), self.judge(without, batch, "y_b")
            losses = {
                "reconstruction": reconstruction(batch["a"], a_again) + reconstruction(batch["b"], b_again),
                "adversarial": -tf.add_n([tf.reduce_mean(score) for score in edited]),
            }
            loss = losses["reconstruction"] + losses["adversarial"]
        step(tape, loss)
        return losses

    def judge(self, images: tf.Tensor, batch: Batch, labels: str) -> tf.Tensor:
        """The score of each image for its pair's attribute `[N]`, under labels -1 and 1.

        As in the authors' program, B with A's attribute is judged under all of A's labels, and A without it under B's.
        """
        scores = self.discriminator([images, 2.0 * batch[labels] - 1.0], training=True)
        return tf.gather(scores, batch["attribute"], axis=1, batch_dims=1)


def replaced(code: tf.Tensor, given: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """A code `[N, h, w, C]` with the channels of another where the mask is 1."""
    return code + mask * (given - code)


def reconstruction(images: tf.Tensor, again: tf.Tensor) -> tf.Tensor:
    """The mean absolute error as a share of the range of pixels, which is 2 here."""
    return tf.reduce_mean(tf.abs(images - again)) / 2.0


def block_channels(code: int, attributes: int) -> int:
    """Channels of a block: a quarter of the code, or less where attributes are many, so that a rest is left."""
    return int(code * min(BLOCK, 1 / (attributes + 1)))


def make_encoder(size: int, width: float) -> keras.Model:
    """Images to codes `[N, S/8, S/8, C]`."""
    images = keras.Input((size, size, 3))
    return keras.Model(images, _halved(images, ENCODER, width))


def make_decoder(code: Sequence[int], width: float) -> keras.Model:
    """Codes to images."""
    codes = x = keras.Input(tuple(code))
    for published in DECODER:
        x = _up(channels(published, width), use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(codes, keras.layers.Activation("tanh")(_up(3, use_bias=True)(x)))


def make_discriminator(attributes: int, size: int, width: float) -> keras.Model:
    """Images and labels `[N, n]` to a score for each attribute `[N, n]`."""
    images, labels = keras.Input((size, size, 3)), keras.Input((attributes,))
    planes = keras.layers.UpSampling2D(size)(keras.layers.Reshape((1, 1, attributes))(labels))
    x = _halved(keras.layers.Concatenate()([images, planes]), JUDGE, width)
    scores = keras.layers.Dense(attributes, kernel_initializer=_kernels())(keras.layers.Flatten()(x))
    return keras.Model([images, labels], scores)


def _halved(x: tf.Tensor, published: Sequence[int], width: float) -> tf.Tensor:
    """4x4 convolutions with stride 2, all but the first with batch normalization."""
    for place, filters in enumerate(published):
        layer = keras.layers.Conv2D(
            channels(filters, width), 4, 2, "same", use_bias=False, kernel_initializer=_kernels()
        )
        x = keras.layers.BatchNormalization()(layer(x)) if place else layer(x)
        x = keras.layers.LeakyReLU(SLOPE)(x)
    return x


def _up(filters: int, use_bias: bool) -> keras.layers.Layer:
    return keras.layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=use_bias, kernel_initializer=_kernels())


def _kernels() -> keras.initializers.Initializer:
    """One a layer, as it has a seed."""
    return keras.initializers.RandomNormal(0.0, STDDEV)
