"""The feed of the authors' program as PyTorch has it: prints images/s. `input_pipeline.py` starts it.

Pillow decodes and resizes in worker processes; one DataLoader for the images that have an attribute, one for those
that have it not.

    python benchmarks/plain_loader.py FOLDER SIZE BATCH WORKERS IMAGES
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    """What the authors' transforms do: decode, resize, to a tensor, to [-1, 1]."""

    def __init__(self, files: list[Path], labels: np.ndarray, size: int) -> None:
        self.files, self.labels, self.size = files, torch.from_numpy(labels), size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        with Image.open(self.files[index]) as image:
            picture = np.array(image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR))
        tensor = torch.from_numpy(picture).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)
        return tensor, self.labels[index]


def endless(loader: DataLoader) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        yield from loader


def main(folder: str, size: int, batch: int, workers: int, count: int) -> None:
    warnings.simplefilter("ignore")
    lines = (Path(folder) / "list_attr_celeba.txt").read_text().splitlines()[2:]
    rows = [line.split() for line in lines]
    labels = np.array([row[1:] for row in rows], np.float32)
    loaders = []
    for has in (1, -1):
        chosen = np.flatnonzero(labels[:, 0] == has)
        files = [Path(folder) / "img_align_celeba" / rows[row][0] for row in chosen]
        data = Images(files, labels[chosen], size)
        loaders.append(DataLoader(data, batch, shuffle=True, num_workers=workers, drop_last=True))
    pairs = zip(*map(endless, loaders), strict=True)
    for _ in range(-(-count // 4 // (2 * batch))):
        next(pairs)
    updates = -(-count // (2 * batch))
    start = time.perf_counter()
    for _ in range(updates):
        next(pairs)
    print(updates * 2 * batch / (time.perf_counter() - start))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
