"""Held-out edits with counterfactual targets, drawn and read."""

from __future__ import annotations

import json

import numpy as np
import photos
import pytest

from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.evaluation.counterfactuals import (
    draw_counterfactuals,
    has_counterfactuals,
    load_counterfactuals,
    read_counterfactuals,
)
from elegant_tf.evaluation.edits import DIRECTIONS
from elegant_tf.evaluation.metrics.scores import scorecard
from elegant_tf.synthetic import ATTRIBUTES, make_counterfactuals, make_face, write_celeba, write_dressed

NAMES = ("Eyeglasses", "Bangs", "Smiling")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of faces with 20 counterfactual targets: two per attribute and direction."""
    out = tmp_path_factory.mktemp("data") / "faces"
    write_celeba(out, count=4, image_size=48, seed=5, counterfactuals=20)
    return out


def write_index(folder, text):
    (folder / "counterfactuals").mkdir()
    (folder / "counterfactuals" / "index.json").write_text(text, encoding="utf-8")


def test_drawn_counterfactuals_are_held_out_and_exact():
    edits = draw_counterfactuals(3, NAMES, 32, count=2)
    assert edits.inputs.shape == edits.exemplars.shape == edits.targets.shape == (18, 32, 32, 3)
    kinds = list(zip(edits.attribute.tolist(), edits.direction.tolist(), strict=True))
    assert sorted(kinds) == sorted([(i, direction) for i in range(3) for direction in range(3)] * 2)
    pairs = make_counterfactuals(3, 12, NAMES)
    assert not {make_face(3, index).identity for index in range(200)} & {pair.input.identity for pair in pairs}
    np.testing.assert_array_equal(edits.targets[4], pairs[4].target.draw(32))


def test_written_counterfactuals_are_the_drawn_ones(written):
    read = read_counterfactuals(written, ATTRIBUTES, 48, count=9)
    drawn = draw_counterfactuals(5, ATTRIBUTES, 48, 2, ("add", "remove"))
    for name in ("inputs", "exemplars", "targets", "attribute", "direction"):
        np.testing.assert_array_equal(getattr(read, name), getattr(drawn, name))


def test_what_is_known_of_the_people(written, tmp_path):
    by = ("Young", "Bangs", "Pale_Skin")
    read = read_counterfactuals(written, ATTRIBUTES, 48, count=9, by=by)
    drawn = draw_counterfactuals(5, ATTRIBUTES, 48, 2, ("add", "remove"), by)
    assert list(read.people) == list(by)
    for name in by:
        assert read.people[name].tolist() == drawn.people[name].tolist()
    bangs = read.attribute == ATTRIBUTES.index("Bangs")
    removed = read.direction == DIRECTIONS.index("remove")
    assert (read.people["Bangs"] == "yes")[bangs].tolist() == removed[bangs].tolist()
    with pytest.raises(UserError, match="--by: unknown column 'Yung': did you mean Young"):
        draw_counterfactuals(5, ATTRIBUTES, 48, 2, by=["Yung"])
    index = json.loads((written / "counterfactuals" / "index.json").read_text())
    for number, entry in enumerate(index["counterfactuals"]):
        entry["labels"] = {"region": ("north", "south")[number % 2]}
        entry.update({role: str(written / "counterfactuals" / entry[role]) for role in ("input", "exemplar", "target")})
    write_index(tmp_path, json.dumps(index))
    assert read_counterfactuals(tmp_path, ("Bangs",), 48, 1, ["region"]).people["region"].tolist() == ["south", "north"]
    with pytest.raises(UserError, match="--by: unknown column 'Male': Known are region"):
        read_counterfactuals(tmp_path, ("Bangs",), 48, 1, ["Male"])
    del index["counterfactuals"][1]["labels"]
    (tmp_path / "counterfactuals" / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"--by=region: .*index.json says nothing about the people: .*\"labels\""):
        read_counterfactuals(tmp_path, ("Bangs",), 48, 1, ["region"])


def test_written_counterfactuals_are_limited_and_resized(written):
    read = read_counterfactuals(written, ("Smiling", "Unheard_Of"), 32, count=1)
    assert read.inputs.shape == (2, 32, 32, 3)
    assert read.attribute.tolist() == [0, 0]
    assert sorted(read.direction.tolist()) == [0, 1]


def test_an_older_folder_is_read(written, tmp_path):
    index = json.loads((written / "counterfactuals" / "index.json").read_text())
    for entry in index["counterfactuals"]:
        entry["truth"] = entry.pop("target", entry.get("truth"))
        entry.update({role: str(written / "counterfactuals" / entry[role]) for role in ("input", "exemplar", "truth")})
    write_index(tmp_path, json.dumps(index))
    older, newer = (read_counterfactuals(folder, NAMES, 48, count=1) for folder in (tmp_path, written))
    np.testing.assert_array_equal(older.targets, newer.targets)


def test_dressed_photos_are_read_in_three_directions(tmp_path):
    paths, points = photos.write_photos(tmp_path, 3)
    write_dressed(tmp_path / "dressed", paths, points, 3, 32, seed=0, attributes=("Mustache",), counterfactuals=2)
    edits = read_counterfactuals(tmp_path / "dressed", ("Mustache",), 32, count=1)
    assert [direction for _, direction, _ in edits.kinds()] == list(DIRECTIONS)
    assert (edits.targets != edits.inputs).any(axis=(1, 2, 3)).all()
    assert [row.realised for row in scorecard(edits, edits.targets)] == [1.0, 1.0, 1.0]
    assert [row.realised for row in scorecard(edits, edits.inputs)] == [0.0, 0.0, 0.0]


def test_which_runs_have_counterfactuals(written, tmp_path):
    assert has_counterfactuals(Config.of(data="faces"))
    config = Config.of(data="celeba", data_dir=str(written), attributes=("Bangs",), image_size=32)
    assert has_counterfactuals(config)
    assert len(load_counterfactuals(config, None, count=1)) == 2
    assert not has_counterfactuals(config.replace(data_dir=str(tmp_path)))


def test_mistakes(written, tmp_path):
    config = Config.of(data="celeba", data_dir=str(tmp_path))
    with pytest.raises(UserError, match="elegant-tf faces"):
        load_counterfactuals(config, None, count=1)
    with pytest.raises(UserError, match="--count=0"):
        load_counterfactuals(config, written, count=0)
    with pytest.raises(UserError, match="Male, which this run knows, only of Bangs"):
        read_counterfactuals(written, ("Male",), 32, count=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"counterfactuals": [1]}',
        '{"counterfactuals": [{"attributes": ["Bangs"], "direction": "up"}]}',
        '{"counterfactuals": [{"attributes": [], "direction": "add", "labels": "Male"}]}',
        '{"counterfactuals": [{"attributes": [], "direction": "add", "labels": {"Male": [1]}}]}',
    ],
)
def test_a_malformed_index_is_named(tmp_path, text):
    write_index(tmp_path, text)
    with pytest.raises(UserError, match=r"index\.json: is not an index"):
        read_counterfactuals(tmp_path, ("Bangs",), 32, count=1)


def test_a_missing_image_is_named(tmp_path):
    entry = {"attributes": ["Bangs"], "direction": "add", "input": "a.png", "exemplar": "b.png", "target": "c.png"}
    write_index(tmp_path, json.dumps({"counterfactuals": [entry]}))
    with pytest.raises(UserError, match=r"a\.png: no such file"):
        read_counterfactuals(tmp_path, ("Bangs",), 32, count=1)
