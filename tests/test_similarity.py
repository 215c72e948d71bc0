"""The alignment of faces by five points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.data.similarity import Similarity, align, fit, paste, target_points, warp
from elegant_tf.errors import UserError

# Pupils, nose tip and mouth corners of the method's mean face at 256 px, calculated by hand from its formula.
TARGETS = [(92.752, 105.785), (162.753, 105.623), (127.636, 153.075), (98.738, 190.744), (157.020, 190.195)]


def test_targets_at_256():
    targets = target_points(256)
    np.testing.assert_allclose(targets, TARGETS, atol=0.01)
    assert targets[1, 0] - targets[0, 0] == pytest.approx(70, abs=0.02)
    height = targets[:2, 1].mean()
    assert (256 - height) / height == pytest.approx(1.42, abs=0.01)
    np.testing.assert_allclose(target_points(128), targets / 2)


@given(
    st.floats(0.1, 10),
    st.floats(-math.pi, math.pi),
    st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_fit_finds_the_similarity_and_its_inverse(scale, angle, shift):
    expected = Similarity(scale * complex(math.cos(angle), math.sin(angle)), complex(*shift))
    points = target_points(100)
    found = fit(points, expected.points(points))
    np.testing.assert_allclose(found.points(points), expected.points(points), atol=1e-6)
    np.testing.assert_allclose(found.inverse().points(found.points(points)), points, atol=1e-6)


def test_fit_is_the_least_squares():
    """Every small change of the similarity is worse."""
    random = np.random.default_rng(0)
    points = random.normal(size=(5, 2)) * 50
    targets = target_points(256)
    best = fit(points, targets)
    error = ((best.points(points) - targets) ** 2).sum()
    for step in (1e-4, -1e-4, 1e-4j, -1e-4j):
        for other in (Similarity(best.scale + step, best.shift), Similarity(best.scale, best.shift + step)):
            assert ((other.points(points) - targets) ** 2).sum() > error


def test_it_never_mirrors():
    mirrored = target_points(256) * [-1, 1]
    similarity = fit(mirrored, target_points(256))
    assert abs(similarity.points(mirrored) - target_points(256)).max() > 10


def dots(points: np.ndarray, height: int, width: int, radius: float) -> np.ndarray:
    """A soft bright spot at each point."""
    y, x = np.mgrid[:height, :width]
    light = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)) for px, py in points)
    return np.repeat(np.rint(255 * light.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def centre(image: np.ndarray, near: np.ndarray, reach: float) -> np.ndarray:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image[..., 0] * (np.hypot(x - near[0], y - near[1]) < reach)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize(("scale", "angle"), [(0.4, 0.0), (1.0, 0.5), (3.3, -0.4), (8.0, 0.2)])
def test_what_is_at_the_points_arrives_at_the_targets(scale, angle):
    """From small, turned and large faces, to a fraction of a pixel."""
    turn = Similarity(scale * complex(math.cos(angle), math.sin(angle)), complex(150 * scale, 90 * scale))
    points = turn.points(target_points(128))
    width, height = (points.max(axis=0) + 60 * scale).astype(int)
    image = dots(points, height, width, radius=max(2 * scale, 1.0))
    face, similarity = align(image, points, 128)
    assert (face.shape, face.dtype) == ((128, 128, 3), np.uint8)
    for target in target_points(128):
        np.testing.assert_allclose(centre(face, target, 9), target, atol=0.1)
    np.testing.assert_allclose(similarity.points(points), target_points(128), atol=1e-6)


def test_unmoved_images_stay():
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    assert (warp(image, Similarity(1 + 0j, 0j), 30, 40) == image).all()
    assert (warp(image, Similarity(1 + 0j, -5 - 3j), 20, 30) == image[3:33, 5:25]).all()


def test_the_border_is_repeated_not_black():
    image = np.full((20, 20, 3), 200, np.uint8)
    face, _ = align(image, target_points(20) + [-8, -8], 64)
    assert (face == 200).all()


def test_shrinking_does_not_alias():
    image = np.zeros((1000, 1000, 3), np.uint8)
    image[:, ::2] = 255
    shrunk = warp(image, Similarity(0.1 + 0j, 0j), 100, 100)
    np.testing.assert_allclose(shrunk[5:-5, 5:-5], 127.5, atol=3)


def test_a_changed_face_goes_back_to_its_place():
    y, x = np.mgrid[:200, :260]
    image = np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)
    points = Similarity(0.6 + 0.1j, 60 + 40j).points(target_points(128))
    face, similarity = align(image, points, 128)
    back = paste(face, image, similarity)
    np.testing.assert_allclose(back.astype(int), image.astype(int), atol=3)
    changed = paste(255 - face, image, similarity)
    middle = np.rint(points.mean(axis=0)).astype(int)
    np.testing.assert_allclose(changed[middle[1], middle[0]], 255 - image[middle[1], middle[0]].astype(int), atol=3)
    assert (changed[0] == image[0]).all()


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)])
def test_points_that_are_not_a_face(points):
    with pytest.raises(UserError, match="landmarks"):
        fit(points, target_points(256))
