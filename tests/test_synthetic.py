"""Drawn faces: the same on every machine, true to their labels, exact in their counterfactuals."""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from elegant_tf.data.attributes import CELEBA_ATTRIBUTES
from elegant_tf.errors import UserError
from elegant_tf.synthetic import (
    ATTRIBUTES,
    Face,
    draw_faces,
    make_combinations,
    make_counterfactuals,
    make_face,
    make_restyles,
)

SIZE = 64
ROOT = Path(__file__).resolve().parents[1]

subsets = st.lists(st.sampled_from(ATTRIBUTES), unique=True)
indices = st.integers(0, 10**6)
some = settings(max_examples=25)


def changed(first: Face, second: Face, size: int = SIZE) -> np.ndarray:
    """Where the images of two faces differ, bool `[size, size]`."""
    return (first.draw(size) != second.draw(size)).any(axis=-1)


def without(face: Face, attribute: str) -> Face:
    return face.with_styles({attribute: None})


def wearer(attribute: str, start: int = 0) -> Face:
    """The first face from `start` on that has the attribute."""
    return next(f for i in range(start, start + 200) if getattr((f := make_face(0, i)).styles, attribute))


def test_the_attributes_are_celebas():
    assert ATTRIBUTES == ("Eyeglasses", "Bangs", "Mustache", "Smiling", "Wearing_Hat")
    assert set(ATTRIBUTES) < set(CELEBA_ATTRIBUTES)


# The same face everywhere.


@given(seed=indices, index=indices)
@some
def test_a_face_depends_on_seed_and_index_alone(seed, index):
    face = make_face(seed, index)
    assert face == make_face(seed, index)
    assert hash(face) == hash(make_face(seed, index))
    assert face != make_face(seed, index + 1)
    assert face != make_face(seed + 1, index)
    assert pickle.loads(pickle.dumps(face)) == face


def test_another_process_draws_the_same_pixels():
    program = (
        "import hashlib\n"
        "from elegant_tf.synthetic import draw_faces, make_face\n"
        "images = draw_faces([make_face(5, index) for index in range(6)], 48)\n"
        "print(hashlib.sha256(images.tobytes()).hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True
    )
    here = draw_faces([make_face(5, index) for index in range(6)], 48)
    assert output.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_do_not_change_the_pixels(workers):
    faces = [make_face(1, index) for index in range(7)]
    assert np.array_equal(draw_faces(faces, 32, workers=workers), np.stack([face.draw(32) for face in faces]))


def test_workers_need_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from elegant_tf.synthetic import draw_faces, make_face\n"
        "print(draw_faces([make_face(0, i) for i in range(4)], 16, workers=2).shape)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    output = subprocess.run([sys.executable, script], env=environment, capture_output=True, check=True, text=True)
    assert output.stdout.split("\n") == ["(4, 16, 16, 3)", ""]


def test_no_faces_make_an_empty_batch():
    assert draw_faces([], 32, workers=2).shape == (0, 32, 32, 3)


# Goldens: means over 4 × 4 blocks, so another version of Pillow may differ slightly, but another drawing may not.


