"""Optimizers and layers of real tensorflow-addons, for which `pip install 'elegant-tf[addons]'` installs Keras 2."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tiny

from elegant_tf.editor import Editor
from elegant_tf.synthetic import make_face
from elegant_tf.training.trainer import Trainer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # addons warn that they are archived, and of newer versions
    # Beside Keras 3, importing them is another error than a missing package.
    addons = pytest.importorskip("tensorflow_addons", exc_type=(ImportError, AttributeError))

pytestmark = pytest.mark.usefixtures("quick_training")


def optimizers(name):
    """New ones for both networks."""
    make = {
        "LAMB": lambda: addons.optimizers.LAMB(1e-3),
        "MovingAverage": lambda: addons.optimizers.MovingAverage(addons.optimizers.AdamW(1e-4, 1e-3)),
        "AdamW": lambda: addons.optimizers.AdamW(1e-4, 1e-3),
        "LazyAdam": lambda: addons.optimizers.LazyAdam(1e-3),
        "RectifiedAdam": lambda: addons.optimizers.RectifiedAdam(1e-3),
        "Lookahead": lambda: addons.optimizers.Lookahead(addons.optimizers.RectifiedAdam(1e-3), sync_period=3),
    }[name]
    return {"generator_optimizer": make(), "discriminator_optimizer": make()}


def weights(trainer):
    networks = trainer.learner.generator, trainer.learner.discriminator
    states = trainer.learner.generator_step.state, trainer.learner.discriminator_step.state
    return [variable.numpy() for kept in (*(network.weights for network in networks), *states) for variable in kept]


def trained(run_dir, steps, **options):
    # At 32 pixels, the last layer at half scale has a single place, whose variance is 0.
    trainer = Trainer(tiny.config(steps=steps, image_size=40), run_dir, on_screen=False, **options)
    trainer.train()
    return trainer


@pytest.mark.parametrize("name", ["LAMB", "MovingAverage", "AdamW", "LazyAdam", "RectifiedAdam", "Lookahead"])
def test_optimizers_train_and_resume(tmp_path, name):
    whole = trained(tmp_path / "whole", 4, **optimizers(name))
    begun = trained(tmp_path / "parts", 2, **optimizers(name))
    parts = trained(tmp_path / "parts", 4, **optimizers(name))
    assert not np.array_equal(weights(begun)[0], weights(whole)[0])
    for one, other in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["InstanceNormalization", "FilterResponseNormalization", "GroupNormalization"])
def test_layers_normalize_discriminators(tmp_path, name):
    groups = {"groups": 4} if name == "GroupNormalization" else {}
    layer = getattr(addons.layers, name)(**groups)
    trained(tmp_path / "run", 2, discriminator_normalization=layer)
    resumed = trained(tmp_path / "run", 3, discriminator_normalization=layer)
    found = [one for half in ("full", "half") for one in getattr(resumed.learner.discriminator, half).normalizations]
    assert {type(one) for one in found} == {type(layer)}
    assert all(np.isfinite(value).all() for value in weights(resumed))
    assert any(np.abs(value - 1).max() > 0 for one in found for value in one.get_weights()[:1])  # they learn, too
    faces = [make_face(5, index).draw(40) for index in range(2)]
    assert Editor.load(tmp_path / "run").swap(*faces, ["Eyeglasses"]).shape == (40, 40, 3)
