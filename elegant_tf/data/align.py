"""Finding the faces in photos, and aligning them as the authors align CelebA's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from elegant_tf.data.landmarks import POINTS
from elegant_tf.data.parallel import Progress
from elegant_tf.data.similarity import Similarity, align
from elegant_tf.errors import UserError
from elegant_tf.files import write_json
from elegant_tf.images import check_written_size, read_image, write_image

INDEX_FILE = "align.json"

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


def make_detector() -> Detector:
    """Makes an MTCNN detector, which finds all faces in an image uint8 RGB `[H, W, 3]`, the largest first.

    Raises:
        UserError: the package mtcnn is not installed.
    """
    try:
        from mtcnn import MTCNN
    except ImportError as error:
        raise UserError(f"finding faces needs mtcnn: pip install 'elegant-tf[align]' ({error})") from None
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
    return _faces(image, detect, "largest")[0].points


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
    for face in _faces(image, detect, which):
        aligned, similarity = align(image, face.points, size)
        found.append(Aligned(aligned, face.points, similarity))
    return found


def _faces(image: np.ndarray, detect: Detector, which: str) -> Sequence[Face]:
    faces = _in_reduced(image, detect) if which == "largest" else []
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

    Args:
        photos: the files.
        out: a folder, made if missing; it must not hold earlier results.
        size: side of the faces in pixels.
        which: as for `align_faces`; with `all`, files get numbers.
        detect: finds faces; None: the detector of `make_detector`.

    Returns:
        One entry per face, as in the index: `file`, `photo`, `landmarks` in the photo, and `matrix` `[2, 3]`, which
        maps the photo's pixels to the face's.

    Raises:
        UserError: an option makes no sense, two photos have the same name, or some photo shows no face or cannot be
            read; the faces of all other photos are written first.
    """
    if which not in ("largest", "all") and not which.isdecimal():
        raise UserError(f"--faces={which}: expected largest, all, or a number from 0")
    check_written_size(size)
    root = Path(out)
    if (root / INDEX_FILE).exists():
        raise UserError(f"--out={root}: holds aligned faces already: choose another folder")
    _check_names(photos)
    detect = detect or make_detector()
    progress, entries, failures = Progress("photos", len(photos)), [], []
    for photo in photos:
        try:
            entries += _align_photo(Path(photo), root, size, which, detect)
        except UserError as error:
            text = str(error)
            failures.append(text if text.startswith(str(photo)) else f"{photo}: {text}")
        progress.add()
    progress.close()
    if entries:
        write_json(root / INDEX_FILE, entries)
    if failures:
        raise UserError("\n".join([f"{len(failures)} of {len(photos)} photos were not aligned:", *failures]))
    return entries


def _align_photo(photo: Path, root: Path, size: int, which: str, detect: Detector) -> Iterator[dict[str, Any]]:
    for number, face in enumerate(align_faces(read_image(photo), size, detect, which)):
        path = root / (f"{photo.stem}_{number}.png" if which == "all" else f"{photo.stem}.png")
        write_image(path, face.image)
        scale, shift = face.similarity.scale, face.similarity.shift
        yield {
            "file": path.name,
            "photo": os.fspath(photo),
            "landmarks": dict(zip(POINTS, face.points.round(2).tolist(), strict=True)),
            "matrix": [[scale.real, -scale.imag, shift.real], [scale.imag, scale.real, shift.imag]],
        }


def _check_names(photos: Sequence[str | Path]) -> None:
    seen: dict[str, Path] = {}
    for photo in map(Path, photos):
        if seen.setdefault(photo.stem, photo) != photo:
            raise UserError(f"{seen[photo.stem]} and {photo} would both become {photo.stem}.png: rename one")
