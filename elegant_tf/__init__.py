"""ELEGANT in TensorFlow: transfers face attributes between photos by exchanging parts of latent codes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elegant_tf.catalogue import Catalogue, Exemplar, read_catalogue
    from elegant_tf.config import Config
    from elegant_tf.editor import Editor
    from elegant_tf.errors import UserError
    from elegant_tf.evaluation.evaluate import Report, evaluate
    from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator
    from elegant_tf.photos import PhotoEditor, edit_photo
    from elegant_tf.presets import preset
    from elegant_tf.training.trainer import Trainer

__version__ = "0.2.0"

__all__ = [
    "Catalogue",
    "Config",
    "Editor",
    "Elegant",
    "Exemplar",
    "MultiScaleDiscriminator",
    "PhotoEditor",
    "Report",
    "Trainer",
    "UserError",
    "__version__",
    "edit_photo",
    "evaluate",
    "preset",
    "read_catalogue",
]

_HOMES = {
    "Catalogue": "catalogue",
    "Config": "config",
    "Editor": "editor",
    "Elegant": "model.elegant",
    "Exemplar": "catalogue",
    "MultiScaleDiscriminator": "model.elegant",
    "PhotoEditor": "photos",
    "Report": "evaluation.evaluate",
    "Trainer": "training.trainer",
    "UserError": "errors",
    "edit_photo": "photos",
    "evaluate": "evaluation.evaluate",
    "preset": "presets",
    "read_catalogue": "catalogue",
}

# Names that need no TensorFlow.
_LIGHT = ("Catalogue", "Config", "Exemplar", "UserError", "preset", "read_catalogue")


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that importing the package does not import TensorFlow."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _LIGHT:
        # It checks Keras's settings, some of which keep TensorFlow from being imported.
        importlib.import_module(f"{__name__}.model")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
