"""Marks: what files of edited images say, in four formats, beside what other programs wrote, and against forgery."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import shutil
import subprocess
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from elegant_tf import __version__
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, write_image
from elegant_tf.marks import (
    EDITED,
    GENERATED,
    MOST_EARLIER,
    MOST_EXEMPLARS,
    Receipt,
    make_receipt,
    model_hash,
    packet_in,
    read_mark,
    xmp_packet,
)
from elegant_tf.rundir import find_run
from elegant_tf.xmp import LARGEST_IN_JPEG, fit, save_options

RECEIPT = Receipt("ab" * 32, 7, ("cd" * 32, "ef" * 32), ("Eyeglasses", "<&>\"'顔"), (1.0, -0.5))
FACE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
IPTC, OURS = 'xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"', 'xmlns:e="urn:elegant-tf:receipt:1/"'


def packet(properties: str = "", attributes: str = "") -> bytes:
    return (
        f"<rdf:RDF {RDF} {IPTC} {OURS}><rdf:Description {attributes}>{properties}</rdf:Description></rdf:RDF>".encode()
    )


def marked(path, data):
    """A file with a packet."""
    image_format = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".tif": "TIFF"}[path.suffix]
    Image.fromarray(FACE).save(path, **save_options(image_format, data))
    return path


def receipts(data):
    """The receipts in a packet."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG", **save_options("PNG", data))
    return read_mark(file).receipts


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.webp"])
def test_written_images_are_marked_and_otherwise_the_same(tmp_path, name):
    write_image(tmp_path / "plain" / name, FACE)
    write_image(tmp_path / name, FACE, mark=xmp_packet(RECEIPT))
    write_image(tmp_path / "again" / name, FACE, mark=xmp_packet(RECEIPT))
    mark = read_mark(tmp_path / name)
    assert (mark.source_type, mark.receipts) == (EDITED, (RECEIPT,))
    assert read_mark(tmp_path / "plain" / name) is None
    assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    with Image.open(tmp_path / name) as one, Image.open(tmp_path / "plain" / name) as other:
        assert one.tobytes() == other.tobytes()


def test_without_a_mark_the_bytes_are_those_of_pillow(tmp_path):
    write_image(tmp_path / "a.jpg", FACE)
    Image.fromarray(FACE).save(tmp_path / "b.jpg", quality=95, subsampling=0)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_marks_and_keeps_them(tmp_path):
    files = [marked(tmp_path / name, xmp_packet(RECEIPT)) for name in ("a.png", "a.jpg", "a.webp", "a.tif")]
    question = ["exiftool", "-q", "-s3", "-XMP-iptcExt:DigitalSourceType", *files]
    assert subprocess.run(question, capture_output=True, text=True).stdout.split() == [EDITED] * 4
    subprocess.run(["exiftool", "-q", "-XMP-dc:Title=mine", *files], check=True)  # it writes the packets anew
    for file in files:
        assert read_mark(file).receipts == (RECEIPT,)
        assert b"mine" in xmp_packet(RECEIPT, packet_in(file))


def test_an_edited_photo_that_is_edited_again_keeps_its_receipts(tmp_path):
    data = None
    edits = [dataclasses.replace(RECEIPT, step=number) for number in range(MOST_EARLIER + 3)]
    for receipt in edits:
        data = xmp_packet(receipt, data)
    mark = read_mark(marked(tmp_path / "a.jpg", data))
    assert mark.receipts == tuple(edits[-MOST_EARLIER - 1 :])
    assert mark.source_type == EDITED
    assert data.count(b"DigitalSourceType>") == 2  # one element


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture", EDITED),
        (GENERATED, GENERATED),  # it says more
    ],
)
@pytest.mark.parametrize("form", ["attribute", "element"])
def test_the_source_type_of_others(tmp_path, before, after, form):
    element = f"<i:DigitalSourceType>{before}</i:DigitalSourceType>"
    there = packet(element) if form == "element" else packet(attributes=f'i:DigitalSourceType="{before}"')
    mark = read_mark(marked(tmp_path / "a.png", there))
    assert (mark.source_type, mark.receipts) == (before, ())
    mark = read_mark(marked(tmp_path / "b.png", xmp_packet(RECEIPT, there)))
    assert (mark.source_type, mark.receipts) == (after, (RECEIPT,))


