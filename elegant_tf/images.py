"""Images: reading, writing, resizing, tiling, and the one conversion between uint8 and [-1, 1]."""

from __future__ import annotations

import contextlib
import io
import math
import os
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from elegant_tf.errors import UserError
from elegant_tf.files import atomic_file
from elegant_tf.paths import any_path
from elegant_tf.remote import as_path, is_remote
from elegant_tf.xmp import save_options

# 89.5 megapixels, a quarter of a gigabyte of RGB: larger images are decoded one at a time.
LARGE_PIXELS = 2**30 // 4 // 3

# Half a gigabyte of RGB. Above 179 megapixels, Pillow itself refuses an image as a decompression bomb.
MAX_PIXELS = 160_000_000

# Sides of the images that the commands write, in pixels.
SMALLEST, LARGEST = 16, 4096

# Pixels of a sheet of images: 3 gigabytes, and as much again while it is encoded.
MAX_SHEET_PIXELS = 2**30

# Sides that a format can hold, in pixels; libjpeg's limit is lower than that of JPEG itself.
_LONGEST_SIDES = {"JPEG": 65500, "WEBP": 16383}

# Pixels between the images of a sheet.
PAD = 2

READ_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# File name extension -> Pillow format and its options.
_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95}),
}

# The share of its rows that a JPEG file which lacks its end may lack.
LOST_SHARE = 0.25
END_OF_JPEG = b"\xff\xd9"
JPEG_BLOCK = 8  # pixels

_one_large = threading.Lock()

# Pillow warns above LARGE_PIXELS; `MAX_PIXELS` is the limit here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


OneImage: TypeAlias = np.ndarray | Image.Image | str | os.PathLike[str]
"""An image: uint8 RGB `[H, W, 3]`, a Pillow image of any mode, or the path of a file, read as `read_image` does."""


class BadImage(UserError):
    """A file that cannot be read as an image."""


def read_image(path: str | Path) -> np.ndarray:
    """Reads a PNG, JPEG, WebP, GIF, BMP or TIFF file, upright, as uint8 RGB `[H, W, 3]`.

    Grey, palette, CMYK and 16-bit images are converted, transparent ones are laid on white, and the first frame of
    an animation is taken. A JPEG file that lacks its end is read as viewers do, with grey instead of the missing rows,
    if these are at most a quarter. Raises BadImage, a UserError that names the file, if the file is missing, not an
    image, damaged, or larger than `MAX_PIXELS` (judged by its header, before anything is decoded).
    """
    path = as_path(path)
    if is_remote(path):
        return decode_image(_stored(path), path)
    _check_file(path)
    return _decode(path, path)


def decode_image(data: bytes, name: str | Path) -> np.ndarray:
    """Decodes the bytes of an image file as `read_image` does. Errors call the file `name`."""
    if not data:
        raise BadImage(f"{name}: is empty (0 bytes): replace it with an intact copy")
    return _decode(io.BytesIO(data), name)


def pillow_pixels(image: Image.Image) -> np.ndarray:
    """A Pillow image, which stays as it is, as `read_image` would read it from a file: upright, uint8 RGB `[H, W, 3]`.

    Raises BadImage if its file is damaged, if it is larger than `MAX_PIXELS`, or of a mode that is not colour or grey.
    """
    name = getattr(image, "filename", "") or f"a Pillow image of mode {image.mode}"
    _check_size(name, *image.size)
    try:
        image.load()
        upright = image.copy()
        _turn_upright(upright)
        return np.array(_to_rgb(name, upright))
    except BadImage:
        raise
    except Exception as error:  # Pillow raises almost any exception
        raise BadImage(f"{name}: cannot be converted to RGB: {error}") from error


def image_pixels(image: OneImage) -> np.ndarray:
    """The pixels of an image, uint8 RGB `[H, W, 3]` if it is that of a file or of Pillow; arrays stay as they are.

    Raises UserError as `read_image` does, and for what is no image.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(any_path(image))
    if isinstance(image, Image.Image):
        return pillow_pixels(image)
    try:
        array = np.asarray(image)
    except ValueError:  # lists of different lengths
        raise no_image(image) from None
    if array.dtype == object:
        raise no_image(image)
    return array


def check_pixels(image: np.ndarray) -> None:
    """Raises UserError unless an array is an image, uint8 RGB `[H, W, 3]`."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise UserError(f"an image must be uint8 [H, W, 3] in RGB; received {image.dtype} {list(image.shape)}")


def no_image(value: object) -> UserError:
    """The error for a value that is no image."""
    return UserError(
        f"an image must be uint8 RGB [H, W, 3], a Pillow image or the path of a file; received {type(value).__name__}"
    )


def has_read_format(path: str | Path) -> bool:
    """Whether a file begins like an image of a format that is read, whatever its name."""
    try:
        with as_path(path).open("rb") as file, Image.open(file, formats=READ_FORMATS):
            return True
    except Exception:  # noqa: BLE001 - Pillow raises almost any exception
        return False


