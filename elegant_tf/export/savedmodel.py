"""A run as a SavedModel for TF Serving: pictures as bytes in and out, no Python and no elegant_tf needed to run it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import tensorflow as tf

import elegant_tf
from elegant_tf.config import PRESETS, Config, preset
from elegant_tf.errors import UserError
from elegant_tf.export.decoding import RESIZES, decode_images, encode_images, ensure
from elegant_tf.export.directory import new_directory
from elegant_tf.export.warmup import warmup_inputs, write_warmup
from elegant_tf.images import check_image_size, to_float
from elegant_tf.latent import exchange
from elegant_tf.model import Elegant, apply_residual
from elegant_tf.training.checkpoint import load_editing_generator

ENCODINGS = ("png", "jpeg")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
METADATA_FILE = "metadata.json"
MAX_STEPS = 64
LICENCE = "The program is MIT-licensed. Weights are bound by the terms of the images that they were trained on."

# What may differ from a preset in a run that is still called after it.
_NOT_OF_PRESETS = {"attributes", "image_size", "seed", "batch_size", "faces_count"}

Signature: TypeAlias = Callable[..., dict[str, tf.Tensor]]


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


def make_signatures(
    generator: Elegant, size: int, resize: str, encoding: str, described: Mapping
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The model's functions by signature name. Wrong inputs raise InvalidArgumentError, which names them.

    n attributes, pictures of side S, a code of h x w places and C channels:

    - `serving_default`: `image`, `exemplar`, encoded pictures, strings `[N]`; `weights` `[N, n]` → `edited_bytes`
      `[N]`.
    - `edit`: `images` `[N, S', S', 3]` in [-1, 1], S' any multiple of `2 ** depth`; `exemplars` `[N, K, S', S', 3]`;
      `weights` `[N, K, n]` → `edited` and `residual`, as the images.
    - `encode`: `image` `[N]` → `code` `[N, h, w, C]`.
    - `edit_with_code`: `image` `[N]`, or `[1]` for all; `code` `[N, h, w, C]`; `weights` `[N, n]` → `edited`
      `[N, S, S, 3]` in [-1, 1] and `edited_bytes` `[N]`.
    - `interpolate`: `image`, `exemplar` `[N]`; `weights` `[N, n]`; `steps` m, int32 → `edited_bytes` `[N, m]`, of which
      the last are those of `serving_default`.
    - `metadata`: → `json`, what `describe` says and how it was exported; `attributes` `[n]`.
    """
    count = len(generator.attributes)
    code_channels = generator.encoder.channels[-1]
    places = size // 2**generator.depth

    def decode(encoded: tf.Tensor, name: str) -> tf.Tensor:
        return to_float(tf.cast(decode_images(encoded, size, resize, name), tf.float32))

    def encode_result(images: tf.Tensor) -> tf.Tensor:
        return encode_images(_to_pixels(images), encoding)

    def swap(image, exemplar, weights):
        weights = _check_weights(weights, count)
        _check_counts(image=image, exemplar=exemplar, weights=weights)
        images, exemplars = decode(image, "image"), decode(exemplar, "exemplar")
        edited, _ = generator.edit(images, exemplars[:, None], weights[:, None])
        return {"edited_bytes": encode_result(edited)}

    def edit(images, exemplars, weights):
        weights = _check_weights(weights, count)
        images = _check_pixels(images, "images", 2**generator.depth)
        exemplars = _check_pixels(exemplars, "exemplars", 2**generator.depth)
        _check_counts(images=images, exemplars=exemplars, weights=weights)
        alike = tf.reduce_all(tf.equal(tf.shape(images)[-3:], tf.shape(exemplars)[-3:]))
        exemplars = ensure(exemplars, alike, "exemplars: must have the size of images")
        same = tf.equal(tf.shape(exemplars)[1], tf.shape(weights)[1])
        weights = ensure(weights, same, "weights: must be [N, K, n] for exemplars [N, K, S, S, 3]")
        edited, residual = generator.edit(images, exemplars, weights)
        return {"edited": edited, "residual": residual}

    def encode(image):
        return {"code": tf.cast(generator.encode(decode(image, "image"))[0], tf.float32)}

    def edit_with_code(image, code, weights):
        weights, code = _check_weights(weights, count), _check_code(code, places, code_channels)
        _check_counts(code=code, weights=weights)
        pictures, edits = tf.size(image), tf.shape(code)[0]
        one_or_each = tf.equal(pictures, 1) | tf.equal(pictures, edits)
        image = ensure(image, one_or_each, "image: must be one picture, or one for each code, not", pictures)
        images = decode(image, "image")
        own, skips = generator.encode(images)
        times = tf.where(tf.equal(pictures, edits), 1, edits)
        images, own, *skips = (tf.repeat(value, times, axis=0) for value in (images, own, *skips))
        changed = exchange(own, tf.cast(code, own.dtype)[:, None], weights[:, None])
        edited = apply_residual(images, generator.decode(changed, own, skips))
        return {"edited": edited, "edited_bytes": encode_result(edited)}

    def interpolate(image, exemplar, weights, steps):
        weights = _check_weights(weights, count)
        _check_counts(image=image, exemplar=exemplar, weights=weights)
        steps = ensure(steps, (steps >= 1) & (steps <= MAX_STEPS), f"steps: must be 1 to {MAX_STEPS}, not", steps)
        images = decode(image, "image")
        own, skips = generator.encode(images)
        theirs, _ = generator.encode(decode(exemplar, "exemplar"))
        shares = tf.cast(tf.range(1, steps + 1), tf.float32) / tf.cast(steps, tf.float32)
        weights = tf.reshape(weights[:, None] * shares[:, None], [-1, 1, count])
        images, own, theirs, *skips = (tf.repeat(value, steps, axis=0) for value in (images, own, theirs, *skips))
        edited = apply_residual(images, generator.decode(exchange(own, theirs[:, None], weights), own, skips))
        return {"edited_bytes": tf.reshape(encode_result(edited), [-1, steps])}

    def metadata():
        return {"json": tf.constant(json.dumps(described)), "attributes": tf.constant(described["attributes"])}

    image, exemplar = _spec("image", [None], tf.string), _spec("exemplar", [None], tf.string)
    # Sizes stay open here and are checked in the graph: servers do not hold inputs against these shapes.
    weights = _spec("weights", [None, None])
    specs: dict[str, tuple[Signature, list[tf.TensorSpec]]] = {
        "serving_default": (swap, [image, exemplar, weights]),
        "edit": (
            edit,
            [
                _spec("images", [None, None, None, None]),
                _spec("exemplars", [None, None, None, None, None]),
                _spec("weights", [None, None, None]),
            ],
        ),
        "encode": (encode, [image]),
        "edit_with_code": (edit_with_code, [image, _spec("code", [None, None, None, None]), weights]),
        "interpolate": (interpolate, [image, exemplar, weights, _spec("steps", [], tf.int32)]),
        "metadata": (metadata, []),
    }
    return {name: tf.function(function, input_signature=inputs) for name, (function, inputs) in specs.items()}


