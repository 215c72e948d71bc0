"""A run as a SavedModel for TF Serving: encoded images in and out. Running it needs neither Python nor elegant_tf."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

import elegant_tf
from elegant_tf.bounds import LARGEST_VERSION, Bounds
from elegant_tf.errors import UserError
from elegant_tf.export.decoding import RESIZES
from elegant_tf.export.signatures import make_signatures
from elegant_tf.export.warmup import warmup_inputs, write_warmup
from elegant_tf.export.written import METADATA_FILE
from elegant_tf.files import atomic_directory
from elegant_tf.images import check_image_size
from elegant_tf.marks import EDITED, model_hash
from elegant_tf.model.elegant import Elegant
from elegant_tf.model.keras_versions import tf_variable
from elegant_tf.model.latent import block_bounds
from elegant_tf.paths import any_path, check_loadable
from elegant_tf.remote import as_path
from elegant_tf.rundir import config_groups, read_model
from elegant_tf.runs import load_generator, make_generator

ENCODINGS = ("png", "jpeg")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
MARKING = (
    "Images that this model edits must say so, machine-readably: write digital_source_type into their XMP, as "
    "Iptc4xmpExt:DigitalSourceType, and keep model_sha256 with it."
)
LICENCE = "The program is MIT-licensed. Weights are bound by the terms of the images that they were trained on."


@dataclass(frozen=True)
class ExportOptions:
    """How a run is exported.

    Attributes:
        version: the directory's number; None: the step.
        image_size: side of the images; None: the run's.
        resize: how images become square: crop, pad or stretch.
        encoding: of edited images: png or jpeg.
        precision: number format of the convolutions.
        warmup: whether to add requests that TF Serving runs before it answers others.
        status: whether signatures say what is wrong with each image, instead of refusing the whole request.

    Raises:
        UserError: a value is not allowed.
    """

    version: int | None = None
    image_size: int | None = None
    resize: str = "crop"
    encoding: str = "png"
    precision: str = "float32"
    warmup: bool = False
    status: bool = False

    def __post_init__(self) -> None:
        choices = {"resize": RESIZES, "encoding": ENCODINGS, "precision": PRECISIONS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"--{name}={getattr(self, name)}: must be one of {', '.join(allowed)}")
        if self.version is not None:
            Bounds(at_least=0, at_most=LARGEST_VERSION).check("version", self.version)


def export_savedmodel(
    run_dir: str | os.PathLike[str],
    export_dir: str | os.PathLike[str],
    options: ExportOptions | None = None,
    step: int | None = None,
) -> Path:
    """Writes the generator that a run edits with to `export_dir/VERSION`, and returns that path.

    The directory appears all at once, so that a server that watches `export_dir` never sees half a model.

    Args:
        run_dir: a run directory, packed or not.
        export_dir: the directory of the model's versions.
        options: how to export; None: the defaults.
        step: which checkpoint; None: the newest.

    Raises:
        UserError: there is no such run or checkpoint, the run cannot take the image size, the version exists already or
            cannot be written, TensorFlow could not load it from `export_dir`, or warm-up requests are asked for and
            tensorflow-serving-api is not installed.
    """
    options = options or ExportOptions()
    run_dir, export_dir = any_path(run_dir, "run"), any_path(export_dir, "out")
    check_loadable(export_dir)
    model = read_model(run_dir)
    size = model.image_size if options.image_size is None else options.image_size
    check_image_size(size, 2**model.depth)
    generator, step = load_for_export(run_dir, step, options.precision)
    target = as_path(export_dir) / str(step if options.version is None else options.version)
    if target.exists() or target.is_symlink():
        raise UserError(f"--out={export_dir}: has version {target.name} already; choose another --version")
    described = {**describe(run_dir, size, step), "export": asdict(options)}
    with atomic_directory(target, last="saved_model.pb") as aside:
        _save(generator, options, size, described, aside)
    return target


def describe(run_dir: str | os.PathLike[str], size: int, step: int) -> dict[str, Any]:
    """What an exported model holds beside its weights, as JSON values."""
    model = read_model(run_dir)
    return {
        "attributes": list(model.attributes),
        # Where each attribute's channels of a code begin and end, to join the codes of several exemplars.
        "block_bounds": block_bounds(model.code_channels, len(model.attributes)).tolist(),
        "image_size": size,
        "value_range": [-1.0, 1.0],
        "step": step,
        "model_sha256": model_hash(run_dir, step)[0],
        "marking": {"notice": MARKING, "digital_source_type": EDITED},
        "config": config_groups(run_dir),
        "licence": LICENCE,
        "elegant_tf": elegant_tf.__version__,
        "tensorflow": tf.__version__,
    }


def load_for_export(run_dir: str | os.PathLike[str], step: int | None, precision: str) -> tuple[Elegant, int]:
    """The generator that a run edits with, computing in `precision`, and its step."""
    kept, step = load_generator(run_dir, step)
    generator = make_generator(read_model(run_dir), precision)
    for variable, value in zip(generator.weights, kept.weights, strict=True):
        variable.assign(tf.cast(tf_variable(value), variable.dtype))
    return generator, step


def _save(generator: Elegant, options: ExportOptions, size: int, described: Mapping[str, Any], path: Path) -> None:
    signatures = make_signatures(generator, size, options.resize, options.encoding, described, options.status)
    asset = path / METADATA_FILE
    asset.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    module = tf.Module()
    # The variables alone: TensorFlow cannot save a module that holds a Keras 3 model called with several arguments.
    module.generator_variables = [tf_variable(variable) for variable in generator.weights]
    module.metadata_file = tf.saved_model.Asset(str(asset))
    module.functions = signatures
    tf.saved_model.save(module, str(path), signatures=signatures)
    asset.unlink()
    if options.warmup:
        write_warmup(path, warmup_inputs(size, len(generator.attributes), generator.code_shape(size)))
