from __future__ import annotations

import commands
import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import ExifTags, Image

from elegant_tf import editor as editor_module
from elegant_tf.catalogue import Exemplar, read_catalogue
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.images import read_image, resize, to_float, to_uint8
from elegant_tf.model.elegant import Elegant
from elegant_tf.rundir import read_config, write_config
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints

ATTRIBUTES = ("Eyeglasses", "Bangs", "Smiling")
SIZE = 32


def make_generator() -> Elegant:
    """A generator whose codes matter much: kernels far larger than those that training starts with."""
    generator = Elegant(ATTRIBUTES, width=4, depth=3)
    random = np.random.default_rng(0)
    for variable in generator.weights:
        if len(variable.shape) == 4:
            variable.assign(random.normal(0.0, 0.3, variable.shape))
    return generator


@pytest.fixture(scope="module")
def generator() -> Elegant:
    return make_generator()


@pytest.fixture
def editor(generator) -> Editor:
    return Editor(generator, SIZE)


def images(count: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def same(first: np.ndarray, second: np.ndarray) -> None:
    """Equal up to the last bit of a sum, which can change a rounding."""
    assert first.shape == second.shape
    assert first.dtype == second.dtype == np.uint8
    np.testing.assert_allclose(first.astype(int), second.astype(int), atol=1)


def plain_edit(generator: Elegant, image: np.ndarray, exemplars: np.ndarray, coefficients) -> np.ndarray:
    coefficients = tf.constant(coefficients, tf.float32)[None]
    edited, _ = generator.edit(to_float(image)[None], to_float(exemplars)[None], coefficients)
    return to_uint8(edited)[0]


def test_swap_is_the_models_edit(editor, generator):
    image, exemplar = images(2)
    edited = editor.swap(image, exemplar, ["Bangs"], strength=1.5)
    same(edited, plain_edit(generator, image, exemplar[None], [[0, 1.5, 0]]))
    assert np.abs(edited.astype(int) - editor.swap(image, exemplar, ["Bangs"], strength=0)).max() > 10


def test_several_exemplars_give_one_attribute_each(editor, generator):
    image, first, second = images(3)
    edited = editor.swap(image, [first, second], ["Smiling", "Eyeglasses"], strength=[1.0, 0.5])
    same(edited, plain_edit(generator, image, np.stack([first, second]), [[0, 0, 1], [0.5, 0, 0]]))


def test_strength_zero_is_the_reconstruction(editor, generator):
    image, exemplar = images(2)
    code, skips = generator.encode(to_float(image)[None])
    rebuilt = tf.clip_by_value(to_float(image) + generator.decode(code, code, skips)[0], -1.0, 1.0)
    same(editor.swap(image, exemplar, list(ATTRIBUTES), strength=0.0), to_uint8(rebuilt))


def test_batch_equals_one_by_one(editor):
    batch, exemplar = images(3), images(1, seed=1)[0]
    edited = editor.swap(batch, exemplar, ["Bangs", "Smiling"])
    assert edited.shape == (3, SIZE, SIZE, 3)
    for image, result in zip(batch, edited, strict=True):
        same(result, editor.swap(image, exemplar, ["Bangs", "Smiling"]))


def test_linear_ends_at_the_swap(editor):
    image, exemplar = images(2)
    strip = editor.linear(image, exemplar, ["Bangs"], steps=4)
    assert strip.shape == (4, SIZE, SIZE, 3)
    same(strip[3], editor.swap(image, exemplar, ["Bangs"]))
    same(strip[1], editor.swap(image, exemplar, ["Bangs"], strength=0.5))


def test_corners_of_a_matrix_of_three_exemplars(editor):
    image, *exemplars = images(4)
    matrix = editor.matrix(image, exemplars, ["Smiling"], rows=2, cols=3)
    assert matrix.shape == (2, 3, SIZE, SIZE, 3)
    rebuilt = editor.swap(image, exemplars[0], ["Smiling"], strength=0)
    same(matrix[0, 0], rebuilt)
    for corner, exemplar in zip((matrix[0, -1], matrix[-1, 0], matrix[-1, -1]), exemplars, strict=True):
        same(corner, editor.swap(image, exemplar, ["Smiling"]))
    same(editor.matrix(image, exemplars, ["Smiling"], rows=1, cols=1)[0, 0], rebuilt)


def test_corners_of_a_matrix_of_two_attributes(editor):
    image, first, second = images(3)
    names = ["Eyeglasses", "Bangs"]
    matrix = editor.matrix(image, [first, second], names, rows=2, cols=2)
    same(matrix[1, 0], editor.swap(image, first, ["Eyeglasses"]))
    same(matrix[0, 1], editor.swap(image, second, ["Bangs"]))
    same(matrix[1, 1], editor.swap(image, [first, second], names))


def test_grid_is_every_swap(editor):
    rows, exemplars = images(2), images(3, seed=1)
    grid = editor.grid(rows, exemplars, ["Bangs"], strength=0.7)
    assert grid.shape == (2, 3, SIZE, SIZE, 3)
    for image, row in zip(rows, grid, strict=True):
        for exemplar, edited in zip(exemplars, row, strict=True):
            same(edited, editor.swap(image, exemplar, ["Bangs"], strength=0.7))


def test_edit_takes_coefficients_for_each_image(editor, generator):
    batch, exemplars = images(2), images(4, seed=1).reshape(2, 2, SIZE, SIZE, 3)
    coefficients = np.random.default_rng(2).normal(size=(2, 2, 3)).astype(np.float32)
    edited = editor.edit(batch, exemplars, coefficients)
    for index in range(2):
        same(edited[index], plain_edit(generator, batch[index], exemplars[index], coefficients[index]))


def test_images_of_any_size_are_cropped_never_squashed(editor):
    wide, tall, exemplar = images(1, 90)[0][:50], images(1, 70)[0][:, :20], images(1)[0]
    for image, result in zip((wide, tall), editor.swap([wide, tall], exemplar, ["Bangs"]), strict=True):
        same(result, editor.swap(resize(image, SIZE), exemplar, ["Bangs"]))
    assert editor.swap(images(1, 1)[0], exemplar, ["Bangs"]).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "jpg"), ("L", "png"), ("1", "png"), ("P", "png"), ("LA", "png"), ("RGBA", "png"), ("RGBA", "webp")]
    + [("I;16", "png"), ("CMYK", "tiff"), ("YCbCr", "tiff"), ("LAB", "tiff")],
)
def test_files_and_pillow_images_are_read_as_by_the_commands(editor, tmp_path, mode, suffix):
    image, exemplar = images(2, 40)
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    if mode == "I;16":
        pillow = Image.fromarray(image[..., 0].astype(np.uint16) * 257)
    else:
        pillow = Image.fromarray(image, "LAB") if mode == "LAB" else Image.fromarray(image).convert(mode)
    pillow.save(path, exif=exif)
    expected = editor.swap(read_image(path), exemplar, ["Bangs"])
    assert np.array_equal(editor.swap(str(path), exemplar, ["Bangs"]), expected)
    with Image.open(path) as opened:
        opened.load()
        before = opened.tobytes(), dict(opened.getexif())
        assert np.array_equal(editor.swap(opened, Image.fromarray(exemplar), ["Bangs"]), expected)
        assert (opened.tobytes(), dict(opened.getexif())) == before


