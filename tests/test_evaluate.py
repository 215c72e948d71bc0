"""A run's evaluation: what is measured, and the report that it writes."""

from __future__ import annotations

import html
import json
import os
import shutil
from dataclasses import dataclass

import disk
import numpy as np
import pytest
import tiny

from elegant_tf.errors import UserError
from elegant_tf.evaluation import evaluate as module
from elegant_tf.evaluation.edits import DIRECTIONS, edit_all
from elegant_tf.evaluation.evaluate import evaluate
from elegant_tf.evaluation.metrics.combinations import Combinations
from elegant_tf.evaluation.metrics.distribution import Distances
from elegant_tf.evaluation.metrics.groups import Groups
from elegant_tf.evaluation.metrics.interpolation import Interpolation
from elegant_tf.evaluation.metrics.leakage import Leakage
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.metrics.reconstruction import Reconstruction
from elegant_tf.evaluation.metrics.robustness import Robustness
from elegant_tf.evaluation.metrics.scores import Scores
from elegant_tf.evaluation.metrics.style_fidelity import StyleFidelity
from elegant_tf.evaluation.monitor import Monitor
from elegant_tf.evaluation.report.curves import read_curves
from elegant_tf.evaluation.report.tables import Table
from elegant_tf.images import read_image
from elegant_tf.rundir import read_config, write_config
from elegant_tf.runs import load_generator, pack
from elegant_tf.synthetic import write_celeba
from elegant_tf.training.trainer import Trainer

NAMES = ("Eyeglasses", "Bangs", "Smiling")
JUDGE = "the classifier's features"