GOLDEN = {
    0: [
        (153, 138, 108), (64, 111, 88), (89, 136, 111), (197, 186, 147),
        (168, 147, 121), (142, 113, 86), (161, 130, 99), (201, 178, 145),
        (167, 149, 125), (118, 76, 55), (129, 84, 61), (190, 173, 145),
        (145, 139, 120), (100, 73, 61), (107, 80, 67), (162, 166, 145),
    ],
    1: [
        (176, 159, 173), (158, 79, 56), (163, 78, 53), (192, 171, 183),
        (161, 133, 139), (151, 92, 67), (156, 95, 69), (175, 145, 151),
        (160, 149, 164), (155, 110, 83), (168, 120, 90), (176, 163, 177),
        (140, 135, 154), (122, 93, 85), (127, 97, 89), (153, 146, 164),
    ],
    2: [
        (196, 142, 121), (129, 101, 109), (100, 72, 80), (153, 109, 90),
        (162, 115, 87), (176, 139, 123), (158, 126, 112), (132, 93, 71),
        (212, 158, 123), (240, 204, 172), (217, 182, 152), (172, 125, 96),
        (233, 167, 134), (222, 166, 146), (213, 158, 140), (194, 132, 105),
    ],
}  # fmt: skip
"""The mean colours of 4 × 4 blocks of `make_face(7, index)` at 64 pixels, row by row."""


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_images_are_the_known_ones(index, size):
    blocks = make_face(7, index).draw(size).reshape(4, size // 4, 4, size // 4, 3)
    means = blocks.mean(axis=(1, 3)).reshape(16, 3)
    assert np.abs(means - GOLDEN[index]).max() <= (2 if size == 64 else 5)


# Labels, landmarks, sizes.


@given(index=indices)
@some
def test_labels_say_which_styles_are_present(index):
    face = make_face(0, index)
    assert face.labels.dtype == np.int8
    assert face.labels.tolist() == [int(getattr(face.styles, name) is not None) for name in ATTRIBUTES]


def test_attributes_are_balanced_and_uncorrelated():
    labels = np.stack([make_face(0, index).labels for index in range(4000)]).astype(float)
    assert np.abs(labels.mean(axis=0) - 0.5).max() < 0.04
    assert np.abs(np.corrcoef(labels.T) - np.eye(5)).max() < 0.06


def test_identities_differ():
    faces = [Face(make_face(0, index).identity, type(make_face(0, 0).styles)()) for index in range(60)]
    images = draw_faces(faces, 32).reshape(60, -1).astype(float)
    distances = np.abs(images[:, None] - images[None, :]).mean(axis=-1)
    assert distances[~np.eye(60, dtype=bool)].min() > 5


@given(index=indices, size=st.integers(16, 512))
@some
def test_landmarks_are_where_the_face_is(index, size):
    face = make_face(0, index)
    points = face.landmarks(size)
    assert points.dtype == np.float32
    assert points.shape == (5, 2)
    left, right, nose, mouth_left, mouth_right = points / size
    assert left == pytest.approx((0.363, 0.413), abs=0.035)
    assert right == pytest.approx((0.637, 0.413), abs=0.035)
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1]) < 0.8
    assert left[0] < nose[0] < right[0]
    assert 0.3 < mouth_left[0] < nose[0] < mouth_right[0] < 0.7


def test_the_average_landmarks_are_those_of_the_alignment():
    average = np.mean([make_face(0, index).landmarks(1) for index in range(1000)], axis=0)
    mean_face = [(0.3623, 0.4132), (0.6358, 0.4132), (0.4986, 0.5979), (0.3857, 0.7451), (0.6134, 0.7451)]
    assert average == pytest.approx(np.array(mean_face), abs=0.012)


@pytest.mark.parametrize("index", range(5))
def test_pupils_are_dark_at_the_landmarks(index):
    who = make_face(2, index)
    bare = Face(who.identity, type(who.styles)())
    image = bare.draw(256)
    for x, y in bare.landmarks(256)[:2]:
        assert image[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].mean() < 90


@pytest.mark.parametrize("size", [16, 17, 64, 100, 193, 512])
def test_any_size_shows_the_same_face(size):
    face = make_face(0, 3)
    image = face.draw(size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    small = np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BOX)).astype(float)
    large = np.asarray(Image.fromarray(face.draw(256)).resize((8, 8), Image.Resampling.BOX)).astype(float)
    assert np.abs(small - large).mean() < 6


# Counterfactuals.


@given(first=indices, second=indices, names=subsets)
@some
def test_wearing_changes_those_styles_and_nothing_else(first, second, names):
    a, b = make_face(0, first), make_face(1, second)
    worn = a.wearing(b, names)
    assert worn.identity == a.identity
    for name in ATTRIBUTES:
        assert getattr(worn.styles, name) == getattr((b if name in names else a).styles, name)


@given(first=indices, second=indices, names=subsets)
@some
def test_wearing_one_by_one_is_wearing_at_once_and_can_be_undone(first, second, names):
    a, b = make_face(0, first), make_face(1, second)
    one_by_one = a
    for name in names:
        one_by_one = one_by_one.wearing(b, [name])
    assert one_by_one == a.wearing(b, names)
    assert a.wearing(b, names).wearing(a, names) == a
    assert a.wearing(b, []) == a
    assert a.wearing(b, ATTRIBUTES).styles == b.styles


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_attribute_that_both_lack_changes_nothing(attribute):
    a, b = without(make_face(0, 1), attribute), without(make_face(0, 2), attribute)
    assert a.wearing(b, [attribute]) == a


