"""Photo in, photo out: what changes in a photograph, and what stays."""

from __future__ import annotations

import hashlib

import numpy as np
import photos
import pytest
from PIL import Image

from elegant_tf.catalogue import Exemplar
from elegant_tf.data.align import Face
from elegant_tf.data.similarity import Similarity, align, target_points
from elegant_tf.errors import UserError
from elegant_tf.images import read_image, resize, write_image
from elegant_tf.photos import BLENDS, FaceFinder, PhotoEditor, edit_photo, give_back
from elegant_tf.synthetic import make_counterfactuals

SIZE = 64
SHAPES = [(3, np.uint8), (1, np.uint8), (2, np.uint8), (4, np.uint8), (1, np.uint16)]


class Painter:
    """An editor that paints the middle of a face blue, and reconstructs badly."""

    image_size = SIZE

    def swap(self, face, exemplars, attributes, strength):
        assert all(isinstance(one, Exemplar) or one.shape == (SIZE, SIZE, 3) for one in exemplars)
        painted = face.astype(float) // 2  # what is wrong with every result must not go back
        painted[20:44, 20:44] += np.multiply(strength, [-20, 10, 80])
        return painted.clip(0, 255).astype(np.uint8)


def detector(*points):
    """Finds faces with these points, as large as their eyes are apart."""
    return lambda image: [Face(one, float(one[1, 0] - one[0, 0]), 1.0) for one in points]


def editor(*points, strength=1.0, **options):
    return PhotoEditor(
        Painter(), Exemplar(np.zeros((1, 1, 1))), ["Bangs"], strength, detect=detector(*points), **options
    )


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def outside(shape, *points):
    """Where no face's frame is, bool `[H, W]`."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    places = np.stack([x, y], axis=-1)
    inside = np.zeros(shape[:2], bool)
    for one in points:
        _, similarity = align(np.zeros((*shape[:2], 3), np.uint8), one, SIZE)
        inside |= ((similarity.points(places) >= 0) & (similarity.points(places) <= SIZE - 1)).all(axis=-1)
    return ~inside


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("name", ["png", "tif", "webp"])
def test_strength_0_and_pixels_outside_the_frame_stay_to_the_bit(tmp_path, name, blend):
    image, points = photos.photograph(0)
    path, out = tmp_path / f"a.{name}", tmp_path / f"b.{name}"
    Image.fromarray(image).save(path, **({"lossless": True} if name == "webp" else {}))
    editor(points, strength=0.0, blend=blend).edit_file(path, out)
    assert digest(read_image(out)) == digest(image)
    editor(points, blend=blend).edit_file(path, out, overwrite=True)
    edited, kept = read_image(out), outside(image.shape, points)
    assert 0.2 < kept.mean() < 0.8
    assert digest(edited[kept]) == digest(image[kept])
    middle = np.rint(points.mean(axis=0)).astype(int)
    assert abs(edited.astype(int) - image)[middle[1], middle[0]].max() > 40


@pytest.mark.parametrize(("channels", "dtype"), SHAPES)
def test_all_kinds_of_pixels(tmp_path, channels, dtype):
    """A grey photo stays grey, alpha stays, and 16 bits are used."""
    image, points = photos.photograph(0)
    scale = 257 if dtype == np.uint16 else 1
    pixels = (image if channels > 2 else image[..., 1:2]).astype(dtype) * scale
    if channels in (2, 4):
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 200)], axis=-1)
    if dtype == np.uint16:
        pixels += np.random.default_rng(0).integers(0, 200, pixels.shape, dtype)
    Image.fromarray(pixels.squeeze()).save(tmp_path / "a.png")
    editor(points).edit_file(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as written:
        edited = np.array(written).astype(dtype).reshape(pixels.shape)
    kept = outside(image.shape, points)
    assert np.array_equal(edited[kept], pixels[kept])
    if channels in (2, 4):
        assert np.array_equal(edited[..., -1], pixels[..., -1])
    middle = np.rint(points.mean(axis=0)).astype(int)
    near = (edited.astype(int) - pixels)[middle[1] - 3 : middle[1] + 4, middle[0] - 3 : middle[0] + 4, : -1 or None]
    change = {1: [9], 2: [9], 3: [-20, 10, 80], 4: [-20, 10, 80]}[channels][: near.shape[-1]]
    if near.shape[-1]:
        np.testing.assert_allclose(np.median(near, axis=(0, 1)) / scale, change, atol=12)


def test_the_face_of_a_large_photo_is_edited_at_its_resolution():
    """What goes back is the change: the photo's own detail stays beneath it."""
    image, points = photos.photograph(1)
    large = np.array(Image.fromarray(image).resize((880, 960), Image.Resampling.NEAREST))
    edited = editor((points + 0.5) * 4 - 0.5, blend="add").edit_photo(large)
    assert edited.shape == large.shape
    difference = edited.astype(int) - large
    x, y = np.rint((points.mean(axis=0) + 0.5) * 4).astype(int)
    unclipped = difference[y - 20 : y + 20, x - 20 : x + 20, 1]
    assert unclipped.std() < 2
    assert large[y - 20 : y + 20, x - 20 : x + 20, 1].std() > 3


