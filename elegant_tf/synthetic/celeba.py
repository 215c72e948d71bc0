"""Writing drawn faces to disk in CelebA's layout, with held-out edits whose targets are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.data.attributes import CELEBA_ATTRIBUTES, label_words
from elegant_tf.data.celeba_layout import ATTRIBUTES_FILE, IMAGE_FOLDER, LANDMARK_FILES, PARTITION_FILE
from elegant_tf.data.landmarks import COLUMNS
from elegant_tf.errors import UserError
from elegant_tf.files import atomic_directory, check_writable, write_json, write_text
from elegant_tf.images import check_written_size, write_image
from elegant_tf.synthetic.face import Counterfactual, Face, make_counterfactuals, make_face
from elegant_tf.synthetic.styles import ATTRIBUTES
from elegant_tf.synthetic.workers import draw_faces

BATCH, BATCH_PIXELS = 1000, 2**30
"""The most images, and pixels of them, in memory at once."""

ROLES = ("input", "exemplar", "target")
"""The images of a counterfactual."""

INDEX_VERSION = 2
"""In version 1 of `index.json` the target was called truth."""

PARTITION = (0, 0, 0, 0, 1, 0, 0, 0, 0, 2)
"""0, 1 or 2 for train, validation and test, repeated every ten faces: 80 : 10 : 10."""

_TRUE_OF: dict[str, Callable[[Face], bool]] = {
    "Arched_Eyebrows": lambda face: face.identity.brows.arch > 0.020,
    "Big_Lips": lambda face: face.identity.mouth.lower > 0.031,
    "Big_Nose": lambda face: face.identity.nose.width > 0.060,
    "Black_Hair": lambda face: face.identity.hair.name == "black",
    "Blond_Hair": lambda face: face.identity.hair.name in ("blond", "platinum"),
    "Brown_Hair": lambda face: face.identity.hair.name in ("dark_brown", "brown", "auburn"),
    "Bushy_Eyebrows": lambda face: face.identity.brows.thickness > 0.021,
    "Gray_Hair": lambda face: face.identity.hair.name in ("gray", "white"),
    "Heavy_Makeup": lambda face: face.identity.mouth.lipstick and face.identity.eyes.shadow is not None,
    "Mouth_Slightly_Open": lambda face: bool(face.styles.Smiling and face.styles.Smiling.opening),
    "Narrow_Eyes": lambda face: face.identity.eyes.opening < 0.027,
    "No_Beard": lambda face: face.styles.Mustache is None,
    "Oval_Face": lambda face: face.identity.head.jaw < 0.206,
    "Pale_Skin": lambda face: min(face.identity.head.skin) > 188,
    "Rosy_Cheeks": lambda face: face.identity.head.cheek > 0.8,
    "Straight_Hair": lambda face: face.identity.hair.cut not in ("wavy", "curly", "afro"),
    "Wavy_Hair": lambda face: face.identity.hair.cut in ("wavy", "curly", "afro"),
    "Wearing_Earrings": lambda face: face.identity.head.earring is not None,
    "Wearing_Lipstick": lambda face: face.identity.mouth.lipstick,
    "Wearing_Necktie": lambda face: face.identity.clothes.kind == "suit",
    "Young": lambda face: face.identity.hair.name not in ("gray", "white"),
}
"""CelebA's other columns that follow from the drawing. All others are -1 throughout."""


def celeba_labels(face: Face) -> np.ndarray:
    """int8 `[40]` in {-1, 1}, one for each of `CELEBA_ATTRIBUTES`."""
    has = {name: test(face) for name, test in _TRUE_OF.items()}
    has |= {name: style is not None for name, style in face.styles._asdict().items()}
    return np.array([1 if has.get(name) else -1 for name in CELEBA_ATTRIBUTES], np.int8)


FACE_COLUMNS = tuple(name for name in CELEBA_ATTRIBUTES if name in _TRUE_OF or name in ATTRIBUTES)
"""CelebA's columns that follow from the drawing: what is known of a drawn face."""


def face_column(faces: Sequence[Face], name: str) -> np.ndarray:
    """One of `FACE_COLUMNS` for M faces: str `[M]`, yes or no."""
    return label_words(np.array([celeba_labels(face) for face in faces])[:, CELEBA_ATTRIBUTES.index(name)])


