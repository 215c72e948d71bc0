from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.config import DataConfig
from elegant_tf.errors import UserError
from elegant_tf.evaluation.metrics.distribution import LEAST_POOL, Distance, choose_roles, distances
from elegant_tf.sources import open_source

SIZE = 8
ATTRIBUTES = ("Red", "Green")


class Patches:
    """Plain images: an attribute makes its channel bright; the third channel is random."""

    name = "patches"
    image_size = SIZE

    def __init__(self, count: int = 400, attributes: tuple[str, ...] = ATTRIBUTES, share: float = 0.5) -> None:
        random = np.random.default_rng(0)
        labels = (random.permuted(np.tile(np.arange(count), (2, 1)), axis=1) < share * count).T
        bright = np.where(labels, 180, 60) + random.integers(-20, 21, (count, 2))
        self._colours = np.hstack([bright, random.integers(0, 256, (count, 1))]).astype(np.uint8)
        self.attributes = attributes
        self.labels = labels[:, [ATTRIBUTES.index(name) for name in attributes]].astype(np.int8)

    def load(self, index: int) -> np.ndarray:
        return np.broadcast_to(self._colours[index], (SIZE, SIZE, 3))


class Painter:
    """A perfect editor: it takes an attribute's channel from the exemplar."""

    attributes = ATTRIBUTES
    image_size = SIZE

    def __init__(self) -> None:
        self.edits = 0

    def edit(self, images: np.ndarray, exemplars: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        assert exemplars.shape == (len(images), 1, SIZE, SIZE, 3)
        assert coefficients.shape == (len(images), 1, 2)
        self.edits += len(images)
        edited = images.copy()
        for channel in range(2):
            chosen = coefficients[:, 0, channel] == 1
            edited[chosen, ..., channel] = exemplars[chosen, 0, ..., channel]
        return edited


class Idler(Painter):
    """An editor that changes nothing."""

    def edit(self, images: np.ndarray, exemplars: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        super().edit(images, exemplars, coefficients)
        return images


def colours(images: np.ndarray) -> np.ndarray:
    """Features: the mean colour."""
    assert images.dtype == np.uint8
    return images.mean(axis=(1, 2)) / 64.0


def by_made(rows: list[Distance]) -> tuple[list[Distance], list[Distance]]:
    return tuple([row for row in rows if row.made == made] for made in ("edited", "unedited"))


def test_the_papers_table():
    rows = distances(Painter(), Patches(), colours, count=90, most=120)
    expected = itertools.product(ATTRIBUTES, ("add", "remove"), ("edited", "unedited"))
    assert [(row.attribute, row.direction, row.made) for row in rows] == list(expected)
    assert {(row.count, row.real_count) for row in rows} == {(90, 120)}
    assert all(row.kernel_low < row.kernel < row.kernel_high and row.no_frechet == "" for row in rows)


def test_a_perfect_editor_makes_realistic_images():
    edited, unedited = by_made(distances(Painter(), Patches(), colours, count=150))
    for after, before in zip(edited, unedited, strict=True):
        assert after.kernel_low <= 0.0 <= after.kernel_high < 0.1 * before.kernel_low
        # Bright and dim are 120 / 64 apart.
        assert before.frechet == pytest.approx((120 / 64) ** 2, rel=0.2)
        assert after.frechet < 0.1


def test_an_idle_editor_gains_nothing():
    edited, unedited = by_made(distances(Idler(), Patches(), colours, count=80))
    assert [dataclasses.replace(row, made="unedited") for row in edited] == unedited


def test_a_seed_decides():
    first, again, other = (distances(Painter(), Patches(), colours, count=60, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_fewer_attributes_give_the_same_rows():
    rows = distances(Painter(), Patches(), colours, count=60)
    assert distances(Painter(), Patches(attributes=("Green",)), colours, count=60) == rows[4:]


def test_real_images_go_through_the_network_once():
    seen = []

    def extract(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return colours(images)

    source, painter = Patches(200), Painter()
    distances(painter, source, extract, count=100)
    assert painter.edits == 4 * 100
    assert sum(seen) <= painter.edits + len(source.labels)
    assert max(seen) <= 32


def test_why_there_is_no_frechet_distance():
    def extract(images: np.ndarray) -> np.ndarray:
        return np.repeat(colours(images), 30, axis=1)

    for row in distances(Painter(), Patches(), extract, count=80):
        assert row.frechet is None
        assert "150 real and 80 made images are too few for 90 features: give at least 91" in row.no_frechet
        assert np.isfinite([row.kernel, row.kernel_low, row.kernel_high]).all()


@given(
    st.integers(LEAST_POOL, 200),
    st.integers(LEAST_POOL, 200),
    st.booleans(),
    st.integers(50, 250),
    st.integers(50, 250),
)
def test_roles(with_it, without, adding, count, most):
    random = np.random.default_rng(with_it)
    has = random.permutation(np.arange(with_it + without) < with_it)
    inputs, exemplars, real = choose_roles(has, adding, count, most, random)
    lacking, giving = (without, with_it) if adding else (with_it, without)
    assert len(inputs) == len(exemplars) == len(set(inputs)) == min(count, lacking)
    assert 50 <= len(real) == len(set(real)) == min(most, giving * 3 // 4)
    assert set(has[inputs]) == {not adding}
    assert set(has[exemplars]) == set(has[real]) == {adding}
    assert not set(real) & (set(exemplars) | set(inputs))
    times = np.unique(exemplars, return_counts=True)[1]
    assert times.max() - times.min() <= 1
    assert len(times) == min(len(inputs), giving - len(real))


@pytest.mark.parametrize(
    ("source", "options", "what"),
    [
        (Patches(), {"count": 49}, "--count=49: must be 50 or more"),
        (Patches(), {"most": 10}, "--most=10: must be 50 or more"),
        (Patches(660, share=0.1), {}, "Red: 66 held-out images have it and 594 do not; .* 67 of each"),
        (Patches(660, share=0.9), {}, "Red: 594 held-out images have it and 66 do not"),
    ],
)
def test_refusals_come_before_the_first_edit(source, options, what):
    painter = Painter()
    with pytest.raises(UserError, match=what):
        distances(painter, source, colours, **{"count": 60, **options})
    assert not painter.edits


def test_an_editor_for_other_images():
    painter = Painter()
    painter.image_size = 16
    with pytest.raises(UserError, match="images of 8 pixels: the editor's have 16"):
        distances(painter, Patches(), colours, count=60)
    painter = Painter()
    painter.attributes = ("Red", "Blue")
    with pytest.raises(UserError, match="--attributes=Green: this run knows Red, Blue"):
        distances(painter, Patches(), colours, count=60)


def test_a_run_on_its_held_out_faces(tiny_editor):
    source = open_source(DataConfig(faces_count=300), ("Eyeglasses", "Smiling"), 32, split="test")
    rows = distances(tiny_editor, source, lambda images: colours(images[:, 8:24, 8:24]), count=50)
    assert len(rows) == 8
    assert all(row.frechet > 0.0 and row.count == 50 for row in rows)
