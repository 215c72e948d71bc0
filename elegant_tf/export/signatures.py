"""The functions of an exported model: encoded images in and out, every input checked in the graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from elegant_tf.export.decoding import decode_images, decode_intact_images, encode_images, ensure, first_fault
from elegant_tf.images import to_float
from elegant_tf.model.elegant import Elegant

MAX_STEPS = 64

STATUS = "status"
"""The output that says, for each row, what is wrong with it; empty if nothing is."""

Outputs: TypeAlias = dict[str, tf.Tensor]
Signature: TypeAlias = Callable[..., Outputs]


def make_signatures(
    generator: Elegant, size: int, resize: str, encoding: str, described: Mapping[str, Any], status: bool = False
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The model's functions by signature name. An invalid input raises InvalidArgumentError, which names it.

    With `status`, what is wrong with the values of one row (its images, or numbers that are not finite or out of range)
    spoils no other row: all signatures but `metadata` have another output, `status`, strings `[N]`: empty, or what the
    error would have said. The other outputs of these rows are zeros and empty strings. Shapes and counts still
    concern the whole request.

    The first axis of every input and output is N, so that a server can join requests to batches. With n attributes,
    images of side S and codes of h x w places and C channels:

    - `serving_default`: `image`, `exemplar`, encoded images, strings `[N]`; `weights` `[N, n]` → `edited_bytes` `[N]`.
    - `edit`: `images` `[N, S', S', 3]` in [-1, 1], S' any multiple of `2 ** depth`; `exemplars` `[N, K, S', S', 3]`;
      `weights` `[N, K, n]` → `edited` in [-1, 1] and `residual` in (-2, 2), both of the images' shape.
    - `encode`: `image` `[N]` → `code` `[N, h, w, C]`.
    - `edit_with_code`: `image` `[N]`; `code` `[N, h, w, C]`; `weights` `[N, n]` → `edited` `[N, S, S, 3]` in [-1, 1]
      and `edited_bytes` `[N]`.
    - `edit_with_codes`: edits each image with each of M codes separately: `image` `[N]`; `codes` `[N, M, h, w, C]`;
      `weights` `[N, M, n]` → `edited` `[N, M, S, S, 3]` and `edited_bytes` `[N, M]`.
    - `interpolate`: `image`, `exemplar` `[N]`; `weights` `[N, n]`; `steps`, int32 `[N]` → `edited_bytes` `[N, m]`, m
      the largest of `steps`: edits by the weights times 1/steps … 1; a row of fewer steps repeats its last image.
    - `metadata`: `id`, any int32 `[N]` → `json` `[N]`, `savedmodel.describe` and the options of the export;
      `attributes` `[N, n]`.

    `weights` are edit coefficients. The input keeps this name because deployed clients send it.
    """
    count = len(generator.attributes)
    code_shape = generator.code_shape(size)

    decoding = decode_intact_images if status else decode_images

    @tf.function(autograph=False)  # traced once for all signatures
    def decode(encoded: tf.Tensor, name: str) -> Any:
        return decoding(encoded, size, resize, name)

    def make_rows() -> _Rows:
        return _RowsWithStatus(decode) if status else _Rows(decode)

    def encode_result(images: tf.Tensor) -> tf.Tensor:
        encoded = encode_images(_to_pixels(tf.reshape(images, [-1, size, size, 3])), encoding)
        return tf.reshape(encoded, tf.shape(images)[:-3])

    def swap(image: tf.Tensor, exemplar: tf.Tensor, weights: tf.Tensor) -> Outputs:
        rows = make_rows()
        image, exemplar, weights = _same_count(image=image, exemplar=exemplar, weights=weights)
        weights = _check_weights(weights, count, rows)
        images, exemplars = rows.decoded(image, "image"), rows.decoded(exemplar, "exemplar")
        edited, _ = generator.edit(images, exemplars[:, None], weights[:, None])
        return rows.answer({"edited_bytes": encode_result(edited)})

    def edit(images: tf.Tensor, exemplars: tf.Tensor, weights: tf.Tensor) -> Outputs:
        rows = make_rows()
        images, exemplars, weights = _same_count(images=images, exemplars=exemplars, weights=weights)
        weights = _check_weights(weights, count, rows)
        images = _check_pixels(images, "images", 2**generator.depth, rows)
        exemplars = _check_pixels(exemplars, "exemplars", 2**generator.depth, rows)
        same_size = tf.reduce_all(tf.equal(tf.shape(images)[-3:], tf.shape(exemplars)[-3:]))
        exemplars = ensure(exemplars, same_size, "exemplars: must have the size of images")
        same = tf.equal(tf.shape(exemplars)[1], tf.shape(weights)[1])
        weights = ensure(weights, same, "weights: must be [N, K, n] for exemplars [N, K, S, S, 3]")
        edited, residual = generator.edit(images, exemplars, weights)
        return rows.answer({"edited": edited, "residual": residual})

    def encode(image: tf.Tensor) -> Outputs:
        rows = make_rows()
        code, _ = generator.encode(rows.decoded(image, "image"))
        return rows.answer({"code": tf.cast(code, tf.float32)})

    def edit_with_codes(image: tf.Tensor, codes: tf.Tensor, weights: tf.Tensor) -> Outputs:
        rows = make_rows()
        image, codes, weights = _same_count(image=image, codes=codes, weights=weights)
        weights, codes = _check_weights(weights, count, rows), _check_codes(codes, "codes", code_shape, rows)
        same = tf.equal(tf.shape(codes)[1], tf.shape(weights)[1])
        weights = ensure(weights, same, "weights: must be [N, M, n] for codes [N, M, h, w, C]")
        edited = generator.edit_with_each(rows.decoded(image, "image"), codes, weights)
        return rows.answer({"edited": edited, "edited_bytes": encode_result(edited)})

    def edit_with_code(image: tf.Tensor, code: tf.Tensor, weights: tf.Tensor) -> Outputs:
        rows = make_rows()
        image, code, weights = _same_count(image=image, code=code, weights=weights)
        weights, code = _check_weights(weights, count, rows), _check_codes(code, "code", code_shape, rows)
        images = rows.decoded(image, "image")
        edited, _ = generator.edit_encoded(images, *generator.encode(images), code[:, None], weights[:, None])
        return rows.answer({"edited": edited, "edited_bytes": encode_result(edited)})

    def interpolate(image: tf.Tensor, exemplar: tf.Tensor, weights: tf.Tensor, steps: tf.Tensor) -> Outputs:
        rows = make_rows()
        image, exemplar, weights, steps = _same_count(image=image, exemplar=exemplar, weights=weights, steps=steps)
        weights = _check_weights(weights, count, rows)
        in_range = (steps >= 1) & (steps <= MAX_STEPS)
        steps = rows.checked(steps, in_range, f"steps: must be 1 to {MAX_STEPS}, not", steps, instead=1)
        numbers = tf.cast(tf.range(1, tf.reduce_max(steps) + 1), tf.float32)
        shares = tf.minimum(numbers / tf.cast(steps, tf.float32)[:, None], 1.0)
        codes, _ = generator.encode(rows.decoded(exemplar, "exemplar"))
        codes = tf.repeat(codes[:, None], tf.size(numbers), axis=1)
        edited = generator.edit_with_each(rows.decoded(image, "image"), codes, shares[:, :, None] * weights[:, None])
        return rows.answer({"edited_bytes": encode_result(edited)})

    def metadata(id: tf.Tensor) -> Outputs:
        texts = tf.fill(tf.shape(id), json.dumps(described))
        names = tf.constant(described["attributes"])
        return {"json": texts, "attributes": tf.repeat(names[None], tf.size(id), axis=0)}

    image, exemplar = _spec("image", [None], tf.string), _spec("exemplar", [None], tf.string)
    # Sizes stay open here and are checked in the graph: servers do not compare inputs with these shapes.
    weights, weights_of_each = _spec("weights", [None] * 2), _spec("weights", [None] * 3)
    images, exemplars = _spec("images", [None] * 4), _spec("exemplars", [None] * 5)
    specs: dict[str, tuple[Signature, list[tf.TensorSpec]]] = {
        "serving_default": (swap, [image, exemplar, weights]),
        "edit": (edit, [images, exemplars, weights_of_each]),
        "encode": (encode, [image]),
        "edit_with_code": (edit_with_code, [image, _spec("code", [None] * 4), weights]),
        "edit_with_codes": (edit_with_codes, [image, _spec("codes", [None] * 5), weights_of_each]),
        "interpolate": (interpolate, [image, exemplar, weights, _spec("steps", [None], tf.int32)]),
        "metadata": (metadata, [_spec("id", [None], tf.int32)]),
    }
    return {
        name: tf.function(function, input_signature=inputs, autograph=False)
        for name, (function, inputs) in specs.items()
    }


