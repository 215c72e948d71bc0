"""Runs today's package on older and newer versions of TensorFlow, and hands what each makes to all others.

    python benchmarks/tensorflow_versions.py

Makes a virtual environment for each version, one after another, and in each: runs the tests of the authors' numbers
(`tests/test_goldens.py`), a short training that is killed and resumed (`tests/test_resume.py`), edits with the models
that come with the package, trains a tiny run and exports it. Then each version, and the TensorFlow of the Python that
runs this script, loads every export, edits with every run and trains it on. Prints a table; the exit status is 1 if
anything fails or an edit is further than 1/255 from the script's own TensorFlow. Needs pip, a package index and 1.5 GB
of disk for each version.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from server_versions import ROOT, make_environment

VERSIONS = ("2.15.1", "2.17.1", "2.19.1", "2.21.0")
# What the package and its tests need besides TensorFlow and Keras.
OTHERS = ("absl-py", "pillow", "rich", "tensorboard", "hypothesis", "pytest", "pytest-xdist")
TESTS = {
    "goldens": ["tests/test_goldens.py", "tests/test_keras_versions.py"],
    "kill and resume": ["-m", "", "tests/test_resume.py", "-k", "killed"],
}
HEADINGS = (
    "TensorFlow, Keras",
    "Python",
    *TESTS,
    "shipped models",
    "exports",
    "runs: edits",
    "runs: trained on",
)
HERE = "here"
STEPS = 2
TRAIN = (
    "--image_size=32 --width=4 --depth=3 --faces_count=64 --batch_size=4 --sample_every=0 --ema_half_life=5 "
    "--attributes=Bangs,Smiling --strategy=one_device --log_every=1"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=VERSIONS, metavar="VERSION")
    parser.add_argument("--inside", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        what, folder = options.inside
        {"make": make, "take": take}[what](Path(folder))
        return 0
    with tempfile.TemporaryDirectory(prefix="versions-") as folder:
        return compare(Path(folder), options.versions)


def compare(folder: Path, versions: Sequence[str]) -> int:
    """Prints the table and what is wrong."""
    pythons = {HERE: sys.executable}
    call(sys.executable, "make", folder / HERE)
    tests: dict[str, list[str]] = {}
    for version in versions:
        tell(f"{version}: making its environment")
        pythons[version] = make_environment(folder / f"environment-{version}", version, *OTHERS)
        tests[version] = [test(pythons[version], f"{version}: {name}", words) for name, words in TESTS.items()]
        call(pythons[version], "make", folder / version)
    for name, python in pythons.items():
        tell(f"{name}: taking what the others made")
        call(python, "take", folder / name)
    found = {name: json.loads((folder / name / "found.json").read_text()) for name in pythons}
    print("| " + " | ".join(HEADINGS) + " |")
    print("|---" * len(HEADINGS) + "|")
    rows = {version: row(found[version], tests[version]) for version in versions}
    for cells in rows.values():
        print("| " + " | ".join(cells) + " |")
    here = row(found[HERE], ["", ""])
    print(f"Compared with TensorFlow {here[0]}, which takes the others' exports and runs: {', '.join(here[5:])}")
    return int(any("FAILED" in cell for cells in (here, *rows.values()) for cell in cells))


def row(found: Mapping[str, object], tests: Sequence[str]) -> list[str]:
    """A line of the table."""
    versions = f"{found['tensorflow']}, {found['keras']}"
    return [versions, str(found["python"]), *tests, *(str(found[name]) for name in ("shipped", *TAKEN))]


def test(python: str, name: str, words: Sequence[str]) -> str:
    """How many tests passed, of the selected ones."""
    tell(name)
    began = time.monotonic()
    command = [python, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    last = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
    tell(f"{name}: {last}; {time.monotonic() - began:.0f} s")
    if done.returncode:
        print(done.stdout[-5000:], done.stderr[-2000:], file=sys.stderr, flush=True)
        return "FAILED"
    return next(part.strip() for part in last.split(",") if "passed" in part)


def call(python: str, what: str, folder: Path) -> None:
    """Runs a part of this script in a version's Python."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run([python, __file__, "--inside", what, str(folder)], env=environment(), cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{folder.name}: {what} failed")


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


def tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


# From here on: inside a version's environment. Each has a folder beside those of the others.


def make(folder: Path) -> None:
    """Edits with the models that come with the package; trains a run, edits with it and exports it."""
    import numpy as np

    edits = {}
    for model in ("faces", "portraits"):
        for number, edited in enumerate(edit(model)):
            edits[f"{model}{number}"] = edited
    train(folder / "run", STEPS)
    export = ["export", "--run", str(folder / "run"), "--out", str(folder / "export"), "--version", "1"]
    elegant_tf(*export)
    edits["run"] = edit(str(folder / "run"))
    edits["export"] = run_export(folder / "export" / "1")
    np.savez(folder / "edits.npz", **edits)


TAKEN = ("exports", "edits", "trained")


def take(folder: Path) -> None:
    """Compares edits with those of the script's own TensorFlow; runs the others' exports; goes on with their runs."""
    import platform

    import keras
    import numpy as np
    import tensorflow as tf

    mine, reference = (np.load(folder.parent / name / "edits.npz") for name in (folder.name, HERE))
    shipped = [name for name in reference.files if name not in ("run", "export")]
    furthest: dict[str, list[int]] = {"exports": [], "edits": []}
    trained = []
    others = [path.parent for path in sorted(folder.parent.glob("*/edits.npz")) if path.parent != folder]
    for other in others:
        theirs = np.load(other / "edits.npz")
        furthest["exports"].append(distance(run_export(other / "export" / "1"), theirs["export"]))
        furthest["edits"].append(distance(edit(str(other / "run")), theirs["run"]))
        copy = folder / f"run of {other.name}"
        shutil.copytree(other / "run", copy)
        trained.append("begins anew" not in train(copy, 2 * STEPS))
    found = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
        "shipped": within([distance(mine[name], reference[name]) for name in shipped]),
        **{name: f"{len(others)}, {within(distances)}" for name, distances in furthest.items()},
        "trained": f"{len(others)}, with {sum(trained)} optimizers' state",
    }
    (folder / "found.json").write_text(json.dumps(found))


def edit(model: str):
    """Swaps of every attribute between two drawn faces, and of all at once."""
    import numpy as np

    from elegant_tf.editor import Editor
    from elegant_tf.synthetic import make_face

    editor = Editor.load(model)
    face, exemplar = (make_face(3, number).draw(editor.image_size) for number in (0, 1))
    names = list(editor.attributes)
    return np.stack([editor.swap(face, exemplar, chosen) for chosen in ([name] for name in names)])


def run_export(path: Path):
    """What an export's `serving_default` answers to two drawn faces."""
    import io

    import numpy as np
    import tensorflow as tf
    from PIL import Image

    from elegant_tf.synthetic import make_face

    files = []
    for number in (0, 1):
        file = io.BytesIO()
        Image.fromarray(make_face(3, number).draw(96)).save(file, "PNG")
        files.append(file.getvalue())
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    answer = serve(image=tf.constant(files[:1]), exemplar=tf.constant(files[1:]), weights=tf.constant([[1.0, 0.5]]))
    return np.asarray(Image.open(io.BytesIO(answer["edited_bytes"].numpy()[0])))


def distance(one, other) -> int:
    import numpy as np

    return int(np.abs(one.astype(int) - other.astype(int)).max())


def within(distances: Sequence[int]) -> str:
    most = max(distances)
    return "FAILED" * (most > 1) + ("the same" if most == 0 else f"within {most}/255")


def train(run: Path, steps: int) -> str:
    """Trains a run to a step; returns what was printed."""
    return elegant_tf("train", f"--run_dir={run}", f"--steps={steps}", *TRAIN.split())


def elegant_tf(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "elegant_tf", *words], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"elegant-tf {' '.join(words)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
