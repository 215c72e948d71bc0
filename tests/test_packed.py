"""Packed runs edit as the runs that they are of, and so does the model that comes with the package."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from elegant_tf.cli import main
from elegant_tf.config import Config, find_run
from elegant_tf.data.faces import make_face
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation.report import evaluate
from elegant_tf.training.packed import is_packed
from elegant_tf.training.trainer import Trainer


@pytest.fixture(scope="module")
def packed(tiny_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "small"
    assert main(["pack", "--run", str(tiny_run), "--out", str(out)]) == 0
    return out


def test_a_packed_run_edits_as_the_run(tiny_run, packed):
    image, exemplar = make_face(0, 0).draw(32), make_face(0, 1).draw(32)
    whole, small = (Editor.load(run) for run in (tiny_run, packed))
    assert small.step == whole.step == 4
    edited = [editor.swap(image, exemplar, ["Bangs"], 2.0).astype(int) for editor in (whole, small)]
    assert (edited[0] != image).any()
    assert abs(edited[0] - edited[1]).max() <= 1  # weights were rounded to 16 bits
    assert {path.name for path in packed.iterdir()} == {"config.json", "generator.npz"}


def test_a_run_packed_to_mirror_its_edits(packed, mirroring_run, tmp_path):
    out = tmp_path / "mirroring"
    assert main(["pack", "--run", str(packed), "--out", str(out), "--mirror_edits"]) == 0
    assert dataclasses.replace(Config.load(packed), mirror_edits=True) == Config.load(out)
    pictures = [make_face(3, index).draw(32) for index in range(2)]
    edited, wanted = (Editor.load(run).swap(*pictures, ["Bangs"]).astype(int) for run in (out, mirroring_run))
    assert np.abs(edited - wanted).max() <= 1
    assert (edited != Editor.load(packed).swap(*pictures, ["Bangs"])).any()


def test_what_cannot_be_done_with_it_is_told(packed, tmp_path):
    with pytest.raises(UserError, match="packed run of step 4"):
        Editor.load(packed, step=2)
    with pytest.raises(UserError, match="cannot be trained on"):
        Trainer(Config.load(packed), packed)
    assert main(["pack", "--run", str(packed), "--out", str(packed)]) == 2
    damaged = tmp_path / "damaged"
    shutil.copytree(packed, damaged)
    (damaged / "generator.npz").write_bytes((packed / "generator.npz").read_bytes()[:-200])
    with pytest.raises(UserError, match="is damaged or does not fit"):
        Editor.load(damaged)


def test_the_package_has_a_model_of_faces():
    assert is_packed("faces")
    assert sum(path.stat().st_size for path in find_run("faces").rglob("*")) < 8e6
    editor = Editor.load("faces")
    face = make_face(5, 3).draw(64)
    assert np.abs(editor.swap(face, face, ["Eyeglasses"], 0.0).astype(int) - face).mean() < 3


def test_a_run_of_that_name_comes_first(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(packed, "faces")
    assert Editor.load("faces").step == 4
    assert not is_packed("nothing")


@pytest.mark.slow
def test_the_model_of_faces_is_as_good_as_its_card_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = evaluate("faces")
    assert report.json_path.parent.name == "scorecard-faces"
    assert report.mean.realised == pytest.approx(0.780, abs=0.01)
    assert min(score.realised for score in report.scores) >= 0.6
    assert report.mean.leak == pytest.approx(0.093, abs=0.02)
    assert report.measurements.rank_one == pytest.approx(0.931, abs=0.03)
    assert report.measurements.reconstruction.psnr == pytest.approx(59.0, abs=1.0)
    assert report.measurements.leakage.off_diagonal < 0.01
