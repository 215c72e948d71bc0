"""A run as TFLite files for phones, each compared in LiteRT with the Keras model before it is kept."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from elegant_tf.config import DataConfig
from elegant_tf.data.source import Source
from elegant_tf.errors import UserError
from elegant_tf.export.savedmodel import describe, load_for_export
from elegant_tf.files import atomic_directory, write_json, write_text
from elegant_tf.images import check_image_size, to_float
from elegant_tf.model.elegant import Elegant
from elegant_tf.paths import check_new_directory, local_path
from elegant_tf.rundir import read_model
from elegant_tf.sources import open_source

KINDS = ("float32", "float16", "dynamic_int8")
PAIRS = 100

# How far an edited pixel may be from the Keras model's, of 255. Files that are further off are not kept.
ALLOWED = {"float32": 1.0, "float16": 2.0, "dynamic_int8": float("inf")}

METADATA_NAME = "elegant_tf"
_THREADS = (1, 2, 4)
_TIMED_RUNS = 10


@dataclass(frozen=True)
class Comparison:
    """A file against the Keras model, on the pixels of edited images.

    Attributes:
        kind: of `KINDS`.
        max_difference, mean_difference: absolute, of 255.
        psnr: in dB.
        megabytes: the file's size in 1e6 bytes.
        milliseconds: median time of a swap by number of threads.
    """

    kind: str
    max_difference: float
    mean_difference: float
    psnr: float
    megabytes: float
    milliseconds: dict[int, float]


def export_tflite(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    kinds: Sequence[str] = KINDS,
    image_size: int | None = None,
    step: int | None = None,
    pairs: int = PAIRS,
) -> list[Comparison]:
    """Writes `elegant_KIND.tflite` for each kind to a new folder, with `report.json` and `report.md` beside them.

    Each file has the signatures `swap` (`image`, `exemplar` `[1, S, S, 3]` in [-1, 1], `weights` `[1, n]` → `edited`),
    `encode` (`image` → `code`) and `edit_with_code` (`image`, `code`, `weights` → `edited`). Its metadata hold
    `savedmodel.describe` in JSON under the name `elegant_tf`. As in the SavedModel, `weights` are edit coefficients.

    Args:
        run_dir: a run directory, packed or not.
        out: the folder to make.
        kinds: of `KINDS`.
        image_size: S; None: the run's.
        step: which checkpoint; None: the newest.
        pairs: number of pairs of drawn faces to compare on.

    Raises:
        UserError: LiteRT is missing, a kind is unknown, there is no such run, the folder exists, or a file is further
            from the Keras model than `ALLOWED`. Nothing is written then.
    """
    interpreter = _load_litert()
    kinds = tuple(dict.fromkeys(kinds))
    if not kinds or set(kinds) - set(KINDS):
        raise UserError(f"--kinds or --tflite={','.join(kinds)}: must be one or several of {', '.join(KINDS)}")
    run_dir, out = local_path(run_dir, "run"), local_path(out, "out")
    check_new_directory(out)
    model = read_model(run_dir)
    size = model.image_size if image_size is None else image_size
    check_image_size(size, 2**model.depth)
    generator, step = load_for_export(run_dir, step, "float32")
    described = describe(run_dir, size, step)
    with atomic_directory(out) as folder:
        return _write(generator, size, described, kinds, folder, interpreter, pairs)


def to_markdown(rows: Sequence[Comparison]) -> str:
    """The comparisons as a Markdown table."""
    threads = sorted({count for row in rows for count in row.milliseconds})
    head = ["file", "max difference / 255", "mean", "PSNR, dB", "MB", *(f"ms, threads: {count}" for count in threads)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [f"{row.max_difference:.3f}", f"{row.mean_difference:.4f}", f"{row.psnr:.1f}", f"{row.megabytes:.2f}"]
        cells += [f"{row.milliseconds[count]:.1f}" for count in threads]
        lines.append("| " + " | ".join([f"elegant_{row.kind}.tflite", *cells]) + " |")
    return "\n".join(lines) + "\n"


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata of a file that `export_tflite` wrote."""
    utils, _ = _flatbuffers()
    model = utils.read_model(str(path))
    entry = next(entry for entry in model.metadata if bytes(entry.name).decode() == METADATA_NAME)
    return json.loads(bytes(model.buffers[entry.buffer].data).decode())


def _load_litert() -> Callable[..., Any]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise UserError("TFLite files are checked in LiteRT: pip install 'elegant-tf[tflite]'") from None
    return Interpreter


def _flatbuffers() -> tuple[Any, Any]:
    # Private parts of TensorFlow: no public package adds metadata to TFLite files on Python 3.11.
    from tensorflow.lite.python import schema_py_generated
    from tensorflow.lite.tools import flatbuffer_utils

    return flatbuffer_utils, schema_py_generated


