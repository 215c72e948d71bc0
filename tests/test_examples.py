"""What exported files are compared on: drawn faces, files, or the data of the run."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from elegant_tf.errors import UserError
from elegant_tf.evaluation.examples import load_examples
from elegant_tf.export.examples import drawn_examples, examples_of_files
from elegant_tf.images import write_image
from elegant_tf.rundir import read_config, write_config
from elegant_tf.synthetic import write_celeba


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "celeba"
    write_celeba(folder, 60, 32, seed=0, counterfactuals=2)
    return folder


def run_on(tmp_path, tiny_run, **data):
    """A run directory with the tiny run's configuration, and these data."""
    write_config(read_config(tiny_run).replace(**data), tmp_path)
    return tmp_path


def test_drawn_faces():
    examples = drawn_examples(attributes=3, size=32, pairs=4)
    assert examples.inputs.shape == examples.exemplars.shape == (4, 32, 32, 3)
    assert examples.attribute.tolist() == [0, 1, 2, 0]
    known = {image.tobytes() for image in examples.calibration}
    assert not known & {image.tobytes() for image in [*examples.inputs, *examples.exemplars]}


def test_quality_is_measured_against_targets_or_else_the_runs_own_edits():
    examples = drawn_examples(attributes=2, size=32, pairs=4)
    by_run = examples.exemplars
    assert examples.quality(by_run, by_run) == (1.0, 0.0)
    assert examples.quality(examples.inputs, by_run)[0] == pytest.approx(0.0)


def test_files(tmp_path):
    files = [tmp_path / f"{index}.png" for index in range(7)]
    for index, file in enumerate(files):
        write_image(file, np.full((40, 40, 3), index, np.uint8))
    examples = examples_of_files(files, attributes=2, size=32)
    assert (examples.inputs[:, 0, 0, 0].tolist(), examples.exemplars[:, 0, 0, 0].tolist()) == ([0, 4], [2, 6])
    assert examples.calibration[:, 0, 0, 0].tolist() == [1, 3, 5]
    with pytest.raises(UserError, match="--input: 3 images; give four or more"):
        examples_of_files(files[:3], attributes=2, size=32)


def test_a_run_of_drawn_faces(tiny_run):
    examples = load_examples(tiny_run, count=1)
    assert examples.targets.shape == examples.inputs.shape == (9, 32, 32, 3)
    assert sorted(set(examples.kind.tolist())) == list(range(9))
    assert len(examples.calibration) == 32


@pytest.mark.parametrize("own", [True, False])
def test_data_of_the_run_or_others(celeba, tiny_run, tmp_path, own):
    run = run_on(tmp_path, tiny_run, data="celeba", data_dir=str(celeba if own else tmp_path / "gone"))
    examples = load_examples(run, image_size=64, data_dir=None if own else celeba, count=1)
    assert examples.targets.shape == examples.inputs.shape == (2, 64, 64, 3)
    assert len(examples.calibration) == 32


def test_data_without_targets(celeba, tiny_run, tmp_path):
    folder = plain_folder(celeba, tmp_path)
    examples = load_examples(tiny_run, data="folder", data_dir=folder, count=2)
    assert examples.targets is None
    assert len(examples.inputs) == len(examples.kind) > 3
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace(",train,", ",test,"))
    assert len(load_examples(tiny_run, data="folder", data_dir=folder, count=2, calibrates=False).calibration) == 0
    with pytest.raises(UserError, match="train"):
        load_examples(tiny_run, data="folder", data_dir=folder, count=2)


def plain_folder(celeba, tmp_path):
    """The same images with a table of their labels, and without targets."""
    rows = (celeba / "list_attr_celeba.txt").read_text().splitlines()[1:]
    names, *lines = rows
    table = ["file,split," + ",".join(names.split())]
    for place, line in enumerate(lines):
        name, *labels = line.split()
        table.append(",".join([name, "train" if place < 30 else "test", *labels]))
    (tmp_path / "labels.csv").write_text("\n".join(table) + "\n")
    for file in (celeba / "img_align_celeba").iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def test_data_that_are_gone(tiny_run, tmp_path, caplog):
    run = run_on(tmp_path, tiny_run, data="celeba", data_dir=str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"gone.*give --data, --data_dir and --labels_file"):
        load_examples(run)
    with caplog.at_level(logging.WARNING, "absl"):
        assert load_examples(run, calibrates=False).targets is None
    assert "compared on drawn faces, since the run's data cannot be read" in caplog.text
