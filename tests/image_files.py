"""Encoding, decoding and comparing images."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from elegant_tf.synthetic import make_face


def encoded(image, name="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, name, **({"quality": 95} if name == "JPEG" else {}))
    return file.getvalue()


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def assert_close(found, expected, allowed=1):
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= allowed


GOOD = encoded(make_face(3, 0).draw(32))


def faces_of_several_sizes():
    """Four drawn faces, uint8 `[H, W, 3]`."""
    sides = [(32, 32), (60, 60), (90, 70), (48, 100)]
    drawn = [make_face(3, index).draw(100) for index in range(4)]
    return [np.asarray(Image.fromarray(face).resize(side)) for face, side in zip(drawn, sides, strict=True)]
