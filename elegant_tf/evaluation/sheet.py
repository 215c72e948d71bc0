"""The scorecard as a picture: examples of every attribute, in both directions, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from elegant_tf.evaluation.scorecard import Score
from elegant_tf.evaluation.triples import DIRECTIONS, Triples

COLUMNS = ("input", "exemplar", "truth", "edited")
EXAMPLES = 3

# Pixels: a tile's least and largest side, gaps between tiles and between blocks, margins, lines of text.
SMALLEST_TILE, LARGEST_TILE = 112, 256
GAP, BLOCK_GAP, MARGIN = 4, 36, 28
TITLE, HEAD, LABELS = 56, 34, 22

INK, FAINT, PAPER = (32, 33, 36), (112, 116, 122), (255, 255, 255)


def draw_sheet(triples: Triples, edited: np.ndarray, scores: Sequence[Score], title: str) -> np.ndarray:
    """Examples, uint8 `[H, W, 3]`: a row of blocks per attribute, adding on the left, removing on the right.

    A block shows up to three triples and their edited images, uint8 `[M, S, S, 3]`.
    """
    tile = min(max(triples.inputs.shape[1], SMALLEST_TILE), LARGEST_TILE)
    block_width = len(COLUMNS) * (tile + GAP) - GAP
    block_height = HEAD + LABELS + EXAMPLES * (tile + GAP) - GAP
    names = [name for name in triples.attributes if any(score.attribute == name for score in scores)]
    width = 2 * MARGIN + len(DIRECTIONS) * (block_width + BLOCK_GAP) - BLOCK_GAP
    height = 2 * MARGIN + TITLE + len(names) * (block_height + BLOCK_GAP) - BLOCK_GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), title, INK, ImageFont.load_default(24))
    for score in scores:
        left = MARGIN + DIRECTIONS.index(score.direction) * (block_width + BLOCK_GAP)
        top = MARGIN + TITLE + names.index(score.attribute) * (block_height + BLOCK_GAP)
        _draw_block(sheet, left, top, tile, _examples(triples, edited, score), score)
    return np.asarray(sheet)


def _examples(triples: Triples, edited: np.ndarray, score: Score) -> np.ndarray:
    """uint8 `[rows, 4, S, S, 3]`, the first few of a score's triples."""
    of_attribute = triples.attribute == triples.attributes.index(score.attribute)
    rows = np.flatnonzero(of_attribute & (triples.adding == (score.direction == "add")))[:EXAMPLES]
    return np.stack([column[rows] for column in (triples.inputs, triples.exemplars, triples.truths, edited)], axis=1)


def _draw_block(sheet: Image.Image, left: int, top: int, tile: int, rows: np.ndarray, score: Score) -> None:
    draw = ImageDraw.Draw(sheet)
    heading = f"{score.attribute.replace('_', ' ')}: {score.direction}"
    draw.text((left, top), heading, INK, ImageFont.load_default(20))
    right = left + len(COLUMNS) * (tile + GAP) - GAP
    numbers = f"realised {score.realised:.2f}   leak {score.leak:.1f}"
    draw.text((right, top + 4), numbers, FAINT, ImageFont.load_default(15), anchor="ra")
    for column, label in enumerate(COLUMNS):
        x = left + column * (tile + GAP)
        draw.text((x, top + HEAD), label, FAINT, ImageFont.load_default(14))
        for row, images in enumerate(rows):
            picture = Image.fromarray(images[column]).resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(picture, (x, top + HEAD + LABELS + row * (tile + GAP)))
