from __future__ import annotations

import dataclasses
import itertools
import json
import re
import socket
import ssl
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import commands
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import GOOD, assert_close, decoded, encoded, faces_of_several_sizes
from PIL import ExifTags, Image, ImageFile

from elegant_tf.cli import serve_client
from elegant_tf.cli.main import main
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, read_image
from elegant_tf.marks import Receipt, read_mark, receipt_of
from elegant_tf.serving.client import LONGEST_WAIT, Client, connect, image_bytes, with_retries
from elegant_tf.serving.endpoint import Endpoint, Refused, Unavailable
from elegant_tf.serving.rest_transport import RestTransport

FACES = faces_of_several_sizes()
NAMES = ("Eyeglasses", "Bangs", "Smiling")  # those of tiny_run
PROTOCOLS = ("grpc", "rest")


@pytest.fixture(scope="module")
def server(tiny_export):
    pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    from model_server import ModelServer, ServedModel

    with ModelServer(ServedModel(tiny_export.parent, labels={"stable": 4})) as running:
        yield running


@pytest.fixture(autouse=True)
def _healthy(request):
    yield
    if "server" in request.fixturenames:
        model = request.getfixturevalue("server").model
        model.busy, model.delay = 0, 0.0


def client(server, protocol, timeout=60.0, retries=4, **fields):
    endpoint = Endpoint(getattr(server, protocol), **{"model": "elegant", **fields})
    return Client(connect(endpoint, protocol), timeout, retries)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_edits_as_the_editor_does(server, tiny_editor, protocol):
    images, exemplars = [encoded(face) for face in FACES[:2]], [encoded(face, "JPEG") for face in FACES[2:]]
    asked = client(server, protocol)
    assert asked.metadata["attributes"] == list(NAMES)
    drawn = [decoded(data) for data in exemplars]
    for found, face in zip(asked.edit(images, exemplars[:1], ["Smiling"], 0.7), FACES, strict=False):
        assert_close(decoded(found), tiny_editor.swap(face, drawn[0], ["Smiling"], 0.7))
    both = asked.edit(images, exemplars, ["Smiling", "Eyeglasses"], [1.0, 0.5])
    for found, face in zip(both, FACES, strict=False):
        assert_close(decoded(found), tiny_editor.swap(face, drawn, ["Smiling", "Eyeglasses"], [1.0, 0.5]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_edits_with_exemplars_of_a_catalogue(server, tiny_editor, protocol):
    asked, image = client(server, protocol), encoded(FACES[0])
    catalogue = tiny_editor.make_catalogue(FACES[2:], ["a", "b"])
    asked.check_catalogue(catalogue)
    for exemplars, drawn in (([catalogue["a"]], FACES[2]), ([catalogue["b"], encoded(FACES[1])], [FACES[3], FACES[1]])):
        (found,) = asked.edit([image], exemplars, ["Smiling", "Bangs"])
        assert_close(decoded(found), tiny_editor.swap(FACES[0], drawn, ["Smiling", "Bangs"]))
    one = catalogue["a"]
    for changed in ({"model": "0" * 64}, {"code": one.code[..., :-1]}):
        with pytest.raises(UserError, match="exemplar 'a' is the code of another model"):
            asked.edit([image], [dataclasses.replace(one, **changed)], ["Bangs"])
    with pytest.raises(UserError, match=r"images of 48 pixels; .* edits 32"):
        asked.check_catalogue(dataclasses.replace(catalogue, image_size=48))
    with pytest.raises(UserError, match="they must have one size"):
        asked.edit([image], [one, dataclasses.replace(one, code=one.code[:1])], ["Smiling", "Bangs"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fields", [{"version": 4}, {"label": "stable"}])
def test_versions_and_labels(server, protocol, fields):
    assert client(server, protocol, **fields).metadata["step"] == 4


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fields", [{"version": 5}, {"label": "canary"}, {"model": "other"}])
def test_models_that_are_not_there(server, protocol, fields):
    named = re.escape(str(Endpoint(getattr(server, protocol), **{"model": "elegant", **fields})))
    with pytest.raises(UserError, match=rf"^{named}: is not served: .*Servable not found.*; check --model, --version"):
        _ = client(server, protocol, **fields).metadata


OTHER_MODELS = {
    "signature": ({}, "signature.*'metadata'.* not found"),
    "text": ({"json": ["hello"]}, "its metadata are not a JSON object"),
    "list": ({"json": ["[1]"]}, "its metadata are not a JSON object"),
    "number": ({"json": [1.0]}, "its metadata are not a JSON object"),
    "fields": ({"json": ['{"attributes": ["Bangs"]}']}, "its metadata have no 'block_bounds'"),
    "bounds": ({"json": ['{"attributes": ["Bangs"], "block_bounds": [0]}']}, "do not fit together"),
    "output": ({"a": [1.0], "b": [2.0]}, "expected the output 'json', found a, b"),
}


@pytest.fixture(scope="module", params=OTHER_MODELS)
def other(request, server, tmp_path_factory):
    """A server of another model, and what is to be said of it."""
    from model_server import ModelServer, ServedModel

    outputs, message = OTHER_MODELS[request.param]
    folder = tmp_path_factory.mktemp("other")
    save_model(folder / "1", {"metadata": (["id"], outputs)} if outputs else {"double": (["id"], {"x": [1.0]})})
    with ModelServer(ServedModel(folder, "other")) as running:
        yield running, message


def save_model(path, signatures):
    """A SavedModel with signatures that answer constants; their inputs by name, "id" an integer, others text."""
    import tensorflow as tf

    def answering(inputs, outputs):
        specs = [tf.TensorSpec([None], tf.int32 if name == "id" else tf.string, name) for name in inputs]
        if "weights" in inputs:
            specs[inputs.index("weights")] = tf.TensorSpec([None, None], tf.float32, "weights")
        constants = {name: tf.constant(value) for name, value in outputs.items()}
        return tf.function(lambda *_: {name: tf.identity(value) for name, value in constants.items()}, specs)

    module = tf.Module()
    saved = {name: answering(*signature) for name, signature in signatures.items()}
    tf.saved_model.save(module, str(path), {name: made.get_concrete_function() for name, made in saved.items()})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_model_is_named(other, protocol):
    running, message = other
    with pytest.raises(UserError, match=message) as caught:
        client(running, protocol, model="other").edit([b""], [b""], ["Bangs"])
    said = str(caught.value)
    assert said.startswith(f"{getattr(running, protocol)}: model 'other': expected the signature 'metadata' of a model")
    assert "\n" not in said


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_answers_that_do_not_fit_the_metadata(server, tmp_path, protocol):
    from model_server import ModelServer, ServedModel

    described = json.dumps({"attributes": ["Bangs", "Smiling"], "block_bounds": [0, 4, 8]})
    signatures = {
        "metadata": (["id"], {"json": [described]}),
        "serving_default": (["image", "exemplar", "weights"], {"edited_bytes": [0.5]}),
        "encode": (["image"], {"code": np.zeros((2, 1, 1, 6), np.float32)}),
    }
    save_model(tmp_path / "1", signatures)
    with ModelServer(ServedModel(tmp_path, "other")) as running:
        asked = client(running, protocol, model="other")
        with pytest.raises(UserError, match=r"model 'other': expected encoded images \[1\], found float32 \[1\]"):
            asked.edit([b"a"], [b"b"], ["Bangs"])
        with pytest.raises(UserError, match=r"expected codes \[2, h, w, 8\], found float32 \[2, 1, 1, 6\]"):
            asked.edit([b"a"], [b"b", b"c"], ["Bangs", "Smiling"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_asks_again_while_there_is_no_room(server, protocol):
    asked = client(server, protocol)
    server.model.busy, before = 2, server.model.requests
    assert asked.metadata["step"] == 4
    assert server.model.requests == before + 3
    server.model.busy = 10
    with pytest.raises(Unavailable, match=r"queue is full.*\(asked 3 times\)"):
        client(server, protocol, retries=2).edit([b""], [b""], ["Bangs"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_refusals_are_reported_and_not_retried(server, protocol):
    asked = client(server, protocol)
    with pytest.raises(UserError, match=r"Hat.*Eyeglasses"):
        asked.edit([encoded(FACES[0])], [encoded(FACES[1])], ["Hat"])
    before = server.model.requests
    with pytest.raises(UserError, match="image: is not a JPEG"):
        asked.edit([b"no image"], [encoded(FACES[1])], ["Bangs"])
    assert server.model.requests == before + 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_deadlines(server, protocol):
    server.model.delay = 20.0
    with pytest.raises(UserError, match=r"no answer within 0.*--timeout") as caught:
        _ = client(server, protocol, timeout=0.3).metadata
    assert not isinstance(caught.value, Unavailable)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_server(protocol):
    if protocol == "grpc":
        pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    with socket.socket() as bound:
        bound.bind(("localhost", 0))
        free = f"localhost:{bound.getsockname()[1]}"
    with pytest.raises(Unavailable, match=rf"{free}: is not available.*asked 2 times"):
        _ = Client(connect(Endpoint(free, "elegant"), protocol), 60.0, 1).metadata


def test_another_kind_of_server():
    class WebServer(SimpleHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("localhost", 0), WebServer) as web:
        Thread(target=web.serve_forever, daemon=True).start()
        endpoint = Endpoint(f"localhost:{web.server_address[1]}", "elegant")
        with pytest.raises(UserError, match="its answer is not TF Serving's"):
            _ = Client(RestTransport(endpoint)).metadata
        web.shutdown()


@given(retries=st.integers(0, 8), failures=st.integers(0, 10), timeout=st.floats(0.1, 30))
def test_retries_stop_in_time(retries, failures, timeout):
    now, asked = [0.0], []

    def ask(left):
        assert 0 < left <= timeout
        asked.append(now[0])
        if len(asked) <= failures:
            raise Unavailable("full")
        return "answer"

    def sleep(seconds):
        assert 0 < seconds <= LONGEST_WAIT
        now[0] += seconds

    try:
        assert with_retries(ask, timeout, retries, sleep, lambda: now[0]) == "answer"
        assert len(asked) == failures + 1
    except Unavailable:
        assert len(asked) <= min(failures, retries + 1)
    waits = [later - sooner for sooner, later in itertools.pairwise(asked)]
    assert all(later >= sooner / 2 for sooner, later in itertools.pairwise(waits))
    assert now[0] < timeout


@pytest.fixture(scope="module")
def encrypted(server, tmp_path_factory):
    """A server that requires client certificates, and the options of a client that has one."""
    trustme = pytest.importorskip("trustme")
    from model_server import ModelServer

    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    own, clients = authority.issue_cert("localhost"), authority.issue_cert("client@example.org")
    files = {
        "ca_file": authority.cert_pem,
        "cert_file": clients.cert_chain_pems[0],
        "key_file": clients.private_key_pem,
    }
    for name, blob in files.items():
        blob.write_to_path(folder / f"{name}.pem")
    key, chain = own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca_file.pem")
    own.configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    running = ModelServer(server.model, tls=(key, chain, authority.cert_pem.bytes()))
    running.encrypt_rest(context)
    with running:
        yield running, {name: str(folder / f"{name}.pem") for name in files}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls(encrypted, protocol):
    running, files = encrypted
    assert client(running, protocol, tls=True, **files).metadata["step"] == 4
    for lacking in ({}, {"ca_file": files["ca_file"]}):  # no trust in the server; no client certificate
        with pytest.raises(UserError, match="localhost"):
            _ = client(running, protocol, retries=0, tls=True, **lacking).metadata


def test_files_that_are_no_certificates(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(UserError, match=r"--ca_file.*cannot be used"):
        RestTransport(Endpoint("localhost:1", "elegant", tls=True, ca_file=str(tmp_path / "ca.pem")))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_command(server, tiny_editor, tmp_path, protocol):
    Image.fromarray(FACES[0]).save(tmp_path / "a.png")
    Image.fromarray(FACES[2]).save(tmp_path / "b.jpg", exif=orientation(6), quality=95)
    words = ["-m", "elegant_tf", "serve-client"]
    where = ["--server", getattr(server, protocol), "--model", "elegant", "--protocol", protocol]
    images = ["--input", str(tmp_path / "a.png"), "--exemplar", str(tmp_path / "b.jpg")]
    out = tmp_path / "out" / "c.png"
    edit = [*words, "edit", *where, *images, "--attributes", "Bangs,Smiling", "--out", str(out)]
    done = commands.run(edit)
    assert (done.returncode, done.stdout) == (0, f"{out}\n"), done.stderr
    assert_close(read_image(out), tiny_editor.swap(FACES[0], read_image(tmp_path / "b.jpg"), ["Bangs", "Smiling"]))
    exemplar, told = tmp_path / "b.jpg", client(server, protocol).metadata
    (receipt,) = read_mark(out).receipts
    assert receipt == receipt_of(told["model_sha256"], 4, [exemplar], ["Bangs", "Smiling"], 1.0, told["elegant_tf"])
    if protocol == "grpc":
        return
    tiny_editor.make_catalogue(FACES[3], ["me"]).write(tmp_path / "styles.npz")
    styles = ["--exemplar", str(tmp_path / "styles.npz:me"), "--out", str(tmp_path / "styled.png")]
    assert main([*edit[2:], *styles]) == 0
    expected = tiny_editor.swap(FACES[0], FACES[3], ["Bangs", "Smiling"])
    assert_close(read_image(tmp_path / "styled.png"), expected)
    (receipt,) = read_mark(tmp_path / "styled.png").receipts
    assert len(receipt.exemplars) == 1
    assert main([*edit[2:-1], str(tmp_path / "plain.png"), "--nomark"]) == 0
    assert read_mark(tmp_path / "plain.png") is None
    done = commands.run(edit)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"error: {out}: exists already: choose another name, or ask to overwrite it"
    done = commands.run([*words, "metadata", *where])
    assert json.loads(done.stdout)["attributes"] == list(NAMES)
    done = commands.run([*words, "metadata", *where, "--version", "9"])
    assert done.returncode == 2
    assert "Servable not found" in done.stderr


@pytest.fixture(scope="module")
def status_server(status_export):
    pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    from model_server import ModelServer, ServedModel

    with ModelServer(ServedModel(status_export.parent)) as running:
        yield running


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_bad_image_fails_no_other(server, status_server, protocol):
    """In one request if the model has a status, otherwise in one for each image."""
    images, exemplars = [encoded(FACES[0]), b"no image", encoded(FACES[1])], [encoded(face) for face in FACES[2:]]
    for running, requests in ((server, 3), (status_server, 1)):
        asked = client(running, protocol)
        assert asked.has_status is (running is status_server)
        before = running.model.requests
        first, bad, last = asked.edit_each(images, exemplars[:1], ["Bangs"])
        assert running.model.requests == before + requests
        assert isinstance(bad, Refused)
        assert str(bad).startswith(getattr(running, protocol))
        assert "image: is not a JPEG" in str(bad)
        assert [first, last] == asked.edit([images[0], images[2]], exemplars[:1], ["Bangs"])
        with pytest.raises(Refused, match="image: is not a JPEG"):
            asked.edit(images, exemplars, ["Bangs", "Smiling"])
    with pytest.raises(Refused, match=r"image: is not a JPEG.* \(image 2 of 3\)"):
        asked.edit(images, exemplars[:1], ["Bangs"])
    with pytest.raises(Refused, match="exemplar 2 of 2: image: is empty"):
        asked.edit_each(images, [exemplars[0], b""], ["Bangs", "Smiling"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_takes_fewer_images_gets_them_one_by_one(status_server, protocol, monkeypatch):
    from model_server import Refused as RefusedThere

    answered, together = status_server.model.predict, []

    def predict(signature, inputs):
        together.append(len(inputs["image"]) if "image" in inputs else 1)
        if together[-1] > 1:
            raise RefusedThere("INVALID_ARGUMENT", "Task size 2 is larger than maximum input batch size 1")
        return answered(signature, inputs)

    monkeypatch.setattr(status_server.model, "predict", predict)
    found = client(status_server, protocol).edit_each([encoded(face) for face in FACES[:2]], [GOOD], ["Bangs"])
    assert together == [1, 2, 1, 1]
    assert [decoded(data).shape for data in found] == [(32, 32, 3)] * 2


def test_the_command_goes_on_after_bad_images(status_server, tiny_editor, tmp_path, capsys, monkeypatch):
    photos, out = tmp_path / "photos", tmp_path / "edited"
    photos.mkdir()
    for name, face in (("a.jpg", FACES[0]), ("d.png", FACES[1]), ("e.gif", FACES[3])):
        Image.fromarray(face).save(photos / name)
    (photos / "b.png").write_bytes(b"no image")
    (photos / "c.png").write_bytes(GOOD)
    (tmp_path / "x.png").write_bytes(GOOD)
    read = serve_client.image_bytes
    # The client reads files before it sends them: only a program of one's own sends what the server cannot read.
    monkeypatch.setattr(serve_client, "image_bytes", lambda path: GOOD[:60] if "c.png" in path else read(path))
    monkeypatch.setattr(serve_client, "TOGETHER", 3)
    words = ["serve-client", "edit", "--server", status_server.rest, "--model", "elegant", "--protocol", "rest"]
    words += ["--input", str(photos), "--exemplar", str(tmp_path / "x.png"), "--attributes", "Bangs", "--out", str(out)]
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out.splitlines() == [str(out / name) for name in ("a.png", "d.png", "e.png")]
    by_client, by_server, summary = told.err.splitlines()
    assert by_client.startswith(f"{photos / 'b.png'}: is not an image")
    assert by_server.startswith(f"{photos / 'c.png'}: {status_server.rest}")
    assert by_server.endswith("image: is a damaged or truncated image: send an intact copy")
    assert summary == "error: 2 of 5 images were not edited; the lines above say why"
    expected = tiny_editor.swap(read_image(photos / "d.png"), read_image(tmp_path / "x.png"), ["Bangs"])
    assert_close(read_image(out / "d.png"), expected)
    assert read_mark(out / "d.png").receipts
    assert not (out / "b.png").exists()
    (photos / "b.png").unlink()
    monkeypatch.setattr(serve_client, "image_bytes", read)
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "c.png")]  # the others are there already
    assert main(words) == 0
    assert main([*words, "--out", str(photos)]) == 2
    assert "is the folder of" in capsys.readouterr().err
    (photos / "d.webp").write_bytes(GOOD)
    assert main(words) == 2
    assert re.search(r"d\.png and .*d\.webp would both become .*d\.png: rename one", capsys.readouterr().err)


class OlderModel:
    """A transport to a model that a version without marks exported."""

    def predict(self, signature, inputs, output, timeout):
        told = {"attributes": ["Hat"], "block_bounds": [0, 8], "step": 4, "elegant_tf": "0.1.0"}
        return {"json": np.array([json.dumps(told).encode()], object)}


def test_the_receipt_of_an_older_model_has_no_hash():
    receipt = Client(OlderModel()).receipt([], ["Hat"], 0.5)
    assert receipt == Receipt("", 4, (), ("Hat",), (0.5,), "0.1.0")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"server": "localhost"}, "--server=localhost: must be host:port"),
        ({"server": "http://localhost:8501"}, "--server=http://localhost:8501: must be host:port"),
        ({"server": "localhost:99999"}, "--server"),
        ({"model": ""}, "--model="),
        ({"version": 1, "label": "stable"}, "--version and --label"),
        ({"ca_file": "x"}, "--ca_file: needs --tls"),
        ({"tls": True, "ca_file": "missing.pem"}, "--ca_file=missing.pem: no such file"),
        ({"tls": True, "cert_file": "x"}, "--cert_file and --key_file"),
    ],
)
def test_impossible_endpoints(fields, message):
    with pytest.raises(UserError, match=message):
        Endpoint(**{"server": "localhost:8500", "model": "elegant", **fields})


@pytest.mark.parametrize("options", [{"timeout": 0.0}, {"timeout": float("nan")}, {"retries": -1}])
def test_impossible_limits(options):
    with pytest.raises(UserError, match=f"--{next(iter(options))}="):
        Client(RestTransport(Endpoint("localhost:1", "elegant")), **options)


def test_grpc_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(UserError, match=r"pip install 'elegant-tf\[serving\]', or ask over --protocol=rest"):
        connect(Endpoint("localhost:1", "elegant"), "grpc")


def orientation(number):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = number
    return exif


def test_images_are_sent_as_servers_decode_them(tmp_path):
    face = Image.fromarray(FACES[2])
    transparent = Image.fromarray(np.dstack([FACES[2], np.full(FACES[2].shape[:2], 128, np.uint8)]))
    face.save(tmp_path / "plain.jpg")
    face.save(tmp_path / "upright.jpg", exif=orientation(1))
    face.save(tmp_path / "rotated.jpg", exif=orientation(8))
    face.save(tmp_path / "broken exif.jpg", exif=b"Exif\0\0MM\0*\xff\xff")
    transparent.save(tmp_path / "transparent.png")
    face.save(tmp_path / "face.tiff")
    face.save(tmp_path / "rotated.png", exif=orientation(3))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "plain.jpg").read_bytes()[:-20])
    for name in ("plain.jpg", "upright.jpg", "broken exif.jpg"):
        assert image_bytes(tmp_path / name) == (tmp_path / name).read_bytes()
    for name in ("rotated.jpg", "rotated.png", "cut.jpg", "transparent.png", "face.tiff"):
        data = image_bytes(tmp_path / name)
        assert data[:4] == b"\x89PNG"
        assert np.array_equal(decoded(data), read_image(tmp_path / name))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    with pytest.raises(BadImage, match=r"bad\.png"):
        image_bytes(tmp_path / "bad.png")


@pytest.mark.parametrize(("name", "number"), [("plain.jpg", 1), ("rotated.jpg", 6), ("face.tiff", 1)])
def test_images_are_decoded_once(tmp_path, monkeypatch, name, number):
    Image.fromarray(FACES[2]).save(tmp_path / name, exif=orientation(number))
    decoded_files, prepare = [], ImageFile.ImageFile.load_prepare
    monkeypatch.setattr(
        ImageFile.ImageFile, "load_prepare", lambda image: decoded_files.append(image) or prepare(image)
    )
    image_bytes(tmp_path / name)
    assert len(decoded_files) == 1
