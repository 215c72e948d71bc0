"""Decoding in the graph against `images`, which decodes for training and the Editor."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import zlib

import commands
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from elegant_tf.export.decoding import MAX_PIXELS, decode_images, decode_intact_images, encode_images, square
from elegant_tf.images import read_image, resize

FORMATS = ("png", "jpeg", "webp", "gif", "bmp")
SIZE = 32

# Our messages begin with the input's name; those of TensorFlow's decoders name the node, whose path contains it.
NAMED = r"image: |image/map/"


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def decode(encoded):
    return decode_images(encoded, SIZE, "crop", "image")


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def decode_intact(encoded):
    return decode_intact_images(encoded, SIZE, "crop", "image")


def sample(width=57, height=41, seed=0):
    """A smooth image with an edge: lossy formats keep it, and differences in resampling show."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / (5 + seed) + columns / (7 + channel)) * 100 + 128 for channel in range(3)]
    image = np.stack(waves, -1).astype(np.uint8)
    image[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 60)
    return Image.fromarray(image)


def encoded(image, name, **options):
    file = io.BytesIO()
    image.save(file, name.upper(), **options)
    return file.getvalue()


def by_editor(tmp_path, data):
    (tmp_path / "image").write_bytes(data)
    return resize(read_image(tmp_path / "image"), SIZE)


def assert_close(found, expected, allowed=1):
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= allowed


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("sides", [(32, 32), (57, 41), (41, 157), (20, 33), (400, 300)])
def test_decodes_as_the_editor_does(tmp_path, name, sides):
    data = encoded(sample(*sides), name)
    assert_close(decode([data]).numpy()[0], by_editor(tmp_path, data))


@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        ("L", "png", {}),
        ("L", "jpeg", {}),
        ("L", "bmp", {}),
        ("P", "png", {}),
        ("1", "png", {}),
        ("RGBA", "png", {}),
        ("RGBA", "webp", {"lossless": True}),
        ("RGBA", "bmp", {}),
        ("RGB", "webp", {"lossless": True}),
        ("CMYK", "jpeg", {}),
        ("RGB", "jpeg", {"progressive": True}),
        ("RGB", "jpeg", {"subsampling": 2}),
        ("I;16", "png", {}),
    ],
)
def test_kinds_of_pixels(tmp_path, mode, name, options):
    image = sample()
    if mode == "RGBA":
        image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 57).astype(np.uint8), (41, 1))))
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode != "RGB":
        image = image.convert(mode)
    data = encoded(image, name, **options)
    expected = by_editor(tmp_path, data)
    # Pillow rounds CMYK differently.
    assert_close(decode([data]).numpy()[0], expected, 3 if mode == "CMYK" else 1)


def animation(name):
    frames = [sample(seed=seed) for seed in range(4)]
    return encoded(frames[0], name, save_all=True, append_images=frames[1:], duration=50)


def test_of_an_animated_gif_the_first_frame(tmp_path):
    data = animation("gif")
    assert_close(decode([data]).numpy()[0], by_editor(tmp_path, data))


def test_animated_webps_are_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="image: is an animated WebP image"):
        decode([animation("webp")])


def test_a_batch_of_different_images():
    batch = [encoded(sample(30 + 7 * index, 50, index), name) for index, name in enumerate(FORMATS)]
    together = decode(batch).numpy()
    for index, data in enumerate(batch):
        np.testing.assert_array_equal(decode([data]).numpy()[0], together[index])
    with pytest.raises(tf.errors.InvalidArgumentError, match="image: must hold at least one image"):
        decode(tf.zeros([0], tf.string))


