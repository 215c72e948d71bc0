"""`elegant-tf catalogue`, and the options of other commands that choose from a catalogue, called as a user would."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from elegant_tf.catalogue import Catalogue, Exemplar, read_catalogue
from elegant_tf.cli.exemplars import add_exemplar_options, count_exemplars, find_exemplars, load_exemplars, shown
from elegant_tf.cli.main import main
from elegant_tf.cli.options import add_images, add_run
from elegant_tf.data.align import Face, align_faces
from elegant_tf.errors import UserError
from elegant_tf.images import read_image, resize
from elegant_tf.synthetic import make_face

SIZE = 32
TABLE = "file,name,Eyeglasses,Bangs,Beard\nb.jpg,round,1,0,1\na.png,bare,0,0,1\nc.png,aviator,1,1,1\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images") / "faces"
    (folder / "more").mkdir(parents=True)
    for place, name in enumerate(("a.png", "b.jpg", "c.png", "more/a.png")):
        Image.fromarray(make_face(1, place).draw(40)).save(folder / name)
    (folder.parent / "styles.csv").write_text(TABLE, "utf-8")
    return folder


@pytest.fixture
def call(tiny_run, tmp_path, capsys):
    """Makes a catalogue; returns the status, the path of the catalogue and what was printed."""

    def call(*inputs: Path, options: tuple = (), out="styles.npz", run: Path | None = None):
        given = ["--run", run or tiny_run, "--out", tmp_path / out, "--input", *inputs, *options]
        status = main(["catalogue", *map(str, given)])
        return status, tmp_path / out, capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def styles(tiny_editor, folder) -> Catalogue:
    images = [read_image(folder / name) for name in ("a.png", "b.jpg", "c.png")]
    return tiny_editor.make_catalogue(images, ["bare", "round", "aviator"], {"Eyeglasses": [False, True, True]})


@pytest.fixture
def file(styles, tmp_path) -> Path:
    styles.write(tmp_path / "styles.npz")
    return tmp_path / "styles.npz"


def test_a_catalogue_with_a_table(call, tiny_editor, folder, tmp_path):
    sheet = tmp_path / "sheet.png"
    files = [folder / name for name in ("a.png", "b.jpg", "c.png")]
    status, out, printed = call(*files, options=("--labels_file", folder.parent / "styles.csv", "--sheet", sheet))
    assert (status, printed.out) == (0, f"{out}: 3 exemplars\n{sheet}\n")
    made = read_catalogue(out)
    assert made.labelled == ("Eyeglasses", "Bangs")
    found = {one.name: one.attributes for one in made.exemplars}
    assert found == {"bare": (), "round": ("Eyeglasses",), "aviator": ("Eyeglasses", "Bangs")}
    assert np.array_equal([one.code for one in made.exemplars], tiny_editor.encode(files))
    assert read_image(sheet).min() < 100


def test_a_catalogue_is_printed(file, styles, tmp_path, capsys):
    assert main(["catalogue", "--list", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert styles.model in lines[0]
    assert lines[-2:] == ["  round    Eyeglasses", "  aviator  Eyeglasses"]


def test_a_catalogue_without_labels_and_thumbnails(call, folder):
    status, out, _ = call(folder / "a.png", folder / "more", options=("--nothumbnails", "--image_size", "48"))
    assert status == 0
    made = read_catalogue(out)
    assert (made.names, made.labelled, made.image_size) == (("a", "a-2"), (), 48)
    assert made["a"].thumbnail is None


def test_a_table_of_names_alone(call, folder, tmp_path):
    (tmp_path / "names.tsv").write_text("image\tname\nx/a.png\tfirst\n", "utf-8")
    status, out, _ = call(folder / "a.png", options=("--labels_file", tmp_path / "names.tsv"))
    assert status == 0
    assert (read_catalogue(out).names, read_catalogue(out).labelled) == (("first",), ())


def test_a_table_like_celebas(call, folder, tmp_path):
    (tmp_path / "labels.txt").write_text("2\nBangs Male\nb.jpg -1 1\na.png 1 1\n", "utf-8")
    status, out, _ = call(folder / "a.png", folder / "b.jpg", options=("--labels_file", tmp_path / "labels.txt"))
    assert status == 0
    assert [(one.name, one.attributes) for one in read_catalogue(out).exemplars] == [("a", ("Bangs",)), ("b", ())]


def test_a_classifier_says_which_attributes_there_are(call, folder, tmp_path):
    from elegant_tf.evaluation.classifier import AttributeClassifier

    classifier = AttributeClassifier(["Bangs", "Beard"], 16)
    classifier.save(tmp_path / "classifier")
    files = [folder / name for name in ("a.png", "b.jpg", "c.png")]
    status, out, _ = call(*files, options=("--classifier", tmp_path / "classifier"))
    assert status == 0
    made = read_catalogue(out)
    assert made.labelled == ("Bangs",)
    classifier = AttributeClassifier.load(tmp_path / "classifier")
    expected = classifier.probabilities([resize(read_image(file), SIZE) for file in files])[:, 0] > 0.5
    assert [bool(one.attributes) for one in made.exemplars] == expected.tolist()


def test_faces_are_aligned(call, tiny_editor, folder, monkeypatch):
    points = np.array([[14, 18], [26, 18], [20, 24], [15, 30], [25, 30]], float)

    def detect(image):
        return [] if image.mean() > 254 else [Face(points, 20, 20)]

    monkeypatch.setattr("elegant_tf.data.align.make_detector", lambda: detect)
    status, out, _ = call(folder / "a.png", options=("--align",))
    assert status == 0
    (aligned,) = align_faces(read_image(folder / "a.png"), SIZE, detect)
    assert np.array_equal(read_catalogue(out)["a"].code, tiny_editor.encode(aligned.image)[0])
    Image.new("RGB", (40, 40), "white").save(out.with_name("white.png"))
    status, _, printed = call(out.with_name("white.png"), options=("--align",), out="other.npz")
    assert status == 2
    assert "white.png: no face was found" in printed.err


@pytest.mark.parametrize(
    ("inputs", "options", "table", "message"),
    [
        (["a.png"], ["--image_size", "33"], "", "--image_size=33: must be a multiple of 8"),
        (["a.png"], ["--out", "styles.zip"], "", "styles.zip: expected the name of a catalogue, ending in .npz"),
        (["a.png"], ["--sheet", "sheet.gif"], "", "sheet.gif: cannot write '.gif' images"),
        (["none.png"], [], "", "none.png: no such file"),
        (["a.png"], [], "file,Bangs\nb.jpg,1\n", "has no row for 1 images (a.png)"),
        (["a.png"], [], "file,Beard\na.png,1\n", "has no column Eyeglasses or Bangs or Smiling, nor a column of names"),
        (["a.png"], [], "file,name,Bangs\na.png,x:y,1\n", "without a colon"),
        (["a.png"], [], "file,Bangs,Beard\na.png,maybe,1\n", "Bangs is 'maybe'"),
        (["a.png", "more/a.png"], [], "file,Bangs\na.png,1\n", "--input: has two images 'a.png'"),
        (["a.png"], [], "file,Bangs\na.png,1\nx/a.png,0\n", "has two images 'a.png'"),
        (["a.png"], ["--classifier", "nowhere"], "", "nowhere: cannot read classifier.json"),
    ],
)
def test_wrong_options_are_refused(call, folder, tmp_path, monkeypatch, inputs, options, table, message):
    monkeypatch.chdir(tmp_path)
    if table:
        Path("table.csv").write_text(table, "utf-8")
        options = [*options, "--labels_file", "table.csv"]
    status, out, printed = call(*(folder / name for name in inputs), options=options)
    assert status == 2
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.npz", "--run", "faces"], "--out needs --run, the model, and --input"),
        (["--out", "x.npz", "--run", "nowhere", "--input", "a.png"], "nowhere is not a run directory"),
        (["--list", "nowhere.npz"], "nowhere.npz: no such file"),
        (["--list", "x.npz", "--run", "faces"], "--list only prints a catalogue"),
    ],
)
def test_wrong_calls_are_refused(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["catalogue", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def options(tiny_run, tmp_path):
    """The options of a command that edits, read from a command line."""

    def options(*arguments: object, attributes="Eyeglasses") -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        add_run(parser)
        add_images(parser)
        add_exemplar_options(parser)
        given = ["--run", tiny_run, "--input", "a.png", "--out", "o.png", "--attributes", attributes]
        return parser.parse_args([*map(str, given), "--exemplar", *map(str, arguments)])

    return options


def test_exemplars_by_name_and_by_file(options, file, folder, tiny_editor, styles):
    given = options(f"{file}:round", folder / "a.png", f"{file}:bare")
    found = find_exemplars(given, SIZE)
    assert count_exemplars(found) == 3
    first, image, second = load_exemplars(found, tiny_editor, read_image)
    assert np.array_equal(image, read_image(folder / "a.png"))
    assert (first.name, second.name) == ("round", "bare")
    assert np.array_equal(first.code, styles["round"].code)
    assert np.array_equal(shown(first, 64), styles["round"].thumbnail)
    assert shown(image, SIZE).shape == (SIZE, SIZE, 3)
    assert shown(Exemplar(first.code), SIZE).min() == 255


def test_exemplars_by_chance(options, file, capsys):
    def choose(*more: object) -> str:
        (found,) = find_exemplars(options(file, "--random", *more), SIZE)
        assert capsys.readouterr().err == f"Eyeglasses: exemplar {found.name}\n"
        return found.name

    seeds = [choose("--seed", seed) for seed in range(12)]
    assert seeds == [choose("--seed", seed) for seed in range(12)]
    assert set(seeds) == {"round", "aviator"} == {choose() for _ in range(40)}


def test_exemplars_by_likeness(options, file, folder, tiny_editor, capsys):
    found = find_exemplars(options(file, "--nearest", folder / "c.png", attributes="Eyeglasses,Bangs"), SIZE)
    assert count_exemplars(found) == 2
    exemplars = load_exemplars(found, tiny_editor, read_image)
    assert [one.name for one in exemplars] == ["aviator", "aviator"]
    assert capsys.readouterr().err == "Eyeglasses: exemplar aviator\nBangs: exemplar aviator\n"


def test_all_exemplars_of_catalogues_and_folders(options, file, folder):
    found = find_exemplars(options(file, folder / "more", f"{file}:bare"), SIZE, folders=True)
    names = [Path(one).name if isinstance(one, str) else one.name for one in found]
    assert names == ["bare", "round", "aviator", "a.png", "bare"]


@pytest.mark.parametrize(
    ("arguments", "size", "message"),
    [
        (["FILE:rounds"], SIZE, r"styles\.npz: has no exemplar 'rounds': did you mean round\?"),
        (["FILE"], SIZE, r"styles\.npz: is a catalogue of 3 exemplars: name one, as in .*styles\.npz:bare, or choose"),
        (["FILE:"], SIZE, r"styles\.npz:bare"),
        (["FILE:round"], 64, "images of 32 pixels, not 64"),
        (["FILE:round", "--seed", "1"], SIZE, "--seed=1: is the seed of --random"),
        (["FILE", "--nearest", "a.png", "--seed", "1"], SIZE, "--seed=1: is the seed of --random"),
        (["FILE:round", "--random"], SIZE, "--random: expected one catalogue in --exemplar, without a name"),
        (["a.png", "--nearest", "b.png"], SIZE, r"--nearest: expected one catalogue.*received a\.png"),
        (["faces:round"], SIZE, "faces: is a run without a catalogue"),
    ],
)
def test_wrong_choices_are_refused(options, file, arguments, size, message):
    arguments = [argument.replace("FILE", str(file)) for argument in arguments]
    with pytest.raises(UserError, match=message):
        find_exemplars(options(*arguments), size)


def test_the_catalogue_of_another_model_is_refused(options, file):
    given = options(f"{file}:round")
    given.run = "faces"
    with pytest.raises(UserError, match="holds codes of another model"):
        find_exemplars(given, SIZE)


def test_the_catalogue_of_a_shipped_model_is_listed_by_the_models_name(capsys):
    assert main(["catalogue", "--list", "portraits"]) == 0
    assert "aviator" in capsys.readouterr().out
    assert main(["catalogue", "--list", "faces"]) == 2
    assert "faces: is a run without a catalogue of exemplars" in capsys.readouterr().err
