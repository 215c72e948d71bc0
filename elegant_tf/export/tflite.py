"""A run as TFLite files for phones, each compared in LiteRT with the Keras model before it is kept."""

from __future__ import annotations

import functools
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from absl import logging

from elegant_tf.config import DataConfig
from elegant_tf.errors import UserError
from elegant_tf.export import mobile_graph
from elegant_tf.export.gpu_ops import check_gpu_ops
from elegant_tf.export.savedmodel import describe, load_for_export
from elegant_tf.files import atomic_directory, write_json, write_text
from elegant_tf.images import check_image_size, read_image, resize, to_float
from elegant_tf.model.elegant import Elegant
from elegant_tf.paths import check_new_directory, local_path
from elegant_tf.rundir import read_model
from elegant_tf.sources import open_source

KINDS = ("float32", "float16", "dynamic_int8")
PAIRS = 100

# How far an edited pixel may be from the Keras model's, of 255. Files that are further off are not kept.
ALLOWED = {"float32": 1.0, "float16": 2.0, "dynamic_int8": float("inf")}
ALLOWED_ON_GPU = 2.0  # More is a warning, since the file is right on a CPU.

_Pairs: TypeAlias = Sequence[tuple[np.ndarray, np.ndarray]]

METADATA_NAME = "elegant_tf"
_THREADS = (1, 2, 4)
_TIMED_RUNS = 10


@dataclass(frozen=True)
class Comparison:
    """A file against the Keras model, on the pixels of edited images.

    Attributes:
        kind: of `KINDS`; or `gpu`, which is no file: the same graph with weights, images and all results between in
            float16, as GPUs compute, emulated on the CPU.
        max_difference, mean_difference: absolute, of 255.
        psnr: in dB.
        megabytes: the file's size in 1e6 bytes; None without a file.
        milliseconds: median time of a swap by number of threads; empty without a file.
    """

    kind: str
    max_difference: float
    mean_difference: float
    psnr: float
    megabytes: float | None
    milliseconds: dict[int, float]


def export_tflite(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    kinds: Sequence[str] = KINDS,
    image_size: int | None = None,
    step: int | None = None,
    pairs: int = PAIRS,
    images: Sequence[str | os.PathLike[str]] | None = None,
) -> list[Comparison]:
    """Writes `elegant_KIND.tflite` for each kind to a new folder, with `report.json` and `report.md` beside them.

    Each file has the signatures `swap` (`image`, `exemplar` `[1, S, S, 3]` in [-1, 1], `weights` `[1, n]` → `edited`),
    `encode` (`image` → `code`) and `edit_with_code` (`image`, `code`, `weights` → `edited`). Its metadata hold
    `savedmodel.describe` in JSON under the name `elegant_tf`. As in the SavedModel, `weights` are edit coefficients.
    All consist of operations that LiteRT's GPU delegate takes (`gpu_ops`), and leave flip test-time augmentation out.

    Args:
        run_dir: a run directory, packed or not.
        out: the folder to make.
        kinds: of `KINDS`.
        image_size: S; None: the run's.
        step: which checkpoint; None: the newest.
        pairs: number of pairs of images to compare on.
        images: image files to take the pairs from, in order, framed as those that the run was trained on; fewer than
            two for each pair are used again; None: drawn faces, which are right for a run that learned from them.

    Raises:
        UserError: LiteRT is missing, a kind is unknown, there is no such run, the folder exists, a file has an
            operation that GPUs do not take, or is further from the Keras model than `ALLOWED`. Nothing is written then.
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
    generator.flip_tta = False  # an edit would take twice as long
    described = describe(run_dir, size, step)
    with atomic_directory(out) as folder:
        return _write(generator, size, described, kinds, folder, interpreter, _pairs(size, pairs, images))


def to_markdown(rows: Sequence[Comparison]) -> str:
    """The comparisons as a Markdown table."""
    threads = sorted({count for row in rows for count in row.milliseconds})
    head = ["file", "max difference / 255", "mean", "PSNR, dB", "MB", *(f"ms, threads: {count}" for count in threads)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [f"{row.max_difference:.3f}", f"{row.mean_difference:.4f}", f"{row.psnr:.1f}"]
        cells += ["" if row.megabytes is None else f"{row.megabytes:.2f}"]
        cells += [f"{row.milliseconds[count]:.1f}" if row.milliseconds else "" for count in threads]
        name = "float16 throughout, as on a GPU" if row.kind == "gpu" else f"elegant_{row.kind}.tflite"
        lines.append("| " + " | ".join([name, *cells]) + " |")
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
    pairs: _Pairs,
) -> list[Comparison]:
    functions = _functions(generator, size)
    files = {kind: folder / f"elegant_{kind}.tflite" for kind in kinds}
    with tempfile.TemporaryDirectory() as saved:
        module = tf.Module()
        module.generator_variables = [variable.value for variable in generator.weights]
        tf.saved_model.save(module, saved, signatures=functions)
        for kind, path in files.items():
            path.write_bytes(_finish(_convert(saved, kind, list(functions)), path.name, described))
    rows = _compare(files, generator, interpreter, pairs)
    for row in rows:
        if row.kind == "gpu":
            _tell_of_gpu(row)
        elif not row.max_difference <= ALLOWED[row.kind]:
            raise UserError(
                f"{row.kind}: an edited pixel is {row.max_difference:.2f} of 255 from the Keras model's, "
                f"more than {ALLOWED[row.kind]:g}; nothing is kept"
            )
    write_json(folder / "report.json", [asdict(row) for row in rows])
    write_text(folder / "report.md", to_markdown(rows))
    return rows


def _tell_of_gpu(row: Comparison) -> None:
    if not row.max_difference <= ALLOWED_ON_GPU:
        logging.warning(
            "in float16 throughout, as on a GPU, an edited pixel is %.2f of 255 from the Keras model's, more than %g; "
            "--input compares on images like those of the training",
            row.max_difference,
            ALLOWED_ON_GPU,
        )


def _functions(generator: Elegant, size: int) -> dict[str, tf.types.experimental.GenericFunction]:
    image = tf.TensorSpec([1, size, size, 3], name="image")
    exemplar = tf.TensorSpec([1, size, size, 3], name="exemplar")
    code = tf.TensorSpec([1, *generator.code_shape(size)], name="code")
    weights = tf.TensorSpec([1, len(generator.attributes)], name="weights")

    def encode(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"code": mobile_graph.encode(generator, image)[0]}

    def edit_with_code(image: tf.Tensor, code: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"edited": mobile_graph.edit_with_code(generator, image, code, weights)}

    def swap(image: tf.Tensor, exemplar: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"edited": mobile_graph.swap(generator, image, exemplar, weights)}

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


def _finish(data: bytes, name: str, described: dict[str, Any]) -> bytes:
    """A file's data with metadata, after a look at its operations."""
    utils, schema = _flatbuffers()
    model = utils.read_model_from_bytearray(bytearray(data))
    check_gpu_ops(model, name)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(described).encode(), np.uint8)
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(utils.convert_object_to_bytearray(model))


