"""Identity preservation: a distance of 0 for the same image, 1 for strangers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from elegant_tf.errors import UserError
from elegant_tf.evaluation.face_describer import FaceDescriber
from elegant_tf.evaluation.metrics.identity import identity_distance
from elegant_tf.synthetic import make_counterfactuals, make_face

# A folder with dlib's two models, for whoever has them.
MODELS = Path(os.environ.get("DLIB_MODELS", "no folder"))
FILES = (MODELS / "shape_predictor_5_face_landmarks.dat", MODELS / "dlib_face_recognition_resnet_model_v1.dat")


def by_colour(images):
    return images.mean(axis=(1, 2))


def random_people(count=60) -> np.ndarray:
    colours = np.random.default_rng(0).integers(0, 256, (count, 1, 1, 3))
    return np.broadcast_to(colours, (count, 4, 4, 3)).astype(np.uint8)


def flat(*colours) -> np.ndarray:
    return np.stack([np.full((4, 4, 3), colour, np.uint8) for colour in colours])


def test_the_same_image_and_strangers():
    people = random_people()
    assert identity_distance(people, people, by_colour) == pytest.approx(0, abs=1e-9)
    assert identity_distance(people, np.roll(people, 1, axis=0), by_colour) == pytest.approx(1, abs=0.15)


def test_known_numbers():
    before = flat((255, 0, 0), (0, 255, 0))  # strangers at right angles: a distance of 1
    after = flat((255, 0, 0), (0, 100, 100))  # the same, and half a right angle
    assert identity_distance(before, after, by_colour) == pytest.approx((0 + 1 - np.sqrt(0.5)) / 2)


def test_an_image_that_is_edited_twice_is_one_person():
    before = flat((255, 0, 0), (255, 0, 0), (0, 255, 0))
    after = flat((255, 0, 0), (255, 0, 0), (255, 0, 0))
    assert identity_distance(before, after, by_colour) == pytest.approx(1 / 3)


def test_mistakes():
    people = random_people(2)
    with pytest.raises(UserError, match="2 images before and 1 after"):
        identity_distance(people, people[:1], by_colour)
    for alike in (people[:1], people[[0, 0]], flat((10, 0, 0), (20, 0, 0)), people[:0]):
        with pytest.raises(UserError, match="different people"):
            identity_distance(alike, alike, by_colour)


def test_without_dlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UserError, match=r"needs dlib: pip install 'elegant-tf\[identity\]'"):
        FaceDescriber("a.dat", "b.dat")


def test_files_that_are_not_dlibs(tmp_path):
    pytest.importorskip("dlib", reason="dlib is not installed")
    with pytest.raises(UserError, match=r"nowhere\.dat: no such file"):
        FaceDescriber(tmp_path / "nowhere.dat", tmp_path / "b.dat")
    (tmp_path / "a.dat").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"a\.dat: is not the dlib model"):
        FaceDescriber(tmp_path / "a.dat", tmp_path / "b.dat")


@pytest.mark.skipif(not all(path.is_file() for path in FILES), reason="DLIB_MODELS names no folder with dlib's models")
def test_dlib_recognizes_people():
    pytest.importorskip("dlib", reason="dlib is not installed")
    describe = FaceDescriber(*FILES)
    edits = make_counterfactuals(0, 12, ["Smiling"])
    before, targets = (np.stack([face.draw(64) for face in faces]) for faces in
                     ([edit.input for edit in edits], [edit.target for edit in edits]))  # fmt: skip
    strangers = np.stack([make_face(5, index).draw(64) for index in range(12)])
    assert describe(before).shape == (12, 128)
    same, other = (identity_distance(before, after, describe) for after in (targets, strangers))
    assert same < 0.5 < 0.7 < other
    assert describe(before[:0]).shape == (0, 128)
