"""Drawn faces as a source of labelled images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elegant_tf.data.attributes import SPLITS, AttributeTable
from elegant_tf.data.collection import check_polarities, check_split
from elegant_tf.names import find_attributes
from elegant_tf.synthetic.celeba import FACE_COLUMNS, face_column
from elegant_tf.synthetic.face import make_face
from elegant_tf.synthetic.styles import ATTRIBUTES
from elegant_tf.synthetic.workers import draw_faces


class FacesSource:
    """A `Source` of drawn faces, `count` of them, drawn at once and kept in memory.

    No two splits share a face, whatever `count` is. In addition to a `Source`'s fields: `faces`, the M faces, and
    `images`, uint8 `[M, S, S, 3]`. `workers`: as in `draw_faces`. Raises UserError on an attribute that drawn faces do
    not have, or that all of the `count` faces or none of them have.
    """

    name = "faces"
    columns = FACE_COLUMNS

    def __init__(
        self,
        attributes: Sequence[str],
        image_size: int,
        seed: int,
        count: int,
        split: str = "train",
        workers: int | None = None,
    ) -> None:
        check_split(split)
        columns = find_attributes(attributes, ATTRIBUTES)
        self.faces = [make_face(seed, face_index(split, index)) for index in range(count)]
        labels = np.array([face.labels for face in self.faces], np.int8).reshape(count, -1)[:, columns]
        table = AttributeTable(tuple(attributes), (), labels)
        check_polarities(table, f"{count} faces of seed {seed}, {split} split")
        self.attributes = table.names
        self.labels = table.labels
        self.image_size = image_size
        self.images = draw_faces(self.faces, image_size, workers)

    def column(self, name: str) -> np.ndarray:
        """What one of `columns` says of every face: str `[M]`, yes or no."""
        return face_column(self.faces, name)

    def load(self, index: int) -> np.ndarray:
        """Image `index`, uint8 RGB `[S, S, 3]`."""
        return self.images[index]


def face_index(split: str, index: int) -> int:
    """The number that `make_face` takes for face `index` of a split. Splits take turns, so they share no face."""
    return index * len(SPLITS) + SPLITS.index(split)
