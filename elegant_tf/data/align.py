"""Finding the faces in photos, and aligning them as the authors align CelebA's."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from elegant_tf.data.journal import Journal, says_how_to_go_on
from elegant_tf.data.landmarks import POINTS
from elegant_tf.data.listing import first_names
from elegant_tf.data.parallel import Progress
from elegant_tf.data.similarity import Similarity, align
from elegant_tf.errors import UserError
from elegant_tf.files import check_writable, file_sha256, remove_file, remove_parts, write_json
from elegant_tf.images import check_written_size, read_image, write_image
from elegant_tf.runlock import WRITING, locked

INDEX_FILE = "align.json"
JOURNAL_FILE = ".align.jsonl"

# MTCNN's names of `POINTS`.
_KEYPOINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_SMALLEST = 24  # pixels: MTCNN finds no face in smaller images
_LONG_SIDE = 800  # pixels: reducing larger images to this makes finding large faces faster, and no less reliable


class Face(NamedTuple):
    """A face in an image: `points` float64 `[5, 2]`, x and y in pixels; `width` and `height` in pixels."""

    points: np.ndarray
    width: float
    height: float


class Aligned(NamedTuple):
    """An aligned face uint8 `[S, S, 3]`, its points in the photo, and the similarity from the photo to the face."""

    image: np.ndarray
    points: np.ndarray
    similarity: Similarity


Detector = Callable[[np.ndarray], Sequence[Face]]

_NEEDS_MTCNN = "finding faces needs mtcnn: pip install 'elegant-tf[align]'"


def check_detector() -> None:
    """Raises UserError if the package mtcnn is not installed; without loading it, which takes seconds."""
    if importlib.util.find_spec("mtcnn") is None:
        raise UserError(_NEEDS_MTCNN)


def make_detector() -> Detector:
    """Makes an MTCNN detector, which finds all faces in an image uint8 RGB `[H, W, 3]`, the largest first.

    Raises:
        UserError: the package mtcnn is not installed.
    """
    try:
        from mtcnn import MTCNN
    except ImportError as error:
        raise UserError(f"{_NEEDS_MTCNN} ({error})") from None
    network = MTCNN()

    def detect(image: np.ndarray) -> list[Face]:
        if min(image.shape[:2]) < _SMALLEST:
            return []
        faces = [_face(found) for found in network.detect_faces(image)]
        return sorted(faces, key=lambda face: -face.width * face.height)

    return detect


def _face(found: dict[str, Any]) -> Face:
    points = np.array([found["keypoints"][name] for name in _KEYPOINTS], np.float64)
    return Face(points, *map(float, found["box"][2:]))


def find_largest(image: np.ndarray, detect: Detector) -> np.ndarray:
    """The five points `[5, 2]` of the largest face in an image. Raises UserError if the image shows no face."""
    return find_faces(image, detect, "largest")[0].points


def check_which(which: str) -> None:
    """Raises UserError unless `which` is `largest`, `all`, or a number from 0."""
    if which not in ("largest", "all") and not (which.isascii() and which.isdecimal()):
        raise UserError(f"--faces={which}: expected largest, all, or a number from 0")


def find_faces(image: np.ndarray, detect: Detector, which: str = "largest") -> Sequence[Face]:
    """The faces in an image, as for `align_faces`, the largest first."""
    faces: Sequence[Face] = _in_reduced(image, detect) if which == "largest" else []
    faces = faces or detect(image)
    if not faces:
        height, width = image.shape[:2]
        raise UserError(f"no face was found in {width} x {height} pixels: take a photo that shows one from the front")
    if which == "all":
        return faces
    number = 0 if which == "largest" else int(which)
    if number >= len(faces):
        raise UserError(f"--faces={which}: {len(faces)} faces were found; the largest is number 0")
    return faces[number : number + 1]


def align_faces(image: np.ndarray, size: int, detect: Detector, which: str = "largest") -> list[Aligned]:
    """Aligns faces in a photo.

    Args:
        image: uint8 RGB `[H, W, 3]`.
        size: side S of the results.
        detect: finds the faces.
        which: `largest`, `all`, or a number: 0 is the largest face, 1 the next.

    Raises:
        UserError: the photo shows no face, or fewer than `which` asks for.
    """
    found = []
    for face in find_faces(image, detect, which):
        aligned, similarity = align(image, face.points, size)
        found.append(Aligned(aligned, face.points, similarity))
    return found


def _in_reduced(image: np.ndarray, detect: Detector) -> list[Face]:
    """The faces in a large image, found in a reduced copy; an empty list for a small image."""
    factor = -(-max(image.shape[:2]) // _LONG_SIDE)
    if factor == 1:
        return []
    faces = detect(np.array(Image.fromarray(image).reduce(factor)))
    return [Face((f.points + 0.5) * factor - 0.5, f.width * factor, f.height * factor) for f in faces]


def align_photos(
    photos: Sequence[str | Path], out: str | Path, size: int, which: str = "largest", detect: Detector | None = None
) -> list[dict[str, Any]]:
    """Aligns the faces in photo files and writes them as PNG files into a folder, with an index of their places.

    Finished faces are kept when the work is interrupted, and the same call continues from there. A photo
    that has changed (by its SHA-256) or failed before is aligned again. Further photos may be added.

    Args:
        photos: the files.
        out: a folder, made if missing, or one that the same call began.
        size: side of the faces in pixels.
        which: as for `align_faces`; with `all`, files get numbers.
        detect: finds faces; None: the detector of `make_detector`.

    Returns:
        One entry per face, as in the index: `file`, `photo`, `landmarks` in the photo, and `matrix` `[2, 3]`, which
        maps the photo's pixels to the face's.

    Raises:
        UserError: an option makes no sense, two photos have the same name, `out` holds other faces or cannot be
            written, another process writes there, or some photo shows no face or cannot be read; the faces of all
            other photos are written first.
    """
    check_which(which)
    check_written_size(size)
    files = list(dict.fromkeys(os.fspath(photo) for photo in photos))
    _check_names(files)
    check_writable(out)
    with locked(out, WRITING):
        return _align_files(files, Path(out), size, which, detect)


def _align_files(
    files: Sequence[str], out: Path, size: int, which: str, detect: Detector | None
) -> list[dict[str, Any]]:
    folder = _Folder(out, files, {"version": 1, "image_size": size, "faces": which})
    todo = folder.todo()
    if todo:
        detect = detect or make_detector()
    if len(todo) < len(files):
        print(f"{out}: {folder.finished()} already", file=sys.stderr)
    progress, failures = Progress("photos", len(files), len(files) - len(todo)), []
    with says_how_to_go_on(folder.finished):
        for photo in todo:
            assert detect is not None
            try:
                faces = align_faces(read_image(photo), size, detect, which)
            except UserError as error:
                text = str(error)
                failures.append(text if text.startswith(photo) else f"{photo}: {text}")
            else:
                folder.add(photo, faces)
            progress.add()
        progress.close()
        entries = folder.close()
    if failures:
        raise UserError("\n".join([f"{len(failures)} of {len(files)} photos were not aligned:", *failures]))
    return entries


class _Folder:
    """The folder of faces, and the journal of the photos that are finished.

    A row of the journal names a photo, its SHA-256 and its faces. It is written before them: a photo is finished when
    its row and all of its files are there, and no file is replaced that a row does not name.
    """

    def __init__(self, root: Path, photos: Sequence[str], options: dict[str, Any]) -> None:
        self._root, self._photos, self._options = root, photos, options
        self._journal = Journal(root / JOURNAL_FILE)
        try:
            self._rows = {row["photo"]: row for row in self._journal.rows}
            self._mine = {entry["file"] for row in self._journal.rows for entry in row["faces"]}
            self._check(self._journal.options if self._rows else None)
        except (AttributeError, KeyError, TypeError):
            raise UserError(f"{root / JOURNAL_FILE}: is damaged: choose another --out") from None
        self._digests: dict[str, str] = {}
        self._finished: set[str] = set()

    def _check(self, found: Mapping[str, Any] | None) -> None:
        if found is None and (self._root / INDEX_FILE).exists():
            raise UserError(f"--out={self._root}: holds other aligned faces already: choose another folder")
        for name, value in self._options.items():
            if found and found.get(name) != value:
                raise UserError(
                    f"--out={self._root}: holds faces made with --{name}={found.get(name)}, not {value}: "
                    "choose another folder, or the same options to go on"
                )
        others = sorted(self._rows.keys() - set(self._photos))
        if others:
            raise UserError(
                f"--out={self._root}: holds faces of {len(others)} photos that --input lacks ({first_names(others)}): "
                "choose another folder, or the same photos to go on"
            )

    def todo(self) -> list[str]:
        """The photos that are not finished, or have changed since.

        Raises:
            UserError: a file that no row names has the name of a face.
        """
        remove_parts(self._root)
        for photo in self._photos:
            row = self._rows.get(photo)
            with contextlib.suppress(OSError):  # reading the photo says why
                self._digests[photo] = file_sha256(photo)
            if row and row["sha256"] == self._digests.get(photo) and all(map(Path.is_file, self._paths(row))):
                self._finished.add(photo)
        todo = [photo for photo in self._photos if photo not in self._finished]
        for photo in todo:
            self._check_free(self._name(photo, 0))
        return todo

    def add(self, photo: str, faces: Sequence[Aligned]) -> None:
        """Writes the faces of a photo."""
        entries = [_entry(self._name(photo, number), photo, face) for number, face in enumerate(faces)]
        for entry in entries:
            self._check_free(entry["file"])
        for path in self._paths(self._rows.get(photo)):
            remove_file(path)
        row = {"photo": photo, "sha256": self._digests.get(photo, ""), "faces": entries}
        self._journal.add(self._options, row)
        for path, face in zip(self._paths(row), faces, strict=True):
            write_image(path, face.image, overwrite=True)
        self._rows[photo] = row
        self._finished.add(photo)

    def finished(self) -> str:
        """What is finished, in words; empty if nothing is."""
        return f"{len(self._finished)} of {len(self._photos)} photos are finished" if self._finished else ""

    def close(self) -> list[dict[str, Any]]:
        """Writes the index, in the order of the photos, and returns it."""
        rows = [self._rows[photo] for photo in self._photos if photo in self._rows]
        entries = [entry for row in rows for entry in row["faces"]]
        if rows:
            write_json(self._root / INDEX_FILE, entries)
            self._journal.write(self._options, rows)
        return entries

    def _paths(self, row: Mapping[str, Any] | None) -> list[Path]:
        return [self._root / entry["file"] for entry in row["faces"]] if row else []

    def _name(self, photo: str, number: int) -> str:
        stem = Path(photo).stem
        return f"{stem}_{number}.png" if self._options["faces"] == "all" else f"{stem}.png"

    def _check_free(self, name: str) -> None:
        if name not in self._mine and os.path.lexists(self._root / name):
            raise UserError(f"{self._root / name}: exists already: move it away, or choose another --out")


def _entry(file: str, photo: str, face: Aligned) -> dict[str, Any]:
    scale, shift = face.similarity.scale, face.similarity.shift
    return {
        "file": file,
        "photo": photo,
        "landmarks": dict(zip(POINTS, face.points.round(2).tolist(), strict=True)),
        "matrix": [[scale.real, -scale.imag, shift.real], [scale.imag, scale.real, shift.imag]],
    }


def _check_names(photos: Sequence[str | Path]) -> None:
    seen: dict[str, Path] = {}
    for photo in map(Path, photos):
        if seen.setdefault(photo.stem, photo) != photo:
            raise UserError(f"{seen[photo.stem]} and {photo} would both become {photo.stem}.png: rename one")
