"""The recipes run as scripts, and every command takes what they write."""

from __future__ import annotations

import runpy
import sys

import commands
import numpy as np
import pytest

from elegant_tf.catalogue import read_catalogue
from elegant_tf.data.landmarks import COLUMNS
from elegant_tf.editor import Editor
from elegant_tf.images import read_image, write_image
from elegant_tf.presets import preset
from elegant_tf.rundir import check_start, read_model
from elegant_tf.synthetic import make_face
from elegant_tf.synthetic.dressing import WEARABLE


@pytest.fixture
def recipe(quick_training, monkeypatch):
    """Runs a recipe as a script in this process, eagerly."""
    monkeypatch.syspath_prepend(commands.ROOT / "recipes")

    def run(name, *words):
        path = str(commands.ROOT / "recipes" / name)
        monkeypatch.setattr(sys, "argv", [path, *words])
        runpy.run_path(path, run_name="__main__")

    return run


@pytest.mark.slow
def test_counterfactual_targets(recipe, tmp_path):
    run_dir = tmp_path / "targets"
    small = ["--minutes=0.001", "--count=40", "--people=48", "--width=4", "--batch_size=4"]
    done = commands.run(["recipes/counterfactual_targets.py", f"--run_dir={run_dir}", *small])  # in a graph
    assert done.returncode == 0, done.stderr
    assert "checkpoints/step-" in done.stdout
    step = Editor.load(run_dir).step
    trained = float((run_dir / "minutes.txt").read_text())
    small[0] = f"--minutes={trained + 0.001}"  # as if it had been interrupted; the first call may take any time
    recipe("counterfactual_targets.py", f"--run_dir={run_dir}", *small)
    face, exemplar = make_face(0, 0).draw(64), make_face(0, 1).draw(64)
    editor = Editor.load(run_dir)
    assert editor.step > step >= 20
    assert np.abs(editor.swap(face, exemplar, ["Smiling"]).astype(int) - face).max() > 0
    check_start(preset("modern", width=4, start_from=str(run_dir)))


@pytest.mark.slow
def test_portraits(recipe, tmp_path, capsys):
    """On drawn people without accessories, as photographs."""
    people = [make_face(0, index).with_styles(dict.fromkeys(WEARABLE)) for index in range(4)]
    rows = [[f"{index}.png", *person.landmarks(96).ravel().round(1)] for index, person in enumerate(people)]
    for person, (name, *_) in zip(people, rows, strict=True):
        write_image(tmp_path / "photos" / name, person.draw(96))
    table = [["file", *COLUMNS], *rows]
    (tmp_path / "points.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in table))
    run_dir = tmp_path / "portraits"
    small = ["--minutes=0.001", "--count=20", "--image_size=32", "--width=4", "--batch_size=4"]
    places = [f"--photos={tmp_path / 'photos'}", f"--landmarks={tmp_path / 'points.csv'}", f"--run_dir={run_dir}"]
    recipe("portraits.py", *places, *small)
    assert "4 photographs; 0 are left out" in capsys.readouterr().out
    words = [f"--run={run_dir}", *places[:2], "--count=2", f"--out={run_dir / 'exemplars.npz'}"]
    done = commands.run(["recipes/portraits_catalogue.py", *words])
    assert done.returncode == 0, done.stderr
    assert len(read_catalogue(run_dir / "exemplars.npz").having("Mustache")) == 6
    photo = read_image(tmp_path / "photos" / "0.png")
    assert Editor.load(run_dir).swap(photo, photo, ["Eyeglasses"]).shape == (32, 32, 3)


@pytest.mark.slow
def test_a_student_learns_the_edits_of_its_teacher(recipe, tiny_run, tmp_path):
    run_dir = tmp_path / "student"
    small = ["--minutes=0.001", "--count=70", "--width=8", "--batch_size=4", f"--run_dir={run_dir}"]
    recipe("distill.py", f"--teacher={tiny_run}", *small)
    model, teacher = read_model(run_dir), read_model(tiny_run)
    assert (model.width, model.attributes, model.depth) == (8, teacher.attributes, teacher.depth)
    assert Editor.load(run_dir).step >= 20
