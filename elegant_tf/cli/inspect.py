"""`elegant-tf inspect`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elegant_tf.cli.command import Command
from elegant_tf.errors import UserError
from elegant_tf.marks import EDITED, GENERATED, SOURCE_TYPES, Mark, Receipt, read_mark
from elegant_tf.paths import local_path
from elegant_tf.signing import Credentials, is_installed, read_credentials

HELP = """\
Says what image files say about how they were made: whether they are marked as edited, the receipts of edits by
elegant-tf, and the digital source type that other programs wrote. With c2pa-python (pip install 'elegant-tf[c2pa]'), it
also verifies signed Content Credentials. Anyone can remove or forge a mark that is not signed.

examples:
  elegant-tf inspect out.jpg
  elegant-tf inspect *.jpg --json
"""

_WORDS = {
    EDITED: "a photo that was edited with a trained model",
    GENERATED: "made by a trained model",
    f"{SOURCE_TYPES}compositeSynthetic": "a composite with synthetic parts",
    f"{SOURCE_TYPES}composite": "a composite",
    f"{SOURCE_TYPES}digitalCapture": "taken by a digital camera",
    f"{SOURCE_TYPES}computationalCapture": "taken by a digital camera, and computed from several exposures",
    f"{SOURCE_TYPES}algorithmicallyEnhanced": "enhanced by a program",
    f"{SOURCE_TYPES}humanEdits": "edited by a person",
}
_STATES = {
    "trusted": "intact, from a trusted signer",
    "valid": "intact; the signer is on no list of trusted ones here",
    "invalid": "NOT valid",
}


@dataclass(frozen=True)
class _Found:
    file: str
    mark: Mark | None = None
    credentials: Credentials | None = None
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        mark = (self.mark or Mark("", ())).as_json()
        credentials = asdict(self.credentials) if self.credentials else None
        return {"file": self.file, **mark, "credentials": credentials, "error": self.error or None}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="images to look at")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(options: argparse.Namespace) -> None:
    found = [_look(file) for file in map(local_path, options.files)]
    if options.json:
        print(json.dumps([one.as_json() for one in found], indent=2))
    else:
        for one in found:
            print("\n".join(_printable(line) for line in _lines(one)))
    errors = [one.error for one in found if one.error]
    if errors:
        raise UserError(errors[0] + (f" (and {len(errors) - 1} more)" if errors[1:] else ""))


def _look(file: str) -> _Found:
    mark = None
    try:
        mark = read_mark(file)
        return _Found(file, mark, read_credentials(file) if is_installed() else None)
    except UserError as error:
        return _Found(file, mark, None, str(error))


def _lines(found: _Found) -> Iterator[str]:
    mark = found.mark
    if mark is None:
        yield found.error or f"{found.file}: no mark{' in its XMP' if found.credentials else ''}"
    else:
        source = _WORDS.get(mark.source_type) or mark.source_type.rpartition("/")[2]
        yield f"{found.file}: {source or 'edited, but its digital source type is missing'}"
        for number, receipt in enumerate(mark.receipts, 1):
            yield from _receipt_lines(receipt, f" {number}" if len(mark.receipts) > 1 else "")
    if found.credentials:
        yield from _credentials_lines(found.credentials)
    elif not is_installed() and not found.error and b"c2pa" in Path(found.file).read_bytes():
        yield "  Content Credentials: not verified; for that, pip install 'elegant-tf[c2pa]'"


def _receipt_lines(receipt: Receipt, number: str) -> Iterator[str]:
    yield f"  edit{number}: {', '.join(receipt.attributes) or 'unknown'}"
    yield f"    strength:    {_joined(f'{value:g}' for value in receipt.strength)}"
    step = "" if receipt.step is None else f", step {receipt.step}"
    yield f"    model:       {receipt.model or 'unknown'}{step}"
    yield f"    exemplars:   {_joined(receipt.exemplars)}"
    yield f"    elegant_tf:  {receipt.version or 'unknown'}"


def _joined(values: Sequence[str] | Iterator[str]) -> str:
    return ", ".join(values) or "unknown"


def _credentials_lines(credentials: Credentials) -> Iterator[str]:
    yield f"  Content Credentials: {_STATES.get(credentials.state, credentials.state)}"
    yield f"    signer:      {credentials.signer or 'unknown'} ({credentials.issuer or 'unknown'})"
    if credentials.state == "invalid":
        for problem in credentials.problems:
            yield f"    problem:     {problem}"


def _printable(text: str) -> str:
    """A text without characters that would steer a terminal: what a file says may be hostile."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


COMMANDS = (Command("inspect", "say how an image file says it was made", HELP, _add_options, _run),)
