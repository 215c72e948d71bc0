"""Finding attributes and columns by their names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from elegant_tf.errors import UserError


def find_attributes(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """The positions of `names` in `known`. Raises UserError on an empty list, and on a repeated or unknown name."""
    return _find(names, known, "attributes", "attribute")


def check_columns(names: Sequence[str], known: Sequence[str]) -> None:
    """Raises UserError unless `--by` names columns of `known`, each once, and one at least."""
    _find(names, known, "by", "column")


def _find(names: Sequence[str], known: Sequence[str], flag: str, what: str) -> list[int]:
    if isinstance(names, str):
        raise UserError(f"{flag} must be a list of names, not the text {names!r}: write [{names!r}]")
    if not names:
        raise UserError(f"--{flag} is empty: name at least one of {', '.join(known)}")
    positions = {name: position for position, name in enumerate(known)}
    for name in names:
        if name not in positions:
            raise UserError(f"--{flag}: unknown {what} {name!r}: {_suggestion(name, known)}")
    if len(set(names)) < len(names):
        repeated = next(name for name in names if list(names).count(name) > 1)
        raise UserError(f"--{flag} names {repeated!r} twice: name each {what} once")
    return [positions[name] for name in names]


def _suggestion(name: str, known: Sequence[str]) -> str:
    by_plain_name = {_plain(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_plain(name), by_plain_name, n=1)
    guess = f"did you mean {by_plain_name[close[0]]}? " if close else ""
    return f"{guess}Known are {', '.join(known)}"


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
