"""The command `elegant-tf`."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NoReturn

import elegant_tf
from elegant_tf.cli.command import (
    CLOSED_PIPE_STATUS,
    INTERRUPTED_STATUS,
    Command,
    add_parser,
)
from elegant_tf.cli.old_flags import refuse_old_flags
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.errors import USER_ERROR_STATUS, UserError

# The module of each command. Only that of the command that is called is imported, which saves a quarter of a second.
# `train` is not listed, because its flags are absl's.
MODULES: Mapping[str, str] = {
    "swap": "edit",
    "linear": "edit",
    "matrix": "edit",
    "grid": "edit",
    "catalogue": "catalogue",
    "inspect": "inspect",
    "sign": "sign",
    "evaluate": "evaluate",
    "compare": "compare",
    "train-classifier": "train_classifier",
    "faces": "faces",
    "dress": "dress",
    "doctor": "doctor",
    "prepare": "prepare",
    "align": "align",
    "pack": "pack",
    "export": "export",
    "tflite": "tflite",
    "demo": "demo",
    "serve-client": "serve_client",
    "import-torch": "torch_runs",
    "export-torch": "torch_runs",
}

ENDING = (signal.SIGTERM, signal.SIGHUP)

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
        The exit status: 0, 1 if `doctor` finds errors or `compare` a change beyond its limits, 2 on a user's mistake,
        130 on Ctrl-C, 141 if whoever read the output has closed it, as `head` does. SIGTERM and SIGHUP: 128 and their
        number.

    Raises:
        SystemExit: from `--help`, `--version` and malformed options, with the status.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names of files that no text can hold
    try:
        return _status(sys.argv[1:] if argv is None else list(argv))
    except BrokenPipeError:
        _discard_output()
        return CLOSED_PIPE_STATUS


def _status(argv: list[str]) -> int:
    """Runs a command line; the exit status."""
    try:
        return _run(argv)
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, or a file or folder that must not be read or written
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except _exhausted() as error:
        first = (str(error).splitlines() or ["out of memory"])[0]
        return _fail(f"too little memory: {first}; smaller or fewer images need less")
    finally:
        if sys.stdout is not None:  # as in `elegant-tf … >&-`
            sys.stdout.flush()


def _run(argv: list[str]) -> int:
    if argv[:1] == ["train"]:
        from elegant_tf.cli import train

        return train.run(argv[1:])
    refuse_old_flags(argv)
    options = make_parser(argv[:1] if argv[:1] and argv[0] in MODULES else MODULES).parse_args(argv)
    if any("://" in argument for argument in argv):
        prepare_tensorflow()  # which reads object stores, so that the first look loads it
    with _orderly_end():
        return options.command.run(options) or 0


@contextlib.contextmanager
def _orderly_end() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP end the command as an exception does, which removes what is half-written."""
    main_thread = threading.current_thread() is threading.main_thread()
    caught = [number for number in ENDING if main_thread and signal.getsignal(number) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return USER_ERROR_STATUS


def _exhausted() -> tuple[type[Exception], ...]:
    """What Python and, if it is loaded, TensorFlow raise where memory is short."""
    tensorflow = sys.modules.get("tensorflow")
    return (MemoryError, tensorflow.errors.ResourceExhaustedError) if tensorflow else (MemoryError,)


def _discard_output() -> None:
    """Sends what is still to be written nowhere, or Python would try once more at its end and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        os.dup2(nowhere, stream.fileno())


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
