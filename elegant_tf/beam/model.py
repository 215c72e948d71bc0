"""An exported model as Apache Beam's RunInference uses it: loaded on each worker, and asked as a server is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler
from PIL import Image

from elegant_tf.beam.files import absolute, copy_file, is_local, list_files, read_bytes
from elegant_tf.catalogue import Exemplar
from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.export.written import METADATA_FILE
from elegant_tf.images import BadImage, decode_image
from elegant_tf.serving.client import Client
from elegant_tf.serving.endpoint import Refused, Unavailable, lacking, one_line

_MODEL_FILE = "saved_model.pb"


@dataclass(frozen=True)
class Ready:
    """An image that was checked and can join a batch.

    Attributes:
        name: as it was given.
        target: the name of the edited file in the output folder.
        data: the square that the model edits, encoded.
        mark: the XMP packet for the edited file; empty: none.
    """

    name: str
    target: str
    data: bytes
    mark: bytes


@dataclass(frozen=True)
class Answer:
    """What the model made of an image: `edited`, encoded; or nothing, and the reason why."""

    image: Ready
    edited: bytes
    reason: str = ""


@dataclass(frozen=True)
class Squares:
    """How an exported model makes its images square.

    Attributes:
        size: side S.
        resize: crop, pad or stretch.
    """

    size: int
    resize: str

    def encoded(self, pixels: np.ndarray) -> bytes:
        """An image uint8 `[H, W, 3]` as the model would make it square itself, and small enough for any batch."""
        prepare_worker()
        from elegant_tf.export.decoding import square

        file = io.BytesIO()
        # In BMP, because nothing is lost and nothing has to be packed.
        Image.fromarray(square(pixels, self.size, self.resize).numpy()).save(file, "BMP")
        return file.getvalue()


def prepare_worker() -> None:
    """Sets up TensorFlow as commands do, but for the output: a worker's goes to its runner's log."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


