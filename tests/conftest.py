"""What several test modules share."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

# No test asserts a time, and every run tries the same examples.
settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.fixture(autouse=True)
def environment():
    """What commands set for TensorFlow must not reach the processes of other tests."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a trained run: three attributes of drawn faces, 32 px, four steps, averaged."""
    from elegant_tf.config import preset
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
    Trainer(config, run_dir).train()
    return run_dir
