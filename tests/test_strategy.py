"""Devices, workers, and what they share. Several workers are real processes on 127.0.0.1."""

from __future__ import annotations

import re
import signal
import time
from types import SimpleNamespace

import conftest
import fleet
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.config import RunConfig
from elegant_tf.errors import UserError
from elegant_tf.synthetic import write_celeba
from elegant_tf.training import strategy
from elegant_tf.training.strategy import Workers, distribute, make_strategy
from elegant_tf.training.trainer import Trainer

FLAGS = {
    **tiny.EVERY_LOSS,
    **tiny.JUDGED_OTHERWISE,
    "batch_size": 8,
    "steps": 3,
    "checkpoint_every": 3,
}

# The script `fleet.py`, from Python.
RUN = "import sys; sys.exit(fleet.main(1, sys.argv[1:]))"


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "celeba"
    write_celeba(folder, 60, 32, seed=0, counterfactuals=0)
    (folder / "counterfactuals" / "index.json").unlink()  # nothing to evaluate at the end
    return folder


@pytest.fixture
def flags(celeba):
    def make(run_dir, **overrides):
        given = {"data": "celeba", "data_dir": celeba, **FLAGS, **overrides}
        return [f"--run_dir={run_dir}", "--deterministic", *tiny.flags(**given)]

    return make


@pytest.fixture
def plain_flags(celeba):
    """For tests of what losses do not decide."""

    def make(run_dir, **overrides):
        fields = {"data": "celeba", "data_dir": celeba, **overrides}
        return [f"--run_dir={run_dir}", *tiny.flags(**fields)]

    return make


def train_two_workers(given):
    for status, said in fleet.finish(fleet.start_workers(2, given)):
        assert status == 0, said[-3000:]


def run_config(**options):
    return RunConfig(**options)


@pytest.mark.parametrize("name", ["auto", "one_device", "mirrored"])
def test_one_cpu_is_one_replica(name):
    assert make_strategy(run_config(strategy=name), 16).num_replicas_in_sync == 1


def test_a_batch_that_devices_cannot_share_is_refused(monkeypatch):
    three = SimpleNamespace(num_replicas_in_sync=3)
    monkeypatch.setattr(strategy.tf.distribute, "MirroredStrategy", lambda devices: three)
    with pytest.raises(UserError, match="--batch_size=4: must be a multiple of the 3 devices"):
        make_strategy(run_config(), 4)
    assert make_strategy(run_config(), 6) is three
    assert make_strategy(run_config(strategy="one_device"), 4).num_replicas_in_sync == 1


def test_a_tpu_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="--tpu=nowhere: cannot be used: "):
        make_strategy(run_config(strategy="tpu", tpu="nowhere"), 4)


@pytest.mark.parametrize("gpu", [False, True])
def test_batches_are_divided_only_among_devices(monkeypatch, gpu):
    cpu = tf.config.list_logical_devices("CPU")[0]
    monkeypatch.setattr(
        strategy.tf.config, "list_logical_devices", lambda kind: [cpu] if kind == ("GPU" if gpu else "CPU") else []
    )
    dataset = tf.data.Dataset.range(8).batch(4)
    asked = []

    def read(worker, workers):
        asked.append((worker, workers))
        return dataset

    shared = distribute(read, make_strategy(run_config(), 4))
    assert (shared is dataset) != gpu
    assert [batch.numpy().tolist() for batch in shared] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert asked == [(0, 1)]


def test_one_process_is_its_own_chief():
    workers = Workers(make_strategy(run_config(), 4))
    assert workers.is_chief
    assert workers.gather(7) == [7]
    workers.check_alike("the options", b"any")


def train_alone(run_dir, celeba, **overrides):
    """One device trains, in this process."""
    config = tiny.config(**{"data": "celeba", "data_dir": str(celeba), **FLAGS, **overrides}, strategy="one_device")
    with conftest.training_quickly():
        Trainer(config, run_dir).train()


def test_workers_and_devices_train_as_one_device_does(tmp_path, flags, celeba):
    """Two workers, one of which is killed, then two devices, then four train three steps; the chief alone writes."""
    run_dir = tmp_path / "run"
    given = flags(run_dir, precision="float64", steps=3, checkpoint_every=1)
    workers = fleet.start_workers(2, given)
    while not (run_dir / "checkpoints" / "step-1.index").exists() and workers[0].poll() is None:
        time.sleep(0.01)
    workers[1].kill()
    (status, said), _ = fleet.finish(workers)
    assert status == 2
    assert re.search(r"^error: worker 0 of 2 has lost contact with another: .* The newest checkpoint is ", said, re.M)
    assert [path.name for path in (run_dir / "checkpoints").glob("*.index")] == ["step-1.index"]
    for devices in (2, 4):
        given = flags(
            run_dir, precision="float64", strategy="mirrored", steps=devices // 2 + 1, accumulate=4 // devices
        )
        fleet.train_on_devices(devices, given)
    train_alone(tmp_path / "alone", celeba, precision="float64")
    assert max(fleet.differences(tmp_path / "alone", run_dir).values()) < 1e-12


@pytest.mark.slow
def test_workers_end_together(tmp_path, plain_flags):
    """One is asked to stop: all leave at the same step. Then one is given other options, which is refused."""
    given = plain_flags(tmp_path / "run", steps=10_000, checkpoint_every=10_000)
    workers = fleet.start_workers(2, given)
    while "step 2/" not in _log(tmp_path / "run") and workers[0].poll() is None:
        time.sleep(0.01)
    workers[1].terminate()
    ends = fleet.finish(workers)
    assert [status for status, _ in ends] == [130, 130]
    assert "a signal to another worker: left at step" in ends[0][1]
    [saved] = (tmp_path / "run" / "checkpoints").glob("*.index")

    for status, said in fleet.finish(fleet.start_workers(2, given, own=["--log_every=1", "--log_every=2"])):
        assert status == 2
        assert "error: the options of worker 1 differ from those of worker 0" in said
    assert saved.exists()


@pytest.mark.slow
def test_a_worker_does_not_wait_for_ever(tmp_path, plain_flags):
    impatient = f"from elegant_tf.training import strategy; strategy.WAIT_SECONDS = 3; import fleet; {RUN}"
    [worker] = fleet.start_workers(2, plain_flags(tmp_path / "run"), ["-c", impatient], missing=1)
    [(status, said)] = fleet.finish([worker])
    assert status == -signal.SIGALRM
    assert re.search(r"^warning: worker 0 of .* waits for the others; SIGALRM ends it after 3 seconds$", said, re.M)
    assert not (tmp_path / "run").exists()


def _log(run_dir):
    path = run_dir / "train.log"
    return path.read_text() if path.exists() else ""


@pytest.mark.slow
def test_in_float32_they_differ_by_rounding_alone(tmp_path, flags, celeba):
    """The median over all values: Adam's first step of a gradient that is nearly zero magnifies its rounding."""
    train_alone(tmp_path / "one", celeba, steps=1)
    train_two_workers(flags(tmp_path / "two", steps=1))
    assert np.median(list(fleet.differences(tmp_path / "one", tmp_path / "two").values())) < 1e-6
