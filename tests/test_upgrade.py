"""Runs of older versions load, edit, train on, are evaluated and exported as they were by the version that made them.

`fixtures/runs_2240e55` holds runs of commit 2240e55, edits by its Editor, and metrics of its resumed training.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from image_files import decoded, encoded

from elegant_tf.config import Config, read_removed
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation import evaluate as evaluation
from elegant_tf.evaluation.metrics.scores import Scores
from elegant_tf.export.savedmodel import export_savedmodel
from elegant_tf.rundir import read_config, removed_options
from elegant_tf.synthetic import make_face
from elegant_tf.training.summary import METRICS_FILE
from elegant_tf.training.trainer import Trainer
from elegant_tf.upgrade import REMOVED, RENAMED

pytestmark = pytest.mark.usefixtures("quick_training")

RUNS = Path(__file__).parent / "fixtures" / "runs_2240e55"
NAMES = ["Eyeglasses", "Smiling"]


def faces() -> list[np.ndarray]:
    return [make_face(7, index).draw(32) for index in range(2)]


def assert_edits_as_before(found: np.ndarray, run: str, allowed: int) -> None:
    with np.load(RUNS / "edits.npz") as edits:
        assert np.abs(found.astype(int) - edits[run]).max() <= allowed


@pytest.fixture(params=["official", "modern"])
def name(request) -> str:
    return request.param


def test_every_old_option_is_kept_renamed_or_removed(name):
    config = read_config(RUNS / name)
    for old, value in json.loads((RUNS / name / "config.json").read_text()).items():
        if old not in REMOVED:
            found = config.flags()[RENAMED.get(old, old)]
            expected = "round_robin" if (old, value) == ("attribute_schedule", "cycle") else value
            assert (list(found) if isinstance(found, tuple) else found) == expected


def test_removed_options_are_reported_if_they_had_an_effect():
    assert removed_options(RUNS / "official") == {}
    assert set(removed_options(RUNS / "modern")) == {"exemplar_shift=3", "restoration_noise=0.05"}
    found = read_removed('{"truth_weight": 2.0, "truth_updates": 3, "restoration_noise": 0.05}')
    assert set(found) == {"truth_weight=2.0", "truth_updates=3"}
    assert "recipes/counterfactual_targets.py" in found["truth_weight=2.0"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": 2, "model": {}}, "version 2 of the configuration is newer than this program's, 1"),
        ({"width": 8, "widht": 8}, "unknown configuration fields: widht"),
        ({"style_cycle_wieght": 1.0}, "unknown configuration fields: style_cycle_wieght"),
    ],
)
def test_newer_versions_and_unknown_options_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        Config.from_json(json.dumps(values))


def test_they_edit_as_before(name):
    assert_edits_as_before(Editor.load(RUNS / name).swap(*faces(), NAMES, 2.0), name, 0)


def test_a_packed_run_edits_as_before():
    assert_edits_as_before(Editor.load(RUNS / "packed").swap(*faces(), NAMES, 2.0), "modern", 1)


def test_the_shipped_model_loads():
    assert read_config("faces").model.attributes == Editor.load("faces").attributes


def resumed(name: str, tmp_path: Path) -> list[dict[str, float]]:
    """The metrics of two further steps."""
    run = shutil.copytree(RUNS / name, tmp_path / name)
    Trainer(read_config(run).replace(steps=4), run).train()
    assert Editor.load(run).step == 4
    return [json.loads(line) for line in (run / METRICS_FILE).read_text().splitlines()]


def test_training_resumes_with_the_optimizers_state(tmp_path):
    before = [json.loads(line) for line in (RUNS / "official_continued.jsonl").read_text().splitlines()]
    for found, expected in zip(resumed("official", tmp_path), before, strict=True):
        losses = set(expected) - {"seconds", "images_per_second"}
        assert {key: found[key] for key in losses} == pytest.approx({key: expected[key] for key in losses}, rel=1e-4)


def test_training_resumes_without_removed_options(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "absl"):
        rows = resumed("modern", tmp_path)
    assert [row["step"] for row in rows] == [3, 4]
    assert np.isfinite([value for row in rows for value in row.values()]).all()
    for option in ("--exemplar_shift=3", "--restoration_noise=0.05"):
        assert f"this run was trained with {option}, an option that is gone" in caplog.text


def test_they_are_exported(name, tmp_path):
    model = tf.saved_model.load(str(export_savedmodel(RUNS / name, tmp_path)))
    image, exemplar = (tf.constant([encoded(face)]) for face in faces())
    found = model.signatures["serving_default"](image=image, exemplar=exemplar, weights=tf.constant([[2.0, 2.0]]))
    assert_edits_as_before(decoded(found["edited_bytes"].numpy()[0]), name, 1)


def test_they_are_evaluated(name, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "LEAST_HELD_OUT", 64)
    monkeypatch.setattr(evaluation, "METRICS", [Scores])
    report = evaluation.evaluate(RUNS / name, count=2, out=tmp_path, distance_count=60)
    assert (report.step, {score.attribute for score in report.scores}) == (2, set(NAMES))
    assert np.isfinite(report.mean.realised)