def load_for_export(
    config: Config, run_dir: str | os.PathLike[str], step: int | None, precision: str
) -> tuple[Elegant, int]:
    """The generator that the run edits with, to compute in `precision`, and its step."""
    kept, step = load_editing_generator(config, run_dir, step)
    generator = Elegant(config.attributes, config.width, config.depth, dtype=precision)
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
        channels = generator.encoder.channels[-1]
        write_warmup(path, warmup_inputs(size, len(generator.attributes), generator.depth, channels))


def _spec(name: str, shape: list[int | None], dtype: tf.DType = tf.float32) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype, name=name)


def _to_pixels(images: tf.Tensor) -> tf.Tensor:
    """`images.to_uint8` in a graph."""
    return tf.cast(tf.clip_by_value(tf.round((tf.cast(images, tf.float32) + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def _check_weights(weights: tf.Tensor, count: int) -> tf.Tensor:
    """Weights whose last axis is n, statically."""
    right = tf.equal(tf.shape(weights)[-1], count)
    weights = ensure(weights, right, f"weights: must have {count} columns, one for each attribute:", tf.shape(weights))
    weights = ensure(weights, tf.reduce_all(tf.math.is_finite(weights)), "weights: must be finite numbers")
    return tf.ensure_shape(weights, [*weights.shape[:-1], count])


def _check_code(code: tf.Tensor, places: int, channels: int) -> tf.Tensor:
    right = tf.reduce_all(tf.equal(tf.shape(code)[1:], [places, places, channels]))
    code = ensure(code, right, f"code: must be [N, {places}, {places}, {channels}], not", tf.shape(code))
    code = ensure(code, tf.reduce_all(tf.math.is_finite(code)), "code: must be finite numbers")
    return tf.ensure_shape(code, [None, places, places, channels])


def _check_pixels(images: tf.Tensor, name: str, multiple: int) -> tf.Tensor:
    height, width, channels = tf.unstack(tf.shape(images)[-3:])
    whole = tf.equal(height, width) & tf.equal(height % multiple, 0)
    right = tf.equal(channels, 3) & whole & (tf.size(images) > 0)
    text = f"{name}: must be [..., S, S, 3] with S a multiple of {multiple}, one at least, not"
    images = ensure(images, right, text, tf.shape(images))
    in_range = tf.reduce_all(tf.abs(images) <= 1.001)  # False for NaN, too
    images = ensure(images, in_range, f"{name}: must be numbers from -1 to 1")
    return tf.ensure_shape(images, [*images.shape[:-1], 3])


def _check_counts(**inputs: tf.Tensor) -> None:
    (first, count), *others = ((name, tf.shape(value)[0]) for name, value in inputs.items())
    for name, other in others:
        tf.debugging.Assert(tf.equal(count, other), [f"{name}: must be as many as {first}:", other, count])
