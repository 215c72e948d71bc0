"""Runs that are killed, stopped or diverge, as real processes; they train on files in CelebA's layout."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

import commands
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.files import literal
from elegant_tf.rundir import CHECKPOINT_DIR
from elegant_tf.runs import checkpoint_steps
from elegant_tf.synthetic import write_celeba
from elegant_tf.training.reporter import LOG_FILE

STEPS = 40


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "celeba"
    write_celeba(folder, 80, 32, seed=0, counterfactuals=0)
    (folder / "counterfactuals" / "index.json").unlink()  # nothing to evaluate at the end
    return folder


def flags(run_dir, celeba, **overrides):
    fields = {
        "steps": STEPS,
        "data": "celeba",
        "data_dir": celeba,
        "attribute_schedule": "round_robin",
        "flip": True,
        "jitter": 0.02,
        "ema_half_life": 5.0,
        **tiny.JUDGED_OTHERWISE,
        **overrides,
    }
    return [f"--run_dir={run_dir}", "--deterministic", *tiny.flags(**fields)]


def launch(arguments):
    """A process whose standard error, a file, takes all that it says while a test waits for something else.

    A pipe does not: loading XLA's kernels, as `conftest` makes processes do, can say more than a pipe holds.
    """
    errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - open as long as the process
    process = commands.start(arguments, stderr=errors)
    process.errors = errors
    return process


def start(run_dir, celeba, **overrides):
    return launch(["train.py", *flags(run_dir, celeba, **overrides)])


def read_log(run_dir):
    path = run_dir / LOG_FILE
    return path.read_text("utf-8") if path.exists() else ""


def wait_for(process, run_dir, pattern, before=""):
    """Waits until the run's log has a line that matches, after what was in it before; returns what is new."""
    said = ""
    while process.poll() is None:
        said = read_log(run_dir).removeprefix(before)
        if re.search(pattern, said):
            return said
        time.sleep(0.001)
    raise AssertionError(f"no line with {pattern!r} in:\n{said}")


def finish(process, status):
    process.communicate(timeout=300)
    err = errors_of(process)
    assert process.returncode == status, err[-3000:]
    return err


def errors_of(process):
    process.errors.seek(0)
    return process.errors.read()


def wait_for_a_checkpoint_being_written(process, run_dir):
    """Returns as soon as something appears in the folder of the checkpoints."""
    folder = run_dir / CHECKPOINT_DIR
    before = {path.name for path in folder.iterdir()}
    while process.poll() is None:
        if any(path.name not in before for path in folder.iterdir()):
            return
        time.sleep(0.0005)
    raise AssertionError(errors_of(process))


def steps_of(run_dir):
    names = (path.stem for path in (run_dir / CHECKPOINT_DIR).glob("*.index"))
    return sorted(int(name.split("-")[1]) for name in names)


def last_values(run_dir, steps=STEPS):
    with literal(run_dir / CHECKPOINT_DIR) as folder:
        reader = tf.train.load_checkpoint(str(folder / f"step-{steps}"))
        names = [name for name in reader.get_variable_to_shape_map() if name.startswith("learner/")]
        return {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
def test_killed_runs_end_bit_identical_to_an_undisturbed_one(tmp_path, celeba):
    undisturbed = start(tmp_path / "undisturbed", celeba)
    run_dir = tmp_path / "disturbed [run] \\ *? ü"
    chance = random.Random(0)

    process = start(run_dir, celeba)
    step = chance.randrange(4, 10, 2)  # a checkpoint follows, every second step
    wait_for(process, run_dir, rf"step {step}/{STEPS} ")
    wait_for_a_checkpoint_being_written(process, run_dir)
    time.sleep(chance.uniform(0, 0.01))
    process.kill()
    finish(process, -signal.SIGKILL)

    (run_dir / CHECKPOINT_DIR / "checkpoint").unlink()  # TensorFlow's list, which nothing depends on
    before = read_log(run_dir)
    process = start(run_dir, celeba)
    said = wait_for(process, run_dir, rf"step \d+/{STEPS} ", before)
    resumed = int(re.search(r"resuming at step (\d+) from", said).group(1))
    assert 2 <= resumed <= step + 2
    process.send_signal(signal.SIGTERM)
    said = finish(process, 130)
    stopped = int(re.search(r"SIGTERM: left at step (\d+)", said).group(1))
    assert checkpoint_steps(run_dir)[-1] == stopped

    process = start(run_dir, celeba)
    assert f"resuming at step {stopped} from" in finish(process, 0)
    finish(undisturbed, 0)

    expected, found = last_values(tmp_path / "undisturbed"), last_values(run_dir)
    assert set(found) == set(expected)
    assert len(found) > 42 * 3 + 10  # every parameter with both of its moments, the average, and singular vectors
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    # The three newest, of which an odd one may be where SIGTERM stopped.
    assert steps_of(run_dir)[-2:] == [STEPS - 2, STEPS]
    assert steps_of(tmp_path / "undisturbed") == [STEPS - 4, STEPS - 2, STEPS]


def test_divergence_stops_with_the_last_good_checkpoint_intact(tmp_path, celeba):
    words = flags(tmp_path, celeba, learning_rate=1e30, checkpoint_every=1)
    said = finish(launch(["-c", commands.EAGER, "train", *words]), 2)
    assert re.search(r"error: training diverged by step \d+: .* not finite\. The last checkpoint is untouched", said)
    assert "Traceback" not in said
    for step in steps_of(tmp_path):
        values = last_values(tmp_path, step)
        trained = [name for name in values if "optimizer" not in name]
        assert trained
        assert all(np.isfinite(values[name]).all() for name in trained)


FILL = """
import sys
from pathlib import Path

import conftest
import tiny

from elegant_tf.errors import UserError
from elegant_tf.runs import checkpoint_steps
from elegant_tf.training.trainer import Trainer

disk = Path(sys.argv[1])
config = tiny.config(steps=5, checkpoint_every=1, evaluate_every=1)


def fill(generator):
    if trainer.step == 3:
        try:
            (disk / "filler").write_bytes(bytes(4_000_000))
        except OSError:
            pass
    return {}


with conftest.training_quickly():
    trainer = Trainer(config, disk / "run", evaluator=fill)
    try:
        trainer.train()
    except UserError as error:
        print("error:", error)
    print(checkpoint_steps(disk / "run"), *(path.name for path in (disk / "run").rglob("*.part")))
    (disk / "filler").unlink()
    again = Trainer(config, disk / "run", evaluator=lambda generator: {})
    again.train()
print(again.step, checkpoint_steps(disk / "run"))
"""


def test_a_disk_that_fills_up_costs_the_work_since_the_last_checkpoint(tmp_path):
    # A disk of its own, which a user namespace lets anybody make.
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = f'mount -t tmpfs -o size=2500k tmpfs "{tmp_path}" && exec "$@"'
    try:
        subprocess.run([*mount, script, "sh", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be made here: {error}")
    environment = {**os.environ, "PYTHONPATH": f"{commands.ROOT}{os.pathsep}{commands.ROOT / 'tests'}"}
    words = [*mount, script, "sh", sys.executable, "-c", FILL, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    error, left, resumed = done.stdout.splitlines()
    assert re.search(
        r"/run/.*: cannot be written: No space left on device\. The newest checkpoint is .*/step-3$", error
    )
    assert left == "[1, 2, 3]"
    assert resumed == "5 [3, 4, 5]"
