"""`elegant-tf evaluate`, `faces` and `train-classifier`, called as a user would."""

from __future__ import annotations

import json

import pytest

from elegant_tf.cli.main import main
from elegant_tf.config import Config
from elegant_tf.evaluation import evaluate
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.metrics.groups import Groups
from elegant_tf.evaluation.metrics.scores import Scores
from elegant_tf.rundir import write_config
from elegant_tf.synthetic import write_celeba

FEW = ["--steps", "2", "--batch_size", "4"]


def test_faces_and_evaluate(tiny_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "LEAST_HELD_OUT", 64)
    monkeypatch.setattr(evaluate, "METRICS", [Scores, Groups])
    out = str(tmp_path / "faces")
    assert main(["faces", "--out", out, "--count", "3", "--image_size", "32", "--counterfactuals", "10"]) == 0
    assert main(["faces", "--out", out]) == 2
    assert "exists already" in capsys.readouterr().err
    report = tmp_path / "report"
    words = ["evaluate", "--run", str(tiny_run), "--data_dir", out, "--out", str(report), "--count", "4"]
    assert main([*words, "--by", "Young, Pale_Skin"]) == 0
    printed = capsys.readouterr().out
    assert "mean" in printed
    assert str(report / "scorecard.png") in printed
    values = json.loads((report / "scorecard.json").read_text())
    assert (values["settings"]["count"], values["settings"]["by"]) == (4, ["Young", "Pale_Skin"])
    assert {group["column"] for group in values["groups"]} == {"all", "Young", "Pale_Skin"}
    assert "By group" in printed
    assert main([*words, "--by", "Male"]) == 2
    assert "--by: unknown column 'Male'" in capsys.readouterr().err
    assert main(["evaluate", "--run", str(tiny_run), "--data_dir", str(tmp_path)]) == 2


def test_a_classifier_of_images_in_a_folder(tmp_path, capsys):
    write_celeba(tmp_path / "faces", 80, 32, 0, counterfactuals=0)
    out = tmp_path / "new" / "classifier"
    data = ["--data", "celeba", "--data_dir", str(tmp_path / "faces"), "--attributes", "Smiling, Bangs"]
    words = ["train-classifier", *data, "--image_size", "32", "--seed", "3", "--out", str(out), *FEW]
    assert main(words) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines] == ["attribute", "Smiling", "Bangs", "mean", str(out)]
    assert len({len(line) for line in lines[:-1]}) == 1
    assert "2/2 steps" in printed.err
    classifier = AttributeClassifier.load(out)
    assert (classifier.attributes, classifier.image_size) == (("Smiling", "Bangs"), 32)
    settings = json.loads((out / "classifier.json").read_text())["settings"]
    assert (settings["data"], settings["seed"], settings["steps"]) == ("celeba", 3, 2)
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_classifier_for_a_run(tmp_path, capsys):
    write_config(Config.of(attributes=("Eyeglasses", "Bangs"), image_size=32, faces_count=64, seed=2), tmp_path)
    out = tmp_path / "classifier"
    assert main(["train-classifier", "--run", str(tmp_path), "--out", str(out), *FEW]) == 0
    assert capsys.readouterr().out.endswith(f"{out}\n")
    classifier = AttributeClassifier.load(out)
    assert (classifier.attributes, classifier.image_size) == (("Eyeglasses", "Bangs"), 32)
    assert (classifier.settings["seed"], classifier.settings["images"]) == (2, 64)
    assert {accuracy.count for accuracy in classifier.accuracies.values()} == {16}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--data", "faces", "--attributes", "Bangz"], "did you mean Bangs?"),
        (["--data", "faces", "--attributes", ","], "--attributes="),
        (["--data", "faces", "--image_size", "30"], "--image_size=30"),
        (["--data", "faces", "--seed", "-1"], "--seed=-1"),
        (["--data", "faces", "--steps", "0"], "--steps=0"),
        (["--data", "faces", "--batch_size", "0"], "--batch_size=0"),
        (["--data", "celeba"], "--data_dir="),
        (["--data", "celeba", "--data_dir", "nowhere"], "nowhere"),
        (["--run", "nowhere"], "nowhere is not a run directory"),
    ],
)
def test_mistakes_are_named(tmp_path, capsys, options, expected):
    assert main(["train-classifier", *options, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [[], ["--data", "faces", "--run", "runs/mine"]])
def test_either_data_or_a_run(tmp_path, options):
    with pytest.raises(SystemExit, match="2"):
        main(["train-classifier", *options, "--out", str(tmp_path / "out")])


def test_a_place_for_the_classifier_is_tried_before_the_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("elegant_tf.evaluation.classifier_training.train_classifier", pytest.fail)
    (tmp_path / "file").touch()
    assert main(["train-classifier", "--data", "faces", "--out", str(tmp_path / "file" / "out"), *FEW]) == 2
    assert "file/out: cannot be written in" in capsys.readouterr().err


def test_data_that_moved_are_named_on_the_command_line(tiny_run, tmp_path, capsys):
    write_celeba(tmp_path / "faces", 40, 32, 0, counterfactuals=12)
    moved = ["evaluate", "--run", str(tiny_run), "--data", "celeba", "--data_dir", str(tmp_path / "faces")]
    assert main([*moved, "--out", str(tmp_path / "out"), "--count", "2"]) == 0
    assert json.loads((tmp_path / "out" / "scorecard.json").read_text())["settings"]["data"] == "celeba"
    assert main([*moved, "--out", str(tmp_path / "faces" / "list_attr_celeba.txt")]) == 2
    assert "list_attr_celeba.txt: cannot be written: Not a directory" in capsys.readouterr().err
