"""Presets: named configurations, one JSON file each, of the options that differ from the defaults or from a base."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from elegant_tf.config import Config
from elegant_tf.errors import UserError

PRESETS = ("official", "paper", "modern", "mobile", "demo")


def preset(name: str, **flags: Any) -> Config:
    """The named preset's configuration with some options changed, named as their flags are.

    Raises:
        UserError: no preset of that name, no such option, or a value not allowed.
    """
    if name not in PRESETS:
        raise UserError(f"--preset={name}: must be one of {', '.join(PRESETS)}")
    return Config.of(**{**_options(name), **flags})


@functools.cache
def _options(name: str) -> dict[str, Any]:
    values = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    base = values.pop("base", None)
    return {**(_options(base) if base else {}), **values}