def write_celeba(
    out: Path, count: int, image_size: int, seed: int, counterfactuals: int = 100, workers: int | None = 0
) -> None:
    """Writes `make_face(seed, 0)` … `make_face(seed, count - 1)` to the new folder `out`, laid out as CelebA.

    `img_align_celeba/000001.jpg` …, `list_attr_celeba.txt`, `list_landmarks_align_celeba.txt`,
    `list_eval_partition.txt`, and `counterfactuals/` with the input, exemplar and target (the input wearing the
    exemplar's attribute) of each of that many held-out edits, listed in its `index.json` with the labels of the input.

    The folder appears whole or not at all. `workers`: as in `draw_faces`. Raises `UserError` if `out` cannot be
    written, exists and is not an empty folder, or if a number makes no sense.
    """
    out = Path(out)
    _check(out, count, image_size, counterfactuals)
    with atomic_directory(out) as aside:
        _write_images(aside / IMAGE_FOLDER, count, image_size, seed, workers)
        _write_tables(aside, [make_face(seed, index) for index in range(count)], image_size)
        _write_counterfactuals(aside / "counterfactuals", counterfactuals, image_size, seed, workers)


def _check(out: Path, count: int, image_size: int, counterfactuals: int) -> None:
    if count < 1:
        raise UserError(f"--count={count}: write at least 1 face")
    check_written_size(image_size)
    if counterfactuals < 0:
        raise UserError(f"counterfactuals={counterfactuals}: expected 0 or more")
    check_new_folder(out)


def check_new_folder(out: Path) -> None:
    """Raises UserError unless `out` is new or empty, and can be written."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out={out}: already exists; name a new or an empty folder")
    check_writable(out)


def _write_images(folder: Path, count: int, size: int, seed: int, workers: int | None) -> None:
    for start, stop in _batches(count, size):
        faces = [make_face(seed, index) for index in range(start, stop)]
        for number, image in enumerate(draw_faces(faces, size, workers), start + 1):
            write_image(folder / image_name(number), image)


def _batches(count: int, size: int) -> Iterator[tuple[int, int]]:
    """The bounds of the batches in which `count` images of side `size` are drawn."""
    most = min(BATCH, BATCH_PIXELS // size**2)
    for start in range(0, count, most):
        yield start, min(start + most, count)


def image_name(number: int) -> str:
    """The file of image `number`, which begins at 1."""
    return f"{number:06d}.jpg"


def _write_tables(folder: Path, faces: Sequence[Face], size: int) -> None:
    labels = [celeba_labels(face) for face in faces]
    landmarks = [np.rint(face.landmarks(size)).astype(int).ravel() for face in faces]
    partition = [[PARTITION[index % len(PARTITION)]] for index in range(len(faces))]
    write_table(folder / ATTRIBUTES_FILE, [str(len(faces)), " ".join(CELEBA_ATTRIBUTES)], labels)
    write_table(folder / LANDMARK_FILES["aligned"], [str(len(faces)), " ".join(COLUMNS)], landmarks)
    write_table(folder / PARTITION_FILE, [], partition)


def write_table(path: Path, head: Sequence[str], rows: Iterable[Iterable[int]]) -> None:
    """Writes a table of CelebA: the lines of its head, then a line for each image."""
    lines = [" ".join([image_name(number), *map(str, row)]) for number, row in enumerate(rows, 1)]
    write_text(path, "\n".join([*head, *lines]) + "\n")


def _write_counterfactuals(folder: Path, count: int, size: int, seed: int, workers: int | None) -> None:
    pairs = make_counterfactuals(seed, count)
    entries: list[dict[str, Any]] = []
    for number, pair in enumerate(pairs):
        files = {role: f"{role}_{number:05d}.png" for role in ROLES}
        known = dict(zip(CELEBA_ATTRIBUTES, celeba_labels(pair.input).tolist(), strict=True))
        labels = {name: int(known[name] == 1) for name in FACE_COLUMNS}
        entries.append({**files, "attributes": list(pair.attributes), "direction": _direction(pair), "labels": labels})
    for role in ROLES:
        for start, stop in _batches(count, size):
            faces = [getattr(pair, role) for pair in pairs[start:stop]]
            for number, image in enumerate(draw_faces(faces, size, workers), start):
                write_image(folder / entries[number][role], image)
    index = {"version": INDEX_VERSION, "image_size": size, "seed": seed, "counterfactuals": entries}
    write_json(folder / "index.json", index)


def _direction(pair: Counterfactual) -> str:
    return "add" if getattr(pair.exemplar.styles, pair.attributes[0]) else "remove"
