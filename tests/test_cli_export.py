"""`elegant-tf export`, and `export_savedmodel.py`, which is the same."""

from __future__ import annotations

import importlib.util
import json

import commands
import pytest

from elegant_tf.cli.main import main
from elegant_tf.export.written import METADATA_FILE


def metadata(version):
    return json.loads((version / "assets" / METADATA_FILE).read_text(encoding="utf-8"))


def test_the_command_and_the_script_are_the_same(tiny_run, tmp_path, capsys):
    how = ["--version=3", "--step=4", "--image_size=64", "--resize=pad", "--encoding=jpeg", "--status"]
    out = tmp_path / "models"
    assert main(["export", "--run", str(tiny_run), "--out", str(out), *how]) == 0
    assert capsys.readouterr().out == f"{out / '3'}\n"
    script = ["export_savedmodel.py", f"--run_dir={tiny_run}", "--nowarmup"]
    done = commands.run([*script, f"--export_dir={tmp_path / 'other'}", *how])
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'other' / '3'}\n"), done.stderr
    assert metadata(out / "3") == metadata(tmp_path / "other" / "3")
    assert metadata(out / "3")["export"] == {
        "version": 3,
        "image_size": 64,
        "resize": "pad",
        "encoding": "jpeg",
        "precision": "float32",
        "warmup": False,
        "status": True,
    }


@pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed")
def test_tflite_files_lie_beside_the_versions(tiny_run, tmp_path, capsys):
    assert main(["export", "--run", str(tiny_run), "--out", str(tmp_path), "--tflite=float32,float16"]) == 0
    files = tmp_path / "tflite" / "4"
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "4"), str(files)]
    assert {"elegant_float32.tflite", "elegant_float16.tflite"} < {path.name for path in files.iterdir()}


@pytest.mark.skipif(importlib.util.find_spec("tensorflow_serving") is None, reason="elegant-tf[serving] is missing")
def test_warmup_requests(tiny_run, tmp_path):
    assert main(["export", "--run", str(tiny_run), "--out", str(tmp_path), "--warmup"]) == 0
    assert (tmp_path / "4" / "assets.extra" / "tf_serving_warmup_requests").is_file()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--run", "nowhere"], "nowhere is not a run directory"),
        (["--resize", "shrink"], "--resize=shrink: must be one of crop, pad, stretch"),
        (["--version", "-1"], "--version=-1"),
        (["--step", "3"], "no checkpoint of step 3"),
        (["--export_dir", "{tiny_export}"], "has version 4 already"),
    ],
)
def test_mistakes_are_named(tiny_run, tiny_export, tmp_path, capsys, options, expected):
    options = [option.format(tiny_export=tiny_export.parent) for option in options]
    assert main(["export", "--run", str(tiny_run), "--out", str(tmp_path / "models"), *options]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "models").exists()
