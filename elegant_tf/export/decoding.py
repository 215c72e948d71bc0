"""Decodes and encodes images inside a TensorFlow graph, with the results of `images` in Python.

Servers decode files from anyone. Sizes are therefore checked in the headers first. Every fault is named, with the
input: by an InvalidArgumentError for all images, or by a text for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf

from elegant_tf.images import END_OF_JPEG, JPEG_BLOCK, LOST_SHARE

# 33.5 megapixels: about 0.5 GB of memory while an image is decoded, and more than most cameras take.
MAX_PIXELS = 2**25
RESIZES = ("crop", "pad", "stretch")

# zlib's default, 6, makes files a sixth smaller but takes four times as long, which is most of a small edit's time.
_PNG_COMPRESSION = 1
_HEADER_BYTES = 32
_JPEG, _PNG, _GIF, _BMP, _WEBP = range(5)
_MAGICS = {_JPEG: b"\xff\xd8\xff", _PNG: b"\x89PNG\r\n\x1a\n", _GIF: b"GIF8", _BMP: b"BM"}
_GIF_TRAILER = b"\x3b"
_INTACT_COPY = "send an intact copy"

_Found: TypeAlias = tuple[tf.Tensor, tf.Tensor]
"""What is wrong with an image, an empty string if nothing is, and the image, uint8 `[H, W, 3]`."""


def decode_images(encoded: tf.Tensor, size: int, resize: str, name: str) -> tf.Tensor:
    """Decodes JPEG, PNG, WebP, GIF and BMP images to squares.

    Transparent images are laid on white, grey and CMYK ones converted to RGB. Of an animated GIF the first frame is
    taken; animated WebPs are refused. EXIF orientation is ignored.

    Args:
        encoded: strings `[N]`.
        size: side S of the squares.
        resize: `crop` takes the centred square, as training and the Editor do; `pad` adds white; `stretch` changes the
            proportions.
        name: what errors call the images.

    Returns:
        uint8 RGB `[N, S, S, 3]`. Running it raises InvalidArgumentError on data that are not an image of these formats,
        damaged, or larger than `MAX_PIXELS`.
    """
    encoded = _ensure_some(encoded, name)

    def one(data: tf.Tensor) -> tf.Tensor:
        fault, image = _decode(data, name)
        return square(ensure(image, tf.equal(fault, ""), fault), size, resize)

    spec = tf.TensorSpec([size, size, 3], tf.uint8)
    with tf.name_scope(name):
        return tf.map_fn(one, encoded, parallel_iterations=2, fn_output_signature=spec)


def decode_intact_images(encoded: tf.Tensor, size: int, resize: str, name: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes as `decode_images` does, but an image that cannot be decoded spoils no other.

    Returns:
        uint8 RGB `[N, S, S, 3]`, zeros for images that cannot be decoded, and what is wrong with each, strings `[N]`,
        empty if nothing is. Running it raises InvalidArgumentError only if there is no image.
    """
    encoded = _ensure_some(encoded, name)
    count = tf.size(encoded)

    def one(row: tf.Tensor, data: tf.Tensor) -> tuple[tf.Tensor, ...]:
        fault, image = _decode(data, name)
        image = tf.where(tf.equal(fault, ""), square(image, size, resize), tf.constant(0, tf.uint8))
        return row, fault, image

    with tf.name_scope(name):
        # Only a dataset can go on after an error in a graph: it leaves the rows out that the decoders fail at. The row
        # behind the last keeps it from being empty. One by one: handing small images to threads takes longer than to
        # decode them, and signatures with two images decode them at the same time.
        rows = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
        decoded = rows.map(one).ignore_errors()
        last = tf.data.Dataset.from_tensors((count, "", tf.zeros([size, size, 3], tf.uint8)))
        joined = decoded.concatenate(last).batch(tf.cast(count, tf.int64) + 1).with_options(_plain())
        places, faults, images = joined.get_single_element()
        damaged = tf.fill([count + 1], f"{name}: is a damaged or truncated image: {_INTACT_COPY}")
        faults = tf.tensor_scatter_nd_update(damaged, places[:, None], faults)
        images = tf.scatter_nd(places[:, None], images, [count + 1, size, size, 3])
        return images[:-1], faults[:-1]


