"""`elegant-tf swap`, `linear`, `matrix` and `grid`, called as a user would."""

from __future__ import annotations

import hashlib
from pathlib import Path

import commands
import numpy as np
import photos
import pytest
from PIL import Image

from elegant_tf.cli.main import main
from elegant_tf.data.landmark_files import read_landmark_file
from elegant_tf.data.landmarks import COLUMNS
from elegant_tf.data.similarity import align
from elegant_tf.images import grid, read_image, resize
from elegant_tf.marks import EDITED, read_mark
from elegant_tf.photos import PhotoEditor
from elegant_tf.synthetic import make_face

SIZE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Drawn faces in several formats, and files that are not images, in a folder with a difficult name."""
    folder = tmp_path_factory.mktemp("images") / "mes photos – été 🙂"
    folder.mkdir()
    face = Image.fromarray(make_face(1, 0).draw(60))
    face.save(folder / "a.png")
    Image.fromarray(make_face(1, 1).draw(40)).save(folder / "b.jpg", quality=95)
    Image.fromarray(make_face(1, 2).draw(50)[:40]).save(folder / "c.webp", lossless=True)
    Image.fromarray(make_face(1, 3).draw(32)).save(folder / "d.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    face.transpose(Image.Transpose.ROTATE_90).save(folder / "turned a.png", exif=exif)
    Image.new("RGB", (1, 1), "red").save(folder / "dot.png")
    (folder / "text.png").write_text("not an image", encoding="utf-8")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def call(tiny_run, folder, tmp_path, capsys):
    """Runs an edit command; returns the status, the output's path and what was printed."""

    def call(command: str, inputs: str, exemplars: str, *options: str, attributes="Bangs", out="out.png"):
        out = tmp_path / out
        files = [["--" + name, *(str(folder / file) for file in given.split("|"))]
                 for name, given in (("input", inputs), ("exemplar", exemplars))]  # fmt: skip
        run = ["--run", str(tiny_run), "--attributes", attributes, "--out", str(out)]
        status = main([command, *files[0], *files[1], *run, *options])
        return status, out, capsys.readouterr()

    return call


def near(first: np.ndarray, second: np.ndarray) -> None:
    assert first.shape == second.shape
    np.testing.assert_allclose(first.astype(int), second.astype(int), atol=1)


def test_swap(call, tiny_editor, folder):
    status, out, printed = call("swap", "a.png", "b.jpg", "--strength", "0.5")
    assert (status, printed.out) == (0, f"{out}\n")
    expected = tiny_editor.swap(read_image(folder / "a.png"), read_image(folder / "b.jpg"), ["Bangs"], 0.5)
    near(read_image(out), expected)


def test_swap_of_several_attributes_and_exemplars(call, tiny_editor, folder):
    options = ("--strength", "-0.5", "2")
    status, out, _ = call("swap", "a.png", "b.jpg|c.webp", *options, attributes="Bangs, Smiling")
    assert status == 0
    exemplars = [read_image(folder / name) for name in ("b.jpg", "c.webp")]
    expected = tiny_editor.swap(read_image(folder / "a.png"), exemplars, ["Bangs", "Smiling"], [-0.5, 2.0])
    near(read_image(out), expected)


@pytest.mark.parametrize("name", ["out.jpg", "out.webp", "new folder – é/out.PNG"])
def test_results_in_other_formats_and_places(call, name):
    status, out, _ = call("swap", "c.webp", "d.png", out=name)
    assert status == 0
    assert read_image(out).shape == (SIZE, SIZE, 3)


def test_exif_orientation_is_respected(call):
    _, upright, _ = call("swap", "a.png", "d.png", out="upright.png")
    _, turned, _ = call("swap", "turned a.png", "d.png", out="turned.png")
    near(read_image(turned), read_image(upright))


def test_one_pixel_and_another_image_size(call):
    status, out, _ = call("swap", "dot.png", "a.png", "--image_size", "48")
    assert status == 0
    assert read_image(out).shape == (48, 48, 3)


