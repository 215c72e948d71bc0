"""The report as one HTML file that needs no other: tables, pictures and curves."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from elegant_tf.evaluation.tables import Table

_STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #202124; margin: 2em auto; max-width: 72em; padding: 0 1em }
table { border-collapse: collapse } th, td { padding: .15em .8em; border-bottom: 1px solid #ddd; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums } img { max-width: 100%; image-rendering: auto }
p { color: #5f6368; max-width: 60em } svg { margin-right: 2em }
"""
# Of a curve, in pixels.
_WIDTH, _HEIGHT, _MARGIN = 420, 220, 40
CURVES = ("realised", "leak", "moved", "reconstruction_psnr")


def make_page(
    title: str, tables: Sequence[Table], pictures: Mapping[str, np.ndarray], rows: Sequence[Mapping[str, float]]
) -> str:
    """A page of tables, pictures uint8 `[H, W, 3]` by their headings, and curves of `CURVES` over `step` in rows."""
    parts = [table.as_html() for table in tables]
    if len(rows) > 1:
        parts.append("<h2>Over training</h2>\n" + "".join(_curve(rows, name) for name in CURVES if name in rows[0]))
    parts += [f"<h2>{html.escape(name)}</h2>\n{_picture(picture, name)}" for name, picture in pictures.items()]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>\n<style>\n{_STYLE}</style>'
    body = "\n".join(parts)
    heading = f"<h1>{html.escape(title)}</h1>"
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{heading}\n{body}</body>\n</html>\n'


def _picture(picture: np.ndarray, name: str) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(name)}">\n'


def _curve(rows: Sequence[Mapping[str, float]], name: str) -> str:
    """A line over the steps, with its least and greatest value beside it, as SVG."""
    steps, values = (np.array([row[key] for row in rows], float) for key in ("step", name))
    span = max(float(np.ptp(values)), 1e-9)
    x = _MARGIN + (steps - steps[0]) / max(float(np.ptp(steps)), 1.0) * (_WIDTH - 2 * _MARGIN)
    y = _HEIGHT - _MARGIN - (values - values.min()) / span * (_HEIGHT - 2 * _MARGIN)
    points = " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))
    texts = [
        (_MARGIN, 24, f"{name.replace('_', ' ')}, now {values[-1]:.3g}", "start"),
        (_MARGIN - 6, _MARGIN + 4, f"{values.max():.3g}", "end"),
        (_MARGIN - 6, _HEIGHT - _MARGIN + 4, f"{values.min():.3g}", "end"),
        (_MARGIN, _HEIGHT - 14, f"step {steps[0]:,.0f}", "start"),
        (_WIDTH - _MARGIN, _HEIGHT - 14, f"{steps[-1]:,.0f}", "end"),
    ]
    labels = "".join(f'<text x="{left}" y="{top}" text-anchor="{end}">{text}</text>' for left, top, text, end in texts)
    line = f'<polyline points="{points}" fill="none" stroke="#1a73e8" stroke-width="2"/>'
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" font-size="12">{line}{labels}</svg>\n'
