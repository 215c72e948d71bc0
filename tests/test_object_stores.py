"""Commands with run directories, data and exports on object stores: TensorFlow's ram://, and its client for gs://."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import commands
import gcs
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf import files, runlock
from elegant_tf.cli import main
from elegant_tf.remote import as_path
from elegant_tf.runs import checkpoint_reader
from elegant_tf.synthetic import write_celeba


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path, quick_training):
    """No waits, and a current folder in which a mistake would leave a folder called `ram:`."""
    monkeypatch.setattr(runlock, "SETTLE", 0.0)
    monkeypatch.setattr(runlock, "BEAT", 0.5)
    monkeypatch.chdir(tmp_path)
    yield
    assert not [path for path in Path().iterdir() if path.name.endswith(":")]


@pytest.fixture(params=["ram", "gs"])
def bucket(request, tmp_path_factory, monkeypatch):
    """An empty place on either store."""
    if request.param == "ram":
        root = as_path(f"ram://{request.node.name.replace('[', '-').replace(']', '')}")
        root.mkdir(exist_ok=True)
        yield root
        root.remove_tree()
        return
    pytest.importorskip("trustme")
    with gcs.serving(tmp_path_factory.mktemp("gcs")) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield as_path(f"gs://{gcs.BUCKET}/files")


def names_in(folder):
    """The paths of all files below a folder, here or on a store."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in found)


def train(run_dir, *more, **fields):
    fields = {"strategy": "one_device", "ema_half_life": 2.0, **fields}
    return main.main(["train", f"--run_dir={run_dir}", *tiny.flags(**fields), *more])


def weights(run_dir, step):
    reader = checkpoint_reader(str(run_dir / "checkpoints" / f"step-{step}"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "learner/" in name}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "celeba"
    write_celeba(folder, 40, 32, seed=0, counterfactuals=1)
    shutil.rmtree(folder / "counterfactuals")
    return folder


def copied(folder, target):
    """A local folder on a store."""
    for file in folder.rglob("*"):
        if file.is_file():
            copy = target / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return target


def test_a_run_is_resumed_to_the_bit(bucket, tmp_path, celeba, capsys):
    options = {"data": "celeba", "data_dir": celeba, "sample_every": 3, "checkpoint_every": 3, "checkpoints_kept": 2}
    assert train(tmp_path / "run", steps=9, **options) == 0
    run_dir = bucket / "run"
    assert train(run_dir, steps=4, **options) == 0
    aside = run_dir / "checkpoints" / ".step-7.part"  # as a kill leaves it
    aside.mkdir()
    (aside / "step-7.index").write_bytes(b"x")
    assert train(run_dir, steps=9, **options) == 0
    assert "resuming at step 4 from" in capsys.readouterr().err
    assert same(weights(run_dir, 9), weights(tmp_path / "run", 9))
    here, there = names_in(tmp_path / "run"), names_in(run_dir)
    assert [name for name in here if "summaries" not in name] == [name for name in there if "summaries" not in name]
    rows = [json.loads(line)["step"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(range(1, 10))
    assert "all 9 steps are done" in (run_dir / "train.log").read_text()
    assert tf.train.latest_checkpoint(str(run_dir / "checkpoints")) == str(run_dir / "checkpoints" / "step-9")
