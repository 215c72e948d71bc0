"""Photographs in files: pixels, and everything else that a file holds."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from elegant_tf.errors import UserError
from elegant_tf.images import read_image
from elegant_tf.photo_files import check_format, check_photo_output, read_photo, write_photo
from elegant_tf.synthetic import make_face
from elegant_tf.xmp import packet_of

EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif"}
ORIENTATION, CAPTION, EXPOSURE, MAKER_NOTE, EXIF_GROUP, GPS_GROUP = 0x0112, 0x010E, 0x829A, 0x927C, 0x8769, 0x8825
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF>'
    b"</x:xmpmeta>"
)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RGB = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


def exif(orientation: int = 1) -> Image.Exif:
    block = Image.Exif()
    block[ORIENTATION], block[CAPTION] = orientation, "caption"
    block.get_ifd(EXIF_GROUP).update({EXPOSURE: 0.5, MAKER_NOTE: b"made by us"})
    block.get_ifd(GPS_GROUP)[1] = "N"
    return block


def save(path, array=RGB, **options):
    if path.suffix == ".webp":
        options = {"lossless": True, "exact": True, **options}
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["png", "jpg", "webp", "tif"])
def test_photos_become_upright_once(tmp_path, name, orientation):
    path = save(tmp_path / f"a.{name}", exif=exif(orientation))
    photo = read_photo(path)
    assert np.array_equal(photo.pixels, read_image(path))
    write_photo(tmp_path / "out.png", photo, photo.pixels)
    assert np.array_equal(read_image(tmp_path / "out.png"), photo.pixels)


@pytest.mark.parametrize("output", EXTENSIONS)
@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP"])
def test_what_a_file_says_stays(tmp_path, source, output):
    path = save(tmp_path / f"a.{EXTENSIONS[source]}", exif=exif(6), icc_profile=ICC, dpi=(300, 300))
    for name in ("first", "second"):  # the second time from the format that was written
        photo = read_photo(path)
        path = tmp_path / f"{name}.{EXTENSIONS[output]}"
        write_photo(path, photo, photo.pixels, XMP)
    with Image.open(path) as image:
        block = image.getexif()
        assert (image.format, image.size, block.get(ORIENTATION, 1)) == (output, (30, 40), 1)
        assert block[CAPTION] == "caption"
        assert block.get_ifd(EXIF_GROUP)[EXPOSURE] == pytest.approx(0.5)
        assert block.get_ifd(EXIF_GROUP)[MAKER_NOTE] == b"made by us"
        assert block.get_ifd(GPS_GROUP)[1] == "N"
        assert image.info["icc_profile"] == ICC
        if "WEBP" not in (source, output):  # which has no resolution
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        assert packet_of(image) == XMP


def test_the_preview_goes_and_other_bytes_stay(tmp_path):
    """A preview would show the photo unedited; the maker's notes hold offsets that must stay true."""
    notes = b"notes, 24 bytes at offset"[:24]
    entries = [(ORIENTATION, 3, 1, 6 << 16), (0xC4A5, 7, 24, 8 + 2 + 2 * 12 + 4)]
    first = struct.pack(">H", 2) + b"".join(struct.pack(">HHII", *entry) for entry in entries)
    block = b"MM\0*" + struct.pack(">I", 8) + first + struct.pack(">I", 62) + notes + struct.pack(">HI", 0, 0)
    found = read_photo(save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block)).exif.removeprefix(b"Exif\0\0")
    changed = [place for place in range(len(block)) if block[place] != found[place]]
    assert len(found) == len(block)
    assert changed == [19, 37]  # the orientation, and the place of the preview


def test_a_packet_does_not_turn_an_upright_photo_again(tmp_path):
    photo = read_photo(save(tmp_path / "a.jpg", xmp=XMP))
    assert photo.pixels.shape == (40, 30, 3)
    write_photo(tmp_path / "b.jpg", photo, photo.pixels)
    assert read_photo(tmp_path / "b.jpg").pixels.shape == (40, 30, 3)


