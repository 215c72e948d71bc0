"""The best generator of a run is kept whatever comes after it, and exported when training ends."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import time
from pathlib import Path

import commands
import numpy as np
import pytest
import tiny

from elegant_tf.config import LARGER_IS_BETTER, Config
from elegant_tf.errors import UserError
from elegant_tf.evaluation.monitor import Monitor
from elegant_tf.export import after_training
from elegant_tf.export.after_training import check_export, export_trained
from elegant_tf.export.written import METADATA_FILE
from elegant_tf.files import write_text
from elegant_tf.marks import model_hash
from elegant_tf.rundir import CONFIG_FILE, PACKED_FILE, read_config
from elegant_tf.runs import checkpoint_steps, load_generator, make_generator, pack
from elegant_tf.training.best import BEST_DIR, Best, read_best
from elegant_tf.training.trainer import Trainer

NAN = math.nan


def config(by="realised", **overrides):
    return tiny.config(**{"keep_best": by, "evaluate_every": 1, **overrides})


def generator(value):
    made = make_generator(config().model, "float32")
    made.set_weights([np.full_like(weight, value) for weight in made.get_weights()])
    return made


def value_in(run_dir):
    """What every weight of the generator that is kept there is."""
    (found,) = {float(value) for weight in load_generator(run_dir / BEST_DIR)[0].get_weights() for value in weight.flat}
    return found


def offer_all(run_dir, values, by="realised"):
    best = Best(config(by), run_dir)
    return [best.offer(step, {by: value}, generator(step)) for step, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("by", "values", "kept"),
    [
        ("realised", [0.1, 0.3, 0.2], 2),
        ("reconstruction_psnr", [30.0, 20.0], 1),
        ("leak", [3.0, 1.0, 2.0], 2),
        ("leak", [1.0, 1.0], 1),
        ("realised", [NAN, -0.1, NAN], 2),
        ("leak", [NAN, 2.0, math.inf], 2),
    ],
)
def test_the_best_is_kept_and_of_equals_the_first(tmp_path, by, values, kept):
    made = offer_all(tmp_path, values, by)
    assert max(step for step, was_kept in enumerate(made, 1) if was_kept) == kept
    assert value_in(tmp_path) == kept
    assert read_best(tmp_path) == (kept, {by: values[kept - 1]})


def test_nothing_is_kept_of_nan_alone_or_of_weights_that_are_not_finite(tmp_path):
    assert offer_all(tmp_path, [NAN, NAN]) == [False, False]
    assert not Best(config(), tmp_path).offer(3, {"realised": 1.0}, generator(NAN))
    assert os.listdir(tmp_path) == []


def test_it_is_a_run_for_every_command_in_full_precision(tmp_path):
    made = make_generator(config().model, "float32")
    best = Best(config(), tmp_path / "run")
    assert best.offer(7, {"realised": 0.25, "leak": 1.5}, made)
    assert str(best) == f"{tmp_path}/run/best (realised 0.250 at step 7)"
    loaded, step = load_generator(tmp_path / "run" / BEST_DIR)
    assert step == 7
    for one, other in zip(loaded.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert read_config(tmp_path / "run" / BEST_DIR) == config()
    assert pack(tmp_path / "run" / BEST_DIR, tmp_path / "packed") == 7


def test_a_resumed_run_goes_on_from_what_is_kept(tmp_path):
    offer_all(tmp_path, [0.1, 0.3])
    best = Best(config(flip_tta=True), tmp_path)
    assert not best.offer(3, {"realised": 0.2}, generator(3))
    assert not best.offer(2, {"realised": 0.3}, generator(8))  # evaluated again
    assert value_in(tmp_path) == 2
    assert best.offer(5, {"realised": 0.4}, generator(5))
    assert value_in(tmp_path) == 5
    assert read_config(tmp_path / BEST_DIR).model.flip_tta


def test_another_number_judges_what_is_kept_by_what_was_measured_of_it(tmp_path):
    Best(config(), tmp_path).offer(1, {"realised": 0.5, "leak": 2.0}, generator(1))
    best = Best(config("leak"), tmp_path)
    assert not best.offer(2, {"realised": 0.9, "leak": 2.5}, generator(2))
    assert best.offer(3, {"realised": 0.1, "leak": 1.5}, generator(3))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "changed", "expected"),
    [
        (lambda path: flip_a_bit(path), {}, "best: is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), {}, "best: holds no generator .* or it is damaged"),
        (lambda path: path.unlink(), {}, "best: holds no generator that --keep_best kept"),
        (lambda path: pack(path.parent, "p") and os.replace(f"p/{PACKED_FILE}", path), {}, "best: holds no generator"),
        (lambda path: (path.parent / CONFIG_FILE).unlink(), {}, "best is not a run directory"),
        (lambda path: None, {"seed": 5}, r"best: is of a run of another configuration \(seed\)"),
        (lambda path: None, {"by": "leak"}, r"was judged by other numbers \(realised\) than --keep_best=leak"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused_and_stays(tmp_path, monkeypatch, spoil, changed, expected):
    monkeypatch.chdir(tmp_path)
    offer_all(tmp_path, [0.1])
    path = tmp_path / BEST_DIR / PACKED_FILE
    spoil(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(UserError, match=expected):
        Best(config(**changed), tmp_path)
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / BEST_DIR).touch()
    with pytest.raises(UserError, match=r"best: holds no generator .* move it away to train on"):
        Best(config(), tmp_path)


def test_an_evaluation_without_the_number_names_those_there_are(tmp_path):
    with pytest.raises(UserError, match="--keep_best=leak: the evaluation gives moved, sharpness; choose one"):
        Best(config("leak"), tmp_path).offer(1, {"moved": 1.0, "sharpness": 2.0}, generator(1))


class Kill(BaseException):
    """Ends a process between two calls of the operating system, as far as a test can."""


@pytest.mark.parametrize("already", [False, True], ids=["the first", "a better one"])
@pytest.mark.parametrize("calls", range(4))
def test_a_kill_leaves_the_old_one_or_the_new_one(tmp_path, monkeypatch, already, calls):
    if already:
        offer_all(tmp_path, [0.1])
    left, replace = [calls], os.replace

    def replace_some(*paths):
        if not left[0]:
            raise Kill
        left[0] -= 1
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_some)
        patch.setattr("shutil.rmtree", lambda *arguments, **options: None)
        patch.setattr("pathlib.Path.unlink", lambda *arguments, **options: None)
        ended = False
        with contextlib.suppress(Kill):
            ended = Best(config(), tmp_path).offer(2, {"realised": 0.5}, generator(2))
    best = Best(config(), tmp_path)
    assert [path.name for path in tmp_path.rglob("*.part")] == []
    if already or ended:
        assert value_in(tmp_path) == (2 if ended else 1)
    assert not ended or not best.offer(2, {"realised": 0.5}, generator(2))
    assert best.offer(3, {"realised": 0.7}, generator(3))
    assert value_in(tmp_path) == 3


@pytest.mark.parametrize("by", ["moved", "best"])
def test_an_unknown_number_names_those_there_are(by):
    with pytest.raises(UserError, match=f"--keep_best={by}: must be one of none, {', '.join(LARGER_IS_BETTER)}"):
        Config.of(keep_best=by, evaluate_every=1)


@pytest.mark.parametrize("every", [0, 11])
def test_evaluations_are_needed(every):
    with pytest.raises(
        UserError, match=rf"--keep_best=leak: must be none unless --evaluate_every .* 1 to 10 .*{every}"
    ):
        Config.of(keep_best="leak", evaluate_every=every, steps=10)


def test_data_without_targets_cannot_be_judged_by_them(tmp_path):
    photos = config(data="celeba", data_dir=str(tmp_path))
    with pytest.raises(UserError, match="--keep_best=realised: must be reconstruction_psnr or none"):
        Monitor(photos)


@pytest.fixture(scope="module")
def quick(quick_training):
    """Trains for steps of one update."""


class Scripted:
    """An evaluator of the numbers given, in order of the steps; it keeps the weights that it was shown."""

    def __init__(self, *values, by="realised"):
        self.values, self.by, self.shown = list(values), by, []

    def __call__(self, generator):
        self.shown.append([np.array(weight) for weight in generator.get_weights()])
        value = self.values.pop(0)
        if isinstance(value, BaseException):
            raise value
        return {self.by: value}


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def evaluated(run_dir):
    lines = (run_dir / "evaluations.jsonl").read_text("utf-8").splitlines()
    return [(row["step"], row["realised"]) for row in map(json.loads, lines)]


def test_no_later_checkpoint_removes_the_best(quick, tmp_path):
    evaluator = Scripted(0.1, 0.4, 0.2, 0.4, NAN)
    run = config(steps=5, checkpoint_every=1, checkpoints_kept=1, ema_half_life=2.0)
    Trainer(run, tmp_path, evaluator).train()
    assert checkpoint_steps(tmp_path) == [5]
    kept, step = load_generator(tmp_path / BEST_DIR)
    assert step == 2
    assert same(kept.get_weights(), evaluator.shown[1])
    assert not same(evaluator.shown[0], evaluator.shown[1])
    assert f"best so far: {tmp_path}/best (realised 0.400 at step 2)" in (tmp_path / "train.log").read_text("utf-8")


@pytest.mark.parametrize("moment", ["evaluating", "keeping"])
def test_a_kill_around_an_evaluation_loses_nothing(quick, tmp_path, monkeypatch, moment):
    run, killed = config(steps=2, checkpoint_every=1), Scripted(0.1, Kill() if moment == "evaluating" else 0.5)
    offer = Best.offer

    def offer_once(best, step, *arguments):
        if step == 2:
            raise Kill
        return offer(best, step, *arguments)

    monkeypatch.setattr(Best, "offer", offer_once)
    with pytest.raises(Kill):
        Trainer(run, tmp_path, killed).train()
    monkeypatch.setattr(Best, "offer", offer)
    resumed = Scripted(*[0.5] * (moment == "evaluating"))
    Trainer(run, tmp_path, resumed).train()
    assert resumed.values == []
    kept, step = load_generator(tmp_path / BEST_DIR)
    assert step == 2
    assert same(kept.get_weights(), killed.shown[1])
    assert evaluated(tmp_path) == [(1, 0.1), (2, 0.5)]


def test_a_best_of_another_run_is_refused_before_training(tmp_path):
    offer_all(tmp_path / "run", [0.1])
    with pytest.raises(UserError, match=r"run/best: is of a run of another configuration \(width\)"):
        Trainer(config(width=3), tmp_path / "run", Scripted())
    assert os.listdir(tmp_path / "run") == [BEST_DIR]


@pytest.mark.parametrize(
    ("options", "version", "may_be_there"),
    [
        ({}, "4", False),
        ({}, "2", True),
        ({}, "new", True),
        ({"keep_best": "leak", "evaluate_every": 2}, "2", False),
        ({"keep_best": "leak", "evaluate_every": 2}, "3", True),
        ({"keep_best": "leak", "evaluate_every": 2}, "0", True),
        ({"keep_best": "leak", "evaluate_every": 2}, "6", True),
    ],
)
def test_a_version_that_is_in_the_way_is_told_before_training(tmp_path, options, version, may_be_there):
    run = tiny.config(export_dir=str(tmp_path / "models"), **options)
    (tmp_path / "models" / version).mkdir(parents=True)
    with contextlib.nullcontext() if may_be_there else pytest.raises(UserError, match=f"has version {version} already"):
        check_export(run, tmp_path / "run")


@pytest.mark.parametrize(
    ("directory", "expected"),
    [("file", "file: cannot be written"), ("file/models", "cannot be written in"), ("a[b]", "TensorFlow loads no")],
)
def test_a_place_that_takes_no_export_is_told_before_training(tmp_path, directory, expected):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"--export_dir={tmp_path}.*{expected}"):
        check_export(tiny.config(export_dir=str(tmp_path / directory)), tmp_path / "run")


@pytest.fixture
def exports(monkeypatch):
    """Exports the metadata alone; the list of what was exported. `test_cli_train.py` exports wholly."""
    made = []

    def export(run, directory):
        sha, step = model_hash(run)
        write_text(Path(directory, str(step), "assets", METADATA_FILE), json.dumps({"model_sha256": sha}))
        made.append((run, step))
        return Path(directory, str(step))

    monkeypatch.setattr(after_training, "export_savedmodel", export)
    return made


def test_the_best_is_exported_once(tmp_path, exports):
    run, models = config(steps=4, export_dir=str(tmp_path / "models")), tmp_path / "models"
    with pytest.raises(UserError, match="best: no evaluation gave a number for --keep_best=realised to judge by"):
        export_trained(run, tmp_path / "run")
    offer_all(tmp_path / "run", [0.1, 0.3, 0.2])
    for _ in range(2):  # the second time as after a kill
        check_export(run, tmp_path / "run")
        assert export_trained(run, tmp_path / "run") == models / "2"
    assert exports == [(tmp_path / "run" / BEST_DIR, 2)]
    with pytest.raises(UserError, match="models: has version 2 already, which this training may export; choose"):
        check_export(run, tmp_path / "another")
    assert Best(run, tmp_path / "run").offer(4, {"realised": 0.5}, generator(4))
    assert export_trained(run, tmp_path / "run") == models / "4"


def test_the_last_generator_is_exported_without_a_best(tiny_run, tmp_path, exports):
    run = read_config(tiny_run).replace(export_dir=str(tmp_path))
    check_export(run, tiny_run)
    for _ in range(2):
        assert export_trained(run, tiny_run) == tmp_path / "4"
        check_export(run, tiny_run)
    assert exports == [(tiny_run, 4)]


KILLED = """
import sys
import conftest
import tensorflow as tf
import tiny
from elegant_tf.training.trainer import Trainer

