"""What each convolution loses in int8: every layer in turn left in float, the others in int8.

    python benchmarks/int8_layers.py --run faces
    python benchmarks/int8_layers.py --run portraits --data_dir dressed

Prints, for each layer left in float, how far edited pixels are from those of the float32 file, and the file's size.
The layers of `export/int8.py` that stay in float were chosen by this table.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import numpy as np

from elegant_tf.evaluation.examples import load_examples
from elegant_tf.export.examples import Examples
from elegant_tf.export.int8 import quantize
from elegant_tf.export.tflite import export_tflite
from elegant_tf.export.written import open_model
from elegant_tf.rundir import read_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="faces")
    parser.add_argument("--data_dir", help="a folder of `elegant-tf dress` or `faces` (default: the run's data)")
    arguments = parser.parse_args()
    examples, model = load_examples(arguments.run, data_dir=arguments.data_dir, count=4), read_model(arguments.run)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "phone"
        export_tflite(arguments.run, out, ["float32"], load_examples=lambda: examples)
        float32 = out / "elegant_float32.tflite"
        expected = edit(float32, examples)
        layers = [f"{side}_{level}" for side in ("encoder", "decoder") for level in range(model.depth)]
        print("| left in float | max difference / 255 | mean | MB |\n|---|---|---|---|")
        for left in ([], *([layer] for layer in layers)):
            path = Path(folder) / "int8.tflite"
            path.write_bytes(quantize(float32.read_bytes(), examples.calibration, len(model.attributes), left))
            error = np.abs(edit(path, examples) - expected)
            size = path.stat().st_size / 1e6
            print(f"| {left[0] if left else 'none'} | {error.max()} | {error.mean():.3f} | {size:.2f} |", flush=True)


def edit(path: Path, examples: Examples) -> np.ndarray:
    """Every example's edit by a file, int16 `[M, S, S, 3]`."""
    model = open_model(path)
    coefficients = np.eye(len(model.attributes))[examples.attribute][:, None]
    return model.edit(examples.inputs, examples.exemplars[:, None], coefficients).astype(np.int16)


if __name__ == "__main__":
    main()
