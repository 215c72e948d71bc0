"""`elegant-tf sign`."""

from __future__ import annotations

import argparse

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_path
from elegant_tf.errors import UserError
from elegant_tf.paths import local_path
from elegant_tf.signing import sign_file

HELP = """\
Signs images that elegant-tf edited and marked: adds Content Credentials, by C2PA's standard, to the files. Pixels and
other metadata stay as they are. Needs c2pa-python (pip install 'elegant-tf[c2pa]') and a certificate.

examples:
  elegant-tf sign out.jpg --cert_file chain.pem --key_file key.pem
  elegant-tf sign out.jpg --cert_file chain.pem --key_file key.pem --original me.jpg
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="images to sign: .png, .jpg, .webp or .tif")
    what = "certificate for signing, followed by those that it was issued by"
    add_path(parser, "--cert_file", required=True, metavar="PEM", help=what)
    add_path(parser, "--key_file", required=True, metavar="PEM", help="private key of the certificate")
    what = "the photo before the edit, for a single FILE; its hash and its own credentials are recorded"
    add_path(parser, "--original", metavar="FILE", help=what)


def _run(options: argparse.Namespace) -> None:
    if options.original and len(options.files) > 1:
        raise UserError(f"--original={options.original}: is for a single FILE; sign the files one by one")
    for file in map(local_path, options.files):
        sign_file(file, options.cert_file, options.key_file, options.original)
        print(file)


COMMANDS = (Command("sign", "add signed Content Credentials to edited images", HELP, _add_options, _run),)
