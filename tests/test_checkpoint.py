from __future__ import annotations

import keras
import numpy as np
import pytest
import tiny

from elegant_tf.errors import UserError
from elegant_tf.rundir import CHECKPOINT_DIR, write_config
from elegant_tf.runs import checkpoint_steps, load_generator
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints


def make(seed=0, **overrides):
    keras.utils.set_random_seed(seed)
    return make_learner(tiny.config(**overrides))


def everything(learner):
    """Every value that training goes on from."""
    found = [*learner.generator.weights, *learner.discriminator.weights, learner.updates]
    found += learner.average.weights if learner.average else []
    found += [*learner.generator_step.state, *learner.discriminator_step.state]
    return [variable.numpy() for variable in found]


def trained(seed=0, **overrides):
    learner = make(seed, **overrides)
    learner.update(tiny.batch(tiny.config(**overrides)))
    return learner


def files(run_dir):
    return sorted(path.name for path in (run_dir / CHECKPOINT_DIR).iterdir())


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"ema_half_life": 5.0},
        {"precision": "mixed_float16"},
        {"optimizer": "muon", "width": 12},
        {"optimizer": "adamw"},
    ],
)
def test_everything_is_restored_bit_for_bit(tmp_path, overrides):
    learner, fresh = trained(0, **overrides), make(1, **overrides)
    path = Checkpoints(learner, tmp_path, 3).save(7)
    assert Checkpoints(fresh, tmp_path, 3).restore() == path
    for saved, restored in zip(everything(learner), everything(fresh), strict=True):
        np.testing.assert_array_equal(saved, restored)


def test_a_restored_learner_trains_on_without_a_trace(tmp_path):
    config = tiny.config(precision="float64", ema_half_life=5.0)
    learner, fresh = (make(seed, precision="float64", ema_half_life=5.0) for seed in (0, 1))
    learner.update(tiny.batch(config, 0))
    Checkpoints(learner, tmp_path, 3).save(1)
    Checkpoints(fresh, tmp_path, 3).restore()
    for one in (learner, fresh):
        one.update(tiny.batch(config, 1))
    for first, second in zip(everything(learner), everything(fresh), strict=True):
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-12)


def test_there_may_be_none_yet(tmp_path):
    assert Checkpoints(make(), tmp_path, 3).restore() is None
    assert list(tmp_path.iterdir()) == []


def test_the_newest_are_kept_also_by_a_later_process(tmp_path):
    learner = make()
    first = Checkpoints(learner, tmp_path, 2)
    for step in (2, 4, 6):
        first.save(step)
    assert {name.split(".")[0] for name in files(tmp_path)} == {"checkpoint", "step-4", "step-6"}
    Checkpoints(learner, tmp_path, 2).save(8)
    assert {name.split(".")[0] for name in files(tmp_path)} == {"checkpoint", "step-6", "step-8"}


def test_a_folder_that_was_moved_still_restores(tmp_path):
    Checkpoints(trained(), tmp_path / "here", 2).save(2)
    (tmp_path / "here").rename(tmp_path / "there ü")
    path = Checkpoints(make(1), tmp_path / "there ü", 2).restore()
    assert path == str(tmp_path / "there ü" / CHECKPOINT_DIR / "step-2")


def test_what_a_kill_left_of_a_newer_one_is_ignored(tmp_path):
    checkpoints = Checkpoints(trained(), tmp_path, 2)
    checkpoints.save(2)
    folder = tmp_path / CHECKPOINT_DIR
    (folder / "step-4_temp").mkdir()
    (folder / "step-4_temp" / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    (folder / "step-4.index.tempstate123").write_bytes(b"")
    (folder / "step-4.data-00000-of-00001").write_bytes(b"whole, but not yet in the list")
    learner = make(1)
    again = Checkpoints(learner, tmp_path, 2)
    assert again.restore() == str(folder / "step-2")
    again.save(4)
    assert Checkpoints(make(1), tmp_path, 2).restore() == str(folder / "step-4")


DAMAGES = {
    "data cut short": lambda folder: shorten(folder / "step-2.data-00000-of-00001"),
    "data empty": lambda folder: (folder / "step-2.data-00000-of-00001").write_bytes(b""),
    "data flipped": lambda folder: flip(folder / "step-2.data-00000-of-00001"),
    "index cut short": lambda folder: shorten(folder / "step-2.index"),
    "index of noise": lambda folder: (folder / "step-2.index").write_bytes(bytes(range(256)) * 8),
    "data missing": lambda folder: (folder / "step-2.data-00000-of-00001").unlink(),
    "index missing": lambda folder: (folder / "step-2.index").unlink(),
}


def shorten(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[::97] = bytes(255 - byte for byte in data[::97])
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_naming_it(tmp_path, damage):
    Checkpoints(trained(), tmp_path, 2).save(2)
    DAMAGES[damage](tmp_path / CHECKPOINT_DIR)
    with pytest.raises(UserError) as error:
        Checkpoints(make(1), tmp_path, 2).restore()
    assert "step-2" in str(error.value)
    write_config(tiny.config(), tmp_path)
    with pytest.raises(UserError) as error:
        load_generator(tmp_path)
    assert "step-2" in str(error.value)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    Checkpoints(make(), tmp_path, 2).save(2)
    with pytest.raises(UserError, match="step-2"):
        Checkpoints(make(width=3), tmp_path, 2).restore()
    with pytest.raises(UserError, match="step-2"):
        Checkpoints(make(ema_half_life=5.0), tmp_path, 2).restore()


@pytest.mark.parametrize("overrides", [{}, {"ema_half_life": 5.0}, {"precision": "float64"}])
def test_a_generator_is_loaded_alone(tmp_path, overrides):
    learner = trained(**overrides)
    checkpoints = Checkpoints(learner, tmp_path, 2)
    write_config(tiny.config(**overrides), tmp_path)
    checkpoints.save(2)
    checkpoints.save(4)
    generator, step = load_generator(tmp_path)
    assert step == 4
    for first, second in zip(generator.weights, learner.editing_generator.weights, strict=True):
        np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_a_generator_of_an_earlier_step(tmp_path):
    learner = make()
    checkpoints = Checkpoints(learner, tmp_path, 2)
    write_config(tiny.config(), tmp_path)
    assert checkpoint_steps(tmp_path) == []
    with pytest.raises(UserError, match="no checkpoint yet"):
        load_generator(tmp_path)
    checkpoints.save(2)
    old = [weight.numpy() for weight in learner.generator.weights]
    learner.update(tiny.batch(tiny.config()))
    checkpoints.save(10)
    assert checkpoint_steps(tmp_path) == [2, 10]
    generator, step = load_generator(tmp_path, 2)
    assert step == 2
    for weight, value in zip(generator.weights, old, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    with pytest.raises(UserError, match="no checkpoint of step 3; there are 2, 10"):
        load_generator(tmp_path, 3)


def test_another_optimizers_state_is_refused(tmp_path):
    Checkpoints(make(), tmp_path, 2).save(2)
    with pytest.raises(UserError, match="step-2"):
        Checkpoints(make(optimizer="muon", width=12), tmp_path, 2).restore()
