"""`elegant-tf prepare`, called as a user would."""

from __future__ import annotations

import json

import pytest

from elegant_tf.cli.main import main
from elegant_tf.synthetic import write_celeba


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli data") / "mes célèbres"
    write_celeba(out, 20, 48, 0, counterfactuals=0)
    return out


def test_prepare(celeba, tmp_path, capsys):
    (celeba / "img_align_celeba" / "000007.jpg").write_text("<html>")
    out = tmp_path / "records"
    words = ["prepare", "--data", "celeba", "--data_dir", str(celeba), "--out", str(out), "--image_size", "32"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert f"{out}: 19 images, 1 left out" in printed.out
    assert "000007.jpg: is not an image" in printed.out
    assert "20/20 images" in printed.err
    assert json.loads((out / "manifest.json").read_text())["images"] == 19
    assert main([*words, "--alignment", "crop"]) == 2
    assert "alignment (there similarity, now crop)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--image_size", "3"], "--image_size=3"),
        (["--data_dir", "nowhere"], "--data_dir=nowhere: no such directory"),
        (["--workers", "0"], "--workers=0"),
    ],
)
def test_mistakes_are_named(celeba, tmp_path, capsys, options, expected):
    words = ["prepare", "--data", "celeba", "--data_dir", str(celeba), "--out", str(tmp_path / "out"), *options]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
