"""A run as a SavedModel for TF Serving: pictures as bytes in and out, no Python and no elegant_tf needed to run it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import tensorflow as tf

import elegant_tf
from elegant_tf.config import PRESETS, Config, preset
from elegant_tf.errors import UserError
from elegant_tf.export.decoding import RESIZES
from elegant_tf.export.directory import new_directory
from elegant_tf.export.signatures import make_signatures
from elegant_tf.export.warmup import warmup_inputs, write_warmup
from elegant_tf.images import check_image_size
from elegant_tf.latent import block_bounds
from elegant_tf.model import Elegant
from elegant_tf.training.checkpoint import load_editing_generator

ENCODINGS = ("png", "jpeg")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
METADATA_FILE = "metadata.json"
LICENCE = "The program is MIT-licensed. Weights are bound by the terms of the images that they were trained on."

# What may differ from a preset in a run that is still called after it.
_NOT_OF_PRESETS = {"attributes", "image_size", "seed", "batch_size", "faces_count"}


@dataclass(frozen=True)
class ExportOptions:
    """How a run is exported. The defaults are those of `export_savedmodel.py`.

    `version`: the directory's number, the step if None; `image_size`: the run's if None; `resize`: crop, pad or
    stretch, what becomes of pictures that are not square; `encoding`: png or jpeg, of edited pictures; `precision`: the
    number format of the convolutions; `warmup`: whether to add requests that TF Serving runs before it answers.

    Raises:
        UserError: a value is not allowed.
    """

    version: int | None = None
    image_size: int | None = None
    resize: str = "crop"
    encoding: str = "png"
    precision: str = "float32"
    warmup: bool = False

    def __post_init__(self) -> None:
        choices = {"resize": RESIZES, "encoding": ENCODINGS, "precision": PRECISIONS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"--{name}={getattr(self, name)}: must be one of {', '.join(allowed)}")
        if self.version is not None and self.version < 0:
            raise UserError(f"--version={self.version}: must be 0 or more")


def export_savedmodel(
    run_dir: str | os.PathLike[str],
    export_dir: str | os.PathLike[str],
    options: ExportOptions | None = None,
    step: int | None = None,
) -> Path:
    """Writes a run's generator, averaged if the run keeps averages, to `export_dir/VERSION`; returns that path.

    The directory appears all at once, so that a server that watches `export_dir` never sees half a model.

    Args:
        run_dir: the run directory.
        export_dir: where the versions are.
        options: how to export; None: the defaults.
        step: which checkpoint; None: the newest.

    Raises:
        UserError: no such run or checkpoint, an image size that the run cannot take, the version exists already, it
            cannot be written, or what warm-up requests need is not installed.
    """
    options = options or ExportOptions()
    config = Config.load(run_dir)
    size = config.image_size if options.image_size is None else options.image_size
    check_image_size(size, 2**config.depth)
    generator, step = load_for_export(config, run_dir, step, options.precision)
    target = Path(export_dir) / str(step if options.version is None else options.version)
    if os.path.lexists(target):
        raise UserError(f"--export_dir={export_dir}: has version {target.name} already; choose another --version")
    described = {**describe(config, size, step), "export": asdict(options)}
    with new_directory(target) as aside:
        _save(generator, options, size, described, aside)
    return target


def describe(config: Config, size: int, step: int) -> dict:
    """What travels in an exported model beside its weights, as JSON values."""
    return {
        "attributes": list(config.attributes),
        # Where each attribute's channels of a code begin and end, for who joins codes of several exemplars.
        "block_bounds": block_bounds(config.code_channels, len(config.attributes)).tolist(),
        "image_size": size,
        "value_range": [-1.0, 1.0],
        "step": step,
        "preset": preset_of(config),
        "config": json.loads(config.to_json()),
        "licence": LICENCE,
        "elegant_tf": elegant_tf.__version__,
        "tensorflow": tf.__version__,
    }


def preset_of(config: Config) -> str:
    """The preset that a configuration follows, whatever its data and sizes of images and batches, or `custom`."""
    for name in PRESETS:
        if set(preset(name).differences(config)) <= _NOT_OF_PRESETS:
            return name
    return "custom"


def load_for_export(
    config: Config, run_dir: str | os.PathLike[str], step: int | None, precision: str
) -> tuple[Elegant, int]:
    """The generator that the run edits with, to compute in `precision`, and its step."""
    kept, step = load_editing_generator(config, run_dir, step)
    generator = Elegant(**config.generator_arguments, dtype=precision)
    generator.build()
    for variable, value in zip(generator.weights, kept.weights, strict=True):
        variable.assign(tf.cast(value.value, variable.dtype))
    return generator, step


def _save(generator: Elegant, options: ExportOptions, size: int, described: Mapping, path: Path) -> None:
    signatures = make_signatures(generator, size, options.resize, options.encoding, described)
    asset = path / METADATA_FILE
    asset.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    module = tf.Module()
    # A module that holds a Keras 3 model with several arguments cannot be saved: it holds the variables alone.
    module.generator_variables = [variable.value for variable in generator.weights]
    module.metadata_file = tf.saved_model.Asset(str(asset))
    module.functions = signatures
    tf.saved_model.save(module, str(path), signatures=signatures)
    asset.unlink()
    if options.warmup:
        write_warmup(path, warmup_inputs(size, len(generator.attributes), generator.code_shape(size)))
