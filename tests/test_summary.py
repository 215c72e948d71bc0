from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
import tensorflow as tf

from elegant_tf.errors import UserError
from elegant_tf.images import read_image
from elegant_tf.training.reporter import LOG_FILE, Reporter
from elegant_tf.training.summary import METRICS_FILE, Summary

LOSSES = {"generator": 2.5, "discriminator": 1.0, "reconstruction": 0.125}


@pytest.fixture
def begin(tmp_path):
    """Begins summaries of a training in `tmp_path`."""
    with Reporter(tmp_path) as reporter:
        yield lambda start=0, steps=10: Summary(tmp_path, steps, start, reporter)


def rows(run_dir):
    return [json.loads(line) for line in (run_dir / METRICS_FILE).read_text("utf-8").splitlines()]


def events(run_dir):
    found = {}
    for path in sorted((run_dir / "summaries").iterdir()):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found |= {(value.tag, event.step): value for value in event.summary.value}
    return found


def test_a_report_goes_to_the_log_the_metrics_and_tensorboard(tmp_path, begin):
    summary = begin()
    summary.progress(5, LOSSES, images=40)
    summary.progress(6, LOSSES, images=8)
    summary.close()
    first, second = (tmp_path / LOG_FILE).read_text("utf-8").splitlines()
    assert "step 5/10  generator 2.5000" in first
    assert "images/s" not in first  # the first includes compiling
    assert "images/s" in second
    row, _ = rows(tmp_path)
    assert row["step"] == 5
    assert {name: row[name] for name in LOSSES} == LOSSES
    assert row["images_per_second"] > 0
    written = events(tmp_path)
    for name, value in LOSSES.items():
        assert float(tf.make_ndarray(written[name, 5].tensor)) == pytest.approx(value)


def test_samples_go_to_a_picture_and_to_tensorboard(tmp_path, begin):
    summary = begin()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 4, 4, 3)).astype(np.uint8)
    path = summary.samples(7, pictures)
    summary.close()
    assert path == tmp_path / "samples" / "0000007.png"
    np.testing.assert_array_equal(read_image(path)[2:6, 2:6], pictures[0, 0])
    assert any(step == 7 and "residual" in tag for tag, step in events(tmp_path))


@pytest.mark.parametrize("end", ['{"step": 4, "sec', "\0\0\0\0", "[1]", '{"step": "5"}'])
def test_rows_after_the_step_resumed_from_and_broken_ones_are_dropped(tmp_path, begin, end):
    first = begin()
    for step in (1, 2, 3):
        first.progress(step, LOSSES, images=8)
    first.close()
    with open(tmp_path / METRICS_FILE, "a", encoding="utf-8") as file:
        file.write(end)  # as a kill or a full disk leaves it
    second = begin(start=2)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]
    second.progress(3, LOSSES, images=8)
    second.close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3]


def test_seconds_go_on_over_resumes(tmp_path, begin):
    early = {"step": 2, "seconds": 100.0, **LOSSES}
    late = {"step": 4, "seconds": 900.0, **LOSSES}
    (tmp_path / METRICS_FILE).write_text("".join(json.dumps(row) + "\n" for row in (early, late)), encoding="utf-8")
    summary = begin(start=2)
    time.sleep(0.01)  # More than what rounding to milliseconds takes away.
    summary.progress(3, LOSSES, images=8)
    summary.close()
    assert [row["step"] for row in rows(tmp_path)] == [2, 3]
    assert 100 < rows(tmp_path)[-1]["seconds"] < 800


def test_a_full_disk_is_named(tmp_path, begin):
    summary = begin()
    os.symlink("/dev/full", tmp_path / METRICS_FILE)
    with pytest.raises(UserError, match=rf"{METRICS_FILE}: cannot be written: No space left on device"):
        summary.progress(5, LOSSES, images=40)
    summary.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, begin):
    (tmp_path / "summaries").write_text("a file", encoding="utf-8")
    with pytest.raises(UserError, match=r"summaries: cannot be written: .*Not a directory"):
        begin()
