"""The options of `elegant-tf` and its commands, and their help."""

from __future__ import annotations

import argparse
import functools

import elegant_tf
from elegant_tf.cli_data_options import add_data_commands
from elegant_tf.cli_evaluation_options import add_evaluation_commands
from elegant_tf.config import Config

MAIN = """\
examples:
  elegant-tf train --run_dir=runs/demo --preset=demo
  elegant-tf faces --out faces --count 1000 --image_size 128
  elegant-tf swap --run runs/demo --input a.png --exemplar b.png --attributes Eyeglasses --out c.png
  elegant-tf evaluate --run runs/demo
  elegant-tf import-torch --pth_dir theirs --step 200000 --attributes Bangs,Mustache --image_size 256 --run runs/theirs

`elegant-tf COMMAND --help` tells more about each.
"""

SWAP = """\
Gives a picture the attributes of another: its glasses if it wears any, no glasses if it wears none.

examples:
  elegant-tf swap --run runs/demo --input a.png --exemplar b.png \\
      --attributes Bangs,Smiling --strength 0.5 --out out.png
  elegant-tf swap --run runs/demo --input a.png --exemplar b.png c.png \\
      --attributes Bangs,Smiling --out out.png

The second takes the bangs of b.png and the smile of c.png.
"""

LINEAR = """\
Goes from a picture to the swap in equal steps. Writes a strip: the picture, then N edited ones, of
which the last is the full swap. One exemplar gives all attributes; or name one for each.

example:
  elegant-tf linear --run runs/demo --input a.png --exemplar b.png \\
      --attributes Smiling --steps 6 --out strip.png
"""

MATRIX = """\
Interpolates in two directions: one attribute between a picture and three exemplars, which stand in
the corners top right, bottom left and bottom right; or two attributes of two exemplars, the first
growing downwards, the second to the right.

examples:
  elegant-tf matrix --run runs/demo --input a.png --exemplar b.png c.png d.png \\
      --attributes Bangs --out matrix.png
  elegant-tf matrix --run runs/demo --input a.png --exemplar b.png c.png \\
      --attributes Bangs,Smiling --rows 3 --cols 7 --out matrix.png
"""

GRID = """\
Gives every picture the attributes of every exemplar. Writes a table: pictures in the first column,
exemplars in the first row. A folder stands for all pictures in it.

examples:
  elegant-tf grid --run runs/demo --input a.png b.png --exemplar c.png d.png e.png \\
      --attributes Wearing_Hat --out grid.png
  elegant-tf grid --run runs/demo --input people --exemplar hats \\
      --attributes Wearing_Hat --out grid.png
"""

EVALUATE = """\
Edits held-out pictures and judges the results: prints tables and writes scorecard.json, .md, .html and .png into the
run directory. Where the right answers are known, as of drawn faces, edits are compared with them: realised is the share
of the wanted change that happened, 1 at best; leak is how far, of 255, the rest of the picture moved; rank 1 is how
often an edit is nearest to the truth with its own exemplar's style. A classifier tells what else moved and whether
people stayed themselves, and its features, or Inception's, how far edited pictures are from real ones.

examples:
  elegant-tf evaluate --run faces
  elegant-tf evaluate --run runs/mine --data_dir faces
  elegant-tf evaluate --run runs/celeba --classifier classifier --inception keras
"""

PACK = """\
Writes the generator that a run edits with into a new directory, in 16 bits and without what only training needs: small
enough to pass on. Every command that edits, evaluates or exports takes it for a run.

example:
  elegant-tf pack --run runs/mine --out mine
"""

FACES = """\
Draws faces into a new folder in CelebA's layout, and into counterfactuals/ there held-out edits with
their right answers, on which `elegant-tf evaluate` scores.

example:
  elegant-tf faces --out faces --count 1000 --image_size 128 --seed 0
"""

IMPORT_TORCH = """\
Makes a run of the authors' PyTorch checkpoint: the files Enc_iter_NNNNNN.pth, Dec_iter_NNNNNN.pth and, if training is
to go on, D1_iter_NNNNNN.pth and D2_iter_NNNNNN.pth. No code in the files is run. Needs PyTorch:
pip install 'elegant-tf[torch]'.

examples:
  elegant-tf import-torch --pth_dir theirs --step 200000 \\
      --attributes Bangs,Mustache --image_size 256 --run runs/theirs
"""

EXPORT_TORCH = """\
Writes a run as the authors' PyTorch files: the generator that the run edits with, and the discriminators unless theirs
is a kind that the authors' program has not (--conditioning=projection). Needs PyTorch: pip install 'elegant-tf[torch]'.

examples:
  elegant-tf export-torch --run runs/celeba --out theirs
"""

