from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re

import commands
import keras
import numpy as np
import pytest
import tiny
from PIL import Image

from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.images import read_image
from elegant_tf.model.elegant import MultiScaleDiscriminator
from elegant_tf.model.keras_settings import keras_defaults
from elegant_tf.runs import make_generator
from elegant_tf.training.build import make_learner


@pytest.fixture
def other_settings():
    """Settings of a program that uses Keras in another way."""
    with keras_defaults():
        keras.backend.set_floatx("float16")
        keras.mixed_precision.set_global_policy("mixed_float16")
        keras.backend.set_image_data_format("channels_first")
        yield


def test_networks_do_not_depend_on_settings(other_settings):
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    labels = np.ones((2, 1, 2), np.float32)

    def outputs() -> list[np.ndarray]:
        keras.utils.set_random_seed(0)
        generator = make_generator(tiny.config().model, "float32")
        discriminator = MultiScaleDiscriminator(32, 2, width=2, dtype="float32")
        edited, _ = generator.edit(images, images[:, None], np.ones((2, 1, 2), np.float32))
        classifier = AttributeClassifier(tiny.ATTRIBUTES, 32)
        pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        return [np.asarray(edited), *map(np.asarray, discriminator(images, labels)), classifier.features(pixels)]

    found = outputs()
    with keras_defaults():
        expected = outputs()
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["adam", "adamw", "muon"])
def test_the_state_of_training_does_not_depend_on_settings(other_settings, kind):
    def dtypes() -> list[str]:
        learner = make_learner(tiny.config(optimizer=kind))
        steps = (learner.generator_step, learner.discriminator_step)
        return [variable.dtype for step in steps for variable in (*step.state, *step.variables)]

    found = dtypes()
    with keras_defaults():
        assert found == dtypes()


def test_settings_of_the_user_come_back(other_settings):
    with contextlib.suppress(ZeroDivisionError), keras_defaults():
        assert (keras.backend.floatx(), keras.backend.image_data_format()) == ("float32", "channels_last")
        raise ZeroDivisionError
    assert (keras.backend.floatx(), keras.backend.image_data_format()) == ("float16", "channels_first")
    assert keras.mixed_precision.global_policy().name == "mixed_float16"


@pytest.mark.parametrize(
    ("backend", "message"), [("torch", "Keras runs on torch"), ("nonsense", r"Keras cannot be loaded \(.*nonsense\)")]
)
def test_another_backend_is_refused_in_python(tmp_path, backend, message):
    if keras.__version__.startswith("2."):
        pytest.skip("Keras 2 has no other backends")
    if backend != "nonsense" and not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    (tmp_path / "keras.json").write_text(json.dumps({"backend": backend}))
    program = """
import elegant_tf
for name in ("Trainer", "Editor", "Elegant", "evaluate"):
    try:
        getattr(elegant_tf, name)
    except elegant_tf.UserError as error:
        print(error)
"""
    done = commands.run(["-c", program], env={**environment(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all(re.match(rf"{message}.*set KERAS_BACKEND=tensorflow", line) for line in lines)


def test_commands_do_not_depend_on_settings(tiny_run, tiny_editor, tmp_path):
    settings = {"backend": "nonsense", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-3}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    face, exemplar = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    for name, image in (("a", face), ("b", exemplar)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    files = [f"--{flag}={tmp_path / name}.png" for flag, name in (("input", "a"), ("exemplar", "b"), ("out", "c"))]
    words = ["-m", "elegant_tf", "swap", "--run", str(tiny_run), "--attributes", "Smiling", *files]
    done = commands.run(words, env={**environment(tmp_path), "KERAS_BACKEND": "torch"})
    assert done.returncode == 0, done.stderr
    assert "KERAS_BACKEND=torch is ignored" in done.stderr
    expected = tiny_editor.swap(face, exemplar, ["Smiling"])
    np.testing.assert_allclose(read_image(tmp_path / "c.png").astype(int), expected.astype(int), atol=1)


def environment(keras_home) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return {**kept, "KERAS_HOME": str(keras_home), "PYTHONPATH": str(commands.ROOT)}
