"""The command `elegant-tf`: trains, edits and evaluates, and writes drawn faces."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from elegant_tf import cli_data, cli_evaluation, cli_serving, launch
from elegant_tf.cli_options import make_parser
from elegant_tf.config import Config, preset
from elegant_tf.data import faces
from elegant_tf.data.attributes import find_attributes
from elegant_tf.errors import UserError
from elegant_tf.images import check_image_size, check_output, grid, read_image, resize, write_image

USER_ERROR_STATUS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line, `sys.argv`'s if None; the exit status: 0, 1 if `doctor` finds
    errors, 2 on a user's mistake, 130 on Ctrl-C.

    Raises:
        SystemExit: from `train`, `--help`, `--version` and malformed options, with the status.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        if argv[:1] == ["train"]:  # Its flags are absl's, one for each field of the configuration.
            launch.run(["elegant-tf train", *argv[1:]])
        options = make_parser().parse_args(argv)
        return _run(options) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR_STATUS
    except KeyboardInterrupt:
        return launch.INTERRUPTED_STATUS


def _run(options: Namespace) -> int | None:
    commands = {
        "faces": _faces,
        "evaluate": _evaluate,
        "pack": _pack,
        "import-torch": _import_torch,
        "export-torch": _export_torch,
        "tflite": _tflite,
        "serve-client": cli_serving.run,
        "prepare": cli_data.prepare,
        "align": cli_data.align,
        "doctor": cli_data.doctor,
        "train-classifier": cli_evaluation.train_classifier,
    }
    return commands.get(options.command, _edit)(options)


def _faces(options: Namespace) -> None:
    out, count = Path(options.out), options.counterfactuals
    faces.write_celeba(out, options.count, options.image_size, options.seed, count, workers=None)
    print(out)


def _evaluate(options: Namespace) -> None:
    Config.load(options.run)
    launch.prepare_tensorflow()
    from elegant_tf.evaluation.report import evaluate

    files = (options.data_dir, options.count, options.out, options.classifier, options.inception)
    print(evaluate(options.run, *files, options.step, options.face_models, options.distance_count, options.seed))


def _pack(options: Namespace) -> None:
    config = Config.load(options.run)
    launch.prepare_tensorflow()
    from elegant_tf.training.checkpoint import load_editing_generator
    from elegant_tf.training.packed import pack

    generator, step = load_editing_generator(config, options.run, options.step)
    if options.mirror_edits:
        config = dataclasses.replace(config, mirror_edits=True)
    print(f"{pack(config, generator, step, options.out)}: step {step}")


def _edit(options: Namespace) -> None:
    """Refuses what can be refused before TensorFlow is loaded."""
    check_output(options.out, options.overwrite)
    config = Config.load(options.run)
    size = config.image_size if options.image_size is None else options.image_size
    check_image_size(size, 2**config.depth)
    names = options.attributes
    find_attributes(names, config.attributes)
    folders = options.command == "grid"
    inputs, exemplars = _read(options.input, size, folders), _read(options.exemplar, size, folders)
    write_image(options.out, _edited(options, size, names, inputs, exemplars), options.overwrite)
    print(options.out)


def _import_torch(options: Namespace) -> None:
    config = preset(
        "official",
        attributes=options.attributes,
        image_size=options.image_size,
        width=options.width,
        depth=options.depth,
    )
    launch.prepare_tensorflow()
    from elegant_tf.export.torch_runs import import_run

    networks = import_run(options.pth_dir, options.step, config, options.run)
    left_out = "" if "D1" in networks else "; without D1 and D2: training would go on with new discriminators"
    print(f"{options.run}: {', '.join(networks)} of step {options.step}{left_out}")
    given = {name: getattr(options, name) for name in ("image_size", "width", "depth")}
    shape = "".join(f" --{name}={value}" for name, value in given.items() if value != getattr(Config, name))
    print(
        "to train on:  python train.py --data=celeba --data_dir=DIR "
        f"--run_dir={shlex.quote(options.run)} --attributes={shlex.quote(','.join(config.attributes))}{shape}"
    )


def _export_torch(options: Namespace) -> None:
    Config.load(options.run)
    launch.prepare_tensorflow()
    from elegant_tf.export.torch_runs import export_run

    paths, discriminators = export_run(options.run, options.out, options.step)
    print(*paths, sep="\n")
    if not discriminators:
        print("without D1 and D2: those of --conditioning=projection are not the authors'")


def _tflite(options: Namespace) -> None:
    Config.load(options.run)
    launch.prepare_tensorflow()
    from elegant_tf.export.tflite import export_tflite, to_markdown

    rows = export_tflite(options.run, options.out, options.kinds, options.image_size, options.step)
    print(to_markdown(rows) + options.out)


def _edited(
    options: Namespace,
    size: int,
    names: Sequence[str],
    inputs: Sequence[np.ndarray],
    exemplars: Sequence[np.ndarray],
) -> np.ndarray:
    launch.prepare_tensorflow()
    from elegant_tf.editor import Editor

    editor = Editor.load(options.run, size)
    if options.command == "swap":
        return editor.swap(inputs[0], exemplars, names, options.strength)
    if options.command == "linear":
        strip = editor.linear(inputs[0], exemplars, names, options.steps)
        return grid([inputs[0], *strip], columns=len(strip) + 1)
    if options.command == "matrix":
        return grid(editor.matrix(inputs[0], exemplars, names, options.rows, options.cols))
    edited = editor.grid(inputs, exemplars, names, options.strength)
    head = [np.full_like(inputs[0], 255), *exemplars]
    return grid([head, *([image, *row] for image, row in zip(inputs, edited, strict=True))])


def _read(paths: Sequence[str], size: int, folders: bool) -> list[np.ndarray]:
    """The pictures, each at its final size at once: a folder of photos need not fit into memory."""
    files = [file for path in paths for file in (cli_data.list_files(path) if folders else [path])]
    return [resize(read_image(file), size) for file in files]
