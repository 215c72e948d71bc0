"""Directories that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from elegant_tf.errors import UserError


@contextmanager
def new_directory(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A directory beside `target` to fill: it gets that name when the block ends, and is gone if the block fails.

    Raises:
        UserError: it cannot be written; also for an OSError, or TensorFlow's of its own, inside the block.
    """
    target = Path(target)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        aside.mkdir(parents=True)
        yield aside
        os.replace(aside, target)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{target}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
