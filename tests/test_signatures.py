from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from image_files import GOOD, assert_close, decoded, encoded, faces_of_several_sizes

from elegant_tf.editor import Editor
from elegant_tf.export.savedmodel import export_savedmodel
from elegant_tf.export.warmup import warmup_inputs
from elegant_tf.images import read_image, resize, to_float

NAMES = ("Eyeglasses", "Bangs", "Smiling")  # those of tiny_run
SIZE = 32
FACES = faces_of_several_sizes()


def weights(*rows):
    return tf.constant(rows, tf.float32)


def test_serving_default_is_the_editors_swap(signatures, tiny_editor):
    images, exemplars = FACES, FACES[::-1]
    rows = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    found = signatures["serving_default"](
        image=tf.constant([encoded(image) for image in images]),
        exemplar=tf.constant([encoded(image) for image in exemplars]),
        weights=tf.constant(rows),
    )
    assert list(found) == ["edited_bytes"]
    for index, data in enumerate(found["edited_bytes"].numpy()):
        expected = tiny_editor.swap(images[index], exemplars[index], [NAMES[rows[index].argmax()]])
        assert_close(decoded(data), expected)


@pytest.mark.parametrize("name", ["JPEG", "GIF", "BMP", "WEBP"])
def test_formats(signatures, tiny_editor, name, tmp_path):
    data = [encoded(face, name) for face in FACES[2:]]
    for index, image in enumerate(data):
        (tmp_path / str(index)).write_bytes(image)
    found = signatures["serving_default"](
        image=tf.constant(data[:1]), exemplar=tf.constant(data[1:]), weights=weights([0.5, 1, 0])
    )
    images = [read_image(tmp_path / str(index)) for index in range(2)]
    assert_close(decoded(found["edited_bytes"].numpy()[0]), tiny_editor.swap(*images, NAMES[:2], [0.5, 1.0]))


def test_edit_takes_floats_and_several_exemplars(signatures, tiny_editor):
    image, *exemplars = (resize(face, SIZE) for face in FACES)
    rows = np.zeros((1, 3, 3), np.float32)
    rows[0, [0, 1, 2], [0, 1, 2]] = 1
    found = signatures["edit"](
        images=tf.constant(to_float(image)[None]),
        exemplars=tf.constant(to_float(np.stack(exemplars))[None]),
        weights=tf.constant(rows),
    )
    edited, residual = found["edited"].numpy()[0], found["residual"].numpy()[0]
    assert_close(np.rint((edited + 1) * 127.5), tiny_editor.swap(image, exemplars, NAMES))
    np.testing.assert_allclose(np.clip(to_float(image) + residual, -1, 1), edited, atol=1e-6)


def test_edit_takes_other_sizes(signatures):
    images = tf.zeros([2, 48, 48, 3])
    found = signatures["edit"](images=images, exemplars=images[:, None], weights=tf.ones([2, 1, 3]))
    assert found["edited"].shape == (2, 48, 48, 3)


def test_exemplars_encoded_once(signatures, tiny_editor):
    code = signatures["encode"](image=tf.constant([encoded(face) for face in FACES]))["code"]
    assert code.shape == (4, 4, 4, 16)
    rows = weights(*[[1, 0, 1]] * 4)
    each = signatures["edit_with_code"](image=tf.constant([encoded(FACES[0])] * 4), code=code, weights=rows)
    for index, data in enumerate(each["edited_bytes"].numpy()):
        expected = tiny_editor.swap(FACES[0], FACES[index], ["Eyeglasses", "Smiling"])
        assert_close(decoded(data), expected)
        assert_close(np.rint((each["edited"][index].numpy() + 1) * 127.5), expected)
    images = tf.constant([encoded(face) for face in FACES[:2]])
    catalogue, rows = tf.stack([code, code[::-1]]), tf.stack([rows, 0.5 * rows])
    both = signatures["edit_with_codes"](image=images, codes=catalogue, weights=rows)
    assert both["edited"].shape == (2, 4, 32, 32, 3)
    np.testing.assert_allclose(both["edited"][0], each["edited"], atol=1e-5)
    for index, data in enumerate(both["edited_bytes"].numpy()[1]):
        assert_close(decoded(data), tiny_editor.swap(FACES[1], FACES[3 - index], ["Eyeglasses", "Smiling"], 0.5))


