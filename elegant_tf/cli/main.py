"""The command `elegant-tf`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence

import elegant_tf
from elegant_tf.cli.command import INTERRUPTED_STATUS, USER_ERROR_STATUS, Command, add_parser
from elegant_tf.cli.old_flags import refuse_old_flags
from elegant_tf.errors import UserError

# The module of each command. Only that of the command that is called is imported, which saves a quarter of a second.
# `train` is not listed, because its flags are absl's.
MODULES: Mapping[str, str] = {
    "swap": "edit",
    "linear": "edit",
    "matrix": "edit",
    "grid": "edit",
    "evaluate": "evaluate",
    "train-classifier": "train_classifier",
    "faces": "faces",
    "doctor": "doctor",
    "prepare": "prepare",
    "align": "align",
    "pack": "pack",
    "export": "export",
    "tflite": "tflite",
    "serve-client": "serve_client",
    "import-torch": "torch_runs",
    "export-torch": "torch_runs",
}

_EPILOG = """\
examples:
  elegant-tf train --run_dir=runs/demo --preset=demo
  elegant-tf swap --run runs/demo --input a.png --exemplar b.png --attributes Eyeglasses --out c.png
  elegant-tf evaluate --run runs/demo
  elegant-tf export --run runs/demo --out models/elegant
  elegant-tf faces --out faces --count 1000 --image_size 128

`elegant-tf COMMAND --help` describes a command and its options.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line, that of the process if None.

    Returns:
        The exit status: 0, 1 if `doctor` finds errors, 2 on a user's mistake, 130 on Ctrl-C.

    Raises:
        SystemExit: from `train`, `--help`, `--version` and malformed options, with the status.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        if argv[:1] == ["train"]:
            from elegant_tf.cli import train

            train.run(argv[1:])
        refuse_old_flags(argv)
        options = make_parser(argv[:1] if argv[:1] and argv[0] in MODULES else MODULES).parse_args(argv)
        return options.command.run(options) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR_STATUS
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS


def make_parser(names: Iterable[str] = MODULES) -> argparse.ArgumentParser:
    """The parser of a command line that calls one of these commands. It sets `command` to the `Command`."""
    parser = argparse.ArgumentParser(
        prog="elegant-tf",
        description=elegant_tf.__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"elegant-tf {elegant_tf.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands.add_parser("train", help="train a model, or resume a run; the same as train.py", add_help=False)
    for command in map(_find, names):
        added = add_parser(commands, command.name, command.summary, command.help)
        added.set_defaults(command=command)
        command.add_options(added)
    return parser


def _find(name: str) -> Command:
    module = importlib.import_module(f"elegant_tf.cli.{MODULES[name]}")
    return next(command for command in module.COMMANDS if command.name == name)