def _write(
    generator: Elegant,
    size: int,
    described: dict[str, Any],
    kinds: Sequence[str],
    folder: Path,
    interpreter: Callable[..., Any],
    pairs: int,
) -> list[Comparison]:
    functions = _functions(generator, size)
    files = {kind: folder / f"elegant_{kind}.tflite" for kind in kinds}
    with tempfile.TemporaryDirectory() as saved:
        module = tf.Module()
        module.generator_variables = [variable.value for variable in generator.weights]
        tf.saved_model.save(module, saved, signatures=functions)
        for kind, path in files.items():
            path.write_bytes(_with_metadata(_convert(saved, kind, list(functions)), described))
    rows = _compare(files, functions["swap"], interpreter, size, len(generator.attributes), pairs)
    for row in rows:
        if not row.max_difference <= ALLOWED[row.kind]:
            raise UserError(
                f"{row.kind}: an edited pixel is {row.max_difference:.2f} of 255 from the Keras model's, "
                f"more than {ALLOWED[row.kind]:g}; nothing is kept"
            )
    write_json(folder / "report.json", [asdict(row) for row in rows])
    write_text(folder / "report.md", to_markdown(rows))
    return rows


def _functions(generator: Elegant, size: int) -> dict[str, tf.types.experimental.GenericFunction]:
    image = tf.TensorSpec([1, size, size, 3], name="image")
    exemplar = tf.TensorSpec([1, size, size, 3], name="exemplar")
    code = tf.TensorSpec([1, *generator.code_shape(size)], name="code")
    weights = tf.TensorSpec([1, len(generator.attributes)], name="weights")

    def encode(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"code": generator.encode(image)[0]}

    def edit_with_code(image: tf.Tensor, code: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        own, skips = generator.encode(image)
        return {"edited": generator.edit_encoded(image, own, skips, code[:, None], weights[:, None])[0]}

    def swap(image: tf.Tensor, exemplar: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        return edit_with_code(image, encode(exemplar)["code"], weights)

    specs = {
        "swap": (swap, [image, exemplar, weights]),
        "encode": (encode, [image]),
        "edit_with_code": (edit_with_code, [image, code, weights]),
    }
    return {
        name: tf.function(function, input_signature=inputs, autograph=False)
        for name, (function, inputs) in specs.items()
    }


def _convert(saved_model: str, kind: str, signatures: Sequence[str]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=list(signatures))
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _with_metadata(data: bytes, described: dict[str, Any]) -> bytes:
    utils, schema = _flatbuffers()
    model = utils.read_model_from_bytearray(bytearray(data))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(described).encode(), np.uint8)
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(utils.convert_object_to_bytearray(model))


def _compare(
    files: Mapping[str, Path],
    swap: Callable[..., dict[str, tf.Tensor]],
    interpreter: Callable[..., Any],
    size: int,
    attributes: int,
    pairs: int,
) -> list[Comparison]:
    """Compares every kind's swaps with the Keras model's, on drawn faces of the test split."""
    faces = open_source(DataConfig(faces_count=max(2 * pairs, 16)), ("Smiling",), size, split="test")
    swaps = {kind: _load_swap(interpreter, path, threads=2) for kind, path in files.items()}
    errors: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in files}
    for index in range(pairs):
        inputs = _inputs(faces, attributes, index)
        expected = swap(**{name: tf.constant(value) for name, value in inputs.items()})["edited"].numpy()
        for kind, run in swaps.items():
            error = np.abs(run(**inputs)["edited"] - expected).astype(np.float64) * 127.5
            errors[kind].append((error.max(), error.mean(), np.square(error).mean()))
    inputs = _inputs(faces, attributes, 0)
    rows = []
    for kind, path in files.items():
        largest, mean, squared = np.transpose(errors[kind])
        row = Comparison(
            kind=kind,
            max_difference=float(largest.max()),
            mean_difference=float(mean.mean()),
            psnr=float(10 * np.log10(255**2 / max(squared.mean(), 1e-12))),
            megabytes=path.stat().st_size / 1e6,
            milliseconds={count: _milliseconds(_load_swap(interpreter, path, count), inputs) for count in _threads()},
        )
        rows.append(row)
    return rows


def _inputs(faces: Source, attributes: int, index: int) -> dict[str, np.ndarray]:
    """The inputs of a swap for pair `index`; each pair moves the next of the attributes."""
    image, exemplar = (to_float(faces.load(2 * index + other))[None] for other in range(2))
    return {
        "image": image,
        "exemplar": exemplar,
        "weights": np.eye(attributes, dtype=np.float32)[[index % attributes]],
    }


def _load_swap(interpreter: Callable[..., Any], path: Path, threads: int) -> Callable[..., dict[str, np.ndarray]]:
    return interpreter(model_content=path.read_bytes(), num_threads=threads).get_signature_runner("swap")


def _threads() -> Iterator[int]:
    return (count for count in _THREADS if count <= (os.cpu_count() or 1))


def _milliseconds(swap: Callable[..., dict[str, np.ndarray]], inputs: Mapping[str, np.ndarray]) -> float:
    times = []
    for _ in range(_TIMED_RUNS + 1):
        began = time.perf_counter()
        swap(**inputs)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times[1:]))
