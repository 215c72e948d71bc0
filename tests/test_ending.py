"""How a training ends on the screen: a short scorecard, and a command that works."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import tiny

from elegant_tf.cli.ending import next_command, short_scorecard
from elegant_tf.cli.main import make_parser
from elegant_tf.evaluation.evaluate import Report
from elegant_tf.evaluation.metrics.scores import Score, Scores, mean_score
from elegant_tf.images import read_image
from elegant_tf.synthetic import write_celeba


def report(attributes):
    rows = [
        Score(f"Attribute_{place}", direction, 0.25 * place, 2.0, 20.0, 0.8, 64, (0.0, 1.0), (1.0, 3.0))
        for place in range(attributes)
        for direction in ("add", "remove")
    ]
    paths = (Path(f"runs/a b/scorecard.{ending}") for ending in ("json", "md", "html", "png"))
    return Report(*paths, step=12_345, results=[Scores(rows, mean_score(rows))], tables=[])


@pytest.mark.parametrize(("attributes", "rows"), [(1, 1), (6, 6), (40, 6)])
def test_the_scorecard_takes_a_dozen_lines(attributes, rows):
    lines = short_scorecard(report(attributes)).splitlines()
    assert lines[0].startswith("Held-out edits after 12,345 steps")
    assert lines[1].split() == ["attribute", "realised", "leak", "PSNR"]
    assert lines[2].split() == ["Attribute_0", "0.00", "2.0", "20.0"]
    assert ("35 more in the report" in lines[1 + rows]) == (attributes > 6)
    assert lines[2 + rows].split() == ["mean", f"{0.25 * (attributes - 1) / 2:.2f}", "2.0", "20.0"]
    assert lines[-2:] == ["report:    runs/a b/scorecard.html", "examples:  runs/a b/scorecard.png"]
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 120


def parse(command):
    words = shlex.split(command)
    assert words[0] == "elegant-tf"
    return make_parser().parse_args(words[1:])


def test_photos_are_to_be_evaluated(tmp_path):
    run_dir = str(tmp_path / "it's a run")
    options = parse(next_command(tiny.config(data="folder", data_dir=str(tmp_path)), run_dir))
    assert (options.command.name, options.run) == ("evaluate", run_dir)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("drawn", [True, False])
def test_drawn_faces_are_to_be_edited_and_are_there(tmp_path, drawn):
    data = {"data": "faces"}
    if not drawn:
        write_celeba(tmp_path / "celeba", 4, 32, seed=0, counterfactuals=30)
        data = {"data": "celeba", "data_dir": str(tmp_path / "celeba")}
    run_dir = tmp_path / "a run"
    run_dir.mkdir()
    command = next_command(tiny.config(**data), str(run_dir))
    options = parse(command)
    assert (options.command.name, options.run) == ("grid", str(run_dir))
    assert set(options.attributes) <= set(tiny.ATTRIBUTES)
    for (folder,) in (options.input, options.exemplar):
        images = [read_image(path) for path in sorted(Path(folder).iterdir())]
        assert 1 <= len(images) <= 4
        assert images[0].shape == (32, 32, 3)
    assert not Path(options.out).exists()
    assert next_command(tiny.config(**data), str(run_dir)) == command  # once more, after going on