class Export:
    """An exported model, as a `serving.endpoint.Transport`. It is loaded when a signature is first called.

    Args:
        path: the directory of a version, see `find_version`.

    Raises:
        UserError: `elegant-tf export` did not write it.
    """

    def __init__(self, path: str) -> None:
        self.endpoint: Any = path  # what errors name
        try:
            text = read_bytes(f"{path}/assets/{METADATA_FILE}")
            self.metadata: Mapping[str, Any] = json.loads(text)
            self.squares = Squares(int(self.metadata["image_size"]), str(self.metadata["export"]["resize"]))
            self._config = Config.from_groups(self.metadata["config"]).model
        except KeyError as error:
            raise UserError(
                f"--export={path}: an older version wrote it, without {error} in its metadata; export it again"
            ) from None
        except (BadImage, ValueError, TypeError) as error:
            raise UserError(f"--export={path}: `elegant-tf export` did not write it: {error}") from error
        self._signatures: Mapping[str, Any] | None = None

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], output: str, timeout: float
    ) -> dict[str, np.ndarray]:
        if signature == "metadata":  # which needs no loaded model
            return {"json": np.array([json.dumps(self.metadata)], object)}
        import tensorflow as tf

        if self._signatures is None:
            self._signatures = self._load()
        tensors = {name: tf.constant(_plain(value)) for name, value in inputs.items()}
        try:
            found = self._signatures[signature](**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise Refused(one_line(error.message)) from error
        except tf.errors.OpError as error:
            raise Unavailable(f"{self.endpoint}: {one_line(error.message)}") from error
        if output not in found:
            raise lacking(self.endpoint, output, found)
        return {name: values.numpy() for name, values in found.items()}

    def check(self, exemplar: Exemplar) -> None:
        """Raises UserError unless the model can edit with a code."""
        places = self.squares.size // 2**self._config.depth
        rows = places * (2 if self._config.flip_tta else 1)
        expected = (rows, places, self.metadata["block_bounds"][-1])
        if exemplar.model not in ("", self.metadata.get("model_sha256")) or exemplar.code.shape != expected:
            raise UserError(
                f"--export={self.endpoint}: exemplar {exemplar.name!r} is the code of another model or image size: "
                "make a catalogue with the run that was exported"
            )

    def close(self) -> None:
        """A model needs no closing."""

    def _load(self) -> Mapping[str, Any]:
        prepare_worker()
        import tensorflow as tf

        with local_copy(self.endpoint) as folder:
            try:
                # Kept with the signatures, which hold its variables by weak references alone.
                self._module = tf.saved_model.load(folder)
            except (OSError, ValueError, tf.errors.OpError) as error:
                raise UserError(f"{self.endpoint}: cannot be loaded as an exported model: {error}") from error
        return self._module.signatures


def find_version(export: str) -> str:
    """The directory of an exported model.

    Args:
        export: this directory, or the directory of a model's versions, of which the newest is taken.

    Raises:
        UserError: there is none.
    """
    folder = absolute(export, "export")
    if list_files(f"{folder}/{_MODEL_FILE}"):
        return folder
    found = [file.rpartition("/")[0] for file in list_files(f"{folder}/*/{_MODEL_FILE}")]
    numbered = {int(one.rpartition("/")[2]): one for one in found if one.rpartition("/")[2].isdecimal()}
    if not numbered:
        raise UserError(f"--export={export}: holds no SavedModel; expected a folder that `elegant-tf export` wrote")
    return numbered[max(numbered)]


@contextmanager
def local_copy(folder: str) -> Iterator[str]:
    """A folder as TensorFlow can read it: itself, or a temporary copy on this machine."""
    if is_local(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="elegant_tf-") as copy:
        for file in list_files(f"{folder}/**"):
            copy_file(file, os.path.join(copy, *file[len(folder) :].strip("/").split("/")))
        yield copy


class Edits:
    """A loaded model with its exemplars: edits batches of images.

    Args:
        export: the exported model.
        exemplars: the bytes of image files, and codes.
        attributes: their names.
        strength: one for all attributes or one for each.
    """

    def __init__(
        self,
        export: Export,
        exemplars: Sequence[bytes | Exemplar],
        attributes: Sequence[str],
        strength: Sequence[float],
    ) -> None:
        self._client = Client(export, timeout=1e6, retries=0)  # the runner tries again
        self._arguments = (list(attributes), list(strength))
        self._exemplars = [one if isinstance(one, Exemplar) else _encode(export, one) for one in exemplars]

    def __call__(self, images: Sequence[bytes]) -> list[bytes]:
        """The edited images, encoded. Raises Refused and Unavailable as a `Transport` does."""
        return self._client.edit(images, self._exemplars, *self._arguments)


class EditHandler(ModelHandler[Ready, Answer, Edits]):
    """How RunInference edits: arguments are those of `Edits`, and the most images in a batch.

    If the model does not take a batch, it is given the images one by one, so that each fails for itself alone.
    """

    def __init__(
        self,
        export: str,
        exemplars: Sequence[bytes | Exemplar],
        attributes: Sequence[str],
        strength: Sequence[float],
        batch_size: int,
    ) -> None:
        super().__init__()
        self._export, self._batch_size = export, batch_size
        self._arguments = (tuple(exemplars), tuple(attributes), tuple(strength))

    def load_model(self) -> Edits:
        return Edits(Export(self._export), *self._arguments)

    def run_inference(
        self, batch: Sequence[Ready], model: Edits, inference_args: dict[str, Any] | None = None
    ) -> list[Answer]:
        with contextlib.suppress(Refused, Unavailable):
            return [Answer(*one) for one in zip(batch, model([image.data for image in batch]), strict=True)]
        return [self._alone(image, model) for image in batch]

    def _alone(self, image: Ready, model: Edits) -> Answer:
        """One image. Unavailable, as where memory is short, is not the image's fault: the runner tries again."""
        try:
            (edited,) = model([image.data])
        except Refused as error:
            return Answer(image, b"", f"the model does not take it: {error}")
        return Answer(image, edited)

    def get_num_bytes(self, batch: Sequence[Ready]) -> int:
        return sum(len(image.data) for image in batch)

    def get_metrics_namespace(self) -> str:
        return "elegant_tf"

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        return {"min_batch_size": self._batch_size, "max_batch_size": self._batch_size}


def _encode(export: Export, exemplar: bytes) -> Exemplar:
    image = np.array([export.squares.encoded(decode_image(exemplar, "exemplar"))], object)
    return Exemplar(export.predict("encode", {"image": image}, "code", 0.0)["code"][0])


def _plain(values: np.ndarray) -> Any:
    """Values as TensorFlow takes them: encoded images in a list, because an array of objects has no type."""
    return values.tolist() if values.dtype == object else values
