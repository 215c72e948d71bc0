"""Exports a trained run for TF Serving: `python export_savedmodel.py --run_dir=DIR --export_dir=DIR`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from absl import app, flags

from elegant_tf import launch
from elegant_tf.errors import UserError

flags.DEFINE_string("run_dir", None, "Run directory of a trained model.", required=True)
flags.DEFINE_string("export_dir", None, "Directory of the versions; TF Serving's model_base_path.", required=True)
flags.DEFINE_integer("version", None, "Number of the new version; default: the step.")
flags.DEFINE_integer("step", None, "An older checkpoint; default: the newest.")
flags.DEFINE_integer("image_size", None, "Side of the edited pictures; default: the run's.")
flags.DEFINE_string("resize", "crop", "What becomes of pictures that are not square: crop, pad or stretch.")
flags.DEFINE_string("encoding", "png", "Format of edited pictures: png or jpeg.")
flags.DEFINE_string("precision", "float32", "Number format: float32, or mixed_float16 or mixed_bfloat16 for GPUs.")
flags.DEFINE_list("tflite", [], "Also write TFLite files of these kinds: float32, float16, dynamic_int8.")
flags.DEFINE_bool("warmup", False, "Add requests that TF Serving runs before it answers; needs elegant-tf[serving].")


def main(argv: list[str]) -> None:
    try:
        for path in _export(argv):
            print(path)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _export(argv: list[str]) -> Iterator[Path]:
    if len(argv) > 1:
        raise UserError(f"unexpected arguments: {' '.join(argv[1:])}; options start with --")
    values = flags.FLAGS
    launch.prepare_tensorflow()
    from elegant_tf.export.savedmodel import ExportOptions, export_savedmodel
    from elegant_tf.export.tflite import export_tflite

    options = ExportOptions(
        version=values.version,
        image_size=values.image_size,
        resize=values.resize,
        encoding=values.encoding,
        precision=values.precision,
        warmup=values.warmup,
    )
    path = export_savedmodel(values.run_dir, values.export_dir, options, values.step)
    yield path
    if values.tflite:
        out = path.parent / "tflite" / path.name  # TF Serving looks at directories named by numbers only.
        export_tflite(values.run_dir, out, values.tflite, values.image_size, values.step)
        yield out


if __name__ == "__main__":
    app.run(main)