TFLITE = """\
Writes a run as TFLite files for phones into a new folder: one for each kind, with a report of how each differs from the
Keras model and how fast it is in LiteRT. Needs LiteRT: pip install 'elegant-tf[tflite]'.

examples:
  elegant-tf tflite --run runs/demo --out phone
  elegant-tf tflite --run runs/demo --out phone --kinds float16
"""

SERVE_EDIT = """\
Gives a picture the attributes of another on a server that serves an exported model, TF Serving or one
that answers as it does. Asks over gRPC, which needs tensorflow-serving-api
(pip install 'elegant-tf[serving]'), or over REST.

examples:
  elegant-tf serve-client edit --server localhost:8500 --model elegant \\
      --input a.jpg --exemplar b.jpg --attributes Eyeglasses --out c.png
  elegant-tf serve-client edit --server faces.example:443 --tls --protocol rest --model elegant --label stable \\
      --input a.jpg --exemplar b.jpg c.jpg --attributes Bangs,Smiling --strength 1 0.5 --out d.png
"""

SERVE_METADATA = """\
Prints what a served model says of itself, as JSON: attributes, image size, step, configuration, licence.

example:
  elegant-tf serve-client metadata --server localhost:8501 --protocol rest --model elegant
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of a whole command line; `train` is there for the help only. Sets `command` to the name."""
    parser = argparse.ArgumentParser(
        prog="elegant-tf",
        description=elegant_tf.__doc__,
        epilog=MAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"elegant-tf {elegant_tf.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    commands.add_parser("train", help="train, or go on training; the same as train.py", add_help=False)
    _add_editing(commands)
    _add_evaluate(_add(commands, "evaluate", "judge a run by held-out pictures", EVALUATE))
    _add_pack(_add(commands, "pack", "write a run as a small one, to pass on", PACK))
    _add_faces(_add(commands, "faces", "write drawn faces in CelebA's layout", FACES))
    _add_import_torch(_add(commands, "import-torch", "make a run of the authors' PyTorch files", IMPORT_TORCH))
    _add_export_torch(_add(commands, "export-torch", "write a run as the authors' PyTorch files", EXPORT_TORCH))
    _add_tflite(_add(commands, "tflite", "write a run as TFLite files for phones", TFLITE))
    _add_serve_client(commands.add_parser("serve-client", help="edit on a server", allow_abbrev=False))
    add_data_commands(functools.partial(_add, commands))
    add_evaluation_commands(functools.partial(_add, commands))
    return parser


def _add(commands: argparse._SubParsersAction, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    description, _, examples = text.partition("\n\nexample")
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog="example" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_editing(commands: argparse._SubParsersAction) -> None:
    swap = _add(commands, "swap", "give a picture the attributes of another", SWAP)
    linear = _add(commands, "linear", "swap in equal steps", LINEAR)
    matrix = _add(commands, "matrix", "interpolate in two directions", MATRIX)
    grid = _add(commands, "grid", "give every picture the attributes of every exemplar", GRID)
    for parser in (swap, linear, matrix, grid):
        _add_run(parser)
        _add_pictures(parser, several=parser is grid)
        parser.add_argument("--image_size", type=int, metavar="S", help="side in pixels (default: the run's)")
    for parser in (swap, grid):
        _add_strength(parser)
    _add_number(linear, "--steps", 5, "edited pictures in the strip")
    _add_number(matrix, "--rows", 5, "rows, 1 or more")
    _add_number(matrix, "--cols", 5, "columns, 1 or more")


def _add_pictures(parser: argparse.ArgumentParser, several: bool) -> None:
    what = "pictures to edit, or folders of them" if several else "the picture to edit"
    parser.add_argument("--input", required=True, nargs="+" if several else 1, metavar="FILE", help=what)
    what = "pictures, or folders of them, to take from" if several else "pictures to take attributes from"
    parser.add_argument("--exemplar", required=True, nargs="+", metavar="FILE", help=what)
    parser.add_argument("--attributes", type=_names, required=True, metavar="A,B", help="names, with commas between")
    parser.add_argument("--out", required=True, metavar="FILE", help="picture to write: .png, .jpg or .webp")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if there is one")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    what = "score on this folder, which `elegant-tf faces` wrote (default: the run's own data)"
    parser.add_argument("--data_dir", metavar="DIR", help=what)
    _add_number(parser, "--count", 64, "edits per attribute and direction")
    _add_number(parser, "--seed", 0, "which people are edited: the same, whatever the run's seed, so that runs compare")
    what = "folder for the report (default: the run directory, or scorecard-NAME for a model of the package)"
    parser.add_argument("--out", metavar="DIR", help=what)
    what = "what `elegant-tf train-classifier` wrote (default: classifier in the run directory, if there is one)"
    parser.add_argument("--classifier", metavar="DIR", help=what)
    what = "also the distances of the paper's table, by InceptionV3: keras (downloads its weights), or a file of them"
    parser.add_argument("--inception", default="", metavar="WEIGHTS", help=what)
    what = "edits per attribute and direction for distances, at most (default: 500, with --inception 5000)"
    parser.add_argument("--distance_count", type=int, metavar="N", help=what)
    what = "folder of dlib's two models: also by them, whether people stayed the same (needs 'elegant-tf[identity]')"
    parser.add_argument("--face_models", metavar="DIR", help=what)
    parser.add_argument("--step", type=int, metavar="N", help="an older checkpoint (default: the newest)")


def _add_pack(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder to write")
    parser.add_argument("--step", type=int, metavar="N", help="an older checkpoint (default: the newest)")
    help_text = "edit by the mean of an image's edit and its mirror image's: closer, twice the work"
    parser.add_argument("--mirror_edits", action="store_true", help=help_text)


def _add_faces(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder to write")
    _add_number(parser, "--count", 1000, "how many faces")
    _add_number(parser, "--image_size", 64, "side in pixels")
    _add_number(parser, "--seed", 0, "the same seed draws the same faces")
    _add_number(parser, "--counterfactuals", 100, "held-out edits with their right answers")


def _add_import_torch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pth_dir", required=True, metavar="DIR", help="folder of the .pth files")
    parser.add_argument("--step", type=int, required=True, metavar="N", help="the number in the files' names")
    parser.add_argument(
        "--attributes", type=_names, required=True, metavar="A,B", help="names in the order of their training"
    )
    parser.add_argument("--image_size", type=int, required=True, metavar="S", help="side in pixels of their training")
    parser.add_argument("--run", required=True, metavar="DIR", help="a new run directory to make")
    _add_number(parser, "--width", Config.width, "channels of the first convolution")
    _add_number(parser, "--depth", Config.depth, "halvings between an image and its code")


def _add_export_torch(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write the .pth files to")
    parser.add_argument("--step", type=int, metavar="N", help="an older checkpoint (default: the newest)")


def _add_tflite(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder to write")
    parser.add_argument(
        "--kinds",
        type=_names,
        default="float32,float16,dynamic_int8",
        metavar="A,B",
        help="float32, float16, dynamic_int8 (default: all)",
    )
    parser.add_argument("--image_size", type=int, metavar="S", help="side in pixels (default: the run's)")
    parser.add_argument("--step", type=int, metavar="N", help="an older checkpoint (default: the newest)")


def _add_serve_client(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    edit = _add(actions, "edit", "give a picture the attributes of another", SERVE_EDIT)
    metadata = _add(actions, "metadata", "what the model says of itself", SERVE_METADATA)
    _add_pictures(edit, several=False)
    _add_strength(edit)
    for action in (edit, metadata):
        _add_endpoint(action)


def _add_endpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", required=True, metavar="HOST:PORT", help="TF Serving's are 8500, gRPC, and 8501, REST"
    )
    parser.add_argument("--model", required=True, metavar="NAME", help="the model's name on the server")
    parser.add_argument("--protocol", choices=("grpc", "rest"), default="grpc", help="how to ask (default grpc)")
    parser.add_argument("--version", type=int, metavar="N", help="a version of the model (default: the newest)")
    parser.add_argument("--label", metavar="NAME", help="a version by its label on the server")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds in all (default 30)")
    _add_number(parser, "--retries", 4, "times to ask again while the server is not available")
    parser.add_argument("--tls", action="store_true", help="encrypt, and check the server's certificate")
    parser.add_argument("--ca_file", metavar="PEM", help="authorities to trust (default: the system's)")
    parser.add_argument("--cert_file", metavar="PEM", help="certificate of this client, if the server asks for one")
    parser.add_argument("--key_file", metavar="PEM", help="its private key")


def _add_strength(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--strength",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="X",
        help="how far: 0 keeps, 1 swaps, more exaggerates; one, or one for each attribute (default 1)",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", required=True, metavar="DIR", help="run directory of a training, or faces")


def _add_number(parser: argparse.ArgumentParser, name: str, default: int, what: str) -> None:
    parser.add_argument(name, type=int, default=default, metavar="N", help=f"{what} (default {default})")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