def test_every_method_takes_files_and_pillow_images(editor, tmp_path):
    face, first, second = images(3)
    path, pillow = tmp_path / "a.png", Image.fromarray(first)
    Image.fromarray(face).save(path)
    names = ["Bangs", "Smiling"]
    for use in (
        lambda image, one, other: editor.swap([image, image], [one, other], names),
        lambda image, one, other: editor.linear(image, one, names, steps=2),
        lambda image, one, other: editor.matrix(image, [one, other], names, rows=2, cols=2),
        lambda image, one, other: editor.grid([image], [one, other], names),
        lambda image, one, other: editor.edit([image], [[one, other]], np.ones((1, 2, 3))),
    ):
        assert np.array_equal(use(path, pillow, second), use(face, first, second))
    assert editor.encoded_images == 3
    assert editor.swap(path, pillow, names).shape == (SIZE, SIZE, 3)


def test_codes_take_the_place_of_images(editor, generator):
    face, first, second = images(3)
    names = ["Bangs", "Smiling"]
    one, other = map(Exemplar, editor.encode([first, second]))
    fresh = Editor(generator, SIZE)
    for use in (
        lambda editor, one, other: editor.swap([face, second], one, names),
        lambda editor, one, other: editor.linear(face, [one, other], names, steps=2),
        lambda editor, one, other: editor.matrix(face, [one, other], names, rows=2, cols=2),
        lambda editor, one, other: editor.grid([face, first], [one, other, second], names),
        lambda editor, one, other: editor.edit([face], [[one, other]], np.ones((1, 2, 3))),
    ):
        expected = use(editor, first, second)
        assert np.array_equal(use(editor, one, other), expected)
        assert np.array_equal(use(fresh, one, other), expected)
    assert fresh.encoded_images == 3


