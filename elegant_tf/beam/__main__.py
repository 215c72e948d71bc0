"""`python -m elegant_tf.beam`: edits many image files with an exported model on Apache Beam."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any

from elegant_tf.beam import check_installed
from elegant_tf.cli.command import INTERRUPTED_STATUS
from elegant_tf.cli.exemplars import add_exemplar_options, find_known
from elegant_tf.cli.options import add_number, add_strength, names
from elegant_tf.errors import USER_ERROR_STATUS, UserError
from elegant_tf.files import check_writable

DESCRIPTION = """\
Edits many image files with a model that `elegant-tf export` wrote, on any runner of Apache Beam. Every option that is
not listed here is one of Apache Beam, such as --runner. Files may be on any file system that Apache Beam reaches
(gs://, s3://, hdfs://). Images that cannot be edited are listed in dead_letters.jsonl in the folder --out.
Needs apache-beam: pip install 'elegant-tf[beam]'.
"""

EXAMPLES = """\
examples:
  python -m elegant_tf.beam --input 'photos/*.jpg' --exemplar e.png --attributes Eyeglasses \\
      --export models/elegant --out edited
  python -m elegant_tf.beam --input 'photos/**' --exemplar styles.npz:aviator --attributes Eyeglasses \\
      --export models/elegant --out edited --runner FnApiRunner \\
      --direct_num_workers 4 --direct_running_mode multi_processing
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line, that of the process if None; the exit status: 0, 2 on a user's mistake, 130 on Ctrl-C."""
    try:
        options, rest = make_parser().parse_known_args(argv)
        check_installed()
        edited, dead = _run(options, rest)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR_STATUS
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    print(f"{options.out}: {edited} edited, {dead} dead letters")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of this command's own options."""
    parser = argparse.ArgumentParser(
        prog="python -m elegant_tf.beam",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = "images to edit, or patterns: * stands for any name, ** for any folders"
    parser.add_argument("--input", required=True, nargs="+", metavar="PATTERN", help=what)
    what = "image to take attributes from, or one for each attribute; or exemplars of a catalogue, as FILE:NAME"
    parser.add_argument("--exemplar", required=True, nargs="+", metavar="FILE", help=what)
    add_exemplar_options(parser, nearest=False)
    what = "attributes to transfer, separated by commas"
    parser.add_argument("--attributes", type=names, required=True, metavar="A,B", help=what)
    add_strength(parser)
    what = "directory of the exported model's versions, of which the newest is taken, or of one version"
    parser.add_argument("--export", required=True, metavar="DIR", help=what)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for edited images")
    what = "folder below which the images' folders are kept in --out (default: the one that all --input share)"
    parser.add_argument("--root", metavar="DIR", help=what)
    add_number(parser, "--batch_size", 8, "images that the model edits at once", at_least=1, at_most=1024)
    parser.add_argument("--nomark", action="store_true", help="do not mark the images as edited")
    return parser


def _run(options: argparse.Namespace, rest: Sequence[str]) -> tuple[int, int]:
    """The numbers of edited images and of dead letters, as far as the runner counts."""
    import apache_beam as beam
    from apache_beam.io.fileio import MatchAll
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineState

    from elegant_tf.beam.files import fixed_folder, is_local
    from elegant_tf.beam.model import Export, find_version
    from elegant_tf.beam.transform import EditImages
    from elegant_tf.serving.client import Client

    _check_options(rest)
    try:  # first, because file systems have options, too
        pipeline = beam.Pipeline(options=PipelineOptions(list(rest)))
    except (ImportError, ValueError) as error:  # of an unknown runner, or one that needs an extra
        raise UserError(f"Apache Beam refuses its options: {error}") from error
    files, patterns = _find(options.input)
    version = find_version(options.export)
    client = Client(Export(version))
    edit = EditImages(
        export=version,
        exemplars=find_known(options, check=client.check_catalogue),
        attributes=options.attributes,
        out=options.out,
        strength=options.strength,
        root=fixed_folder([*files, *patterns]) if options.root is None else options.root.rstrip("/"),
        mark=not options.nomark,
        batch_size=options.batch_size,
    )
    if is_local(options.out):
        check_writable(os.path.expanduser(options.out))
    matched = pipeline | "Patterns" >> beam.Create(patterns) | MatchAll()
    _ = (pipeline | "Files" >> beam.Create(files), matched) | beam.Flatten() | edit
    result = pipeline.run()
    result.wait_until_finish()
    if result.state != PipelineState.DONE:
        raise UserError(f"the run was ended before it was done: {result.state}")
    return _count(result, "edited"), _count(result, "dead_letters")


def _find(inputs: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of files, and the patterns, among the inputs."""
    from elegant_tf.beam.files import is_local, is_utf8, list_files

    files: list[str] = []
    patterns: list[str] = []
    for given in inputs:
        text = os.path.expanduser(given) if is_local(given) else given
        if is_local(text) and os.path.isdir(text):
            raise UserError(f"--input={given}: is a folder; expected images, as in '{text.rstrip('/')}/*'")
        if is_local(text) and os.path.lexists(text):
            files.append(text)
            continue
        pattern = text if "/" in text else f"./{text}"  # Apache Beam looks into folders that are named alone
        if not list_files(pattern, at_most=1):
            raise UserError(f"--input={given}: no such files")
        patterns.append(pattern)
    if any(not is_utf8(name) for name in (*files, *patterns)):
        raise UserError("--input: a path is not UTF-8: rename it")
    return files, patterns


def _check_options(rest: Sequence[str]) -> None:
    """Refuses what is neither an option nor the value of one, and misspelt options: Apache Beam would pass them over.

    Runners that this process does not know have options of their own, so that not every unknown option is refused.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in PipelineOptions.__subclasses__():
        kind._add_argparse_args(known)  # the hook in which each group of options is declared
    flags = [flag for parser in (known, make_parser()) for flag in parser._option_string_actions]
    before = ""
    for text in known.parse_known_args(list(rest))[1]:
        if not text.startswith("-") and not before.startswith("-"):
            raise UserError(f"{text}: is neither an option nor the value of one")
        close = difflib.get_close_matches(text.partition("=")[0], flags, n=1, cutoff=0.85)
        if text.startswith("-") and close:
            raise UserError(f"{text}: no such option: did you mean {close[0]}?")
        before = "" if "=" in text else text


def _count(result: Any, name: str) -> int:
    from apache_beam.metrics import MetricsFilter

    found = result.metrics().query(MetricsFilter().with_namespace("elegant_tf").with_name(name))["counters"]
    return sum(counter.result for counter in found)


if __name__ == "__main__":
    sys.exit(main())