def test_linear_is_a_strip_that_begins_with_the_image(call, tiny_editor, folder):
    status, out, _ = call("linear", "a.png", "d.png", "--steps", "3")
    assert status == 0
    image, exemplar = read_image(folder / "a.png"), read_image(folder / "d.png")
    expected = [resize(image, SIZE), *tiny_editor.linear(image, exemplar, ["Bangs"], 3)]
    near(read_image(out), grid(expected, columns=4))


@pytest.mark.parametrize(
    ("exemplars", "attributes", "rows", "cols"),
    [("b.jpg|c.webp|d.png", "Bangs", 2, 3), ("b.jpg|c.webp", "Bangs,Smiling", 1, 1)],
)
def test_matrix(call, tiny_editor, folder, exemplars, attributes, rows, cols):
    options = ("--rows", str(rows), "--cols", str(cols))
    status, out, _ = call("matrix", "a.png", exemplars, *options, attributes=attributes)
    assert status == 0
    images = [read_image(folder / name) for name in exemplars.split("|")]
    expected = tiny_editor.matrix(read_image(folder / "a.png"), images, attributes.split(","), rows, cols)
    near(read_image(out), grid(expected))


def test_grid_has_images_and_exemplars_in_its_margins(call, tiny_editor, folder):
    status, out, _ = call("grid", "a.png|d.png", "b.jpg|c.webp")
    assert status == 0
    names = (["a.png", "d.png"], ["b.jpg", "c.webp"])
    inputs, exemplars = ([read_image(folder / name) for name in row] for row in names)
    edited = tiny_editor.grid(inputs, exemplars, ["Bangs"])
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    left, top = ([resize(image, SIZE) for image in images] for images in (inputs, exemplars))
    near(read_image(out), grid([white, *top, left[0], *edited[0], left[1], *edited[1]], columns=3))


def test_grid_takes_folders(call, folder, tmp_path):
    people = tmp_path / "people"
    people.mkdir()
    for name in ("a.png", "d.png"):
        (people / name).write_bytes((folder / name).read_bytes())
    (people / ".hidden").write_text("", encoding="utf-8")
    for name in (".ipynb_checkpoints", "@eaDir"):
        (people / name).mkdir()
    _, by_name, _ = call("grid", "a.png|d.png", "b.jpg", out="names.png")
    _, by_folder, _ = call("grid", str(people), "b.jpg", out="folder.png")
    near(read_image(by_folder), read_image(by_name))


@pytest.mark.parametrize(
    ("command", "inputs", "exemplars", "options", "message"),
    [
        ("swap", "text.png", "a.png", (), "text.png: is not an image"),
        ("swap", "a.png", "nowhere.png", (), "nowhere.png: no such file"),
        ("swap", "empty", "a.png", (), "empty: is a directory"),
        ("grid", "empty", "a.png", (), "empty: is an empty folder"),
        ("swap", "a.png", "b.jpg|c.webp", (), "2 exemplars for 1 attributes"),
        ("swap", "a.png", "b.jpg", ("--strength", "nan"), "--strength=nan: must be a finite number"),
        ("swap", "a.png", "b.jpg", ("--image_size", "33"), "--image_size=33: must be a multiple of 8"),
        ("swap", "a.png", "b.jpg", ("--attributes", "bang"), "did you mean Bangs"),
        ("swap", "a.png", "b.jpg", ("--attributes", " , "), "--attributes is empty"),
        ("swap", "a.png", "b.jpg", ("--out", "x.txt"), "x.txt: cannot write '.txt'"),
        ("swap", "a.png", "b.jpg", ("--run", "nowhere"), "nowhere is not a run directory"),
        ("linear", "a.png", "b.jpg", ("--steps", "0"), "--steps=0"),
        ("matrix", "a.png", "b.jpg", ("--rows", "2"), "three exemplars"),
        ("matrix", "a.png", "b.jpg|c.webp|d.png", ("--cols", "0"), "--cols=0"),
    ],
)
def test_mistakes_are_named(call, command, inputs, exemplars, options, message):
    status, out, printed = call(command, inputs, exemplars, *options)
    assert status == 2
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert not printed.out
    assert not out.exists()


