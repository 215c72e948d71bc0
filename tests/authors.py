"""The weights and inputs with which the authors' program was measured, and how its tensors are summed up.

Every number comes from `RandomState` streams, so that any framework can repeat them. Arrays are in PyTorch's
order of axes; names are those of the authors' state dicts, with the network in front: `Enc.main.0.0.weight`.
"""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

SIZE = 64
BATCH = 2
COUNTS = (2, 3)
UPDATES = 3
GOLDENS = Path(__file__).parent / "goldens"

# The seeds of the inputs, for 2 and for 3 attributes: no unit of the first update sits on a kink.
SEED_BASES = {2: 1, 3: 91}

# Arrays of more elements than this are summed up.
WHOLE = 600


class Summary(NamedTuple):
    """An array in a few numbers: sum, norm, product with a fixed random array, and some elements."""

    sum: float
    norm: float
    probe: float
    sample: np.ndarray


def initial_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter's value before the first update, float32."""
    value = _random(name).standard_normal(shape) * 0.02
    return (value + name.endswith(".alpha")).astype(np.float32)


def batch(count: int, update: int) -> dict[str, np.ndarray]:
    """Images `A`, `B`, float32 `[N, 3, S, S]`, labels `y_A`, `y_B` `[N, n]` and the `attribute` trained."""
    random = np.random.RandomState(SEED_BASES[count] + update)
    a, b = (random.uniform(-1, 1, (BATCH, 3, SIZE, SIZE)).astype(np.float32) for _ in "AB")
    y_a, y_b = (random.randint(0, 2, (BATCH, count)) for _ in "AB")
    attribute = update % count
    y_a[:, attribute], y_b[:, attribute] = 1, 0
    return {"A": a, "B": b, "y_A": y_a, "y_B": y_b, "attribute": attribute}


def probe(name: str, value: np.ndarray) -> float:
    """The product of an array with a random one that its name alone decides."""
    return float(np.vdot(value.astype(np.float64), _direction(name, value.shape)))


@functools.cache
def _direction(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return _random(name + "|probe").standard_normal(shape)


def summarize(name: str, value: np.ndarray) -> Summary:
    """Sums an array up, in float64; the sample is evenly spaced elements."""
    flat = value.astype(np.float64).ravel()
    stride = max(1, flat.size // WHOLE) | 1
    return Summary(float(flat.sum()), float(np.linalg.norm(flat)), probe(name, value), value.ravel()[::stride])


def golden(count: int) -> dict[str, np.ndarray]:
    """The measured values for 2 or 3 attributes, as `goldens/make.py` reduced them."""
    with np.load(GOLDENS / f"{SIZE}_{count}.npz") as file:
        return dict(file)


def _random(text: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(text.encode()) & 0xFFFFFFFF)
