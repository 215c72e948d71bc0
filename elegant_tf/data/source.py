"""The interface through which training and evaluation read labelled images."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np


class Source(Protocol):
    """M labelled images of one size.

    `attributes`: the n chosen names, in order; `labels`: int8 `[M, n]` in {0, 1}, its columns `attributes`; `columns`:
    the names of all that is known of every image, labels that were not chosen included.
    """

    name: str
    attributes: tuple[str, ...]
    labels: np.ndarray
    image_size: int

    @property
    def columns(self) -> tuple[str, ...]: ...

    def column(self, name: str) -> np.ndarray:
        """What one of `columns` says of every image, str `[M]`: yes or no if it holds labels, otherwise its text."""
        ...

    def load(self, index: int) -> np.ndarray:
        """Image `index`, uint8 RGB `[S, S, 3]`. Raises BadImage, a UserError, if it cannot be read."""
        ...


@runtime_checkable
class EncodedSource(Source, Protocol):
    """A source whose images exist as JPEG or PNG files of the right size."""

    def encoded(self, index: int) -> bytes:
        """The bytes of image `index`'s file. Raises BadImage, a UserError, if it cannot be read."""
        ...