@pytest.fixture(scope="module", autouse=True)
def few_faces():
    """Drawing faces and disturbing them takes most of the time of an evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST_HELD_OUT", 300)
        patch.setattr(module, "METRICS", [metric for metric in module.METRICS if metric is not Robustness])
        yield


@pytest.fixture
def hardly_any(monkeypatch):
    """For metrics of the edits alone."""
    monkeypatch.setattr(module, "LEAST_HELD_OUT", 16)
    monkeypatch.setattr(module, "HELD_OUT_PER_EDIT", 0)


@pytest.fixture(scope="module")
def report(tiny_run, tmp_path_factory):
    return evaluate(tiny_run, count=2, out=tmp_path_factory.mktemp("out"), distance_count=60)


def saved(report) -> dict:
    return json.loads(report.json_path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_the_report_has_tables_numbers_and_images(report):
    assert [(s.attribute, s.direction, s.count) for s in report.scores] == [
        (name, direction, 2) for name in NAMES for direction in DIRECTIONS
    ]
    values = saved(report)
    assert values["step"] == report.step == 4
    assert values["settings"]["image_size"] == 32
    assert values["settings"]["evaluated_on"] == "faces"
    assert values["settings"]["distance_count"] == 60
    assert [row["realised"] for row in values["rows"]] == [score.realised for score in report.scores]
    assert values["mean"]["leak"] == pytest.approx(np.mean([row["leak"] for row in values["rows"]]))
    assert len(values["fidelity"]) == 6
    assert values["rank_one"] == pytest.approx(np.mean([row["rank_one"] for row in values["fidelity"]]))
    assert [row["size"] for row in values["combinations"]] == [2, 3]
    assert values["reconstruction"]["psnr"] > 5
    assert values["interpolation"]["count"] > 0
    assert np.shape(values["leakage"]["against_target"]) == (3, 3)
    assert [row["count"] for row in values["generation"]] == [2] * 6
    assert values["generation_mean"]["target_accuracy"] > 0.6
    assert values["groups"] is None
    assert values["identity"][JUDGE]["wanted"] > 0
    assert [row["count"] for row in values["distances"][JUDGE]] == [60] * 12
    assert read_image(report.image_path).shape[2] == 3
    assert sorted(path.suffix for path in report.json_path.parent.iterdir()) == [".html", ".json", ".md", ".png"]
    assert len(report.tables[0].as_text().splitlines()) == 11
    assert str(report.image_path) in str(report)
    page, markdown = (path.read_text(encoding="utf-8") for path in (report.html_path, report.markdown_path))
    for table in report.tables:
        assert f"<h2>{html.escape(table.title)}</h2>" in page
        assert f"## {table.title}" in markdown
    assert page.count("data:image/png;base64,") == 4


def test_a_metric_is_one_entry_in_one_list(tiny_run, tmp_path, monkeypatch):
    @dataclass(frozen=True)
    class Brightness(Metric):
        brightness: float

        @classmethod
        def measure(cls, context):
            return cls(float(context.edited.mean()))

        def tables(self):
            return [Table("Brightness", "", ("mean",), [(f"{self.brightness:.1f}",)], words=0)]

    monkeypatch.setattr(module, "METRICS", [Scores, Brightness])
    report = evaluate(tiny_run, count=1, out=tmp_path)
    assert saved(report)["brightness"] == report.result(Brightness).brightness > 0
    assert "Brightness" in str(report)
    assert "<h2>Brightness</h2>" in report.html_path.read_text(encoding="utf-8")


def test_evaluate_on_a_written_folder(tiny_run, tmp_path, monkeypatch, hardly_any):
    monkeypatch.setattr(module, "METRICS", [Scores])
    write_celeba(tmp_path / "faces", count=4, image_size=48, seed=5, counterfactuals=20)
    report = evaluate(tiny_run, data_dir=tmp_path / "faces", out=tmp_path / "out")
    assert [(score.count, score.direction) for score in report.scores] == [(2, "add"), (2, "remove")] * 3


@pytest.mark.skipif("DLIB_MODELS" not in os.environ, reason="DLIB_MODELS names no folder with dlib's models")
def test_dlib_judges_identity_too(tiny_run, tmp_path):
    pytest.importorskip("dlib", reason="dlib is not installed")
    report = evaluate(tiny_run, count=2, out=tmp_path, face_models=os.environ["DLIB_MODELS"])
    assert set(saved(report)["identity"]) == {"dlib", JUDGE}
    assert "| dlib |" in report.markdown_path.read_text(encoding="utf-8")


def test_the_evaluation_set_does_not_depend_on_the_runs_seed(report, tiny_run, tmp_path, monkeypatch):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    write_config(read_config(tiny_run).replace(seed=7), run)
    (run / "scorecard.json").write_text("of an earlier evaluation, to be replaced")
    other = evaluate(run, count=2, distance_count=60)
    assert other.json_path == run / "scorecard.json"
    values = [saved(report), saved(other)]
    assert [(part.pop("seed"), part.pop("evaluation_seed")) for part in (file["settings"] for file in values)] == [
        (0, 0),
        (7, 0),
    ]
    assert values[0] == values[1]
    monkeypatch.setattr(module, "METRICS", [Scores, StyleFidelity, Combinations, Distances])
    another = evaluate(tiny_run, count=2, out=tmp_path / "another", distance_count=60, seed=1)
    assert saved(another)["settings"]["evaluation_seed"] == 1
    assert [score.realised for score in another.scores] != [score.realised for score in report.scores]
    for metric in (StyleFidelity, Combinations, Distances):
        assert another.result(metric) != report.result(metric)


def test_a_perfect_edit_is_valid_json(tiny_run, tmp_path, monkeypatch, hardly_any):
    monkeypatch.setattr(module, "METRICS", [Scores])
    monkeypatch.setattr(module, "edit_all", lambda editor, edits: edits.targets)
    report = evaluate(tiny_run, count=1, out=tmp_path)
    assert report.mean.realised == 1.0
    assert saved(report)["mean"]["psnr"] is None


@pytest.fixture(scope="module")
def photos_run(quick_training, tmp_path_factory):
    """A run on images without counterfactual targets, monitored in training."""
    folder = tmp_path_factory.mktemp("photos")
    write_celeba(folder / "data", count=300, image_size=32, seed=6, counterfactuals=0)
    shutil.rmtree(folder / "data" / "counterfactuals")
    config = tiny.config(data="celeba", data_dir=str(folder / "data"), evaluate_every=2)
    Trainer(config, folder / "run", evaluator=Monitor(config)).train()
    return folder / "run"


def test_metrics_that_need_no_targets_are_measured_without(photos_run):
    report = evaluate(photos_run, count=3, by=["Young"])
    assert not report.scores
    assert report.mean is None
    assert {type(result) for result in report.results} == {Reconstruction, Interpolation, Groups}
    assert report.result(Leakage) is None
    values = saved(report)
    assert values["mean"] is values["leakage"] is None
    assert [(group["column"], group["value"]) for group in values["groups"]] == [
        ("all", ""),
        ("Young", "no"),
        ("Young", "yes"),
    ]
    assert sum(group["count"] for group in values["groups"][1:]) == values["groups"][0]["count"] == 18
    assert [row["step"] for row in values["curves"]] == [2, 4]
    assert {"moved", "reconstruction_psnr"} < set(values["curves"][0])
    assert "<polyline" in report.html_path.read_text(encoding="utf-8")


def test_the_monitor_scores_drawn_faces(tiny_run):
    numbers = Monitor(read_config(tiny_run))(load_generator(tiny_run)[0])
    assert set(numbers) == {"realised", "leak", "reconstruction_psnr"}
    assert all(np.isfinite(value) for value in numbers.values())


@pytest.mark.parametrize(
    ("cut", "expected"),
    [("last", None), ("first", "line 1: is not JSON .*: remove this line"), ("numbers", "line 2: is not a row of")],
)
def test_a_cut_line_of_earlier_measurements(tmp_path, cut, expected):
    whole = ['{"step": 2, "moved": 0.5}', '{"step": 4, "moved": 0.25}']
    lines = {"last": [*whole, whole[0][:9]], "first": [whole[0][:9], *whole], "numbers": [whole[0], "[4]", whole[1]]}
    write_config(tiny.config(), tmp_path)
    (tmp_path / "evaluations.jsonl").write_text("\n".join(lines[cut]))
    if expected:
        with pytest.raises(UserError, match=rf"evaluations.jsonl, {expected}"):
            read_curves(tmp_path)
    else:
        assert read_curves(tmp_path) == [{"step": 2, "moved": 0.5}, {"step": 4, "moved": 0.25}]


@pytest.fixture
def few_metrics(monkeypatch):
    monkeypatch.setattr(module, "METRICS", [Reconstruction])


def test_data_in_another_place(photos_run, tmp_path, few_metrics):
    """Of a run whose data moved, and of a packed one, which knows no place."""
    data = shutil.copytree(photos_run.parent / "data", tmp_path / "elsewhere")
    moved = shutil.copytree(photos_run, tmp_path / "moved")
    write_config(read_config(moved).replace(data_dir=str(tmp_path / "gone")), moved)
    pack(photos_run, tmp_path / "packed")
    with pytest.raises(UserError, match=r"gone: .*give --data, --data_dir and --labels_file"):
        evaluate(moved)
    for run, given in ((moved, {}), (tmp_path / "packed", {"data": "celeba"})):
        report = evaluate(run, data_dir=data, **given)
        values = saved(report)["settings"]
        assert values["evaluated_on"] == values["data_dir"] == str(data)
    names = [f"{number:06d}.jpg" for number in range(1, 301)]
    rows = [f"{name},{number % 2},{number // 2 % 2},test" for number, name in enumerate(names)]
    (data / "labels.csv").write_text("\n".join(["file,Eyeglasses,Smiling,split", *rows]))
    (data / "img_align_celeba" / "labels.csv").symlink_to(data / "labels.csv")
    given = {"data_dir": data / "img_align_celeba", "labels_file": data / "labels.csv"}
    assert saved(evaluate(moved, data="folder", **given))["settings"]["data"] == "folder"
    with pytest.raises(UserError, match="--data_dir=: must be the directory"):
        evaluate(moved, data="folder")


def test_a_damaged_image_does_not_end_an_evaluation(photos_run, tmp_path, few_metrics, caplog):
    data = shutil.copytree(photos_run.parent / "data", tmp_path / "data")
    (data / "img_align_celeba" / "000010.jpg").write_bytes(b"")  # the tenth, twentieth, … are the test split
    evaluate(photos_run, data_dir=data, out=tmp_path / "out", count=100)
    assert "000010.jpg: is empty" in caplog.text
    (data / "img_align_celeba" / "000020.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="too many bad images"):
        evaluate(photos_run, data_dir=data, out=tmp_path / "out", count=100)


def test_a_disk_that_fills_up_loses_no_measurement(photos_run, tmp_path, few_metrics, monkeypatch):
    older = evaluate(photos_run, out=tmp_path, count=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with disk.filling() as fill:
        monkeypatch.setattr(module, "edit_all", lambda editor, edits: (edit_all(editor, edits), fill())[0])
        with pytest.raises(UserError, match=r"(?s)cannot be written: File too large. What was measured:.*PSNR"):
            evaluate(photos_run, out=tmp_path, count=2)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert older.json_path in before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"count": 0}, "--count=0: must be 1 or more"),
        ({"out": "file"}, "--out=.*file: cannot be written: Not a directory"),
        ({"out": "file/out"}, "--out=.*out: cannot be written in .*file: Not a directory"),
        ({"by": ["Yung"]}, "--by: unknown column 'Yung': did you mean Young.*Known are 5_o_Clock_Shadow"),
        ({"by": []}, "--by is empty: name at least one of 5_o_Clock_Shadow"),
        ({"by": "Young"}, "by must be a list of names, not the text 'Young'"),
        ({"data_dir": "nowhere"}, "--data_dir=.*nowhere: no such directory"),
    ],
)
def test_mistakes_are_known_before_the_work(photos_run, tmp_path, monkeypatch, options, expected):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "edit_all", pytest.fail)
    with pytest.raises(UserError, match=expected):
        evaluate(photos_run, **options)


def test_mistakes(photos_run, tmp_path):
    with pytest.raises(UserError, match="--classifier=nowhere: no such directory"):
        evaluate(photos_run, classifier="nowhere")
    with pytest.raises(UserError, match="--distance_count=49: must be 50 or more"):
        evaluate(photos_run, distance_count=49)
    with pytest.raises(UserError, match="--seed=-1: must be 0 or more"):
        evaluate(photos_run, seed=-1)
    with pytest.raises(UserError, match=r"weights\.h5"):
        evaluate(photos_run, inception=str(tmp_path / "weights.h5"))
    with pytest.raises(UserError, match=r"--face_models=.*nowhere: no such folder; must hold dlib's shape_predictor"):
        evaluate(photos_run, face_models=tmp_path / "nowhere")