def _spec(name: str, shape: list[int | None], dtype: tf.DType = tf.float32) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype, name=name)


def _to_pixels(images: tf.Tensor) -> tf.Tensor:
    """`images.to_uint8` in a graph."""
    return tf.cast(tf.clip_by_value(tf.round((tf.cast(images, tf.float32) + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


class _Rows:
    """The rows of a call: what is wrong with one fails the whole call."""

    def __init__(self, decode: Callable[[tf.Tensor, str], Any]) -> None:
        self._decode = decode

    def decoded(self, encoded: tf.Tensor, name: str) -> tf.Tensor:
        """Encoded images `[N]` as floats in [-1, 1], `[N, S, S, 3]`."""
        return to_float(tf.cast(self._decode(encoded, name), tf.float32))

    def checked(
        self, values: tf.Tensor, right: tf.Tensor, message: str, seen: tf.Tensor | None = None, instead: float = 0
    ) -> tf.Tensor:
        """The values `[N, ...]`, those of rows that are not `right`, `[N]`, replaced by the number `instead`.

        `message`: what is wrong with the others, and the numbers `seen` in them, `[N]`.
        """
        return ensure(values, tf.reduce_all(right), message, *([] if seen is None else [seen]))

    def answer(self, outputs: Outputs) -> Outputs:
        """The outputs of the call."""
        return outputs


class _RowsWithStatus(_Rows):
    """The rows of a call: what is wrong with each is an output."""

    def __init__(self, decode: Callable[[tf.Tensor, str], Any]) -> None:
        super().__init__(decode)
        self._faults: list[tf.Tensor] = []

    def decoded(self, encoded: tf.Tensor, name: str) -> tf.Tensor:
        images, faults = self._decode(encoded, name)
        self._faults.append(faults)
        return to_float(tf.cast(images, tf.float32))

    def checked(
        self, values: tf.Tensor, right: tf.Tensor, message: str, seen: tf.Tensor | None = None, instead: float = 0
    ) -> tf.Tensor:
        text = message if seen is None else tf.strings.join([message, tf.strings.as_string(seen)], " ")
        self._faults.append(tf.where(right, "", text))
        return tf.where(_like(right, values), values, tf.cast(instead, values.dtype))

    def answer(self, outputs: Outputs) -> Outputs:
        status = first_fault(*self._faults)
        right = tf.equal(status, "")
        kept = {
            name: tf.where(_like(right, values), values, tf.zeros([], values.dtype)) for name, values in outputs.items()
        }
        return {**kept, STATUS: status}


def _like(rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`[N]` with as many axes as the values `[N, ...]`."""
    return tf.reshape(rows, [-1, *[1] * (values.shape.rank - 1)])


def _inner_axes(values: tf.Tensor) -> list[int]:
    return list(range(1, values.shape.rank))


def _check_weights(weights: tf.Tensor, count: int, rows: _Rows) -> tf.Tensor:
    """Weights whose last axis is n, statically."""
    right = tf.equal(tf.shape(weights)[-1], count)
    weights = ensure(weights, right, f"weights: must have {count} columns, one for each attribute:", tf.shape(weights))
    finite = tf.reduce_all(tf.math.is_finite(weights), _inner_axes(weights))
    weights = rows.checked(weights, finite, "weights: must be finite numbers")
    return tf.ensure_shape(weights, [*weights.shape[:-1], count])


def _check_codes(codes: tf.Tensor, name: str, shape: Sequence[int], rows: _Rows) -> tf.Tensor:
    """Codes `[..., h, w, C]`, their last three sizes known."""
    right = tf.reduce_all(tf.equal(tf.shape(codes)[-3:], shape)) & (tf.size(codes) > 0)
    codes = ensure(
        codes, right, f"{name}: must be [..., {', '.join(map(str, shape))}], at least one, not", tf.shape(codes)
    )
    finite = tf.reduce_all(tf.math.is_finite(codes), _inner_axes(codes))
    codes = rows.checked(codes, finite, f"{name}: must be finite numbers")
    return tf.ensure_shape(codes, [*codes.shape[:-3], *shape])


def _check_pixels(images: tf.Tensor, name: str, multiple: int, rows: _Rows) -> tf.Tensor:
    height, width, channels = tf.unstack(tf.shape(images)[-3:])
    whole = tf.equal(height, width) & tf.equal(height % multiple, 0)
    right = tf.equal(channels, 3) & whole & (tf.size(images) > 0)
    text = f"{name}: must be [..., S, S, 3] with S a multiple of {multiple}, at least one, not"
    images = ensure(images, right, text, tf.shape(images))
    in_range = tf.reduce_all(tf.abs(images) <= 1.001, _inner_axes(images))  # False for NaN, too
    images = rows.checked(images, in_range, f"{name}: must be numbers from -1 to 1")
    return tf.ensure_shape(images, [*images.shape[:-1], 3])


def _same_count(**inputs: tf.Tensor) -> list[tf.Tensor]:
    """The inputs, each as many as the first."""
    (first, values), *others = inputs.items()
    count = tf.shape(values)[0]
    text = f"must be as many as {first}:"
    return [
        values,
        *(
            ensure(other, tf.equal(count, tf.shape(other)[0]), f"{name}: {text}", tf.shape(other)[0], count)
            for name, other in others
        ),
    ]