def test_codes_survive_a_small_cache(editor, generator, monkeypatch):
    face, *exemplars = images(4)
    expected = editor.grid([face], exemplars, ["Bangs"])
    codes = [Exemplar(code) for code in editor.encode(exemplars)]
    monkeypatch.setattr(editor_module, "CACHE_BYTES", 0)
    forgetful = Editor(generator, SIZE)
    for _ in range(2):
        same(forgetful.grid([face], codes, ["Bangs"]), expected)


def test_encode(editor, generator, tmp_path):
    face, wide = images(1)[0], images(1, 90)[0][:50]
    Image.fromarray(face).save(tmp_path / "a.png")
    codes = editor.encode([tmp_path / "a.png", wide])
    expected, _ = generator.encode(to_float(np.stack([face, resize(wide, SIZE)])))
    np.testing.assert_allclose(codes, expected, rtol=1e-5, atol=1e-5)
    assert codes.dtype == np.float32
    assert np.array_equal(editor.encode(face), codes[:1])
    assert editor.encoded_images == 2


def test_a_catalogue_edits_as_its_images_do(tiny_editor, tmp_path):
    face, *exemplars = images(4)
    thumbnails = images(3, 20, seed=1)
    labels = {"Bangs": [True, False, True]}
    made = tiny_editor.make_catalogue(exemplars, ["a", "b", "c"], labels, thumbnails, thumbnail_size=20)
    made.write(tmp_path / "styles.npz")
    found = read_catalogue(tmp_path / "styles.npz")
    assert (found.model, found.step, found.image_size) == (tiny_editor.model, 4, SIZE)
    assert [one.name for one in found.having("Bangs")] == ["a", "c"]
    assert np.array_equal(found["b"].thumbnail, thumbnails[1])
    expected = tiny_editor.swap(face, exemplars[1], ["Bangs"])
    assert np.array_equal(tiny_editor.swap(face, found["b"], ["Bangs"]), expected)
    nearest = found.nearest(tiny_editor.encode(exemplars[2])[0], ["Bangs", "Smiling"])
    assert [one.name for one in nearest] == ["c", "c"]
    assert tiny_editor.make_catalogue(face, ["me"], thumbnail_size=0)["me"].thumbnail is None
    assert tiny_editor.make_catalogue(face, ["me"])["me"].thumbnail.shape == (64, 64, 3)


def test_codes_keep_to_the_models_channels(flipping_run):
    editor = Editor.load(flipping_run)
    face, exemplar = images(2)
    made = editor.make_catalogue(exemplar, ["a"])
    assert made["a"].code.shape == (8, 4, made.block_bounds[-1])
    expected = editor.swap(face, exemplar, ["Bangs"])
    assert np.array_equal(editor.swap(face, made["a"], ["Bangs"]), expected)


def test_each_image_is_encoded_once(editor):
    batch, exemplars = images(2), images(3, seed=1)
    editor.grid(batch, exemplars, ["Bangs"])
    assert editor.encoded_images == 5
    editor.grid(exemplars, batch, ["Smiling"])
    editor.swap(batch[0].copy(), exemplars[1], ["Eyeglasses"], strength=2.0)
    assert editor.encoded_images == 5
    editor.swap(images(1, seed=2)[0], exemplars[1], ["Eyeglasses"])
    assert editor.encoded_images == 6


