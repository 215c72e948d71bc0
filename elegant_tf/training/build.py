"""From a configuration to the networks, losses and optimizers that it names. The only place that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.losses.adversarial import Adversarial, Discrimination, R1Penalty
from elegant_tf.losses.augment import Augmentation
from elegant_tf.losses.cycle import Cycle, StyleCycle
from elegant_tf.losses.reconstruction import Mask, Reconstruction, Residual
from elegant_tf.losses.term import Term
from elegant_tf.model.cpu_kernels import training_policy
from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator
from elegant_tf.runs import make_discriminator, make_generator
from elegant_tf.training.gradients import GradientStep
from elegant_tf.training.optimizers import l2_of, make_optimizer
from elegant_tf.training.update import Learner


def make_learner(
    config: Config,
    replicas: int = 1,
    terms: Sequence[Term] = (),
    generator_optimizer: keras.optimizers.Optimizer | None = None,
    discriminator_optimizer: keras.optimizers.Optimizer | None = None,
    discriminator_normalization: keras.layers.Layer | None = None,
    policy: keras.mixed_precision.Policy | None = None,
) -> Learner:
    """A new learner; make it in the strategy's scope.

    Args:
        config: the run's configuration.
        replicas: how many replicas share a batch.
        terms: further losses of the generator.
        generator_optimizer, discriminator_optimizer: any Keras optimizers, new ones; None: what the configuration says.
        discriminator_normalization: a layer, of which the discriminators use copies; None: what the configuration says.
        policy: of the networks; None: the fastest one for `--precision` on this machine.

    Raises:
        UserError: several replicas cannot train as `--jit` or `--accumulate` says.
    """
    _check_replicas(config, replicas)
    policy = policy or training_policy(config.optimizer.precision)
    generator = make_generator(config.model, policy)
    discriminator = make_discriminator(config, policy, discriminator_normalization)
    for network in (generator.encoder, generator.decoder, discriminator.full, discriminator.half):
        network.recompute = config.run.recompute
    average = _copy(generator) if config.optimizer.ema_half_life else None
    generator_terms, discriminator_terms = make_terms(config, discriminator)
    steps = [
        GradientStep(
            network.trainable_variables,
            optimizer or make_optimizer(config),
            l2=0.0 if optimizer else l2_of(config),
            loss_scaling=config.optimizer.precision == "mixed_float16",
            replicas=replicas,
        )
        for network, optimizer in ((generator, generator_optimizer), (discriminator, discriminator_optimizer))
    ]
    return Learner(
        generator,
        discriminator,
        generator_terms=[*generator_terms, *terms],
        discriminator_terms=discriminator_terms,
        generator_step=steps[0],
        discriminator_step=steps[1],
        average=average,
        ema_half_life=config.optimizer.ema_half_life,
        exchange_share=config.loss.exchange_share,
        seed=config.run.seed,
        replicas=replicas,
        parts=config.data.accumulate,
    )


def _check_replicas(config: Config, replicas: int) -> None:
    if config.run.jit and replicas > 1:
        # Where variables are mirrored, TensorFlow puts the replicas into one function, which XLA refuses.
        raise UserError(
            f"--jit: compiles the updates of one device, and {replicas} train; leave it out, or choose "
            "--strategy=one_device"
        )
    parts, pairs = config.data.accumulate, config.data.batch_size
    if pairs % (replicas * parts):
        raise UserError(
            f"--accumulate={parts}: must divide the {pairs // replicas} pairs that each of {replicas} devices has of "
            f"--batch_size={pairs}"
        )


def make_terms(config: Config, discriminator: MultiScaleDiscriminator) -> tuple[list[Term], list[Term]]:
    """L_G and L_D as their terms.

    `official` and `paper` have adversarial losses at both scales, and reconstruction; other terms are there if they
    have a weight.
    """
    loss = config.loss
    scales = {"full": 1.0, "half": loss.half_scale_weight}
    augment = Augmentation(loss.augment)
    of_discriminator: list[Term] = [
        Discrimination(discriminator, scale, loss.discriminator_weight * share, loss.mismatch_weight, augment)
        for scale, share in scales.items()
    ]
    if loss.r1_weight:
        of_discriminator.append(R1Penalty(discriminator, loss.r1_weight, loss.r1_every, augment))
    of_generator: list[Term] = [Adversarial(discriminator, scale, share, augment) for scale, share in scales.items()]
    of_generator.append(Reconstruction(loss.reconstruction_weight, loss.reconstruction_norm))
    if loss.residual_weight:
        of_generator.append(Residual(loss.residual_weight))
    if config.model.mask and loss.mask_weight:
        of_generator.append(Mask(loss.mask_weight))
    cycle: dict[str, Any] = {"carrier_share": loss.carrier_share, "warmup_updates": loss.cycle_warmup_updates}
    if loss.cycle_weight:
        of_generator.append(Cycle(loss.cycle_weight, **cycle))
    if loss.style_cycle_weight:
        of_generator.append(StyleCycle(loss.style_cycle_weight, **cycle))
    return of_generator, of_discriminator


def _copy(generator: Elegant) -> Elegant:
    """A generator of the same architecture with the same weights."""
    copied = Elegant.from_config({**generator.get_config(), "name": "average"})
    copied.set_weights(generator.get_weights())
    return copied
