from __future__ import annotations

import os
import re
import resource
import shutil
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.errors import UserError
from elegant_tf.rundir import CHECKPOINT_DIR, write_config
from elegant_tf.runs import checkpoint_steps, load_generator, pack
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints

pytestmark = pytest.mark.usefixtures("quick_training")


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
    "data cut short": lambda folder, step: shorten(folder / f"step-{step}.data-00000-of-00001"),
    "data empty": lambda folder, step: (folder / f"step-{step}.data-00000-of-00001").write_bytes(b""),
    "data flipped": lambda folder, step: flip(folder / f"step-{step}.data-00000-of-00001"),
    "index cut short": lambda folder, step: shorten(folder / f"step-{step}.index"),
    "index of noise": lambda folder, step: (folder / f"step-{step}.index").write_bytes(bytes(range(256)) * 8),
    "data missing": lambda folder, step: (folder / f"step-{step}.data-00000-of-00001").unlink(),
    "index full of zeros": lambda folder, step: (folder / f"step-{step}.index").write_bytes(bytes(1000)),
    "index missing": lambda folder, step: (folder / f"step-{step}.index").unlink(),
}


def shorten(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[::97] = bytes(255 - byte for byte in data[::97])
    path.write_bytes(bytes(data))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run directory with checkpoints of steps 2 and 4, which differ."""
    run_dir = tmp_path_factory.mktemp("saved") / "run"
    learner = trained()
    checkpoints = Checkpoints(learner, run_dir, 3)
    write_config(tiny.config(), run_dir)
    for step in (2, 4):
        learner.updates.assign(step)
        checkpoints.save(step)
    return run_dir


@pytest.fixture(scope="module")
def fresh():
    return make(1)


@pytest.fixture
def run_dir(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


def restored_step(learner, run_dir):
    """The step of the checkpoint that is restored, by its path and by what is in it."""
    path = Checkpoints(learner, run_dir, 3).restore()
    assert path == str(run_dir / CHECKPOINT_DIR / f"step-{int(learner.updates)}")
    return int(learner.updates)


STATES = {
    "lost": lambda state: state.unlink(),
    "cut short": lambda state: shorten(state),
    "full of zeros": lambda state: state.write_bytes(bytes(300)),
    "empty": lambda state: state.write_bytes(b""),
    "not UTF-8": lambda state: state.write_bytes(b"\xff\xfe"),
    "unreadable": lambda state: (state.unlink(), state.symlink_to(state)),
    "of another place": lambda state: state.write_text('model_checkpoint_path: "/nowhere/step-9"\n'),
    "of an older step": lambda state: state.write_text('model_checkpoint_path: "step-2"\n'),
}


@pytest.mark.parametrize("ruin", STATES)
def test_tensorflows_list_of_checkpoints_does_not_matter(run_dir, fresh, ruin):
    STATES[ruin](run_dir / CHECKPOINT_DIR / "checkpoint")
    assert restored_step(fresh, run_dir) == 4
    assert load_generator(run_dir)[1] == 4


def test_tensorflows_list_names_the_checkpoints(saved):
    state = tf.train.get_checkpoint_state(str(saved / CHECKPOINT_DIR))
    assert state.model_checkpoint_path == str(saved / CHECKPOINT_DIR / "step-4")
    assert len(state.all_model_checkpoint_paths) == 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_aloud_and_replaced(run_dir, fresh, damage, caplog):
    DAMAGES[damage](run_dir / CHECKPOINT_DIR, 4)
    assert load_generator(run_dir)[1] == 2
    assert restored_step(fresh, run_dir) == 2
    assert len(re.findall(r"step-4 cannot be read: .+; the checkpoint of step 2 is taken instead", caplog.text)) == 2
    checkpoints = Checkpoints(fresh, run_dir, 3)
    checkpoints.restore()
    fresh.updates.assign(4)
    checkpoints.save(4)
    assert restored_step(fresh, run_dir) == 4


@pytest.mark.parametrize("damage", DAMAGES)
def test_if_none_can_be_read_nothing_begins(run_dir, fresh, damage):
    for step in (2, 4):
        DAMAGES[damage](run_dir / CHECKPOINT_DIR, step)
    before = files(run_dir)
    with pytest.raises(UserError, match=r"step-4 cannot be read: .*; .*step-2 cannot be read: .*Put back a copy"):
        Checkpoints(fresh, run_dir, 2).restore()
    with pytest.raises(UserError, match="step-4 cannot be read"):
        load_generator(run_dir)
    assert files(run_dir) == before


def test_a_damaged_checkpoint_is_no_reason_to_remove_a_sound_one(run_dir, fresh):
    DAMAGES["data cut short"](run_dir / CHECKPOINT_DIR, 4)
    checkpoints = Checkpoints(fresh, run_dir, 1)
    checkpoints.restore()
    assert checkpoints.newest() == str(run_dir / CHECKPOINT_DIR / "step-2")
    checkpoints.save(3)
    assert checkpoint_steps(run_dir) == [3, 4]
    assert checkpoints.newest() == str(run_dir / CHECKPOINT_DIR / "step-3")
    checkpoints.save(5)
    assert checkpoint_steps(run_dir) == [5]


@pytest.mark.parametrize("name", ["a [run]", "]", "back\\slash", "st*r and ?", "ü \udcff"])
def test_any_directory_will_do(saved, tmp_path, fresh, name):
    run_dir = shutil.copytree(saved, tmp_path / name)
    (tmp_path / "a r").mkdir()  # what TensorFlow takes "a [run]" for
    assert restored_step(fresh, run_dir) == 4
    Checkpoints(fresh, run_dir, 2).save(6)
    assert checkpoint_steps(run_dir) == [4, 6]
    assert load_generator(run_dir)[1] == 6
    assert pack(run_dir, tmp_path / f"packed {name}") == 6


def test_a_full_disk_leaves_what_is_there(run_dir, fresh):
    before = files(run_dir)
    checkpoints = Checkpoints(fresh, run_dir, 1)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        with pytest.raises(UserError) as error:
            checkpoints.save(6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(error.value) == f"{run_dir / CHECKPOINT_DIR / 'step-6'}: cannot be written: File too large"
    assert files(run_dir) == before
    checkpoints.save(6)
    assert checkpoint_steps(run_dir) == [6]


def test_a_disk_that_is_too_full_is_noticed_before_training(run_dir, fresh, monkeypatch):
    checkpoints = Checkpoints(fresh, run_dir, 3)
    size = sum(path.stat().st_size for path in (run_dir / CHECKPOINT_DIR).glob("step-2.*"))
    monkeypatch.setattr(os, "statvfs", lambda path: types.SimpleNamespace(f_bfree=size, f_frsize=1, f_blocks=9))
    checkpoints.check_room(0)
    checkpoints.check_room(1)
    with pytest.raises(UserError, match=r"the disk has 0\.\d MB free, and 2 checkpoints of 0\.\d MB"):
        checkpoints.check_room(9)


def test_a_checkpoint_that_must_not_be_read_is_not_passed_over(run_dir, fresh):
    index = run_dir / CHECKPOINT_DIR / "step-4.index"
    index.unlink()
    index.mkdir()
    with pytest.raises(UserError, match=r"step-4\.index: cannot be read"):
        Checkpoints(fresh, run_dir, 3).restore()
    with pytest.raises(UserError, match=r"step-4\.index: cannot be read"):
        load_generator(run_dir)


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