REGIONS = {
    "Eyeglasses": (0.26, 0.62),
    "Bangs": (0.05, 0.56),
    "Mustache": (0.55, 0.95),
    "Smiling": (0.50, 0.95),
    "Wearing_Hat": (0.0, 1.0),
}
"""The heights between which each attribute may change the image."""


@given(index=indices, attribute=st.sampled_from(ATTRIBUTES), donor=st.integers(0, 50))
@some
def test_an_attribute_always_shows_and_only_in_its_place(index, attribute, donor):
    worn = make_face(0, index).wearing(wearer(attribute, donor), [attribute])
    difference = changed(without(worn, attribute), worn)
    assert difference.sum() >= 20
    rows = np.flatnonzero(difference.any(axis=1)) / SIZE
    top, bottom = REGIONS[attribute]
    assert top <= rows.min()
    assert rows.max() <= bottom


def test_a_hat_leaves_the_face_below_the_eyes_alone():
    worn = make_face(0, 1).wearing(wearer("Wearing_Hat"), ["Wearing_Hat"])
    middle = changed(without(worn, "Wearing_Hat"), worn)[SIZE // 2 :, SIZE // 4 : 3 * SIZE // 4]
    assert not middle.any()


@pytest.mark.parametrize("names", [["Glasses"], ["Bangs", "bangs"], [""]])
def test_wearing_an_unknown_attribute_is_an_error_that_names_it(names):
    with pytest.raises(UserError, match=f"unknown attribute {names[-1]!r}: .*Known are Eyeglasses, "):
        make_face(0, 0).wearing(make_face(0, 1), names)


@pytest.mark.parametrize("attributes", [ATTRIBUTES, ("Smiling", "Bangs"), ("Mustache",)])
def test_counterfactuals_take_turns(attributes):
    pairs = make_counterfactuals(0, 24, attributes)
    assert len(pairs) == 24
    for j, pair in enumerate(pairs):
        name, removing = attributes[j % len(attributes)], j // len(attributes) % 2
        assert pair.attributes == (name,)
        has = [getattr(face.styles, name) is not None for face in (pair.input, pair.exemplar, pair.target)]
        assert has == ([True, False, False] if removing else [False, True, True])
        assert pair.target == pair.input.wearing(pair.exemplar, [name])
    assert pairs[:7] == make_counterfactuals(0, 7, attributes)
    assert pairs[0] != make_counterfactuals(1, 1, attributes)[0]


def test_counterfactual_people_are_held_out():
    trained = {make_face(0, index).identity for index in range(500)}
    pairs = make_counterfactuals(0, 100) + make_restyles(0, 50) + make_combinations(0, 50, 2)
    held_out = {face.identity for pair in pairs for face in (pair.input, pair.exemplar)}
    assert len(held_out) == 400
    assert not trained & held_out


def test_restyles_exchange_two_styles_of_an_attribute():
    for pair, name in zip(make_restyles(0, 10), ATTRIBUTES * 2, strict=True):
        styles = [getattr(face.styles, name) for face in (pair.input, pair.exemplar, pair.target)]
        assert pair.attributes == (name,)
        assert None not in styles
        assert styles[0] != styles[1] == styles[2]


def test_combinations_exchange_several_attributes_that_one_of_the_two_has():
    pairs = make_combinations(0, 20, 2)
    assert {pair.attributes for pair in pairs} == set(itertools.combinations(ATTRIBUTES, 2))
    for pair in pairs:
        for name in pair.attributes:
            assert getattr(pair.input.styles, name) or getattr(pair.exemplar.styles, name)
            assert getattr(pair.target.styles, name) == getattr(pair.exemplar.styles, name)


@pytest.mark.parametrize(
    "make", [make_counterfactuals, make_restyles, lambda seed, count, names: make_combinations(seed, count, 1, names)]
)
def test_held_out_edits_of_an_unknown_attribute_are_an_error(make):
    with pytest.raises(UserError, match="unknown attribute 'Male'"):
        make(0, 3, ["Male"])
