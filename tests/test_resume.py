"""Runs that are killed, stopped or diverge, as real processes; they train on files in CelebA's layout."""

from __future__ import annotations

import random
import re
import signal
import time

import commands
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.rundir import CHECKPOINT_DIR
from elegant_tf.runs import checkpoint_steps
from elegant_tf.synthetic import write_celeba

STEPS = 40


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "celeba"
    write_celeba(folder, 80, 32, seed=0, counterfactuals=1)
    (folder / "counterfactuals" / "index.json").unlink()  # nothing to evaluate at the end
    return folder


def arguments(run_dir, celeba, **overrides):
    fields = {
        "steps": STEPS,
        "data": "celeba",
        "data_dir": celeba,
        "flip": True,
        "ema_half_life": 5.0,
        **overrides,
    }
    return ["train.py", f"--run_dir={run_dir}", "--deterministic", *tiny.flags(**fields)]


def start(run_dir, celeba, **overrides):
    return commands.start(arguments(run_dir, celeba, **overrides))


def wait_for(process, pattern):
    """Reads what the process says until a line matches; what it said so far."""
    said = ""
    for line in process.stderr:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"no line with {pattern!r} in:\n{said}")


def finish(process, status):
    _, err = process.communicate(timeout=300)
    assert process.returncode == status, err[-3000:]
    return err


def wait_for_a_checkpoint_being_written(process, run_dir):
    """Returns as soon as a file of a checkpoint not yet in the list appears."""
    folder = run_dir / CHECKPOINT_DIR
    before = {path.name for path in folder.iterdir()}
    while process.poll() is None:
        if any(path.name not in before for path in folder.iterdir()):
            return
        time.sleep(0.0005)
    raise AssertionError(process.communicate()[1])


def steps_of(run_dir):
    names = (path.stem for path in (run_dir / CHECKPOINT_DIR).glob("*.index"))
    return sorted(int(name.split("-")[1]) for name in names)


def last_values(run_dir, steps=STEPS):
    reader = tf.train.load_checkpoint(str(run_dir / CHECKPOINT_DIR / f"step-{steps}"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("learner/")]
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
def test_killed_runs_end_bit_identical_to_an_undisturbed_one(tmp_path, celeba):
    undisturbed = start(tmp_path / "undisturbed", celeba)
    run_dir = tmp_path / "disturbed"
    chance = random.Random(0)

    process = start(run_dir, celeba)
    wait_for(process, rf"step {chance.randrange(5, 10)}/{STEPS} ")
    time.sleep(chance.uniform(0, 0.05))
    process.kill()
    finish(process, -signal.SIGKILL)

    process = start(run_dir, celeba)
    said = wait_for(process, rf"step \d*[02468]/{STEPS} ")  # a checkpoint follows, every second step
    resumed = int(re.search(r"resuming at step (\d+) from", said).group(1))
    assert 2 <= resumed <= 10
    wait_for_a_checkpoint_being_written(process, run_dir)
    process.kill()
    finish(process, -signal.SIGKILL)

    process = start(run_dir, celeba)
    wait_for(process, rf"step \d+/{STEPS} ")
    process.send_signal(signal.SIGTERM)
    said = finish(process, 130)
    stopped = int(re.search(r"SIGTERM: left at step (\d+)", said).group(1))
    # Not by the files: the kill may have left those of a later one, whole but not yet in the list.
    assert checkpoint_steps(run_dir)[-1] == stopped

    process = start(run_dir, celeba)
    assert f"resuming at step {stopped} from" in finish(process, 0)
    finish(undisturbed, 0)

    expected, found = last_values(tmp_path / "undisturbed"), last_values(run_dir)
    assert set(found) == set(expected)
    assert len(found) > 74 * 3  # every parameter with both of its moments, and the average
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    # The three newest, of which an odd one may be where SIGTERM stopped.
    assert steps_of(run_dir)[-2:] == [STEPS - 2, STEPS]
    assert steps_of(tmp_path / "undisturbed") == [STEPS - 4, STEPS - 2, STEPS]


def test_divergence_stops_with_the_last_good_checkpoint_intact(tmp_path, celeba):
    said = finish(start(tmp_path, celeba, learning_rate=1e30, checkpoint_every=1), 2)
    assert re.search(r"error: training diverged by step \d+: .* not finite\. The last checkpoint is untouched", said)
    assert "Traceback" not in said
    for step in steps_of(tmp_path):
        values = last_values(tmp_path, step)
        trained = [name for name in values if "optimizer" not in name]
        assert trained
        assert all(np.isfinite(values[name]).all() for name in trained)


def test_a_damaged_checkpoint_is_told_and_left_alone(tmp_path, celeba):
    finish(start(tmp_path, celeba, steps=2), 0)
    data = tmp_path / CHECKPOINT_DIR / "step-2.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    said = finish(start(tmp_path, celeba, steps=4), 2)
    assert "error: cannot restore" in said
    assert "step-2" in said
    assert "Traceback" not in said
    assert steps_of(tmp_path) == [2]
    assert data.stat().st_size == 1000
