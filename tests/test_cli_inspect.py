"""`elegant-tf inspect` and `sign`: what they print, in words and as JSON, and what they refuse."""

from __future__ import annotations

import json
import sys

import commands
import pytest
from PIL import Image

from elegant_tf.cli.main import main
from elegant_tf.marks import EDITED, GENERATED, Receipt, xmp_packet
from elegant_tf.signing import Credentials
from elegant_tf.xmp import save_options

RECEIPT = Receipt("ab" * 32, 7, ("cd" * 32,), ("Eyeglasses", "Hat"), (1.0, -0.5), "1.2")
DIGITAL_SOURCE = '<i:DigitalSourceType xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">{}</i:DigitalSourceType>'
PACKET = '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description>{}</r:Description></r:RDF>'


@pytest.fixture(autouse=True)
def without_c2pa(monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)


def image(path, packet=None):
    Image.new("RGB", (8, 8)).save(path, **(save_options("PNG", packet) if packet else {}))
    return str(path)


def other(source_type):
    return PACKET.format(DIGITAL_SOURCE.format(source_type)).encode()


def test_words(tmp_path, capsys):
    once, never = image(tmp_path / "a.png", xmp_packet(RECEIPT)), image(tmp_path / "b.png")
    twice = image(tmp_path / "c.png", xmp_packet(Receipt("", None, (), ("Hat",), ()), xmp_packet(RECEIPT)))
    assert main(["inspect", once, never, twice]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{once}: a photo that was edited with a trained model",
        "  edit: Eyeglasses, Hat",
        "    strength:    1, -0.5",
        f"    model:       {'ab' * 32}, step 7",
        f"    exemplars:   {'cd' * 32}",
        "    elegant_tf:  1.2",
        f"{never}: no mark",
        f"{twice}: a photo that was edited with a trained model",
        "  edit 1: Eyeglasses, Hat",
        "    strength:    1, -0.5",
        f"    model:       {'ab' * 32}, step 7",
        f"    exemplars:   {'cd' * 32}",
        "    elegant_tf:  1.2",
        "  edit 2: Hat",
        "    strength:    unknown",
        "    model:       unknown",
        "    exemplars:   unknown",
        f"    elegant_tf:  {Receipt('', None, (), (), ()).version}",
    ]


@pytest.mark.parametrize(
    ("source_type", "words"),
    [
        (GENERATED, "made by a trained model"),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture", "taken by a digital camera"),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/somethingNew", "somethingNew"),
        ("red \x9b31m", "red \ufffd31m"),  # a control sequence of terminals
    ],
)
def test_marks_of_other_programs(tmp_path, capsys, source_type, words):
    path = image(tmp_path / "a.png", other(source_type))
    assert main(["inspect", path]) == 0
    assert capsys.readouterr().out == f"{path}: {words}\n"


def test_json(tmp_path, capsys):
    once, never = image(tmp_path / "a.png", xmp_packet(RECEIPT)), image(tmp_path / "b.png")
    assert main(["inspect", once, never, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        "file": once,
        "digital_source_type": EDITED,
        "receipts": [
            {
                "model": "ab" * 32,
                "step": 7,
                "exemplars": ["cd" * 32],
                "attributes": ["Eyeglasses", "Hat"],
                "strength": [1.0, -0.5],
                "version": "1.2",
            }
        ],
        "credentials": None,
        "error": None,
    }
    assert second == {"file": never, "digital_source_type": "", "receipts": [], "credentials": None, "error": None}


def test_a_file_that_cannot_be_read_does_not_hide_the_others(tmp_path, capsys):
    junk, never, good = tmp_path / "a.png", tmp_path / "none.png", image(tmp_path / "b.png", xmp_packet(RECEIPT))
    junk.write_bytes(b"junk")
    assert main(["inspect", str(junk), str(never), good]) == 2
    printed = capsys.readouterr()
    assert f"{good}: a photo that was edited" in printed.out
    assert printed.out.splitlines()[1] == f"{never}: cannot be read: No such file or directory"
    assert printed.err == f"error: {junk}: is not an image in a known format (and 1 more)\n"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("trusted", "intact, from a trusted signer"),
        ("valid", "intact; the signer is on no list of trusted ones here"),
        ("invalid", "NOT valid"),
    ],
)
def test_credentials(tmp_path, capsys, monkeypatch, state, words):
    path = image(tmp_path / "a.png")
    found = Credentials(state, "Zoë", "Studio", ("hashes differ",), ())
    monkeypatch.setattr("elegant_tf.cli.inspect.is_installed", lambda: True)
    monkeypatch.setattr("elegant_tf.cli.inspect.read_credentials", lambda file: found)
    assert main(["inspect", path]) == 0
    problem = ["    problem:     hashes differ"] if state == "invalid" else []
    lines = [f"{path}: no mark in its XMP", f"  Content Credentials: {words}", "    signer:      Zoë (Studio)"]
    assert capsys.readouterr().out.splitlines() == [*lines, *problem]
    main(["inspect", path, "--json"])
    assert json.loads(capsys.readouterr().out)[0]["credentials"]["state"] == state


def test_credentials_that_cannot_be_verified_here_are_mentioned(tmp_path, capsys):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, comment=b"jumb c2pa")
    assert main(["inspect", str(path)]) == 0
    assert "not verified; for that, pip install 'elegant-tf[c2pa]'" in capsys.readouterr().out


def test_sign_says_what_is_missing(tmp_path, capsys):
    path, keys = image(tmp_path / "a.png", xmp_packet(RECEIPT)), ["--cert_file", "a.pem", "--key_file", "b.pem"]
    assert main(["sign", path, *keys]) == 2
    assert capsys.readouterr().err.endswith("pip install 'elegant-tf[c2pa]'\n")
    assert main(["sign", path, path, *keys, "--original", "me.jpg"]) == 2
    assert capsys.readouterr().err == "error: --original=me.jpg: is for a single FILE; sign the files one by one\n"


def test_inspecting_needs_no_tensorflow(tmp_path):
    path = image(tmp_path / "a.png", xmp_packet(RECEIPT))
    program = "import sys; from elegant_tf.cli.main import main; "
    program += f"main(['inspect', {path!r}]); print('tensorflow' in sys.modules)"
    done = commands.run(["-c", program])
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "False"), done.stderr