def test_flip_tta_is_served_as_its_editor_edits(flipping_run, tiny_editor, tmp_path):
    expected = Editor.load(flipping_run).swap(FACES[0], FACES[1], ["Eyeglasses", "Smiling"])
    assert (expected != tiny_editor.swap(FACES[0], FACES[1], ["Eyeglasses", "Smiling"])).any()
    functions = tf.saved_model.load(str(export_savedmodel(flipping_run, tmp_path))).signatures
    image, exemplar = (tf.constant([encoded(face)]) for face in FACES[:2])
    rows = weights([1, 0, 1])
    code = functions["encode"](image=exemplar)["code"]
    assert code.shape == (1, 8, 4, 16)  # The mirror image's code lies below the image's.
    found = [
        functions["serving_default"](image=image, exemplar=exemplar, weights=rows)["edited_bytes"][0],
        functions["edit_with_code"](image=image, code=code, weights=rows)["edited_bytes"][0],
        functions["edit_with_codes"](image=image, codes=code[None], weights=rows[None])["edited_bytes"][0, 0],
        functions["interpolate"](image=image, exemplar=exemplar, weights=rows, steps=[2])["edited_bytes"][0, 1],
    ]
    for data in found:
        assert_close(decoded(data.numpy()), expected)
    for name, inputs in warmup_inputs(SIZE, 3, code.shape[1:]).items():
        functions[name](**inputs)


@pytest.mark.parametrize("steps", [1, 4])
def test_interpolate_is_the_editors_linear(signatures, tiny_editor, steps):
    found = signatures["interpolate"](
        image=tf.constant([encoded(face) for face in FACES[:2]]),
        exemplar=tf.constant([encoded(face) for face in FACES[2:]]),
        weights=weights([1, 0, 0], [0, 0, 1]),
        steps=tf.constant([steps, steps]),
    )["edited_bytes"].numpy()
    assert found.shape == (2, steps)
    for index, name in enumerate(["Eyeglasses", "Smiling"]):
        expected = tiny_editor.linear(FACES[index], FACES[index + 2], [name], steps)
        for data, image in zip(found[index], expected, strict=True):
            assert_close(decoded(data), image)


def test_rows_of_fewer_steps_repeat_their_last_image(signatures):
    data, rows = tf.constant([encoded(face) for face in FACES[:2]]), weights([1, 0, 0], [0, 0, 1])
    inputs = {"image": data, "exemplar": data[::-1], "weights": rows}
    found = signatures["interpolate"](**inputs, steps=tf.constant([2, 3]))["edited_bytes"].numpy()
    assert found.shape == (2, 3)
    assert found[0, 1] == found[0, 2] != found[0, 0]
    assert list(found[:, -1]) == list(signatures["serving_default"](**inputs)["edited_bytes"].numpy())


def test_metadata(signatures, tiny_export):
    found = signatures["metadata"](id=tf.constant([7, 8]))
    assert found["attributes"].numpy().astype(str).tolist() == [list(NAMES)] * 2
    texts = [json.loads(text) for text in found["json"].numpy()]
    assert texts == [json.loads((tiny_export / "assets" / "metadata.json").read_text())] * 2


