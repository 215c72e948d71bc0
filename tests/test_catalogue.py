from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from elegant_tf.catalogue import (
    Catalogue,
    Exemplar,
    find_catalogue,
    names_of,
    read_catalogue,
    split_reference,
)
from elegant_tf.errors import UserError
from elegant_tf.marks import model_hash
from elegant_tf.presets import preset
from elegant_tf.rundir import PACKED_FILE, read_model, write_config

ATTRIBUTES = ("Eyeglasses", "Smiling")
SIZE = 32


def make(names=("round", "aviator", "bare"), labels=("Eyeglasses", "Eyeglasses", ""), **changed) -> Catalogue:
    random = np.random.default_rng(0)
    exemplars = tuple(
        Exemplar(
            random.normal(size=(1, 1, 4)).astype(np.float32),
            name,
            "0" * 64,
            (label,) if label else (),
            random.integers(0, 256, (8, 8, 3), dtype=np.uint8),
        )
        for name, label in zip(names, labels, strict=True)
    )
    fields = {"exemplars": exemplars, "model": "0" * 64, "step": 7, "image_size": SIZE, "attributes": ATTRIBUTES}
    return Catalogue(**{**fields, "block_bounds": (0, 2, 4), "labelled": ("Eyeglasses",), **changed})


@pytest.fixture
def run(tmp_path) -> Path:
    """What identifies a packed run: its configuration and its weights."""
    run = tmp_path / "run"
    write_config(preset("official", attributes=ATTRIBUTES, image_size=SIZE, width=2), run)
    np.savez(run / PACKED_FILE, step=7)
    return run


def rewrite(path: Path, **changed) -> None:
    """Changes values in a catalogue's metadata; None removes one."""
    with np.load(path) as arrays:
        held = dict(arrays)
    metadata = {**json.loads(str(held["metadata"])), **changed}
    held["metadata"] = np.array(json.dumps({name: value for name, value in metadata.items() if value is not None}))
    np.savez(path, **held)


@pytest.mark.parametrize("thumbnails", [True, False])
def test_what_is_written_is_read(tmp_path, thumbnails):
    made = make()
    if not thumbnails:
        bare = tuple(dataclasses.replace(one, thumbnail=None) for one in made.exemplars)
        made = dataclasses.replace(made, exemplars=bare)
    made.write(tmp_path / "new/styles.npz")
    found = read_catalogue(tmp_path / "new/styles.npz")
    for name in ("model", "step", "image_size", "attributes", "block_bounds", "labelled", "names"):
        assert getattr(found, name) == getattr(made, name)
    for one, other in zip(made.exemplars, found.exemplars, strict=True):
        assert (one.name, one.model, one.attributes) == (other.name, other.model, other.attributes)
        assert other.code.dtype == np.float32
        assert np.array_equal(one.code, other.code)
        assert np.array_equal(one.thumbnail, other.thumbnail) if thumbnails else other.thumbnail is None


def test_equal_catalogues_are_equal_files(tmp_path):
    for name in ("a.npz", "b.npz"):
        make().write(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_is_replaced_only_if_asked_for(tmp_path):
    make().write(tmp_path / "styles.npz")
    with pytest.raises(UserError, match=r"styles\.npz: exists already"):
        make().write(tmp_path / "styles.npz")
    make(names=("a", "b", "c")).write(tmp_path / "styles.npz", overwrite=True)
    assert read_catalogue(tmp_path / "styles.npz").names == ("a", "b", "c")
    with pytest.raises(UserError, match=r"ending in \.npz"):
        make().write(tmp_path / "styles.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["styles.npz"]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)


def other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "hello")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_text("hello"), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:700]), "is damaged"),
        (damage, "is damaged"),
        (other_archive, "is not a catalogue"),
        (lambda path: np.savez(path, codes=np.zeros(3)), "is not a catalogue"),
        (lambda path: rewrite(path, kind="another"), "is not a catalogue"),
        (lambda path: rewrite(path, version=2), "is of version 2, and this elegant_tf reads version 1"),
        (lambda path: rewrite(path, exemplars=None), "is damaged"),
        (lambda path: rewrite(path, exemplars=[]), "is damaged"),
        (lambda path: rewrite(path, exemplars=[{"name": 1, "attributes": []}] * 3), "is damaged"),
        (lambda path: rewrite(path, step="late"), "is damaged"),
        (lambda path: rewrite(path, labelled=["Beard"]), "must be labelled with the model's attributes"),
        (lambda path: rewrite(path, block_bounds=[0, 2, 5]), "must split 4 channels"),
    ],
)
def test_wrong_files_are_refused(tmp_path, change, message):
    path = tmp_path / "styles.npz"
    make().write(path)
    change(path)
    with pytest.raises(UserError, match=rf"styles\.npz: .*{message}|styles\.npz: {message}"):
        read_catalogue(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"names": ("a", "b", "a")}, "two exemplars 'a'"),
        ({"names": ("a", "b", "c:d")}, "without a colon"),
        ({"names": ("a", "b", " ")}, "without a colon"),
        ({"names": ("a", "b", "c\n")}, "printable"),
        ({"exemplars": ()}, "holds no exemplars"),
        ({"exemplars": (Exemplar(np.full((1, 1, 4), np.nan, np.float32), "a"),)}, "finite"),
        ({"exemplars": (Exemplar(np.zeros((1, 1, 4)), "a"),)}, "float32"),
        ({"exemplars": (Exemplar(np.zeros((1, 1, 4), np.float32), "a", thumbnail=np.zeros((2, 2))),)}, "thumbnails"),
        ({"labels": ("Beard", "", "")}, "labelled with the model's attributes"),
    ],
)
def test_wrong_exemplars_are_refused(changed, message):
    with pytest.raises(UserError, match=message):
        make(**changed)