def test_an_output_is_replaced_only_when_asked(call):
    _, out, _ = call("swap", "a.png", "b.jpg")
    before = out.read_bytes()
    status, _, printed = call("swap", "no such input.png", "b.jpg")  # refused before anything is read
    assert status == 2
    assert "out.png: exists already" in printed.err
    assert out.read_bytes() == before
    assert call("swap", "d.png", "b.jpg", "--overwrite")[0] == 0
    assert out.read_bytes() != before


@pytest.mark.parametrize(("name", "status", "printed"), [("a.png", 0, "x y.png\n"), ("text.png", 2, "")])
def test_in_a_real_process(tiny_run, folder, tmp_path, name, status, printed):
    files = ["--input", str(folder / name), "--exemplar", str(folder / "b.jpg")]
    words = ["--run_dir", str(tiny_run), *files, "--attributes", "Bangs", "--out", "x y.png"]
    done = commands.run(["-m", "elegant_tf", "swap", *words], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, printed), done.stderr
    assert (tmp_path / "x y.png").exists() == (status == 0)
    if status:
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
    else:
        assert read_image(tmp_path / "x y.png").shape == (SIZE, SIZE, 3)


def test_exemplars_of_a_catalogue(call, tiny_editor, folder, tmp_path):
    images = [read_image(folder / name) for name in ("b.jpg", "d.png")]
    tiny_editor.make_catalogue(images, ["b", "d"], {"Bangs": [True, False]}).write(tmp_path / "styles.npz")
    styles = str(tmp_path / "styles.npz")
    _, plain, _ = call("swap", "a.png", "b.jpg")
    for place, (exemplar, *options) in enumerate(
        [(f"{styles}:b",), (styles, "--random"), (styles, "--nearest", str(folder / "b.jpg"))]
    ):
        status, out, printed = call("swap", "a.png", exemplar, *options, out=f"{place}.png")
        assert status == 0, printed.err
        assert np.array_equal(read_image(out), read_image(plain))
    status, out, printed = call("grid", "a.png", styles, out="grid.png")
    assert status == 0, printed.err
    assert read_image(out).shape == (2 * 34 + 2, 3 * 34 + 2, 3)


def test_edited_images_say_so(call, folder):
    _, marked, _ = call("swap", "a.png", "b.jpg", out="marked.png")
    _, again, _ = call("swap", str(marked), "b.jpg", out="again.png")
    _, plain, _ = call("swap", "a.png", "b.jpg", "--nomark", out="plain.png")
    mark = read_mark(marked)
    assert mark.source_type == EDITED
    assert mark.receipts[0].attributes == ("Bangs",)
    assert mark.receipts[0].exemplars == (hashlib.sha256((folder / "b.jpg").read_bytes()).hexdigest(),)
    assert read_mark(again).receipts[0] == mark.receipts[0]
    assert len(read_mark(again).receipts) == 2
    assert read_mark(plain) is None
    assert np.array_equal(read_image(marked), read_image(plain))


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Three photographs with EXIF, two of them in the folder `people`; and their landmarks in a file."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "people").mkdir()
    exif = Image.Exif()
    exif[0x010E] = "caption"
    rows = []
    for index, name in enumerate(("people/a.jpg", "people/b.png", "c.png")):
        image, points = photos.photograph(index)
        Image.fromarray(image).save(folder / name, exif=exif)
        rows.append(" ".join([Path(name).name, *map(str, points.ravel().tolist())]))
    (folder / "points.txt").write_text("\n".join([str(len(rows)), " ".join(COLUMNS), *rows]))
    return folder


def test_photographs_keep_their_size_and_what_their_files_say(call, album, tiny_editor):
    found = ("--align", "--landmarks", str(album / "points.txt"))
    status, out, printed = call("swap", f"{album}/people/a.jpg", f"{album}/c.png", *found, out="out.jpg")
    assert (status, printed.out) == (0, f"{out}\n"), printed.err
    with Image.open(out) as image:
        assert (image.format, image.size, image.getexif()[0x010E]) == ("JPEG", (220, 240), "caption")
    assert read_mark(out).receipts[0].attributes == ("Bangs",)
    _, zero, _ = call("swap", f"{album}/c.png", f"{album}/people/b.png", *found, "--strength", "0", "--nomark")
    assert np.array_equal(read_image(zero), read_image(album / "c.png"))
    assert read_mark(zero) is None
    _, full, _ = call("swap", f"{album}/c.png", f"{album}/people/b.png", *found, "--blend", "add", out="full.tif")
    points = read_landmark_file(album / "points.txt", ["c.png", "b.png"])
    inside = align(read_image(album / "people/b.png"), points[1], SIZE)[0]
    editor = PhotoEditor(tiny_editor, inside, ["Bangs"], blend="add", aligned=True)
    assert np.array_equal(read_image(full), editor.edit_photo(read_image(album / "c.png"), points[0]))


