"""The page of `elegant-tf demo` in a real browser, compared with the package."""

from __future__ import annotations

import base64
import functools
import importlib.util
import io
import json
import shutil
import threading
from pathlib import Path

import commands
import numpy as np
import pytest
from PIL import Image

from elegant_tf.cli.demo import make_server
from elegant_tf.cli.main import main
from elegant_tf.data.similarity import Similarity, fit, target_points, warp
from elegant_tf.editor import Editor
from elegant_tf.export.examples import drawn_examples
from elegant_tf.export.litert import load_signature
from elegant_tf.export.web import export_web
from elegant_tf.images import to_float, to_uint8
from elegant_tf.marks import EDITED, Receipt, read_mark, xmp_packet
from elegant_tf.photos import give_back
from elegant_tf.synthetic import make_face
from elegant_tf.xmp import packet_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
PORTRAITS = commands.ROOT.parent / "shared/portraits"

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="Playwright is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed"),
]

WIDTH = 500  # of each half of `two_people`
SIZE, ATTRIBUTES = 64, ("Eyeglasses", "Bangs", "Mustache", "Smiling", "Wearing_Hat")
NO_FACE = "No face was found in “photo.png”."
MIDDLE = "Take the middle of the photo"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The page with the model `faces`, a catalogue of three people, and a photo to try."""
    folder = tmp_path_factory.mktemp("web") / "site"
    images = [make_face(5, index).draw(SIZE) for index in range(3)]
    labels = {"Eyeglasses": [True, False, True], "Smiling": [False, True, True]}
    catalogue = Editor.load("faces").make_catalogue(images, ["a", "b", "c"], labels)
    examples = functools.partial(drawn_examples, 5, SIZE, 2)
    export_web("faces", folder, catalogue=catalogue, samples=[sample()], load_examples=examples)
    return folder


def sample() -> np.ndarray:
    """A photo whose middle is a face's frame, with a camera's grain."""
    image = np.full((160, 210, 3), 150.0)
    image[:, 25:185] = make_face(6, 0).draw(160)
    return (image + np.random.default_rng(0).normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without its sandbox, which needs rights that containers lack; with a camera that shows a test image.
        options = ["--no-sandbox", "--use-fake-device-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(site):
    with make_server(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def open_page(browser, address):
    """Opens the page; `changed`: other contents of its files; `script` runs before it. Every request is watched."""
    contexts, requests = [], []

    def open_it(changed=None, script="", permissions=(), width=1280):
        context = browser.new_context(viewport={"width": width, "height": 800}, permissions=list(permissions))
        contexts.append(context)
        context.on("request", lambda request: requests.append(request.url))
        page = context.new_page()
        page.set_default_timeout(60_000)
        if script:
            page.add_init_script(script)
        for name, content in (changed or {}).items():
            page.route(address + name, lambda route, _, content=content: route.fulfill(**content))
        page.goto(address)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert requests
    assert [url for url in requests if not url.startswith((address, "blob:", "data:"))] == []


@pytest.fixture
def page(open_page):
    page = open_page()
    page.wait_for_selector("body[data-state=ready]")
    return page


def png(image) -> dict:
    """A PNG file for a file input."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return {"name": "photo.png", "mimeType": "image/png", "buffer": file.getvalue()}


