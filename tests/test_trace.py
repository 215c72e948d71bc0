"""Traces of some steps, for TensorBoard's profiler."""

from __future__ import annotations

import pytest
import tensorflow as tf
import tiny

from elegant_tf.config import RunConfig
from elegant_tf.errors import UserError
from elegant_tf.training.trace import Trace
from elegant_tf.training.trainer import Trainer


@tf.function
def a_function_to_trace(x):
    return tf.matmul(x, x)


def test_a_trace_is_there_for_tensorboard_and_names_functions(tmp_path):
    trace = Trace((2, 3), tmp_path)
    for step in range(5):
        trace.at(step)
        assert bool(list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))) == (step >= 3)
        a_function_to_trace(tf.ones([4, 4]))
    trace.close()
    (written,) = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    assert b"a_function_to_trace" in written.read_bytes()


def test_without_steps_there_is_no_trace(tmp_path):
    trace = Trace(None, tmp_path)
    trace.at(0)
    trace.close()
    assert not list(tmp_path.iterdir())


def test_two_traces_at_once_are_refused(tmp_path):
    first, second = Trace((1, 1), tmp_path / "first"), Trace((1, 1), tmp_path / "second")
    first.at(0)
    with pytest.raises(UserError, match=r"second: cannot be written: .*rofile"):
        second.at(0)
    first.close()
    assert list((tmp_path / "first").iterdir())


@pytest.mark.usefixtures("quick_training")
def test_calls_end_where_a_trace_begins_and_ends(monkeypatch, tmp_path):
    trainer = Trainer(tiny.config(steps=4, checkpoint_every=4, log_every=4, profile="2,3"), tmp_path)
    steps = []
    monkeypatch.setattr(
        "elegant_tf.training.trace.tf.profiler.experimental.start", lambda _: steps.append(trainer.step)
    )
    monkeypatch.setattr("elegant_tf.training.trace.tf.profiler.experimental.stop", lambda: steps.append(trainer.step))
    trainer.train()
    assert steps == [1, 3]


@pytest.mark.parametrize(
    ("profile", "right"),
    [
        ("5", "two steps with a comma between them"),
        ("1,2,3", "two steps with a comma"),
        ("a,b", "two steps with a comma"),
        ("0,1", "from 1 to 10"),
        ("3,2", "the first one first"),
        ("9,11", r"from 1 to 10 \(--steps\)"),
    ],
)
def test_wrong_steps_are_refused(profile, right):
    with pytest.raises(UserError, match=f"--profile={profile}: must be .*{right}"):
        RunConfig(steps=10, profile=profile)
