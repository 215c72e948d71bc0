from __future__ import annotations

import json
import logging
import sys

import numpy as np
import pytest

from elegant_tf.cli.main import main
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.export import tflite
from elegant_tf.images import to_float, to_uint8, write_image
from elegant_tf.rundir import read_model
from elegant_tf.synthetic import make_face

SIZE = 32


@pytest.fixture(scope="module")
def litert():
    return pytest.importorskip("ai_edge_litert.interpreter")


@pytest.fixture(scope="module")
def written(litert, tiny_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("phone") / "files"
    return out, tflite.export_tflite(tiny_run, out, pairs=12)


def faces():
    """Two drawn faces, and the same as inputs of a signature."""
    drawn = [make_face(5, index).draw(SIZE) for index in range(2)]
    return drawn, [to_float(face)[None] for face in drawn]


def test_without_litert_it_names_the_package_to_install(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(UserError, match=r"pip install 'elegant-tf\[tflite\]'"):
        tflite.export_tflite(tiny_run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_files_and_report(written):
    out, rows = written
    files = [f"elegant_{kind}.tflite" for kind in tflite.KINDS]
    assert sorted(path.name for path in out.iterdir()) == sorted([*files, "report.json", "report.md"])
    assert [row.kind for row in rows] == [*tflite.KINDS, "gpu"]
    report = json.loads((out / "report.json").read_text())
    assert [row["kind"] for row in report] == [*tflite.KINDS, "gpu"]
    table = (out / "report.md").read_text()
    assert all(file in table for file in (*files, "float16 throughout, as on a GPU"))
    assert rows[0].max_difference < 0.1
    assert rows[1].max_difference <= 2
    assert rows[0].psnr > max(row.psnr for row in rows[1:])
    assert 0 < rows[-1].max_difference <= 2
    for row in rows[:-1]:
        assert row.megabytes == pytest.approx((out / f"elegant_{row.kind}.tflite").stat().st_size / 1e6)
        assert row.milliseconds[1] > 0


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_a_file_edits_as_the_editor(written, litert, tiny_run, kind):
    out, _ = written
    interpreter = litert.Interpreter(model_path=str(out / f"elegant_{kind}.tflite"))
    assert set(interpreter.get_signature_list()) == {"swap", "encode", "edit_with_code"}
    drawn, (image, exemplar) = faces()
    weights = np.array([[0, 1, 0.5]], np.float32)
    swapped = interpreter.get_signature_runner("swap")(image=image, exemplar=exemplar, weights=weights)["edited"]
    expected = Editor.load(tiny_run).swap(*drawn, ["Bangs", "Smiling"], [1, 0.5]).astype(int)
    allowed = 1 if kind == "float32" else 3
    assert np.abs(to_uint8(swapped)[0] - expected).max() <= allowed
    code = interpreter.get_signature_runner("encode")(image=exemplar)["code"]
    edit = interpreter.get_signature_runner("edit_with_code")
    np.testing.assert_allclose(edit(image=image, code=code, weights=weights)["edited"], swapped, atol=1e-2)


def test_flip_tta_is_left_out(litert, tiny_run, flipping_run, tmp_path):
    tflite.export_tflite(flipping_run, tmp_path / "out", ["float32"], pairs=2)
    interpreter = litert.Interpreter(model_path=str(tmp_path / "out" / "elegant_float32.tflite"))
    drawn, (image, exemplar) = faces()
    swap = interpreter.get_signature_runner("swap")
    edited = swap(image=image, exemplar=exemplar, weights=np.array([[0, 1, 0]], np.float32))["edited"]
    expected = Editor.load(tiny_run).swap(*drawn, ["Bangs"]).astype(int)
    assert np.abs(to_uint8(edited)[0] - expected).max() <= 1


def test_metadata_travels_in_the_file(written, tiny_run):
    out, _ = written
    for kind in tflite.KINDS:
        found = tflite.read_metadata(out / f"elegant_{kind}.tflite")
        assert found["attributes"] == list(read_model(tiny_run).attributes)
        assert (found["image_size"], found["value_range"], found["step"]) == (SIZE, [-1.0, 1.0], 4)


def test_a_file_too_far_off_leaves_nothing(litert, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setitem(tflite.ALLOWED, "float16", 0.0)
    with pytest.raises(UserError, match=r"float16: an edited pixel is .* of 255 from the Keras model's, more than 0"):
        tflite.export_tflite(tiny_run, tmp_path / "out", ["float16"], pairs=2)
    assert not list(tmp_path.iterdir())


def test_images_of_ones_own_and_a_loss_on_gpus_that_is_told(litert, tiny_run, tmp_path, monkeypatch, caplog):
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for index, file in enumerate(files):
        write_image(file, np.random.default_rng(index).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    with caplog.at_level(logging.WARNING, "absl"):
        rows = tflite.export_tflite(tiny_run, tmp_path / "a", ["float32"], pairs=2, images=files)
        assert not caplog.text
        drawn = tflite.export_tflite(tiny_run, tmp_path / "b", ["float32"], pairs=2)
        assert [row.mean_difference for row in rows] != [row.mean_difference for row in drawn]
        monkeypatch.setattr(tflite, "ALLOWED_ON_GPU", 0.0)
        tflite.export_tflite(tiny_run, tmp_path / "c", ["float32"], pairs=2, images=files)
    assert "in float16 throughout, as on a GPU, an edited pixel is" in caplog.text
    with pytest.raises(UserError, match="--input: 1 images; give two or more"):
        tflite.export_tflite(tiny_run, tmp_path / "d", ["float32"], images=files[:1])


def test_mistakes(litert, tiny_run, tmp_path, written):
    with pytest.raises(UserError, match="--kinds or --tflite=int4: must be one or several of float32"):
        tflite.export_tflite(tiny_run, tmp_path / "out", ["int4"])
    with pytest.raises(UserError, match="exists already"):
        tflite.export_tflite(tiny_run, written[0])
    with pytest.raises(UserError, match="--image_size=50"):
        tflite.export_tflite(tiny_run, tmp_path / "out", image_size=50)


def test_the_command(litert, tiny_run, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["tflite", "--run", str(tiny_run), "--out", str(out), "--kinds", "float32", "--image_size", "64"]
    assert main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(out)
    assert printed[2].startswith("| elegant_float32.tflite |")
    assert tflite.read_metadata(out / "elegant_float32.tflite")["image_size"] == 64
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err
