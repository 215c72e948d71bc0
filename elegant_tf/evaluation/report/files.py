"""The files of a report."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from elegant_tf.evaluation.report.page import make_page
from elegant_tf.evaluation.report.tables import Table
from elegant_tf.files import atomic_file, writing

NAME = "scorecard"


@dataclass(frozen=True)
class ReportFiles:
    """Where a report's files are."""

    json_path: Path
    markdown_path: Path
    html_path: Path
    image_path: Path


def write_report(
    out: Path,
    title: str,
    tables: Sequence[Table],
    sheet: np.ndarray,
    cases: Mapping[str, np.ndarray],
    curves: Sequence[Mapping[str, float]],
    values: Mapping[str, Any],
) -> ReportFiles:
    """Writes a report into a directory, in place of an older one, which stays if a file cannot be written.

    Args:
        out: the directory; made when missing.
        title: the report's.
        tables: in the order of the report.
        sheet: examples, uint8 `[H, W, 3]`.
        cases: further images, by heading.
        curves: rows of numbers, each with its `step`.
        values: all of the above that is numbers, for JSON.

    Raises:
        UserError: a file cannot be written.
    """
    files = ReportFiles(*(out / f"{NAME}.{ending}" for ending in ("json", "md", "html", "png")))
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "PNG")
    texts = {
        files.markdown_path: "\n".join([f"# {title}", "", *(table.as_markdown() for table in tables)]),
        files.html_path: make_page(title, tables, {"Examples": sheet, **cases}, curves),
        files.json_path: json.dumps(_plain(values), indent=1, ensure_ascii=False) + "\n",
    }
    contents = {path: text.encode("utf-8", "backslashreplace") for path, text in texts.items()}
    contents[files.image_path] = stream.getvalue()
    with contextlib.ExitStack() as stack:
        asides = {path: stack.enter_context(atomic_file(path)) for path in contents}
        for path, content in contents.items():
            with writing(path):
                asides[path].write_bytes(content)
    return files


def _plain(value: Any) -> Any:
    """The value with null for numbers that JSON lacks: the PSNR of a perfect edit is infinite."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
