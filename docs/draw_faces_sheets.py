"""Draws docs/images/faces.png and docs/images/counterfactuals.png anew.

python docs/draw_faces_sheets.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from elegant_tf.synthetic import ATTRIBUTES, draw_faces, make_counterfactuals, make_face

IMAGES = Path(__file__).parent / "images"
SEED = 0
SIZE = 112
ROWS, COLUMNS = 5, 8
STEP = 4
"""Colours are rounded to multiples of this, invisibly, which halves the files."""


def tile(images: np.ndarray, columns: int) -> Image.Image:
    """uint8 `[rows * columns, S, S, 3]` as one image."""
    rows, size = len(images) // columns, images.shape[1]
    grid = images.reshape(rows, columns, size, size, 3).transpose(0, 2, 1, 3, 4)
    return Image.fromarray(grid.reshape(rows * size, columns * size, 3) // STEP * STEP)


def contact_sheet() -> Image.Image:
    faces = [make_face(SEED, index) for index in range(ROWS * COLUMNS)]
    return tile(draw_faces(faces, SIZE), COLUMNS)


def counterfactual_sheet() -> Image.Image:
    """One row for each attribute: input, exemplar, target and |target - input|, adding and then removing it."""
    pairs = make_counterfactuals(SEED, 2 * len(ATTRIBUTES))
    faces = [face for pair in pairs for face in (pair.input, pair.exemplar, pair.target)]
    drawn = draw_faces(faces, SIZE).reshape(2, len(ATTRIBUTES), 3, SIZE, SIZE, 3)
    change = np.abs(drawn[:, :, 2:].astype(int) - drawn[:, :, :1]).astype(np.uint8)
    rows = np.concatenate([drawn, change], axis=2).swapaxes(0, 1)
    return tile(rows.reshape(-1, SIZE, SIZE, 3), 8)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    for name, sheet in (("faces", contact_sheet()), ("counterfactuals", counterfactual_sheet())):
        path = IMAGES / f"{name}.png"
        sheet.save(path, optimize=True)
        print(f"{path}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
