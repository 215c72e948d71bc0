"""Reduces values measured by running the authors' program to what `tests/test_goldens.py` compares with.

`python tests/goldens/make.py FOLDER` reads `FOLDER/golden_64_2.npz` and `golden_64_3.npz` and writes
`64_2.npz` and `64_3.npz` beside this file. What is kept, and under which names:

- float32: everything about the first update; losses, discriminators' outputs and gradients of the next two;
  weights after one.
- float64 (`adam03_f64_`): the same of three updates; weights after 1 and 3.

Arrays of more than 600 elements become `<key>|sum`, `|norm`, `|probe` and `|sample`. Of weights after updates
only the values by PyTorch 0.3's Adam (`adam03_`) are kept, which the authors used; today's adds epsilon
elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from authors import COUNTS, GOLDENS, SIZE, WHOLE, summarize

KEPT = (
    "names",
    "block_bounds",
    "w0_",
    "attr",
    "decode_noskip/",
    "u0/",
    "adam03_u",
    "adam03_w1",
    "adam03_dw1",
    "adam03_f64_",
)


def reduce(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The kept arrays, the large ones summed up."""
    reduced = {}
    for key, value in arrays.items():
        if not key.startswith(KEPT):
            continue
        if value.size > WHOLE:
            reduced.update({f"{key}|{part}": number for part, number in summarize(key, value)._asdict().items()})
        else:
            reduced[key] = value
    return reduced


def main(folder: str) -> None:
    for count in COUNTS:
        with np.load(Path(folder) / f"golden_{SIZE}_{count}.npz") as file:
            np.savez_compressed(GOLDENS / f"{SIZE}_{count}.npz", **reduce(dict(file)))


if __name__ == "__main__":
    main(sys.argv[1])
