"""The scorecard as pictures: examples of every attribute and direction, and the best, worst and other cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from elegant_tf.evaluation.edits import DIRECTIONS, Edits
from elegant_tf.evaluation.scorecard import Score, Sums
from elegant_tf.evaluation.triples import Triples
from elegant_tf.images import grid

EXAMPLES = 3
CASES, CASES_ACROSS = 12, 3

# Pixels: a tile's least and largest side, gaps between tiles and between blocks, margins, lines of text.
SMALLEST_TILE, LARGEST_TILE = 112, 256
GAP, BLOCK_GAP, MARGIN = 4, 36, 28
TITLE, HEAD, LABELS = 56, 34, 22

INK, FAINT, PAPER = (32, 33, 36), (112, 116, 122), (255, 255, 255)


def draw_sheet(edits: Edits, edited: np.ndarray, scores: Sequence[Score], title: str) -> np.ndarray:
    """Examples, uint8 `[H, W, 3]`: a row of blocks per attribute: adding, removing, restyling from left to right.

    A block shows up to three edits and their results, uint8 `[M, S, S, 3]`, beside the truth where it is known, and
    the numbers of its score if it has one.
    """
    columns = _columns(edits, edited)
    kinds = edits.kinds()
    tile = min(max(edits.inputs.shape[1], SMALLEST_TILE), LARGEST_TILE)
    block_width = len(columns) * (tile + GAP) - GAP
    block_height = HEAD + LABELS + EXAMPLES * (tile + GAP) - GAP
    names = [name for name in edits.attributes if any(kind[0] == name for kind in kinds)]
    directions = [direction for direction in DIRECTIONS if any(kind[1] == direction for kind in kinds)]
    width = 2 * MARGIN + len(directions) * (block_width + BLOCK_GAP) - BLOCK_GAP
    height = 2 * MARGIN + TITLE + len(names) * (block_height + BLOCK_GAP) - BLOCK_GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), title, INK, ImageFont.load_default(24))
    numbers = {(s.attribute, s.direction): f"realised {s.realised:.2f}   leak {s.leak:.1f}" for s in scores}
    for name, direction, rows in kinds:
        left = MARGIN + directions.index(direction) * (block_width + BLOCK_GAP)
        top = MARGIN + TITLE + names.index(name) * (block_height + BLOCK_GAP)
        heading = f"{name.replace('_', ' ')}: {direction}"
        examples = {label: images[rows[:EXAMPLES]] for label, images in columns.items()}
        _draw_block(sheet, left, top, tile, heading, numbers.get((name, direction), ""), examples)
    return np.asarray(sheet)


def draw_cases(edits: Edits, edited: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Pictures uint8 `[H, W, 3]` by heading: each case from left to right input, exemplar, truth if known, and edited.

    The best and the worst edits by what they realised, where that is known, and some drawn at random.
    """
    random = np.random.default_rng(seed).permutation(len(edits))[:CASES]
    chosen = {"Drawn at random": random}
    if isinstance(edits, Triples):
        sums = Sums.of(edits.inputs, edits.truths, edited)
        order = np.argsort(sums.missing / np.maximum(sums.wanted, 1.0), kind="stable")
        chosen = {"Best cases": order[:CASES], "Worst cases": order[::-1][:CASES], **chosen}
    columns = _columns(edits, edited)
    return {name: _case_grid(columns, rows) for name, rows in chosen.items()}


def _columns(edits: Edits, edited: np.ndarray) -> dict[str, np.ndarray]:
    known = {"truth": edits.truths} if isinstance(edits, Triples) else {}
    return {"input": edits.inputs, "exemplar": edits.exemplars, **known, "edited": edited}


def _case_grid(columns: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    cases = np.stack([images[rows] for images in columns.values()], axis=1)
    whole = len(rows) // CASES_ACROSS * CASES_ACROSS or len(rows)
    return grid(cases[:whole].reshape(-1, *cases.shape[2:]), columns=len(columns) * min(CASES_ACROSS, whole))


def _draw_block(
    sheet: Image.Image, left: int, top: int, tile: int, heading: str, numbers: str, columns: dict[str, np.ndarray]
) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((left, top), heading, INK, ImageFont.load_default(20))
    right = left + len(columns) * (tile + GAP) - GAP
    draw.text((right, top + 4), numbers, FAINT, ImageFont.load_default(15), anchor="ra")
    for place, (label, images) in enumerate(columns.items()):
        x = left + place * (tile + GAP)
        draw.text((x, top + HEAD), label, FAINT, ImageFont.load_default(14))
        for row, image in enumerate(images):
            picture = Image.fromarray(image).resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(picture, (x, top + HEAD + LABELS + row * (tile + GAP)))
