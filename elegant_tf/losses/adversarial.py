"""The adversarial losses at one scale, and the penalty that keeps discriminators smooth."""

from __future__ import annotations

import tensorflow as tf

from elegant_tf.losses.augment import UNCHANGED, Augmentation
from elegant_tf.losses.term import Batch, Generated, Step, Weight
from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator


def cross_entropy(logits: tf.Tensor, real: bool) -> tf.Tensor:
    """Mean binary cross-entropy of logits `[N]` against "real" (1) or "fake" (0), stable at any logit."""
    return tf.reduce_mean(tf.math.softplus(-logits if real else logits))


class Adversarial:
    """L_adv of one scale: edited images C and D should pass for real under their labels Y_C and Y_D.

    The program's `BCE(D_k(C), 1) + BCE(D_k(D), 1)`: two means over N, so twice the mean over both.

    Args:
        discriminator: the judges.
        scale: `full` or `half`, k = 1 or 2.
        weight: 1 at full scale; at half scale 0.5 (`official`) or 1 (`paper`).
        augment: what the judges see of images.
    """

    def __init__(
        self,
        discriminator: MultiScaleDiscriminator,
        scale: str,
        weight: Weight = 1.0,
        augment: Augmentation = UNCHANGED,
    ) -> None:
        self.name = f"adversarial_{scale}"
        self.weight = weight
        self._score = discriminator.scale(scale)
        self._augment = augment

    def __call__(self, generator: Elegant, batch: Batch, generated: Generated, step: Step) -> tf.Tensor:
        images = self._augment(generated.edited, 2, step)
        scores = self._score(images, generated.edited_labels[:, None], training=True)
        return 2.0 * cross_entropy(scores, real=True)


class Discrimination:
    """L_D of one scale: real A and B under their labels are real, edited C and D under theirs are fake.

    `BCE(D_k(A), 1) + BCE(D_k(B), 1) + BCE(D_k(C), 0) + BCE(D_k(D), 0)`, each a mean over N.

    Args:
        discriminator: what to train.
        scale: `full` or `half`, k = 1 or 2.
        weight: at full and half scale 1/4 and 1/8 (`official`), or 1 and 1 (`paper`).
        mismatch_weight: weight of real images under the edited images' labels as further fakes; 0: none.
        augment: what the discriminator sees of images.
    """

    def __init__(
        self,
        discriminator: MultiScaleDiscriminator,
        scale: str,
        weight: Weight = 1.0,
        mismatch_weight: float = 0.0,
        augment: Augmentation = UNCHANGED,
    ) -> None:
        self.name = f"discriminator_{scale}"
        self.weight = weight
        self._score = discriminator.scale(scale)
        self._mismatch_weight = mismatch_weight
        self._augment = augment

    def __call__(self, generator: Elegant, batch: Batch, generated: Generated, step: Step) -> tf.Tensor:
        images = tf.concat([generated.images, tf.stop_gradient(generated.edited)], axis=0)
        images = self._augment(images, 4, step)
        label_sets = [tf.concat([generated.labels, generated.edited_labels], axis=0)]
        if self._mismatch_weight:
            label_sets.append(tf.concat([generated.edited_labels, generated.labels], axis=0))
        real, fake = tf.split(self._score(images, tf.stack(label_sets, axis=1), training=True), 2)
        loss = cross_entropy(real[:, 0], real=True) + cross_entropy(fake[:, 0], real=False)
        if self._mismatch_weight:
            loss += self._mismatch_weight * cross_entropy(real[:, 1], real=False)
        return 2.0 * loss


class R1Penalty:
    """R1: half the mean over real images of `||d(scores) / d(image)||^2`, the scores of both scales added.

    Mescheder et al., Which Training Methods for GANs do actually Converge?, 2018, equation 9. It is computed once in
    `every` updates and counts for all of them (Karras et al., Analyzing and Improving the Image Quality of StyleGAN,
    2020), at a fraction of the cost. With augmentation, the images are those that discriminators learn from, the
    augmented ones, and so is what the gradient is taken by.

    Args:
        discriminator: what to keep smooth.
        weight: of the penalty.
        every: updates from one penalty to the next.
        augment: what the discriminator sees of images; both scales see the same here.
    """

    name = "r1"

    def __init__(
        self,
        discriminator: MultiScaleDiscriminator,
        weight: Weight,
        every: int = 1,
        augment: Augmentation = UNCHANGED,
    ) -> None:
        self.weight = weight
        self._discriminator = discriminator
        self._every = every
        self._augment = augment

    def __call__(self, generator: Elegant, batch: Batch, generated: Generated, step: Step) -> tf.Tensor:
        images, labels = generated.images, generated.labels
        return tf.cond(
            tf.equal(step.updates % self._every, 0),
            lambda: self._every * self.penalty(self._augment(images, 2, step), labels),
            lambda: tf.zeros([], images.dtype),
        )

    def penalty(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The penalty at images `[N, S, S, 3]` under labels `[N, n]`, a scalar."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            scores = tf.add_n(self._discriminator(images, labels[:, None], training=True))
        slopes = tape.gradient(scores, images)
        return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(slopes), axis=[1, 2, 3]))
