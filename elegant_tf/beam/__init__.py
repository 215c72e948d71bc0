"""Edits many image files with an exported model on Apache Beam. Needs `pip install 'elegant-tf[beam]'`."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from elegant_tf.errors import UserError

if TYPE_CHECKING:
    from elegant_tf.beam.transform import EditImages

__all__ = ["EditImages"]


def check_installed() -> None:
    """Raises UserError if Apache Beam is not installed."""
    try:
        found = importlib.util.find_spec("apache_beam") is not None
    except ValueError:  # a module that a program has put in its place, or None
        found = False
    if not found:
        raise UserError("editing on Apache Beam needs apache-beam: pip install 'elegant-tf[beam]'")


def __getattr__(name: str) -> Any:
    """Imports the transform, and with it Apache Beam, when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_installed()
    from elegant_tf.beam.transform import EditImages

    return EditImages
