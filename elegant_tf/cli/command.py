"""What a command of `elegant-tf` is, and the exit statuses of all."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

INTERRUPTED_STATUS = 130
CLOSED_PIPE_STATUS = 141


class Command(NamedTuple):
    """A command: its name and options, what `--help` says, and what it does.

    `summary` is a line in the list of commands; `help` is a description and, from the line that begins with
    "example", examples; `run` returns the exit status, or None for 0.
    """

    name: str
    summary: str
    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, help: str
) -> argparse.ArgumentParser:
    """Adds the parser of a command; its arguments are the fields of `Command`."""
    description, _, examples = help.partition("\n\nexample")
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog="example" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
