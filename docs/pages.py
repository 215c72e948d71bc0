"""What MkDocs makes beside the pages of this folder: the front page, and the reference of commands and options.

The front page is README.md, so that both are one text. Pages link to each other as files of the
project, as GitHub needs it; LINKS turns these links into those of the site.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from elegant_tf.cli import train
from elegant_tf.cli.main import MODULES, main
from elegant_tf.config import GROUPS, flag_of, options

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASING.md": "releasing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
    "experiments/learning.md": "experiments/learning.md",
    "experiments/shipped_faces.md": "experiments/shipped_faces.md",
}
# Links between files of the project to links between pages of the site.
LINKS = {
    "](docs/": "](",
    "](../docs/": "](../",
    "](../experiments/": "](experiments/",
    **{f"]({name})": f"]({page})" for name, page in PAGES.items()},
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds pages to the site's files; MkDocs calls this."""
    os.environ["COLUMNS"] = "80"
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    for name, lines in {"commands": _commands(), "options": _options()}.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(lines) + "\n"))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A page with the links of the site; MkDocs calls this."""
    for link, moved in LINKS.items():
        markdown = markdown.replace(link, moved)
    return markdown


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield "\n## elegant-tf train\n"
    yield f"```text\n{train.HELP}```\n\n[Options](options.md) describes its options."
    actions = [["serve-client", "edit"], ["serve-client", "metadata"]]
    for words in sorted([*([name] for name in MODULES), *actions], key=lambda words: [*MODULES].index(words[0])):
        yield f"\n## elegant-tf {' '.join(words)}\n\n```text\n{_help(words)}```"


def _help(words: Sequence[str]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return printed.getvalue()


def _options() -> Iterator[str]:
    yield "# Options of a run"
    yield "\nFlags of `elegant-tf train`, in the groups of `Config` and `config.json`. A preset changes defaults."
    for group in GROUPS:
        yield f"\n## {group}\n\n| flag | default | |\n|---|---|---|"
        for option in (option for name, option in options() if name == group):
            default = ",".join(option.default) if isinstance(option.default, tuple) else option.default
            text = " ".join([option.metadata["help"], *_allowed(option.metadata)])
            yield f"| `--{flag_of(option)}` | {f'`{default}`' if default != '' else ''} | {text} |"


def _allowed(metadata: Mapping[str, Any]) -> Iterator[str]:
    if metadata["choices"]:
        yield "One of " + ", ".join(f"`{choice}`" for choice in metadata["choices"]) + "."
    bounds = {name.replace("_", " "): value for name, value in vars(metadata["bounds"]).items() if value is not None}
    if bounds:
        yield ", ".join(f"{name} {value:g}" for name, value in bounds.items()).capitalize() + "."