def _plain() -> tf.data.Options:
    """Without the rewriting and tuning of datasets, which take longer than to decode an image."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return options


def _ensure_some(encoded: tf.Tensor, name: str) -> tf.Tensor:
    return ensure(encoded, tf.size(encoded) > 0, f"{name}: must hold at least one image")


def encode_images(images: tf.Tensor, encoding: str) -> tf.Tensor:
    """Encodes uint8 RGB `[N, S, S, 3]` as strings `[N]`, `png` or `jpeg`."""

    def one(image: tf.Tensor) -> tf.Tensor:
        if encoding == "png":
            return tf.io.encode_png(image, compression=_PNG_COMPRESSION)
        return tf.io.encode_jpeg(image, quality=95, chroma_downsampling=False)

    return tf.map_fn(one, images, fn_output_signature=tf.TensorSpec([], tf.string))


def square(image: tf.Tensor, size: int, resize: str) -> tf.Tensor:
    """Resamples uint8 `[H, W, 3]` to `[size, size, 3]`, with Pillow's Lanczos filter and its rounding."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    if resize == "crop":
        edge = tf.minimum(height, width)
        image = tf.image.crop_to_bounding_box(image, (height - edge) // 2, (width - edge) // 2, edge, edge)
    elif resize == "pad":
        edge = tf.maximum(height, width)
        top, left = (edge - height) // 2, (edge - width) // 2
        sides = [[top, edge - height - top], [left, edge - width - left], [0, 0]]
        image = tf.pad(image, sides, constant_values=255)

    def resampled() -> tf.Tensor:
        rows = _resample(tf.cast(image, tf.float32), tf.stack([tf.shape(image)[0], size]))
        return tf.cast(_resample(rows, [size, size]), tf.uint8)

    fits = tf.reduce_all(tf.equal(tf.shape(image)[:2], size))
    return tf.ensure_shape(tf.cond(fits, lambda: image, resampled), [size, size, 3])


def _resample(image: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """One of Pillow's two passes, after each of which it rounds to whole numbers from 0 to 255."""
    resized = tf.image.resize(image, shape, tf.image.ResizeMethod.LANCZOS3, antialias=True)
    return tf.clip_by_value(tf.floor(resized + 0.5), 0.0, 255.0)


def _decode(data: tf.Tensor, name: str) -> _Found:
    header = tf.cast(tf.io.decode_raw(data, tf.uint8, fixed_length=_HEADER_BYTES), tf.int32)
    branches: dict[int, Callable[[], _Found]] = {
        _JPEG: lambda: _decode_jpeg(data, name),
        _PNG: lambda: _decode_png(data, header, name),
        _GIF: lambda: _decode_gif(data, header, name),
        _BMP: lambda: _decode_bmp(data, header, name),
        _WEBP: lambda: _decode_webp(data, header, name),
    }
    fault, image = tf.switch_case(_kind(data), branches, default=lambda: _unknown(data, name))
    return fault, tf.ensure_shape(image, [None, None, 3])


def _kind(data: tf.Tensor) -> tf.Tensor:
    kind = tf.constant(-1)
    for number, magic in _MAGICS.items():
        kind = tf.where(tf.equal(tf.strings.substr(data, 0, len(magic)), magic), number, kind)
    riff = tf.equal(tf.strings.substr(data, 0, 4), b"RIFF") & _has(data, 8, b"WEBP")
    return tf.where(riff, _WEBP, kind)


def _unknown(data: tf.Tensor, name: str) -> _Found:
    unknown = tf.constant(f"{name}: is not a JPEG, PNG, WebP, GIF or BMP image: send one of these")
    empty = _fault(tf.equal(tf.strings.length(data), 0), f"{name}: is empty (0 bytes): {_INTACT_COPY}")
    return first_fault(empty, unknown), _nothing()


def _nothing() -> tf.Tensor:
    return tf.zeros([1, 1, 3], tf.uint8)


def _unless(fault: tf.Tensor, decode: Callable[[], tf.Tensor]) -> tf.Tensor:
    """The decoded image, which must not be decoded if anything is wrong with it."""
    return tf.cond(tf.equal(fault, ""), decode, _nothing)


def _decode_jpeg(data: tf.Tensor, name: str) -> _Found:
    shape = tf.io.extract_jpeg_shape(data)
    large = _size_fault(shape[1], shape[0], name)
    # A second end marker is ignored, and one for a file that lacks its own lets TensorFlow decode it as Pillow does.
    whole = tf.equal(tf.strings.substr(data, -2, 2), END_OF_JPEG)
    ended = tf.strings.join([data, END_OF_JPEG])
    image = _unless(large, lambda: tf.io.decode_jpeg(ended, channels=3, dct_method="INTEGER_ACCURATE"))
    lost = ~whole & (_lost_share(image) > LOST_SHARE)
    return first_fault(large, _fault(lost, f"{name}: is a truncated JPEG image: {_INTACT_COPY}")), image


def _lost_share(image: tf.Tensor) -> tf.Tensor:
    """The share of the last rows that end in the grey that libjpeg takes for what is missing."""
    ends = tf.cast(image[:, -JPEG_BLOCK:], tf.int32)
    is_whole = tf.reduce_any(tf.abs(ends - 128) > 2, axis=[1, 2])
    last = tf.reduce_max(tf.where(is_whole, tf.range(tf.shape(image)[0]), -1))
    return 1.0 - tf.cast(last + 1, tf.float32) / tf.cast(tf.shape(image)[0], tf.float32)


def _decode_png(data: tf.Tensor, header: tf.Tensor, name: str) -> _Found:
    # In greys of fewer than 8 bits, TensorFlow 2.21 takes alpha 1, not 255, for opaque: their transparency is ignored.
    few_greys = tf.equal(header[25], 0) & (header[24] < 8)

    def decode() -> tf.Tensor:
        return tf.cond(
            few_greys, lambda: tf.io.decode_png(data, channels=3), lambda: _on_white(tf.io.decode_png(data, channels=4))
        )

    large = _size_fault(_big_endian(header[16:20]), _big_endian(header[20:24]), name)
    return large, _unless(large, decode)


def _decode_bmp(data: tf.Tensor, header: tf.Tensor, name: str) -> _Found:
    height = tf.bitcast(tf.cast(_little_endian(header[22:26]), tf.uint32), tf.int32)  # negative: rows from the top down

    def decode() -> tf.Tensor:
        image = tf.io.decode_bmp(data)
        grey = tf.equal(tf.shape(image)[2], 1)
        return tf.cond(grey, lambda: tf.repeat(image[..., :1], 3, axis=2), lambda: image[..., :3])

    large = _size_fault(_little_endian(header[18:22]), tf.abs(tf.cast(height, tf.int64)), name)
    return large, _unless(large, decode)


def _decode_webp(data: tf.Tensor, header: tf.Tensor, name: str) -> _Found:
    lossy = [_little_endian(header[26:28]) & 0x3FFF, _little_endian(header[28:30]) & 0x3FFF]
    bits = _little_endian(header[21:25])
    lossless = [(bits & 0x3FFF) + 1, (bits // 2**14 & 0x3FFF) + 1]
    extended = [_little_endian(header[24:27]) + 1, _little_endian(header[27:30]) + 1]
    width, height = tf.unstack(
        tf.where(_has(data, 12, b"VP8X"), extended, tf.where(_has(data, 12, b"VP8L"), lossless, lossy))
    )
    # TensorFlow 2.21 ends the process when it is asked for the first frame alone of an animation.
    animated = _has(data, 12, b"VP8X") & (header[20] & 2 > 0)

    def decode() -> tf.Tensor:
        image = tf.io.decode_image(data, expand_animations=False)
        return tf.cond(tf.equal(tf.shape(image)[2], 4), lambda: _on_white(image), lambda: image)

    moving = _fault(animated, f"{name}: is an animated WebP image; send a still one")
    fault = first_fault(_size_fault(width, height, name), moving)
    return fault, _unless(fault, decode)


def _decode_gif(data: tf.Tensor, header: tf.Tensor, name: str) -> _Found:
    """Cuts the data after the first frame: the decoder would decode them all."""
    damaged, end, width, height = _first_gif_frame(data, header, name)
    canvas = [_little_endian(header[6:8]), _little_endian(header[8:10])]
    large = _size_fault(tf.maximum(canvas[0], width), tf.maximum(canvas[1], height), name)

    def decode() -> tf.Tensor:
        frame = tf.strings.substr(data, 0, end) + _GIF_TRAILER
        return tf.ensure_shape(tf.io.decode_image(frame, channels=3, expand_animations=False), [None, None, 3])

    fault = first_fault(damaged, large)
    return fault, _unless(fault, decode)


def _first_gif_frame(data: tf.Tensor, header: tf.Tensor, name: str) -> tuple[tf.Tensor, ...]:
    """What is wrong with a GIF, where its first frame ends, and the frame's width and height.

    Walks over blocks: 0x21 begins an extension, 0x2C a frame. Both end in sub-blocks, each a length and that number of
    bytes; the last one has length 0 (GIF89a specification, sections 15 to 27).
    """
    at_block, in_extension, in_frame, done, bad = range(5)
    numbers = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)
    last = tf.size(numbers) - 1

    def number(position: tf.Tensor) -> tf.Tensor:
        return numbers[tf.minimum(position, last)]

    def table(flags: tf.Tensor) -> tf.Tensor:
        return tf.where(flags >= 0x80, tf.bitwise.left_shift(6, flags & 7), 0)

    def step(position: tf.Tensor, state: tf.Tensor, width: tf.Tensor, height: tf.Tensor) -> tuple[tf.Tensor, ...]:
        found = number(position)
        extension = tf.equal(state, at_block) & tf.equal(found, 0x21)
        frame = tf.equal(state, at_block) & tf.equal(found, 0x2C)
        width = tf.where(frame, number(position + 5) + 256 * number(position + 6), width)
        height = tf.where(frame, number(position + 7) + 256 * number(position + 8), height)
        ended = (state > at_block) & tf.equal(found, 0)
        after_end = tf.where(tf.equal(state, in_frame), done, at_block)
        inside = tf.where(state > at_block, state, bad)
        state = tf.where(extension, in_extension, tf.where(frame, in_frame, tf.where(ended, after_end, inside)))
        moved = tf.where(extension, 2, tf.where(frame, 11 + table(number(position + 9)), 1 + tf.where(ended, 0, found)))
        position += moved
        return position, tf.where((position > last) & (state < done), bad, state), width, height

    first = 13 + table(header[10])
    state = tf.where(first > last, bad, at_block)
    position, state, width, height = tf.while_loop(lambda _, state, *rest: state < done, step, (first, state, 0, 0))
    fault = _fault(tf.not_equal(state, done), f"{name}: is a damaged or truncated GIF image: {_INTACT_COPY}")
    return fault, position, tf.cast(width, tf.int64), tf.cast(height, tf.int64)


def _has(data: tf.Tensor, position: int, text: bytes) -> tf.Tensor:
    """Whether the data hold this text at a position; False if they are too short."""
    long_enough = tf.strings.length(data) >= position + len(text)
    padded = tf.strings.join([data, b"\0" * (position + len(text))])
    return long_enough & tf.equal(tf.strings.substr(padded, position, len(text)), text)


def _big_endian(numbers: tf.Tensor) -> tf.Tensor:
    return _little_endian(numbers[::-1])


def _little_endian(numbers: tf.Tensor) -> tf.Tensor:
    wide = tf.cast(numbers, tf.int64)
    return tf.reduce_sum(wide * [256**place for place in range(wide.shape[0])])


def _on_white(image: tf.Tensor) -> tf.Tensor:
    color, alpha = tf.cast(image[..., :3], tf.int32), tf.cast(image[..., 3:], tf.int32)
    return tf.cast((color * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _size_fault(width: tf.Tensor, height: tf.Tensor, name: str) -> tf.Tensor:
    width, height = tf.cast(width, tf.int64), tf.cast(height, tf.int64)
    fits = (width > 0) & (height > 0) & (width <= MAX_PIXELS) & (height <= MAX_PIXELS) & (width * height <= MAX_PIXELS)
    claimed = [f"{name}: claims", tf.strings.as_string(width), "x", tf.strings.as_string(height)]
    expected = f"pixels; expected at least one and not more than {MAX_PIXELS} pixels: scale it down first"
    return _fault(~fits, tf.strings.join([*claimed, expected], " "))


def _fault(wrong: tf.Tensor, text: str | tf.Tensor) -> tf.Tensor:
    """The text where something is wrong, otherwise an empty string."""
    return tf.where(wrong, text, "")


def first_fault(*faults: tf.Tensor) -> tf.Tensor:
    """The first of several texts that is not empty, place by place."""
    first, *others = faults
    for other in others:
        first = tf.where(tf.equal(first, ""), other, first)
    return first


def ensure(value: tf.Tensor, condition: tf.Tensor, message: str | tf.Tensor, *seen: tf.Tensor) -> tf.Tensor:
    """The value if the condition holds; otherwise InvalidArgumentError, with the message and the values `seen`."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [message, *seen])]):
        return tf.identity(value)