def test_exemplars_are_found_by_name():
    made = make(names=("round", "Café", "bare"))
    assert made["round"] is made.exemplars[0]
    assert made["Café"] is made.exemplars[1]  # written with a combining accent
    with pytest.raises(UserError, match=r"has no exemplar 'Rounds': did you mean round\?"):
        made["Rounds"]
    with pytest.raises(UserError, match=r"has no exemplar 'xyzxyz': it has round, Café, bare$"):
        made["xyzxyz"]


def test_a_seed_chooses_among_those_that_have_the_attribute():
    made = make()
    chosen = [made.choose(["Eyeglasses"], seed)[0].name for seed in range(20)]
    assert chosen == [made.choose(["Eyeglasses"], seed)[0].name for seed in range(20)]
    assert set(chosen) == {"round", "aviator"}
    for attribute, message in (("Smiling", "does not say which exemplars have Smiling"), ("Beard", "unknown")):
        with pytest.raises(UserError, match=message):
            made.choose([attribute], 0)
    with pytest.raises(UserError, match="has no exemplar with Eyeglasses"):
        make(labels=("", "", "")).choose(["Eyeglasses"], 0)


def test_the_nearest_is_so_in_the_channels_of_the_attribute():
    made = make()
    first, second, third = (one.code for one in made.exemplars)
    code = np.concatenate([second[..., :2], first[..., 2:]], axis=-1)
    assert [one.name for one in made.nearest(code, ["Smiling", "Eyeglasses"])] == ["round", "aviator"]
    # The third has no eyeglasses, as the catalogue knows, and may still be the nearest in another attribute.
    nearest = made.nearest(third, ["Eyeglasses", "Smiling"])
    assert nearest[0].name != "bare" == nearest[1].name
    with pytest.raises(UserError, match=r"holds codes \[1, 1, 4\]"):
        made.nearest(code[..., :3], ["Smiling"])


def test_it_fits_the_model_that_encoded_it(run):
    model = read_model(run)
    right, step = model_hash(run)
    assert step == 7
    make(model=right).check_fits(run, model, SIZE)
    with pytest.raises(UserError, match=r"another model.*elegant-tf catalogue --run"):
        make().check_fits(run, model, SIZE)
    with pytest.raises(UserError, match="images of 32 pixels, not 64: give --image_size 32"):
        make(model=right).check_fits(run, model, 64)
    with pytest.raises(UserError, match="flip_tta"):
        make(model=right).check_fits(run, dataclasses.replace(model, flip_tta=True), SIZE)


def test_references(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    for name in ("styles.npz", "a:b.npz"):
        make().write(name)
    Path("photo: me.jpg").write_bytes(b"\xff\xd8")
    Path("styles.npz:odd.png").write_bytes(b"")
    expected = {
        "styles.npz": ("styles.npz", ""),
        "styles.npz:round": ("styles.npz", "round"),
        "a:b.npz:round": ("a:b.npz", "round"),
        "a:b.npz": ("a:b.npz", ""),
        "styles.npz:": ("styles.npz", ""),
        "photo: me.jpg": None,
        "styles.npz:odd.png": None,
        "C:\\photos\\me.jpg": None,
        "nowhere.npz:round": None,
        "nowhere.png": None,
        ":round": None,
    }
    for text, reference in expected.items():
        assert split_reference(text) == (reference and (Path(reference[0]), reference[1])), text


def test_the_catalogue_of_a_run_is_named_like_the_run(tmp_path, monkeypatch, run):
    monkeypatch.setattr("elegant_tf.rundir.SHIPPED", tmp_path)
    for place in ("run", str(run)):
        with pytest.raises(UserError, match="is a run without a catalogue"):
            split_reference(f"{place}:round")
    make().write(run / "exemplars.npz")
    for place in ("run", str(run)):
        assert find_catalogue(place) == run / "exemplars.npz"
        assert split_reference(f"{place}:round") == (run / "exemplars.npz", "round")
    assert find_catalogue("other") is None
    (tmp_path / "elsewhere/run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert split_reference("run") is None  # a folder of images
    assert split_reference("run:round") == (run / "exemplars.npz", "round")


def test_names_are_made_of_files():
    files = ["a/x.png", "b/x.jpg", "b/x-2.png", "12:30\n.png", "d.tar.gz"]
    names = names_of(files)
    assert names == ["x", "x-2", "x-2-2", "12-30-", "d.tar"]
    make(names=names[:3])
