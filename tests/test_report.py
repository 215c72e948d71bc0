"""The report's parts: tables, curves, and images of edits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from elegant_tf.evaluation.counterfactuals import draw_counterfactuals
from elegant_tf.evaluation.metrics.scores import best_first
from elegant_tf.evaluation.report.cases import draw_cases
from elegant_tf.evaluation.report.page import make_page
from elegant_tf.evaluation.report.plots import Plot
from elegant_tf.evaluation.report.sheet import draw_sheet
from elegant_tf.evaluation.report.tables import Table, interval_cell

NAMES = ("Eyeglasses", "Bangs", "Smiling")


@pytest.fixture(scope="module")
def edits():
    return draw_counterfactuals(0, NAMES, 32, count=2)


def test_a_table_in_three_forms():
    table = Table("Title", "A < B", ("name", "value"), [("Bangs", "0.5"), ("Hat & band", "-11.25")])
    assert table.as_text().splitlines() == ["name         value", "Bangs          0.5", "Hat & band  -11.25"]
    assert table.as_markdown().splitlines() == [
        "## Title", "", "A < B", "", "| name | value |", "| --- | ---: |", "| Bangs | 0.5 |", "| Hat & band | -11.25 |"
    ]  # fmt: skip
    assert "<p>A &lt; B</p>" in table.as_html()
    assert '<td>Hat &amp; band</td><td class="number">-11.25</td>' in table.as_html()
    plotted = dataclasses.replace(table, plots=[Plot("Hat & band", [0, 1], [2, 3], [(0, "0"), (1, "1")])])
    assert plotted.as_html().count("<svg") == 1
    assert plotted.as_markdown() == table.as_markdown()


def test_a_plot_puts_points_at_their_places():
    ticks = [(90.0, "90"), (100.0, "a<b"), (110.0, "110")]
    svg = Plot("T & U", [90, 100, 110], [0.25, 0.5, 0.0], ticks, span=(0.0, 0.5), dots=True).as_svg()
    assert 'points="40.0,110.0 210.0,40.0 380.0,180.0"' in svg
    assert svg.count("<circle") == 3
    assert '<text x="210" y="206" text-anchor="middle">a&lt;b</text>' in svg
    assert "T &amp; U" in svg
    flat = Plot("flat", [1, 2], [3, 3], ticks[:2]).as_svg()
    assert 'points="40.0,180.0 380.0,180.0"' in flat
    assert "<circle" not in flat


def test_an_interval_that_is_unknown_is_an_empty_cell():
    assert interval_cell((-0.125, 2.0), 2) == "-0.12 … 2.00"
    assert interval_cell((float("nan"), float("nan")), 2) == ""


def test_the_page_has_a_curve_for_every_number():
    rows = [{"step": 1, "moved": 2.0}, {"step": 2, "moved": 3.0, "a<b": 1.0}]
    page = make_page("Title", [], {"Examples": np.zeros((4, 4, 3), np.uint8)}, rows)
    assert page.count("<polyline") == 2
    assert "a&lt;b, now 1" in page
    assert page.count("data:image/png;base64,") == 1
    assert "<polyline" not in make_page("Title", [], {}, rows[:1])


def test_the_sheet_shows_every_kind_that_occurs(edits):
    edited = edits.inputs.copy()
    edited[(edits.attribute == 1) & (edits.direction < 2)] = (255, 0, 255)
    sheet = draw_sheet(edits, edited, {}, "title")
    magenta = (sheet == (255, 0, 255)).all(axis=-1)
    rows, columns = np.flatnonzero(magenta.any(axis=1)), np.flatnonzero(magenta.any(axis=0))
    height, width = magenta.shape
    assert height / 3 < rows.mean() < height * 2 / 3  # the second of three attributes,
    assert columns.min() < width / 3 < columns.max() < width * 2 / 3  # in two of three directions
    captioned = draw_sheet(edits, edited, {("Bangs", "add"): "caption"}, "title")
    assert captioned.shape == sheet.shape
    assert (captioned != sheet).any()


def test_cases_are_the_best_the_worst_and_random_ones(edits):
    edited = edits.targets.copy()
    edited[4] = 255 - edited[4]
    cases = draw_cases(edits, edited, best_first(edits, edited), seed=0)
    assert set(cases) == {"Best edits", "Worst edits", "Random edits"}
    first = cases["Worst edits"][2:34, 2:136].reshape(32, -1, 3)
    np.testing.assert_array_equal(first[:, :32], edits.inputs[4])
    assert set(draw_cases(edits.at_most(5), edited[:5], None, seed=0)) == {"Random edits"}
