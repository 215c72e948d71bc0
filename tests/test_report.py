from __future__ import annotations

import json

import numpy as np
import pytest

from elegant_tf.config import Config, preset
from elegant_tf.data import faces
from elegant_tf.errors import UserError
from elegant_tf.evaluation.report import evaluate, format_table
from elegant_tf.evaluation.scorecard import Score, scorecard
from elegant_tf.evaluation.sheet import draw_sheet
from elegant_tf.evaluation.triples import draw_triples, has_triples, load_triples, read_triples
from elegant_tf.images import read_image

NAMES = ("Eyeglasses", "Bangs", "Smiling")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of faces with 20 counterfactuals: two per attribute and direction."""
    out = tmp_path_factory.mktemp("data") / "faces"
    faces.write_celeba(out, count=4, image_size=48, seed=5, counterfactuals=20)
    return out


def test_evaluate_writes_table_json_and_picture(tiny_run, tmp_path):
    report = evaluate(tiny_run, count=2, out=tmp_path)
    assert [(s.attribute, s.direction, s.count) for s in report.scores] == [
        (name, direction, 2) for name in NAMES for direction in ("add", "remove")
    ]
    saved = json.loads((tmp_path / "scorecard.json").read_text(encoding="utf-8"))
    assert saved["step"] == report.step == 4
    assert saved["settings"]["image_size"] == 32
    assert saved["settings"]["evaluated_on"] == "faces"
    assert [row["realised"] for row in saved["rows"]] == [score.realised for score in report.scores]
    assert saved["mean"]["leak"] == pytest.approx(np.mean([row["leak"] for row in saved["rows"]]))
    assert read_image(report.image_path).shape[2] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scorecard.json", "scorecard.png"]
    assert len(report.table().splitlines()) == 8
    assert str(report.image_path) in str(report)


def test_evaluate_writes_into_the_run_and_again(tiny_run):
    first = evaluate(tiny_run, count=1)
    second = evaluate(tiny_run, count=1)
    assert first.scores == second.scores
    assert (tiny_run / "scorecard.json").is_file()
    assert (tiny_run / "scorecard.png").is_file()


def test_evaluate_on_a_written_folder(tiny_run, written, tmp_path):
    report = evaluate(tiny_run, data_dir=written, out=tmp_path)
    assert [score.count for score in report.scores] == [2] * 6


def test_drawn_triples_are_held_out_and_exact():
    triples = draw_triples(3, NAMES, 32, count=2)
    assert triples.inputs.shape == triples.exemplars.shape == triples.truths.shape == (12, 32, 32, 3)
    pairs = list(zip(triples.attribute.tolist(), triples.adding.tolist(), strict=True))
    assert sorted(pairs) == sorted([(i, adding) for i in range(3) for adding in (False, True)] * 2)
    training = {faces.make_face(3, index).identity for index in range(200)}
    assert not training & {edit.input.identity for edit in faces.make_counterfactuals(3, 12, NAMES)}
    edit = faces.make_counterfactuals(3, 12, NAMES)[4]
    np.testing.assert_array_equal(triples.truths[4], edit.truth.draw(32))


def test_written_triples_are_those_drawn(written):
    triples = read_triples(written, faces.ATTRIBUTES, 48, count=9)
    drawn = draw_triples(5, faces.ATTRIBUTES, 48, count=2)
    for name in ("inputs", "exemplars", "truths", "attribute", "adding"):
        np.testing.assert_array_equal(getattr(triples, name), getattr(drawn, name))


def test_written_triples_are_limited_and_resized(written):
    triples = read_triples(written, ("Smiling", "Unheard_Of"), 32, count=1)
    assert triples.inputs.shape == (2, 32, 32, 3)
    assert triples.attribute.tolist() == [0, 0]
    assert sorted(triples.adding.tolist()) == [False, True]


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


def test_columns_of_the_table_are_aligned():
    scores = [
        Score("Bangs", "add", 0.5, 3.25, 20.0, 0.9, 64),
        Score("Wearing_Hat", "remove", -0.1, 11, 9, 0.1, 5),
    ]
    assert format_table(scores).splitlines() == [
        "attribute    direction  realised   leak   PSNR   SSIM   n",
        "Bangs        add           0.500   3.25  20.00  0.900  64",
        "Wearing_Hat  remove       -0.100  11.00   9.00  0.100   5",
    ]


def test_a_perfect_edit_is_valid_json(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("elegant_tf.evaluation.report.edit_triples", lambda editor, triples: triples.truths)
    report = evaluate(tiny_run, count=1, out=tmp_path)
    assert report.mean.realised == 1.0
    saved = json.loads(report.json_path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert saved["mean"]["psnr"] is None


def test_the_sheet_shows_what_there_is():
    triples = draw_triples(0, NAMES, 32, count=2)
    edited = triples.inputs.copy()
    edited[triples.attribute == 1] = (255, 0, 255)
    sheet = draw_sheet(triples, edited, scorecard(triples, edited), "title")
    magenta = (sheet == (255, 0, 255)).all(axis=-1)
    rows, columns = np.flatnonzero(magenta.any(axis=1)), np.flatnonzero(magenta.any(axis=0))
    height, width = magenta.shape
    assert height / 3 < rows.mean() < height * 2 / 3  # the second of three attributes,
    assert columns.min() < width / 2 < columns.max()  # in both directions
