"""`elegant-tf train`, and `train.py`: every option of the configuration is an absl flag."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from elegant_tf.cli.command import INTERRUPTED_STATUS
from elegant_tf.cli.old_flags import refuse_old_flags
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.config import Config, flag_of, options
from elegant_tf.errors import UserError
from elegant_tf.paths import any_path
from elegant_tf.presets import PRESETS, preset
from elegant_tf.remote import as_path

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


def run(arguments: Sequence[str]) -> int:
    """Parses the flags and trains.

    Returns:
        The exit status: 0, or `INTERRUPTED_STATUS` if a signal ended the training.

    Raises:
        UserError: a flag is malformed or of an older version, a value is not allowed, or the training cannot go on.
    """
    values = define_flags()
    rest = _parse(values, arguments)
    if values.help:
        print(HELP + values.module_help(__name__).replace(f"{__name__}:", "flags:"))
        return 0
    return _train(values, rest)


def define_flags() -> flags.FlagValues:
    """`--run_dir`, `--preset`, `--dry_run`, `--help` and a flag per option, None unless given."""
    values = flags.FlagValues()  # type: ignore[no-untyped-call]  # absl types all but this
    flags.DEFINE_string("run_dir", None, "Run directory to make or to resume.", flag_values=values)
    flags.DEFINE_alias("run", "run_dir", flag_values=values)
    flags.DEFINE_enum(
        "preset", "official", list(PRESETS), "Preset that sets the options that are not given.", flag_values=values
    )
    flags.DEFINE_bool(
        "dry_run", False, "Check options and data and print the configuration; do not train.", flag_values=values
    )
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=values)
    for _, option in options():
        name, help, choices = flag_of(option), option.metadata["help"], option.metadata["choices"]
        if choices and isinstance(option.default, str):
            flags.DEFINE_enum(name, None, choices, help, flag_values=values)
        else:
            _DEFINITIONS[type(option.default)](name, None, help, flag_values=values)
    return values


def _parse(values: flags.FlagValues, arguments: Sequence[str]) -> list[str]:
    """Refuses flags of older versions, also in flag files, then parses; returns the remaining arguments."""
    with contextlib.suppress(flags.Error, UnicodeDecodeError):  # a flag file that cannot be read, reported below
        refuse_old_flags(values.read_flags_from_files(arguments))
    try:
        return values(["elegant-tf train", *arguments])[1:]
    except (flags.Error, ValueError) as error:
        reason = " ".join(str(error).split()).removeprefix("ERROR:: ").removeprefix("flag ")
        raise UserError(f"{reason} (elegant-tf train --help lists all flags)") from error


def config_from_flags(values: flags.FlagValues) -> Config:
    """The preset's configuration with the given flags in place. Raises UserError if a value is not allowed."""
    names = [flag_of(option) for _, option in options()]
    return preset(values.preset, **{name: values[name].value for name in names if values[name].value is not None})


def _train(values: flags.FlagValues, rest: Sequence[str]) -> int:
    """Trains as the flags say; the exit status."""
    if rest:
        raise UserError(f"unexpected arguments: {' '.join(rest)}; options start with --")
    if values.run_dir is None:
        raise UserError("--run_dir is missing: name the run directory to make or to resume")
    run_dir = any_path(values.run_dir, "run_dir")
    config = config_from_flags(values)
    prepare_tensorflow(config.run.deterministic)
    from elegant_tf.export.after_training import check_export
    from elegant_tf.training.strategy import make_strategy
    from elegant_tf.training.trainer import Trainer, check_run_dir

    check_run_dir(config, run_dir)
    if config.run.export_dir:
        check_export(config, run_dir)
    strategy = make_strategy(config.run, config.data.batch_size)  # first, as several machines need it
    trainer = Trainer(config, run_dir, evaluator=_make_evaluator(config), strategy=strategy)
    if values.dry_run:
        if trainer.is_chief:
            trainer.check_room()
            print(config.to_json(), end="")
        return 0
    trainer.train()
    if trainer.interrupted:
        return INTERRUPTED_STATUS
    if trainer.is_chief:
        _export(config, run_dir, trainer.step)
        _print_scorecard(config, run_dir)
    return 0


def _make_evaluator(config: Config) -> Callable[..., Mapping[str, float]] | None:
    if not config.run.evaluate_every:
        return None
    from elegant_tf.evaluation.monitor import Monitor

    return Monitor(config)


def _export(config: Config, run_dir: str, step: int) -> None:
    """Says what `--keep_best` kept, and exports as `--export_dir` asks, if the last step is done."""
    from elegant_tf.export.after_training import export_trained
    from elegant_tf.training.best import BEST_DIR, describe_best, read_best

    best, by = as_path(run_dir) / BEST_DIR, config.run.keep_best
    if by != "none" and best.exists():
        print(f"best:      {describe_best(best, read_best(run_dir), by)}")
    if config.run.export_dir and step >= config.run.steps:
        print(f"exported:  {export_trained(config, run_dir)}")
    elif config.run.export_dir:
        print(f"exported:  nothing before step {config.run.steps}, the last; the same command goes on from step {step}")


def _print_scorecard(config: Config, run_dir: str) -> None:
    """Evaluates the run if its data has counterfactual targets, and says what to try next."""
    from elegant_tf.cli.ending import next_command, short_scorecard
    from elegant_tf.evaluation.counterfactuals import has_counterfactuals
    from elegant_tf.evaluation.evaluate import evaluate
    from elegant_tf.training.reporter import Reporter

    if has_counterfactuals(config):
        with Reporter(run_dir) as reporter:
            reporter.note("evaluating on held-out images")
            report = evaluate(run_dir)
        print(short_scorecard(report))
    print(f"next:      {next_command(config, run_dir)}")
