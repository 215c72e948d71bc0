"""Converts the authors' checkpoints to runs, and runs to the authors' checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.export.torch_files import (
    NETWORKS,
    check_state_dict,
    file_name,
    find_networks,
    load_torch,
    read_state_dict,
    to_array,
    write_state_dicts,
)
from elegant_tf.export.torch_layout import TorchParameter, torch_parameters
from elegant_tf.files import atomic_directory
from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator
from elegant_tf.paths import any_path, check_new_directory, local_path
from elegant_tf.rundir import is_packed, read_config, write_config
from elegant_tf.runs import load_discriminator, load_generator
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints


def import_run(
    pth_dir: str | os.PathLike[str], step: int, config: Config, run_dir: str | os.PathLike[str]
) -> tuple[str, ...]:
    """Makes a run directory with a checkpoint at `step` from the authors' files; returns which networks it read.

    Without D1 and D2 the run edits as usual, but has untrained discriminators. The files hold no optimizer state: when
    training resumes, Adam starts anew.

    Args:
        pth_dir: the folder of `Enc_iter_NNNNNN.pth` and the others.
        step: which of them.
        config: a configuration with `planes` discriminators, `l2` normalization and the sizes of these networks.
        run_dir: the run directory to make.

    Raises:
        UserError: PyTorch is missing, the run directory exists, or files are missing, damaged or do not fit, with all
            problems listed. Nothing is written then.
    """
    load_torch()
    if step < 0:
        raise UserError(f"--step={step}: must be 0 or more")
    run_dir, pth_dir = local_path(run_dir, "run"), local_path(pth_dir, "pth_dir")
    check_new_directory(run_dir, "run")
    networks = find_networks(pth_dir, step)
    keras.utils.set_random_seed(config.run.seed)
    learner = make_learner(config)
    parameters = _by_network(learner.generator, learner.discriminator)
    values = _read(Path(pth_dir), step, {network: parameters[network] for network in networks})
    for network in networks:
        for parameter in parameters[network]:
            parameter.assign(to_array(values[network][parameter.name]))
    learner.updates.assign(step * config.updates_per_step)
    with atomic_directory(run_dir) as aside:
        write_config(config, aside)
        Checkpoints(learner, aside, config.run.checkpoints_kept).save(step)
    return networks


def export_run(
    run_dir: str | os.PathLike[str], out: str | os.PathLike[str], step: int | None = None
) -> tuple[list[Path], bool]:
    """Writes a run's networks as the authors' files; returns their paths and whether D1 and D2 are among them.

    The generator is the one that the run edits with: its exponential moving average, if it keeps one. Discriminators
    with `projection`, or without `l2` normalization, have no counterpart in the authors' program and are left out, and
    packed runs have none.

    Args:
        run_dir: a run directory, packed or not.
        out: the folder to write to.
        step: which checkpoint; None: the newest.

    Raises:
        UserError: PyTorch is missing, there is no such run or checkpoint, its decoder has a mask, or a file exists
            already or cannot be written.
    """
    load_torch()
    run_dir, out = any_path(run_dir, "run"), local_path(out, "out")
    config = read_config(run_dir)
    if config.model.mask:
        raise UserError(f"--run={run_dir}: it was trained with --mask, which the authors' decoder does not have")
    generator, step = load_generator(run_dir, step)
    discriminator = None
    theirs = config.loss.conditioning == "planes" and config.loss.discriminator_norm == "l2"
    if theirs and not is_packed(run_dir):
        discriminator = load_discriminator(config, run_dir, step, generator.variable_dtype)
    states = {
        network: {parameter.name: parameter.to_torch() for parameter in parameters}
        for network, parameters in _by_network(generator, discriminator).items()
    }
    return write_state_dicts(out, step, states), discriminator is not None


def _by_network(generator: Elegant, discriminator: MultiScaleDiscriminator | None) -> dict[str, list[TorchParameter]]:
    parameters = torch_parameters(generator, discriminator)
    found = {network: [one for one in parameters if one.network == network] for network in NETWORKS}
    return {network: ones for network, ones in found.items() if ones}


def _read(folder: Path, step: int, wanted: Mapping[str, list[TorchParameter]]) -> dict[str, dict[str, Any]]:
    values, problems = {}, []
    for network, parameters in wanted.items():
        file = file_name(network, step)
        try:
            values[network] = read_state_dict(folder / file)
        except UserError as error:
            problems.append(f"{file} {error}")
            continue
        shapes = {parameter.name: parameter.shape for parameter in parameters}
        problems += [f"{file}: {problem}" for problem in check_state_dict(values[network], shapes)]
    if problems:
        listed = "\n  ".join(problems)
        raise UserError(
            f"--pth_dir={folder}: does not fit these --attributes, --image_size, --width and --depth:\n  {listed}"
        )
    return values
