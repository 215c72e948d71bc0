"""The one module that asks which Keras there is, and that no other does."""

from __future__ import annotations

import logging
import re

import commands
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.errors import UserError
from elegant_tf.model import keras_versions
from elegant_tf.model.keras_versions import KERAS_2, as_keras_3, check_optimizer, state_name, tf_variable, with_values
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints
from elegant_tf.training.optimizers import Adam

pytestmark = pytest.mark.usefixtures("quick_training")


def test_no_other_module_asks_for_the_version():
    asks = re.compile(r"keras\.(__version__|version\(\))|KERAS_2|tf\.__version__ *[<>=!]|hasattr\(keras")
    found = [path for path in (commands.ROOT / "elegant_tf").rglob("*.py") if asks.search(path.read_text("utf-8"))]
    assert [path.stem for path in found] == ["keras_versions"]


def test_the_tensorflow_variable_shares_the_value():
    variable = tiny.variable([1.0, 2.0])
    inner = tf_variable(variable)
    assert isinstance(inner, tf.Variable)
    inner.assign([3.0, 4.0])
    np.testing.assert_array_equal(variable.numpy(), [3.0, 4.0])


def test_an_optimizer_has_the_methods_of_keras_3():
    trained = [tiny.variable([1.0, 2.0])]
    optimizer = as_keras_3(keras.optimizers.SGD(0.5, momentum=0.9))
    optimizer.build(trained)
    optimizer.apply([tf.constant([1.0, -1.0])], trained)
    np.testing.assert_allclose(trained[0].numpy(), [0.5, 2.5])
    assert int(optimizer.iterations) == 1
    assert any(variable.shape == (2,) for variable in optimizer.variables)


class Foreign:
    """An optimizer of another library."""


def test_an_optimizer_of_another_keras_is_refused_with_what_to_install():
    check_optimizer(keras.optimizers.SGD(), "generator_optimizer")
    with pytest.raises(UserError, match=r"^generator_optimizer: .*Foreign is no optimizer of Ke.*-tf\[addons"):
        check_optimizer(Foreign(), "generator_optimizer")


def test_values_replace_variables_or_are_refused():
    layer = keras.layers.Dense(1, use_bias=False)
    layer.build((None, 1))
    if KERAS_2:
        with pytest.raises(UserError, match=r"^--recompute: needs Keras 3"):
            with_values(iter([]))
        return
    with with_values(iter([(layer.kernel, tf.constant([[7.0]]))])):
        assert float(tf.squeeze(layer(tf.ones((1, 1))))) == 7.0


def saved(tmp_path, **overrides):
    config = tiny.config(ema_half_life=5.0, **overrides)
    learner = make_learner(config)
    learner.update(tiny.batch(config))
    Checkpoints(learner, tmp_path, 3).save(1)
    return learner, make_learner(config)


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_our_optimizers_go_on_with_every_keras(tmp_path, monkeypatch, kind):
    learner, _ = saved(tmp_path, optimizer=kind, width=12)
    assert state_name(learner.generator_step.optimizer) == "optimizer_state"
    names = [name for name, _ in tf.train.list_variables(str(tmp_path / "checkpoints" / "step-1"))]
    assert any(name.startswith("learner/generator_optimizer_state/0/") for name in names)
    # Both write iterations first, then moments in the order of the variables.
    assert [variable.dtype for variable in learner.generator_step.state][:2] == [tf.int64, tf.float32]


def test_an_optimizer_of_another_keras_begins_anew_aloud(tmp_path, monkeypatch, caplog):
    learner, fresh = saved(tmp_path, optimizer="adamw")
    monkeypatch.setattr("elegant_tf.training.checkpoint.state_name", lambda optimizer: "optimizer_state_of_keras_9")
    with caplog.at_level(logging.WARNING):
        Checkpoints(fresh, tmp_path, 3).restore()
    for side in ("generator", "discriminator"):
        assert f"the {side}'s optimizer begins anew: the checkpoint is of another version of Keras" in caplog.text
    assert int(fresh.updates) == 1
    assert int(fresh.generator_step.optimizer.iterations) == 0
    for network in ("generator", "discriminator", "average"):
        pairs = zip(getattr(learner, network).weights, getattr(fresh, network).weights, strict=True)
        assert all(np.array_equal(one.numpy(), other.numpy()) for one, other in pairs)


@pytest.mark.skipif(not KERAS_2, reason="Keras 3 has these methods itself")
def test_our_optimizers_are_written_alike_on_keras_2():
    optimizer = Adam(1e-3)
    trained = [tiny.variable(np.ones(3))]
    optimizer.build(trained)
    # Iterations and the rate, which Keras 3 keeps beside the moments, too.
    assert [variable.shape for variable in optimizer.variables] == [(), (), (3,), (3,)]
    assert keras_versions.state_name(as_keras_3(optimizer)) == "optimizer_state"
    assert keras_versions.state_name(as_keras_3(keras.optimizers.AdamW())) == "optimizer_state_of_keras_2"
