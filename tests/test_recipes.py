"""The recipes run as scripts, and every command takes what they write."""

from __future__ import annotations

import commands
import numpy as np
import pytest

from elegant_tf.editor import Editor
from elegant_tf.presets import preset
from elegant_tf.rundir import check_start
from elegant_tf.synthetic import make_face


@pytest.mark.slow
def test_counterfactual_targets(tmp_path):
    run_dir = tmp_path / "targets"
    small = ["--minutes=0.1", "--count=40", "--people=48", "--width=4", "--batch_size=4"]
    done = commands.run(["recipes/counterfactual_targets.py", f"--run_dir={run_dir}", *small])
    assert done.returncode == 0, done.stderr
    assert "checkpoints/step-" in done.stdout
    step = Editor.load(run_dir).step
    small[0] = "--minutes=0.2"  # as if it had been interrupted halfway
    done = commands.run(["recipes/counterfactual_targets.py", f"--run_dir={run_dir}", *small])
    assert done.returncode == 0, done.stderr
    face, exemplar = make_face(0, 0).draw(64), make_face(0, 1).draw(64)
    editor = Editor.load(run_dir)
    assert editor.step > step >= 20
    assert np.abs(editor.swap(face, exemplar, ["Smiling"]).astype(int) - face).max() > 0
    check_start(preset("modern", width=4, start_from=str(run_dir)))
