"""`elegant-tf demo`: the page that it writes, its server, and what it refuses. `test_web.py` tries the page itself."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import threading
from contextlib import contextmanager

import commands
import numpy as np
import pytest

from elegant_tf.cli.demo import POLICY, make_server
from elegant_tf.cli.main import main
from elegant_tf.editor import Editor
from elegant_tf.export.web import PAGE
from elegant_tf.synthetic import ATTRIBUTES, make_face
from elegant_tf.synthetic.source import face_index

needs_litert = pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed")


@contextmanager
def serving(folder):
    with make_server(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def get(port, path, host="127.0.0.1"):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Host": f"{host}:{port}"})
    with connection.getresponse() as response:
        return response.status, response.headers, response.read()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/vendor/litert_wasm_compat_internal.wasm", "application/wasm"),
        ("/vendor/face_detection_short_range.tflite", "application/octet-stream"),
    ],
)
def test_files_have_their_types_and_the_policy(path, kind):
    with serving(PAGE) as port:
        status, headers, content = get(port, path)
    assert (status, headers["Content-Type"]) == (200, kind)
    assert headers["Content-Security-Policy"].startswith(f"{POLICY}; ")
    assert content == (PAGE / (path[1:] or "index.html")).read_bytes()


def test_the_page_holds_the_policy_of_the_server():
    assert f'content="{POLICY}"' in (PAGE / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/", "elsewhere.example", 403), ("/vendor/", "127.0.0.1", 404), ("/../rundir.py", "127.0.0.1", 404)],
)
def test_the_server_gives_nothing_else(path, host, status):
    with serving(PAGE) as port:
        assert get(port, path, host)[0] == status
        assert get(port, "/icon.svg", "localhost")[0] == 200


def test_what_others_wrote_is_of_the_pinned_packages():
    vendor = PAGE / "vendor"
    described = json.loads((vendor / "third_party.json").read_text("utf-8"))
    sums = {name: digest for package in described for name, digest in package["files"].items()}
    assert {path.name for path in vendor.iterdir()} == {*sums, "third_party.json", "LICENSE-Apache-2.0.txt"}
    for name, digest in sums.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name
    pinned = json.loads((commands.ROOT / "demo/web/package.json").read_text("utf-8"))["dependencies"]
    assert {package["package"]: package["version"] for package in described} == pinned


@pytest.fixture
def heeds_ctrl_c():
    """As in a terminal: a process that a script starts in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@needs_litert
@pytest.mark.usefixtures("heeds_ctrl_c")
def test_the_command_serves_and_opens_the_page_until_ctrl_c(tiny_run, flipping_run, tmp_path, monkeypatch, capfd):
    found = {}

    def browse(address):
        """Reads the page, then presses Ctrl-C: in another thread, as the command waits for a browser no longer."""
        try:
            port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", address)[1])
            found["model"] = json.loads(get(port, "/model.json")[2])
            found["codes"] = np.frombuffer(get(port, "/codes.bin")[2], "<f4")
            found["sample"] = get(port, "/" + found["model"]["samples"][0])[0]
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(
        "webbrowser.open", lambda address: threading.Thread(target=browse, args=[address], daemon=True).start()
    )
    assert main(["demo", "--run", str(flipping_run), "--out", str(tmp_path / "site"), "--port", "0"]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)\nended\n", capfd.readouterr().out)
    assert found["sample"] == 200
    assert (tmp_path / "site/model.tflite").stat().st_size > 1000
    # The run learned from drawn faces: its exemplars are drawn. Their codes are those of an encoder that does not flip.
    exemplars, faces = found["model"]["catalogue"], [make_face(0, face_index("test", index)) for index in range(24)]
    for one, face in zip(exemplars, faces, strict=True):
        known = dict(zip(ATTRIBUTES, face.labels, strict=True))
        assert one["attributes"] == [name for name in found["model"]["attributes"] if known[name]]
        assert one["thumbnail"].startswith("data:image/png;base64,")
    codes = Editor.load(tiny_run).encode([face.draw(32) for face in faces[:2]])
    np.testing.assert_allclose(found["codes"].reshape(24, *codes.shape[1:])[:2], codes, atol=1e-5)
    assert "config" not in found["model"]  # it may name places on this machine


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--run", "nowhere"], "nowhere is not a run directory"),
        (["--noserve"], "--noserve needs --out"),
        (["--out", "."], "is the current directory|exists already"),
        (["--image_size", "36"], "--image_size=36: must be a multiple of 8"),
        (["--catalogue", "{run}/config.json"], "is not a catalogue of exemplars"),
        (["--port", "{port}"], r"--port=\d+: cannot be served at"),
    ],
)
@needs_litert
def test_mistakes_are_named_before_anything_is_made(tiny_run, tmp_path, monkeypatch, capsys, options, expected):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [option.format(run=tiny_run, port=taken.getsockname()[1]) for option in options]
        assert main(["demo", "--run", str(tiny_run), "--noopen", *given]) == 2
    assert re.search(expected, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())
