"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elegant_tf.errors import UserError


@contextmanager
def atomic_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside `target` to write to. The file takes its name when the block ends, and is removed if it fails.

    Missing directories are made.

    Raises:
        UserError: the file cannot be written; also for an OSError or a TensorFlow error inside the block.
    """
    target = Path(target)
    aside = target.with_name(f".{uuid.uuid4().hex}.part")
    with _reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def atomic_directory(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A directory beside `target` to fill. It takes its name when the block ends, and is removed if it fails.

    `target` must not exist, or be an empty directory. Missing parents are made.

    Raises:
        UserError: the directory cannot be written; also for an OSError or a TensorFlow error inside the block.
    """
    target = Path(os.path.abspath(target))  # so that "." has a name
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    with _reported(target):
        try:
            aside.mkdir(parents=True)
            yield aside
            os.replace(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a UTF-8 file as `atomic_file` does."""
    with atomic_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes indented JSON as `atomic_file` does."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def _reported(target: Path) -> Iterator[None]:
    """Turns what a file system refuses into a UserError that names the target."""
    if "\0" in os.fspath(target):
        raise UserError(f"{target!r}: cannot be written: a path cannot hold a null byte")
    try:
        yield
    except (OSError, *_tensorflow_errors()) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
        raise UserError(f"{target}: cannot be written: {reason}") from error


def _tensorflow_errors() -> tuple[type[Exception], ...]:
    """What TensorFlow raises for an OSError of its own. Nothing here loads TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return (tensorflow.errors.OpError,) if tensorflow else ()
