"""`elegant-tf demo`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import os
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.catalogue import EXEMPLARS_FILE, Catalogue, find_catalogue, read_catalogue
from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_path, add_run
from elegant_tf.cli.tensorflow import prepare_tensorflow, without_noise
from elegant_tf.config import DataConfig
from elegant_tf.errors import UserError
from elegant_tf.export.litert import load_litert
from elegant_tf.files import reason
from elegant_tf.images import check_image_size
from elegant_tf.paths import check_new_directory
from elegant_tf.rundir import config_groups, find_run, read_model

HELP = """\
Makes a web page of a run that edits photos in the browser, serves it to this machine, and opens it. The page takes a
photo from a file or the camera, finds the face, edits it as sliders move, and saves the photo at its own size. No photo
leaves the browser. Ctrl-C ends the server. Needs LiteRT: pip install 'elegant-tf[tflite]'.

Exemplars are those of --catalogue, or of the catalogue in the run directory. The page takes them from other photos,
too. A run that learned from drawn faces gets drawn exemplars and drawn photos to try.

examples:
  elegant-tf demo --run portraits
  elegant-tf demo --run runs/mine --catalogue styles.npz --kind float16
  elegant-tf demo --run portraits --out site --noserve
"""

ADDRESS = "127.0.0.1"
PORT = 8000

# The same as in the page, for its worker, to which the page's own does not apply; and none may frame the page.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # another run may be next at this address
}

_DRAWN, _SAMPLES, _SAMPLE_SIZE = 24, 3, 256
_COMPARED = 8  # edits on which the model's file is compared with the run: `elegant-tf tflite` takes more


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    what = "catalogue of exemplars to choose from (default: the run's own, if it has one)"
    add_path(parser, "--catalogue", metavar="FILE", help=what)
    what = "precision of the model's weights; float16 halves the download (default float32)"
    parser.add_argument("--kind", choices=["float32", "float16"], default="float32", help=what)
    add_number(parser, "--image_size", None, "side of the face in pixels (default: the run's)", at_least=1, metavar="S")
    what = "port to serve at; 0: any that is free"
    add_number(parser, "--port", PORT, what, at_least=0, at_most=2**16 - 1)
    what = "new folder for the page, which any web server can serve (default: a temporary one)"
    add_path(parser, "--out", metavar="DIR", help=what)
    parser.add_argument("--noopen", dest="open", action="store_false", help="open no browser")
    parser.add_argument("--noserve", dest="serve", action="store_false", help="only write --out")


def _run(options: argparse.Namespace) -> None:
    """Checks everything that can be checked before TensorFlow is loaded, then writes the page and serves it."""
    if not options.serve and not options.out:
        raise UserError("--noserve needs --out, the folder to write")
    model = read_model(options.run)
    size = options.image_size or model.image_size
    check_image_size(size, 2**model.depth)
    catalogue = _find_catalogue(options)
    if catalogue:
        catalogue.check_fits(options.run, model, size)
    if options.out:
        check_new_directory(options.out)
    load_litert()
    with contextlib.ExitStack() as stack:
        folder = options.out or str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "page")
        server = stack.enter_context(make_server(folder, options.port)) if options.serve else None
        _write(options, folder, catalogue, size)
        if server is None:
            print(options.out)
        else:
            _serve(server, options.open)


def make_server(folder: str | os.PathLike[str], port: int) -> http.server.ThreadingHTTPServer:
    """A server of the files in a folder, to this machine alone. Raises UserError if the port is taken."""
    try:
        return _Server((ADDRESS, port), functools.partial(_Handler, directory=os.fspath(folder)))
    except OSError as error:
        raise UserError(f"--port={port}: cannot be served at ({reason(error)}): choose another one, or 0") from error


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a browser that goes away
            super().handle_error(request, client_address)


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # whatever this machine takes them for  # noqa: RUF012
        "": "application/octet-stream",
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
        ".wasm": "application/wasm",
    }

    def send_head(self) -> Any:
        # Another site's page could be given the address of this machine by its name server, and read the model.
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in (ADDRESS, "localhost"):
            self.send_error(403, "served to this machine alone")
            return None
        return super().send_head()

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        self.send_error(404, "no such file")

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Prints nothing: a line for each file would hide the address."""


def _serve(server: http.server.ThreadingHTTPServer, is_opened: bool) -> None:
    address = f"http://{ADDRESS}:{server.server_port}/"
    print(f"{address} (Ctrl-C ends it)", flush=True)
    if is_opened:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("ended")


def _find_catalogue(options: argparse.Namespace) -> Catalogue | None:
    if options.catalogue:
        return read_catalogue(find_catalogue(options.catalogue) or options.catalogue)
    own = find_run(options.run) / EXEMPLARS_FILE
    return read_catalogue(own) if own.is_file() else None


def _write(options: argparse.Namespace, folder: str, catalogue: Catalogue | None, size: int) -> None:
    prepare_tensorflow()
    from elegant_tf.export.examples import drawn_examples
    from elegant_tf.export.web import export_web

    attributes = read_model(options.run).attributes
    samples: Sequence[np.ndarray] = ()
    if config_groups(options.run).get("data", {}).get("kind", DataConfig.kind) == "faces":
        catalogue = catalogue or _draw_catalogue(options.run, attributes, size)
        samples = _draw_samples()
    examples = functools.partial(drawn_examples, len(attributes), size, _COMPARED)
    with without_noise():  # LiteRT says how it computes
        export_web(options.run, folder, options.kind, size, catalogue, samples, examples)


def _draw_catalogue(run: str, attributes: Sequence[str], size: int) -> Catalogue:
    """Drawn people whom no training saw, as exemplars of a run."""
    from elegant_tf.editor import Editor
    from elegant_tf.synthetic import ATTRIBUTES

    faces = [_draw_face(index) for index in range(_DRAWN)]
    labels = np.stack([face.labels for face in faces])
    editor = Editor.load(run, size)
    return editor.make_catalogue(
        [face.draw(size) for face in faces],
        [f"face {number}" for number in range(1, _DRAWN + 1)],
        {name: labels[:, ATTRIBUTES.index(name)] == 1 for name in attributes},
    )


def _draw_samples() -> list[np.ndarray]:
    return [_draw_face(_DRAWN + index).draw(_SAMPLE_SIZE) for index in range(_SAMPLES)]


def _draw_face(index: int) -> Any:
    from elegant_tf.synthetic import make_face
    from elegant_tf.synthetic.source import face_index

    return make_face(0, face_index("test", index))


COMMANDS = (Command("demo", "edit photos with a run in the browser", HELP, _add_options, _run),)
