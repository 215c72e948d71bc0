"""XMP packets, the metadata in XML that image files hold (ISO 16684-1): reading, changing and writing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_XML = "http://www.w3.org/XML/1998/namespace"

# Bytes of a packet in a JPEG file: a segment of 64 KiB less its length and its signature.
LARGEST_IN_JPEG = 65502

# Bytes of a packet that is read, and how deeply it may be nested. Programs write some hundred KiB and some ten levels.
LARGEST, DEEPEST = 4 * 2**20, 100

_TIFF_TAG, _PNG_KEY = 700, "XML:com.adobe.xmp"

# What XML 1.0 cannot hold, not even as an escape.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def fit(text: str) -> str:
    """A text as a packet can hold it: characters that XML cannot hold become U+FFFD."""
    return _UNFIT.sub("\ufffd", text)


class Packet:
    """The properties in a packet, those of unknown namespaces included.

    Attributes:
        rdf: the element rdf:RDF. Its children hold the properties, as attributes and as children.
        prefixes: the prefix of each namespace.
    """

    def __init__(self) -> None:
        self.rdf = ElementTree.Element(f"{{{RDF}}}RDF")
        self.prefixes = {_META: "x", RDF: "rdf", _XML: "xml"}

    @classmethod
    def parse(cls, data: bytes) -> Packet:
        """The packet in these bytes. Raises ValueError unless they are XMP: a DTD, which XMP cannot have, is refused
        before any of its entities is read."""
        if len(data) > LARGEST:
            raise ValueError(f"is larger than {LARGEST} bytes")
        builder = _Builder()
        parser = ElementTree.XMLParser(target=builder)
        try:
            parser.feed(_decoded(data))  # a text, so that no encoding that it claims counts
            root = parser.close()
        except ElementTree.ParseError as error:
            raise ValueError(f"is not XML: {error}") from error
        packet = cls()
        found = next((element for element in (root, *root) if element.tag == packet.rdf.tag), None)
        if found is None:
            raise ValueError("is not XMP: it has no rdf:RDF")
        packet.rdf = found
        for uri, prefix in builder.prefixes.items():
            packet.add_prefix(prefix, uri)
        return packet

    def add_prefix(self, prefix: str, uri: str) -> None:
        """Gives a namespace a prefix: this one, or another one if it is taken."""
        if uri not in self.prefixes:
            taken = set(self.prefixes.values())
            others = (f"ns{number}" for number in range(len(taken) + 1))
            self.prefixes[uri] = next(name for name in (prefix, *others) if name and name not in taken)

    def find(self, name: str) -> str | ElementTree.Element | None:
        """The property `{namespace}name`: its value if it is an attribute, or its element; None if there is none."""
        for node in self.rdf:
            if name in node.attrib:
                return node.attrib[name]
            element = node.find(name)
            if element is not None:
                return element
        return None

    def text(self, name: str) -> str | None:
        """The value of a property that is a text or a URI; None if there is none."""
        found = self.find(name)
        if isinstance(found, ElementTree.Element):
            return found.get(f"{{{RDF}}}resource") or (found.text or "").strip()
        return found

    def remove(self, is_meant: Callable[[str], bool]) -> None:
        """Removes the properties whose `{namespace}name` is meant."""
        for node in self.rdf:
            for name in filter(is_meant, list(node.attrib)):
                del node.attrib[name]
            for element in [element for element in node if is_meant(element.tag)]:
                node.remove(element)

    def add(self, properties: list[ElementTree.Element]) -> None:
        """Adds properties, about the thing that the others are about."""
        about = f"{{{RDF}}}about"
        subjects = (node.get(about) for node in self.rdf if about in node.attrib)
        node = ElementTree.SubElement(self.rdf, f"{{{RDF}}}Description", {about: next(subjects, "") or ""})
        node.extend(properties)

    def to_bytes(self) -> bytes:
        """The packet in UTF-8, the same bytes for the same properties."""
        names = dict.fromkeys(name for element in self.rdf.iter() for name in (element.tag, *element.attrib))
        used = dict.fromkeys([_META, *(name[1:].partition("}")[0] for name in names if name.startswith("{"))])
        for uri in used:
            self.add_prefix("", uri)
        spaces = "".join(f" xmlns:{self.prefixes[uri]}={quoteattr(uri)}" for uri in used if uri != _XML)
        body = "".join(self._written(self.rdf))
        text = (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
            f'<x:xmpmeta{spaces} x:xmptk="elegant_tf">{body}</x:xmpmeta>\n<?xpacket end="w"?>'
        )
        return text.encode("utf-8")

    def _written(self, element: ElementTree.Element) -> Iterator[str]:
        name = self._prefixed(element.tag)
        values = "".join(f" {self._prefixed(key)}={quoteattr(value)}" for key, value in element.attrib.items())
        yield f"<{name}{values}>{_escaped(element.text)}"
        for child in element:
            yield from self._written(child)
            yield _escaped(child.tail)
        yield f"</{name}>"

    def _prefixed(self, name: str) -> str:
        uri, _, local = name[1:].rpartition("}")
        return f"{self.prefixes[uri]}:{local}" if name.startswith("{") else name


class _Builder(ElementTree.TreeBuilder):
    """Builds a tree, notes the prefixes in it, and refuses a DTD and deep nesting."""

    def __init__(self) -> None:
        super().__init__()
        self.prefixes: dict[str, str] = {}
        self._depth = 0

    def start(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"is nested more than {DEEPEST} levels deep")
        return super().start(tag, attributes)

    def end(self, tag: str) -> ElementTree.Element:
        self._depth -= 1
        return super().end(tag)

    def start_ns(self, prefix: str, uri: str) -> None:
        self.prefixes.setdefault(uri, prefix)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("has a DTD, which XMP cannot have")


def packet_of(image: Image.Image) -> bytes | None:
    """The bytes of the packet in an opened image file; None if it has none."""
    found = image.info.get("xmp") or image.info.get(_PNG_KEY)
    if not found and image.format == "TIFF":
        found = image.tag_v2.get(_TIFF_TAG)  # type: ignore[attr-defined] # Pillow before 11.2 has it here alone
    return found.encode("utf-8") if isinstance(found, str) else found or None


def save_options(image_format: str, packet: bytes) -> dict[str, Any]:
    """What `Image.save` needs to put a packet into a file of a format: PNG, JPEG, WEBP or TIFF.

    Raises ValueError if a JPEG file cannot hold it, see `LARGEST_IN_JPEG`.
    """
    if image_format == "PNG":
        info = PngInfo()
        info.add_itxt(_PNG_KEY, packet.decode("utf-8"))
        return {"pnginfo": info}
    if image_format == "TIFF":
        directory = ImageFileDirectory_v2()
        directory.tagtype[_TIFF_TAG] = 1  # bytes
        directory[_TIFF_TAG] = packet
        return {"tiffinfo": directory}
    if image_format == "JPEG" and len(packet) > LARGEST_IN_JPEG:
        raise ValueError(f"a JPEG file cannot hold {len(packet)} bytes of XMP; {LARGEST_IN_JPEG} at most")
    return {"xmp": packet}


def _decoded(data: bytes) -> str:
    """The text of a packet, without what surrounds its XML."""
    is_wide = data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:2]
    if is_wide:
        big = data[:2] == b"\xfe\xff" or data[:1] == b"\0"
        text = data.decode("utf-16-be" if big else "utf-16-le")
    else:
        text = data.decode("utf-8")
    return text.strip("\ufeff\0 \t\r\n")


def _escaped(text: str | None) -> str:
    return escape(text or "", {"\r": "&#13;"})  # readers would take it for a line feed
