"""`train.py`'s flags and main: every field of the configuration is a flag."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags, logging

from elegant_tf.config import PRESETS, Config, preset
from elegant_tf.errors import UserError

INTERRUPTED_STATUS = 130


def define_flags() -> None:
    """Defines `--run_dir`, `--preset`, `--dry_run` and a flag for every field; unset: the preset's."""
    flags.DEFINE_string("run_dir", None, "Directory of the run, to make or to go on in.", required=True)
    flags.DEFINE_enum("preset", "official", list(PRESETS), "Where the options not given come from.")
    flags.DEFINE_bool("dry_run", False, "Check options and data, show the configuration, train nothing.")
    for field in dataclasses.fields(Config):
        _define(field)
    for name in ("run_dir", "preset", "dry_run", *(field.name for field in dataclasses.fields(Config))):
        # --help shows the flags of the program alone unless told that these are its own.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])


def _define(field: dataclasses.Field) -> None:
    help, choices = field.metadata["help"], field.metadata["choices"]
    default = field.default
    if choices:
        flags.DEFINE_enum(field.name, None, choices, help)
    elif isinstance(default, bool):
        flags.DEFINE_bool(field.name, None, help)
    elif isinstance(default, int):
        flags.DEFINE_integer(field.name, None, help)
    elif isinstance(default, float):
        flags.DEFINE_float(field.name, None, help)
    elif isinstance(default, tuple):
        flags.DEFINE_list(field.name, None, help)
    else:
        flags.DEFINE_string(field.name, None, help)


def config_from_flags(values: flags.FlagValues) -> Config:
    """The preset's configuration with the given flags in place.

    Raises:
        UserError: a value is not allowed.
    """
    names = [field.name for field in dataclasses.fields(Config)]
    given: dict[str, Any] = {name: values[name].value for name in names if values[name].value is not None}
    return preset(values.preset, **given)


def prepare_tensorflow(deterministic: bool = False) -> None:
    """Sets what TensorFlow reads when it is imported; to be called before that."""
    # oneDNN is 2.5 times faster here, and off by itself on CPUs without AVX-512; its sums may differ.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if deterministic else "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def train(argv: list[str]) -> int:
    """Trains as the flags say; the exit status."""
    if len(argv) > 1:
        raise UserError(f"unexpected arguments: {' '.join(argv[1:])}; options start with --")
    values = flags.FLAGS
    config = config_from_flags(values)
    logging.set_verbosity(logging.INFO)
    prepare_tensorflow(config.deterministic)
    from elegant_tf.training.trainer import Trainer

    trainer = Trainer(config, values.run_dir)
    if values.dry_run:
        print(config.to_json(), end="")
        return 0
    trainer.train()
    if trainer.interrupted:
        return INTERRUPTED_STATUS
    _evaluate(config, values.run_dir)
    return 0


def _evaluate(config: Config, run_dir: str) -> None:
    """Ends a training with its scorecard, where the right answers of edits are known."""
    from elegant_tf.evaluation.report import evaluate
    from elegant_tf.evaluation.triples import has_triples

    if has_triples(config):
        logging.info("evaluating on held-out faces")
        print(evaluate(run_dir))


def run(argv: Sequence[str] | None = None) -> None:
    """Entry point of `train.py` and `elegant-tf train`; `argv` begins with a name; None: `sys.argv`."""
    define_flags()
    app.run(_report_user_errors, argv=argv)


def _report_user_errors(argv: list[str]) -> None:
    try:
        sys.exit(train(argv))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_STATUS)