def test_the_cache_is_bounded(generator, monkeypatch):
    image, *exemplars = images(4)
    expected = Editor(generator, SIZE).grid([image], exemplars, ["Bangs"])
    monkeypatch.setattr(editor_module, "CACHE_BYTES", 0)
    forgetful = Editor(generator, SIZE)
    for encoded in (4, 8):
        same(forgetful.grid([image], exemplars, ["Bangs"]), expected)
        assert forgetful.encoded_images == encoded


def test_the_cache_keeps_the_most_recently_used(generator, monkeypatch):
    first, second, third = images(3)
    code, skips = generator.encode(to_float(first)[None])
    size = max(code.numpy().nbytes, sum(skip.numpy().nbytes for skip in skips))
    monkeypatch.setattr(editor_module, "CACHE_BYTES", 2 * size)
    editor = Editor(generator, SIZE)
    for image in (first, second, first, third, first):
        editor.swap(image, image, ["Bangs"])
    assert editor.encoded_images == 3


def test_large_jobs_are_done_in_parts(editor, generator, monkeypatch):
    batch, exemplars = images(5), images(2, seed=1)
    expected = editor.grid(batch, exemplars, ["Bangs"])
    monkeypatch.setattr(editor_module, "PIXELS_AT_ONCE", 3 * SIZE**2)
    same(Editor(generator, SIZE).grid(batch, exemplars, ["Bangs"]), expected)


def test_other_numbers_of_images_do_not_retrace(monkeypatch):
    traced = []
    generator = make_generator()
    decode = generator.decode
    monkeypatch.setattr(generator, "decode", lambda *args: traced.append(1) or decode(*args))
    editor = Editor(generator, SIZE)
    for count in (1, 2, 5):
        editor.grid(images(count), images(2, seed=1), ["Bangs"])
        editor.linear(images(1)[0], images(1, seed=1)[0], ["Bangs"], steps=count)
        editor.matrix(images(1)[0], images(3, seed=1), ["Bangs"], rows=count, cols=1)
    assert len(traced) == 1


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda e, x, y: e.swap(x.astype(np.float32), y, ["Bangs"]), "uint8"),
        (lambda e, x, y: e.swap(x[..., 0], y, ["Bangs"]), "uint8"),
        (lambda e, x, y: e.swap(x, y[..., :2], ["Bangs"]), "uint8"),
        (lambda e, x, y: e.swap([], y, ["Bangs"]), "no image"),
        (lambda e, x, y: e.swap(None, y, ["Bangs"]), "path of a file; received NoneType"),
        (lambda e, x, y: e.swap([x, None], y, ["Bangs"]), "path of a file; received NoneType"),
        (lambda e, x, y: e.swap(x, [[[1, 2], [3]]], ["Bangs"]), "path of a file; received list"),
        (lambda e, x, y: e.swap(b"a.png", y, ["Bangs"]), "path of a file; received bytes"),
        (lambda e, x, y: e.swap("nowhere.png", y, ["Bangs"]), "nowhere.png: no such file"),
        (lambda e, x, y: e.swap(Image.new("F", (9, 9)), y, ["Bangs"]), "mode F: has 32-bit pixels"),
        (lambda e, x, y: e.edit(x, 1, np.zeros((1, 1, 3))), "path of a file; received int"),
        (lambda e, x, y: e.swap(x, y, ["Beard"]), "Eyeglasses, Bangs, Smiling"),
        (lambda e, x, y: e.swap(x, y, "Bangs"), "must be a list"),
        (lambda e, x, y: e.swap(x, [y, y], ["Bangs"]), "2 exemplars for 1"),
        (lambda e, x, y: e.swap(x, y, ["Bangs"], strength=float("inf")), "finite"),
        (lambda e, x, y: e.linear([x, x], y, ["Bangs"], 3), "give one"),
        (lambda e, x, y: e.edit([x], [[y]], np.zeros((1, 1, 4))), r"\[N, K, 3\]"),
        (lambda e, x, y: e.edit([x, x], [[y]], np.zeros((2, 1, 3))), "2 images"),
        (lambda e, x, y: e.edit([x], [[y]], np.full((1, 1, 3), np.nan)), "finite"),
    ],
)
def test_wrong_arguments_are_refused(editor, use, message):
    with pytest.raises(UserError, match=message):
        use(editor, *images(2))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda e, x, code: e.swap(x, Exemplar(code[..., :-1], "a"), ["Bangs"]), "exemplar 'a': has the code"),
        (lambda e, x, code: e.swap(x, Exemplar(code, "a", "0" * 64), ["Bangs"]), "'a': is the code of another model"),
        (lambda e, x, code: e.swap(Exemplar(code), x, ["Bangs"]), "path of a file; received Exemplar"),
        (lambda e, x, code: e.swap(x, [Exemplar(code)] * 2, ["Bangs"]), "2 exemplars for 1"),
        (lambda e, x, code: e.encode([]), "no image given"),
        (lambda e, x, code: e.make_catalogue(x, ["a", "b"]), "1 images and 2 names"),
        (lambda e, x, code: e.make_catalogue([x, x], ["a", "b"], thumbnails=x), "2 images and 1 thumbnails"),
        (lambda e, x, code: e.make_catalogue(x, ["a"], {"Bangs": [True, False]}), "1 images and 2 labels of Bangs"),
        (lambda e, x, code: e.make_catalogue(x, ["a"], {"Beard": [True]}), "must be labelled"),
    ],
)
def test_wrong_codes_are_refused(tiny_editor, use, message):
    (image,) = images(1)
    with pytest.raises(UserError, match=message):
        use(tiny_editor, image, tiny_editor.encode(image)[0])