def upright_size(path: str | Path) -> tuple[int, int] | None:
    """The width and height of the image that `read_image` returns, from its header; None if this cannot be read."""
    try:
        with as_path(path).open("rb") as file, Image.open(file, formats=READ_FORMATS) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # EXIF 2.3: Orientation
            return (image.height, image.width) if turned else image.size
    except Exception:  # noqa: BLE001 - Pillow raises almost any exception
        return None


def lacks_end(path: str | Path) -> bool:
    """Whether a readable JPEG file is cut short."""
    with as_path(path).open("rb") as file:
        is_jpeg = file.read(2) == b"\xff\xd8"
        file.seek(-2, os.SEEK_END)
        if not is_jpeg or file.read() == END_OF_JPEG:
            return False
    try:
        with as_path(path).open("rb") as file, Image.open(file, formats=READ_FORMATS) as image:
            image.load()
    except OSError as error:
        return _is_cut(error)
    return False


def _decode(file: Path | io.BytesIO, name: str | Path) -> np.ndarray:
    try:
        try:
            return _pixels(file, name)
        except OSError as error:
            content = _jpeg_content(file) if _is_cut(error) else b""
            if not content:
                raise
            return _pixels(io.BytesIO(content + END_OF_JPEG), name, cut=True)
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage(f"{name}: is not an image in a known format: use {_known_formats()}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage(f"{name}: {_too_large()}") from None
    except Exception as error:  # Pillow's decoders raise almost any exception on damaged files
        raise BadImage(f"{name}: is damaged, truncated or of an unsupported kind ({error}): replace it") from error


def _pixels(file: Path | io.BytesIO, name: str | Path, cut: bool = False) -> np.ndarray:
    with Image.open(file, formats=READ_FORMATS) as image:
        width, height = image.size
        _check_size(name, width, height)
        with _one_large if width * height > LARGE_PIXELS else contextlib.nullcontext():
            image.load()
            if cut:
                _check_loss(name, image)
            _turn_upright(image)
            return np.array(_to_rgb(name, image))


def _is_cut(error: OSError) -> bool:
    return "truncated" in str(error)  # Pillow has no exception of its own for it


def _jpeg_content(file: Path | io.BytesIO) -> bytes:
    """The bytes of a JPEG file; nothing if it is of another format."""
    content = file.getvalue() if isinstance(file, io.BytesIO) else file.read_bytes()
    return content if content.startswith(b"\xff\xd8") else b""


def _check_loss(name: str | Path, image: Image.Image) -> None:
    """Raises BadImage if too many of the last rows end in the grey that libjpeg takes for what is missing."""
    ends = np.asarray(image).reshape(image.height, image.width, -1)[:, -JPEG_BLOCK:].astype(int)
    is_whole = np.abs(ends - 128).max(axis=(1, 2)) > 2
    lost = image.height if not is_whole.any() else int(is_whole[::-1].argmax())
    if lost > LOST_SHARE * image.height:
        raise BadImage(f"{name}: is truncated: it lacks {lost} of its {image.height} rows: replace it")


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise BadImage(f"{path}: is a directory; expected an image file")
        if not path.exists():
            raise BadImage(f"{path}: no such file: check the path")
        if not path.is_file():
            raise BadImage(f"{path}: is not a regular file; expected an image file")
        if path.stat().st_size == 0:
            raise BadImage(f"{path}: is empty (0 bytes): replace it with an intact copy")
        path.open("rb").close()
    except BadImage:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise BadImage(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def _stored(path: Path) -> bytes:
    """The bytes of an image on an object store, which costs one request. Raises BadImage if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadImage(f"{path}: no such file: check the path") from None
    except OSError as error:
        raise BadImage(f"{path}: cannot be opened: {error.strerror}") from None


def _check_size(name: str | Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadImage(f"{name}: claims {width} x {height} pixels; {_too_large()}")


def _too_large() -> str:
    return f"more than {MAX_PIXELS / 1e6:.0f} megapixels are refused: scale the image down first"


def _known_formats() -> str:
    return f"{', '.join(READ_FORMATS[:-1])} or {READ_FORMATS[-1]}"


def _to_rgb(name: str | Path, image: Image.Image) -> Image.Image:
    if image.mode in ("F", "I") and image.format != "PNG":
        raise BadImage(f"{name}: has 32-bit pixels of unknown range: save it with 8 or 16 bits per channel")
    if image.mode.startswith("I"):
        return _grey16_to_rgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # a copy of a large image is a gigabyte


def _grey16_to_rgb(image: Image.Image) -> Image.Image:
    """Scales 16-bit grey, which Pillow's own conversion to 8 bits would clip at 255."""
    levels = np.asarray(image)
    grey = np.rint(levels / 257).astype(np.uint8)  # 65535 / 255 = 257
    if "transparency" in image.info:
        grey[levels == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def _turn_upright(image: Image.Image) -> None:
    """Turns a loaded image as its EXIF block says."""
    # An image with a broken EXIF block is still an image. In place, Pillow turns it before it rewrites the block.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resamples the largest centred square of a uint8 `[H, W, 3]` image to uint8 `[size, size, 3]`.

    The aspect ratio stays: what does not fit the square is cut off.
    """
    check_pixels(image)
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = image[top : top + edge, left : left + edge]
    if edge == size:
        return square.copy()
    # Without reducing_gap, Pillow's faster approximation for large images: exported models resample like this.
    return np.array(Image.fromarray(square).resize((size, size), Image.Resampling.LANCZOS))


def check_image_size(size: int, multiple: int) -> None:
    """Raises UserError unless `size` is a multiple of `multiple`, as the networks need, and within `LARGE_PIXELS`."""
    if size < multiple or size % multiple or size**2 > LARGE_PIXELS:
        largest = math.isqrt(LARGE_PIXELS) // multiple * multiple
        raise UserError(f"--image_size={size}: must be a multiple of {multiple} (2**depth), {largest} at most")


def check_written_size(size: int) -> None:
    """Raises UserError unless `size`, the side of images to write, is between `SMALLEST` and `LARGEST`."""
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"--image_size={size}: expected {SMALLEST} to {LARGEST} pixels")


def to_float(images: Any) -> Any:
    """Maps pixels 0…255 of any shape to [-1, 1]; NumPy uint8 becomes float32.

    The caller casts a TensorFlow tensor to a floating dtype, which it keeps.
    """
    if isinstance(images, np.ndarray):
        images = images.astype(np.float32)
    return images / 127.5 - 1.0


def to_uint8(images: Any) -> np.ndarray:
    """Maps [-1, 1] to pixels 0…255, rounded to the nearest and clipped, as NumPy uint8 of the same shape.

    The inverse of `to_float`. Takes NumPy arrays and eager TensorFlow tensors.
    """
    pixels = np.rint((np.asarray(images, np.float32) + 1.0) * 127.5)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_image(path: str | Path, image: np.ndarray, overwrite: bool = False, mark: bytes | None = None) -> None:
    """Writes uint8 `[H, W, 3]` to a .png, .jpg, .jpeg or .webp file, whole or not at all.

    Missing directories are made. `mark` is an XMP packet for the file, see `marks.xmp_packet`. Raises UserError on
    another extension, on an existing file unless `overwrite`, and if the file cannot be written.
    """
    check_output(path, overwrite)
    path = as_path(path)
    image_format, options = _WRITERS[path.suffix.lower()]
    with atomic_file(path) as aside:
        try:
            marked = save_options(image_format, mark) if mark else {}
            with aside.open("wb") as file:
                Image.fromarray(image).save(file, image_format, **options, **marked)
        except ValueError as error:  # larger than the format allows
            raise UserError(f"{path}: cannot be written: {error}") from None


def check_output(path: str | Path, overwrite: bool = False) -> None:
    """Raises the UserErrors of `write_image` that are known before the image is."""
    path = as_path(path)
    if path.suffix.lower() not in _WRITERS:
        raise UserError(f"{path}: cannot write {path.suffix!r} images: end the name in one of {', '.join(_WRITERS)}")
    # os.path returns False for names that no file can have, where Path raises; opening them then says why.
    stored = is_remote(path)
    if path.is_dir() if stored else os.path.isdir(path):
        raise UserError(f"{path}: is a directory; expected a file name")
    if (path.exists() if stored else os.path.exists(path)) and not overwrite:
        raise UserError(f"{path}: exists already: choose another name, or ask to overwrite it")


def check_sheet(path: str | Path, rows: int, columns: int, size: int) -> None:
    """Raises UserError unless the `grid` of `rows` x `columns` images of side `size` can be written to `path`."""
    height, width = (count * (size + PAD) + PAD for count in (rows, columns))
    image_format, _ = _WRITERS[Path(path).suffix.lower()]
    longest = _LONGEST_SIDES.get(image_format, MAX_SHEET_PIXELS)
    if max(height, width) > longest or height * width > MAX_SHEET_PIXELS:
        raise UserError(
            f"{path}: {rows} x {columns} images of {size} pixels make {width} x {height} pixels, and "
            f"{image_format} takes {longest} a side and {MAX_SHEET_PIXELS} in all: write fewer or smaller images"
        )


def grid(images: np.ndarray | Sequence[Any], columns: int | None = None, pad: int = PAD) -> np.ndarray:
    """Tiles uint8 `[R, C, S, S, 3]`, or `[N, S, S, 3]` in rows of `columns` (about square if None), on white.

    `pad` pixels of white separate and surround the tiles. Returns uint8 `[R·(S + pad) + pad, C·(S + pad) + pad, 3]`.
    """
    images = np.asarray(images)
    if images.ndim == 5:
        rows, columns = images.shape[:2]
        images = images.reshape(-1, *images.shape[2:])
    else:
        columns = columns or math.ceil(math.sqrt(len(images)))
        rows = math.ceil(len(images) / columns)
    height, width = images.shape[1] + pad, images.shape[2] + pad
    canvas = np.full((rows * height + pad, columns * width + pad, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = pad + index // columns * height, pad + index % columns * width
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas
