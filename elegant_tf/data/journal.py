"""A record of long work: what is finished survives a kill, and the same command goes on from there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elegant_tf.errors import UserError
from elegant_tf.files import read_json_lines, write_text, writing

Row = Mapping[str, Any]


class Journal:
    """A file of JSON lines: the options of the work, then a row for each part of it, added as the work goes on.

    The file appears with the first row.

    Attributes:
        options: those that the work began with; None if it has not begun.
        rows: what the file holds when it is opened. A row that a kill cut short is left out.

    Raises:
        UserError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = read_json_lines(path) if path.exists() else []
        self.options: Row | None = lines[0] if lines else None
        self.rows: list[Row] = lines[1:]
        self._is_whole = False

    def add(self, options: Row, row: Row) -> None:
        """Adds a row to the file. Raises UserError if it cannot be written."""
        if not self._is_whole:  # what a kill cut short would spoil the next line
            self.write(options, self.rows)
        with writing(self._path), open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def write(self, options: Row, rows: list[Row]) -> None:
        """Writes the file anew, whole or not at all. Raises UserError if it cannot be written."""
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in (options, *rows)))
        self._is_whole = True


@contextmanager
def says_how_to_go_on(finished: Callable[[], str]) -> Iterator[None]:
    """Adds to an error, and prints on Ctrl-C, what is finished by then; nothing if that is empty."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}{_advice(finished())}") from error
    except KeyboardInterrupt:
        print(f"interrupted{_advice(finished())}", file=sys.stderr)
        raise


def _advice(finished: str) -> str:
    return f". {finished}, and the same command goes on from there" if finished else ""