@pytest.mark.parametrize("broken", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\0\0"])
def test_a_broken_exif_block_is_left_out(tmp_path, broken):
    photo = read_photo(save(tmp_path / "a.jpg", exif=broken))
    assert (photo.exif, photo.pixels.shape) == (b"", (30, 40, 3))


def test_a_jpeg_file_is_encoded_as_it_was(tmp_path):
    credits = b"\xff\xed" + struct.pack(">H", 2 + 24) + b"Photoshop 3.0\0credits..."[:24]
    options = {"quality": 60, "subsampling": 1, "progressive": True, "comment": b"hello", "extra": credits}
    path = save(tmp_path / "a.jpg", make_face(0, 0).draw(96), **options)
    write_photo(tmp_path / "b.jpg", photo := read_photo(path), photo.pixels)
    with Image.open(path) as before, Image.open(tmp_path / "b.jpg") as after:
        assert after.quantization == before.quantization
        assert after.layer == before.layer  # the subsampling
        assert (after.info["progressive"], after.info["comment"]) == (1, b"hello")
        assert ("APP13", credits[4:]) in after.applist
    assert np.abs(read_image(tmp_path / "b.jpg").astype(int) - photo.pixels).mean() < 1


def test_texts_and_colours_of_png_files_stay(tmp_path):
    info = PngInfo()
    info.add_text("Author", "me")
    info.add_itxt("Titel", "Grüße", "de", "Title")
    info.add(b"gAMA", struct.pack(">I", 45455))
    write_photo(tmp_path / "b.png", photo := read_photo(save(tmp_path / "a.png", pnginfo=info)), photo.pixels, XMP)
    with Image.open(tmp_path / "b.png") as image:
        assert (image.text["Author"], image.text["Titel"], image.text["Titel"].lang) == ("me", "Grüße", "de")
        assert image.info["gamma"] == pytest.approx(0.45455)
        assert packet_of(image) == XMP


@pytest.mark.parametrize(
    ("shape", "dtype", "names"),
    [
        ((30, 40), np.uint8, ["png", "jpg", "tif"]),
        ((30, 40), np.uint16, ["png", "tif"]),
        ((30, 40, 2), np.uint8, ["png", "tif"]),
        ((30, 40, 4), np.uint8, ["png", "tif", "webp"]),
    ],
)
def test_grey_16_bits_and_alpha_stay(tmp_path, shape, dtype, names):
    array = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype)
    for name in names:
        photo = read_photo(save(tmp_path / f"a.{name}", array))
        assert photo.pixels.dtype == dtype
        assert photo.pixels.shape == (*shape[:2], shape[2] if len(shape) > 2 else 1)
        write_photo(tmp_path / f"b.{name}", photo, photo.pixels)
        again = read_photo(tmp_path / f"b.{name}")
        assert again.pixels.dtype == dtype
        if name != "jpg":
            assert np.array_equal(again.pixels, array.reshape(photo.pixels.shape))


def test_palettes_become_colours(tmp_path):
    image = Image.fromarray(RGB).quantize(16)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_photo(tmp_path / "a.png").pixels, np.array(image.convert("RGB")))
    image.save(tmp_path / "b.gif", transparency=3)
    assert read_photo(tmp_path / "b.gif").pixels.shape == (30, 40, 4)


def test_a_lossy_webp_file_stays_lossy(tmp_path):
    path = save(tmp_path / "a.webp", lossless=False, quality=50, exif=exif())
    write_photo(tmp_path / "b.webp", photo := read_photo(path), photo.pixels)
    assert b"VP8 " in (tmp_path / "b.webp").read_bytes()
    assert not np.array_equal(read_image(tmp_path / "b.webp"), photo.pixels)


def png16(tmp_path):
    """A PNG file with 16 bits per channel in colour, which Pillow cannot write."""
    content = bytearray(save(tmp_path / "a.png").read_bytes())
    content[24] = 16
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "16.png").write_bytes(content)
    return tmp_path / "16.png"


def animation(tmp_path):
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    return tmp_path / "a.gif"


def cmyk(tmp_path):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "c.jpg")
    return tmp_path / "c.jpg"


def floats(tmp_path):
    return save(tmp_path / "f.tif", np.zeros((4, 4), np.float32))


def cut(tmp_path):
    path = save(tmp_path / "cut.jpg", np.repeat(np.repeat(RGB, 8, 0), 8, 1))
    path.write_bytes(path.read_bytes()[:-200])
    return path


def text(tmp_path):
    (tmp_path / "t.png").write_text("no image")
    return tmp_path / "t.png"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (png16, "16.png: has 16 bits per channel; expected 8"),
        (animation, "a.gif: holds 2 images"),
        (cmyk, "c.jpg: its colours are CMYK; expected RGB or grey"),
        (floats, "f.tif: has 32 bits per channel"),
        (cut, "cut.jpg: is damaged or cut short"),
        (text, "t.png: is not an image in a known format"),
        (lambda folder: folder / "nowhere.jpg", "nowhere.jpg: no such file"),
    ],
)
def test_what_an_edit_would_lose_is_refused(tmp_path, make, said):
    with pytest.raises(UserError, match=said):
        read_photo(make(tmp_path))


def test_formats_that_cannot_hold_a_photo(tmp_path):
    grey16 = read_photo(save(tmp_path / "a.png", np.zeros((4, 4), np.uint16)))
    clear = read_photo(save(tmp_path / "b.png", np.zeros((4, 4, 4), np.uint8)))
    for photo, image_format, said in (
        (grey16, "JPEG", "JPEG cannot hold the photo's 16 bits"),
        (grey16, "WEBP", "WEBP cannot hold the photo's 16 bits"),
        (clear, "JPEG", "JPEG cannot hold the photo's transparency"),
        (clear, "GIF", "cannot write GIF photos"),
    ):
        with pytest.raises(UserError, match=f"x: {said}"):
            check_format("x", photo, image_format)
    with pytest.raises(UserError, match=r"a.gif: cannot write '.gif' photos"):
        check_photo_output(tmp_path / "a.gif")
    with pytest.raises(UserError, match=r"a\.png: exists already"):
        write_photo(tmp_path / "a.png", clear, clear.pixels)
    (tmp_path / "d.png").mkdir()
    with pytest.raises(UserError, match="is a directory"):
        check_photo_output(tmp_path / "d.png")
