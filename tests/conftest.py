"""What several test modules share."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

# No test asserts a time, and every run tries the same examples.
settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

# The files whose tests take longest: begun last, they would leave the other processor idle at the end.
LONGEST = (
    "remote",
    "resume",
    "strategy",
    "goldens",
    "torch_runs",
    "runs",
    "update",
    "evaluate",
    "savedmodel",
    "recipes",
    "trainer",
)


def pytest_configure(config: pytest.Config) -> None:
    """Kernels are compiled quickly, and those that one process has compiled are loaded by all that tests start."""
    # XLA optimizes for longer than tests compute.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    # TensorFlow 2.15 fails to compile for CPUs with a cache; versions between were not tried.
    if "PYTEST_XDIST_WORKER" in os.environ or "TF_XLA_FLAGS" in os.environ or _version_of_tensorflow() < (2, 21):
        return
    folder = tempfile.mkdtemp(prefix="elegant-tf-kernels-")
    config.add_cleanup(functools.partial(shutil.rmtree, folder, ignore_errors=True))
    os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={folder}"


def _version_of_tensorflow() -> tuple[int, int]:
    """Read without loading TensorFlow; (0, 0) if it comes from another package, such as tensorflow-cpu."""
    try:
        major, minor, *_ = importlib.metadata.version("tensorflow").split(".")
    except importlib.metadata.PackageNotFoundError:
        return 0, 0
    return int(major), int(minor)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_collection_finish() -> None:
    """What modules made stays to the end: garbage collection need not look at it again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def environment():
    """What commands set for TensorFlow must not reach the processes of other tests."""
    with mock.patch.dict(os.environ):
        yield


def as_on_a_gpu() -> contextlib.AbstractContextManager:
    """Trains with plain layers: compiling the kernels for CPUs takes longer than a tiny run."""
    from elegant_tf.model.cpu_kernels import training_policy

    return mock.patch("elegant_tf.training.build.training_policy", functools.partial(training_policy, gpu=True))


@contextlib.contextmanager
def training_quickly() -> Iterator[None]:
    """Trains eagerly, and as on a GPU: tracing an update takes longer than twenty tiny ones.

    Goldens, whole commands and `test_update.py` train as users do, in graphs.
    """
    import tensorflow as tf

    save = tf.saved_model.save

    def save_in_graphs(*arguments, **options):  # or a function that all signatures call would be traced in each
        with _functions_run_eagerly(False):
            save(*arguments, **options)

    with as_on_a_gpu(), _functions_run_eagerly(True), mock.patch.object(tf.saved_model, "save", save_in_graphs):
        yield


@contextlib.contextmanager
def _functions_run_eagerly(eagerly: bool) -> Iterator[None]:
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(eagerly)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture(scope="module")
def plain_layers() -> Iterator[None]:
    """For tests of what the kernels for CPUs do not decide."""
    with as_on_a_gpu():
        yield


@pytest.fixture(scope="module")
def quick_training() -> Iterator[None]:
    """For tests of what neither kernels nor graphs decide: see `training_quickly`."""
    with training_quickly():
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a trained run: three attributes of drawn faces, 32 px, four steps, averaged."""
    from elegant_tf.presets import preset
    from elegant_tf.training.trainer import Trainer

    run_dir = tmp_path_factory.mktemp("runs") / "tiny"
    config = preset(
        "official",
        attributes=("Eyeglasses", "Bangs", "Smiling"),
        image_size=32,
        width=4,
        depth=3,
        faces_count=64,
        batch_size=4,
        attribute_schedule="mixed",
        learning_rate=0.02,
        ema_half_life=2,
        steps=4,
        sample_every=0,
        strategy="one_device",
    )
    with training_quickly():
        Trainer(config, run_dir).train()
    return run_dir


@pytest.fixture(scope="session")
def flipping_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_run`, editing with flip test-time augmentation."""
    from elegant_tf.rundir import read_config, write_config

    run_dir = tmp_path_factory.mktemp("runs") / "flipping"
    shutil.copytree(tiny_run, run_dir)
    write_config(read_config(tiny_run).replace(flip_tta=True), run_dir)
    return run_dir


@pytest.fixture(scope="session")
def tiny_export(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SavedModel of `tiny_run`, of version 4."""
    from elegant_tf.export.savedmodel import export_savedmodel

    return export_savedmodel(tiny_run, tmp_path_factory.mktemp("models") / "elegant")


@pytest.fixture(scope="session")
def status_export(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a status for each row."""
    from elegant_tf.export.savedmodel import ExportOptions, export_savedmodel

    return export_savedmodel(tiny_run, tmp_path_factory.mktemp("models") / "elegant", ExportOptions(status=True))


@pytest.fixture(scope="session")
def signatures(tiny_export: Path):
    """The served functions of `tiny_export`."""
    import tensorflow as tf

    return tf.saved_model.load(str(tiny_export)).signatures


@pytest.fixture(scope="session")
def tiny_editor(tiny_run: Path):
    """The Editor of `tiny_run`."""
    from elegant_tf.editor import Editor

    return Editor.load(tiny_run)
