from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.errors import UserError
from elegant_tf.images import read_image
from elegant_tf.rundir import CHECKPOINT_DIR, CONFIG_FILE, read_config
from elegant_tf.runlock import locked
from elegant_tf.runs import load_generator, pack
from elegant_tf.training.summary import METRICS_FILE
from elegant_tf.training.trainer import Trainer, check_run_dir

pytestmark = pytest.mark.usefixtures("quick_training")


# An update per attribute in each step.
IN_TURN = {"attribute_schedule": "round_robin"}


def train(run_dir, **overrides):
    trainer = Trainer(tiny.config(**overrides), run_dir)
    trainer.train()
    return trainer


def rows(run_dir):
    return [json.loads(line) for line in (run_dir / METRICS_FILE).read_text("utf-8").splitlines()]


def checkpoints(run_dir):
    return sorted(path.stem for path in (run_dir / CHECKPOINT_DIR).glob("*.index"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run: 4 steps of two updates, checkpoints every 2, samples every 2."""
    run_dir = tmp_path_factory.mktemp("runs") / "tiny run"
    return train(run_dir, **IN_TURN, sample_every=2)


def test_a_run_directory_has_everything(run):
    assert run.step == 4
    assert not run.interrupted
    assert read_config(run.run_dir) == run.config
    assert checkpoints(run.run_dir) == ["step-2", "step-4"]
    assert [row["step"] for row in rows(run.run_dir)] == [1, 2, 3, 4]
    assert list((run.run_dir / "summaries").glob("events.*"))


def test_metrics_are_finite_and_named(run):
    for row in rows(run.run_dir):
        assert {"generator", "discriminator", "reconstruction", "images_per_second", "seconds"} <= set(row)
        assert all(np.isfinite(value) for value in row.values())


def test_sample_grids_are_pictures(run):
    paths = sorted((run.run_dir / "samples").iterdir())
    assert [path.name for path in paths] == ["0000002.png", "0000004.png"]
    picture = read_image(paths[0])
    assert picture.shape[0] == 2 + 4 * 34  # a row for each of 4 pairs, of 32 pixels with margins
    assert picture.shape[1] == 2 + 8 * 34
    assert len(np.unique(picture)) > 50


def test_a_finished_run_has_nothing_left_to_do(run, capfd):
    before = checkpoints(run.run_dir), rows(run.run_dir)
    again = Trainer(run.config, run.run_dir)
    again.train()
    assert again.step == 4
    assert (checkpoints(run.run_dir), rows(run.run_dir)) == before
    assert Trainer(run.config, run.run_dir).step == 0  # nothing is read before training begins


def test_training_goes_on_to_a_later_step(run, tmp_path):
    train(tmp_path, **IN_TURN, steps=2)
    longer = train(tmp_path, **IN_TURN, steps=4)
    assert longer.step == 4
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]
    first, second = (tf.train.load_checkpoint(str(path / CHECKPOINT_DIR)) for path in (run.run_dir, tmp_path))
    assert set(first.get_variable_to_shape_map()) == set(second.get_variable_to_shape_map())
    for name in first.get_variable_to_shape_map():
        if name.startswith("learner/generator_variables/"):
            np.testing.assert_allclose(first.get_tensor(name), second.get_tensor(name), atol=1e-4, err_msg=name)


@pytest.mark.parametrize("packed", [False, True])
def test_a_run_starts_from_the_generator_of_another(run, tmp_path, packed):
    start = run.run_dir
    if packed:
        start = tmp_path / "small"
        pack(run.run_dir, start)
    options = {"start_from": str(start), "learning_rate": 1e-12, "weight_decay": 0.0}
    further = {"image_size": 64, "ema_half_life": 2.0, "precision": "mixed_bfloat16"} if packed else {}
    begun = train(tmp_path / "begun", **options, **further)
    wanted, found = (load_generator(trainer.run_dir)[0].get_weights() for trainer in (run, begun))
    for mine, its in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-3, atol=1e-6)


def test_a_started_run_no_longer_needs_its_start(run, tmp_path):
    start = tmp_path / "start"
    shutil.copytree(run.run_dir, start)
    begun = train(tmp_path / "begun", start_from=str(start), steps=2)
    pack(begun.run_dir, tmp_path / "small")
    assert read_config(tmp_path / "small").run.start_from == ""
    shutil.rmtree(start)
    assert train(begun.run_dir, start_from=str(start), steps=3).step == 3


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"width": 4}, "its --width is 2; it must be this run's 4"),
        ({"attributes": ("Bangs", "Smiling")}, "its --attributes is"),
        ({"mask": True}, "its --mask is False; give --nomask"),
        ({"start_from": "nowhere"}, "nowhere is not a run directory"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(run, tmp_path, overrides, reason):
    fields = {"start_from": str(run.run_dir), **overrides}
    with pytest.raises(UserError, match=f"--start_from={fields['start_from']}: .*{reason}"):
        Trainer(tiny.config(**fields), tmp_path / "begun")
    assert not (tmp_path / "begun").exists()


def test_time_limit_saves_and_stops(tmp_path):
    limits = {"steps": 100_000, "checkpoint_every": 100_000, "max_minutes": 1e-6}  # It gets on in however little.
    trainer = train(tmp_path, **limits)
    assert 0 < trainer.step < 100_000
    assert trainer.step == trainer.learner.updates.numpy()  # under `mixed` an update is a step
    assert checkpoints(tmp_path) == [f"step-{trainer.step}"]


@contextlib.contextmanager
def on_hangup(handler):
    """As if this process had been started so; under `nohup`, tests run with SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGHUP, signal.SIGHUP]])
