"""TFLite files: their contents, their cost, and their distance from the run."""

from __future__ import annotations

import json
import logging
import re
import sys

import commands
import numpy as np
import pytest

from elegant_tf.cli.main import main
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation import evaluate as evaluation
from elegant_tf.evaluation.metrics.cost import Cost
from elegant_tf.evaluation.metrics.scores import Scores
from elegant_tf.export import tflite
from elegant_tf.export.examples import drawn_examples
from elegant_tf.export.footprint import THREADS
from elegant_tf.export.litert import parse_model
from elegant_tf.export.written import SavedModel, TFLiteModel, open_model
from elegant_tf.images import to_float, to_uint8
from elegant_tf.rundir import read_config, read_model
from elegant_tf.synthetic import make_face

SIZE = 32
INT8, FLOAT32 = 9, 0  # of `TensorType` in TFLite's schema


@pytest.fixture(scope="module")
def litert():
    return pytest.importorskip("ai_edge_litert.interpreter")


@pytest.fixture(scope="module")
def examples():
    return drawn_examples(attributes=3, size=SIZE, pairs=6)


@pytest.fixture(scope="module")
def written(litert, tiny_run, examples, tmp_path_factory):
    pytest.importorskip("litert_quantizer")
    out = tmp_path_factory.mktemp("phone") / "files"
    return out, tflite.export_tflite(tiny_run, out, load_examples=lambda: examples)


def faces():
    """Two drawn faces, and the same as inputs of a signature."""
    drawn = [make_face(5, index).draw(SIZE) for index in range(2)]
    return drawn, [to_float(face)[None] for face in drawn]


@pytest.mark.parametrize(
    ("module", "kinds", "text"),
    [
        ("ai_edge_litert.interpreter", ["float32"], r"TFLite files run in LiteRT: pip install 'elegant-tf\[tflite\]'"),
        ("litert_quantizer.quantizer", ["int8"], r"int8 files need LiteRT's quantizer: pip install"),
    ],
)
def test_without_a_package_it_is_named(tiny_run, tmp_path, monkeypatch, module, kinds, text):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=text):
        tflite.export_tflite(tiny_run, tmp_path / "out", kinds)
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
        assert 0 < row.peak_megabytes < 100
        assert abs(row.realised) <= tflite.LOST
        assert row.leak <= tflite.LEAKED


def test_convolutions_of_an_int8_file_are_int8(written):
    out, _ = written
    graphs = parse_model((out / "elegant_int8.tflite").read_bytes()).subgraphs
    assert len(graphs) == 3
    for graph in graphs:
        types = {len(tensor.shape): set() for tensor in graph.tensors if tensor.shape is not None}
        for tensor in graph.tensors:
            if tensor.shape is not None:
                types[len(tensor.shape)].add(tensor.type)
        assert INT8 in types[4]
        assert {graph.tensors[index].type for index in (*graph.inputs, *graph.outputs)} == {FLOAT32}


@pytest.mark.parametrize(("kind", "allowed"), [("float32", 1), ("float16", 3), ("int8", 12)])
def test_a_file_edits_as_the_editor(written, litert, tiny_run, kind, allowed):
    out, _ = written
    interpreter = litert.Interpreter(model_path=str(out / f"elegant_{kind}.tflite"))
    assert set(interpreter.get_signature_list()) == {"swap", "encode", "edit_with_code"}
    drawn, (image, exemplar) = faces()
    weights = np.array([[0, 1, 0.5]], np.float32)
    swapped = interpreter.get_signature_runner("swap")(image=image, exemplar=exemplar, weights=weights)["edited"]
    expected = Editor.load(tiny_run).swap(*drawn, ["Bangs", "Smiling"], [1, 0.5]).astype(int)
    assert np.abs(to_uint8(swapped)[0] - expected).max() <= allowed
    code = interpreter.get_signature_runner("encode")(image=exemplar)["code"]
    edit = interpreter.get_signature_runner("edit_with_code")
    np.testing.assert_allclose(edit(image=image, code=code, weights=weights)["edited"], swapped, atol=allowed / 100)


def test_flip_tta_is_left_out(litert, tiny_run, flipping_run, examples, tmp_path):
    tflite.export_tflite(flipping_run, tmp_path / "out", ["float32"], load_examples=lambda: examples)
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


