"""XMP packets: foreign properties are kept, hostile packets are harmless, and every format returns its packet."""

from __future__ import annotations

import io
import string
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from elegant_tf.xmp import DEEPEST, LARGEST, LARGEST_IN_JPEG, Packet, fit, packet_of, save_options

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
TITLE, NOTE = "{http://purl.org/dc/elements/1.1/}title", "{urn:notes}note"

FOREIGN = f"""\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Another Program">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about="uuid:1" xmlns:n="urn:notes" n:note="a &quot; &#10;b"
    xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Zoë &lt;3 &amp; 顔&#13;</rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
  <rdf:Description rdf:about="uuid:1">
   <n:link xmlns:n="urn:others" rdf:resource="urn:1"/><plain xmlns="urn:plain">p</plain>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def everything(data: bytes) -> list[tuple]:
    """All that a packet says: names in full, values and texts, in order."""
    nodes = Packet.parse(data).rdf.iter()
    return [(node.tag, sorted(node.attrib.items()), (node.text or "").strip(" \n")) for node in nodes]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_what_is_foreign_is_kept(encoding):
    packet = Packet.parse(FOREIGN.encode(encoding))
    written = packet.to_bytes()
    assert everything(written) == everything(FOREIGN.encode())
    assert packet.to_bytes() == written == Packet.parse(written).to_bytes()
    assert b"<dc:title>" in written  # with its own prefix


def test_properties():
    packet = Packet.parse(FOREIGN.encode())
    assert packet.text(NOTE) == 'a " \nb'
    assert packet.text("{urn:others}link") == "urn:1"
    assert packet.text("{urn:plain}plain") == "p"
    assert packet.text("{urn:plain}none") is packet.find("{urn:plain}none") is None
    packet.remove(lambda name: name in (NOTE, TITLE))
    assert packet.find(NOTE) is packet.find(TITLE) is None
    added = ElementTree.Element(NOTE)
    added.text = "new"
    packet.add([added])
    again = Packet.parse(packet.to_bytes())
    assert again.text(NOTE) == "new"
    assert again.rdf[-1].get(f"{{{RDF}}}about") == "uuid:1"  # all properties are about the same thing


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>', "has a DTD"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "has a DTD"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "has a DTD"),
        ("<a>&b;</a>", "is not XML"),
        ("<a>", "is not XML"),
        ("", "is not XML"),
        ("<a/>", "has no rdf:RDF"),
        ("<a>" * (DEEPEST + 1), "levels deep"),
        ("<a" * (LARGEST // 2 + 1), "is larger"),
        (b"\xff\xfe\x00", "utf-16"),
        (b"<a>\xe9</a>", "utf-8"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_is_not_xmp_is_refused(data, message, encoding):
    with pytest.raises(ValueError, match=message):
        Packet.parse(data.encode(encoding) if isinstance(data, str) else data)


def test_a_claimed_encoding_hides_no_dtd():
    text = '<?xml version="1.0" encoding="cp037"?><!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>'
    with pytest.raises(ValueError, match="has a DTD"):
        Packet.parse(text.encode())


def test_a_prefix_that_is_taken_is_replaced():
    packet = Packet.parse(FOREIGN.encode())
    packet.add_prefix("dc", "urn:mine")
    assert packet.prefixes["urn:mine"] not in ("dc", "")
    packet.add([ElementTree.Element("{urn:mine}own")])
    assert Packet.parse(packet.to_bytes()).find("{urn:mine}own") is not None


@settings(max_examples=50)
@given(st.text(), st.text())
def test_any_text_comes_back_as_it_fits(value, text):
    packet = Packet()
    element = ElementTree.Element(TITLE, {NOTE: fit(value)})
    element.text = fit(text)
    packet.add([element])
    found = Packet.parse(packet.to_bytes()).find(TITLE)
    assert (found.get(NOTE), found.text or "") == (fit(value), fit(text))


def test_only_what_xml_cannot_hold_is_replaced():
    assert fit("\0\x07\x1b\ud800\uffff") == "\ufffd" * 5
    assert fit(string.printable[:-2] + "é顔\U0001f600\x85") == string.printable[:-2] + "é顔\U0001f600\x85"


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_format_gives_a_packet_back(image_format):
    file, plain = io.BytesIO(), io.BytesIO()
    image = Image.new("RGB", (8, 8), "red")
    image.save(file, image_format, **save_options(image_format, FOREIGN.encode()))
    image.save(plain, image_format)
    with Image.open(file) as marked, Image.open(plain) as unmarked:
        assert packet_of(marked) == FOREIGN.encode()
        assert packet_of(unmarked) is None
        assert marked.tobytes() == unmarked.tobytes()


def test_a_jpeg_file_holds_64_kib():
    image, file = Image.new("RGB", (8, 8)), io.BytesIO()
    image.save(file, "JPEG", **save_options("JPEG", b"x" * LARGEST_IN_JPEG))
    with Image.open(file) as marked:
        assert packet_of(marked) == b"x" * LARGEST_IN_JPEG
    with pytest.raises(ValueError, match="cannot hold 65503 bytes"):
        save_options("JPEG", b"x" * (LARGEST_IN_JPEG + 1))
