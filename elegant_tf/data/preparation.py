"""Preparing one image: aligning or cropping, resizing and encoding it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from elegant_tf.data.collection import Collection
from elegant_tf.data.landmarks import check_points
from elegant_tf.data.similarity import align
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, check_written_size, resize

ALIGNMENTS = ("similarity", "crop", "none")
ENCODINGS = ("jpeg", "png")

# Pixels. Half the resolution for colour, as in most JPEG photos, is faster to decode but too little for small images.
FULL_COLOUR_BELOW = 128

# Maps an image uint8 [H, W, 3] to the points [5, 2] of a face. Raises UserError if the image shows none.
Detect = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """How images are prepared.

    `image_size`: side in pixels; `alignment`: `similarity` (five points to a mean face), `crop` (the centred square)
    or `none` (every image keeps its size, and `image_size` is 0); `encoding`: `jpeg` or `png`, which is lossless;
    `quality`: JPEG's; `shard_images`: source images per shard.

    Raises:
        UserError: a value makes no sense.
    """

    image_size: int = 256
    alignment: str = "similarity"
    encoding: str = "jpeg"
    quality: int = 95
    shard_images: int = 1000

    def __post_init__(self) -> None:
        if self.alignment not in ALIGNMENTS:
            raise UserError(f"--alignment={self.alignment}: expected one of {', '.join(ALIGNMENTS)}")
        if self.encoding not in ENCODINGS:
            raise UserError(f"--encoding={self.encoding}: expected one of {', '.join(ENCODINGS)}")
        if self.alignment == "none":
            object.__setattr__(self, "image_size", 0)
        else:
            check_written_size(self.image_size)
        if not 1 <= self.quality <= 100:
            raise UserError(f"--quality={self.quality}: expected 1 to 100")
        if self.shard_images < 1:
            raise UserError(f"--shard_images={self.shard_images}: expected 1 or more")


class Prepared(NamedTuple):
    """One image: its encoded bytes and its landmarks float32 `[5, 2]` (NaN: none), or why it is left out."""

    encoded: bytes
    landmarks: np.ndarray
    dropped: str = ""


def prepare_image(collection: Collection, row: int, settings: Settings, detect: Detect | None = None) -> Prepared:
    """Reads, aligns, resizes and encodes one image of a collection."""
    nothing = np.full((5, 2), np.nan, np.float32)
    file = collection.table.files[row]
    try:
        image = collection.read(row)
        image, landmarks = _arrange(image, _points(collection, row, image, settings, detect), settings)
    except BadImage as error:
        return Prepared(b"", nothing, str(error))
    except UserError as error:
        return Prepared(b"", nothing, f"{file}: {error}")
    return Prepared(encode(image, settings), nothing if landmarks is None else landmarks)


def encode(image: np.ndarray, settings: Settings) -> bytes:
    """Encodes an image uint8 `[H, W, 3]` as the bytes of a JPEG or PNG file."""
    stream = io.BytesIO()
    if settings.encoding == "png":
        options: dict[str, Any] = {"compress_level": 6}
    else:
        full_colour = min(image.shape[:2]) < FULL_COLOUR_BELOW
        options = {"quality": settings.quality, "subsampling": "4:4:4" if full_colour else "4:2:0"}
    Image.fromarray(image).save(stream, settings.encoding, **options)
    return stream.getvalue()


def _points(
    collection: Collection, row: int, image: np.ndarray, settings: Settings, detect: Detect | None
) -> np.ndarray | None:
    if collection.landmarks is not None:
        points = collection.landmarks[row]
        if settings.alignment == "similarity":
            height, width = image.shape[:2]
            check_points(points, (width, height))
        return points
    if settings.alignment != "similarity":
        return None
    assert detect is not None
    return detect(image)


def _arrange(image: np.ndarray, points: np.ndarray | None, settings: Settings) -> tuple[np.ndarray, np.ndarray | None]:
    """The image as it is stored, and its landmarks there."""
    size = settings.image_size
    if settings.alignment == "similarity":
        assert points is not None
        image, similarity = align(image, points, size)
        return image, similarity.points(points).astype(np.float32)
    if settings.alignment == "none":
        return image, points
    height, width = image.shape[:2]
    edge = min(height, width)
    corner = np.array([(width - edge) // 2, (height - edge) // 2])
    if points is not None:
        points = ((points + 0.5 - corner) * (size / edge) - 0.5).astype(np.float32)
    return resize(image, size), points