def test_other_properties_stay_unless_they_became_untrue():
    there = packet(
        '<dc:rights xmlns:dc="http://purl.org/dc/elements/1.1/">Zoë</dc:rights><u:own xmlns:u="urn:u">1</u:own>'
        '<t:Orientation xmlns:t="http://ns.adobe.com/tiff/1.0/">6</t:Orientation>',
        'n:HasExtendedXMP="12" xmlns:n="http://ns.adobe.com/xmp/note/"',
    )
    data = xmp_packet(RECEIPT, there).decode()
    assert "<dc:rights>Zoë</dc:rights>" in data
    assert "<u:own>1</u:own>" in data
    assert "Orientation" not in data
    assert "Extended" not in data


@pytest.mark.parametrize("data", [b"<a", b"<!DOCTYPE a><a/>", b"<a/>", b"<a>" * 10_000, b"\xff\xfe"], ids=repr)
def test_what_is_not_xmp_is_left_out(caplog, data):
    assert xmp_packet(RECEIPT, data) == xmp_packet(RECEIPT)
    assert "the XMP of an image is passed over: " in caplog.text


def test_a_packet_that_is_too_large_for_jpeg_is_left_out(caplog):
    large = packet(f'<x:own xmlns:x="urn:x">{"1" * LARGEST_IN_JPEG}</x:own>')
    assert xmp_packet(RECEIPT, large) == xmp_packet(RECEIPT)
    assert "does not fit into a JPEG file" in caplog.text
    assert len(xmp_packet(RECEIPT, large, "PNG")) > LARGEST_IN_JPEG


@settings(max_examples=30)
@given(
    st.builds(
        Receipt,
        model=st.text(),
        step=st.none() | st.integers(0, 2**63),
        exemplars=st.lists(st.text(), max_size=3).map(tuple),
        attributes=st.lists(st.text(), max_size=3).map(tuple),
        strength=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(tuple),
        version=st.text(),
    )
)
def test_any_receipt_comes_back(receipt):
    fitting = {name: fit(getattr(receipt, name)) for name in ("model", "version")}
    lists = {name: tuple(map(fit, getattr(receipt, name))) for name in ("exemplars", "attributes")}
    assert receipts(xmp_packet(receipt)) == (dataclasses.replace(receipt, **fitting, **lists),)


def test_the_other_forms_of_rdf():
    fields = "<e:attributes><rdf:Seq><rdf:li>Hat</rdf:li></rdf:Seq></e:attributes>"
    forms = [
        f'<rdf:li e:model="m" e:step="3" rdf:parseType="Resource">{fields}</rdf:li>',
        f'<rdf:li><rdf:Description e:model="m" e:step="3">{fields}</rdf:Description></rdf:li>',
        f'<rdf:li rdf:parseType="Resource"><e:model>m</e:model><e:step>3</e:step>{fields}</rdf:li>',
    ]
    found = receipts(packet(f"<e:edits><rdf:Seq>{''.join(forms)}</rdf:Seq></e:edits>"))
    assert found == (Receipt("m", 3, (), ("Hat",), (), ""),) * 3


@pytest.mark.parametrize("step", ["-1", "²", "9" * 5000, "many", "1.5"])
@pytest.mark.parametrize("strength", ["nan", "inf", "1e999", "x", ""])
def test_forged_numbers_are_left_out(step, strength):
    fields = f"<e:step>{step}</e:step><e:strength><rdf:Seq><rdf:li>{strength}</rdf:li></rdf:Seq></e:strength>"
    data = packet(f'<e:edits><rdf:Seq><rdf:li rdf:parseType="Resource">{fields}</rdf:li></rdf:Seq></e:edits>')
    assert receipts(data) == (Receipt("", None, (), (), (), ""),)


