from __future__ import annotations

import hashlib
import os
import sys
import zipfile

import commands
import numpy as np
import pytest

from elegant_tf.errors import UserError
from elegant_tf.synthetic import draw_faces, make_face

FACES = [make_face(1, index) for index in range(5)]

# Names that the drawing imports, and those that Python runs when it starts.
SHADOWS = ["random", "numpy", "PIL", "struct", "elegant_tf", "sitecustomize", "usercustomize"]


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return np.stack([face.draw(32) for face in FACES])


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Makes workers run a shell script in place of Python."""

    def replace(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return replace


@pytest.mark.parametrize("in_python_path", [False, True])
def test_files_of_the_user_are_not_imported(drawn, tmp_path, monkeypatch, in_python_path):
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("print('hello')\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "random.py"))
    if in_python_path:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert np.array_equal(draw_faces(FACES, 32, workers=2), drawn)


def test_what_a_worker_prints_does_not_reach_the_images(drawn, python):
    noise = "yes hello | head -c 200000"
    python(f'{noise}; {noise} >&2; exec "{sys.executable}" "$@"')
    assert np.array_equal(draw_faces(FACES, 32, workers=2), drawn)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo Traceback >&2; echo 'ImportError: no NumPy' >&2; exit 3", "failed with status 3: ImportError: no NumPy"),
        ("exit 0", "failed with status 0$"),
        ("head -c 64 /dev/zero >/dev/fd/$6", "failed with status 0$"),  # a pipe that brings something else
        ("kill -KILL $$", "was killed: the machine may have run out of memory"),
        ("kill -TERM $$", "was ended by SIGTERM"),
    ],
)
def test_a_worker_that_fails_is_reported(python, script, message):
    python(script)
    with pytest.raises(UserError, match=f"a process that draws faces {message}"):
        draw_faces(FACES, 32, workers=2)


class Stranger:
    """Not a face: workers cannot import this module."""


def test_a_workers_own_error_is_reported():
    with pytest.raises(UserError, match="failed with status 1: ModuleNotFoundError: No module named"):
        draw_faces([Stranger(), Stranger()], 32, workers=2)


def test_a_worker_that_cannot_be_started_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(UserError, match=r"could not be started: .*/nowhere/python"):
        draw_faces(FACES, 32, workers=2)


def test_workers_of_a_zipped_package(drawn, tmp_path):
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as package:
        for path in sorted((commands.ROOT / "elegant_tf").rglob("*.py")):
            package.write(path, path.relative_to(commands.ROOT))
    program = (
        "import hashlib, elegant_tf\n"
        "from elegant_tf.synthetic import draw_faces, make_face\n"
        "images = draw_faces([make_face(1, index) for index in range(5)], 32, workers=2)\n"
        "print(elegant_tf.__file__, hashlib.sha256(images.tobytes()).hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "package.zip")}
    done = commands.run(["-c", program], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    place, digest = done.stdout.split()
    assert ".zip" in place
    assert digest == hashlib.sha256(drawn.tobytes()).hexdigest()


def test_the_command_imports_nothing_from_the_working_directory(tmp_path):
    (tmp_path / "random.py").write_text("raise SystemExit('not random')\n")
    done = commands.run(["-m", "elegant_tf", "faces", "--out", "people", "--count", "2"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
