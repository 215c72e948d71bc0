"""Photographs for tests: drawn faces with the grain of a camera, on a larger background."""

from __future__ import annotations

import numpy as np

from elegant_tf.images import write_image
from elegant_tf.synthetic import make_face

SIDE, LEFT, TOP = 160, 30, 40


def photograph(index: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 `[240, 220, 3]` of a person who wears nothing, and its landmarks `[5, 2]`."""
    face = make_face(77, index).with_styles({"Eyeglasses": None, "Wearing_Hat": None, "Mustache": None})
    image = np.full((SIDE + 2 * TOP, SIDE + 2 * LEFT, 3), 150.0)
    image[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = face.draw(SIDE)
    image += np.random.default_rng(index).normal(0, 4, image.shape)
    return image.clip(0, 255).astype(np.uint8), face.landmarks(SIDE) - 0.5 + (LEFT, TOP)


def write_photos(folder, count: int) -> tuple[list[str], np.ndarray]:
    """Writes `count` photographs; their paths, and landmarks `[count, 5, 2]`."""
    paths, points = [], []
    for index in range(count):
        image, marks = photograph(index)
        paths.append(str(folder / f"person {index}.png"))
        points.append(marks)
        write_image(paths[-1], image)
    return paths, np.stack(points)