@pytest.mark.parametrize(
    ("kind", "bound", "value", "text"),
    [
        ("float16", "PIXELS", {"float16": 0.0}, r"float16: an edited pixel is .* from the Keras model's, more than 0"),
        ("int8", "LEAKED", -9.0, r"int8: compared with the Keras model, the realised change is .* allowed are"),
    ],
)
def test_a_file_too_far_off_leaves_nothing(tiny_run, examples, tmp_path, monkeypatch, caplog, kind, bound, value, text):
    monkeypatch.setattr(tflite, bound, value)
    with pytest.raises(UserError, match=text):
        tflite.export_tflite(tiny_run, tmp_path / "out", [kind], load_examples=lambda: examples)
    assert not list(tmp_path.iterdir())
    with caplog.at_level(logging.WARNING, "absl"):
        tflite.export_tflite(tiny_run, tmp_path / "out", [kind], load_examples=lambda: examples, gate=False)
    assert (tmp_path / "out" / f"elegant_{kind}.tflite").is_file()
    assert f"{kind}: " in caplog.text


def test_a_loss_on_gpus_is_told(litert, tiny_run, examples, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tflite, "PIXELS_ON_GPU", 0.0)
    with caplog.at_level(logging.WARNING, "absl"):
        tflite.export_tflite(tiny_run, tmp_path / "out", ["float32"], load_examples=lambda: examples)
    assert "in float16 throughout, as on a GPU, an edited pixel is" in caplog.text


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
    assert main([*command[:-4], "--out", str(tmp_path / "b"), "--input", "a.png", "--data_dir", "b"]) == 2
    assert "--input and --data" in capsys.readouterr().err


def test_exported_models_are_editors(written, tiny_run, tiny_export, examples):
    out, _ = written
    coefficients = np.eye(3)[examples.attribute][:, None]
    inputs = (examples.inputs, examples.exemplars[:, None], coefficients)
    expected = Editor.load(tiny_run).edit(*inputs).astype(int)
    places = {out / "elegant_float32.tflite": TFLiteModel, tiny_export: SavedModel, tiny_export.parent: SavedModel}
    for place, kind in places.items():
        model = open_model(place)
        assert type(model) is kind
        assert (model.attributes, model.image_size, model.step) == (read_model(tiny_run).attributes, SIZE, 4)
        assert np.abs(model.edit(*inputs) - expected).max() <= 1
        assert model.config == read_config(tiny_run)
        assert 0 < model.megabytes < 10


def test_what_is_no_exported_model(litert, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "saved_model.pb").write_bytes(b"")
    (tmp_path / "a.tflite").write_text("no model")
    texts = {
        "empty": "holds no SavedModel",
        "other": "`elegant-tf export` did not write it",
        "a.tflite": "is not a TFLite file",
        "missing.tflite": "cannot be read",
    }
    for name, text in texts.items():
        with pytest.raises(UserError, match=text):
            open_model(tmp_path / name)


def test_a_file_is_evaluated_with_its_cost(written, tmp_path, monkeypatch):
    out, _ = written
    monkeypatch.setattr(evaluation, "METRICS", [Scores, Cost])
    monkeypatch.setattr(evaluation, "LEAST_HELD_OUT", 16)
    monkeypatch.setattr(evaluation, "HELD_OUT_PER_EDIT", 0)
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", "--model", str(out / "elegant_int8.tflite"), "--count", "1"]
    assert main(command) == 0
    values = json.loads((tmp_path / "scorecard-elegant_int8" / "scorecard.json").read_text())
    assert values["settings"]["model"] == str(out / "elegant_int8.tflite")
    assert len(values["rows"]) == 9
    assert values["megabytes"] == pytest.approx((out / "elegant_int8.tflite").stat().st_size / 1e6)
    assert set(values["milliseconds"]) <= {str(count) for count in THREADS}
    assert main([*command, "--step", "4"]) == 2
    with pytest.raises(SystemExit):
        main([*command, "--run", "faces"])


def test_the_code_for_apps_in_the_docs_names_what_files_have(written):
    out, _ = written
    text = (commands.ROOT / "docs" / "mobile.md").read_text(encoding="utf-8")
    kotlin, swift = (re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1] for language in ("kotlin", "swift"))
    model = parse_model((out / "elegant_float32.tflite").read_bytes())
    signatures = {one.signatureKey.decode(): one for one in model.signatureDefs}
    inputs, outputs = (
        {(one.name.decode(), name) for name, of in signatures.items() for one in getattr(of, side)}
        for side in ("inputs", "outputs")
    )
    asked = set(re.findall(r'createInputBuffer\("(\w+)", "(\w+)"\)', kotlin))
    assert asked == {(name, signature) for name, signature in inputs if signature == "swap"}
    assert set(re.findall(r'createOutputBuffer\("(\w+)", "(\w+)"\)', kotlin)) <= outputs
    assert all((out / name).is_file() for name in re.findall(r"elegant_\w+\.tflite", kotlin))
    assert {(name, "swap") for name in re.findall(r'"(\w+)": ', swift)} == asked
    numbers = {name: int(number) for name, number in re.findall(r"`(\w+)`\s(\d)", text)}
    assert numbers == {name: number for number, name in enumerate(signatures)}
    assert f"let swap = {numbers['swap']}\n" in swift