def test_detail_is_best():
    """Against the exact target at 256 pixels, of an edit that is perfect at 64 pixels."""
    missing, strayed = dict.fromkeys(BLENDS, 0.0), dict.fromkeys(BLENDS, 0.0)
    scale = SIZE / 256
    similarity = Similarity(scale, complex(1, 1) * (scale - 1) / 2)
    for pair in make_counterfactuals(3, 6, ["Eyeglasses"]):
        image, target = (face.draw(256).astype(int) for face in (pair.input, pair.target))
        faces = [resize(one.astype(np.uint8), SIZE) for one in (image, target)]
        changed = (image != target).any(axis=-1)
        for blend in BLENDS:
            pixels = image.astype(np.uint8)
            give_back(pixels, faces[0], faces[1], faces[0], similarity, blend)
            missing[blend] += abs(pixels - target)[changed].sum()
            strayed[blend] += abs(pixels - image)[~changed].sum()
    assert missing["detail"] < min(missing["add"], missing["paste"])
    assert strayed["detail"] < 0.5 * strayed["paste"]


@pytest.mark.parametrize("shift", [(-80, -70), (90, 100), (400, 0)])
def test_faces_at_the_border(shift):
    """Also one whose frame lies outside the photo."""
    image, points = photos.photograph(0)
    moved = points + shift
    edited = editor(moved).edit_photo(image)
    kept = outside(image.shape, moved)
    assert np.array_equal(edited[kept], image[kept])
    assert np.array_equal(edited, image) == bool(kept.all())


def test_parts_of_a_large_photo_fit_together(monkeypatch):
    image, points = photos.photograph(2)
    whole = editor(points).edit_photo(image)
    monkeypatch.setattr("elegant_tf.photos._AT_ONCE", 1000)
    assert np.array_equal(editor(points).edit_photo(image), whole)


def test_which_faces_are_edited():
    image, points = photos.photograph(0)
    both = np.concatenate([image, image], axis=1)
    found = (points, points + (image.shape[1], 0))
    one = editor(points).edit_photo(image)
    for faces, expected in (("largest", (one, image)), ("1", (image, one)), ("all", (one, one))):
        edited = editor(*found, faces=faces).edit_photo(both)
        assert np.array_equal(edited, np.concatenate(expected, axis=1)), faces
    with pytest.raises(UserError, match="--faces=2: 2 faces were found"):
        editor(*found, faces="2").edit_photo(both)
    for options, said in (({"faces": "first"}, "--faces=first: expected"), ({"blend": "mix"}, "--blend=mix: expected")):
        with pytest.raises(UserError, match=said):
            editor(*found, **options)


def test_overlapping_frames_are_edited_one_after_the_other():
    image, points = photos.photograph(0)
    near = points + (40, 0)
    step = editor(near).edit_photo(editor(points).edit_photo(image))
    assert np.array_equal(editor(points, near, faces="all").edit_photo(image), step)


