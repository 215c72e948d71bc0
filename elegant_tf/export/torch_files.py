"""Reads and writes the authors' checkpoint files, PyTorch state dicts named like `Enc_iter_000100.pth`."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.files import atomic_file

NETWORKS = ("Enc", "Dec", "D1", "D2")
_DATA_PARALLEL_PREFIX = "module."


def file_name(network: str, step: int) -> str:
    """The file of a network at a step: `Enc_iter_000100.pth`."""
    return f"{network}_iter_{step:06d}.pth"


def load_torch() -> ModuleType:
    """PyTorch, which only these files need. Raises UserError if it is not installed."""
    try:
        import torch
    except ImportError:
        raise UserError("PyTorch files need PyTorch: pip install 'elegant-tf[torch]'") from None
    return torch


def find_networks(folder: str | os.PathLike[str], step: int) -> tuple[str, ...]:
    """The networks that a folder has at a step: Enc and Dec, and D1 and D2 if both are there.

    Raises:
        UserError: the folder or some of the files are missing.
    """
    if not os.path.isdir(folder):
        raise UserError(f"--pth_dir={folder}: no such directory: give the folder of {file_name('Enc', step)}")
    found = tuple(network for network in NETWORKS if os.path.isfile(Path(folder) / file_name(network, step)))
    if found in (NETWORKS, NETWORKS[:2]):
        return found
    wanted = NETWORKS[:2] if set(found) <= set(NETWORKS[:2]) else NETWORKS
    missing = ", ".join(file_name(network, step) for network in wanted if network not in found)
    steps = _steps(folder)
    there = f"it has step {', '.join(map(str, steps))}" if steps else "it has no Enc_iter_NNNNNN.pth at all"
    raise UserError(f"--pth_dir={folder} --step={step}: lacks {missing}; {there}")


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a file of tensors by name and strips DataParallel's prefix. Runs no code from the file.

    Reads PyTorch's current format and that of 0.3, with tensors of any device.

    Raises:
        UserError: the file cannot be read, or holds no state dict.
    """
    torch = load_torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of the old format, which a user cannot change.
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged files raise almost anything, from struct.error to KeyError
        lines = str(error).strip().splitlines()
        detail = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        raise UserError(f"cannot be read as PyTorch weights ({detail[:200]})") from None
    if not isinstance(found, Mapping) or not found:
        raise UserError(f"must hold a state dict, tensors by name, and holds {type(found).__name__}")
    if not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()):
        raise UserError("must hold only tensors by name, and also holds something else")
    if all(name.startswith(_DATA_PARALLEL_PREFIX) for name in found):
        return {name.removeprefix(_DATA_PARALLEL_PREFIX): value for name, value in found.items()}
    return dict(found)


def check_state_dict(found: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The faults of a state dict for parameters of these names and shapes, one per line; empty if it has none."""
    torch = load_torch()
    problems = [f"lacks {name} {list(shape)}" for name, shape in shapes.items() if name not in found]
    for name, value in found.items():
        if name not in shapes:
            problems.append(f"has {name} {list(value.shape)}, which is no parameter of this network")
        elif tuple(value.shape) != shapes[name]:
            problems.append(f"{name} is {list(value.shape)}, must be {list(shapes[name])}")
        elif value.layout != torch.strided or value.device.type != "cpu" or not value.is_floating_point():
            problems.append(f"{name} must hold ordinary floating-point numbers, and is {value.dtype}")
        elif not torch.isfinite(value.float()).all():
            problems.append(f"{name} holds values that are not finite in float32")
    return problems


def to_array(value: Any) -> np.ndarray:
    """A tensor as NumPy: float64 stays float64, other formats become float32."""
    torch = load_torch()
    return (value if value.dtype == torch.float64 else value.float()).detach().contiguous().numpy()


def write_state_dicts(
    folder: str | os.PathLike[str], step: int, networks: Mapping[str, Mapping[str, np.ndarray]]
) -> list[Path]:
    """Writes a file for each network, all under temporary names before any is renamed; returns their paths.

    Raises:
        UserError: one of the files exists already or cannot be written.
    """
    torch = load_torch()
    folder = Path(folder)
    paths = {network: folder / file_name(network, step) for network in networks}
    existing = [str(path) for path in paths.values() if path.exists()]
    if existing:
        raise UserError(f"{', '.join(existing)}: exists already; choose another --out")
    with ExitStack() as renamed_together:
        for network, values in networks.items():
            aside = renamed_together.enter_context(atomic_file(paths[network]))
            tensors = {name: torch.from_numpy(np.array(value)) for name, value in values.items()}
            with aside.open("wb") as file:  # Given the path, PyTorch reports a full disk as an obscure RuntimeError.
                torch.save(tensors, file)
    return list(paths.values())


def _steps(folder: str | os.PathLike[str]) -> list[int]:
    matches = (re.fullmatch(r"Enc_iter_(\d+)\.pth", name) for name in os.listdir(folder))
    return sorted(int(match[1]) for match in matches if match)
