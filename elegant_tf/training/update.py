"""ELEGANT's update: encode, exchange, decode; the discriminators' step; the generator's step; average."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import tensorflow as tf

from elegant_tf.losses.replicas import WHOLE, Part, uniform
from elegant_tf.losses.term import Batch, Generated, Step, Term, halves, weight_at
from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator, apply_residual
from elegant_tf.model.keras_versions import tf_variable
from elegant_tf.model.latent import exchange
from elegant_tf.training.gradients import GradientStep
from elegant_tf.training.parts import SharedCodes, in_parts, sum_over


class Learner:
    """The networks of a run, and the update that trains them on one batch.

    `training.build.make_learner` makes one as a configuration says. Call `update` in replica context, inside a
    `tf.function`.

    Args:
        generator, discriminator: built models.
        generator_terms, discriminator_terms: their losses.
        generator_step, discriminator_step: what moves their variables.
        average: a generator that follows the trained one as its exponential moving average; None: no average.
        ema_half_life: updates in which the average forgets half.
        exchange_share: probability that an attribute which an example does not train is exchanged, too.
        seed: of all random numbers.
        replicas: how many replicas share a batch.
        parts: in how many parts a replica computes its share of a batch, one after another.
    """

    def __init__(
        self,
        generator: Elegant,
        discriminator: MultiScaleDiscriminator,
        generator_terms: Sequence[Term],
        discriminator_terms: Sequence[Term],
        generator_step: GradientStep,
        discriminator_step: GradientStep,
        average: Elegant | None = None,
        ema_half_life: float = 0.0,
        exchange_share: float = 0.0,
        seed: int = 0,
        replicas: int = 1,
        parts: int = 1,
    ) -> None:
        self.generator, self.discriminator, self.average = generator, discriminator, average
        self.generator_terms, self.discriminator_terms = tuple(generator_terms), tuple(discriminator_terms)
        terms = (*generator_terms, *discriminator_terms)
        self.loss_names = names = ("generator", "discriminator", *(term.name for term in terms))
        if len(set(names)) < len(names):
            raise ValueError(f"every loss needs a name of its own; received {', '.join(names)}")
        self.generator_step, self.discriminator_step = generator_step, discriminator_step
        self.updates = tf.Variable(0, trainable=False, dtype=tf.int64, name="updates")
        self._keep = 0.5 ** (1.0 / ema_half_life) if ema_half_life else 0.0
        self._exchange_share = exchange_share
        self._seed, self._replicas, self._parts = seed, replicas, parts

    @property
    def editing_generator(self) -> Elegant:
        """The generator to edit with: the average if there is one."""
        return self.generator if self.average is None else self.average

    def update(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Trains both sides on one batch.

        Returns:
            The replica's share of the batch's mean losses, unweighted scalars by name, and both weighted sums:
            `discriminator` and `generator`.
        """
        batch = _in_dtype(batch, self.generator.variable_dtype)
        exchanged = choose_exchanged(batch, self._exchange_share, self._step("exchange").seed)
        self.discriminator.iterate()
        losses = self._train_at_once(batch, exchanged) if self._parts == 1 else self._train_in_parts(batch, exchanged)
        self.follow()
        self.updates.assign_add(1)
        return {name: loss / (self._replicas * self._parts) for name, loss in losses.items()}

    def _train_at_once(self, batch: Batch, exchanged: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.generator_step.variables)
            generated = generate(self.generator, batch, exchanged)
            judged = self._train_discriminators(batch, generated)
            # The updated discriminators judge the same edited images.
            losses = self._losses("generator", self.generator_terms, batch, generated)
        self.generator_step(tape, losses["generator"])
        return {**judged, **losses}

    def _train_discriminators(self, batch: Batch, generated: Generated) -> dict[str, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.discriminator_step.variables)
            losses = self._losses("discriminator", self.discriminator_terms, batch, generated)
        self.discriminator_step(tape, losses["discriminator"])
        return losses

    def _train_in_parts(self, batch: Batch, exchanged: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `_train_at_once`, in the memory that one part takes; the losses are sums over the parts.

        All parts train the discriminators before the first one trains the generator, so each is generated twice.
        """
        parts = {name: in_parts(value, self._parts) for name, value in {**batch, "exchanged": exchanged}.items()}
        losses, gradients = self._sweep("discriminator", self.discriminator_terms, self.discriminator_step, parts)
        self.discriminator_step.apply(gradients)
        step, shared = self.generator_step, None
        if any(getattr(term, "needs_partners", False) for term in self.generator_terms):
            images = tf.concat([parts["a"], parts["b"]], axis=1)
            shared = SharedCodes(self.generator, images, batch["attribute"])
        of_generator, gradients = self._sweep("generator", self.generator_terms, step, parts, shared)
        if shared:
            *gradients, of_codes = gradients
            gradients = [
                tf.add_n(both) for both in zip(gradients, shared.gradients(of_codes, step.variables), strict=True)
            ]
        step.apply(gradients)
        return {**losses, **of_generator}

    def _sweep(
        self,
        side: str,
        terms: Sequence[Term],
        step: GradientStep,
        parts: Mapping[str, tf.Tensor],
        shared: SharedCodes | None = None,
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Losses of one side and gradients of its variables and of shared codes: both summed over the parts."""
        sources = [*step.variables, *([shared.everyones] if shared else [])]

        def of_part(index: tf.Tensor) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
            batch = {name: values[index] for name, values in parts.items()}
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(sources)
                generated = generate(self.generator, batch, batch["exchanged"])
                generated.partners = shared.partners(index) if shared else None
                losses = self._losses(side, terms, batch, generated, Part(index, self._parts))
            share = step.share(losses[side], self._parts)
            zero = tf.UnconnectedGradients.ZERO
            gradients = tape.gradient(losses[side], sources, output_gradients=share, unconnected_gradients=zero)
            return losses, [tf.convert_to_tensor(gradient) for gradient in gradients]

        no_losses = dict.fromkeys((side, *(term.name for term in terms)), tf.zeros([], self.generator.variable_dtype))
        return sum_over(self._parts, (no_losses, [tf.zeros_like(source) for source in sources]), of_part)

    def _losses(
        self, side: str, terms: Sequence[Term], batch: Batch, generated: Generated, part: Part = WHOLE
    ) -> dict[str, tf.Tensor]:
        """Every term by its name, and their weighted sum by the name of the side."""
        losses = {term.name: term(self.generator, batch, generated, self._step(term.name, part)) for term in terms}
        weighted = [weight_at(term, self.updates, losses[term.name].dtype) * losses[term.name] for term in terms]
        return {side: tf.add_n(weighted), **losses}

    def _step(self, stream: str, part: Part = WHOLE) -> Step:
        """Now, with the seed of a random stream by its name; it depends on the run's seed and the update."""
        seed = tf.constant([self._seed, zlib.crc32(stream.encode())], tf.int64)
        return Step(self.updates.read_value(), tf.random.fold_in(seed, self.updates.read_value()), part)

    def follow(self) -> None:
        """Moves the average towards the generator."""
        if self.average is None:
            return
        for average, variable in zip(self.average.weights, self.generator.weights, strict=True):
            mine, theirs = tf_variable(average), tf_variable(variable)
            mine.assign_sub((1.0 - self._keep) * (mine - theirs))


def generate(generator: Elegant, batch: Batch, exchanged: tf.Tensor) -> Generated:
    """Encodes A and B, reconstructs both, and exchanges attributes between them; `exchanged`: `[N, n]` in {0, 1}."""
    batch = _in_dtype(batch, generator.variable_dtype)
    images = tf.concat([batch["a"], batch["b"]], axis=0)
    labels = tf.concat([batch["y_a"], batch["y_b"]], axis=0)
    exchanged = tf.cast(tf.concat([exchanged, exchanged], axis=0), labels.dtype)
    codes, skips = generator.encode(images, training=True)
    edited_codes = exchange(codes, swap_halves(codes)[:, None], exchanged[:, None])
    residuals, masks = generator.decode_with_mask(
        tf.concat([codes, edited_codes], axis=0),
        tf.concat([codes, codes], axis=0),
        [tf.concat([skip, skip], axis=0) for skip in skips],
    )
    kept, changed = halves(residuals)
    return Generated(
        images=images,
        labels=labels,
        codes=codes,
        skips=skips,
        exchanged=exchanged,
        reconstructed=apply_residual(images, kept),
        edited=apply_residual(images, changed),
        edited_labels=labels + exchanged * (swap_halves(labels) - labels),
        residuals=changed,
        masks=None if masks is None else halves(masks)[1],
    )


def _in_dtype(batch: Batch, dtype: str) -> Batch:
    """The batch with its images and labels in the variables' format; data come in float32."""
    return {
        name: tf.cast(value, dtype) if tf.as_dtype(value.dtype).is_floating else value for name, value in batch.items()
    }


def choose_exchanged(batch: Batch, share: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Each example's own attribute, and every other one with probability `share`: `[N, n]` in {0, 1}."""
    own = tf.one_hot(batch["attribute"], batch["y_a"].shape[1], dtype=batch["y_a"].dtype)
    if not share:
        return own
    chances = uniform([tf.shape(own)[0], own.shape[1]], seed, own.dtype)
    return tf.maximum(own, tf.cast(chances < share, own.dtype))


def swap_halves(pairs: tf.Tensor) -> tf.Tensor:
    """`[2N, ...]` with the two halves exchanged."""
    first, second = halves(pairs)
    return tf.concat([second, first], axis=0)
