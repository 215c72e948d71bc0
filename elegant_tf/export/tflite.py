"""A run as TFLite files for phones, each compared in LiteRT with the Keras model before it is kept."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from elegant_tf.errors import UserError
from elegant_tf.export import mobile_graph
from elegant_tf.export.examples import Examples, drawn_examples
from elegant_tf.export.footprint import footprint
from elegant_tf.export.gpu_ops import check_gpu_ops
from elegant_tf.export.int8 import check_quantizer, quantize
from elegant_tf.export.litert import SignatureRunner, add_metadata, load_litert, load_signature, parse_model
from elegant_tf.export.litert import read_metadata as read_metadata
from elegant_tf.export.savedmodel import describe, load_for_export
from elegant_tf.files import atomic_directory, write_json, write_text
from elegant_tf.images import check_image_size, to_float, to_uint8
from elegant_tf.model.elegant import Elegant
from elegant_tf.model.keras_versions import tf_variable
from elegant_tf.paths import any_path, check_new_directory
from elegant_tf.rundir import read_model

KINDS = ("float32", "float16", "dynamic_int8", "int8")

# How far an edited pixel of a float file may be from the Keras model's, of 255.
PIXELS = {"float32": 1.0, "float16": 2.0}
PIXELS_ON_GPU = 2.0  # More is a warning, since the file is right on a CPU.
# How much less of the change the others may realise than the Keras model, and how much more they may leak, of 255.
LOST, LEAKED = 0.03, 0.5


@dataclass(frozen=True)
class Comparison:
    """A file against the Keras model, on edited images.

    Attributes:
        kind: of `KINDS`; or `gpu`, which is no file: the same graph with weights, images and all results between in
            float16, as GPUs compute, emulated on the CPU.
        max_difference, mean_difference: of pixels, absolute, of 255.
        psnr: in dB.
        realised, leak: minus the Keras model's.
        megabytes: the file's size in 1e6 bytes; None without a file.
        milliseconds: median time of a swap by number of threads; empty without a file.
        peak_megabytes: memory that a process takes for the file, see `footprint`; None without a file.
    """

    kind: str
    max_difference: float
    mean_difference: float
    psnr: float
    realised: float
    leak: float
    megabytes: float | None = None
    milliseconds: Mapping[int, float] = field(default_factory=dict)
    peak_megabytes: float | None = None


def export_tflite(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    kinds: Sequence[str] = KINDS,
    image_size: int | None = None,
    step: int | None = None,
    load_examples: Callable[[], Examples] | None = None,
    gate: bool = True,
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
        load_examples: gives what to compare on, and to calibrate with; None: drawn faces, which are right for a run
            that learned from them. It is called when all else is known to be right.
        gate: whether a file that is further from the Keras model than allowed is an error: a pixel by more than
            `PIXELS`, or, for the int8 kinds, the realised change by more than `LOST` or the leak by more than `LEAKED`.
            Otherwise it is a warning.

    Raises:
        UserError: LiteRT or the quantizer is missing, a kind is unknown, there is no such run, the folder exists, a
            file has an operation that GPUs do not take, or does not pass the gate. Nothing is written then.
    """
    load_litert()
    kinds = tuple(dict.fromkeys(kinds))
    if not kinds or set(kinds) - set(KINDS):
        raise UserError(f"--kinds or --tflite={','.join(kinds)}: must be one or several of {', '.join(KINDS)}")
    if "int8" in kinds:
        check_quantizer()
    run_dir, out = any_path(run_dir, "run"), any_path(out, "out")
    check_new_directory(out)
    model = read_model(run_dir)
    size = model.image_size if image_size is None else image_size
    check_image_size(size, 2**model.depth)
    generator, step = load_for_export(run_dir, step, "float32")
    generator.flip_tta = False  # an edit would take twice as long
    examples = load_examples() if load_examples else drawn_examples(len(model.attributes), size)
    with atomic_directory(out) as folder:
        files = _write(generator, size, describe(run_dir, size, step), kinds, folder, examples)
        rows = _compare(files, generator, examples)
        for fault in filter(None, map(_fault, rows)):
            if gate:
                raise UserError(f"{fault}; nothing is kept")
            logging.warning("%s", fault)
        write_json(folder / "report.json", [asdict(row) for row in rows])
        write_text(folder / "report.md", to_markdown(rows))
    return rows


