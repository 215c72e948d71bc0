"""Reading whatever people have, writing safely, and the conversion between pixels and [-1, 1]."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from elegant_tf.errors import UserError
from elegant_tf.images import (
    MAX_PIXELS,
    check_written_size,
    grid,
    lacks_end,
    read_image,
    resize,
    to_float,
    to_uint8,
    upright_size,
    write_image,
)

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


@pytest.fixture
def quarters() -> np.ndarray:
    """40 × 60: red, green above blue, yellow."""
    image = np.empty((40, 60, 3), np.uint8)
    image[:20, :30], image[:20, 30:], image[20:, :30], image[20:, 30:] = RED, GREEN, BLUE, YELLOW
    return image


def save(image: np.ndarray | Image.Image, path, **options):
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return path


def assert_quarters(image, quarters, tolerance=4):
    assert image.dtype == np.uint8
    assert image.shape == quarters.shape
    for y, x in ((5, 5), (5, 55), (35, 5), (35, 55)):
        np.testing.assert_allclose(image[y, x].astype(int), quarters[y, x], atol=tolerance)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tif", "ein Bild 顔 é.png"])
def test_reads_every_format(tmp_path, quarters, name):
    assert_quarters(read_image(save(quarters, tmp_path / name)), quarters)


def test_format_comes_from_the_content(tmp_path, quarters):
    assert_quarters(read_image(save(quarters, tmp_path / "really_a_png.jpg", format="PNG")), quarters)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(
    ("orientation", "corners"),  # EXIF 2.3: the corners as they should be seen, top left, top right, bottom left, …
    [
        (1, (RED, GREEN, BLUE, YELLOW)),
        (2, (GREEN, RED, YELLOW, BLUE)),
        (3, (YELLOW, BLUE, GREEN, RED)),
        (4, (BLUE, YELLOW, RED, GREEN)),
        (5, (RED, BLUE, GREEN, YELLOW)),
        (6, (BLUE, RED, YELLOW, GREEN)),
        (7, (YELLOW, GREEN, BLUE, RED)),
        (8, (GREEN, YELLOW, RED, BLUE)),
        (99, (RED, GREEN, BLUE, YELLOW)),
    ],
)
def test_exif_orientation(tmp_path, quarters, extension, orientation, corners):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(save(quarters, tmp_path / f"turned.{extension}", exif=exif))
    assert image.shape == ((60, 40, 3) if 5 <= orientation <= 8 else (40, 60, 3))
    seen = [image[5, 5], image[5, -5], image[-5, 5], image[-5, -5]]
    np.testing.assert_allclose(np.array(seen, int), corners, atol=8)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
@pytest.mark.parametrize("block", [b"not an EXIF block", b"MM\0*\0\0\0\x08\0\x03\x01"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_exif_block_is_ignored(tmp_path, quarters, extension, block):
    path = save(quarters, tmp_path / f"a.{extension}", exif=b"Exif\0\0" + block)
    assert_quarters(read_image(path), quarters)


@pytest.mark.parametrize("extension", ["png", "jpg", "tif"])
def test_grey(tmp_path, extension):
    grey = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[:, None], 64, axis=1)
    image = read_image(save(grey, tmp_path / f"grey.{extension}"))
    assert image.shape == (64, 64, 3)
    np.testing.assert_allclose(image, np.repeat(grey[..., None], 3, axis=2), atol=2)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, extension):
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = read_image(save(levels, tmp_path / f"deep.{extension}"))
    assert image[:, :, 0].ravel().tolist() == list(range(256))
    assert (image[..., 0] == image[..., 2]).all()


def test_16_bit_grey_with_a_transparent_level(tmp_path):
    levels = np.array([[0, 1000], [30000, 65535]], np.uint16)
    path = save(levels, tmp_path / "deep.png", transparency=1000)
    assert read_image(path)[..., 0].tolist() == [[0, 255], [117, 255]]


def test_32_bit_pixels_are_refused(tmp_path):
    with pytest.raises(UserError, match="32-bit pixels"):
        read_image(save(np.full((4, 4), 0.5, np.float32), tmp_path / "float.tif"))


@pytest.mark.parametrize("extension", ["png", "webp", "tif"])
def test_alpha_is_laid_on_white(tmp_path, extension):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (200, 0, 0, 255)
    pixels[:, 4:] = (200, 0, 0, 51)
    options = {"lossless": True} if extension == "webp" else {}
    image = read_image(save(pixels, tmp_path / f"alpha.{extension}", **options))
    assert image[4, 1].tolist() == [200, 0, 0]
    np.testing.assert_allclose(image[4, 6].astype(int), [244, 204, 204], atol=1)  # 0.8 · 255 + 0.2 · 200


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_other_transparency_is_laid_on_white(tmp_path, mode):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4, 3] = 255
    image = read_image(save(Image.fromarray(pixels).convert(mode), tmp_path / "a.png"))
    assert image[4, 1].tolist() == [0, 0, 0]
    assert image[4, 6].tolist() == [255, 255, 255]


@pytest.mark.parametrize("extension", ["png", "gif"])
def test_palette(tmp_path, quarters, extension):
    path = save(Image.fromarray(quarters).quantize(4), tmp_path / f"palette.{extension}")
    assert_quarters(read_image(path), quarters)


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_cmyk(tmp_path, quarters, extension):
    path = save(Image.fromarray(quarters).convert("CMYK"), tmp_path / f"print.{extension}")
    assert_quarters(read_image(path), quarters)


@pytest.mark.parametrize("extension", ["gif", "webp", "png"])
def test_first_frame_of_an_animation(tmp_path, quarters, extension):
    frames = [Image.fromarray(255 - quarters), Image.fromarray(quarters[::-1].copy())]
    options = {"lossless": True} if extension == "webp" else {}
    path = save(quarters, tmp_path / f"moving.{extension}", save_all=True, append_images=frames, **options)
    with Image.open(path) as image:
        assert image.n_frames == 3
    assert_quarters(read_image(path), quarters)


def test_one_pixel(tmp_path):
    image = read_image(save(np.full((1, 1, 3), 77, np.uint8), tmp_path / "dot.png"))
    assert image.shape == (1, 1, 3)
    assert (resize(image, 32) == np.full((32, 32, 3), 77)).all()


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_huge_claims_are_refused_from_the_header(tmp_path, width, height):
    path = tmp_path / "bomb.png"
    data = zlib.compress(bytes(1000))
    path.write_bytes(png_header(width, height) + struct.pack(">I", len(data)) + b"IDAT" + data)
    with pytest.raises(UserError, match="megapixels") as error:
        read_image(path)
    assert str(path) in str(error.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_limit_is_ours_not_only_pillows(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png_header(MAX_PIXELS + 1, 1) + struct.pack(">I", 4) + b"IDAT0000" + bytes(4))
    with pytest.raises(UserError, match=f"claims {MAX_PIXELS + 1} x 1 pixels"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("text.png", b"This is not an image.\n", "not an image"),
        ("empty.jpg", b"", "empty"),
        ("zeros.png", bytes(5000), "not an image"),
        ("program.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        ("vector 1.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=expected) as error:
        read_image(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "gif", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about TIFF tags
def test_truncated_files(tmp_path, extension, share):
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    path = save(noise, tmp_path / f"cut.{extension}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share * (0.7 if extension == "jpg" else 1))])
    with pytest.raises(UserError, match="cut"):
        read_image(path)


@pytest.mark.parametrize("missing", [1, 2, 10, 300])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_without_its_last_bytes_is_read_as_viewers_do(tmp_path, missing, options):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    path = save(noise, tmp_path / "cut.jpg", quality=90, **options)
    whole = read_image(path)
    assert not lacks_end(path)
    path.write_bytes(path.read_bytes()[:-missing])
    assert lacks_end(path)
    image = read_image(path)
    assert image.shape == whole.shape
    if not options.get("progressive"):
        assert (image[:64] == whole[:64]).all()


def test_a_jpeg_that_lacks_much_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    path = save(noise, tmp_path / "half.jpg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"half.jpg: is truncated: it lacks \d+ of its 96 rows"):
        read_image(path)


def test_bytes_behind_the_end_of_a_jpeg_do_not_matter(tmp_path, quarters):
    path = save(quarters, tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"a video")
    assert_quarters(read_image(path), quarters)
    assert not lacks_end(path)


def test_a_photo_of_108_megapixels(tmp_path):
    path = tmp_path / "phone.jpg"
    Image.new("L", (12_000, 9_000), 90).save(path)
    process = subprocess.run([sys.executable, "-c", LARGE, path], capture_output=True, text=True, timeout=60)
    assert (process.stdout, process.stderr) == ("(9000, 12000, 3) 90\n", "")


LARGE = """
import sys
from elegant_tf.images import read_image
image = read_image(sys.argv[1])
print(image.shape, image[-1, -1, -1])
"""


@pytest.mark.parametrize(("orientation", "size"), [(1, (60, 40)), (6, (40, 60))])
def test_sizes_from_headers(tmp_path, quarters, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(quarters, tmp_path / "a.jpg", exif=exif)
    assert upright_size(path) == size == read_image(path).shape[1::-1]
    path.write_text("no image")
    assert upright_size(path) is None


def test_missing_file_directory_and_pipe(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    cases = (
        (tmp_path / "none.png", "no such file"),
        (tmp_path, "is a directory"),
        (pipe, "not a regular file"),
    )
    for path, expected in cases:
        with pytest.raises(UserError, match=expected) as error:
            read_image(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000])
def test_impossible_names(tmp_path, name):
    with pytest.raises(UserError):
        read_image(tmp_path / name)


@pytest.mark.parametrize("shape", [(218, 178), (178, 218), (40, 60), (200, 200), (1, 300), (64, 64)])
def test_resize_takes_the_centred_square(shape):
    """A disc in the middle stays a disc in the middle."""
    y, x = np.mgrid[: shape[0], : shape[1]] - (np.array(shape) - 1).reshape(2, 1, 1) / 2
    disc = np.where(np.hypot(y, x) < min(shape) / 4, 255, 0).astype(np.uint8)
    result = resize(np.repeat(disc[..., None], 3, axis=2), 64)
    assert result.shape == (64, 64, 3)
    if min(shape) > 1:
        inside = result[..., 0] > 127
        assert np.ptp(np.nonzero(inside.any(axis=0))[0]) == pytest.approx(31, abs=3)
        assert np.ptp(np.nonzero(inside.any(axis=1))[0]) == pytest.approx(31, abs=3)
        np.testing.assert_allclose([axis.mean() for axis in np.nonzero(inside)], 31.5, atol=0.6)


def test_resize_does_not_alias():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    result = resize(stripes, 32).astype(int)
    assert abs(result[4:-4, 4:-4] - 127.5).max() <= 3


def test_resize_to_the_same_size_is_a_copy():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    result = resize(image, 32)
    assert (result == image).all()
    assert not np.shares_memory(result, image)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3), (2, 8, 8, 3)])
def test_resize_refuses_other_shapes(shape):
    with pytest.raises(UserError, match="uint8"):
        resize(np.zeros(shape, np.uint8), 8)


def test_resize_refuses_floats():
    with pytest.raises(UserError, match="float32"):
        resize(np.zeros((8, 8, 3), np.float32), 8)


@pytest.mark.parametrize("size", [15, 4097])
def test_sides_that_are_not_written(size):
    check_written_size(16)
    check_written_size(4096)
    with pytest.raises(UserError, match=f"--image_size={size}: expected 16 to 4096 pixels"):
        check_written_size(size)


def test_conversion_is_exact_both_ways():
    pixels = np.arange(256, dtype=np.uint8)
    floats = to_float(pixels)
    assert floats.dtype == np.float32
    assert (floats[0], floats[-1]) == (-1.0, 1.0)
    np.testing.assert_allclose(floats, np.arange(256) / 127.5 - 1, atol=1e-7)
    assert (to_uint8(floats) == pixels).all()


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-10, 10, width=32)))
def test_to_uint8_takes_the_nearest_level(floats):
    levels = np.arange(256) / 127.5 - 1
    nearest = abs(np.clip(floats, -1, 1)[:, None].astype(float) - levels).min(axis=1)
    result = to_uint8(floats)
    assert result.dtype == np.uint8
    distance = abs(np.clip(floats, -1, 1).astype(float) - levels[result])
    np.testing.assert_allclose(distance, nearest, atol=1e-6)


def test_conversion_of_tensors():
    tf = pytest.importorskip("tensorflow")
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 64)
    floats = to_float(tf.cast(pixels, tf.float32))
    assert floats.dtype == tf.float32
    np.testing.assert_allclose(floats.numpy(), to_float(pixels), atol=1e-7)
    assert (to_uint8(floats) == pixels).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.webp", "new dir/ünder/a.png"])
def test_write_then_read(tmp_path, quarters, name):
    path = tmp_path / name
    write_image(path, quarters)
    assert_quarters(read_image(path), quarters, tolerance=8)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_write_overwrites_only_when_asked(tmp_path, quarters):
    path = tmp_path / "a.png"
    write_image(path, quarters)
    with pytest.raises(UserError, match="exists already") as error:
        write_image(path, 255 - quarters)
    assert str(path) in str(error.value)
    assert (read_image(path) == quarters).all()
    write_image(path, 255 - quarters, overwrite=True)
    assert (read_image(path) == 255 - quarters).all()


@pytest.mark.parametrize("name", ["a.gif", "a", "a.txt"])
def test_write_names_the_known_extensions(tmp_path, quarters, name):
    with pytest.raises(UserError, match=r"\.png, \.jpg, \.jpeg, \.webp"):
        write_image(tmp_path / name, quarters)
    assert not list(tmp_path.iterdir())


def test_write_where_it_cannot(tmp_path, quarters):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "dir.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "dir.png", tmp_path / ("x" * 5000 + ".png")):
        with pytest.raises(UserError) as error:
            write_image(path, quarters, overwrite=True)
        assert str(path) in str(error.value)


def test_failed_write_leaves_nothing_and_the_old_file(tmp_path, quarters):
    path = tmp_path / "a.webp"
    write_image(path, quarters)
    before = path.read_bytes()
    with pytest.raises(UserError):
        write_image(path, np.zeros((1, 20_000, 3), np.uint8), overwrite=True)  # WebP ends at 16,383 pixels
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.webp"]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3))
def test_grid_places_every_tile(rows, columns, pad):
    images = np.random.default_rng(0).integers(0, 255, (rows, columns, 4, 4, 3), np.uint8)
    canvas = grid(images, pad=pad)
    assert canvas.shape == (rows * (4 + pad) + pad, columns * (4 + pad) + pad, 3)
    covered = np.zeros(canvas.shape[:2], bool)
    for row in range(rows):
        for column in range(columns):
            top, left = pad + row * (4 + pad), pad + column * (4 + pad)
            assert (canvas[top : top + 4, left : left + 4] == images[row, column]).all()
            covered[top : top + 4, left : left + 4] = True
    assert (canvas[~covered] == 255).all()


@pytest.mark.parametrize(
    ("count", "columns", "shape"), [(5, 2, (3, 2)), (5, None, (2, 3)), (1, None, (1, 1)), (4, 9, (1, 9))]
)
def test_grid_of_a_list_fills_rows(count, columns, shape):
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    canvas = grid(images, columns, pad=0)
    assert canvas.shape == (shape[0] * 2, shape[1] * 2, 3)
    tiles = canvas[::2, ::2, 0].ravel().tolist()
    assert tiles == [*range(count), *[255] * (shape[0] * shape[1] - count)]
