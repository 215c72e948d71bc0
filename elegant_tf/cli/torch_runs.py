"""`elegant-tf import-torch` and `export-torch`: the PyTorch checkpoints of the authors' program."""

from __future__ import annotations

import argparse
import shlex

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import RUN_FLAGS, add_number, add_path, add_run, add_step, names
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.config import ModelConfig
from elegant_tf.presets import preset
from elegant_tf.rundir import read_config

IMPORT = """\
Makes a run from a PyTorch checkpoint of the authors' program: the files Enc_iter_NNNNNN.pth, Dec_iter_NNNNNN.pth and,
to resume training, D1_iter_NNNNNN.pth and D2_iter_NNNNNN.pth. Code in the files is not executed. Needs PyTorch:
pip install 'elegant-tf[torch]'.

example:
  elegant-tf import-torch --pth_dir theirs --step 200000 \\
      --attributes Bangs,Mustache --image_size 256 --run runs/theirs
"""

EXPORT = """\
Writes a run as PyTorch files for the authors' program: the generator that the run edits with, and the discriminators,
unless they are conditioned by projection (--conditioning=projection) or have another normalization
(--discriminator_norm), which that program does not support. Needs PyTorch: pip install 'elegant-tf[torch]'.

example:
  elegant-tf export-torch --run runs/celeba --out theirs
"""

_SHAPE = ("image_size", "width", "depth")


def _add_import(parser: argparse.ArgumentParser) -> None:
    add_path(parser, "--pth_dir", required=True, metavar="DIR", help="folder of the .pth files")
    add_number(parser, "--step", None, "number in the names of the files", at_least=0, required=True)
    what = "attributes in the order of the training, separated by commas"
    parser.add_argument("--attributes", type=names, required=True, metavar="A,B", help=what)
    what = "side in pixels of the training images"
    add_number(parser, "--image_size", None, what, at_least=1, metavar="S", required=True)
    add_path(parser, *RUN_FLAGS, required=True, metavar="DIR", help="new run directory to make")
    add_number(parser, "--width", ModelConfig.width, "channels of the first convolution", at_least=1)
    add_number(parser, "--depth", ModelConfig.depth, "number of times the encoder halves an image", at_least=1)


def _import(options: argparse.Namespace) -> None:
    shape = {name: getattr(options, name) for name in _SHAPE}
    config = preset("official", attributes=options.attributes, **shape)
    prepare_tensorflow()
    from elegant_tf.export.torch_runs import import_run

    networks = import_run(options.pth_dir, step=options.step, config=config, run_dir=options.run)
    missing = "" if "D1" in networks else "; without D1 and D2: training would start with new discriminators"
    print(f"{options.run}: {', '.join(networks)} of step {options.step}{missing}")
    given = "".join(f" --{name}={value}" for name, value in shape.items() if value != getattr(ModelConfig, name))
    print(
        "to resume training:  elegant-tf train --data=celeba --data_dir=DIR "
        f"--run_dir={shlex.quote(options.run)} --attributes={shlex.quote(','.join(config.model.attributes))}{given}"
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_path(parser, "--out", required=True, metavar="DIR", help="folder to write the .pth files to")
    add_step(parser)


def _export(options: argparse.Namespace) -> None:
    read_config(options.run)
    prepare_tensorflow()
    from elegant_tf.export.torch_runs import export_run

    paths, discriminators = export_run(options.run, options.out, step=options.step)
    print(*paths, sep="\n")
    if not discriminators:
        print("without D1 and D2: the authors' program has no counterpart for them, or the run is packed")


COMMANDS = (
    Command("import-torch", "make a run from the authors' PyTorch files", IMPORT, _add_import, _import),
    Command("export-torch", "write a run as the authors' PyTorch files", EXPORT, _add_export, _export),
)