def test_landmarks_take_the_place_of_the_detector(tmp_path):
    image, points = photos.photograph(0)
    write_image(tmp_path / "a.png", image)
    blind = editor()
    assert np.array_equal(blind.edit_photo(image, points), editor(points).edit_photo(image))
    with pytest.raises(UserError, match=r"a\.png: no face was found in 220 x 240 pixels"):
        blind.edit_photo(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: its landmarks .* lie outside its 220 x 240 pixels"):
        blind.edit_file(tmp_path / "a.png", tmp_path / "b.png", points + 500)
    assert not (tmp_path / "b.png").exists()
    with pytest.raises(UserError, match=r"an image must be uint8 \[H, W, 3\] in RGB; received float64"):
        blind.edit_photo(np.zeros((4, 4, 3)), points)


def test_exemplars_are_aligned_unless_they_are_already(tiny_editor):
    image, points = photos.photograph(0)
    other, marks = photos.photograph(1)
    size = tiny_editor.image_size

    def detect(pixels):
        return detector(points if np.array_equal(pixels, image) else marks)(pixels)

    found = PhotoEditor(tiny_editor, other, ["Bangs"], detect=detect).edit_photo(image)
    aligned = align(other, marks, size)[0]
    given = PhotoEditor(tiny_editor, [aligned], ["Bangs"], detect=detect, aligned=True).edit_photo(image)
    assert np.array_equal(found, given)
    assert not np.array_equal(found, image)
    assert np.array_equal(FaceFinder(size, detect).align(other)[0], aligned)


def test_a_real_detector_in_one_call(tiny_editor):
    pytest.importorskip("mtcnn")
    image, points = photos.photograph(0)
    edited = edit_photo(tiny_editor, image, image[:, ::-1].copy(), ["Bangs"])
    kept = outside(image.shape, 2 * (points - points.mean(axis=0)) + points.mean(axis=0))  # generously
    assert np.array_equal(edited[kept], image[kept])
    assert not np.array_equal(edited, image)


@pytest.fixture
def folder(tmp_path):
    """Photos of three formats in a folder, and their landmarks by file."""
    landmarks = {}
    for index, name in enumerate(("a.png", "b.jpg", "c d.webp")):
        image, points = photos.photograph(index)
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
        landmarks[str(path)] = points
    return landmarks


def test_folders(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert editor().edit_files(list(folder), out, folder) == [
        str(out / name) for name in ("a.png", "b.jpg", "c d.webp")
    ]
    for path in folder:
        with Image.open(path) as before, Image.open(out / path.rpartition("/")[2]) as after:
            assert (after.format, after.size) == (before.format, before.size)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "b.jpg").unlink()
    assert editor(strength=0.0).edit_files(list(folder), out, folder) == [str(out / "b.jpg")]
    assert "2 of 3 photos are there already, and stay" in capsys.readouterr().err
    assert (out / "a.png").read_bytes() == before["a.png"]
    assert len(editor(strength=0.0).edit_files(list(folder), out, folder, overwrite=True)) == 3
    assert (out / "a.png").read_bytes() != before["a.png"]


def test_failures_are_listed_at_the_end(folder, tmp_path):
    bad, moving, faceless = (tmp_path / "photos" / name for name in ("bad.jpg", "moving.gif", "empty.png"))
    bad.write_text("no image")
    Image.new("L", (40, 40)).save(moving)
    Image.new("RGB", (40, 40)).save(faceless)
    out, landmarks = tmp_path / "out", {**folder, **dict.fromkeys(map(str, (bad, moving, faceless)), np.zeros((5, 2)))}
    with pytest.raises(UserError) as raised:
        editor().edit_files([str(bad), *folder, str(moving), str(faceless)], out, landmarks)
    first, *rest = str(raised.value).splitlines()
    assert first == "3 of 6 photos were not edited:"
    assert [line.rpartition("/")[2].split(":")[0] for line in rest] == ["bad.jpg", "moving.gif", "empty.png"]
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.jpg", "c d.webp"]


def test_an_interruption_says_what_is_finished(folder, tmp_path, capsys):
    class Stopping(dict):
        def __getitem__(self, path):
            if path.endswith("b.jpg"):
                raise KeyboardInterrupt
            return super().__getitem__(path)

    with pytest.raises(KeyboardInterrupt):
        editor().edit_files(list(folder), tmp_path / "out", Stopping(folder))
    assert "1 of 3 photos are finished, and the same command goes on from there" in capsys.readouterr().err
    assert len(editor().edit_files(list(folder), tmp_path / "out", folder)) == 2


def test_no_photo_is_lost(folder, tmp_path):
    with pytest.raises(UserError, match=r"--out=.*photos: is the folder of .*a\.png"):
        editor().edit_files(list(folder), tmp_path / "photos", folder, overwrite=True)
    (tmp_path / "more").mkdir()
    write_image(tmp_path / "more" / "a.png", photos.photograph(0)[0])
    with pytest.raises(UserError, match=r"would both become .*a\.png: rename one"):
        editor().edit_files([*folder, str(tmp_path / "more" / "a.png")], tmp_path / "out", folder)


def test_the_mark_takes_the_place_of_the_packet(folder, tmp_path):
    path = next(iter(folder))
    seen = []

    def mark(photo, image_format):
        seen.append((photo.pixels.shape, image_format))
        return b"<packet/>"

    editor().edit_file(path, tmp_path / "a.png", folder[path], mark=mark)
    assert seen == [((240, 220, 3), "PNG")]
    with Image.open(tmp_path / "a.png") as image:
        assert image.text["XML:com.adobe.xmp"] == "<packet/>"


def test_the_mean_face_is_where_it_is_expected():
    """The frame of a face that is aligned already is the image."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    edited = editor(target_points(SIZE)).edit_photo(image)
    assert abs(edited[21:43, 21:43, 2].astype(int) - 80).max() <= 1
    assert not edited[:18].any()
    assert not edited[:, 47:].any()