@pytest.mark.parametrize("size", [0, -32, 4, 36, 1 << 20])
def test_impossible_image_sizes_are_refused(generator, size):
    with pytest.raises(UserError, match=f"--image_size={size}: must be a multiple of 8"):
        Editor(generator, size)


def test_load_takes_the_average_of_a_run(tiny_run):
    editor = Editor.load(tiny_run)
    assert (editor.attributes, editor.image_size, editor.step) == (ATTRIBUTES, 32, 4)
    learner = make_learner(read_config(tiny_run))
    Checkpoints(learner, tiny_run, 1).restore()
    image, exemplar = images(2)
    averaged, last = (
        plain_edit(network, image, exemplar[None], [[1, 0, 0]]) for network in (learner.average, learner.generator)
    )
    same(editor.swap(image, exemplar, ["Eyeglasses"]), averaged)
    assert np.abs(averaged.astype(int) - last).max() > 1


def test_load_at_another_image_size(tiny_run):
    editor = Editor.load(tiny_run, image_size=48)
    assert editor.swap(images(1)[0], images(1, 64)[0], ["Bangs"]).shape == (48, 48, 3)
    with pytest.raises(UserError, match="--image_size=50: must be a multiple of 8"):
        Editor.load(tiny_run, image_size=50)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_load_runs_of_every_precision(generator, tmp_path, precision):
    config = tiny.config(attributes=ATTRIBUTES, width=4, depth=3, precision=precision)
    learner = make_learner(config)
    learner.generator.set_weights(generator.get_weights())
    write_config(config, tmp_path)
    Checkpoints(learner, tmp_path, kept=1).save(7)
    image, exemplar = images(2)
    expected = plain_edit(generator, image, exemplar[None], [[0, 1, 0]])
    same(Editor.load(tmp_path).swap(image, exemplar, ["Bangs"]), expected)


def test_load_needs_a_run_with_a_checkpoint(tmp_path):
    with pytest.raises(UserError, match="is not a run directory"):
        Editor.load(tmp_path / "nowhere")
    write_config(tiny.config(), tmp_path)
    with pytest.raises(UserError, match="no checkpoint yet"):
        Editor.load(tmp_path)


def test_importing_it_loads_no_training_no_losses_and_no_drawing():
    program = "import sys, elegant_tf.editor; print(*(name for name in sys.modules if name.startswith('elegant_tf.')))"
    done = commands.run(["-c", program])
    assert done.returncode == 0, done.stderr
    rooms = {name.split(".")[1] for name in done.stdout.split()}
    assert "runs" in rooms
    assert not rooms & {"training", "losses", "synthetic", "sources", "data", "evaluation", "export"}
