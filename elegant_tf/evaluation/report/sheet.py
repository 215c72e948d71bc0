"""The sheet: examples of every attribute and direction in one image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from elegant_tf.evaluation.edits import DIRECTIONS, Edits
from elegant_tf.evaluation.report.cases import columns

EXAMPLES = 3

# Pixels: a tile's smallest and largest side, gaps between tiles and between blocks, margins, lines of text.
SMALLEST_TILE, LARGEST_TILE = 112, 256
GAP, BLOCK_GAP, MARGIN = 4, 36, 28
TITLE, HEAD, LABELS = 56, 34, 22

INK, FAINT, PAPER = (32, 33, 36), (112, 116, 122), (255, 255, 255)


def draw_sheet(edits: Edits, edited: np.ndarray, captions: Mapping[tuple[str, str], str], title: str) -> np.ndarray:
    """Examples, uint8 `[H, W, 3]`: a row of blocks per attribute; add, remove, restyle from left to right.

    A block shows up to three edits and their results, uint8 `[M, S, S, 3]`, beside the targets if there are any, under
    the caption for its attribute and direction if there is one.
    """
    shown = columns(edits, edited)
    kinds = edits.kinds()
    tile = min(max(edits.inputs.shape[1], SMALLEST_TILE), LARGEST_TILE)
    block_width = len(shown) * (tile + GAP) - GAP
    block_height = HEAD + LABELS + EXAMPLES * (tile + GAP) - GAP
    names = [name for name in edits.attributes if any(kind[0] == name for kind in kinds)]
    directions = [direction for direction in DIRECTIONS if any(kind[1] == direction for kind in kinds)]
    width = 2 * MARGIN + len(directions) * (block_width + BLOCK_GAP) - BLOCK_GAP
    height = 2 * MARGIN + TITLE + len(names) * (block_height + BLOCK_GAP) - BLOCK_GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), title, INK, ImageFont.load_default(24))
    for name, direction, rows in kinds:
        left = MARGIN + directions.index(direction) * (block_width + BLOCK_GAP)
        top = MARGIN + TITLE + names.index(name) * (block_height + BLOCK_GAP)
        heading = f"{name.replace('_', ' ')}: {direction}"
        examples = {label: images[rows[:EXAMPLES]] for label, images in shown.items()}
        _draw_block(sheet, left, top, tile, heading, captions.get((name, direction), ""), examples)
    return np.asarray(sheet)


def _draw_block(
    sheet: Image.Image, left: int, top: int, tile: int, heading: str, caption: str, shown: Mapping[str, np.ndarray]
) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((left, top), heading, INK, ImageFont.load_default(20))
    right = left + len(shown) * (tile + GAP) - GAP
    draw.text((right, top + 4), caption, FAINT, ImageFont.load_default(15), anchor="ra")
    for place, (label, images) in enumerate(shown.items()):
        x = left + place * (tile + GAP)
        draw.text((x, top + HEAD), label, FAINT, ImageFont.load_default(14))
        for row, image in enumerate(images):
            enlarged = Image.fromarray(image).resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(enlarged, (x, top + HEAD + LABELS + row * (tile + GAP)))
