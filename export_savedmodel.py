"""Will export a trained run for serving: `python export_savedmodel.py --run_dir=DIR --export_dir=DIR`."""

from __future__ import annotations

import sys

from absl import app, flags

RUN_DIR = flags.DEFINE_string("run_dir", None, "Run directory of a trained model.", required=True)
EXPORT_DIR = flags.DEFINE_string("export_dir", None, "Directory to write the SavedModel to.", required=True)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        print(f"error: unexpected arguments: {' '.join(argv[1:])}; options start with --", file=sys.stderr)
    else:
        print(
            f"error: cannot export {RUN_DIR.value} to {EXPORT_DIR.value}: export is not there yet; "
            "until it is, edit images with `elegant-tf swap` or elegant_tf.Editor",
            file=sys.stderr,
        )
    sys.exit(2)


if __name__ == "__main__":
    app.run(main)
