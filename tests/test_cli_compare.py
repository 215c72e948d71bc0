"""`elegant-tf compare`, called as a release job would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import commands
import numpy as np
import pytest

from elegant_tf.cli import compare as command
from elegant_tf.cli.main import main, make_parser
from elegant_tf.evaluation.compare import LIMITS
from elegant_tf.rundir import PACKED_FILE
from elegant_tf.runs import pack

RELEASE = commands.ROOT / "docs" / "serving" / "release.sh"


@pytest.fixture
def packed(tiny_run, tmp_path):
    """A packed run of the same generator."""
    pack(tiny_run, tmp_path / "packed")
    return tmp_path / "packed"


def test_the_exit_status_tells_whether_the_new_model_is_within_the_limits(tiny_run, packed, tmp_path, capsys):
    line = ["compare", "--old", str(tiny_run), "--new", str(packed), "--count", "2"]
    assert main([*line, "--realised", "-0.01", "--leak", "0.1"]) == 0
    assert capsys.readouterr().out.endswith("\n\nwithin the limits\n")
    with np.load(packed / PACKED_FILE) as file:
        arrays = {name: file[name] if name == "step" else 3 * file[name] for name in file.files}
    np.savez(packed / PACKED_FILE, **arrays)
    files = [f"--markdown={tmp_path / 'found.md'}", f"--json={tmp_path / 'found.json'}"]
    assert main([*line, *files]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"\nbeyond the limits: (leak|realised|reconstruction_psnr) changed by .* the limit is ", printed)
    values = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert all(f"beyond the limits: {sentence}" in printed for sentence in values["beyond"])
    assert values["old"]["path"] == str(tiny_run)
    assert (tmp_path / "found.md").read_text("utf-8").startswith("# Comparison of two models\n")


def test_the_help_tells_the_limits():
    assert set(command._LIMITS) == set(LIMITS)
    for name, limit in LIMITS.items():
        assert command._LIMITS[name].endswith(f"(default {limit.change:g})")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--markdown", "."], "--markdown=.: is a directory; name a file"),
        (["--json", "file/found.json"], "--json="),
        (["--moved", "1"], "--moved=1: the data has counterfactual targets"),
        (["--attributes", "Bangz"], "did you mean Bangs?"),
        (["--data_dir", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_named_before_the_work(tiny_run, packed, tmp_path, monkeypatch, capsys, options, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr("elegant_tf.evaluation.compare._measure", pytest.fail)
    assert main(["compare", "--old", str(tiny_run), "--new", str(packed), *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert expected in printed.err


# Stands for the server: it has loaded a version when it is asked for it the second time, and keeps what it is told.
CURL = """#!/bin/bash
cp models.config "seen$((asked = $(ls seen* 2> /dev/null | wc -l)))"
if ((asked)); then echo '{"state": "AVAILABLE"}'; fi
"""


@pytest.fixture
def release(tmp_path):
    """Runs docs/serving/release.sh beside a copy of models.config; returns the status and what `compare` was given."""
    shutil.copy(RELEASE.with_name("models.config"), tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"curl": CURL, "sleep": "#!/bin/sh\n"}.items():
        (programs / name).write_text(text)

    def run(*words, status=0):
        (programs / "elegant-tf").write_text(f'#!/bin/sh\necho "$@"\nexit {status}\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", RELEASE, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout.split()

    return run


def versions(path):
    """The versions that are loaded, and those that `stable` and `canary` name."""
    return tuple(map(int, re.findall(r"(?:versions|value): (\d+)", path.read_text("utf-8"))))


def test_a_release_moves_labels_of_the_server(release, tmp_path):
    config = tmp_path / "models.config"
    assert versions(config) == (12000, 24000, 12000, 24000)
    assert release("try", "36000") == (0, [])
    assert versions(tmp_path / "seen0") == (12000, 36000, 12000, 12000)  # while it is loaded
    assert versions(config) == (12000, 36000, 12000, 36000)
    assert release("move", status=1)[0] == 1
    assert versions(config) == (12000, 36000, 12000, 36000)
    status, words = release("move")
    assert (status, versions(config)) == (0, (12000, 36000, 36000, 12000))
    assert make_parser(["compare"]).parse_args(words).new == "models/elegant/36000"
    assert release("back") == (0, [])
    assert versions(config) == (36000, 12000, 12000, 36000)
    assert release()[0] == 2
