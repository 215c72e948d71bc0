"""Commands with run directories, data and exports on object stores: TensorFlow's ram://, and its client for gs://."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
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
from elegant_tf.config import DataConfig
from elegant_tf.data.attributes import read_attributes
from elegant_tf.data.tfrecords import find_records
from elegant_tf.errors import UserError
from elegant_tf.evaluation import evaluate
from elegant_tf.evaluation.metrics.reconstruction import Reconstruction
from elegant_tf.evaluation.monitor import Monitor
from elegant_tf.export.written import open_model
from elegant_tf.remote import as_path
from elegant_tf.runs import checkpoint_reader
from elegant_tf.sources import open_source
from elegant_tf.synthetic import write_celeba


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path, quick_training):
    """No waits, and a current folder in which a mistake would leave a folder called `ram:`."""
    monkeypatch.setattr(runlock, "SETTLE", 0.0)
    monkeypatch.setattr(runlock, "BEAT", 0.5)
    monkeypatch.chdir(tmp_path)
    yield
    assert not [path for path in Path().iterdir() if path.name.endswith(":")]


_PLACES = itertools.count()

# Trains with a lock that counts as left behind after three seconds.
IMPATIENT = f"""
from elegant_tf import runlock
runlock.BEAT, runlock.PATIENCE, runlock.SETTLE = 0.5, 3, 0.1
{commands.EAGER}
"""


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
        # TensorFlow remembers for some seconds what was at a path, in the test before.
        yield as_path(f"gs://{gcs.BUCKET}/{next(_PLACES)}")


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


RESUMED = {"sample_every": 2, "checkpoint_every": 2, "checkpoints_kept": 2, "data": "celeba"}


@pytest.fixture(scope="module")
def local_run(quick_training, celeba, tmp_path_factory):
    """A run on this machine that nothing disturbed."""
    run_dir = tmp_path_factory.mktemp("local") / "run"
    assert train(run_dir, steps=3, data_dir=celeba, **RESUMED) == 0
    return run_dir


@pytest.mark.slow
def test_a_run_is_resumed_to_the_bit(bucket, local_run, celeba, capsys):
    run_dir = bucket / "run"
    assert train(run_dir, steps=2, data_dir=celeba, **RESUMED) == 0
    aside = run_dir / "checkpoints" / ".step-3.part"  # as a kill leaves it
    aside.mkdir()
    (aside / "step-3.index").write_bytes(b"x")
    assert train(run_dir, steps=3, data_dir=celeba, **RESUMED) == 0
    assert "resuming at step 2 from" in capsys.readouterr().err
    assert same(weights(run_dir, 3), weights(local_run, 3))
    here, there = names_in(local_run), names_in(run_dir)
    assert [name for name in here if "summaries" not in name] == [name for name in there if "summaries" not in name]
    rows = [json.loads(line)["step"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert rows == [1, 2, 3]
    assert "all 3 steps are done" in (run_dir / "train.log").read_text()
    assert tf.train.latest_checkpoint(str(run_dir / "checkpoints")) == str(run_dir / "checkpoints" / "step-3")


def test_a_second_trainer_is_refused_and_a_lock_without_life_is_taken_over(bucket, monkeypatch, capsys):
    run_dir = bucket / "run"
    monkeypatch.setattr(runlock, "BEAT", 0.1)
    with runlock.locked(run_dir) as check:
        check()
        assert train(run_dir, "--dry_run") == 2
        assert f"--run_dir={run_dir}: process {os.getpid()} on" in capsys.readouterr().err
        held = json.loads((run_dir / "train.lock").read_text())
    assert not (run_dir / "train.lock").exists()
    (run_dir / "train.lock").write_text(json.dumps(held))
    monkeypatch.setattr(runlock, "PATIENCE", 0.3)
    with runlock.locked(run_dir) as check:
        (run_dir / "train.lock").write_text(json.dumps({**held, "host": "elsewhere"}))
        with pytest.raises(UserError, match="on elsewhere has been training there since"):
            check()
    assert (run_dir / "train.lock").exists()


def test_of_two_that_take_a_lock_at_once_the_last_one_has_it(bucket, monkeypatch):
    path = bucket / "train.lock"
    other = json.dumps({"host": "elsewhere", "pid": 7, "started": "now", "key": "other"})
    monkeypatch.setattr(runlock.time, "sleep", lambda _: path.write_text(other))
    with pytest.raises(UserError, match="process 7 on elsewhere has been training there"), runlock.locked(bucket):
        pass
    assert path.read_text() == other


def test_a_write_that_fails_leaves_nothing(bucket, monkeypatch):
    (bucket / "file").write_text("before")
    with pytest.raises(UserError, match="file: cannot be written: full"):
        write_half(bucket / "file")
    with monkeypatch.context() as patched, pytest.raises(UserError, match="new: cannot be written: full"):
        write_two(bucket / "new", patched)
    assert names_in(bucket) == ["file"]
    assert (bucket / "file").read_text() == "before"


def write_half(target):
    with files.atomic_file(target) as aside:
        aside.write_text("half")
        raise OSError(28, "full")


def write_two(target, patched):
    """A directory of two files, of which the second cannot be stored."""
    with files.atomic_directory(target, "b") as aside:
        for name in "ab":
            (aside / name).write_text(name)
        patched.setattr(files.shutil, "copyfileobj", fail_at(2))


def fail_at(call):
    """`shutil.copyfileobj`, which fails at one of its calls."""
    calls = iter(range(1, 10))
    copy = shutil.copyfileobj

    def copyfileobj(*arguments):
        if next(calls) == call:
            raise OSError(28, "full")
        copy(*arguments)

    return copyfileobj


def test_a_directory_ends_with_the_file_that_makes_it_whole(bucket, monkeypatch):
    order = []
    copy = shutil.copyfileobj
    monkeypatch.setattr(
        files.shutil, "copyfileobj", lambda source, *rest: (order.append(Path(source.name).name), copy(source, *rest))
    )
    with files.atomic_directory(bucket / "new", "saved_model.pb") as aside:
        (aside / "variables").mkdir()
        for name in ("saved_model.pb", "fingerprint.pb", "variables/variables.index"):
            (aside / name).write_text(name)
    assert order == ["fingerprint.pb", "variables.index", "saved_model.pb"]
    assert names_in(bucket / "new") == ["fingerprint.pb", "saved_model.pb", "variables/variables.index"]
    with pytest.raises(UserError, match="new: cannot be written: File exists"), files.atomic_directory(bucket / "new"):
        pass


def test_what_is_appended_is_there_in_the_end(bucket, monkeypatch):
    file = files.Appended(bucket / "log")
    file.write("one\n")
    file.flush()
    file.write("two\n")
    assert (bucket / "log").read_text() == "one\n"
    file.close()
    assert (bucket / "log").read_text() == "one\ntwo\n"
    monkeypatch.setattr(files.Appended, "PAUSE", 0.0)
    files.Appended(bucket / "log").write("three\n")
    assert (bucket / "log").read_text() == "one\ntwo\nthree\n"


@pytest.fixture(scope="module")
def folder(celeba, tmp_path_factory):
    """The images of `celeba` with a table."""
    root = tmp_path_factory.mktemp("folder")
    table = read_attributes(celeba / "list_attr_celeba.txt").select(tiny.ATTRIBUTES)
    rows = zip(table.files, table.labels.tolist(), strict=True)
    lines = [",".join(map(str, (f"images/{file}", *row))) for file, row in rows]
    (root / "labels.csv").write_text("\n".join([",".join(["file", *tiny.ATTRIBUTES]), *lines]) + "\n")
    shutil.copytree(celeba / "img_align_celeba", root / "images")
    return root


@pytest.fixture(scope="module")
def records(celeba, tmp_path_factory):
    root = tmp_path_factory.mktemp("records") / "records"
    arguments = f"prepare --data celeba --data_dir {celeba} --out {root} --alignment crop --image_size 32"
    assert main.main([*arguments.split(), "--shard_images", "24"]) == 0
    return root


@pytest.mark.parametrize("kind", ["celeba", "folder", "records"])
def test_data_are_the_same_on_a_store(kind, bucket, request):
    here = request.getfixturevalue(kind)
    there = copied(here, bucket / kind)
    sources = [
        open_source(DataConfig(kind=kind, data_dir=str(root)), tiny.ATTRIBUTES, 32, "train") for root in (here, there)
    ]
    assert np.array_equal(*(source.labels for source in sources))
    for index in (0, 7, 3):
        assert np.array_equal(*(source.load(index) for source in sources))
    if kind == "records":
        assert sources[0].encoded(5) == sources[1].encoded(5)
        shard = next(there.glob("*.tfrecord"))
        assert np.array_equal(find_records(shard), find_records(here / shard.name))


def test_what_is_not_on_a_store_is_told(bucket, capsys):
    for kind, said in (("records", "has no manifest.json"), ("folder", "no such directory"), ("celeba", "no such dir")):
        assert train(bucket / "run", "--dry_run", data=kind, data_dir=bucket / "nothing") == 2
        assert f"--data_dir={bucket}/nothing: {said}" in capsys.readouterr().err
    assert main.main(["pack", "--run", str(bucket / "nothing"), "--out", str(bucket / "out")]) == 2
    assert f"{bucket}/nothing is not a run directory" in capsys.readouterr().err


def test_records_are_prepared_on_a_store(bucket, celeba, records):
    out = bucket / "records"
    command = f"prepare --data celeba --data_dir {celeba} --out {out} --alignment crop --image_size 32".split()
    assert main.main([*command, "--shard_images", "24"]) == 0
    (out / "manifest.json").unlink()
    assert main.main([*command, "--shard_images", "24"]) == 0
    assert names_in(out) == names_in(records)
    for shard in records.glob("*.tfrecord"):
        assert (out / shard.name).read_bytes() == shard.read_bytes()


@pytest.mark.slow
def test_a_trained_run_is_kept_exported_read_and_edited_with(celeba, capsys, monkeypatch):
    root = as_path("ram://whole")
    monkeypatch.setattr(Monitor, "__call__", lambda *_: {"reconstruction_psnr": 20.0})
    monkeypatch.setattr(evaluate, "METRICS", [Reconstruction])
    options = {"data": "celeba", "data_dir": celeba, "evaluate_every": 2, "keep_best": "reconstruction_psnr"}
    assert train(root / "run", steps=4, export_dir=root / "models", **options) == 0
    assert f"exported:  {root}/models/2" in capsys.readouterr().out
    assert names_in(root / "run" / "best") == ["config.json", "generator.npz"]
    assert train(root / "run", steps=4, export_dir=root / "models", **options) == 0  # finds all done
    image = str(next((celeba / "img_align_celeba").iterdir()))
    edits = ["--input", image, "--exemplar", image, "--attributes", "Smiling", "--out", "out.png"]
    for run in ("run", "run/best"):
        assert main.main(["swap", "--run", str(root / run), *edits, "--overwrite"]) == 0
    assert main.main(["pack", "--run", str(root / "run"), "--out", str(root / "packed")]) == 0
    assert main.main(["export", "--run", str(root / "packed"), "--out", str(root / "other")]) == 0
    assert names_in(root / "other") == [f"4/{name}" for name in names_in(root / "other" / "4")]
    assert open_model(root / "models").step == 2
    black = np.zeros((1, 32, 32, 3), np.uint8)
    assert open_model(root / "other").edit(black, black[:, None], np.ones((1, 1, 2))).shape == black.shape
    assert main.main(["export", "--run", str(root / "packed"), "--out", str(root / "other")]) == 2
    assert f"--out={root}/other: has version 4 already" in capsys.readouterr().err
    data = copied(celeba, root / "celeba")
    measure = ["evaluate", "--run", str(root / "run"), "--data", "celeba", "--data_dir", str(data), "--count", "1"]
    for more, out in (([], root / "run"), (["--out", str(root / "report")], root / "report")):
        assert main.main([*measure, *more]) == 0
        assert {f"scorecard.{kind}" for kind in ("json", "md", "html", "png")} <= set(names_in(out))


@pytest.mark.parametrize(
    "line",
    [
        "swap --run faces --input ram://x/a.png --exemplar b.png --attributes Bangs --out c.png",
        "faces --out ram://x/faces",
        "align --input a.png --out ram://x/faces",
        "import-torch --pth_dir ram://x --step 1 --attributes Bangs --image_size 64 --run new",
        "demo --run faces --out ram://x/page",
        "compare --old ram://x/a --new faces",
        "inspect ram://x/a.png",
    ],
)
def test_what_must_be_local_is_refused_by_flag_and_scheme(line, capsys):
    assert main.main(line.split()) == 2
    said = capsys.readouterr().err
    assert "ram://x" in said
    assert "must be a path on this machine, not on ram://: mount the remote directory" in said


@pytest.mark.slow
def test_a_killed_run_ends_like_an_undisturbed_one(tmp_path, celeba, monkeypatch):
    pytest.importorskip("trustme")
    fields = {
        "steps": 6,
        "data": "celeba",
        "data_dir": celeba,
        "checkpoint_every": 2,
        "log_every": 2,
        "strategy": "one_device",
    }
    with gcs.serving(tmp_path) as store:
        run_dir = as_path(f"gs://{gcs.BUCKET}/runs/a")
        start = [sys.executable, "-c", IMPATIENT, "train", "--deterministic", *tiny.flags(**fields)]
        here, there = ([*start, f"--run_dir={run}"] for run in (tmp_path / "run", run_dir))
        environment = {**os.environ, **store.environment, "PYTHONPATH": str(commands.ROOT)}
        options = {"cwd": commands.ROOT, "env": environment, "stdout": subprocess.DEVNULL}
        assert subprocess.run(here, **options).returncode == 0
        process = subprocess.Popen(there, **options)
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        while not (run_dir / "checkpoints" / "step-2.index").exists():
            assert process.poll() is None
            time.sleep(0.2)
        process.kill()
        process.wait()
        assert (run_dir / "train.lock").exists()
        assert subprocess.run(there, **options).returncode == 0
        assert "all 6 steps are done" in (run_dir / "train.log").read_text()
        assert same(weights(run_dir, 6), weights(tmp_path / "run", 6))
