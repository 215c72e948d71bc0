"""A trained run as an editor of images: files, Pillow images or NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from PIL import Image

from elegant_tf.coefficients import linear_coefficients, matrix_coefficients, swap_coefficients
from elegant_tf.errors import UserError
from elegant_tf.images import check_image_size, pillow_pixels, read_image, resize, to_float, to_uint8
from elegant_tf.model.elegant import Elegant
from elegant_tf.paths import local_path
from elegant_tf.rundir import read_model
from elegant_tf.runs import load_generator

OneImage: TypeAlias = np.ndarray | Image.Image | str | os.PathLike[str]
"""An image: uint8 RGB `[H, W, 3]`, a Pillow image of any mode, or the path of a file, read as `read_image` does."""

Images: TypeAlias = OneImage | Sequence[OneImage]
"""One image, several in a sequence, of any kinds and sizes, or several in an array, uint8 RGB `[N, H, W, 3]`."""

# Pixels that go through the networks at once: 8 images of 256 x 256, some 100 MB of activations at width 64.
PIXELS_AT_ONCE = 8 * 256 * 256

# Bytes of codes to keep, and as many again of skips, for images that are edited again.
CACHE_BYTES = 256 * 2**20


class Editor:
    """Edits images with a trained generator.

    Every image is turned upright as its EXIF says, cropped to its centred square and resized to S x S; results are
    uint8 RGB of that size. The codes of recent images are kept, so that using one again is cheap.

    Attributes:
        attributes: the n attributes that can be moved, by name.
        image_size: S.
        step: the training step of the weights.

    Args:
        generator: a built model.
        image_size: S, any multiple of `2 ** depth`; it need not be the size of the training images.
        step: the training step of its weights.

    Raises:
        UserError: the generator cannot take this image size. Every method raises it on an image that is not uint8 RGB,
            on a file that cannot be read, on an unknown attribute, and on numbers that do not fit together.
    """

    def __init__(self, generator: Elegant, image_size: int, step: int = 0) -> None:
        check_image_size(image_size, 2**generator.depth)
        self.attributes = generator.attributes
        self.image_size = image_size
        self.step = step
        self._generator = generator
        self._codes, self._skips = _Cache(CACHE_BYTES), _Cache(CACHE_BYTES)
        self._encoded_images = 0
        pixels = tf.TensorSpec([None, image_size, image_size, 3], tf.uint8)
        self._encode = tf.function(self._encode_graph, input_signature=[pixels])
        code, skips = self._encode.get_concrete_function().structured_outputs
        exemplars = tf.TensorSpec([None, None, *code.shape[1:]], code.dtype)
        coefficients = tf.TensorSpec([None, None, len(self.attributes)], tf.float32)
        signature = [pixels, _spec(code), [_spec(skip) for skip in skips], exemplars, coefficients]
        self._decode = tf.function(self._decode_graph, input_signature=signature)

    @classmethod
    def load(cls, run_dir: str | os.PathLike[str], image_size: int | None = None, step: int | None = None) -> Editor:
        """The editor of a run's checkpoint, with the exponential moving average of its weights if the run keeps one.

        Args:
            run_dir: a run directory, packed or not, or "faces", the model of drawn faces that comes with the package.
            image_size: S; None: the size that the run was trained at.
            step: which checkpoint; None: the newest.

        Raises:
            UserError: there is no run or no checkpoint, or the run cannot take this image size.
        """
        run_dir = local_path(run_dir)
        model = read_model(run_dir)
        image_size = model.image_size if image_size is None else image_size
        check_image_size(image_size, 2**model.depth)
        generator, step = load_generator(run_dir, step)
        return cls(generator, image_size, step)

    @property
    def encoded_images(self) -> int:
        """How many images have gone through the encoder; an image found in the cache does not go through it."""
        return self._encoded_images

    def swap(
        self,
        image: Images,
        exemplar: Images,
        attributes: Sequence[str],
        strength: float | Sequence[float] = 1.0,
    ) -> np.ndarray:
        """Transfers attributes, present or absent, from the exemplars to the image.

        Args:
            image: one image, or N of them, each of which gets the same edit.
            exemplar: one image, which gives all attributes, or one for each attribute, in order.
            attributes: names, one or several.
            strength: 0 reconstructs the image, which may change it slightly; 1 exchanges, between interpolates, beyond
                extrapolates; one for all attributes or one for each.

        Returns:
            uint8 `[S, S, 3]` for one image, `[N, S, S, 3]` for several.
        """
        images, exemplars = self._prepare(image), self._prepare(exemplar)
        coefficients = swap_coefficients(self.attributes, attributes, len(exemplars), strength)
        edited = self._edit_each(images, exemplars, np.broadcast_to(coefficients, (len(images), *coefficients.shape)))
        return edited[0] if _is_one(image) else edited

    def linear(self, image: OneImage, exemplar: Images, attributes: Sequence[str], steps: int) -> np.ndarray:
        """Swaps of strengths 1/m … m/m for `steps` m, uint8 `[m, S, S, 3]`; exemplars and attributes as in `swap`."""
        image, exemplars = self._prepare_one(image), self._prepare(exemplar)
        coefficients = linear_coefficients(self.attributes, attributes, len(exemplars), steps)
        return self._edit_each(image, exemplars, coefficients)

    def matrix(self, image: OneImage, exemplars: Images, attributes: Sequence[str], rows: int, cols: int) -> np.ndarray:
        """Interpolates in two directions, uint8 `[rows, cols, S, S, 3]`; a single row or column is the first.

        The top left corner is the image's reconstruction, a swap of strength 0. One attribute with three exemplars: the
        corners top right, bottom left and bottom right are swaps with one exemplar each. Two attributes with two
        exemplars: the first exemplar's attribute grows downwards, the second's to the right.
        """
        image, exemplars = self._prepare_one(image), self._prepare(exemplars)
        coefficients = matrix_coefficients(self.attributes, attributes, len(exemplars), rows, cols)
        edited = self._edit_each(image, exemplars, coefficients.reshape(-1, *coefficients.shape[2:]))
        return edited.reshape(rows, cols, *edited.shape[1:])

    def grid(
        self,
        images: Images,
        exemplars: Images,
        attributes: Sequence[str],
        strength: float | Sequence[float] = 1.0,
    ) -> np.ndarray:
        """Each of I images with the attributes of each of E exemplars, uint8 `[I, E, S, S, 3]`."""
        images, exemplars = self._prepare(images), self._prepare(exemplars)
        coefficients = swap_coefficients(self.attributes, attributes, 1, strength)
        count, each = len(images), len(exemplars)
        source = np.repeat(np.arange(count), each)
        chosen = count + np.tile(np.arange(each), count)[:, None]
        coefficients = np.broadcast_to(coefficients, (len(source), *coefficients.shape))
        edited = self._edit(np.concatenate([images, exemplars]), source, chosen, coefficients)
        return edited.reshape(count, each, *edited.shape[1:])

    def edit(self, images: Images, exemplars: Sequence[Images] | np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """The general edit, uint8 `[N, S, S, 3]`: each image takes attributes from K exemplars chosen for it.

        Args:
            images: N images.
            exemplars: K images for each of them: N sequences or an array `[N, K, H, W, 3]`.
            coefficients: `[N, K, n]`, see `latent.exchange`.
        """
        images = self._prepare(images)
        rows = [self._prepare(row) for row in _sequence(exemplars)]
        coefficients = np.asarray(coefficients, np.float32)
        expected = (len(images), len(rows[0]) if rows else 0, len(self.attributes))
        if len(rows) != len(images) or any(len(row) != expected[1] for row in rows) or coefficients.shape != expected:
            raise UserError(
                f"{len(images)} images, exemplars for {len(rows)} of them and coefficients {list(coefficients.shape)}: "
                f"expected [N, K, H, W, 3] exemplars and [N, K, {len(self.attributes)}] coefficients for N images"
            )
        if not np.isfinite(coefficients).all():
            raise UserError("coefficients must be finite")
        source = np.arange(len(images))
        chosen = len(images) + np.arange(expected[0] * expected[1]).reshape(expected[:2])
        return self._edit(np.concatenate([images, *rows]), source, chosen, coefficients)

    def _edit_each(self, images: np.ndarray, exemplars: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """N images with coefficients `[N, K, n]`, or one image with each row of them; all share the K exemplars."""
        source = np.arange(len(images)) if len(images) == len(coefficients) else np.zeros(len(coefficients), int)
        chosen = np.broadcast_to(len(images) + np.arange(len(exemplars)), coefficients.shape[:2])
        return self._edit(np.concatenate([images, exemplars]), source, chosen, coefficients)

    def _edit(self, images: np.ndarray, source: np.ndarray, chosen: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Edits `images[source]` towards `images[chosen]` by coefficients `[N, K, n]`; indices `[N]` and `[N, K]`."""
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        edited = np.empty((len(source), *images.shape[1:]), np.uint8)
        for part in self._parts(len(source)):
            # Skips first: encoding an image for its skips yields its code, too.
            self._encode_new(images, keys, source[part], self._skips)
            self._encode_new(images, keys, np.append(source[part], chosen[part]), self._codes)
            result = self._decode(
                images[source[part]],
                np.stack([self._codes[keys[index]][0] for index in source[part]]),
                [np.stack(level) for level in zip(*(self._skips[keys[index]] for index in source[part]), strict=True)],
                np.stack([[self._codes[keys[index]][0] for index in row] for row in chosen[part]]),
                coefficients[part],
            )
            edited[part] = to_uint8(result)
            self._codes.trim()
            self._skips.trim()
        return edited

    def _encode_new(self, images: np.ndarray, keys: Sequence[bytes], indices: np.ndarray, cache: _Cache) -> None:
        """Encodes the images that the cache lacks, each once."""
        lacking = list({keys[index]: index for index in indices if keys[index] not in cache}.values())
        for part in self._parts(len(lacking)):
            codes, skips = self._encode(images[lacking[part]])
            # The whole batch at once: slicing a tensor is slow.
            codes, skips = codes.numpy(), [skip.numpy() for skip in skips]
            self._encoded_images += len(lacking[part])
            for place, index in enumerate(lacking[part]):
                # Copies: a view would keep the whole batch alive.
                self._codes.put(keys[index], [codes[place].copy()])
                self._skips.put(keys[index], [skip[place].copy() for skip in skips])

    def _parts(self, count: int) -> list[slice]:
        size = max(1, PIXELS_AT_ONCE // self.image_size**2)
        return [slice(start, start + size) for start in range(0, count, size)]

    def _encode_graph(self, images: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        return self._generator.encode(self._to_model(images))

    def _decode_graph(
        self,
        images: tf.Tensor,
        code: tf.Tensor,
        skips: list[tf.Tensor],
        exemplars: tf.Tensor,
        coefficients: tf.Tensor,
    ) -> tf.Tensor:
        return self._generator.edit_encoded(self._to_model(images), code, skips, exemplars, coefficients)[0]

    def _to_model(self, images: tf.Tensor) -> tf.Tensor:
        return to_float(tf.cast(images, self._generator.variable_dtype))

    def _prepare(self, images: Images) -> np.ndarray:
        """uint8 `[N, S, S, 3]`."""
        several = list(_sequence(images))
        if not several:
            raise UserError("no image given: give at least one")
        # Each is resized as soon as it is read: many photos may not fit into memory.
        return np.stack([resize(_pixels(image), self.image_size) for image in several])

    def _prepare_one(self, image: OneImage) -> np.ndarray:
        """uint8 `[1, S, S, 3]`."""
        prepared = self._prepare(image)
        if len(prepared) != 1:
            raise UserError(f"{len(prepared)} images given: give one")
        return prepared


class _Cache:
    """Arrays by key; `trim` forgets the least recently used ones beyond a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._entries: OrderedDict[bytes, Sequence[np.ndarray]] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def __getitem__(self, key: bytes) -> Sequence[np.ndarray]:
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: bytes, arrays: Sequence[np.ndarray]) -> None:
        self._drop(key)
        self._entries[key] = arrays
        self._bytes += sum(array.nbytes for array in arrays)

    def trim(self) -> None:
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        self._bytes -= sum(array.nbytes for array in self._entries.pop(key, ()))


def _is_one(images: Images) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim <= 3
    return isinstance(images, Image.Image | str | os.PathLike)


def _sequence(images: Any) -> Iterable[Any]:
    """The images one by one, or the rows of several."""
    if _is_one(images):
        return [images]
    if isinstance(images, bytes | Mapping) or not isinstance(images, Iterable):
        raise _no_image(images)
    return images


def _pixels(image: OneImage) -> np.ndarray:
    """uint8 RGB `[H, W, 3]`, if the image is that of a file; arrays stay as they are."""
    if isinstance(image, str | os.PathLike):
        return read_image(local_path(image))
    if isinstance(image, Image.Image):
        return pillow_pixels(image)
    try:
        array = np.asarray(image)
    except ValueError:  # lists of different lengths
        raise _no_image(image) from None
    if array.dtype == object:
        raise _no_image(image)
    return array


def _no_image(value: object) -> UserError:
    return UserError(
        f"an image must be uint8 RGB [H, W, 3], a Pillow image or the path of a file; received {type(value).__name__}"
    )


def _spec(tensor: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
