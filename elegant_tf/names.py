"""Finding attributes by their names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from elegant_tf.errors import UserError


def find_attributes(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """The positions of `names` in `known`. Raises UserError on an empty list, and on a repeated or unknown name."""
    if isinstance(names, str):
        raise UserError(f"attributes must be a list of names, not the text {names!r}: write [{names!r}]")
    if not names:
        raise UserError(f"--attributes is empty: name at least one of {', '.join(known)}")
    positions = {name: position for position, name in enumerate(known)}
    for name in names:
        if name not in positions:
            raise UserError(f"--attributes: unknown attribute {name!r}: {_suggestion(name, known)}")
    if len(set(names)) < len(names):
        repeated = next(name for name in names if list(names).count(name) > 1)
        raise UserError(f"--attributes names {repeated!r} twice: name each attribute once")
    return [positions[name] for name in names]


def _suggestion(name: str, known: Sequence[str]) -> str:
    by_plain_name = {_plain(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_plain(name), by_plain_name, n=1)
    guess = f"did you mean {by_plain_name[close[0]]}? " if close else ""
    return f"{guess}Known are {', '.join(known)}"


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
