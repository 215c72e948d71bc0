from __future__ import annotations

import importlib.util
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
from PIL import Image

from elegant_tf import __version__
from elegant_tf.config import Config, preset
from elegant_tf.data.faces import make_face
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.export.savedmodel import ExportOptions, export_savedmodel, preset_of
from elegant_tf.images import resize, to_float
from elegant_tf.training.checkpoint import Checkpoints
from elegant_tf.training.step import Learner

NAMES = ("Eyeglasses", "Bangs", "Smiling")  # those of tiny_run
SIZE = 32


def encoded(image, name="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, name, **({"quality": 95} if name == "JPEG" else {}))
    return file.getvalue()


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def assert_close(found, expected, allowed=1):
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= allowed


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory) -> Path:
    return export_savedmodel(tiny_run, tmp_path_factory.mktemp("models") / "elegant")


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported)).signatures


@pytest.fixture(scope="module")
def editor(tiny_run):
    return Editor.load(tiny_run)


@pytest.fixture(scope="module")
def faces():
    """Pictures of several sizes."""
    sides = [(32, 32), (60, 60), (90, 70), (48, 100)]
    drawn = [make_face(3, index).draw(100) for index in range(4)]
    return [np.asarray(Image.fromarray(face).resize(side)) for face, side in zip(drawn, sides, strict=True)]


def weights(*rows):
    return tf.constant(rows, tf.float32)


def test_versions_and_files(exported, tiny_run):
    assert exported.name == "4"  # the run's step
    assert [path.name for path in exported.parent.iterdir()] == ["4"]
    assert (exported / "saved_model.pb").is_file()
    assert not (exported / "metadata.json").exists()
    described = json.loads((exported / "assets" / "metadata.json").read_text())
    assert described["attributes"] == list(NAMES)
    assert (described["image_size"], described["step"], described["preset"]) == (SIZE, 4, "custom")
    assert described["elegant_tf"] == __version__
    assert Config.from_json(json.dumps(described["config"])) == Config.load(tiny_run)


def test_serving_default_is_the_editors_swap(signatures, editor, faces):
    images, exemplars = faces, faces[::-1]
    rows = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    found = signatures["serving_default"](
        image=tf.constant([encoded(image) for image in images]),
        exemplar=tf.constant([encoded(image) for image in exemplars]),
        weights=tf.constant(rows),
    )
    assert list(found) == ["edited_bytes"]
    for index, data in enumerate(found["edited_bytes"].numpy()):
        expected = editor.swap(images[index], exemplars[index], [NAMES[rows[index].argmax()]])
        assert_close(decoded(data), expected)


@pytest.mark.parametrize("name", ["JPEG", "GIF", "BMP", "WEBP"])
def test_formats(signatures, editor, faces, name, tmp_path):
    from elegant_tf.images import read_image

    data = [encoded(face, name) for face in faces[2:]]
    for index, picture in enumerate(data):
        (tmp_path / str(index)).write_bytes(picture)
    found = signatures["serving_default"](
        image=tf.constant(data[:1]), exemplar=tf.constant(data[1:]), weights=weights([0.5, 1, 0])
    )
    images = [read_image(tmp_path / str(index)) for index in range(2)]
    assert_close(decoded(found["edited_bytes"].numpy()[0]), editor.swap(*images, NAMES[:2], [0.5, 1.0]))


def test_edit_takes_floats_and_several_exemplars(signatures, editor, faces):
    pictures = [resize(face, SIZE) for face in faces]
    rows = np.zeros((1, 3, 3), np.float32)
    rows[0, [0, 1, 2], [0, 1, 2]] = 1
    found = signatures["edit"](
        images=tf.constant(to_float(pictures[0])[None]),
        exemplars=tf.constant(np.stack([to_float(picture) for picture in pictures[1:]])[None]),
        weights=tf.constant(rows),
    )
    edited, residual = found["edited"].numpy()[0], found["residual"].numpy()[0]
    assert_close(np.rint((edited + 1) * 127.5), editor.swap(pictures[0], pictures[1:], NAMES))
    np.testing.assert_allclose(np.clip(to_float(pictures[0]) + residual, -1, 1), edited, atol=1e-6)


def test_edit_takes_other_sizes(signatures):
    images = tf.zeros([2, 48, 48, 3])
    found = signatures["edit"](images=images, exemplars=images[:, None], weights=tf.ones([2, 1, 3]))
    assert found["edited"].shape == (2, 48, 48, 3)


