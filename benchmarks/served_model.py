"""An exported model of random weights and requests to it, which `serving.py` times."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ATTRIBUTES = ("Eyeglasses", "Bangs", "Mustache", "Smiling", "Wearing_Hat")
WEIGHTS_FILE = "weights.npz"


def prepare(threads: int = 0) -> None:
    """Call this before importing TensorFlow. `threads`: of each operation; 0: one per core."""
    sys.path.insert(0, str(ROOT))
    from elegant_tf.cli.tensorflow import prepare_tensorflow

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    prepare_tensorflow()
    if threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)


def make_run(folder: Path, size: int, width: int) -> Path:
    """A run directory of preset `official` with initial weights, and the same weights for PyTorch beside it."""
    import keras
    import numpy as np

    from elegant_tf.export.torch_layout import torch_parameters
    from elegant_tf.presets import preset
    from elegant_tf.rundir import write_config
    from elegant_tf.training.build import make_learner
    from elegant_tf.training.checkpoint import Checkpoints

    keras.utils.set_random_seed(0)
    config = preset("official", attributes=ATTRIBUTES, image_size=size, width=width)
    run_dir = folder / "run"
    write_config(config, run_dir)
    learner = make_learner(config)
    Checkpoints(learner, run_dir, 1).save(1)
    parameters = torch_parameters(learner.generator, learner.discriminator)
    np.savez(folder / WEIGHTS_FILE, **{f"{p.network}.{p.name}": p.to_torch() for p in parameters})
    return run_dir


def make_export(folder: Path, size: int, width: int) -> tuple[Path, float]:
    """The run's SavedModel, and the seconds that the export took."""
    from elegant_tf.export.savedmodel import export_savedmodel

    run_dir = make_run(folder, size, width)
    began = time.perf_counter()
    path = export_savedmodel(run_dir, folder / "models")
    return path, time.perf_counter() - began


def load(path: Path) -> Any:
    """The signatures by name."""
    import tensorflow as tf

    return tf.saved_model.load(str(path)).signatures


def face_pixels(count: int, size: int) -> Any:
    """Drawn faces, uint8 `[count, size, size, 3]`."""
    import numpy as np

    from elegant_tf.synthetic import make_face

    return np.stack([make_face(7, index).draw(size) for index in range(count)])


def face_files(count: int, size: int) -> list[bytes]:
    """The same faces as JPEG files, the format of cameras and of CelebA."""
    from PIL import Image

    def encode(pixels: Any) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        return file.getvalue()

    return [encode(pixels) for pixels in face_pixels(count, size)]


def request(signature: str, files: list[bytes], size: int, signatures: Any) -> dict[str, Any]:
    """Inputs of one request for `signature`, with the given images as its batch."""
    import numpy as np
    import tensorflow as tf

    count, data = len(files), tf.constant(files)
    weights = tf.constant(np.eye(len(ATTRIBUTES), dtype=np.float32)[np.arange(count) % len(ATTRIBUTES)])
    if signature == "edit":
        pixels = tf.stack([tf.io.decode_jpeg(file) for file in files])
        images = tf.cast(pixels, tf.float32) / 127.5 - 1.0
        return {"images": images, "exemplars": images[::-1][:, None], "weights": weights[:, None]}
    if signature == "encode":
        return {"image": data}
    if signature in ("edit_with_code", "edit_with_codes"):
        code = signatures["encode"](image=data[::-1])["code"]
        if signature == "edit_with_code":
            return {"image": data, "code": code, "weights": weights}
        return {"image": data, "codes": tf.repeat(code[:, None], 4, 1), "weights": tf.repeat(weights[:, None], 4, 1)}
    inputs = {"image": data, "exemplar": data[::-1], "weights": weights}
    return {**inputs, "steps": tf.fill([count], 4)} if signature == "interpolate" else inputs
