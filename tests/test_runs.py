"""Runs whose directory holds less than training needs: packed ones, and those that describe the model alone."""

from __future__ import annotations

import functools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from image_files import assert_close, decoded, encoded

from elegant_tf.catalogue import read_catalogue
from elegant_tf.cli.main import main
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation.evaluate import evaluate
from elegant_tf.evaluation.metrics.scores import Scores
from elegant_tf.evaluation.metrics.style_fidelity import StyleFidelity
from elegant_tf.export.examples import drawn_examples
from elegant_tf.export.savedmodel import export_savedmodel
from elegant_tf.export.tflite import export_tflite
from elegant_tf.files import write_json
from elegant_tf.rundir import CONFIG_FILE, config_groups, find_run, is_packed, read_config, read_model
from elegant_tf.runs import pack
from elegant_tf.synthetic import make_face
from elegant_tf.training.trainer import Trainer

FACES = [make_face(3, index).draw(32) for index in range(2)]


@pytest.fixture(scope="module")
def packed(tiny_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "small"
    assert main(["pack", "--run", str(tiny_run), "--out", str(out)]) == 0
    return out


def test_a_packed_run_edits_as_the_run(tiny_editor, packed):
    editor = Editor.load(packed)
    assert editor.step == tiny_editor.step == 4
    edited = tiny_editor.swap(*FACES, ["Bangs"], 2.0)
    assert (edited != FACES[0]).any()
    assert_close(editor.swap(*FACES, ["Bangs"], 2.0), edited)  # weights were rounded to 16 bits
    assert {path.name for path in packed.iterdir()} == {"config.json", "generator.npz"}


def test_a_run_packed_with_flip_tta(packed, flipping_run, tmp_path):
    out = tmp_path / "flipping"
    assert main(["pack", "--run", str(packed), "--out", str(out), "--flip_tta"]) == 0
    assert read_config(packed).replace(flip_tta=True) == read_config(out)
    edited, wanted, plain = (Editor.load(run).swap(*FACES, ["Bangs"]) for run in (out, flipping_run, packed))
    assert_close(edited, wanted)
    assert (edited != plain).any()


def test_a_packed_run_names_no_paths(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    groups = config_groups(run)
    groups["data"] |= {"kind": "folder", "data_dir": "/home/me/faces", "labels_file": "/home/me/faces.csv"}
    groups["run"] |= {"start_from": "/home/me/start"}
    write_json(run / CONFIG_FILE, {"version": 1, **groups})
    pack(run, tmp_path / "packed")
    assert "/home/me" not in (tmp_path / "packed" / CONFIG_FILE).read_text()
    assert read_config(tmp_path / "packed").data.kind == "folder"


def test_what_a_packed_run_cannot_do_is_refused(packed, tmp_path):
    with pytest.raises(UserError, match="packed run of step 4"):
        Editor.load(packed, step=2)
    with pytest.raises(UserError, match="cannot be trained on"):
        Trainer(read_config(packed), packed)
    assert main(["pack", "--run", str(packed), "--out", str(packed)]) == 2
    damaged = shutil.copytree(packed, tmp_path / "damaged")
    (damaged / "generator.npz").write_bytes((packed / "generator.npz").read_bytes()[:-200])
    with pytest.raises(UserError, match="is damaged or does not fit"):
        Editor.load(damaged)


@pytest.fixture(params=["run", "packed run"])
def model_only(request, tiny_run, packed, tmp_path):
    """A run whose configuration is the model group alone."""
    run = shutil.copytree(tiny_run if request.param == "run" else packed, tmp_path / "model only")
    write_json(run / CONFIG_FILE, {"version": 1, "model": config_groups(tiny_run)["model"]})
    return run


def test_the_model_group_alone_is_enough_to_edit_and_export(model_only, tiny_editor, tmp_path):
    expected = tiny_editor.swap(*FACES, ["Bangs"])
    assert_close(Editor.load(model_only).swap(*FACES, ["Bangs"]), expected)
    path = export_savedmodel(model_only, tmp_path / "models")
    image, exemplar = (tf.constant([encoded(face)]) for face in FACES)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    found = serve(image=image, exemplar=exemplar, weights=tf.constant([[0.0, 1.0, 0.0]]))["edited_bytes"].numpy()[0]
    assert_close(decoded(found), expected)
    assert set(json.loads((path / "assets" / "metadata.json").read_text())["config"]) == {"model"}
    pack(model_only, tmp_path / "again")
    assert_close(Editor.load(tmp_path / "again").swap(*FACES, ["Bangs"]), expected)


def test_the_model_group_alone_is_enough_for_tflite(model_only, tmp_path):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    few = functools.partial(drawn_examples, len(read_model(model_only).attributes), 32, pairs=2)
    row, _ = export_tflite(model_only, tmp_path / "phone", ["float32"], load_examples=few)
    assert row.max_difference <= 1
    assert litert.Interpreter(str(tmp_path / "phone" / "elegant_float32.tflite")).get_signature_list()


def test_the_package_has_a_model_of_faces():
    assert is_packed("faces")
    assert sum(path.stat().st_size for path in find_run("faces").rglob("*")) < 8e6
    face = make_face(5, 3).draw(64)
    assert np.abs(Editor.load("faces").swap(face, face, ["Eyeglasses"], 0.0).astype(int) - face).mean() < 3


def test_the_package_has_a_model_of_photographs():
    """On a drawn person, whose frame is that of the photographs. What it reaches on these stands in its card."""
    assert is_packed("portraits")
    assert read_config("portraits").data.kind == "celeba"  # neither evaluated nor calibrated on drawn faces
    assert sum(path.stat().st_size for path in find_run("portraits").rglob("*")) < 8e6
    editor, catalogue = Editor.load("portraits"), read_catalogue(find_run("portraits") / "exemplars.npz")
    assert len(catalogue.exemplars) == 24
    assert catalogue.model == editor.model
    image = make_face(0, 1).with_styles(dict.fromkeys(editor.attributes)).draw(128)
    places = {"Wearing_Hat": (0, 35), "Eyeglasses": (45, 72), "Mustache": (78, 94)}  # rows: brow, eyes, lip
    for exemplar in catalogue.exemplars:
        (attribute,) = exemplar.attributes
        change = np.abs(editor.swap(image, exemplar, [attribute]).astype(int) - image).mean(2)
        rows, _ = np.unravel_index(np.argsort(change.ravel())[-200:], change.shape)
        assert places[attribute][0] <= rows.mean() <= places[attribute][1], exemplar.name
        assert change.max() > 20, exemplar.name


def test_a_run_of_that_name_comes_first(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(packed, "faces")
    assert Editor.load("faces").step == 4
    assert not is_packed("nothing")


@pytest.mark.slow
def test_the_model_of_faces_is_as_good_as_its_card_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("elegant_tf.evaluation.evaluate.METRICS", [Scores, StyleFidelity])
    monkeypatch.setattr("elegant_tf.evaluation.evaluate.LEAST_HELD_OUT", 64)  # they are for other metrics
    monkeypatch.setattr("elegant_tf.evaluation.evaluate.HELD_OUT_PER_EDIT", 0)
    report = evaluate("faces", count=16)  # a quarter of the card's
    assert report.json_path.parent.name == "scorecard-faces"
    assert report.mean.realised == pytest.approx(0.780, abs=0.01)
    assert min(score.realised for score in report.scores) >= 0.58
    assert report.mean.leak == pytest.approx(0.093, abs=0.02)
    numbers = json.loads(report.json_path.read_text())
    assert numbers["rank_one"] == pytest.approx(0.931, abs=0.03)
