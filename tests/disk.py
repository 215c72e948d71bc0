"""A disk without room, for tests: any user may limit the size of the files that this process writes."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def filling() -> Iterator[Callable[[], None]]:
    """Yields what fills the disk: from then on, until this ends, writes fail. The reason is "File too large"."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def full() -> Iterator[None]:
    """The disk is full while this is open."""
    with filling() as fill:
        fill()
        yield
