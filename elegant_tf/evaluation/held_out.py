"""Held-out images, a few of which may be damaged."""

from __future__ import annotations

import numpy as np

from elegant_tf.data.pairs import BadImages
from elegant_tf.data.source import Source
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage


class ReadableSource:
    """A `Source` in which the next image with the same labels stands for one that cannot be read.

    An evaluation then does not end after minutes at one damaged image; `bad_images` counts and names them.

    Args:
        source: where the images come from.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.attributes = source.attributes
        self.labels = source.labels
        self.image_size = source.image_size
        self.bad_images = BadImages(len(source.labels))
        self._standing_in: dict[int, int] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the source."""
        return self._source.columns

    def column(self, name: str) -> np.ndarray:
        """What one of `columns` says of every image, str `[M]`; of the one that stands for it, if it was replaced."""
        values = self._source.column(name)
        rows = np.arange(len(values))
        rows[list(self._standing_in)] = list(self._standing_in.values())
        return values[rows]

    def load(self, index: int) -> np.ndarray:
        """Image `index`, or the next of its kind, uint8 RGB `[S, S, 3]`.

        Raises:
            UserError: more than 1 % of the images cannot be read, or none of this kind.
        """
        try:
            return self._source.load(index)
        except BadImage as error:
            self.bad_images.add(index, str(error))
        alike = np.flatnonzero((self.labels == self.labels[index]).all(axis=1))
        for candidate in np.roll(alike, -np.searchsorted(alike, index))[1:].tolist():
            try:
                image = self._source.load(candidate)
            except BadImage as error:
                self.bad_images.add(candidate, str(error))
            else:
                self._standing_in[index] = candidate
                return image
        raise UserError(f"no readable image is left with the labels of image {index}.\n{self.bad_images.report()}")