def to_markdown(rows: Sequence[Comparison]) -> str:
    """The comparisons as a Markdown table."""
    threads = sorted({count for row in rows for count in row.milliseconds})
    head = ["file", "max difference / 255", "mean", "PSNR, dB", "realised", "leak", "MB"]
    head += [*(f"ms, threads: {count}" for count in threads), "peak MB"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [f"{row.max_difference:.3f}", f"{row.mean_difference:.4f}", f"{row.psnr:.1f}"]
        cells += [f"{row.realised:+.3f}", f"{row.leak:+.2f}"]
        cells += ["" if row.megabytes is None else f"{row.megabytes:.2f}"]
        cells += [f"{row.milliseconds[count]:.1f}" if row.milliseconds else "" for count in threads]
        cells += ["" if row.peak_megabytes is None else f"{row.peak_megabytes:.0f}"]
        name = "float16 throughout, as on a GPU" if row.kind == "gpu" else f"elegant_{row.kind}.tflite"
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _write(
    generator: Elegant,
    size: int,
    described: Mapping[str, Any],
    kinds: Sequence[str],
    folder: Path,
    examples: Examples,
) -> dict[str, Path]:
    """Writes the files, and returns their paths by kind."""
    functions = _functions(generator, size)
    files = {kind: folder / f"elegant_{kind}.tflite" for kind in kinds}
    with tempfile.TemporaryDirectory() as saved:
        module = tf.Module()
        module.generator_variables = [tf_variable(variable) for variable in generator.weights]
        tf.saved_model.save(module, saved, signatures=functions)
        convert = functools.cache(functools.partial(_convert, saved, tuple(functions)))
        for kind, path in files.items():
            data = convert("float32" if kind == "int8" else kind)
            if kind == "int8":
                data = quantize(
                    data, examples.calibration, len(generator.attributes), [f"decoder_{generator.depth - 1}"]
                )
            path.write_bytes(_finish(data, path.name, described))
    return files


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


def _convert(saved_model: str, signatures: Sequence[str], kind: str) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=list(signatures))
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _finish(data: bytes, name: str, described: Mapping[str, Any]) -> bytes:
    """A file's data with metadata, after a look at its operations."""
    model = parse_model(data)
    check_gpu_ops(model, name)
    return add_metadata(model, described)


def _compare(files: Mapping[str, Path], generator: Elegant, examples: Examples) -> list[Comparison]:
    """Compares every kind's swaps, and those in float16, with the Keras model's."""
    count, attributes = len(examples.inputs), len(generator.attributes)
    swaps: dict[str, Callable[..., Any]] = {kind: load_signature(path, "swap", 2) for kind, path in files.items()}
    swaps["gpu"] = _in_float16(generator)
    by_run = np.empty(examples.inputs.shape, np.float32)
    edited = {kind: np.empty_like(by_run) for kind in swaps}
    keras_edit = tf.function(_keras_swap(generator), autograph=False)
    for row in range(count):
        inputs = {
            "image": to_float(examples.inputs[row : row + 1]),
            "exemplar": to_float(examples.exemplars[row : row + 1]),
            "weights": np.eye(attributes, dtype=np.float32)[[examples.attribute[row]]],
        }
        by_run[row] = keras_edit(**{name: tf.constant(value) for name, value in inputs.items()}).numpy()[0]
        for kind, swap in swaps.items():
            edited[kind][row] = swap(**inputs)["edited"][0]
    return [_row(kind, images, by_run, examples, files.get(kind)) for kind, images in edited.items()]


def _keras_swap(generator: Elegant) -> Callable[..., tf.Tensor]:
    return lambda image, exemplar, weights: generator(image, exemplar[:, None], weights[:, None])


def _in_float16(generator: Elegant) -> SignatureRunner:
    """`swap` with every result in float16."""
    swap = tf.function(functools.partial(mobile_graph.swap, generator), autograph=False)

    def run(image: np.ndarray, exemplar: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        half = (tf.constant(value, tf.float16) for value in (image, exemplar, weights))
        return {"edited": swap(*half).numpy().astype(np.float32)}

    return run


def _row(kind: str, edited: np.ndarray, by_run: np.ndarray, examples: Examples, path: Path | None) -> Comparison:
    error = np.abs(edited - by_run) * 127.5
    pixels, by_run = to_uint8(edited), to_uint8(by_run)
    (realised, leak), (expected, unavoidable) = (examples.quality(images, by_run) for images in (pixels, by_run))
    squared = float(np.square(error).mean(dtype=np.float64))
    return Comparison(
        kind=kind,
        max_difference=float(error.max()),
        mean_difference=float(error.mean(dtype=np.float64)),
        psnr=float(10 * np.log10(255**2 / max(squared, 1e-12))),
        realised=realised - expected,
        leak=leak - unavoidable,
        **(vars(footprint(path)) if path else {}),
    )


def _fault(row: Comparison) -> str | None:
    """Why a file may not be kept; None if it may."""
    if row.kind == "gpu":
        _warn_of_gpu(row)
    elif row.kind in PIXELS:
        if not row.max_difference <= PIXELS[row.kind]:
            return (
                f"{row.kind}: an edited pixel is {row.max_difference:.2f} of 255 from the Keras model's, "
                f"more than {PIXELS[row.kind]:g}"
            )
    elif not (row.realised >= -LOST and row.leak <= LEAKED):
        return (
            f"{row.kind}: compared with the Keras model, the realised change is {row.realised:+.3f} and the leak "
            f"{row.leak:+.2f} of 255; allowed are {-LOST:g} and {LEAKED:+g}"
        )
    return None


def _warn_of_gpu(row: Comparison) -> None:
    if not row.max_difference <= PIXELS_ON_GPU:
        logging.warning(
            "in float16 throughout, as on a GPU, an edited pixel is %.2f of 255 from the Keras model's, more than %g",
            row.max_difference,
            PIXELS_ON_GPU,
        )
