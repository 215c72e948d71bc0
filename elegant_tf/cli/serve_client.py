"""`elegant-tf serve-client`: edits on a server."""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from elegant_tf.bounds import LARGEST_VERSION
from elegant_tf.catalogue import Exemplar
from elegant_tf.cli.command import Command, add_parser
from elegant_tf.cli.exemplars import add_exemplar_options, find_known
from elegant_tf.cli.options import add_images, add_number, add_path, add_strength, files_of
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.errors import UserError
from elegant_tf.images import check_output, decode_image, write_image
from elegant_tf.marks import packet_in, xmp_packet
from elegant_tf.serving.client import MOST_RETRIES, Client, connect, image_bytes
from elegant_tf.serving.endpoint import Endpoint

TOGETHER = 8
"""Images in one request: as many as docs/serving/batching.config allows."""

HELP = """\
Uses an exported model on TF Serving, or on another server with the same interface.

examples:
  elegant-tf serve-client edit --server localhost:8500 --model elegant \\
      --input a.jpg --exemplar b.jpg --attributes Eyeglasses --out c.png
  elegant-tf serve-client metadata --server localhost:8500 --model elegant
"""

EDIT = """\
Transfers attributes from an exemplar to an image on a server. Requests go over gRPC, which needs
tensorflow-serving-api (pip install 'elegant-tf[serving]'), or over REST.

examples:
  elegant-tf serve-client edit --server localhost:8500 --model elegant \\
      --input a.jpg --exemplar b.jpg --attributes Eyeglasses --out c.png
  elegant-tf serve-client edit --server faces.example:443 --tls --protocol rest --model elegant --label stable \\
      --input a.jpg --exemplar b.jpg c.jpg --attributes Bangs,Smiling --strength 1 0.5 --out d.png
  elegant-tf serve-client edit --server localhost:8500 --model elegant \\
      --input people --exemplar b.jpg --attributes Eyeglasses --out edited

The last edits all images in a folder and writes each to edited/NAME.png; images that are there already stay. Images
that cannot be read or edited are named, and the others are edited; the exit status is then 2.
"""

METADATA = """\
Prints the metadata of a served model as JSON: attributes, image size, step, configuration and licence.

example:
  elegant-tf serve-client metadata --server localhost:8501 --protocol rest --model elegant
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    edit = add_parser(actions, "edit", "transfer attributes to images", EDIT)
    metadata = add_parser(actions, "metadata", "print a model's metadata", METADATA)
    add_images(edit, several=True)
    add_exemplar_options(edit, nearest=False)
    add_strength(edit)
    edit.add_argument("--nomark", action="store_true", help="do not mark images as edited")
    for action in (edit, metadata):
        _add_endpoint(action)


def _add_endpoint(parser: argparse.ArgumentParser) -> None:
    what = "address; TF Serving's default ports are 8500 for gRPC and 8501 for REST"
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help=what)
    parser.add_argument("--model", required=True, metavar="NAME", help="the model's name on the server")
    parser.add_argument("--protocol", choices=("grpc", "rest"), default="grpc", help="protocol (default grpc)")
    what = "a version of the model (default: the newest)"
    add_number(parser, "--version", None, what, at_least=0, at_most=LARGEST_VERSION)
    parser.add_argument("--label", metavar="NAME", help="a version by its label on the server")
    what = "seconds for a request, with all its retries"
    add_number(parser, "--timeout", 30.0, what, above=0, at_most=1e6, kind=float, metavar="S")
    add_number(
        parser, "--retries", 4, "how often to retry while the server is unavailable", at_least=0, at_most=MOST_RETRIES
    )
    parser.add_argument("--tls", action="store_true", help="encrypt, and verify the server's certificate")
    add_path(parser, "--ca_file", metavar="PEM", help="trusted authorities (default: the system's)")
    add_path(parser, "--cert_file", metavar="PEM", help="client certificate, if the server requires one")
    add_path(parser, "--key_file", metavar="PEM", help="private key of the client certificate")


def _run(options: argparse.Namespace) -> None:
    fields = ("server", "model", "version", "label", "tls", "ca_file", "cert_file", "key_file")
    endpoint = Endpoint(**{name: getattr(options, name) for name in fields})
    if options.protocol == "grpc":
        prepare_tensorflow()
    client = Client(connect(endpoint, options.protocol), timeout=options.timeout, retries=options.retries)
    try:
        if options.action == "metadata":
            print(json.dumps(client.metadata, indent=2))
        else:
            _edit(client, options)
    finally:
        client.close()


def _edit(client: Client, options: argparse.Namespace) -> None:
    several = len(options.input) > 1 or os.path.isdir(options.input[0])
    targets = _targets(options) if several else {options.input[0]: options.out}
    if not several:
        check_output(options.out, options.overwrite)
    found = find_known(options, check=client.check_catalogue)
    exemplars = [image_bytes(one) if isinstance(one, str) else one for one in found]
    given = [one if isinstance(one, str) else one.code for one in found]
    receipt = functools.cache(lambda: client.receipt(given, options.attributes, options.strength))
    failed = 0
    for file, answer in _answers(client, list(targets), exemplars, options):
        if isinstance(answer, UserError):
            if not several:
                raise answer
            print(answer, file=sys.stderr)
            failed += 1
            continue
        mark = None if options.nomark else xmp_packet(receipt(), packet_in(file))
        edited = decode_image(answer, f"the answer of {options.server}")
        write_image(targets[file], edited, options.overwrite, mark)
        print(targets[file])
    if failed:
        raise UserError(f"{failed} of {len(targets)} images were not edited; the lines above say why")


def _targets(options: argparse.Namespace) -> dict[str, str]:
    """The file in the folder --out that each image is written to, without those that are there already and stay."""
    sources: dict[str, str] = {}
    for file in dict.fromkeys(files_of(options.input)):
        target = os.path.join(options.out, f"{Path(file).stem}.png")
        other = sources.setdefault(target, file)
        if other != file:
            raise UserError(f"{other} and {file} would both become {target}: rename one")
        if os.path.exists(target) and os.path.samefile(file, target):
            raise UserError(f"--out={options.out}: is the folder of {file}: choose another folder")
    return {file: target for target, file in sources.items() if options.overwrite or not os.path.lexists(target)}


def _answers(
    client: Client, files: Sequence[str], exemplars: Sequence[bytes | Exemplar], options: argparse.Namespace
) -> Iterator[tuple[str, bytes | UserError]]:
    """Each file, and its edited image, encoded, or the error that names it."""
    for start in range(0, len(files), TOGETHER):
        images: dict[str, bytes] = {}
        for file in files[start : start + TOGETHER]:
            try:
                images[file] = image_bytes(file)
            except UserError as error:
                yield file, error
        if images:
            answers = client.edit_each(list(images.values()), exemplars, options.attributes, options.strength)
            for file, answer in zip(images, answers, strict=True):
                yield file, UserError(f"{file}: {answer}") if isinstance(answer, UserError) else answer


COMMANDS = (Command("serve-client", "edit on a server", HELP, _add_options, _run),)
