"""The robustness of editors for which it is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from elegant_tf.evaluation.counterfactuals import Counterfactuals
from elegant_tf.evaluation.metrics.robustness import DISTURBANCES, Robustness, robustness

SIZE = 48


@pytest.fixture(scope="module")
def edits():
    """The exemplar's grey is what the edit gives to a square in the middle of a textured image."""
    random = np.random.default_rng(0)
    inputs = np.repeat(random.integers(40, 200, (4, SIZE // 4, SIZE // 4, 3)), 4, axis=1).repeat(4, axis=2)
    targets = inputs.copy()
    targets[:, 16:32, 16:32] = 230
    images = (inputs.astype(np.uint8), targets.astype(np.uint8))
    return Counterfactuals(
        ("Bangs",), images[0], np.full_like(images[0], 230), np.zeros(4, int), np.array([0, 0, 1, 1]), images[1]
    )


class Fixed:
    """Gives its square to the image at one place, wherever the image's own has gone."""

    attributes, image_size = ("Bangs",), SIZE

    def edit(self, images, exemplars, coefficients):
        edited = images.copy()
        edited[:, 16:32, 16:32] = exemplars[:, 0, 16:32, 16:32]
        return edited


class Oracle(Fixed):
    """Finds the edit whose images were disturbed, and answers with what `Fixed` would have made before."""

    def __init__(self, edits):
        self.answers = {}
        for kind in DISTURBANCES:
            for level in kind.levels:
                for number, (image, target) in enumerate(zip(edits.inputs, edits.targets, strict=True)):
                    before, wanted = kind.of(level, number, SIZE).apply(image, target)
                    self.answers[before.tobytes()] = wanted

    def edit(self, images, exemplars, coefficients):
        return np.stack([self.answers[image.tobytes()] for image in images])


def test_a_perfect_editor_loses_nothing(edits):
    points = robustness(Oracle(edits), edits, edits.targets)
    assert [(point.realised, point.change, point.leak) for point in points] == [(1.0, 0.0, 0.0)] * len(points)
    assert [point.disturbance for point in points] == ["none", *(d.name for d in DISTURBANCES for _ in d.levels)]
    assert {point.count for point in points} == {4}


def test_an_editor_that_looks_at_one_place_loses_by_moves_alone(edits):
    undisturbed, *points = robustness(Fixed(), edits, Fixed().edit(edits.inputs, edits.exemplars[:, None], None))
    assert (undisturbed.realised, undisturbed.leak) == (1.0, 0.0)
    rows = {kind.name: [p for p in points if p.disturbance == kind.name] for kind in DISTURBANCES}
    for name in ("shift", "turn"):
        changes = [point.change for point in rows[name]]
        assert 0 > changes[0] > changes[1] > changes[2]
        assert all(low < point.change < high for point in rows[name] for low, high in [point.interval])
    # The square is uniform: blur changes its edges alone.
    assert rows["shift"][-1].change < min(point.change for point in rows["blur"])


def test_compression_asks_for_the_change_alone(edits):
    class Adder(Fixed):
        """Adds the exact change, whatever the image."""

        def edit(self, images, exemplars, coefficients):
            changed = images.astype(int) + edits.targets - edits.inputs
            return np.clip(changed, 0, 255).astype(np.uint8)

    points = [p for p in robustness(Adder(), edits, edits.targets) if p.disturbance == "JPEG"]
    assert [(point.realised, point.leak) for point in points] == [(1.0, 0.0)] * 3


def test_pixels_from_beyond_the_edge_are_not_measured(edits):
    class BrightEdge(Oracle):
        def edit(self, images, exemplars, coefficients):
            edited = super().edit(images, exemplars, coefficients)
            edited[:, 0] = edited[:, -1] = edited[:, :, 0] = edited[:, :, -1] = 255
            return edited

    rows = {(p.disturbance, p.level): p.leak for p in robustness(BrightEdge(edits), edits, edits.targets)}
    assert rows["scale", 90] == 0.0
    assert rows["scale", 110] > 1
    assert rows["JPEG", 80] > 1


def test_the_table_has_a_row_and_the_plots_a_point_per_level(edits):
    found = Robustness.measure(SimpleNamespace(counterfactuals=edits, edited=edits.targets, editor=Fixed()))
    (table,) = found.tables()
    assert len(table.rows) == len(found.robustness) == 21
    assert [row[-1] for row in table.rows] == ["2"] * 21  # one edit of each kind
    assert table.rows[0][:4] == ("none", "", "", "1.000")
    assert len(table.plots) == 12
    scale = table.plots[2]
    assert (scale.title, scale.x, scale.y[2]) == ("realised: scale, %", [90, 95, 100, 105, 110], 1.0)
    assert len(scale.y) == 5
    assert Robustness.measure(SimpleNamespace(counterfactuals=None)) is None
