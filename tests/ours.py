"""Our networks set up and observed as the authors' program was, in its order of axes and under its names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import authors
import numpy as np
import tensorflow as tf

from elegant_tf.config import Config
from elegant_tf.export.torch_layout import TorchParameter, torch_parameters
from elegant_tf.model.cpu_kernels import training_policy
from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator, apply_residual
from elegant_tf.model.latent import exchange
from elegant_tf.presets import preset
from elegant_tf.training.build import make_learner as make
from elegant_tf.training.optimizers import l2_of
from elegant_tf.training.update import Learner


def config(count: int, precision: str = "float32") -> Config:
    """The `official` preset for the authors' inputs."""
    names = tuple("abc"[:count])
    return preset("official", image_size=authors.SIZE, attributes=names, batch_size=authors.BATCH, precision=precision)


def make_learner(count: int, precision: str = "float32", replicas: int = 1, gpu: bool | None = None) -> Learner:
    """A learner of that configuration; `gpu`: whether it trains as on a GPU."""
    return make(config(count, precision), replicas, policy=training_policy(precision, gpu))


def parameters(learner: Learner) -> dict[str, TorchParameter]:
    """Every parameter by the authors' full name, in their order."""
    found = torch_parameters(learner.generator, learner.discriminator)
    return {f"{parameter.network}.{parameter.name}": parameter for parameter in found}


def assign_initial_weights(learner: Learner) -> None:
    """Gives every parameter the value with which the authors' program was measured."""
    for name, parameter in parameters(learner).items():
        parameter.assign(authors.initial_weight(name, parameter.shape))


def weights(learner: Learner) -> dict[str, np.ndarray]:
    """Every parameter's value."""
    return {name: parameter.to_torch() for name, parameter in parameters(learner).items()}


def batch(count: int, update: int, precision: str = "float32") -> dict[str, tf.Tensor]:
    """The inputs of an update, as `Learner.update` takes them."""
    theirs = authors.batch(count, update)
    return {
        "a": tf.constant(theirs["A"].transpose(0, 2, 3, 1), precision),
        "b": tf.constant(theirs["B"].transpose(0, 2, 3, 1), precision),
        "y_a": tf.constant(theirs["y_A"], precision),
        "y_b": tf.constant(theirs["y_B"], precision),
        "attribute": tf.fill([authors.BATCH], theirs["attribute"]),
    }


def channel_first(values: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """The values as NumPy, images and feature maps with channels first."""
    arrays = {name: value.numpy() for name, value in values.items()}
    return {name: array.transpose(0, 3, 1, 2) if array.ndim == 4 else array for name, array in arrays.items()}


def forward(generator: Elegant, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Codes, skips, residuals, images and labels of one exchange."""
    a, b = batch["a"], batch["b"]
    z_a, skips_a = generator.encode(a)
    z_b, skips_b = generator.encode(b)
    exchanged = tf.one_hot(batch["attribute"], batch["y_a"].shape[-1], dtype=batch["y_a"].dtype)
    swap = exchanged[:, None]
    z_c, z_d = exchange(z_a, z_b[:, None], swap), exchange(z_b, z_a[:, None], swap)
    residuals = {
        "R_A": generator.decode(z_a, z_a, skips_a),
        "R_B": generator.decode(z_b, z_b, skips_b),
        "R_C": generator.decode(z_c, z_a, skips_a),
        "R_D": generator.decode(z_d, z_b, skips_b),
    }
    images = {
        name: apply_residual(image, residuals[residual])
        for name, image, residual in (("A1", a, "R_A"), ("B1", b, "R_B"), ("C", a, "R_C"), ("D", b, "R_D"))
    }
    labels = {
        "y_C": tf.where(exchanged == 1, batch["y_b"], batch["y_a"]),
        "y_D": tf.where(exchanged == 1, batch["y_a"], batch["y_b"]),
    }
    skips = {f"A_skip{level}": skip for level, skip in enumerate(skips_a)}
    skips |= {f"B_skip{level}": skip for level, skip in enumerate(skips_b)}
    return {"z_A": z_a, "z_B": z_b, "z_C": z_c, "z_D": z_d, **skips, **residuals, **images, **labels}


def judge(
    discriminator: MultiScaleDiscriminator, images: Mapping[str, tf.Tensor], labels: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Probabilities `d1_<name>` and `d2_<name>` of images under labels of the same names."""
    found = {}
    for name, image in images.items():
        full, half = discriminator(image, labels[name][:, None])
        found |= {f"d1_{name}": tf.sigmoid(full), f"d2_{name}": tf.sigmoid(half)}
    return found


def observed_update(
    learner: Learner,
) -> Callable[[Mapping[str, tf.Tensor]], tuple[dict, dict[str, tf.Tensor]]]:
    """`learner.update` with all that was measured of it: values by golden key, gradients by parameter.

    The optimizers' `apply` is wrapped, to see the gradients that reach it; L2 is taken off again.
    """
    seen: list[tf.Tensor] = []
    for step in (learner.discriminator_step, learner.generator_step):
        step.optimizer.apply = _recording(step.optimizer.apply, seen)

    def update(batch: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        seen.clear()
        made = forward(learner.generator, batch)
        fakes, fake_labels = {name: made[name] for name in "CD"}, {name: made[f"y_{name}"] for name in "CD"}
        reals, real_labels = {"A": batch["a"], "B": batch["b"]}, {"A": batch["y_a"], "B": batch["y_b"]}
        values = judge(learner.discriminator, reals | fakes, real_labels | fake_labels)
        terms = learner.update(batch)
        after = judge(learner.discriminator, fakes, fake_labels)
        values |= {f"{name}_after_D": value for name, value in after.items()}
        values |= {golden: terms[name] for golden, name in LOSSES.items()}
        variables = [*learner.discriminator.trainable_variables, *learner.generator.trainable_variables]
        gradients = {id(variable): gradient for variable, gradient in zip(variables, seen, strict=True)}
        found = parameters(learner).items()
        return values, {name: gradients[id(parameter.variable)] for name, parameter in found}

    return update


LOSSES = {
    "loss_D": "discriminator",
    "D_loss/D1": "discriminator_full",
    "D_loss/D2": "discriminator_half",
    "loss_G": "generator",
    "G_loss/reconstruction": "reconstruction",
    "G_loss/adv1": "adversarial_full",
    "G_loss/adv2": "adversarial_half",
}


def gradients_channel_first(learner: Learner, gradients: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    """Gradients in the parameters' PyTorch order of axes."""
    found = parameters(learner).items()
    return {name: parameter._replace(variable=gradients[name]).to_torch() for name, parameter in found}


def _recording(apply: Callable, seen: list[tf.Tensor]) -> Callable:
    factor = l2_of(config(2))

    def recorded(gradients, variables):
        seen.extend(gradient - factor * variable for gradient, variable in zip(gradients, variables, strict=True))
        return apply(gradients, variables)

    return recorded
