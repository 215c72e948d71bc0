"""Flags of older versions: an error names the new flag."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from elegant_tf.errors import UserError
from elegant_tf.upgrade import REMOVED, RENAMED, RENAMED_VALUES


def refuse_old_flags(words: Sequence[str]) -> None:
    """Refuses a command line with a flag, or a value of a flag, that was renamed or removed.

    Args:
        words: the command line, flags as `--name=value`, `--name value`, `--name` or `--noname`.

    Raises:
        UserError: there is one; the text names the new flag or value, or advises what to do without it.
    """
    for word, following in itertools.pairwise([*words, ""]):
        if word == "--":
            return
        if word.startswith("-"):
            flag, equals, value = word.lstrip("-").partition("=")
            _check(flag, value if equals else following)


def _check(flag: str, value: str) -> None:
    name = flag.removeprefix("no")
    if name in RENAMED:
        raise UserError(f"--{name} is now --{RENAMED[name]}")
    if name in REMOVED:
        raise UserError(f"--{name} was removed: {REMOVED[name].advice}")
    if value in RENAMED_VALUES.get(flag, {}):
        raise UserError(f"--{flag}={value} is now --{flag}={RENAMED_VALUES[flag][value]}")