def photograph(width=150, height=120) -> np.ndarray:
    """A smooth image with a face's colours, but no face."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    image = np.stack([200 * x + 30, 90 + 60 * y, 160 - 80 * x * y], axis=-1)
    return (image + np.random.default_rng(0).normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)


def open_sample(page) -> None:
    page.get_by_role("button", name="Drawn face 1").press("Enter")
    wait_for_edit(page)


def wait_for_edit(page) -> None:
    page.wait_for_selector("#viewer[aria-busy=false]")


def set_slider(page, attribute, value) -> None:
    page.get_by_label(f"{attribute}: strength").fill(str(value))


def pixels_of(page, canvas) -> np.ndarray:
    wait_for_edit(page)
    address = page.evaluate("canvas => canvas.toDataURL()", page.query_selector(canvas))
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def middle(image) -> Similarity:
    """From an image to the frame that is its centred square."""
    height, width = image.shape[:2]
    scale = SIZE / min(height, width)
    left, top = (width - min(height, width)) // 2, (height - min(height, width)) // 2
    return Similarity(complex(scale), scale * (0.5 + 0.5j - complex(left, top)) - (0.5 + 0.5j))


def signature(site, name):
    return load_signature(site / "model.tflite", name, 1)


def expected_edit(site, image, edits) -> np.ndarray:
    """What LiteRT in Python and `photos` make of an image.

    `edits`: by attribute, an exemplar of the catalogue by its name, or a code, and the strength.
    """
    edit = signature(site, "edit_with_code")
    described = json.loads((site / "model.json").read_text("utf-8"))
    names = [one["name"] for one in described["catalogue"]]
    codes = np.fromfile(site / "codes.bin", "<f4").reshape(len(names), 4, 4, -1)
    code, weights = np.zeros((1, *codes.shape[1:]), np.float32), np.zeros((1, len(ATTRIBUTES)), np.float32)
    for attribute, (exemplar, strength) in edits.items():
        place = ATTRIBUTES.index(attribute)
        block = slice(*described["block_bounds"][place : place + 2])
        taken = codes[names.index(exemplar)] if isinstance(exemplar, str) else exemplar
        code[..., block], weights[0, place] = taken[..., block], strength
    similarity = middle(image)
    face = warp(image, similarity, SIZE, SIZE)
    edited, reconstructed = (
        to_uint8(edit(image=to_float(face[None]), code=code, weights=share)["edited"][0])
        for share in (weights, 0 * weights)
    )
    result = image.copy()
    give_back(result, face, edited, reconstructed, similarity)
    return result


def difference(one, other) -> int:
    return int(np.abs(one.astype(int) - other).max())


REFUSED = """new Promise((done) => {
    globalThis.addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective));
    fetch("https://elsewhere.example/").catch(() => {});
})"""


def test_neither_the_page_nor_its_worker_may_send_anything_elsewhere(page):
    assert [place.evaluate(REFUSED) for place in (page, *page.workers)] == ["connect-src"] * 2


def test_exemplars_are_offered_for_what_they_have_and_what_is_not_labelled(page):
    open_sample(page)
    for attribute, offered in {"Eyeglasses": ["a", "c", "without, as b"], "Bangs": ["a", "b", "c"]}.items():
        radios = page.get_by_role("group", name=attribute).get_by_role("radio").all()
        assert [one.get_attribute("aria-label") for one in radios] == offered


def test_edits_are_those_of_the_package_and_downloads_are_marked(page, site, tmp_path, capsys):
    image = sample()
    open_sample(page)
    assert difference(pixels_of(page, "#after"), image) == 0
    assert page.locator("#save").is_disabled()
    page.get_by_role("group", name="Eyeglasses").get_by_label("c", exact=True).check()
    set_slider(page, "Eyeglasses", 1.5)
    page.get_by_role("group", name="Smiling").get_by_label("b", exact=True).check()
    set_slider(page, "Smiling", 0.75)
    shown = pixels_of(page, "#after")
    expected = expected_edit(site, image, {"Eyeglasses": ("c", 1.5), "Smiling": ("b", 0.75)})
    assert difference(expected, image) > 50
    assert difference(shown, expected) <= 2
    assert difference(pixels_of(page, "#before"), image) == 0
    for kind, suffix in (("image/png", ".png"), ("image/jpeg", ".jpg")):
        page.select_option("#format", kind)
        with page.expect_download() as download:
            page.click("#save")
        assert download.value.suggested_filename == f"face-1-edited{suffix}"
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert difference(np.asarray(Image.open(file).convert("RGB")), expected) <= (2 if suffix == ".png" else 40)
        assert main(["inspect", str(file), "--json"]) == 0
        check_mark(json.loads(capsys.readouterr().out)[0], site, file)
    page.click("#reset")
    assert difference(pixels_of(page, "#after"), image) == 0


def check_mark(found, site, file) -> None:
    described = json.loads((site / "model.json").read_text("utf-8"))
    assert found["digital_source_type"] == EDITED
    receipt = Receipt(
        model=described["model_sha256"],
        step=described["step"],
        exemplars=(described["catalogue"][2]["sha256"], described["catalogue"][1]["sha256"]),
        attributes=("Eyeglasses", "Smiling"),
        strength=(1.5, 0.75),
    )
    assert read_mark(file).receipts == (receipt,)
    with Image.open(file) as image:
        image.load()
        assert packet_of(image) == xmp_packet(receipt)


def test_an_exemplar_from_a_second_photo(page, site):
    open_sample(page)
    other = photograph()
    page.get_by_label("Smiling: take it from another photo").set_input_files(png(other))
    page.get_by_role("alert").get_by_text(NO_FACE).wait_for()
    page.get_by_role("button", name=MIDDLE).click()
    page.get_by_role("group", name="Smiling").get_by_label("photo", exact=True).wait_for()
    assert page.get_by_label("Smiling: strength").input_value() == "1"
    code = signature(site, "encode")(image=to_float(warp(other, middle(other), SIZE, SIZE)[None]))["code"]
    expected = expected_edit(site, sample(), {"Smiling": (code, 1.0)})
    assert difference(expected, sample()) > 20
    assert difference(pixels_of(page, "#after"), expected) <= 2


def test_by_keyboard_alone(page, site):
    open_sample(page)
    page.get_by_role("group", name="Eyeglasses").get_by_label("a", exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("group", name="Eyeglasses").get_by_label("c", exact=True).is_checked()
    page.get_by_label("Eyeglasses: strength").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expected = expected_edit(site, sample(), {"Eyeglasses": ("c", 0.9)})
    assert difference(pixels_of(page, "#after"), expected) <= 2
    page.locator("#wipe").press("End")
    assert page.evaluate("getComputedStyle(document.getElementById('after')).clipPath") == "inset(0px 0px 0px 100%)"


TEXT = {"name": "notes.png", "mimeType": "image/png", "buffer": b"not an image"}


def test_what_is_no_photo_is_refused_in_words(page):
    for file, expected in (
        (TEXT, "“notes.png” is damaged, or an image of a kind that this browser can read"),
        ({**TEXT, "mimeType": "text/plain"}, "“notes.png” is not an image that this browser can read"),
        ({**TEXT, "buffer": b""}, "“notes.png” is empty."),
        (png(photograph()), NO_FACE),
    ):
        page.set_input_files("#file", file)
        page.get_by_role("alert").get_by_text(expected).wait_for()


@pytest.mark.parametrize(
    ("changed", "script", "expected"),
    [
        ({"model.tflite": {"body": b"not a model"}}, "", "The model cannot be loaded: it is not a TFLite file."),
        ({"model.tflite": {"status": 404}}, "", "model.tflite cannot be loaded (404"),
        ({"model.tflite": {"body": b"\x1c\0\0\0TFL3" + bytes(90)}}, "", "The model cannot be loaded: it is damaged"),
        ({"codes.bin": {"body": bytes(12)}}, "", "codes.bin and model.json are not of one catalogue."),
        ({}, "delete globalThis.WebAssembly", "This browser lacks WebAssembly"),
    ],
)
def test_a_page_that_cannot_start_says_why(open_page, changed, script, expected):
    page = open_page(changed, script)
    page.get_by_role("alert").get_by_text(expected).wait_for()
    assert not page.locator("#loading").is_visible()
    assert not page.get_by_role("button").all()


def test_the_camera(open_page):
    page = open_page()
    page.wait_for_selector("body[data-state=ready]")
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("alert").get_by_text("The camera was refused.").wait_for()
    page.context.grant_permissions(["camera"])
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the photo").click()
    page.get_by_role("alert").get_by_text("No face was found in “camera.png”.").wait_for()


def test_a_photo_beyond_memory_is_reduced_and_the_page_says_so(open_page):
    page = open_page(script="Object.defineProperty(navigator, 'deviceMemory', {get: () => 2})")
    page.wait_for_selector("body[data-state=ready]")
    file = io.BytesIO()
    Image.new("RGB", (5000, 4000), "grey").save(file, "JPEG")
    page.set_input_files("#file", {**png(photograph()), "mimeType": "image/jpeg", "buffer": file.getvalue()})
    page.get_by_role("button", name=MIDDLE).click()
    wait_for_edit(page)
    text = page.locator("#status").inner_text()
    assert "20 megapixels" in text
    assert "4579 × 3663 pixels" in text


def test_it_fits_a_narrow_screen(open_page):
    page = open_page(width=360)
    page.wait_for_selector("body[data-state=ready]")
    open_sample(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


# As texts: Playwright takes long for lists of numbers.
ALIGN = """async (text) => {
    const {data} = (await import("./pixels.js")).align(...JSON.parse(text));
    return JSON.stringify([...data]);
}"""
GIVE_BACK = """async (text) => {
    const {layerOf, giveBack} = await import("./pixels.js");
    const [part, face, edited, reconstructed, size, similarity] = JSON.parse(text);
    part.data = Uint8ClampedArray.from(part.data);
    giveBack(part, layerOf(face, edited, reconstructed, size), similarity);
    return JSON.stringify([...part.data]);
}"""


def test_frames_are_taken_and_given_back_as_by_the_package(page):
    """To the bit, and to a rounding."""
    for scale, degrees in ((0.14, 25), (0.3, 0), (0.4, 25), (0.7, 25), (1.9, 0), (1.9, 25)):
        check_pixels(page, Similarity(complex(scale * np.exp(1j * np.deg2rad(degrees))), -5.5 + 3.25j))


def check_pixels(page, similarity) -> None:
    random = np.random.default_rng(0)
    image, size = random.integers(0, 256, (70, 60, 4)).astype(np.uint8), 24
    there = {"data": image.ravel().tolist(), "width": 60, "height": 70, "channels": 4}
    parts = dict(zip("abxy", np.array([similarity.scale, similarity.shift]).view(float).tolist(), strict=True))
    face = np.array(json.loads(page.evaluate(ALIGN, json.dumps([there, parts, size]))), np.uint8)
    face = face.reshape(size, size, 3)
    assert difference(face, warp(image[..., :3].copy(), similarity, size, size)) == 0
    edited, reconstructed = (np.clip(face + random.normal(0, 15, face.shape), 0, 255).astype(np.uint8) for _ in "ab")
    flat = [one.ravel().tolist() for one in (face, edited, reconstructed)]
    found = json.loads(page.evaluate(GIVE_BACK, json.dumps([there, *flat, size, parts])))
    expected = image[..., :3].copy()
    give_back(expected, face, edited, reconstructed, similarity)
    assert difference(expected, image[..., :3]) > 5
    assert difference(np.array(found).reshape(image.shape)[..., :3], expected) <= 1


DETECT = """async (size) => {
    const names = ["engine", "photo", "detector"];
    const [{Engine}, {Photo}, {frameOf}] = await Promise.all(names.map((name) => import(`./${name}.js`)));
    const load = async (name) => (await fetch(name)).arrayBuffer();
    const engine = new Engine();
    const finderBytes = await load("vendor/face_detection_short_range.tflite");
    await engine.call("start", {bytes: await load("model.tflite"), finderBytes});
    const photo = await Photo.open(new File([await load("photo.png")], "photo.png"));
    const faces = await engine.call("detect", {image: photo.viewPart()});
    return faces.map(({points}) => frameOf(points, size));
}"""


def distances(page, content, points) -> list[float]:
    """How far the corners of the frames of 128 pixels that the page finds in a photo are from those of `align`."""
    page.unroute("**/photo.png")
    page.route("**/photo.png", lambda route: route.fulfill(body=content))
    corners = np.array([[0, 0], [127, 0], [0, 127], [127, 127]])
    found = []
    for frame, expected in zip(page.evaluate(DETECT, 128), points, strict=True):
        there = fit(expected, target_points(128)).inverse().points(corners)
        here = Similarity(complex(frame["a"], frame["b"]), complex(frame["x"], frame["y"])).points(there)
        found.append(float(np.linalg.norm(here - corners, axis=1).mean()))
    return found


def two_people() -> tuple[np.ndarray, list[np.ndarray]]:
    """A photo of two drawn people, the larger on the left and the smaller turned, and their landmarks `[5, 2]`."""
    halves, points = [], []
    for index, scale, degrees in ((1, 0.7, 0), (2, 0.5, 20)):
        face = make_face(9, index)
        to_photo = Similarity(scale * np.exp(1j * np.deg2rad(degrees)), 100 + 40j)
        points.append(to_photo.points(face.landmarks(512) - 0.5) + (WIDTH * len(halves), 0))
        halves.append(warp(face.draw(512), to_photo, WIDTH, 500))
    return np.concatenate(halves, axis=1), points


def test_frames_are_nearly_those_of_align(page):
    image, points = two_people()
    assert max(distances(page, png(image)["buffer"], points)) < 12  # the detector knows photos, not drawings


def test_the_largest_face_is_edited_unless_another_is_chosen(page):
    image, _ = two_people()
    page.set_input_files("#file", png(image))
    page.get_by_role("group", name="Eyeglasses").get_by_label("a", exact=True).check()
    for number in (1, 2):
        page.get_by_label(f"Face {number} of 2, by size").check()
        changed = np.abs(pixels_of(page, "#after").astype(int) - image).max(axis=(0, 2)) > 3
        assert changed[:WIDTH].any() == (number == 1)
        assert changed[WIDTH:].any() == (number == 2)


# Where MTCNN finds the five points.
POINTS_OF_PORTRAITS = {
    "female_00.jpg": [[410, 386], [548, 382], [478, 460], [414, 506], [546, 502]],
    "female_52.jpg": [[398, 376], [568, 362], [482, 488], [426, 552], [584, 540]],
    "male_00.jpg": [[444, 402], [638, 396], [542, 512], [462, 602], [624, 598]],
}


@pytest.mark.skipif(not PORTRAITS.is_dir(), reason="there are no portraits")
def test_frames_of_portraits_are_nearly_those_of_align(page):
    for name, points in POINTS_OF_PORTRAITS.items():
        assert max(distances(page, (PORTRAITS / name).read_bytes(), [np.array(points, float)])) < 6, name
