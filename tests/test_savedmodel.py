from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import pytest
import tensorflow as tf
import tiny
from image_files import GOOD, assert_close, decoded, encoded, faces_of_several_sizes
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from elegant_tf import __version__
from elegant_tf.config import Config
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.export.savedmodel import ExportOptions, export_savedmodel
from elegant_tf.marks import EDITED, model_hash
from elegant_tf.rundir import read_config, write_config
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints

NAMES = ("Eyeglasses", "Bangs", "Smiling")  # those of tiny_run
SIZE = 32
FACES = faces_of_several_sizes()


def test_versions_and_files(tiny_export, tiny_run):
    assert tiny_export.name == "4"  # the run's step
    assert [path.name for path in tiny_export.parent.iterdir()] == ["4"]
    assert (tiny_export / "saved_model.pb").is_file()
    assert not (tiny_export / "metadata.json").exists()
    described = json.loads((tiny_export / "assets" / "metadata.json").read_text())
    assert described["attributes"] == list(NAMES)
    assert (described["image_size"], described["step"], described["elegant_tf"]) == (SIZE, 4, __version__)
    assert Config.from_json(json.dumps({"version": 1, **described["config"]})) == read_config(tiny_run)
    assert described["model_sha256"] == model_hash(tiny_run, 4)[0]
    assert described["marking"]["digital_source_type"] == EDITED
    assert "Images that this model edits must say so" in described["marking"]["notice"]


@pytest.mark.parametrize("export", ["tiny_export", "status_export"])
def test_an_older_server_knows_every_op(export, request):
    """`benchmarks/server_versions.py --ops tests/server_ops.json` wrote what the oldest server that is tested knows."""
    known = json.loads((commands.ROOT / "tests" / "server_ops.json").read_text())
    model = saved_model_pb2.SavedModel.FromString((request.getfixturevalue(export) / "saved_model.pb").read_bytes())
    (graph,) = [meta.graph_def for meta in model.meta_graphs]
    assert graph.versions.min_consumer <= known["graph_version"]
    functions = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    used = {(node.op, name) for node in nodes if node.op not in functions for name in ("", *node.attr)}
    assert len(used) > 100
    lacking = {
        f"{op} {name}"
        for op, name in used
        if op not in known["ops"] or (name and not name.startswith("_") and name not in known["ops"][op])
    }
    assert not lacking, f"TensorFlow {known['tensorflow']} lacks {lacking}: export without them"


