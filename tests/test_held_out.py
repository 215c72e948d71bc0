"""Held-out images, some of which cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from elegant_tf.errors import UserError
from elegant_tf.evaluation.held_out import ReadableSource
from elegant_tf.images import BadImage


class Numbered:
    """Images of their number, in turn with and without an attribute, some of which cannot be read."""

    name, attributes, image_size = "numbered", ("Odd",), 1

    def __init__(self, count, *bad):
        self.labels = np.arange(count, dtype=np.int8)[:, None] % 2
        self.bad = bad

    def column(self, name):
        return np.array([f"{name} {number}" for number in range(len(self.labels))])

    def load(self, index):
        if index in self.bad:
            raise BadImage(f"{index}.png: is empty")
        return np.full((1, 1, 3), index, np.uint8)


def test_the_next_image_with_the_same_labels_stands_in():
    source = ReadableSource(Numbered(250, 5, 249))
    assert [int(source.load(index)[0, 0, 0]) for index in (4, 5, 249)] == [4, 7, 1]
    assert source.bad_images.messages == ["5.png: is empty", "249.png: is empty"]


def test_columns_tell_of_the_image_that_stands_in():
    source = ReadableSource(Numbered(250, 5))
    source.load(5)
    assert source.column("number")[[4, 5, 6]].tolist() == ["number 4", "number 7", "number 6"]


def test_more_than_one_percent_end_it():
    source = ReadableSource(Numbered(100, 5, 6))
    source.load(5)
    with pytest.raises(UserError, match="too many bad images"):
        source.load(6)
    with pytest.raises(UserError, match="no readable image is left with the labels of image 1"):
        ReadableSource(Numbered(2, 1)).load(1)
