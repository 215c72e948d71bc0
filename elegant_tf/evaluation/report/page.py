"""The report as one self-contained HTML file: tables, curves and images."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from elegant_tf.evaluation.report.curves import draw_curves
from elegant_tf.evaluation.report.tables import Table

_STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #202124; margin: 2em auto; max-width: 72em; padding: 0 1em }
table { border-collapse: collapse } th, td { padding: .15em .8em; border-bottom: 1px solid #ddd; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums } img { max-width: 100%; image-rendering: auto }
p { color: #5f6368; max-width: 60em } svg { margin-right: 2em }
"""


def make_page(
    title: str, tables: Sequence[Table], images: Mapping[str, np.ndarray], curves: Sequence[Mapping[str, float]]
) -> str:
    """A page of tables, curves over the `step` of their rows, and images uint8 `[H, W, 3]` by their headings."""
    parts = [table.as_html() for table in tables]
    if len(curves) > 1:
        parts.append("<h2>During training</h2>\n" + draw_curves(curves))
    parts += [f"<h2>{html.escape(name)}</h2>\n{_image(image, name)}" for name, image in images.items()]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>\n<style>\n{_STYLE}</style>'
    body = "\n".join(parts)
    heading = f"<h1>{html.escape(title)}</h1>"
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{heading}\n{body}</body>\n</html>\n'


def _image(image: np.ndarray, name: str) -> str:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(name)}">\n'