def _compare(
    files: Mapping[str, Path],
    generator: Elegant,
    interpreter: Callable[..., Any],
    pairs: _Pairs,
) -> list[Comparison]:
    """Compares every kind's swaps, and those in float16, with the Keras model's."""
    attributes = len(generator.attributes)
    keras_edit = tf.function(_keras_swap(generator), autograph=False)
    swaps = {kind: _load_swap(interpreter, path, threads=2) for kind, path in files.items()}
    swaps["gpu"] = _in_float16(generator)
    errors: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in swaps}
    for index, pair in enumerate(pairs):
        inputs = _inputs(pair, attributes, index)
        expected = keras_edit(**{name: tf.constant(value) for name, value in inputs.items()}).numpy()
        for kind, run in swaps.items():
            error = np.abs(run(**inputs)["edited"] - expected).astype(np.float64) * 127.5
            errors[kind].append((error.max(), error.mean(), np.square(error).mean()))
    return [_row(kind, errors[kind], files.get(kind), interpreter, inputs) for kind in swaps]


def _keras_swap(generator: Elegant) -> Callable[..., tf.Tensor]:
    return lambda image, exemplar, weights: generator(image, exemplar[:, None], weights[:, None])


def _in_float16(generator: Elegant) -> Callable[..., dict[str, np.ndarray]]:
    """`swap` with every result in float16."""
    swap = tf.function(functools.partial(mobile_graph.swap, generator), autograph=False)

    def run(image: np.ndarray, exemplar: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        half = (tf.constant(value, tf.float16) for value in (image, exemplar, weights))
        return {"edited": swap(*half).numpy().astype(np.float32)}

    return run


def _row(
    kind: str,
    errors: Sequence[tuple[float, float, float]],
    path: Path | None,
    interpreter: Callable[..., Any],
    inputs: Mapping[str, np.ndarray],
) -> Comparison:
    largest, mean, squared = np.transpose(errors)
    return Comparison(
        kind=kind,
        max_difference=float(largest.max()),
        mean_difference=float(mean.mean()),
        psnr=float(10 * np.log10(255**2 / max(squared.mean(), 1e-12))),
        megabytes=path.stat().st_size / 1e6 if path else None,
        milliseconds={count: _milliseconds(_load_swap(interpreter, path, count), inputs) for count in _threads()}
        if path
        else {},
    )


def _pairs(size: int, count: int, images: Sequence[str | os.PathLike[str]] | None) -> _Pairs:
    if images is None:
        faces = open_source(DataConfig(faces_count=max(2 * count, 16)), ("Smiling",), size, split="test")
        return [(faces.load(2 * index), faces.load(2 * index + 1)) for index in range(count)]
    if len(images) < 2:
        raise UserError(f"--input: {len(images)} images; give two or more to compare on")
    files = itertools.islice(itertools.cycle(map(Path, images)), 2 * count)
    return [(resize(read_image(a), size), resize(read_image(b), size)) for a, b in zip(files, files, strict=True)]


def _inputs(pair: tuple[np.ndarray, np.ndarray], attributes: int, index: int) -> dict[str, np.ndarray]:
    """The inputs of a swap for pair `index`, uint8 `[S, S, 3]` each; each pair moves the next of the attributes."""
    image, exemplar = (to_float(one)[None] for one in pair)
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