def test_a_signal_saves_and_stops(tmp_path, numbers):
    """SIGHUP comes twice when a terminal is closed: from the system and from the shell."""

    def interrupt(generator):
        for number in numbers:
            signal.raise_signal(number)
        return {}

    with on_hangup(signal.SIG_DFL):
        handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        trainer = Trainer(tiny.config(steps=100, checkpoint_every=100, evaluate_every=1), tmp_path, interrupt)
        trainer.train()
        assert {one: signal.getsignal(one) for one in handlers} == handlers
    assert trainer.interrupted
    assert trainer.step == 1
    assert checkpoints(tmp_path) == ["step-1"]


def test_an_ignored_hangup_stays_ignored(tmp_path):
    """As `nohup` asks."""
    with on_hangup(signal.SIG_IGN):
        evaluator = lambda generator: {"ignored": signal.getsignal(signal.SIGHUP) == signal.SIG_IGN}  # noqa: E731
        Trainer(tiny.config(steps=1, evaluate_every=1), tmp_path, evaluator).train()
    assert json.loads((tmp_path / "evaluations.jsonl").read_text("utf-8"))["ignored"] is True


def test_what_cannot_be_written_is_named_with_what_is_saved(tmp_path):
    def get_in_the_way(generator):
        (tmp_path / METRICS_FILE).unlink()
        (tmp_path / METRICS_FILE).mkdir()
        return {}

    trainer = Trainer(tiny.config(evaluate_every=2), tmp_path, get_in_the_way)
    with pytest.raises(UserError, match=rf"{METRICS_FILE}: cannot be written: Is a directory\. The newest .*/step-2$"):
        trainer.train()
    assert checkpoints(tmp_path) == ["step-2"]


def test_two_trainings_in_one_directory_are_refused(tmp_path):
    trainer = Trainer(tiny.config(), tmp_path / "run")
    with locked(tmp_path / "run"):
        for begin in (trainer.train, lambda: Trainer(tiny.config(), tmp_path / "run")):
            with pytest.raises(UserError, match=f"process {os.getpid()} on .* has been training there"):
                begin()
    assert list(tmp_path.iterdir()) == []


def test_divergence_stops_and_leaves_the_last_checkpoint(tmp_path):
    trainer = Trainer(tiny.config(**IN_TURN, checkpoint_every=1), tmp_path)
    update = trainer.learner.update

    def poisoned(batch):
        terms = update(batch)
        late = trainer.learner.updates > 4  # from the third step on
        return {**terms, "generator": tf.where(late, np.nan, terms["generator"])}

    trainer.learner.update = poisoned
    with pytest.raises(UserError, match=r"diverged by step 3: generator is not finite.*--learning_rate"):
        trainer.train()
    assert checkpoints(tmp_path) == ["step-1", "step-2"]


def test_a_weight_that_is_not_finite_is_never_saved(tmp_path):
    trainer = Trainer(tiny.config(steps=2, checkpoint_every=1, learning_rate=1e30), tmp_path)
    with pytest.raises(UserError, match="diverged"):
        trainer.train()
    for path in (tmp_path / CHECKPOINT_DIR).glob("*.index"):
        reader = tf.train.load_checkpoint(str(path.with_suffix("")))
        for name in reader.get_variable_to_shape_map():
            if name.startswith(("learner/generator_variables", "learner/discriminator_variables")):
                assert np.isfinite(reader.get_tensor(name)).all(), name