@settings(max_examples=25)
@given(
    st.integers(1, 150), st.integers(1, 150), st.sampled_from([8, 32, 64]), st.sampled_from(["crop", "pad", "stretch"])
)
def test_squares(width, height, size, how):
    image = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = square(tf.constant(image), size, how).numpy()
    if how == "crop":
        expected = resize(image, size)
    elif how == "stretch":
        wide = Image.fromarray(image).resize((size, height), Image.Resampling.LANCZOS)
        expected = np.asarray(wide.resize((size, size), Image.Resampling.LANCZOS))
    else:
        edge = max(width, height)
        padded = np.full((edge, edge, 3), 255, np.uint8)
        top, left = (edge - height) // 2, (edge - width) // 2
        padded[top : top + height, left : left + width] = image
        expected = resize(padded, size)
    assert_close(found, expected)


@pytest.mark.parametrize("encoding", ["png", "jpeg"])
def test_encoding(encoding):
    images = np.stack([np.asarray(sample(32, 32, seed)) for seed in range(3)])
    found = encode_images(tf.constant(images), encoding).numpy()
    for image, data in zip(images, found, strict=True):
        with Image.open(io.BytesIO(data)) as decoded:
            assert decoded.format == encoding.upper()
            assert np.abs(np.asarray(decoded).astype(int) - image).mean() <= (0 if encoding == "png" else 3)


