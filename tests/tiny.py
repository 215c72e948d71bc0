"""The smallest run that is still a run: two attributes, 32 pixels, width 2, three halvings."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from elegant_tf.config import Config
from elegant_tf.presets import preset

ATTRIBUTES = ("Eyeglasses", "Smiling")

FIELDS = {
    "image_size": 32,
    "width": 2,
    "depth": 3,
    "attributes": ATTRIBUTES,
    "batch_size": 4,
    "faces_count": 32,
    "attribute_schedule": "mixed",
    "steps": 4,
    "checkpoint_every": 2,
    "log_every": 1,
    "sample_every": 0,
}

# Losses and averages that could depend on how a batch is divided: partners, chances, penalties.
EVERY_LOSS = {
    "ema_half_life": 5.0,
    "conditioning": "projection",
    "mismatch_weight": 1.0,
    "r1_weight": 1.0,
    "r1_every": 2,
    "residual_weight": 1.0,
    "mask": True,
    "mask_weight": 1.0,
    "cycle_weight": 1.0,
    "style_cycle_weight": 1.0,
    "carrier_share": 0.5,
    "cycle_warmup_updates": 3,
    "exchange_share": 0.5,
}

# What moves a state of its own once an update, and draws numbers for every image.
JUDGED_OTHERWISE = {"discriminator_norm": "spectral", "augment": ("shift", "cutout", "colour")}


def variable(value, dtype: str = "float32"):
    """A variable of Keras with that value."""
    made = keras.layers.Layer(dtype=dtype).add_weight(name="variable", shape=np.shape(value))
    made.assign(value)
    return made


def config(**overrides) -> Config:
    """A tiny configuration of the `official` preset, all of whose updates train all attributes."""
    return preset("official", **{**FIELDS, **overrides})


def batch(config: Config, seed: int = 0) -> dict[str, tf.Tensor]:
    """A random batch as `Learner.update` takes it, with a random attribute per example."""
    random = np.random.default_rng(seed)
    dtype = "float64" if config.optimizer.precision == "float64" else "float32"
    size, count, attributes = config.model.image_size, config.data.batch_size, len(config.model.attributes)
    index = random.integers(0, attributes, count)
    y_a, y_b = random.integers(0, 2, (2, count, attributes))
    y_a[np.arange(count), index], y_b[np.arange(count), index] = 1, 0
    a, b = random.uniform(-1, 1, (2, count, size, size, 3))
    made = {name: tf.constant(value, dtype) for name, value in (("a", a), ("b", b), ("y_a", y_a), ("y_b", y_b))}
    return {**made, "attribute": tf.constant(index, tf.int32)}


def flags(**overrides) -> list[str]:
    """`train.py`'s flags for the tiny configuration."""
    fields = {**FIELDS, "attributes": ATTRIBUTES, **overrides}
    return [f"--{name}={','.join(value) if isinstance(value, tuple) else value}" for name, value in fields.items()]
