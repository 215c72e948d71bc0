"""`elegant-tf train`, and `train.py`: every option of the configuration is an absl flag."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging

from elegant_tf.cli.command import INTERRUPTED_STATUS
from elegant_tf.cli.old_flags import refuse_old_flags
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.config import Config, flag_of, options
from elegant_tf.errors import UserError
from elegant_tf.presets import PRESETS, preset

HELP = """\
Trains a model in a new run directory, or resumes the run in an existing one. Every option of the configuration is a
flag; flags that are not given have the preset's values. --flagfile=FILE reads flags from a text file, one per line.

examples:
  elegant-tf train --run_dir=runs/demo --preset=demo
  elegant-tf train --run_dir=runs/celeba --preset=modern --data=celeba --data_dir=CelebA --attributes=Bangs,Smiling
  elegant-tf train --run_dir=runs/other --flagfile=mine.flags --seed=1
"""

_DEFINITIONS: Mapping[type, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    tuple: flags.DEFINE_list,
    str: flags.DEFINE_string,
}


def run(arguments: Sequence[str]) -> NoReturn:
    """Parses the flags, trains, and exits with the status of `app.run`.

    Raises:
        UserError: a value is not allowed, a flag is one of an older version, or the training cannot go on.
        SystemExit: otherwise: 0; 1 if absl refuses a flag; `INTERRUPTED_STATUS` if a signal ended the training.
    """
    define_flags()
    sys.modules["__main__"].__doc__ = HELP  # absl's --help begins with it.
    app.run(_train, argv=["elegant-tf train", *arguments], flags_parser=_parse)


def define_flags() -> None:
    """Defines `--run_dir`, `--preset`, `--dry_run` and a flag per option, None unless given."""
    flags.DEFINE_string("run_dir", None, "Run directory to make or to resume.", required=True)
    flags.DEFINE_alias("run", "run_dir")
    flags.DEFINE_enum("preset", "official", list(PRESETS), "Preset that sets the options that are not given.")
    flags.DEFINE_bool("dry_run", False, "Check options and data and print the configuration; do not train.")
    for _, option in options():
        _define(option)
    for name in ("run_dir", "run", "preset", "dry_run", *(flag_of(option) for _, option in options())):
        # --help shows the flags of the main module alone, unless others are registered as its own.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])


def _define(option: dataclasses.Field) -> None:
    name, help, choices = flag_of(option), option.metadata["help"], option.metadata["choices"]
    if choices:
        flags.DEFINE_enum(name, None, choices, help)
    else:
        _DEFINITIONS[type(option.default)](name, None, help)


def _parse(argv: list[str]) -> list[str]:
    """Refuses flags of older versions, also in flag files, then parses; returns the remaining arguments."""
    with contextlib.suppress(flags.Error):  # a flag file that cannot be read, which absl reports below
        refuse_old_flags(flags.FLAGS.read_flags_from_files(argv[1:]))
    return app.parse_flags_with_usage(argv)


def config_from_flags(values: flags.FlagValues) -> Config:
    """The preset's configuration with the given flags in place. Raises UserError if a value is not allowed."""
    names = [flag_of(option) for _, option in options()]
    return preset(values.preset, **{name: values[name].value for name in names if values[name].value is not None})


def _train(argv: list[str]) -> int:
    """Trains as the flags say; the exit status."""
    if len(argv) > 1:
        raise UserError(f"unexpected arguments: {' '.join(argv[1:])}; options start with --")
    values = flags.FLAGS
    config = config_from_flags(values)
    logging.set_verbosity(logging.INFO)
    prepare_tensorflow(config.run.deterministic)
    from elegant_tf.training.trainer import Trainer

    trainer = Trainer(config, values.run_dir, evaluator=_make_evaluator(config))
    if values.dry_run:
        print(config.to_json(), end="")
        return 0
    trainer.train()
    if trainer.interrupted:
        return INTERRUPTED_STATUS
    _print_scorecard(config, values.run_dir)
    return 0


def _make_evaluator(config: Config) -> Callable[..., Mapping[str, float]] | None:
    if not config.run.evaluate_every:
        return None
    from elegant_tf.evaluation.monitor import Monitor

    return Monitor(config)


def _print_scorecard(config: Config, run_dir: str) -> None:
    """Evaluates the run if its data has counterfactual targets."""
    from elegant_tf.evaluation.counterfactuals import has_counterfactuals
    from elegant_tf.evaluation.evaluate import evaluate

    if has_counterfactuals(config):
        logging.info("evaluating on held-out images")
        print(evaluate(run_dir))