def test_needs_tensorflow_alone(tiny_export, tmp_path):
    """Served by a process that cannot import elegant_tf, from a copy of the directory."""
    program = """
import sys
sys.modules["elegant_tf"] = sys.modules["keras"] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
image = tf.io.encode_png(tf.zeros([40, 40, 3], tf.uint8))[None]
found = model.signatures["serving_default"](image=image, exemplar=image, weights=tf.zeros([1, 3]))
print(tf.io.decode_png(found["edited_bytes"][0]).shape)
"""
    moved = tmp_path / "elsewhere" / "7"
    shutil.copytree(tiny_export, moved)
    done = subprocess.run(
        [sys.executable, "-c", program, str(moved)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "(32, 32, 3)", done.stderr


def test_saved_model_cli(tiny_export, tiny_editor, tmp_path):
    """TensorFlow's command shows the signatures and runs one."""
    cli = [str(Path(sys.executable).with_name("saved_model_cli"))]
    model = ["--dir", str(tiny_export), "--tag_set", "serve", "--signature_def", "serving_default"]
    shown = subprocess.run([*cli, "show", *model], capture_output=True, text=True, timeout=300).stdout
    found = re.findall(r"(?:inputs|outputs)\['(\w+)'\] tensor_info:\s+dtype: (\w+)\s+shape: (.*)", shown)
    strings = {(name, "DT_STRING", "(-1)") for name in ("image", "exemplar", "edited_bytes")}
    assert set(found) == strings | {("weights", "DT_FLOAT", "(-1, -1)")}
    inputs = {"image": np.array([encoded(FACES[0])]), "exemplar": np.array([encoded(FACES[1])])}
    np.savez(tmp_path / "inputs.npz", **inputs, weights=np.array([[0, 1, 0]], np.float32))
    given = ";".join(f"{name}={tmp_path / 'inputs.npz'}[{name}]" for name in (*inputs, "weights"))
    run = [*cli, "run", *model, "--inputs", given, "--outdir", str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (edited,) = np.load(tmp_path / "edited_bytes.npy", allow_pickle=True)
    assert_close(decoded(edited), tiny_editor.swap(FACES[0], FACES[1], ["Bangs"]))


def test_options(tiny_run, tmp_path):
    options = ExportOptions(version=12, image_size=48, resize="pad", encoding="jpeg")
    path = export_savedmodel(tiny_run, tmp_path, options)
    assert path == tmp_path / "12"
    black = np.zeros((16, 48, 3), np.uint8)
    data = tf.constant([encoded(black)])
    signatures = tf.saved_model.load(str(path)).signatures
    found = signatures["edit_with_code"](
        image=data, code=signatures["encode"](image=data)["code"], weights=tf.zeros([1, 3])
    )
    assert found["edited_bytes"].numpy()[0][:3] == b"\xff\xd8\xff"
    assert decoded(found["edited_bytes"].numpy()[0]).shape == (48, 48, 3)
    padded = np.pad(black, [(16, 16), (0, 0), (0, 0)], constant_values=255)
    expected = Editor.load(tiny_run, 48).swap(padded, padded, ["Bangs"])
    assert_close(np.rint((found["edited"].numpy()[0] + 1) * 127.5), expected)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_lower_precision(tiny_run, tmp_path, signatures, precision):
    path = export_savedmodel(tiny_run, tmp_path, ExportOptions(precision=precision))
    inputs = {"image": tf.constant([GOOD]), "exemplar": tf.constant([GOOD]), "weights": tf.ones([1, 3])}
    found = tf.saved_model.load(str(path)).signatures["serving_default"](**inputs)["edited_bytes"].numpy()[0]
    expected = signatures["serving_default"](**inputs)["edited_bytes"].numpy()[0]
    assert_close(decoded(found), decoded(expected), 16)


def test_an_older_checkpoint_and_float64(quick_training, tmp_path):
    config = tiny.config(precision="float64", batch_size=2)
    learner = make_learner(config)
    write_config(config, tmp_path / "run")
    checkpoints = Checkpoints(learner, tmp_path / "run", 3)
    for step in (1, 2):
        checkpoints.save(step)
        learner.update(tiny.batch(config))
    assert export_savedmodel(tmp_path / "run", tmp_path / "models", step=1).name == "1"


def test_an_existing_version_stays(tiny_export, tiny_run):
    before = sorted(tiny_export.parent.rglob("*"))
    with pytest.raises(UserError, match="has version 4 already; choose another --version"):
        export_savedmodel(tiny_run, tiny_export.parent)
    assert sorted(tiny_export.parent.rglob("*")) == before


def test_mistakes(tiny_run, tmp_path):
    with pytest.raises(UserError, match="--resize=fit: must be one of crop, pad, stretch"):
        ExportOptions(resize="fit")
    with pytest.raises(UserError, match="--version=-1"):
        ExportOptions(version=-1)
    with pytest.raises(UserError, match="--image_size=50: must be a multiple of 8"):
        export_savedmodel(tiny_run, tmp_path, ExportOptions(image_size=50))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        export_savedmodel(tiny_run, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture(scope="module")
def server(tiny_export, tmp_path_factory):
    """A C program on TensorFlow's C API that runs `serving_default`; returns status, message and the edited image."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("server")
    library = Path(tf.sysconfig.get_lib())
    libraries = ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", f"-Wl,-rpath,{library}"]
    source = str(commands.ROOT / "tests" / "serve.c")
    include = tf.sysconfig.get_include()
    command = [compiler, source, f"-I{include}", f"-L{library}", *libraries, "-o", str(folder / "serve")]
    subprocess.run(command, check=True)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        model = tf.compat.v1.saved_model.load(session, ["serve"], str(tiny_export))
    signature = model.signature_def["serving_default"]
    inputs = [signature.inputs[name].name.split(":")[0] for name in ("image", "exemplar", "weights")]
    output = signature.outputs["edited_bytes"].name.split(":")

    def run(image, exemplar, weights):
        (folder / "image").write_bytes(image)
        (folder / "exemplar").write_bytes(exemplar)
        files = [str(folder / name) for name in ("image", "exemplar", "out")]
        words = [str(folder / "serve"), str(tiny_export), *inputs, *output, *files, *map(str, weights)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stderr, folder / "out"

    return run


def test_a_c_program_serves_it(server, tiny_editor):
    status, message, out = server(encoded(FACES[2], "JPEG"), encoded(FACES[3]), [0, 1, 0])
    assert status == 0, message
    with Image.open(io.BytesIO(encoded(FACES[2], "JPEG"))) as image:
        expected = tiny_editor.swap(np.asarray(image), FACES[3], ["Bangs"])
    assert_close(decoded(out.read_bytes()), expected)


@pytest.mark.parametrize(
    ("image", "weights", "message"),
    [
        (b"no image", [0, 1, 0], "image: is not a JPEG"),
        (GOOD[:100], [0, 1, 0], r"image(_\d+)?/map/"),
        (GOOD, [0, 1], "weights: must have 3 columns"),
        (GOOD, [0, "nan", 1], "weights: must be finite"),
    ],
)
def test_a_c_program_gets_invalid_argument(server, image, weights, message):
    status, found, _ = server(image, GOOD, weights)
    assert status == 3
    assert "code 3: " in found  # INVALID_ARGUMENT
    assert re.search(message, found)
