"""Writing dressed photos to disk in CelebA's layout, with held-out edits whose targets are known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from elegant_tf.data.celeba_layout import ATTRIBUTES_FILE, IMAGE_FOLDER, LANDMARK_FILES, PARTITION_FILE
from elegant_tf.data.landmarks import COLUMNS
from elegant_tf.data.parallel import Progress, cpus, map_in_order
from elegant_tf.errors import UserError
from elegant_tf.files import atomic_directory, write_json
from elegant_tf.images import check_written_size, write_image
from elegant_tf.names import find_attributes
from elegant_tf.synthetic.celeba import INDEX_VERSION, ROLES, check_new_folder, image_name, write_table
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.dressing import (
    DIRECTIONS,
    WEARABLE,
    DressedCounterfactual,
    DressedPhoto,
    make_dressed,
    make_dressed_counterfactuals,
)
from elegant_tf.synthetic.photo_base import PhotoBase, load_photo

FEWEST = 3
"""One photo for each split."""

_TRAIN, _VALIDATION, _TEST = range(3)
_EVERY = 10  # photos, of which one is for validation and one for the test
_CHUNK = 32  # images that are drawn from a photo after it is read
_KEPT = 64  # photos in memory while counterfactuals are drawn


def write_dressed(
    out: str | Path,
    paths: Sequence[str | Path],
    landmarks: np.ndarray,
    count: int,
    image_size: int,
    seed: int,
    attributes: Sequence[str] = WEARABLE,
    counterfactuals: int = 32,
    workers: int | None = None,
    held_out: bool = False,
) -> None:
    """Writes dressed photos to the new folder `out`, laid out as CelebA.

    `img_align_celeba/000001.jpg` …, `list_attr_celeba.txt` with the columns `attributes`,
    `list_landmarks_align_celeba.txt`, `list_eval_partition.txt`, and `counterfactuals/` with the input, exemplar and
    target (the input wearing the exemplar's attribute) of held-out edits, listed in its `index.json`. All images of a
    photo are in the same split, and counterfactuals are made of the photos of the test split. The folder appears whole
    or not at all.

    Args:
        out: the folder.
        paths: P image files, at least `FEWEST`.
        landmarks: x and y in pixels of the photos, `[P, 5, 2]`.
        count: the number of images. The photos take turns, in an order that `seed` determines.
        image_size: side of the images in pixels.
        seed: images, splits and counterfactuals are a function of it and the photos.
        attributes: what the photos are dressed in, of `WEARABLE`.
        counterfactuals: the number of held-out edits for each attribute and each of `DIRECTIONS`.
        workers: threads that draw; None: one per processor.
        held_out: whether all photos are in the test split, since none of them was trained on.

    Raises:
        UserError: `out` cannot be written or is not empty, a number or name makes no sense, there are too few photos,
            or one of them cannot be read or has no landmarks of a face.
    """
    out = Path(out)
    _check(out, paths, count, image_size, attributes, counterfactuals)
    order = _in_turn(paths, seed)
    photos = _Photos([paths[place] for place in order], landmarks[order], image_size)
    splits = np.full(len(photos), _TEST) if held_out else split_photos(len(photos))
    threads = workers or cpus()
    with atomic_directory(out) as aside:
        _write_images(aside, photos, splits, count, seed, attributes, threads)
        if counterfactuals:
            tested = photos.take(np.flatnonzero(splits == _TEST).tolist())
            edits = make_dressed_counterfactuals(tested, seed, counterfactuals, attributes)
            total = counterfactuals * len(attributes) * len(DIRECTIONS)
            _write_counterfactuals(aside / "counterfactuals", edits, total, image_size, seed, threads)


def split_photos(count: int) -> np.ndarray:
    """The split of each of `count` photos, 0, 1 or 2 for train, validation and test: 80 : 10 : 10, none of them empty.

    int `[count]`.
    """
    splits = np.full(count, _TRAIN)
    splits[_EVERY // 2 - 1 :: _EVERY], splits[_EVERY - 1 :: _EVERY] = _VALIDATION, _TEST
    if count < _EVERY:
        splits[:] = _TRAIN
        splits[-2:] = _VALIDATION, _TEST
    return splits


def held_out_photos(
    paths: Sequence[str | Path], landmarks: np.ndarray, seed: int
) -> tuple[list[str | Path], np.ndarray]:
    """The photos of the test split, and their landmarks, in the order in which `write_dressed` edits them."""
    order = np.array(_in_turn(paths, seed))[split_photos(len(paths)) == _TEST]
    return [paths[place] for place in order], landmarks[order]


def _in_turn(paths: Sequence[str | Path], seed: int) -> list[int]:
    """The places of the photos in the order in which they take turns."""
    return sorted(range(len(paths)), key=lambda place: Dice("photo", seed, Path(paths[place]).name).uniform(0, 1))


class _Photos(Sequence[PhotoBase]):
    """Photos that are read when they are asked for; the last few stay in memory."""

    def __init__(self, paths: Sequence[str | Path], landmarks: np.ndarray, size: int) -> None:
        self._paths, self._landmarks, self.size = paths, landmarks, size
        self._kept: dict[int, PhotoBase] = {}

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, place: int) -> PhotoBase: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[PhotoBase]: ...
    def __getitem__(self, place: int | slice) -> PhotoBase | Sequence[PhotoBase]:
        if isinstance(place, slice):
            return self.take(range(*place.indices(len(self))))
        if place not in self._kept:
            self._kept[place] = self.load(place)
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return self._kept[place]

    def load(self, place: int) -> PhotoBase:
        """Reads a photo and does not keep it."""
        return load_photo(self._paths[place], self._landmarks[place], self.size)

    def take(self, places: Sequence[int]) -> _Photos:
        """The photos at these places."""
        return _Photos([self._paths[place] for place in places], self._landmarks[list(places)], self.size)


def _check(
    out: Path, paths: Sequence[str | Path], count: int, size: int, attributes: Sequence[str], counterfactuals: int
) -> None:
    if count < 1:
        raise UserError(f"--count={count}: write at least 1 image")
    check_written_size(size)
    if counterfactuals < 0:
        raise UserError(f"--counterfactuals={counterfactuals}: expected 0 or more")
    find_attributes(attributes, WEARABLE)
    if len(paths) < FEWEST:
        raise UserError(
            f"{len(paths)} photos to dress: expected at least {FEWEST}, one each for training, validation and test"
        )
    check_new_folder(out)


def _write_images(
    folder: Path,
    photos: _Photos,
    splits: np.ndarray,
    count: int,
    seed: int,
    attributes: Sequence[str],
    threads: int,
) -> None:
    """Writes image k, of photo k mod P, and the tables."""
    labels = np.empty((count, len(attributes)), int)
    points = np.empty((count, len(COLUMNS)), int)
    draw = partial(_draw_chunk, folder / IMAGE_FOLDER, photos, seed, tuple(attributes))
    progress = Progress("images", count)
    for numbers, dressed in map_in_order(draw, _chunks(len(photos), count), threads):
        for number, photo in zip(numbers, dressed, strict=True):
            labels[number] = 2 * photo.labels(attributes) - 1
            points[number] = np.rint(photo.landmarks(photos.size)).ravel()
        progress.add(len(numbers))
    progress.close()
    write_table(folder / ATTRIBUTES_FILE, [str(count), " ".join(attributes)], labels.tolist())
    write_table(folder / LANDMARK_FILES["aligned"], [str(count), " ".join(COLUMNS)], points.tolist())
    write_table(folder / PARTITION_FILE, [], [[int(splits[number % len(photos)])] for number in range(count)])


def _chunks(photos: int, count: int) -> Iterator[range]:
    """The numbers of the images, divided so that those of a part show the same photo."""
    for place in range(min(photos, count)):
        numbers = range(place, count, photos)
        for start in range(0, len(numbers), _CHUNK):
            yield numbers[start : start + _CHUNK]


def _draw_chunk(
    folder: Path, photos: _Photos, seed: int, attributes: tuple[str, ...], numbers: range
) -> tuple[range, list[DressedPhoto]]:
    base = photos.load(numbers[0] % len(photos))
    dressed = [make_dressed(base, seed, number, attributes) for number in numbers]
    for number, photo in zip(numbers, dressed, strict=True):
        write_image(folder / image_name(number + 1), photo.draw(photos.size))
    return numbers, dressed


def _write_counterfactuals(
    folder: Path, edits: Iterator[DressedCounterfactual], total: int, size: int, seed: int, threads: int
) -> None:
    def write(numbered: tuple[int, DressedCounterfactual]) -> dict[str, Any]:
        number, edit = numbered
        files = {role: f"{role}_{number:05d}.png" for role in ROLES}
        for role, file in files.items():
            write_image(folder / file, getattr(edit, role).draw(size))
        return {**files, "attributes": list(edit.attributes), "direction": edit.direction}

    progress, entries = Progress("counterfactuals", total), []
    for entry in map_in_order(write, zip(itertools.count(), edits, strict=False), threads):
        entries.append(entry)
        progress.add()
    progress.close()
    index = {"version": INDEX_VERSION, "image_size": size, "seed": seed, "counterfactuals": entries}
    write_json(folder / "index.json", index)