def test_a_folder_of_photographs(call, album):
    options = ("--align", "--landmarks", str(album / "points.txt"))
    status, out, printed = call("swap", f"{album}/people", f"{album}/c.png", *options, out="edited")
    assert (status, printed.out) == (0, f"{out}: 2 photos edited\n"), printed.err
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "b.png"]
    status, _, printed = call("swap", f"{album}/people", f"{album}/c.png", *options, out="edited")
    assert (status, printed.out) == (0, f"{out}: 0 photos edited\n")
    assert "2 of 2 photos are there already, and stay" in printed.err


@pytest.mark.parametrize(
    ("command", "options", "shape"),
    [("linear", ("--steps", "2"), (36, 104, 3)), ("grid", (), (70, 70, 3)), ("matrix", ("--rows", "1"), (36, 172, 3))],
)
def test_sheets_of_aligned_faces(call, album, command, options, shape):
    exemplars = f"{album}/c.png|{album}/people/a.jpg|{album}/people/b.png" if command == "matrix" else f"{album}/c.png"
    found = ("--align", "--landmarks", str(album / "points.txt"))
    status, out, printed = call(command, f"{album}/people/b.png", exemplars, *found, *options)
    assert status == 0, printed.err
    sheet = read_image(out)
    assert sheet.shape == shape
    if command == "grid":
        _, points = photos.photograph(1)
        assert np.array_equal(sheet[36:68, 2:34], align(read_image(album / "people/b.png"), points, SIZE)[0])


@pytest.mark.parametrize(
    ("command", "inputs", "options", "message"),
    [
        ("swap", "c.png", ("--faces", "all"), "--faces=all: needs --align"),
        ("swap", "c.png", ("--blend", "add"), "--blend=add: needs --align"),
        ("swap", "c.png|people/b.png", (), "--input: 2 images; expected one"),
        ("swap", "c.png", ("--align", "--faces", "first"), "--faces=first: expected largest, all, or a number"),
        ("linear", "c.png", ("--align", "--faces", "all"), "--faces=all: this command edits one face"),
        ("swap", "c.png", ("--align", "--faces", "1", "--landmarks", "x"), "--faces=1: --landmarks names one face"),
        ("swap", "c.png", ("--align", "--landmarks", "nowhere.txt"), "--landmarks=nowhere.txt: "),
        ("swap", "points.txt", ("--align",), "points.txt: is not an image"),
        ("swap", "people", ("--align", "--out", "{}/people"), "is the folder of"),
        ("swap", "people|c.png", ("--align", "--out", "{}/c.png"), "--out={}/c.png: "),
        ("swap", "c.png", ("--align", "--out", "x.bmp"), "x.bmp: cannot write '.bmp' photos"),
    ],
)
def test_mistakes_with_photographs_are_named(call, album, command, inputs, options, message):
    files = "|".join(f"{album}/{name}" for name in inputs.split("|"))
    status, out, printed = call(command, files, f"{album}/c.png", *(word.format(album) for word in options))
    assert status == 2
    assert message.format(album) in printed.err
    assert not out.exists()


def test_a_face_that_is_not_there(call, album, tmp_path):
    pytest.importorskip("mtcnn")
    Image.new("RGB", (60, 60)).save(tmp_path / "empty.png")
    status, out, printed = call("swap", str(tmp_path / "empty.png"), f"{album}/c.png", "--align")
    assert status == 2
    assert "empty.png: no face was found in 60 x 60 pixels" in printed.err
    assert not out.exists()