def test_another_configuration_is_refused_naming_what_differs(run):
    other = tiny.config(**IN_TURN, width=3, learning_rate=1e-3, steps=9)
    with pytest.raises(UserError) as error:
        check_run_dir(other, run.run_dir)
    assert "width (there 2, now 3), learning_rate (there 0.0002, now 0.001)" in str(error.value)
    assert "steps" not in str(error.value)
    check_run_dir(tiny.config(**IN_TURN, steps=9, log_every=3), run.run_dir)


def test_directories_that_are_no_runs(tmp_path):
    config = tiny.config()
    check_run_dir(config, tmp_path)
    check_run_dir(config, tmp_path / "new" / "er")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        check_run_dir(config, tmp_path / "file")
    for name in ("file/new", "loop", "x" * 300, "ü\udcff"):
        (tmp_path / "loop").unlink(missing_ok=True)
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(UserError, match=r"must be a directory|Too many levels|too long|is not UTF-8"):
            check_run_dir(config, tmp_path / name)
    (tmp_path / CHECKPOINT_DIR).mkdir()
    with pytest.raises(UserError, match="has checkpoints but no config"):
        check_run_dir(config, tmp_path)
    (tmp_path / CONFIG_FILE).write_text("{")
    with pytest.raises(UserError, match=r"config\.json: a configuration must be JSON"):
        check_run_dir(config, tmp_path)


@pytest.mark.parametrize("folder", [CHECKPOINT_DIR, "summaries", "samples"])
@pytest.mark.parametrize("put", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_something_in_the_place_of_a_folder_is_noticed_before_training(tmp_path, folder, put):
    put(tmp_path / folder)
    with pytest.raises(UserError, match=f"{tmp_path}/{folder}: must be a directory"):
        check_run_dir(tiny.config(), tmp_path)


@pytest.mark.parametrize("file", [METRICS_FILE, "evaluations.jsonl", "train.log"])
def test_a_folder_in_the_place_of_a_file_is_noticed_before_training(tmp_path, file):
    (tmp_path / file).mkdir()
    with pytest.raises(UserError, match=f"{tmp_path}/{file}: must be a file"):
        check_run_dir(tiny.config(), tmp_path)


@pytest.mark.parametrize("place", [".", CHECKPOINT_DIR, METRICS_FILE])
def test_what_may_not_be_written_is_noticed_before_training(tmp_path, monkeypatch, place):
    (tmp_path / CHECKPOINT_DIR).mkdir()
    (tmp_path / METRICS_FILE).touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / place)  # root may write anywhere
    with pytest.raises(UserError, match=f"{tmp_path / place}: cannot be read and written"):
        check_run_dir(tiny.config(), tmp_path)


def test_nothing_is_written_before_training(tmp_path):
    Trainer(tiny.config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_calls_end_where_something_is_due(tmp_path):
    """Several updates run in one call, yet no cadence is missed, and the last step is saved."""
    train(tmp_path, steps=7, checkpoint_every=5, log_every=4, updates_per_call=6)  # three steps of two updates
    assert [row["step"] for row in rows(tmp_path)] == [4, 7]
    assert checkpoints(tmp_path) == ["step-5", "step-7"]


def test_an_evaluator_is_called_when_due(tmp_path):
    seen = []

    def evaluator(generator):
        seen.append(generator)
        return {"realised": 0.5}

    with pytest.raises(UserError, match="--evaluate_every=2: needs an evaluator"):
        Trainer(tiny.config(evaluate_every=2), tmp_path)
    trainer = Trainer(tiny.config(evaluate_every=2), tmp_path, evaluator=evaluator)
    trainer.train()
    assert seen == [trainer.learner.editing_generator] * 2
    lines = (tmp_path / "evaluations.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"step": step, "realised": 0.5} for step in (2, 4)]


def test_any_keras_optimizer_and_normalization_train_and_resume(tmp_path):
    def trained(steps, run_dir):
        trainer = Trainer(
            tiny.config(steps=steps),
            run_dir,
            generator_optimizer=keras.optimizers.Lion(1e-3),
            discriminator_optimizer=keras.optimizers.RMSprop(1e-3),
            discriminator_normalization=keras.layers.GroupNormalization(2),
        )
        trainer.train()
        return trainer

    whole = trained(4, tmp_path / "whole")
    trained(2, tmp_path / "parts")
    parts = trained(4, tmp_path / "parts")
    assert isinstance(parts.learner.generator_step.optimizer, keras.optimizers.Lion)
    normalizations = parts.learner.discriminator.half.normalizations
    assert {type(layer) for layer in normalizations} == {keras.layers.GroupNormalization}
    assert any(np.abs(layer.beta.numpy()).max() > 0 for layer in normalizations)
    for one, other in zip(whole.learner.generator_step.state, parts.learner.generator_step.state, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-3, atol=1e-5)
