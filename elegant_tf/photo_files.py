"""Photographs in files: their pixels, and everything else that the files hold."""

from __future__ import annotations

import contextlib
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile, PngInfo, iTXt
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from elegant_tf.errors import UserError
from elegant_tf.files import atomic_file
from elegant_tf.images import MAX_PIXELS, READ_FORMATS, BadImage, read_image
from elegant_tf.xmp import packet_of, save_options

# File name extension -> Pillow format.
PHOTO_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}

# Options of Pillow where the photo's own file gives none: a photo of another format.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "exact": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}

# Channels and dtypes that a format can hold.
_WITHOUT_ALPHA, _WITHOUT_16_BITS = ("JPEG",), ("JPEG", "WEBP")

_MODES = {"L", "LA", "RGB", "RGBA"}

# Tags of a TIFF directory that describe the photo, not the layout of the file.
_DESCRIPTIVE = {
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Orientation,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Copyright,
}
_GROUPS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_EXIF_HEAD = b"Exif\0\0"

# Texts in PNG files that other fields of `Photo` hold.
_PNG_KEYS = ("XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type APP1", "Raw profile type xmp")


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph: its pixels, and what else its file holds.

    Attributes:
        pixels: upright, uint8 or uint16 `[H, W, C]`: C is 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and
            alpha. The colours are those of the file's own colour space.
        format: of the file, as Pillow names it.
        exif: the EXIF block, which says that the photo is upright, without the preview; empty if there is none.
        icc: the ICC colour profile; empty if there is none.
        xmp: the XMP packet; empty if there is none.
        dpi: the resolution in pixels per inch, across and down, if the file says it.
        encoding: options of `PIL.Image.Image.save` that keep the rest in a file of the same format.
    """

    pixels: np.ndarray
    format: str
    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    encoding: Mapping[str, Any] = field(default_factory=dict)


def read_photo(path: str | os.PathLike[str]) -> Photo:
    """Reads a PNG, JPEG, WebP, TIFF, GIF or BMP file.

    Palettes become RGB. Raises BadImage, which names the file, if it cannot be read, or holds what an edit would lose:
    CMYK, more than 8 bits per channel in colour or than 16 in grey, several images, or more than `MAX_PIXELS`.
    """
    try:
        with Image.open(path, formats=READ_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError("too many pixels")
            _check_kind(path, image)
            image.load()
            return _read(path, image)
    except BadImage:
        raise
    except Exception as error:  # Pillow raises almost any exception
        raise _why(path, error) from error


def write_photo(
    path: str | os.PathLike[str],
    photo: Photo,
    pixels: np.ndarray,
    xmp: bytes | None = None,
    overwrite: bool = False,
    image_format: str = "",
) -> None:
    """Writes a photo with other pixels, whole or not at all. Missing directories are made.

    A JPEG file becomes one with the same quantization tables and subsampling.

    Args:
        path: the file.
        photo: what it keeps from the photo: EXIF, ICC profile, resolution and, in the same format, the encoding.
        pixels: in the shape and dtype of the photo's.
        xmp: its XMP packet; None: that of the photo.
        overwrite: whether an existing file is replaced.
        image_format: as Pillow names it; empty: by the file's name.

    Raises:
        UserError: the file exists or cannot be written, or the format cannot hold the photo.
    """
    image_format = image_format or check_photo_output(path, overwrite)
    check_format(path, photo, image_format)
    with atomic_file(path) as aside:
        try:
            options = _options(photo, image_format, photo.xmp if xmp is None else xmp)
            Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(aside, image_format, **options)
        except ValueError as error:  # larger than the format allows
            raise UserError(f"{path}: cannot be written: {error}") from None


def check_photo_output(path: str | os.PathLike[str], overwrite: bool = False) -> str:
    """The format in which a photo is written to a path. Raises the UserErrors that are known before the photo is."""
    path = Path(path)
    if path.suffix.lower() not in PHOTO_FORMATS:
        raise UserError(
            f"{path}: cannot write {path.suffix!r} photos: end the name in one of {', '.join(PHOTO_FORMATS)}"
        )
    if os.path.isdir(path):
        raise UserError(f"{path}: is a directory; expected a file name")
    if os.path.exists(path) and not overwrite:
        raise UserError(f"{path}: exists already: choose another name, or ask to overwrite it")
    return PHOTO_FORMATS[path.suffix.lower()]


def check_format(path: str | os.PathLike[str], photo: Photo, image_format: str) -> None:
    """Raises UserError unless a photo can be written to `path` in a format."""
    if image_format not in _DEFAULTS:
        raise UserError(f"{path}: cannot write {image_format} photos: convert the photo to PNG first")
    if photo.pixels.dtype == np.uint16 and image_format in _WITHOUT_16_BITS:
        raise UserError(f"{path}: {image_format} cannot hold the photo's 16 bits: end the name in .png or .tif")
    if photo.pixels.shape[2] in (2, 4) and image_format in _WITHOUT_ALPHA:
        raise UserError(f"{path}: {image_format} cannot hold the photo's transparency: end the name in .png")


def _why(path: str | os.PathLike[str], error: Exception) -> BadImage:
    """What is wrong with a file that cannot be read as a photo."""
    try:
        read_image(Path(path))
    except BadImage as known:
        return known
    return BadImage(f"{path}: is damaged or cut short ({error}): replace it")


def _check_kind(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Refuses, by its header, what an edit would lose."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # of which the others are previews and depths, that cameras add
        raise BadImage(f"{path}: holds {frames} images: save the one to edit in a file by itself")
    bits = _bits(path, image)
    if bits not in (1, 2, 4, 8) and not (bits == 16 and image.mode.startswith("I;16")):
        raise BadImage(
            f"{path}: has {bits} bits per channel; expected 8, or 16 in grey without transparency: save it with 8"
        )
    if image.mode.startswith("I;16") and "transparency" in image.info:
        raise BadImage(f"{path}: has 16 bits and transparency: save it with 8 bits, or without transparency")
    if image.mode not in _MODES | {"1", "P", "PA"} and not image.mode.startswith("I;16"):
        raise BadImage(f"{path}: its colours are {image.mode}; expected RGB or grey: convert it to RGB first")


def _bits(path: str | os.PathLike[str], image: Image.Image) -> int:
    """Bits per channel in the file, which Pillow may have reduced to 8."""
    if isinstance(image, PngImageFile):
        with open(path, "rb") as file:
            return file.read(25)[24]  # of IHDR, which comes first
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,)))
    return 8


def _read(path: str | os.PathLike[str], image: Image.Image) -> Photo:
    exif, xmp = image.info.get("exif") or b"", packet_of(image) or b""
    encoding = _encoding(path, image)
    # An image with a broken EXIF block is still an image. Turning removes the orientation from the XMP packet, too.
    with contextlib.suppress(Exception):
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        ImageOps.exif_transpose(image, in_place=True)
        if turned:
            xmp = packet_of(image) or b""
    with contextlib.suppress(Exception):
        exif = exif or _described(image)
    return Photo(
        pixels=_pixels(image),
        format="JPEG" if image.format == "MPO" else image.format or "",
        exif=_upright(exif),
        icc=image.info.get("icc_profile") or b"",
        xmp=xmp,
        dpi=_dpi(image),
        encoding=encoding,
    )


def _pixels(image: Image.Image) -> np.ndarray:
    """uint8 or uint16 `[H, W, C]` of an upright image."""
    if image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16)[..., None]
    if image.has_transparency_data and image.mode not in ("LA", "RGBA"):
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    elif image.mode not in _MODES:
        image = image.convert("L" if image.mode == "1" else "RGB")
    pixels = np.array(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _described(image: Image.Image) -> bytes:
    """An EXIF block of what a TIFF file, or a text in an old PNG file, says about the photo."""
    exif = image.getexif()
    groups = {tag: exif.get_ifd(tag) for tag in _GROUPS}
    described = Image.Exif()
    described.update({tag: exif[tag] for tag in exif if tag in _DESCRIPTIVE})
    described.update({tag: group for tag, group in groups.items() if group})
    return described.tobytes() if len(described) else b""


def _upright(exif: bytes) -> bytes:
    """An EXIF block that says that the photo is upright. It loses the preview, which would show the photo unedited.

    All other bytes stay: rewriting the block would break the notes of the camera's maker, which hold offsets. A broken
    block, which nobody can read, is left out.
    """
    block, head = bytearray(_EXIF_HEAD + exif.removeprefix(_EXIF_HEAD)), len(_EXIF_HEAD)
    order = ">" if block[head : head + 2] == b"MM" else "<"
    try:
        (offset,) = struct.unpack_from(f"{order}I", block, head + 4)
        (count,) = struct.unpack_from(f"{order}H", block, head + offset)
        place = head + offset + 2
        for _ in range(count):
            if struct.unpack_from(f"{order}H", block, place)[0] == ExifTags.Base.Orientation:
                struct.pack_into(f"{order}HHIHH", block, place, ExifTags.Base.Orientation, 3, 1, 1, 0)
            place += 12
        struct.pack_into(f"{order}I", block, place, 0)  # no second directory, which is the preview's
    except struct.error:
        return b""
    return bytes(block)


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
        across, down = map(float, image.info.get("dpi", ()))
        if all(math.isfinite(one) and 1 < one < 65535 for one in (across, down)):
            return across, down  # Pillow says 1 if a TIFF file has no unit
    return None


def _encoding(path: str | os.PathLike[str], image: Image.Image) -> dict[str, Any]:
    if isinstance(image, JpegImageFile):
        # Captions and credits (IPTC); Pillow writes these bytes as they are.
        segments = [data for name, data in image.applist if name == "APP13"]
        extra = b"".join(b"\xff\xed" + struct.pack(">H", len(data) + 2) + data for data in segments)
        return {
            "qtables": image.quantization,
            "subsampling": get_sampling(image),
            "progressive": bool(image.info.get("progressive")),
            "comment": image.info.get("comment", b""),
            "extra": extra,
        }
    if isinstance(image, PngImageFile):
        return {"pnginfo": _png_chunks(image)}
    if isinstance(image, TiffImageFile):
        compression = str(image.info.get("compression", "raw"))
        return {"compression": "tiff_adobe_deflate" if "jpeg" in compression or "group" in compression else compression}
    if image.format == "WEBP":
        return {"lossless": True, "exact": True} if _is_lossless(path) else dict(_DEFAULTS["WEBP"])
    return {}


def _png_chunks(image: PngImageFile) -> PngInfo:
    """The texts of a PNG file, and the chunks that say what its colours mean."""
    chunks = PngInfo()
    if "srgb" in image.info:
        chunks.add(b"sRGB", struct.pack("B", image.info["srgb"]))
    if "gamma" in image.info:
        chunks.add(b"gAMA", struct.pack(">I", round(image.info["gamma"] * 100000)))
    if "chromaticity" in image.info:
        chunks.add(b"cHRM", struct.pack(">8I", *(round(one * 100000) for one in image.info["chromaticity"])))
    for key, value in image.text.items():
        if key in _PNG_KEYS:
            continue
        if isinstance(value, iTXt):
            chunks.add_itxt(key, value, value.lang or "", value.tkey or "")
        else:
            chunks.add_text(key, value)
    return chunks


def _is_lossless(path: str | os.PathLike[str]) -> bool:
    """Whether a WebP file holds its pixels without loss."""
    with open(path, "rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name in (b"VP8L", b"VP8 "):
                return name == b"VP8L"
            file.seek(length + length % 2, os.SEEK_CUR)
    return False


def _options(photo: Photo, image_format: str, xmp: bytes) -> dict[str, Any]:
    """The options of Pillow that write a photo's file."""
    options = dict(photo.encoding if photo.format == image_format else _DEFAULTS[image_format])
    if photo.icc:
        options["icc_profile"] = photo.icc
    if photo.dpi:
        options["dpi"] = photo.dpi
    marked = save_options(image_format, xmp) if xmp else {}
    if image_format == "TIFF":
        directory = marked.pop("tiffinfo", None) or ImageFileDirectory_v2()
        _describe(directory, photo.exif)
        options["tiffinfo"] = directory
        if any(tag in directory for tag in _GROUPS):
            options["compression"] = "raw"  # libtiff, which compresses, cannot write these
    elif photo.exif:
        options["exif"] = photo.exif
    if image_format == "PNG" and "pnginfo" in options and marked:
        marked["pnginfo"].chunks += options["pnginfo"].chunks
    return {**options, **marked}


def _describe(directory: ImageFileDirectory_v2, exif: bytes) -> None:
    """Adds what an EXIF block says to the directory of a TIFF file."""
    block = Image.Exif()
    with contextlib.suppress(Exception):  # a broken block
        block.load(exif)
        for tag in _DESCRIPTIVE & set(block):
            directory[tag] = block[tag]
        for group in _GROUPS:
            if group in block:
                directory[group] = block.get_ifd(group)