def test_exemplars_encoded_once(signatures, editor, faces):
    code = signatures["encode"](image=tf.constant([encoded(face) for face in faces]))["code"]
    assert code.shape == (4, 4, 4, 16)
    rows = weights(*[[1, 0, 1]] * 4)
    alone = signatures["edit_with_code"](image=tf.constant([encoded(faces[0])]), code=code, weights=rows)
    each = signatures["edit_with_code"](image=tf.constant([encoded(faces[0])] * 4), code=code, weights=rows)
    np.testing.assert_allclose(alone["edited"], each["edited"], atol=1e-5)
    for index, data in enumerate(alone["edited_bytes"].numpy()):
        expected = editor.swap(faces[0], faces[index], ["Eyeglasses", "Smiling"])
        assert_close(decoded(data), expected)
        assert_close(np.rint((alone["edited"][index].numpy() + 1) * 127.5), expected)


@pytest.mark.parametrize("steps", [1, 4])
def test_interpolate_is_the_editors_linear(signatures, editor, faces, steps):
    found = signatures["interpolate"](
        image=tf.constant([encoded(face) for face in faces[:2]]),
        exemplar=tf.constant([encoded(face) for face in faces[2:]]),
        weights=weights([1, 0, 0], [0, 0, 1]),
        steps=tf.constant(steps),
    )["edited_bytes"].numpy()
    assert found.shape == (2, steps)
    for index, name in enumerate(["Eyeglasses", "Smiling"]):
        expected = editor.linear(faces[index], faces[index + 2], [name], steps)
        for data, picture in zip(found[index], expected, strict=True):
            assert_close(decoded(data), picture)


def test_metadata(signatures, exported):
    found = signatures["metadata"]()
    assert [name.decode() for name in found["attributes"].numpy()] == list(NAMES)
    assert json.loads(found["json"].numpy()) == json.loads((exported / "assets" / "metadata.json").read_text())


GOOD = encoded(make_face(3, 0).draw(32))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": [b"no picture"]}, "image: is no JPEG"),
        ({"image": [], "exemplar": [], "weights": np.zeros((0, 3), np.float32)}, "image: must be one picture at least"),
        ({"exemplar": [GOOD[:99]]}, r"exemplar(_\d+)?/map/"),
        ({"exemplar": [GOOD, GOOD]}, "exemplar: must be as many as image"),
        ({"weights": [[1.0, 0.0]]}, "weights: must have 3 columns"),
        ({"weights": [[1.0, 0.0, 0.0, 0.0]]}, "weights: must have 3 columns"),
        ({"weights": [[1.0, float("nan"), 0.0]]}, "weights: must be finite"),
        ({"weights": [[1.0, 0.0, 0.0]] * 2}, "weights: must be as many as image"),
    ],
)
def test_wrong_inputs_of_swaps_are_named(signatures, changed, message):
    inputs = {"image": [GOOD], "exemplar": [GOOD], "weights": [[1.0, 0.0, 0.0]], **changed}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures["serving_default"](
            **{
                name: tf.constant(value, tf.float32 if name == "weights" else tf.string)
                for name, value in inputs.items()
            }
        )


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("edit", {"images": tf.zeros([1, 30, 30, 3])}, "images: must be .* a multiple of 8"),
        ("edit", {"images": tf.zeros([1, 32, 40, 3])}, "images: must be"),
        ("edit", {"images": tf.zeros([1, 32, 32, 1])}, "images: must be"),
        ("edit", {"images": tf.zeros([1, 40, 40, 3])}, "exemplars: must have the size of images"),
        ("edit", {"images": tf.fill([1, 32, 32, 3], 255.0)}, "images: must be numbers from -1 to 1"),
        ("edit", {"exemplars": tf.fill([1, 2, 32, 32, 3], float("nan"))}, "exemplars: must be numbers"),
        ("edit", {"weights": tf.zeros([1, 1, 3])}, r"weights: must be \[N, K, n\]"),
        ("edit", {"exemplars": tf.zeros([2, 2, 32, 32, 3])}, "exemplars: must be as many as images"),
        ("edit_with_code", {"code": tf.zeros([1, 4, 4, 8])}, r"code: must be \[N, 4, 4, 16\]"),
        ("edit_with_code", {"code": tf.fill([1, 4, 4, 16], float("inf"))}, "code: must be finite"),
        ("edit_with_code", {"image": tf.constant([GOOD, GOOD])}, "image: must be one picture, or one for each"),
        ("interpolate", {"steps": tf.constant(0)}, "steps: must be 1 to 64"),
        ("interpolate", {"steps": tf.constant(10**6)}, "steps: must be 1 to 64"),
    ],
)
def test_wrong_inputs_are_named(signatures, name, inputs, message):
    right = {
        "edit": {
            "images": tf.zeros([1, 32, 32, 3]),
            "exemplars": tf.zeros([1, 2, 32, 32, 3]),
            "weights": tf.zeros([1, 2, 3]),
        },
        "edit_with_code": {
            "image": tf.constant([GOOD]),
            "code": tf.zeros([1, 4, 4, 16]),
            "weights": tf.zeros([1, 3]),
        },
        "interpolate": {
            "image": tf.constant([GOOD]),
            "exemplar": tf.constant([GOOD]),
            "weights": tf.zeros([1, 3]),
            "steps": tf.constant(2),
        },
    }[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures[name](**{**right, **inputs})


def test_needs_tensorflow_alone(exported, tmp_path):
    """In a process that cannot import elegant_tf, by a directory copied elsewhere."""
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
    tf.io.gfile.makedirs(str(moved.parent))
    subprocess.run(["cp", "-r", str(exported), str(moved)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", program, str(moved)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "(32, 32, 3)", done.stderr


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


def test_an_older_checkpoint_and_float64(tmp_path):
    config = tiny.config(precision="float64", batch_size=2)
    learner = Learner(config)
    (tmp_path / "run").mkdir()
    config.save(tmp_path / "run")
    checkpoints = Checkpoints(learner, tmp_path / "run", 3)
    for step in (1, 2):
        checkpoints.save(step)
        learner.update(tiny.batch(config))
    assert export_savedmodel(tmp_path / "run", tmp_path / "models", step=1).name == "1"


def test_an_existing_version_stays(exported, tiny_run):
    before = sorted(exported.parent.rglob("*"))
    with pytest.raises(UserError, match="has version 4 already"):
        export_savedmodel(tiny_run, exported.parent)
    assert sorted(exported.parent.rglob("*")) == before


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


def test_presets_by_name():
    assert preset_of(preset("demo", seed=3)) == "demo"
    assert preset_of(preset("official", attributes=("Bangs",), image_size=64, steps=7)) == "official"
    assert preset_of(preset("demo", width=32)) == "custom"


def test_the_script(tiny_run, tmp_path):
    script = ["export_savedmodel.py", f"--run_dir={tiny_run}", f"--export_dir={tmp_path / 'm'}"]
    done = commands.run([*script, "--version=3"])
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "m" / "3")), done.stderr
    done = commands.run([*script, "--version=3"])
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: --export_dir=")
    if importlib.util.find_spec("ai_edge_litert"):
        done = commands.run([*script, "--version=5", "--tflite=float16"])
        assert done.stdout.splitlines() == [str(tmp_path / "m" / "5"), str(tmp_path / "m" / "tflite" / "5")]
        assert (tmp_path / "m" / "tflite" / "5" / "elegant_float16.tflite").is_file()
    done = commands.run(["export_savedmodel.py", f"--run_dir={tmp_path}", f"--export_dir={tmp_path}"])
    assert done.returncode == 2
    assert "is not a run directory" in done.stderr


@pytest.fixture(scope="module")
def server(exported, tmp_path_factory):
    """A C program over TensorFlow's C API that runs `serving_default`; gives status, message and the edited picture."""
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
        model = tf.compat.v1.saved_model.load(session, ["serve"], str(exported))
    signature = model.signature_def["serving_default"]
    inputs = [signature.inputs[name].name.split(":")[0] for name in ("image", "exemplar", "weights")]
    output = signature.outputs["edited_bytes"].name.split(":")

    def run(image, exemplar, weights):
        (folder / "image").write_bytes(image)
        (folder / "exemplar").write_bytes(exemplar)
        files = [str(folder / name) for name in ("image", "exemplar", "out")]
        words = [str(folder / "serve"), str(exported), *inputs, *output, *files, *map(str, weights)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stderr, folder / "out"

    return run


def test_a_c_program_serves_it(server, editor, faces):
    status, message, out = server(encoded(faces[2], "JPEG"), encoded(faces[3]), [0, 1, 0])
    assert status == 0, message
    with Image.open(io.BytesIO(encoded(faces[2], "JPEG"))) as image:
        expected = editor.swap(np.asarray(image), faces[3], ["Bangs"])
    assert_close(decoded(out.read_bytes()), expected)


@pytest.mark.parametrize(
    ("image", "weights", "message"),
    [
        (b"no picture", [0, 1, 0], "image: is no JPEG"),
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
