"""Tables, written once for every format: text, Markdown and HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from elegant_tf.evaluation.report.plots import Plot


@dataclass(frozen=True)
class Table:
    """A title, a note that explains the numbers, and cells; the first `words` columns are words, the others numbers.

    `plots`: the same numbers as lines, which HTML shows below the cells.
    """

    title: str
    note: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    plots: Sequence[Plot] = ()

    def __str__(self) -> str:
        """The title above the table as text."""
        return f"{self.title}\n{self.as_text()}"

    def as_text(self) -> str:
        """Aligned columns under their headings."""
        lines = [self.heads, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(self._align(line, widths) for line in lines)

    def as_markdown(self) -> str:
        """A section with a table in GitHub's syntax."""
        rule = ["---" if place < self.words else "---:" for place in range(len(self.heads))]
        lines = ["| " + " | ".join(row) + " |" for row in (self.heads, rule, *self.rows)]
        return "\n".join([f"## {self.title}", "", self.note, "", *lines, ""])

    def as_html(self) -> str:
        """A section with a table and its plots."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.heads)
        rows = "".join("<tr>" + "".join(map(self._cell, range(len(row)), row)) + "</tr>\n" for row in self.rows)
        title, note = html.escape(self.title), html.escape(self.note)
        plots = "".join(plot.as_svg() for plot in self.plots)
        return f"<h2>{title}</h2>\n<p>{note}</p>\n<table>\n<tr>{head}</tr>\n{rows}</table>\n{plots}"

    def _align(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        pairs = list(zip(cells, widths, strict=True))
        words = [cell.ljust(width) for cell, width in pairs[: self.words]]
        return "  ".join([*words, *(cell.rjust(width) for cell, width in pairs[self.words :])])

    def _cell(self, place: int, cell: str) -> str:
        kind = "" if place < self.words else ' class="number"'
        return f"<td{kind}>{html.escape(cell)}</td>"


def interval_cell(ends: tuple[float, float], digits: int) -> str:
    """A confidence interval; empty if it is unknown."""
    return "" if any(map(math.isnan, ends)) else f"{ends[0]:.{digits}f} … {ends[1]:.{digits}f}"
