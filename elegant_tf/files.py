"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elegant_tf.errors import UserError


@contextmanager
def whole_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside `target` to write to: it gets that name when the block ends, and is gone if the block fails.

    Missing directories are made. Raises UserError if it cannot be written; also for an OSError inside the block.
    """
    target = Path(target)
    aside = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{target}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
