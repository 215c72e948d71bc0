"""Measurements as tables: once for all formats, text, Markdown and HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elegant_tf.evaluation.measurements import Identity, Leakage, Measurements
from elegant_tf.evaluation.scorecard import Score


@dataclass(frozen=True)
class Table:
    """A heading, what its numbers mean, and cells; the first `words` columns are words, the others numbers."""

    title: str
    note: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1

    def as_text(self) -> str:
        """Aligned columns, headings first."""
        lines = [self.heads, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(self._align(line, widths) for line in lines)

    def as_markdown(self) -> str:
        """A section with a table of GitHub's form."""
        rule = ["---" if place < self.words else "---:" for place in range(len(self.heads))]
        lines = ["| " + " | ".join(row) + " |" for row in (self.heads, rule, *self.rows)]
        return "\n".join([f"## {self.title}", "", self.note, "", *lines, ""])

    def as_html(self) -> str:
        """A section with a table."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.heads)
        rows = "".join("<tr>" + "".join(map(self._cell, range(len(row)), row)) + "</tr>\n" for row in self.rows)
        title, note = html.escape(self.title), html.escape(self.note)
        return f"<h2>{title}</h2>\n<p>{note}</p>\n<table>\n<tr>{head}</tr>\n{rows}</table>\n"

    def _align(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        pairs = list(zip(cells, widths, strict=True))
        words = [cell.ljust(width) for cell, width in pairs[: self.words]]
        return "  ".join([*words, *(cell.rjust(width) for cell, width in pairs[self.words :])])

    def _cell(self, place: int, cell: str) -> str:
        kind = "" if place < self.words else ' class="number"'
        return f"<td{kind}>{html.escape(cell)}</td>"


def make_tables(measurements: Measurements, attributes: Sequence[str]) -> list[Table]:
    """A table for everything that was measured."""
    tables = [_scores(measurements)] if measurements.scores else []
    if measurements.fidelity:
        tables.append(_fidelity(measurements))
    if measurements.combinations:
        tables.append(_combinations(measurements))
    tables.append(_single_numbers(measurements))
    if measurements.leakage:
        tables.append(_leakage(measurements.leakage, attributes))
    return tables + [_distances(name, measurements) for name in measurements.distances]


def _scores(measurements: Measurements) -> Table:
    return Table(
        "Edits against the truth",
        "realised: the share of the wanted change that happened, 1 is perfect; leak: how far the other pixels moved, "
        "of 255, 0 is perfect; both with the interval that 95 % of other draws of people would fall into.",
        ("attribute", "direction", "realised", "95 %", "leak", "95 %", "PSNR", "SSIM", "n"),
        [_score_cells(score) for score in [*measurements.scores, measurements.mean]],
        words=2,
    )


def _score_cells(score: Score) -> tuple[str, ...]:
    return (
        score.attribute,
        score.direction,
        f"{score.realised:.3f}",
        _interval(score.realised_interval, 2),
        f"{score.leak:.2f}",
        _interval(score.leak_interval, 1),
        f"{score.psnr:.2f}",
        f"{score.ssim:.3f}",
        str(score.count),
    )


def _fidelity(measurements: Measurements) -> Table:
    rows = [
        (row.attribute, row.direction, f"{row.rank_one:.3f}", _interval(row.interval, 2), str(row.count))
        for row in measurements.fidelity
    ]
    count = sum(row.count for row in measurements.fidelity)
    return Table(
        "Whose attribute arrived",
        "rank 1: the share of edits that are nearest to the truth with their own exemplar's style, among those of ten "
        "exemplars; by chance 0.1.",
        ("attribute", "direction", "rank 1", "95 %", "n"),
        [*rows, ("mean", "all", f"{measurements.rank_one:.3f}", "", str(count))],
        words=2,
    )


def _combinations(measurements: Measurements) -> Table:
    return Table(
        "Several attributes at once",
        "Against their joint truth. order: mean difference, of 255, between exchanging them one after another and the "
        "other way round; from joint: between one after another and all at once.",
        ("attributes", "realised", "leak", "order", "from joint", "n"),
        [
            (
                str(row.size),
                f"{row.score.realised:.3f}",
                f"{row.score.leak:.2f}",
                f"{row.order:.2f}",
                f"{row.joint:.2f}",
                str(row.score.count),
            )
            for row in measurements.combinations
        ],
    )


def _single_numbers(measurements: Measurements) -> Table:
    kept, grown = measurements.reconstruction, measurements.interpolation
    rows = [
        ("reconstruction PSNR, dB", f"{kept.psnr:.2f}", _interval(kept.psnr_interval, 2)),
        ("reconstruction SSIM", f"{kept.ssim:.4f}", ""),
        ("edits that grow steadily with strength", f"{grown.monotone:.3f}", ""),
        ("unevenness of their steps", f"{grown.unevenness:.3f}", ""),
    ]
    for name, identity in measurements.identity.items():
        rows += _identity_rows(name, identity)
    if measurements.leakage is not None:
        rows.append(("leakage, mean beside the diagonal", f"{measurements.leakage.off_diagonal:.3f}", ""))
    return Table(
        "The editor as a whole",
        "Pictures decoded from their unchanged codes; strengths between 0 and 1, 0 is even; the distance that an edit "
        "moves a person in descriptions of people (identity), as a share of that between strangers.",
        ("", "value", "95 %"),
        rows,
    )


def _identity_rows(describer: str, identity: Identity) -> list[tuple[str, str, str]]:
    rows = [("from the input", identity.moved), ("of the truth from the input", identity.wanted)]
    rows.append(("from the truth", identity.from_truth))
    return [(f"identity by {describer}: {name}", f"{value:.3f}", "") for name, value in rows if value is not None]


def _leakage(leakage: Leakage, attributes: Sequence[str]) -> Table:
    against = leakage.against_truth is not None
    matrix = leakage.against_truth if against else leakage.matrix
    note = "Editing the row's attribute, how far the classifier's answer for the column's is from "
    note += (
        "its answer on the truth (0 is perfect)."
        if against
        else "its answer before (0 is perfect beside the diagonal)."
    )
    rows = [(name, *(_number(value) for value in row)) for name, row in zip(attributes, matrix, strict=True)]
    return Table("Leakage", note, ("edited", *attributes), rows)


def _distances(name: str, measurements: Measurements) -> Table:
    rows = [
        (
            row.attribute,
            row.direction,
            row.made,
            "too few" if row.frechet is None else f"{row.frechet:.2f}",
            f"{1000 * row.kernel:.2f}",
            _interval((1000 * row.kernel_low, 1000 * row.kernel_high), 2),
            str(row.count),
        )
        for row in measurements.distances[name]
    ]
    too_few = next((row.no_frechet for row in measurements.distances[name] if row.no_frechet), "")
    return Table(
        f"Distances by {name}",
        "Between edited pictures and real ones that have (add) or lack (remove) the attribute, in the layout of the "
        f"paper's table: Fréchet distance, and kernel distance times 1,000. unedited: the inputs left alone. {too_few}",
        ("attribute", "direction", "pictures", "Fréchet", "kernel", "95 %", "n"),
        rows,
        words=3,
    )


def _interval(ends: tuple[float, float], digits: int) -> str:
    return "" if np.isnan(ends).any() else f"{ends[0]:.{digits}f} … {ends[1]:.{digits}f}"


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"
