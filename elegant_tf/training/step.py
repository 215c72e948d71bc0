"""One update: what a batch of pairs does to the generator and the discriminators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from elegant_tf import losses
from elegant_tf.config import Config
from elegant_tf.data.truths import TRUTH_COLUMNS
from elegant_tf.latent import exchange
from elegant_tf.layers import training_policy
from elegant_tf.model import Elegant, MultiScaleDiscriminator, apply_residual
from elegant_tf.training.optimizer import Adam, Muon
from elegant_tf.training.restoration import Restoration

Batch = Mapping[str, tf.Tensor]


class Generated(NamedTuple):
    """What the generator makes of a batch; A and B are joined on the first axis, `[2N, ...]`.

    `codes` and `skips` are those of A and B; `reconstructed` is A1 and B1; `edited` is C (A with its attribute
    taken from B) and D (B with it taken from A); `residuals` of C and D; `weights`, `[2N, 1, n]`: what was exchanged.
    """

    codes: tf.Tensor
    skips: Sequence[tf.Tensor]
    reconstructed: tf.Tensor
    edited: tf.Tensor
    residuals: tf.Tensor
    weights: tf.Tensor


class Learner(tf.Module):
    """The networks and optimizers of a run, and the update that trains them.

    Make it inside the strategy's scope; call `update` in replica context, inside a `tf.function`. All of its
    variables are what a checkpoint holds.

    Args:
        config: the run's options.
        replicas: how many replicas share a batch; losses are means over the whole batch.
    """

    def __init__(self, config: Config, replicas: int = 1) -> None:
        super().__init__(name="learner")
        self._config = config
        self._replicas = replicas
        policy = training_policy(config.precision)
        size, count = config.image_size, len(config.attributes)
        self.generator = Elegant(**config.generator_arguments, dtype=policy)
        self.generator.build()
        self.discriminator = MultiScaleDiscriminator(config.width, config.conditioning, dtype=policy)
        self.discriminator.build((None, size, size, 3 + count))
        self.averaged = None
        if config.ema_half_life:
            self.averaged = Elegant(**config.generator_arguments, dtype=policy, name="averaged")
            self.averaged.build()
            for average, variable in zip(self.averaged.weights, self.generator.weights, strict=True):
                average.assign(variable)
        # TensorFlow's checkpoints do not look into a Keras model's lists of layers: these lists are what is saved.
        self.averaged_variables = [v.value for v in self.averaged.weights] if self.averaged else None
        self.generator_variables = [v.value for v in self.generator.trainable_variables]
        self.discriminator_variables = [v.value for v in self.discriminator.trainable_variables]
        self.generator_optimizer = self._optimizer(self.generator_variables)
        self.discriminator_optimizer = self._optimizer(self.discriminator_variables)
        self.updates = tf.Variable(0, trainable=False, dtype=tf.int64, name="updates")

    def _optimizer(self, variables: Sequence[tf.Variable]) -> Adam:
        config = self._config
        scaling = config.precision == "mixed_float16"
        kind = Muon if config.optimizer == "muon" else Adam
        return kind(variables, config.adam_beta1, config.adam_beta2, config.weight_decay, loss_scaling=scaling)

    @property
    def editing_generator(self) -> Elegant:
        """The generator to edit with: the averaged one if there is one."""
        return self.generator if self.averaged is None else self.averaged

    def start_with(self, generator: Elegant) -> None:
        """Takes over the weights of another generator of the same kind, averaged ones too."""
        for mine in filter(None, (self.generator, self.averaged)):
            mine.set_weights(generator.get_weights())

    def _step(self) -> tf.Tensor:
        return self.updates // self._config.updates_per_step

    def learning_rate(self) -> tf.Tensor:
        """`rate * decay ** floor(step / decay_steps)`, the step counted from 0: the authors' schedule, per step.

        With a cooldown also times `min(1, (steps - step) / cooldown)`.
        """
        config = self._config
        step = self._step()
        decays = tf.cast(step // config.learning_rate_decay_steps, tf.float64)
        rate = config.learning_rate * tf.pow(tf.constant(config.learning_rate_decay, tf.float64), decays)
        if config.learning_rate_cooldown:
            rate *= tf.clip_by_value(tf.cast(config.steps - step, rate.dtype) / config.learning_rate_cooldown, 0.0, 1.0)
        return rate

    def update(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Trains both sides on one batch; the replica's share of the batch's mean losses, scalars by name.

        Args:
            batch: `a` and `b`, images `[N, S, S, 3]` in [-1, 1]; `y_a` and `y_b`, labels `[N, n]` in {0, 1};
                `attribute`, int `[N]`: the index that each example trains; A has it, B has not. With a `truth_weight`
                also what `truth_loss` wants, `truth_updates` times.
        """
        rate = self.learning_rate()
        batch = self._learn_from_truths(batch, rate)
        labels = tf.concat([batch["y_a"], batch["y_b"]], axis=0)
        other = tf.concat([batch["y_b"], batch["y_a"]], axis=0)
        exchanged = self._choose_exchanged(batch)
        swapped = losses.swap_labels(labels, other, tf.concat([exchanged, exchanged], axis=0))
        with tf.GradientTape(watch_accessed_variables=False) as generator_tape:
            generator_tape.watch(self.generator_variables)
            generated = self.generate(batch, exchanged)
            discriminator_terms = self._train_discriminator(batch, generated.edited, labels, swapped, rate)
            generator_terms = self.generator_losses(batch, generated, swapped)
            loss = self.generator_optimizer.scale_loss(generator_terms["generator"] / self._replicas)
        self.generator_optimizer.apply(generator_tape.gradient(loss, self.generator_variables), rate)
        self._average()
        self.updates.assign_add(1)
        terms = {**discriminator_terms, **generator_terms}
        return {name: value / self._replicas for name, value in terms.items()}

    def generate(self, batch: Batch, exchanged: tf.Tensor | None = None) -> Generated:
        """Encodes A and B, reconstructs both and exchanges attributes between them.

        `exchanged`: which ones in each example, `[N, n]` in {0, 1}; None: each example's own alone.
        """
        images = tf.concat([batch["a"], batch["b"]], axis=0)
        codes, skips = self.generator.encode(images, training=True)
        exchanged = self._own_attribute(batch) if exchanged is None else exchanged
        weights = tf.concat([exchanged, exchanged], axis=0)[:, None, :]
        exchanged = exchange(codes, _swap_halves(codes)[:, None], weights)
        twice = [tf.concat([skip, skip], axis=0) for skip in skips]
        residuals = self.generator.decode(
            tf.concat([codes, exchanged], 0), tf.concat([codes, codes], 0), twice, training=True
        )
        kept, changed = tf.split(residuals, 2)
        edited = apply_residual(images, changed)
        return Generated(codes, skips, apply_residual(images, kept), edited, changed, weights)

    def discriminator_losses(
        self, images: tf.Tensor, edited: tf.Tensor, labels: tf.Tensor, swapped: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The discriminators' losses: real A and B under their labels, against edited C and D under theirs.

        Each cross-entropy is a mean over N; images and labels hold A and B (or C and D) joined, so that a mean over
        2N counts twice.
        """
        config = self._config
        sets = [tf.concat([labels, swapped], 0)]
        if config.mismatch_weight:
            sets.append(tf.concat([swapped, labels], 0))
        logits = self.discriminator(tf.concat([images, edited], 0), tf.stack(sets, axis=1), training=True)

        def one_scale(scores: tf.Tensor) -> tf.Tensor:
            real, fake = tf.split(scores, 2)
            total = losses.cross_entropy(real[:, 0], real=True) + losses.cross_entropy(fake[:, 0], real=False)
            if config.mismatch_weight:
                total += config.mismatch_weight * losses.cross_entropy(real[:, 1], real=False)
            return 2.0 * total

        full, half = one_scale(logits[0]), one_scale(logits[1])
        total = config.discriminator_weight * losses.scale_sum([full, half], config.half_scale_weight)
        return {"discriminator": total, "discriminator_full": full, "discriminator_half": half}

    def gradient_penalty(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """R1: half the mean over real images of `||d(scores) / d(image)||^2`, both discriminators' scores added.

        Mescheder et al., Which Training Methods for GANs do actually Converge?, 2018, equation 9.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            scores = tf.add_n(self.discriminator(images, labels[:, None], training=True))
        slopes = tape.gradient(scores, images)
        return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(slopes), axis=[1, 2, 3]))

    def generator_losses(self, batch: Batch, generated: Generated, swapped: tf.Tensor) -> dict[str, tf.Tensor]:
        """The generator's losses, judged by the discriminators as they are now."""
        config = self._config
        a1, b1 = tf.split(generated.reconstructed, 2)
        norm = config.reconstruction_norm
        reconstruction = losses.reconstruction(a1, batch["a"], norm) + losses.reconstruction(b1, batch["b"], norm)
        scores = self.discriminator(generated.edited, swapped[:, None], training=True)
        full, half = (2.0 * losses.cross_entropy(score, real=True) for score in scores)
        total = config.reconstruction_weight * reconstruction
        total += losses.scale_sum([full, half], config.half_scale_weight)
        terms = {"reconstruction": reconstruction, "adversarial_full": full, "adversarial_half": half}
        for name, term in self.restorations(batch, generated).items():
            terms[name] = term
            total += self._ramp() * getattr(config, f"{name}_weight") * term
        if config.residual_weight:
            terms["residual"] = tf.reduce_mean(tf.abs(generated.residuals))
            total += config.residual_weight * terms["residual"]
        if config.truth_weight:
            terms["truth"] = self.truth_loss(batch)
            total += config.truth_weight * terms["truth"]
        return {"generator": total, **terms}

    def _learn_from_truths(self, batch: Batch, rate: tf.Tensor) -> Batch:
        """Trains the generator on right answers, in turn, but those of the last turn, which the batch keeps."""
        if not self._config.truth_weight:
            return batch
        many = self._config.truth_updates
        # Not one block after another: those of a replica would be others than those of one that has the whole batch.
        *alone, last = ({name: batch[name][k::many] for name in TRUTH_COLUMNS} for k in range(many))
        for part in alone:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(self.generator_variables)
                loss = self._config.truth_weight * self.truth_loss(part) / self._replicas
                loss = self.generator_optimizer.scale_loss(loss)
            self.generator_optimizer.apply(tape.gradient(loss, self.generator_variables), rate)
        return {**batch, **last}

    def truth_loss(self, batch: Batch) -> tf.Tensor:
        """How far A and B are from their right answers, `truth_c` and `truth_d`, having exchanged attributes."""
        images, truths = (tf.concat([batch[f"truth_{name}"] for name in both], axis=0) for both in ("ab", "cd"))
        weights = tf.concat([batch["truth_weights"]] * 2, axis=0)[:, None]
        codes, skips = self.generator.encode(images, training=True)
        exemplars = _swap_halves(codes)[:, None]
        edited, _ = self.generator.edit_encoded(images, codes, skips, exemplars, weights, training=True)
        counting = (self._config.truth_floor, self._config.truth_kept_weight)
        errors = [losses.relative_error(edited, truths, images, norm, *counting) for norm in ("l2", "l1")]
        return tf.where(self._step() >= self._config.steps - self._config.truth_absolute, *reversed(errors))

    def restorations(self, batch: Batch, generated: Generated) -> dict[str, tf.Tensor]:
        """How far edited images are from the originals once what was exchanged is given back: what has a weight of
        `restoration` and `restyle`, see `Restoration.terms`.
        """
        config = self._config
        if not (config.restoration_weight or config.restyle_weight):
            return {}
        restoration = Restoration(
            self.generator, config.restoration_noise, config.exemplar_shift, config.carrier_share, self._seed
        )
        codes, edited = (tuple(tf.split(both, 2)) for both in (generated.codes, generated.edited))
        weights, _ = tf.split(generated.weights, 2)
        terms = restoration.terms(
            (batch["a"], batch["b"]), codes, edited, weights, batch["attribute"], bool(config.restyle_weight)
        )
        return {name: term for name, term in terms.items() if getattr(config, f"{name}_weight")}

    def _seed(self, stream: int) -> tf.Tensor:
        """What random numbers depend on: seed, update, replica and one of eight streams."""
        context = tf.distribute.get_replica_context()
        replica = tf.cast(context.replica_id_in_sync_group if context else 0, tf.int64)
        return tf.stack(
            [tf.constant(8 * self._config.seed + stream, tf.int64), self.updates * self._replicas + replica]
        )

    def _ramp(self) -> tf.Tensor:
        """Grows from 0 to 1: before attributes come off at all, restoring is to do nothing, and teaches just that."""
        ramp = max(self._config.restoration_ramp_updates, 1)
        return tf.minimum(1.0, tf.cast(self.updates + 1, self.generator_variables[0].dtype) / ramp)

    def _own_attribute(self, batch: Batch) -> tf.Tensor:
        return tf.one_hot(batch["attribute"], len(self._config.attributes), dtype=batch["y_a"].dtype)

    def _choose_exchanged(self, batch: Batch) -> tf.Tensor:
        """Each example's own attribute, and every other one with the chance of `exchange_share`: `[N, n]`."""
        own = self._own_attribute(batch)
        if not self._config.exchange_share:
            return own
        chances = tf.random.stateless_uniform(tf.shape(own), self._seed(2), dtype=own.dtype)
        return tf.maximum(own, tf.cast(chances < self._config.exchange_share, own.dtype))

    def _train_discriminator(
        self, batch: Batch, edited: tf.Tensor, labels: tf.Tensor, swapped: tf.Tensor, rate: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        images = tf.concat([batch["a"], batch["b"]], axis=0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.discriminator_variables)
            terms = self.discriminator_losses(images, tf.stop_gradient(edited), labels, swapped)
            if self._config.r1_weight:
                terms["r1"] = self._lazy_penalty(images, labels)
                terms["discriminator"] += terms["r1"]
            loss = self.discriminator_optimizer.scale_loss(terms["discriminator"] / self._replicas)
        self.discriminator_optimizer.apply(tape.gradient(loss, self.discriminator_variables), rate)
        return terms

    def _lazy_penalty(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The penalty of `r1_every` updates at once, in every such update; 0 in the others.

        Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020: for a share of the cost it does as
        much.
        """
        every = self._config.r1_every
        due = tf.equal(self.updates % every, 0)
        penalty = tf.cond(due, lambda: self.gradient_penalty(images, labels), lambda: tf.zeros([], images.dtype))
        return self._config.r1_weight * every * penalty

    def _average(self) -> None:
        if self.averaged is None:
            return
        keep = 0.5 ** (1.0 / self._config.ema_half_life)
        for average, variable in zip(self.averaged.weights, self.generator.weights, strict=True):
            average.value.assign_sub((1.0 - keep) * (average.value - variable.value))


def _swap_halves(pairs: tf.Tensor) -> tf.Tensor:
    first, second = tf.split(pairs, 2)
    return tf.concat([second, first], axis=0)