def test_a_packet_behind_the_pixels_is_found(tmp_path):
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp_packet(RECEIPT).decode())
    file = io.BytesIO()
    Image.fromarray(FACE).save(file, "PNG", pnginfo=info)
    chunks, data = [], file.getvalue()
    place = 8
    while place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        chunks.append(data[place:end])
        place = end
    moved = sorted(chunks, key=lambda chunk: (chunk[4:8] == b"IEND", chunk[4:8] == b"iTXt"))
    assert moved != chunks
    (tmp_path / "a.png").write_bytes(data[:8] + b"".join(moved))
    assert read_mark(tmp_path / "a.png").receipts == (RECEIPT,)


def test_an_inflated_packet_does_no_harm(tmp_path):
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(5_000_000))
    chunk = b"iTXt" + body
    file = io.BytesIO()
    Image.fromarray(FACE).save(file, "PNG")
    data = file.getvalue()
    bomb = len(body).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data[:33] + bomb + data[33:])
    with pytest.raises(BadImage, match=r"a\.png: cannot be read"):
        read_mark(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"no image", "known format"), (b"", "known")]
)
def test_files_that_are_no_images(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(BadImage, match=rf"a\.jpg: .*{message}"):
        read_mark(tmp_path / "a.jpg")


def test_the_receipt_of_the_shipped_model(tmp_path):
    exemplar = marked(tmp_path / "a.png", packet())
    receipt = make_receipt("faces", [exemplar, b"bytes", FACE], ["Hat"], 0.5)
    assert receipt.model == hashlib.sha256((find_run("faces") / "generator.npz").read_bytes()).hexdigest()
    expected = [exemplar.read_bytes(), b"bytes", FACE.tobytes()]
    assert receipt.exemplars == tuple(hashlib.sha256(data).hexdigest() for data in expected)
    assert (receipt.attributes, receipt.strength, receipt.version) == (("Hat",), (0.5,), __version__)
    assert receipt == make_receipt("faces", [exemplar, b"bytes", FACE], ["Hat"], [0.5], receipt.step)
    assert len(make_receipt("faces", [b""] * 100, ["Hat"]).exemplars) == MOST_EXEMPLARS


def test_the_hash_of_checkpoints(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for step in (2, 10):
        (folder / f"step-{step}.index").write_bytes(b"index")
        for part in range(2):
            (folder / f"step-{step}.data-0000{part}-of-00002").write_bytes(b"%d, part %d" % (step, part))
    assert model_hash(tmp_path) == (hashlib.sha256(b"10, part 010, part 1").hexdigest(), 10)
    assert model_hash(tmp_path, 2) == (hashlib.sha256(b"2, part 02, part 1").hexdigest(), 2)
    changed = folder / "step-2.data-00000-of-00002"
    changed.write_bytes(b"other weights, as long or longer")
    assert model_hash(tmp_path, 2)[0] == hashlib.sha256(b"other weights, as long or longer2, part 1").hexdigest()
    with pytest.raises(UserError, match="no complete checkpoint of step 3"):
        model_hash(tmp_path, 3)
    os.remove(folder / "step-10.index")
    assert model_hash(tmp_path)[1] == 2


@pytest.mark.parametrize(
    ("run", "exemplar", "message"),
    [("none", b"", "none: no complete checkpoint"), ("faces", "none.png", r"none\.png: cannot be read: No such file")],
)
def test_receipts_of_what_is_missing(run, exemplar, message):
    with pytest.raises(UserError, match=message):
        make_receipt(run, [exemplar], ["Hat"])


def test_a_damaged_packed_run(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "generator.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"generator\.npz: cannot be read"):
        model_hash(tmp_path)
