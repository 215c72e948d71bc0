"""A trained run as an editor of images: files, Pillow images or NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from elegant_tf.catalogue import Catalogue, Exemplar, is_one
from elegant_tf.coefficients import linear_coefficients, matrix_coefficients, swap_coefficients
from elegant_tf.errors import UserError
from elegant_tf.images import OneImage, check_image_size, image_pixels, no_image, resize, to_float, to_uint8
from elegant_tf.marks import model_hash
from elegant_tf.model.elegant import Elegant
from elegant_tf.model.latent import block_bounds
from elegant_tf.paths import any_path
from elegant_tf.remote import absolute
from elegant_tf.rundir import find_run, read_model
from elegant_tf.runs import load_generator

Images: TypeAlias = OneImage | Sequence[OneImage]
"""One image, several in a sequence, of any kinds and sizes, or several in an array, uint8 RGB `[N, H, W, 3]`."""

Exemplars: TypeAlias = Images | Exemplar | Sequence[OneImage | Exemplar]
"""One exemplar or several: images, or the `Exemplar`s of a catalogue, which are encoded already."""

THUMBNAIL_SIZE = 64  # pixels

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
        run_dir: the run directory that it was loaded from, for `model`; empty: none.

    Raises:
        UserError: the generator cannot take this image size. Every method raises it on an image that is not uint8 RGB,
            on a file that cannot be read, on an unknown attribute, and on numbers that do not fit together.
    """

    def __init__(self, generator: Elegant, image_size: int, step: int = 0, run_dir: str = "") -> None:
        check_image_size(image_size, 2**generator.depth)
        self.attributes = generator.attributes
        self.image_size = image_size
        self.step = step
        self._generator, self._run_dir = generator, run_dir
        self._codes, self._skips = _Cache(CACHE_BYTES), _Cache(CACHE_BYTES)
        self._encoded_images = 0
        pixels = tf.TensorSpec([None, image_size, image_size, 3], tf.uint8)
        self._encode = tf.function(self._encode_graph, input_signature=[pixels], autograph=False)
        code, skips = self._encode.get_concrete_function().structured_outputs
        self._code_dtype = code.dtype.as_numpy_dtype
        exemplars = tf.TensorSpec([None, None, *code.shape[1:]], code.dtype)
        coefficients = tf.TensorSpec([None, None, len(self.attributes)], tf.float32)
        signature = [pixels, _spec(code), [_spec(skip) for skip in skips], exemplars, coefficients]
        self._decode = tf.function(self._decode_graph, input_signature=signature, autograph=False)

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
        run_dir = any_path(run_dir)
        model = read_model(run_dir)
        image_size = model.image_size if image_size is None else image_size
        check_image_size(image_size, 2**model.depth)
        generator, step = load_generator(run_dir, step)
        return cls(generator, image_size, step, os.fspath(absolute(find_run(run_dir))))

    @functools.cached_property
    def model(self) -> str:
        """SHA-256 of the run's weights, see `marks.model_hash`; empty if the generator is not that of a run.

        Raises:
            UserError: the run directory has changed, and the checkpoint is gone.
        """
        return model_hash(self._run_dir, self.step)[0] if self._run_dir else ""

    @property
    def encoded_images(self) -> int:
        """How many images have gone through the encoder; an image found in the cache does not go through it."""
        return self._encoded_images

    def swap(
        self,
        image: Images,
        exemplar: Exemplars,
        attributes: Sequence[str],
        strength: float | Sequence[float] = 1.0,
    ) -> np.ndarray:
        """Transfers attributes, present or absent, from the exemplars to the image.

        Args:
            image: one image, or N of them, each of which gets the same edit.
            exemplar: one image or `Exemplar`, which gives all attributes, or one for each attribute, in order.
            attributes: names, one or several.
            strength: 0 reconstructs the image, which may change it slightly; 1 exchanges, between interpolates, beyond
                extrapolates; one for all attributes or one for each.

        Returns:
            uint8 `[S, S, 3]` for one image, `[N, S, S, 3]` for several.
        """
        images, chosen = self._prepare(image), self._prepare_exemplars(exemplar)
        coefficients = swap_coefficients(self.attributes, attributes, len(chosen), strength)
        edited = self._edit_each(images, chosen, np.broadcast_to(coefficients, (len(images), *coefficients.shape)))
        return edited[0] if is_one(image) else edited

    def linear(self, image: OneImage, exemplar: Exemplars, attributes: Sequence[str], steps: int) -> np.ndarray:
        """Swaps of strengths 1/m … m/m for `steps` m, uint8 `[m, S, S, 3]`; exemplars and attributes as in `swap`."""
        images, chosen = self._prepare_one(image), self._prepare_exemplars(exemplar)
        coefficients = linear_coefficients(self.attributes, attributes, len(chosen), steps)
        return self._edit_each(images, chosen, coefficients)

    def matrix(
        self, image: OneImage, exemplars: Exemplars, attributes: Sequence[str], rows: int, cols: int
    ) -> np.ndarray:
        """Interpolates in two directions, uint8 `[rows, cols, S, S, 3]`; a single row or column is the first.

        The top left corner is the image's reconstruction, a swap of strength 0. One attribute with three exemplars: the
        corners top right, bottom left and bottom right are swaps with one exemplar each. Two attributes with two
        exemplars: the first exemplar's attribute grows downwards, the second's to the right.
        """
        images, chosen = self._prepare_one(image), self._prepare_exemplars(exemplars)
        coefficients = matrix_coefficients(self.attributes, attributes, len(chosen), rows, cols)
        edited = self._edit_each(images, chosen, coefficients.reshape(-1, *coefficients.shape[2:]))
        return edited.reshape(rows, cols, *edited.shape[1:])

    def grid(
        self,
        images: Images,
        exemplars: Exemplars,
        attributes: Sequence[str],
        strength: float | Sequence[float] = 1.0,
    ) -> np.ndarray:
        """Each of I images with the attributes of each of E exemplars, uint8 `[I, E, S, S, 3]`."""
        inputs, others = self._prepare(images), self._prepare_exemplars(exemplars)
        coefficients = swap_coefficients(self.attributes, attributes, 1, strength)
        count, each = len(inputs), len(others)
        source = np.repeat(np.arange(count), each)
        chosen = count + np.tile(np.arange(each), count)[:, None]
        coefficients = np.broadcast_to(coefficients, (len(source), *coefficients.shape))
        edited = self._edit([*inputs, *others], source, chosen, coefficients)
        return edited.reshape(count, each, *edited.shape[1:])

    def edit(self, images: Images, exemplars: Sequence[Exemplars] | np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """The general edit, uint8 `[N, S, S, 3]`: each image takes attributes from K exemplars chosen for it.

        Args:
            images: N images.
            exemplars: K images for each of them: N sequences or an array `[N, K, H, W, 3]`.
            coefficients: `[N, K, n]`, see `latent.exchange`.
        """
        inputs = self._prepare(images)
        rows = [self._prepare_exemplars(row) for row in _sequence(exemplars)]
        coefficients = np.asarray(coefficients, np.float32)
        expected = (len(inputs), len(rows[0]) if rows else 0, len(self.attributes))
        if len(rows) != len(inputs) or any(len(row) != expected[1] for row in rows) or coefficients.shape != expected:
            raise UserError(
                f"{len(inputs)} images, exemplars for {len(rows)} of them and coefficients {list(coefficients.shape)}: "
                f"expected [N, K, H, W, 3] exemplars and [N, K, {len(self.attributes)}] coefficients for N images"
            )
        if not np.isfinite(coefficients).all():
            raise UserError("coefficients must be finite")
        source = np.arange(len(inputs))
        chosen = len(inputs) + np.arange(expected[0] * expected[1]).reshape(expected[:2])
        return self._edit([*inputs, *itertools.chain(*rows)], source, chosen, coefficients)

    def encode(self, images: Images) -> np.ndarray:
        """The codes of one image or several, float32 `[N, h, w, C]`, to make `Exemplar`s of."""
        prepared = self._prepare(images)
        keys, codes = list(map(_key, prepared)), []
        for part in self._parts(len(prepared)):
            self._encode_new(prepared, keys, np.arange(len(prepared))[part], self._codes)
            codes += [self._codes[key][0] for key in keys[part]]
            self._trim()
        return np.stack(codes).astype(np.float32)

    def make_catalogue(
        self,
        images: Images,
        names: Sequence[str],
        labels: Mapping[str, Sequence[bool] | np.ndarray] | None = None,
        thumbnails: Images | None = None,
        thumbnail_size: int = THUMBNAIL_SIZE,
    ) -> Catalogue:
        """Encodes exemplars, to edit with them later without their images.

        Args:
            images: N images or one.
            names: their names, without colons.
            labels: for some of the model's attributes, which of the images have it, N values each.
            thumbnails: N images or one to show in the place of those that are encoded, such as drawn ones in the same
                style; None: the images themselves.
            thumbnail_size: side of the thumbnails in pixels; 0: no thumbnails.

        Raises:
            UserError: an image cannot be read, numbers do not fit together, or a name or an attribute is not right.
        """
        codes, labels = self.encode(images), labels or {}
        shown: list[np.ndarray | None] = [None] * len(codes)
        if thumbnail_size:
            shown = [
                resize(image_pixels(one), thumbnail_size)
                for one in _sequence(images if thumbnails is None else thumbnails)
            ]
        counts = {
            "names": len(names),
            "thumbnails": len(shown),
            **{f"labels of {k}": len(v) for k, v in labels.items()},
        }
        for what, count in counts.items():
            if count != len(codes):
                raise UserError(f"{len(codes)} images and {count} {what}: give as many of each")
        exemplars = [
            Exemplar(code, name, self.model, tuple(label for label, has in labels.items() if has[place]), image)
            for place, (code, name, image) in enumerate(zip(codes, names, shown, strict=True))
        ]
        return self.collect(exemplars, tuple(labels))

    def collect(self, exemplars: Sequence[Exemplar], labelled: Sequence[str] = ()) -> Catalogue:
        """A catalogue of exemplars that this editor encoded; `labelled`: the attributes that they say they have."""
        channels = exemplars[0].code.shape[-1] if exemplars else 0
        return Catalogue(
            tuple(exemplars),
            model=self.model,
            step=self.step,
            image_size=self.image_size,
            attributes=self.attributes,
            block_bounds=tuple(block_bounds(channels, len(self.attributes)).tolist()),
            labelled=tuple(labelled),
        )

    def _edit_each(self, images: Sequence[_Item], exemplars: Sequence[_Item], coefficients: np.ndarray) -> np.ndarray:
        """N images with coefficients `[N, K, n]`, or one image with each row of them; all share the K exemplars."""
        source = np.arange(len(images)) if len(images) == len(coefficients) else np.zeros(len(coefficients), int)
        chosen = np.broadcast_to(len(images) + np.arange(len(exemplars)), coefficients.shape[:2])
        return self._edit([*images, *exemplars], source, chosen, coefficients)

    def _edit(
        self, items: Sequence[_Item], source: np.ndarray, chosen: np.ndarray, coefficients: np.ndarray
    ) -> np.ndarray:
        """Edits images, `items[source]`, towards `items[chosen]`.

        `source`: indices `[N]`; `chosen`: indices `[N, K]`; coefficients: `[N, K, n]`.
        """
        keys = list(map(_key, items))
        edited = np.empty((len(source), self.image_size, self.image_size, 3), np.uint8)
        for part in self._parts(len(source)):
            # Skips first: encoding an image for its skips yields its code, too.
            self._encode_new(items, keys, source[part], self._skips)
            self._encode_new(items, keys, np.append(source[part], chosen[part]), self._codes)
            result = self._decode(
                np.stack([items[index] for index in source[part]]),
                np.stack([self._codes[keys[index]][0] for index in source[part]]),
                [np.stack(level) for level in zip(*(self._skips[keys[index]] for index in source[part]), strict=True)],
                np.stack([[self._codes[keys[index]][0] for index in row] for row in chosen[part]]),
                coefficients[part],
            )
            edited[part] = to_uint8(result)
            self._trim()
        return edited

    def _encode_new(self, items: Sequence[_Item], keys: Sequence[bytes], indices: np.ndarray, cache: _Cache) -> None:
        """Puts codes and skips into the caches where this one lacks them; each image is encoded once."""
        lacking = list({keys[index]: index for index in indices if keys[index] not in cache}.values())
        for index in lacking:
            if isinstance(item := items[index], Exemplar):
                self._codes.put(keys[index], [item.code.astype(self._code_dtype)])
        images = [index for index in lacking if not isinstance(items[index], Exemplar)]
        for part in self._parts(len(images)):
            codes, skips = self._encode(np.stack([items[index] for index in images[part]]))
            # The whole batch at once: slicing a tensor is slow.
            codes, skips = codes.numpy(), [skip.numpy() for skip in skips]
            self._encoded_images += len(images[part])
            for place, index in enumerate(images[part]):
                # Copies: a view would keep the whole batch alive.
                self._codes.put(keys[index], [codes[place].copy()])
                self._skips.put(keys[index], [skip[place].copy() for skip in skips])

    def _trim(self) -> None:
        self._codes.trim()
        self._skips.trim()

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

    def _prepare(self, images: Images) -> list[np.ndarray]:
        """Images uint8 `[S, S, 3]`."""
        # Each is resized as soon as it is read: many photos may not fit into memory.
        return [self._resized(image) for image in _several(images)]

    def _prepare_exemplars(self, exemplars: Exemplars) -> list[_Item]:
        """Images uint8 `[S, S, 3]` and exemplars that fit the model."""
        several = _several(exemplars)
        return [self._checked(one) if isinstance(one, Exemplar) else self._resized(one) for one in several]

    def _resized(self, image: OneImage) -> np.ndarray:
        return resize(image_pixels(image), self.image_size)

    def _checked(self, exemplar: Exemplar) -> Exemplar:
        if exemplar.model and self.model and exemplar.model != self.model:
            raise UserError(f"exemplar {exemplar.name!r}: is the code of another model: encode its image with this one")
        shape = self._generator.code_shape(self.image_size)
        if exemplar.code.shape != shape:
            raise UserError(
                f"exemplar {exemplar.name!r}: has the code {list(exemplar.code.shape)}; images of {self.image_size} "
                f"pixels have {list(shape)} here"
            )
        return exemplar

    def _prepare_one(self, image: OneImage) -> list[np.ndarray]:
        """One image uint8 `[S, S, 3]` in a list."""
        prepared = self._prepare(image)
        if len(prepared) != 1:
            raise UserError(f"{len(prepared)} images given: give one")
        return prepared


_Item: TypeAlias = np.ndarray | Exemplar
"""What an edit takes: an image uint8 `[S, S, 3]`, or an exemplar's code."""


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


def _key(item: _Item) -> bytes:
    """Equal for equal images, and for equal codes."""
    content = item.code if isinstance(item, Exemplar) else item
    return hashlib.blake2b(content.tobytes(), digest_size=16, person=content.dtype.char.encode()).digest()


def _several(images: Any) -> list[Any]:
    """The images one by one, at least one."""
    several = list(_sequence(images))
    if not several:
        raise UserError("no image given: give at least one")
    return several


def _sequence(images: Any) -> Iterable[Any]:
    """The images one by one, or the rows of several."""
    if is_one(images):
        return [images]
    if isinstance(images, bytes | Mapping) or not isinstance(images, Iterable):
        raise no_image(images)
    return images


def _spec(tensor: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