def png_claiming(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


def claiming(name, width, height):
    """An image whose header claims a size."""
    if name == "png":
        return png_claiming(width, height)
    data = bytearray(encoded(sample(), name.split()[0], **({"lossless": True} if name == "webp lossless" else {})))
    start, layout, claim = {
        "jpeg": (data.find(b"\xff\xc0") + 5, ">HH", (height, width)),
        "gif": (6, "<HH", (width, height)),
        "gif frame": (data.find(b"\x2c\0\0\0\0") + 5, "<HH", (width, height)),
        "bmp": (18, "<ii", (width, height)),
        "webp": (26, "<HH", (width, height)),
        "webp lossless": (21, "<I", (width - 1 | height - 1 << 14,)),
    }[name]
    struct.pack_into(layout, data, start, *claim)
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("png", (60_000, 60_000)),
        ("png", (2**31 - 1, 2**31 - 1)),
        ("png", (0, 10)),
        ("jpeg", (60_000, 60_000)),
        ("gif", (60_000, 60_000)),
        ("gif frame", (60_000, 60_000)),
        ("bmp", (60_000, 60_000)),
        ("bmp", (60_000, -60_000)),
        ("bmp", (-60_000, 60_000)),
        ("webp", (16_383, 16_383)),
        ("webp lossless", (16_383, 16_383)),
    ],
)
def test_giants_are_refused_by_their_headers(name, sides):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"image: claims .* more than {MAX_PIXELS} pixels"):
        decode([claiming(name, *sides)])


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"no image", b"RIFF", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"<svg/>"]
)
def test_other_data_are_refused_naming_the_input(data):
    with pytest.raises(tf.errors.InvalidArgumentError, match=NAMED):
        decode([data])


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_images_are_refused(name):
    data = encoded(sample(), name)
    for length in (len(data) // 2, len(data) // 5, 20):
        with pytest.raises(tf.errors.InvalidArgumentError, match=NAMED):
            decode([data[:length]])


@pytest.mark.parametrize("missing", [1, 2, 40, 300])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_without_its_last_bytes_is_decoded_as_the_editor_does(tmp_path, missing, options):
    data = encoded(sample(200, 160), "jpeg", quality=95, **options)[:-missing]
    assert_close(decode([data]).numpy()[0], by_editor(tmp_path, data))


def test_grey_at_the_end_of_a_whole_jpeg_is_no_damage(tmp_path):
    image = np.asarray(sample(64, 64)).copy()
    image[32:] = 128
    data = encoded(Image.fromarray(image), "jpeg")
    assert_close(decode([data]).numpy()[0], by_editor(tmp_path, data))


ORIGINALS = {name: encoded(sample(), name) for name in FORMATS} | {
    "animated gif": animation("gif"),
    "animated webp": animation("webp"),
    "lossless webp": encoded(sample(), "webp", lossless=True),
    "transparent webp": encoded(sample().convert("RGBA"), "webp"),
    "progressive jpeg": encoded(sample(), "jpeg", progressive=True),
}

GOOD_PIXELS = decode([ORIGINALS["png"]]).numpy()[0]


def half(name, side=57):
    data = encoded(sample(side, side), name)
    return data[: len(data) // 2]


SPOILT = {
    "empty": (b"", r"is empty \(0 bytes\): send an intact copy"),
    "a text": (b"no image", "is not a JPEG, PNG, WebP, GIF or BMP image: send one of these"),
    "a header": (b"\x89PNG\r\n\x1a\n", "claims 0 x 0 pixels; .*: scale it down first"),
    "a start": (b"\xff\xd8\xff", "is a damaged or truncated image: send an intact copy"),
    "an animation": (animation("webp"), "is an animated WebP image; send a still one"),
    "a giant png": (png_claiming(60_000, 60_000), "claims 60000 x 60000 pixels; .*: scale it down first"),
    "a giant jpeg": (claiming("jpeg", 60_000, 50_000), "claims 60000 x 50000 pixels; .*: scale it down first"),
    "half a jpeg": (half("jpeg", 400), "is a truncated JPEG image: send an intact copy"),
    "half a gif": (half("gif"), "is a damaged or truncated GIF image: send an intact copy"),
    **{
        f"half a {name}": (half(name), "is a damaged or truncated image: send an intact copy")
        for name in ("png", "webp", "bmp")
    },
}


def test_a_spoilt_image_spoils_no_other():
    good = [encoded(sample(30 + 7 * index, 50, index), name) for index, name in enumerate(FORMATS)]
    spoilt = [data for data, _ in SPOILT.values()]
    images, faults = decode_intact([*spoilt[:6], *good, *spoilt[6:]])
    assert np.array_equal(images[6:11], decode(good))
    assert not np.any(images[:6])
    assert not np.any(images[11:])
    found = [fault.decode() for fault in faults.numpy()]
    assert found[6:11] == [""] * 5
    for text, (_, expected) in zip(found[:6] + found[11:], SPOILT.values(), strict=True):
        assert re.fullmatch(f"image: {expected}", text)
    images, faults = decode_intact(spoilt)
    assert not np.any(images)
    assert all(faults.numpy())
    with pytest.raises(tf.errors.InvalidArgumentError, match="image: must hold at least one image"):
        decode_intact(tf.zeros([0], tf.string))


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(ORIGINALS)),
    st.lists(st.tuples(st.floats(0, 0.999) | st.floats(0, 0.02), st.integers(1, 255)), min_size=1, max_size=6),
)
def test_damaged_images_are_decoded_or_refused(name, flips):
    data = bytearray(ORIGINALS[name])
    for share, flip in flips:
        data[int(share * len(data))] ^= flip
    good = ORIGINALS["png"]
    images, (first, fault, last) = decode_intact([good, bytes(data), good])
    assert first == last == b""
    assert np.array_equal(images[0], GOOD_PIXELS)
    assert np.array_equal(images[2], GOOD_PIXELS)
    with pytest.raises(tf.errors.InvalidArgumentError) if fault else contextlib.nullcontext():
        assert np.array_equal(decode([bytes(data)])[0], images[1])


@pytest.mark.slow
def test_a_thousand_damaged_images():
    """In a separate process, because a crash or a hang would end this one."""
    done = commands.run(["benchmarks/fuzz_decoding.py", "--count", "1000", "--slowest", "60"])
    assert done.returncode == 0, done.stderr[-4000:]
    outcomes = re.search(r"{'refused': (\d+), 'decoded': (\d+)}|{'decoded': (\d+), 'refused': (\d+)}", done.stdout)
    assert sum(int(count or 0) for count in outcomes.groups()) == 1000