@pytest.mark.parametrize("which", ["signatures", "status_signatures"])
def test_requests_can_be_joined(which, request):
    """A batching server concatenates inputs along their first axes and splits the outputs."""
    functions = request.getfixturevalue(which)
    for name, one in warmup_inputs(SIZE, 3, (4, 4, 16)).items():
        alone = functions[name](**one)
        assert ("status" in alone) == (which == "status_signatures" and name != "metadata")
        joined = functions[name](**{key: tf.concat([value] * 3, axis=0) for key, value in one.items()})
        for key, value in alone.items():
            assert joined[key].shape[0] == 3
            for row in joined[key]:
                if value.dtype == tf.string:
                    assert np.array_equal(row.numpy(), value[0].numpy())
                else:
                    np.testing.assert_allclose(row, value[0], atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": [b"no image"]}, "image: is not a JPEG"),
        ({"image": [], "exemplar": [], "weights": np.zeros((0, 3), np.float32)}, "image: must hold at least one image"),
        ({"exemplar": [GOOD[:99]]}, r"exemplar(_\d+)?/map/"),
        ({"exemplar": [GOOD, GOOD]}, "exemplar: must be as many as image"),
        ({"weights": [[1.0, 0.0]]}, "weights: must have 3 columns"),
        ({"weights": [[1.0, 0.0, 0.0, 0.0]]}, "weights: must have 3 columns"),
        ({"weights": [[1.0, float("nan"), 0.0]]}, "weights: must be finite"),
        ({"weights": [[1.0, 0.0, 0.0]] * 2}, "weights: must be as many as image"),
    ],
)
def test_wrong_inputs_of_swaps_are_named(signatures, changed, message):
    given = {"image": [GOOD], "exemplar": [GOOD], "weights": [[1.0, 0.0, 0.0]], **changed}
    types = {"weights": tf.float32}
    inputs = {name: tf.constant(value, types.get(name, tf.string)) for name, value in given.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures["serving_default"](**inputs)


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("edit", {"images": tf.zeros([1, 30, 30, 3])}, "images: must be .* a multiple of 8"),
        ("edit", {"images": tf.zeros([1, 32, 40, 3])}, "images: must be"),
        ("edit", {"images": tf.zeros([1, 32, 32, 1])}, "images: must be"),
        ("edit", {"images": tf.zeros([1, 40, 40, 3])}, "exemplars: must have the size of images"),
        ("edit", {"images": tf.fill([1, 32, 32, 3], 255.0)}, "images: must be numbers from -1 to 1"),
        ("edit", {"exemplars": tf.fill([1, 2, 32, 32, 3], float("nan"))}, "exemplars: must be numbers"),
        ("edit", {"weights": tf.zeros([1, 1, 3])}, r"weights: must be \[N, K, n\]"),
        ("edit", {"exemplars": tf.zeros([2, 2, 32, 32, 3])}, "exemplars: must be as many as images"),
        ("edit_with_code", {"code": tf.zeros([1, 4, 4, 8])}, r"code: must be \[..., 4, 4, 16\]"),
        ("edit_with_code", {"code": tf.fill([1, 4, 4, 16], float("inf"))}, "code: must be finite"),
        ("edit_with_code", {"image": tf.constant([GOOD, GOOD])}, "code: must be as many as image"),
        ("edit_with_codes", {"codes": tf.zeros([1, 0, 4, 4, 16])}, "codes: must be .*, at least one"),
        ("edit_with_codes", {"weights": tf.zeros([1, 3, 3])}, r"weights: must be \[N, M, n\]"),
        ("interpolate", {"steps": tf.constant([0])}, "steps: must be 1 to 64"),
        ("interpolate", {"steps": tf.constant([10**6])}, "steps: must be 1 to 64"),
        ("interpolate", {"steps": tf.constant([1, 1])}, "steps: must be as many as image"),
    ],
)
def test_wrong_inputs_are_named(signatures, name, inputs, message):
    image, one, two = tf.constant([GOOD]), tf.zeros([1, 3]), tf.zeros([1, 2, 3])
    right = {
        "edit": {"images": tf.zeros([1, 32, 32, 3]), "exemplars": tf.zeros([1, 2, 32, 32, 3]), "weights": two},
        "edit_with_code": {"image": image, "code": tf.zeros([1, 4, 4, 16]), "weights": one},
        "edit_with_codes": {"image": image, "codes": tf.zeros([1, 2, 4, 4, 16]), "weights": two},
        "interpolate": {"image": image, "exemplar": image, "weights": one, "steps": tf.constant([2])},
    }[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures[name](**{**right, **inputs})


@pytest.fixture(scope="module")
def status_signatures(status_export):
    return tf.saved_model.load(str(status_export)).signatures


def three_rows(name):
    """Right inputs of a signature."""
    data = tf.constant([encoded(face) for face in FACES[:3]])
    pixels = tf.constant(to_float(np.stack([resize(face, SIZE) for face in FACES[:3]])))
    code = tf.random.stateless_normal([3, 4, 4, 16], [1, 2])
    swap = {"image": data, "exemplar": data[::-1], "weights": tf.eye(3)}
    return {
        "serving_default": swap,
        "edit": {"images": pixels, "exemplars": pixels[::-1, None], "weights": tf.eye(3)[:, None]},
        "encode": {"image": data},
        "edit_with_code": {"image": data, "code": code, "weights": tf.eye(3)},
        "edit_with_codes": {
            "image": data,
            "codes": tf.stack([code, code[::-1]], 1),
            "weights": tf.repeat(tf.eye(3)[:, None], 2, 1),
        },
        "interpolate": {**swap, "steps": tf.constant([2, 3, 1])},
    }[name]


NOT_A_NUMBER, NO_IMAGE = float("nan"), b"no image"


@pytest.mark.parametrize(
    ("name", "spoilt", "status"),
    [
        (
            "serving_default",
            {"image": NO_IMAGE},
            "image: is not a JPEG, PNG, WebP, GIF or BMP image: send one of these",
        ),
        ("serving_default", {"exemplar": b"", "image": b""}, "image: is empty (0 bytes): send an intact copy"),
        ("serving_default", {"exemplar": GOOD[:99]}, "exemplar: is a damaged or truncated image: send an intact copy"),
        ("serving_default", {"weights": NOT_A_NUMBER}, "weights: must be finite numbers"),
        ("edit", {"weights": float("inf")}, "weights: must be finite numbers"),
        ("edit", {"images": 255.0}, "images: must be numbers from -1 to 1"),
        ("edit", {"exemplars": NOT_A_NUMBER}, "exemplars: must be numbers from -1 to 1"),
        ("encode", {"image": GOOD[:99]}, "image: is a damaged or truncated image: send an intact copy"),
        ("edit_with_code", {"code": NOT_A_NUMBER}, "code: must be finite numbers"),
        ("edit_with_code", {"image": NO_IMAGE}, "image: is not a JPEG, PNG, WebP, GIF or BMP image: send one of these"),
        ("edit_with_codes", {"codes": NOT_A_NUMBER}, "codes: must be finite numbers"),
        ("interpolate", {"steps": 0}, "steps: must be 1 to 64, not 0"),
        ("interpolate", {"steps": 10**6}, "steps: must be 1 to 64, not 1000000"),
    ],
)
def test_what_is_wrong_with_a_row_spoils_no_other(signatures, status_signatures, name, spoilt, status):
    right = three_rows(name)
    inputs = dict(right)
    for key, value in spoilt.items():
        rows = tf.unstack(right[key])
        inputs[key] = tf.stack([rows[0], tf.fill(rows[1].shape, tf.constant(value, rows[1].dtype)), rows[2]])
    expected, found = signatures[name](**right), status_signatures[name](**inputs)
    assert [text.decode() for text in found.pop("status").numpy()] == ["", status, ""]
    assert set(found) == set(expected)
    for key, rows in found.items():
        rows, wanted = rows.numpy(), expected[key].numpy()
        if name == "interpolate":
            wanted = wanted[:, : rows.shape[1]]  # a row of a wrong number of steps does not make the others longer
        np.testing.assert_array_equal(rows[[0, 2]], wanted[[0, 2]])
        assert set(rows[1].flat if rows[1:2].ndim > 1 else rows[1:2]) == {b"" if rows.dtype == object else 0.0}


def test_what_concerns_the_whole_request_still_fails_it(status_signatures):
    right = three_rows("serving_default")
    for changed, message in (
        ({"weights": tf.ones([3, 2])}, "weights: must have 3 columns"),
        ({"exemplar": right["exemplar"][:2]}, "exemplar: must be as many as image"),
        ({name: value[:0] for name, value in right.items()}, "image: must hold at least one image"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            status_signatures["serving_default"](**{**right, **changed})


def test_metadata_say_that_there_is_a_status(signatures, status_signatures):
    for functions, expected in ((signatures, False), (status_signatures, True)):
        found = functions["metadata"](id=tf.constant([0]))
        assert set(found) == {"json", "attributes"}
        assert json.loads(found["json"].numpy()[0])["export"]["status"] is expected
