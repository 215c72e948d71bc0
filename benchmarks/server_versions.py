"""Runs exports of today's package in older and newer versions of TensorFlow, as servers of their age do.

    python benchmarks/server_versions.py --run faces runs/tiny

Makes a virtual environment for each version in turn, in a temporary folder that is removed before the next, and runs
every signature of every export there on the same inputs. Prints a table of what is the same as in the version that
wrote the exports. Needs pip, a package index and 3 GB of disk; a C compiler for the column `C API`. The part that runs
inside the environments is plain TensorFlow. `--ops FILE` also writes which ops, with which attributes, the first of the
versions knows; tests/server_ops.json is such a file.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("2.15.1", "2.16.2", "2.17.1", "2.18.1", "2.19.1", "2.20.0", "2.21.0")
FORMATS = {"JPEG": "jpg", "PNG": "png", "WebP": "webp", "GIF": "gif", "BMP": "bmp"}
# `tensorflow-cpu` is the same library without what GPUs need, half as large.
PACKAGES = ("tensorflow-cpu", "tensorflow")
HEADINGS = ("TensorFlow", "signatures", "pixels", "codes", "image formats", "errors and status", "C API")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="+", default=["faces"], metavar="RUN", help="what to export")
    parser.add_argument("--versions", nargs="+", default=VERSIONS, metavar="VERSION")
    parser.add_argument("--ops", type=Path, metavar="FILE")
    parser.add_argument("--answer", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        answer(arguments.answer)
        return 0
    with tempfile.TemporaryDirectory() as name:
        return compare(Path(name), arguments)


def compare(folder: Path, arguments: argparse.Namespace) -> int:
    """Prints the table; the exit status is 1 if an export does not run somewhere."""
    write_exports(folder / "exports", arguments.run)
    write_photos(folder / "photos")
    expected = ask(sys.executable, folder)
    print("| " + " | ".join(HEADINGS) + " |")
    print("|---" * len(HEADINGS) + "|", flush=True)
    status = 0
    for number, version in enumerate(arguments.versions):
        try:
            with tempfile.TemporaryDirectory() as place:
                found = ask(make_environment(Path(place), version), folder)
        except subprocess.CalledProcessError as error:
            lines = (error.stderr or error.output or "").strip().splitlines() or ["nothing was printed"]
            print(f"| {version} | failed: {lines[-1]} |" + " |" * (len(HEADINGS) - 2), flush=True)
            status = 1
            continue
        print("| " + " | ".join(row(found, expected)) + " |", flush=True)
        for difference in differences(found, expected):
            print(f"{version}: {difference}", file=sys.stderr)
            status = 1
        if arguments.ops and number == 0:
            write_ops(arguments.ops, found)
    return status


def write_exports(folder: Path, runs: list[str]) -> None:
    """Every run twice: plainly, and with `--status`."""
    for number, run in enumerate(runs, 1):
        for version, options in ((1, []), (2, ["--status"])):
            words = ["export", "--run", run, "--out", str(folder / str(number)), "--version", str(version), *options]
            subprocess.run([sys.executable, "-m", "elegant_tf", *words], cwd=ROOT, check=True, stdout=sys.stderr)


def write_photos(folder: Path) -> None:
    """A drawn face in every format, and files that are refused."""
    from PIL import Image

    sys.path.insert(0, str(ROOT))
    from elegant_tf.synthetic import make_face

    folder.mkdir()
    faces = [Image.fromarray(make_face(7, index).draw(180)).crop((0, 0, 180, 150)) for index in range(len(FORMATS))]
    for face, (name, suffix) in zip(faces, FORMATS.items(), strict=True):
        face.save(folder / f"face.{suffix}", name.upper(), **({"quality": 95} if name == "JPEG" else {}))
    whole = (folder / "face.jpg").read_bytes()
    moving = io.BytesIO()
    faces[0].save(moving, "WEBP", save_all=True, append_images=faces[1:])
    giant = bytearray((folder / "face.png").read_bytes())
    giant[16:24] = b"\0\1\0\0" * 2  # 65,536 x 65,536
    spoilt = {
        "text": b"no image",
        "nothing": b"",
        "half a JPEG": whole[: len(whole) // 2],
        "half a PNG": (folder / "face.png").read_bytes()[:3000],
        "a giant": bytes(giant),
        "an animation": moving.getvalue(),
    }
    for name, data in spoilt.items():
        (folder / f"{name}.bad").write_bytes(data)


def make_environment(folder: Path, version: str, *others: str) -> str:
    """The Python of a new environment with this TensorFlow, and with other packages."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, text=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--only-binary=:all:"]
    for number, package in enumerate(PACKAGES, 1):
        done = subprocess.run([*pip, f"{package}=={version}", *others], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return python
        if number == len(PACKAGES):
            done.check_returncode()
    raise AssertionError("unreachable")


def ask(python: str, folder: Path) -> dict[str, Any]:
    """What this Python's TensorFlow answers."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1", "CUDA_VISIBLE_DEVICES": ""}
    words = [python, "-I", str(Path(__file__).resolve()), "--answer", str(folder)]
    subprocess.run(words, env=environment, cwd=folder, check=True, capture_output=True, text=True)
    return json.loads((folder / "answers.json").read_text())


def row(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """A line of the table."""
    pixels, numbers, signatures, formats, same = [0.0], [0.0], set(), set(), True
    for key, made in found["answers"].items():
        signature, case = key.split("/")[1:]
        wanted = expected["answers"][key]
        if case in FORMATS:
            if "error" in made or any(made.get("status", [])):
                continue
            formats.add(case)
        if "error" in made or "error" in wanted:
            same &= made.get("error") == wanted.get("error")
            continue
        signatures.add(signature)
        for name, values in made.items():
            if name.endswith("_bytes"):
                pixels += [furthest(*pair) for pair in zip(values, wanted[name], strict=True)]
            elif holds_text(values):
                same &= values == wanted[name]
            else:
                numbers.append(furthest(values, wanted[name]) / furthest(wanted[name], 0))
    lacking = [name for name in FORMATS if name not in formats]
    return [
        found["version"],
        f"all {len(signatures)}" if len(signatures) == len(expected["signatures"]) else ", ".join(sorted(signatures)),
        "the same" if max(pixels) == 0 else f"within {max(pixels):.0f} of 255",
        "the same" if max(numbers) == 0 else f"within {max(numbers):.0e}",
        "all" if not lacking else f"all but {', '.join(lacking)}",
        "the same" if same else "differ",
        "the same" if found["c"] == expected["c"] else str(found["c"])[:100],
    ]


def furthest(one: Any, other: Any) -> float:
    """The largest difference of two lists of numbers; infinite if their shapes differ."""
    import numpy as np

    a, b = np.array(one, float), np.array(other, float)
    if a.shape != b.shape and b.ndim:
        return float("inf")
    return float(np.abs(a - b).max(initial=0))


def holds_text(values: Any) -> bool:
    return bool(values) and isinstance(values[0], str)


def differences(found: dict[str, Any], expected: dict[str, Any]) -> Iterator[str]:
    """Which errors and texts are not the same."""
    for key, wanted in expected["answers"].items():
        made = found["answers"][key]
        if key.split("/")[2] in FORMATS:  # these have a column
            continue
        for name in {**wanted, **made}:
            one, other = made.get(name), wanted.get(name)
            if one != other and (name == "error" or one is None or holds_text(one)):
                yield f"{key}: {name} {one}; expected {other}"


def write_ops(file: Path, found: dict[str, Any]) -> None:
    lines = [f"{json.dumps(name)}: {json.dumps(attributes)}" for name, attributes in sorted(found["ops"].items())]
    head = f'"tensorflow": {json.dumps(found["version"])},\n"graph_version": {found["graph_version"]}'
    file.write_text("{\n" + head + ',\n"ops": {\n' + ",\n".join(lines) + "\n}}\n")


# From here on: plain TensorFlow, inside an environment.


def answer(folder: Path) -> None:
    """Runs the exports in `folder` on its photos, and writes what they answer."""
    import tensorflow as tf
    from tensorflow.python.framework import op_def_registry  # there is no public list of the attributes of ops

    files = {path.name: path.read_bytes() for path in sorted((folder / "photos").iterdir())}
    answers, signatures = {}, set()
    for path in sorted((folder / "exports").glob("*/*")):
        model = tf.saved_model.load(str(path))
        signatures |= set(model.signatures)
        for signature, case, inputs in cases(model.signatures, files):
            key = f"{path.parent.name} {path.name}/{signature}/{case}"
            answers[key] = run(model.signatures[signature], inputs)
    found = {
        "version": tf.__version__,
        "graph_version": tf.version.GRAPH_DEF_VERSION,
        "signatures": sorted(signatures),
        "answers": answers,
        "c": run_in_c(folder),
        "ops": {
            name: [attribute.name for attribute in definition.attr]
            for name in dir(tf.raw_ops)
            if (definition := op_def_registry.get(name))
        },
    }
    (folder / "answers.json").write_text(json.dumps(found))


def cases(signatures: Any, files: dict[str, bytes]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Requests: the signature, what is special, and the inputs."""
    import numpy as np
    import tensorflow as tf

    names = signatures["metadata"](id=tf.constant([0]))["attributes"][0]
    rows = tf.one_hot([0, 1], len(names)) * [[1.0], [0.5]]
    image = tf.constant([files["face.jpg"], files["face.png"]])
    exemplar = image[::-1]
    code = signatures["encode"](image=exemplar)["code"]
    ramp = np.linspace(-1, 1, 2 * 64 * 64 * 3, dtype=np.float32).reshape(2, 64, 64, 3)
    swap = {"image": image, "exemplar": exemplar, "weights": rows}
    yield "serving_default", "", swap
    yield "edit", "", {"images": ramp, "exemplars": ramp[:, None, ::-1], "weights": rows[:, None]}
    yield "encode", "", {"image": image}
    yield "edit_with_code", "", {"image": image, "code": code, "weights": rows}
    both = {"codes": tf.stack([code, code[::-1]], 1), "weights": tf.stack([rows, rows[::-1]], 1)}
    yield "edit_with_codes", "", {"image": image, **both}
    yield "interpolate", "", {**swap, "steps": tf.constant([2, 3])}
    yield "metadata", "", {"id": tf.constant([1, 2])}
    for name, suffix in FORMATS.items():
        one = tf.constant([files[f"face.{suffix}"]])
        yield "serving_default", name, {"image": one, "exemplar": one, "weights": rows[:1]}
    bad = {name: data for name, data in files.items() if name.endswith(".bad")}
    for name, data in bad.items():
        one = tf.constant([data])
        yield "serving_default", name, {"image": one, "exemplar": image[:1], "weights": rows[:1]}
    together = tf.constant([*bad.values(), files["face.jpg"], files["face.png"]])
    exemplars = tf.repeat(image[:1], len(together), 0)
    weights = tf.concat([tf.repeat(rows[:1], len(together) - 1, 0), [[float("nan")] * len(names)]], 0)
    yield "serving_default", "joined", {"image": together, "exemplar": exemplars, "weights": weights}
    yield "serving_default", "too few columns", {**swap, "weights": rows[:, 1:]}


def run(signature: Callable[..., Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs as lists, images as pixels; or the error, what it says of the inputs if it names them."""
    import re

    import tensorflow as tf

    try:
        found = signature(**{name: tf.constant(value) for name, value in inputs.items()})
    except tf.errors.OpError as error:
        named = re.search(r"(image|exemplar|weights): .*?(?=\]|\n|$)", error.message)
        return {"error": [type(error).__name__, named.group() if named else "a decoder's message"]}
    return {name: listed(name, value.numpy()) for name, value in found.items()}


def listed(name: str, values: Any) -> Any:
    import tensorflow as tf

    if not name.endswith("_bytes"):
        return [value.decode() for value in values.flat] if values.dtype == object else values.tolist()
    return [tf.io.decode_image(data).numpy().astype(int).tolist() if data else [] for data in values.flat]


def run_in_c(folder: Path) -> Any:
    """The image that `serving_default` of the first export gives in a C program on TensorFlow's C API."""
    import tensorflow as tf

    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        return "no C compiler"
    export = min((folder / "exports").glob("*/*"))
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        model = tf.compat.v1.saved_model.load(session, ["serve"], str(export))
    signature = model.signature_def["serving_default"]
    inputs = [signature.inputs[name].name.split(":")[0] for name in ("image", "exemplar", "weights")]
    output = signature.outputs["edited_bytes"].name.split(":")
    library, program = Path(tf.sysconfig.get_lib()), str(folder / "serve")
    libraries = ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", f"-Wl,-rpath,{library}"]
    source = str(Path(__file__).resolve().parent.parent / "tests" / "serve.c")
    build = [compiler, source, f"-I{tf.sysconfig.get_include()}", f"-L{library}", *libraries, "-o", program]
    weights = ["1"] + ["0"] * (len(json.loads((export / "assets" / "metadata.json").read_text())["attributes"]) - 1)
    images = [str(folder / "photos" / name) for name in ("face.jpg", "face.png")]
    out = folder / "out.png"
    for words in (build, [program, str(export), *inputs, *output, *images, str(out), *weights]):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["failed"])[-1]
    return tf.io.decode_png(out.read_bytes()).numpy().tolist()


if __name__ == "__main__":
    sys.exit(main())
