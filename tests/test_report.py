from __future__ import annotations

import dataclasses
import html
import json
import os
import shutil

import numpy as np
import pytest
import tiny

from elegant_tf.config import Config, preset
from elegant_tf.data import faces
from elegant_tf.errors import UserError
from elegant_tf.evaluation.edits import DIRECTIONS, Edits
from elegant_tf.evaluation.report import evaluate
from elegant_tf.evaluation.scorecard import scorecard
from elegant_tf.evaluation.sheet import draw_cases, draw_sheet
from elegant_tf.evaluation.tables import Table
from elegant_tf.evaluation.triples import draw_triples, has_triples, load_triples, read_triples
from elegant_tf.images import read_image
from elegant_tf.training.trainer import Trainer

NAMES = ("Eyeglasses", "Bangs", "Smiling")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of faces with 20 counterfactuals: two per attribute and direction."""
    out = tmp_path_factory.mktemp("data") / "faces"
    faces.write_celeba(out, count=4, image_size=48, seed=5, counterfactuals=20)
    return out


def test_evaluate_writes_table_json_and_picture(tiny_run, tmp_path):
    report = evaluate(tiny_run, count=2, out=tmp_path, distance_count=60)
    assert [(s.attribute, s.direction, s.count) for s in report.scores] == [
        (name, direction, 2) for name in NAMES for direction in DIRECTIONS
    ]
    saved = json.loads((tmp_path / "scorecard.json").read_text(encoding="utf-8"))
    assert saved["step"] == report.step == 4
    assert saved["settings"]["image_size"] == 32
    assert saved["settings"]["evaluated_on"] == "faces"
    assert [row["realised"] for row in saved["rows"]] == [score.realised for score in report.scores]
    assert saved["mean"]["leak"] == pytest.approx(np.mean([row["leak"] for row in saved["rows"]]))
    assert read_image(report.image_path).shape[2] == 3
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".html", ".json", ".md", ".png"]
    assert len(report.tables[0].as_text().splitlines()) == 11
    assert str(report.image_path) in str(report)
    assert len(saved["fidelity"]) == 6
    assert [row["size"] for row in saved["combinations"]] == [2, 3]
    assert saved["reconstruction"]["psnr"] > 5
    assert np.shape(saved["leakage"]["against_truth"]) == (3, 3)
    assert saved["identity"]["the classifier's features"]["wanted"] > 0
    assert [row["count"] for row in saved["distances"]["the classifier's features"]] == [60] * 12
    assert saved["settings"]["distance_count"] == 60
    page, markdown = (path.read_text(encoding="utf-8") for path in (report.html_path, report.markdown_path))
    for table in report.tables:
        assert f"<h2>{html.escape(table.title)}</h2>" in page
        assert f"## {table.title}" in markdown
    assert page.count("data:image/png;base64,") == 4


def test_evaluate_writes_into_the_run_and_again(tiny_run):
    first = evaluate(tiny_run, count=2)
    second = evaluate(tiny_run, count=2)
    assert first.scores == second.scores
    assert (tiny_run / "scorecard.json").is_file()
    assert (tiny_run / "scorecard.png").is_file()


def test_evaluate_on_a_written_folder(tiny_run, written, tmp_path):
    report = evaluate(tiny_run, data_dir=written, out=tmp_path)
    assert [(score.count, score.direction) for score in report.scores] == [(2, "add"), (2, "remove")] * 3


def test_drawn_triples_are_held_out_and_exact():
    triples = draw_triples(3, NAMES, 32, count=2)
    assert triples.inputs.shape == triples.exemplars.shape == triples.truths.shape == (18, 32, 32, 3)
    pairs = list(zip(triples.attribute.tolist(), triples.direction.tolist(), strict=True))
    assert sorted(pairs) == sorted([(i, direction) for i in range(3) for direction in range(3)] * 2)
    training = {faces.make_face(3, index).identity for index in range(200)}
    assert not training & {edit.input.identity for edit in faces.make_counterfactuals(3, 12, NAMES)}
    edit = faces.make_counterfactuals(3, 12, NAMES)[4]
    np.testing.assert_array_equal(triples.truths[4], edit.truth.draw(32))


def test_written_triples_are_those_drawn(written):
    triples = read_triples(written, faces.ATTRIBUTES, 48, count=9)
    drawn = draw_triples(5, faces.ATTRIBUTES, 48, 2, ("add", "remove"))
    for name in ("inputs", "exemplars", "truths", "attribute", "direction"):
        np.testing.assert_array_equal(getattr(triples, name), getattr(drawn, name))


def test_written_triples_are_limited_and_resized(written):
    triples = read_triples(written, ("Smiling", "Unheard_Of"), 32, count=1)
    assert triples.inputs.shape == (2, 32, 32, 3)
    assert triples.attribute.tolist() == [0, 0]
    assert sorted(triples.direction.tolist()) == [0, 1]


@pytest.mark.skipif("DLIB_MODELS" not in os.environ, reason="DLIB_MODELS names no folder with dlib's models")
def test_dlib_judges_identity_too(tiny_run, tmp_path):
    pytest.importorskip("dlib", reason="dlib is not installed")
    evaluate(tiny_run, count=2, out=tmp_path, face_models=os.environ["DLIB_MODELS"])
    saved = json.loads((tmp_path / "scorecard.json").read_text(encoding="utf-8"))
    assert set(saved["identity"]) == {"dlib", "the classifier's features"}
    assert "identity by dlib: from the truth" in (tmp_path / "scorecard.md").read_text(encoding="utf-8")


def test_a_folder_without_face_models_is_refused(tiny_run, tmp_path):
    with pytest.raises(UserError, match=r"--face_models=.*nowhere: no such folder; must hold dlib's shape_predictor"):
        evaluate(tiny_run, count=2, out=tmp_path, face_models=tmp_path / "nowhere")


def test_runs_are_tried_on_the_same_people_whatever_their_seed(tiny_run, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(tiny_run, other)
    dataclasses.replace(Config.load(tiny_run), seed=7).save(other)
    reports = [evaluate(run, count=2, out=tmp_path / run.name) for run in (tiny_run, other)]
    saved = [json.loads(report.json_path.read_text(encoding="utf-8")) for report in reports]
    assert [(part.pop("seed"), part.pop("evaluation_seed")) for part in (file["settings"] for file in saved)] == [
        (0, 0),
        (7, 0),
    ]
    assert saved[0] == saved[1]
    others = evaluate(tiny_run, count=2, out=tmp_path / "others", seed=1)
    assert [score.realised for score in others.scores] != [score.realised for score in reports[0].scores]
    assert others.measurements.fidelity != reports[0].measurements.fidelity
    assert others.measurements.combinations != reports[0].measurements.combinations
    assert others.measurements.distances != reports[0].measurements.distances
    assert json.loads(others.json_path.read_text(encoding="utf-8"))["settings"]["evaluation_seed"] == 1


def test_which_runs_have_triples_of_their_own(written, tmp_path):
    assert has_triples(preset("demo", data="faces"))
    assert has_triples(preset("demo", data="celeba", data_dir=str(written)))
    assert not has_triples(preset("demo", data="celeba", data_dir=str(tmp_path)))


def test_a_run_on_a_written_folder_finds_its_triples(written):
    config = Config(data="celeba", data_dir=str(written), attributes=("Bangs",), image_size=32)
    assert len(load_triples(config, None, count=1)) == 2


def test_triples_that_are_not_there(written, tmp_path):
    config = preset("demo", data="celeba", data_dir=str(tmp_path))
    with pytest.raises(UserError, match="elegant-tf faces"):
        load_triples(config, None, count=1)
    with pytest.raises(UserError, match="--count=0"):
        load_triples(config, written, count=0)
    with pytest.raises(UserError, match="Male, which this run knows, only of Bangs"):
        read_triples(written, ("Male",), 32, count=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"counterfactuals": [1]}',
        '{"counterfactuals": [{"attributes": ["Bangs"], "direction": "up"}]}',
    ],
)
def test_a_malformed_index_is_named(tmp_path, text):
    (tmp_path / "counterfactuals").mkdir()
    (tmp_path / "counterfactuals" / "index.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"index\.json: is no index"):
        read_triples(tmp_path, ("Bangs",), 32, count=1)


def test_a_missing_picture_is_named(tmp_path):
    folder = tmp_path / "counterfactuals"
    folder.mkdir()
    entry = {
        "attributes": ["Bangs"],
        "direction": "add",
        "input": "a.png",
        "exemplar": "b.png",
        "truth": "c.png",
    }
    (folder / "index.json").write_text(json.dumps({"counterfactuals": [entry]}), encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.png: no such file"):
        read_triples(tmp_path, ("Bangs",), 32, count=1)


def test_a_table_in_three_forms():
    table = Table("Title", "A < B", ("name", "value"), [("Bangs", "0.5"), ("Hat & band", "-11.25")])
    assert table.as_text().splitlines() == ["name         value", "Bangs          0.5", "Hat & band  -11.25"]
    assert table.as_markdown().splitlines() == [
        "## Title", "", "A < B", "", "| name | value |", "| --- | ---: |", "| Bangs | 0.5 |", "| Hat & band | -11.25 |"
    ]  # fmt: skip
    assert "<p>A &lt; B</p>" in table.as_html()
    assert '<td>Hat &amp; band</td><td class="number">-11.25</td>' in table.as_html()


def test_a_perfect_edit_is_valid_json(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "elegant_tf.evaluation.measurements.edit_all", lambda editor, edits: getattr(edits, "truths", edits.inputs)
    )
    report = evaluate(tiny_run, count=1, out=tmp_path)
    assert report.mean.realised == 1.0
    saved = json.loads(report.json_path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert saved["mean"]["psnr"] is None


def test_the_sheet_shows_what_there_is():
    triples = draw_triples(0, NAMES, 32, count=2)
    edited = triples.inputs.copy()
    edited[(triples.attribute == 1) & (triples.direction < 2)] = (255, 0, 255)
    sheet = draw_sheet(triples, edited, scorecard(triples, edited), "title")
    magenta = (sheet == (255, 0, 255)).all(axis=-1)
    rows, columns = np.flatnonzero(magenta.any(axis=1)), np.flatnonzero(magenta.any(axis=0))
    height, width = magenta.shape
    assert height / 3 < rows.mean() < height * 2 / 3  # the second of three attributes,
    assert columns.min() < width / 3 < columns.max() < width * 2 / 3  # in two of three directions


def test_cases_are_the_best_the_worst_and_others():
    triples = draw_triples(0, NAMES, 32, count=2)
    edited = triples.truths.copy()
    edited[4] = 255 - edited[4]
    cases = draw_cases(triples, edited, 0)
    assert set(cases) == {"Best cases", "Worst cases", "Drawn at random"}
    first = cases["Worst cases"][2:34, 2:136].reshape(32, -1, 3)
    np.testing.assert_array_equal(first[:, :32], triples.inputs[4])
    plain = Edits(NAMES, triples.inputs, triples.exemplars, triples.attribute, triples.direction)
    assert set(draw_cases(plain, edited, 0)) == {"Drawn at random"}


@pytest.fixture(scope="module")
def photos_run(tmp_path_factory):
    """A run on pictures whose right answers are unknown."""
    folder = tmp_path_factory.mktemp("photos")
    faces.write_celeba(folder / "data", count=300, image_size=32, seed=6, counterfactuals=0)
    shutil.rmtree(folder / "data" / "counterfactuals")
    run_dir = folder / "run"
    Trainer(tiny.config(data="celeba", data_dir=str(folder / "data"), evaluate_every=2), run_dir).train()
    return run_dir


def test_without_right_answers_all_that_needs_none_is_measured(photos_run):
    report = evaluate(photos_run, count=3)
    assert not report.scores
    assert report.mean is None
    assert report.measurements.reconstruction.count > 0
    assert report.measurements.interpolation.count > 0
    assert report.measurements.leakage is None
    saved = json.loads(report.json_path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert saved["mean"] is None
    assert [row["step"] for row in saved["curves"]] == [2, 4]
    assert {"moved", "reconstruction_psnr"} < set(saved["curves"][0])
    assert "<polyline" in report.html_path.read_text(encoding="utf-8")


def test_mistakes_of_the_judge_are_told(photos_run, tmp_path):
    with pytest.raises(UserError, match="--classifier=nowhere: no such directory"):
        evaluate(photos_run, classifier="nowhere")
    with pytest.raises(UserError, match="--distance_count=49: must be 50 or more"):
        evaluate(photos_run, distance_count=49)
    with pytest.raises(UserError, match="--seed=-1: must be 0 or more"):
        evaluate(photos_run, seed=-1)
    with pytest.raises(UserError, match=r"weights\.h5"):
        evaluate(photos_run, inception=str(tmp_path / "weights.h5"))