tf.config.experimental.enable_op_determinism()
config = tiny.config(steps=8, checkpoint_every=1, evaluate_every=1, keep_best="leak", strategy="one_device")


def evaluator(generator):
    value = sum(float(abs(weight).sum()) for weight in generator.get_weights())
    return {"leak": value * 1e4 % 1}  # as good as chance


with conftest.training_quickly():
    Trainer(config, sys.argv[1], evaluator).train()
"""


@pytest.mark.slow
def test_a_training_that_is_killed_keeps_the_same(tmp_path):
    environment = {**os.environ, "PYTHONPATH": f"{commands.ROOT}{os.pathsep}{commands.ROOT / 'tests'}"}

    def start(name):
        return commands.start(["-c", KILLED, str(tmp_path / name)], env=environment)

    undisturbed, chance = start("undisturbed"), random.Random(0)
    for _ in range(2):
        process, path = start("disturbed"), tmp_path / "disturbed" / "metrics.jsonl"
        before = path.read_text("utf-8") if path.exists() else ""
        while process.poll() is None and (not path.exists() or path.read_text("utf-8") == before):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 1))
        process.kill()
        process.communicate()
    _, err = start("disturbed").communicate()
    assert (err.count("resuming at step"), err.count("all 8 steps are done")) == (1, 1), err
    undisturbed.communicate()
    files = [tmp_path / name / BEST_DIR / PACKED_FILE for name in ("undisturbed", "disturbed")]
    assert read_best(files[0].parents[1]) == read_best(files[1].parents[1])
    first, second = (load_generator(path.parent)[0].get_weights() for path in files)
    assert same(first, second)
