"""Photo in, photo out: finds faces in a photograph, edits them aligned, and gives the change back to the photograph.

The model sees a face in an aligned frame of S x S pixels. What goes back to the photo is the difference between the
edited and the reconstructed frame, enlarged: the photo keeps its own detail, and what the model cannot reconstruct.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageFilter

from elegant_tf.catalogue import Exemplar, is_one
from elegant_tf.data.align import Detector, Face, check_which, find_faces, make_detector
from elegant_tf.data.journal import says_how_to_go_on
from elegant_tf.data.landmarks import check_points
from elegant_tf.data.parallel import Progress
from elegant_tf.data.similarity import Similarity, align, warp
from elegant_tf.errors import UserError
from elegant_tf.files import check_writable, remove_parts
from elegant_tf.images import OneImage, check_pixels, image_pixels
from elegant_tf.photo_files import Photo, check_format, check_photo_output, read_photo, write_photo

if TYPE_CHECKING:
    from elegant_tf.editor import Editor, Exemplars

BLENDS = ("detail", "add", "paste")
"""Ways to give an edit back.

`detail` adds the enlarged difference, and fades the photo's own fine detail where the difference is large, since
glasses that are removed would leave their edges behind; `add` adds the difference alone; `paste` replaces the frame.
"""

# The change fades to nothing over this share of the frame's side, at its border.
_FADE = 1 / 16
_RIM = 3  # pixels at the border of the frame without any change: as far as the bicubic filter reaches

# The photo's fine detail begins to fade where the difference is this large, of 255, and is gone at the second.
_FADES_FROM, _GONE_AT = 4.0, 40.0

# Pixels that are changed at once, which bounds the memory.
_AT_ONCE = 2**20

_GREY = np.array((0.299, 0.587, 0.114), np.float32)

Marker: TypeAlias = Callable[[Photo, str], bytes]
"""Makes the XMP packet of an edited photo, from the photo and the format of the file to write."""


class FaceFinder:
    """Finds faces in images, and aligns them as the model sees them.

    Args:
        size: side S of the aligned frame.
        detect: finds faces; None: the detector of `make_detector`, which needs mtcnn, and is made when it is needed.
    """

    def __init__(self, size: int, detect: Detector | None = None) -> None:
        self.size = size
        self._detector = detect

    def detect(self, pixels: np.ndarray) -> Sequence[Face]:
        """All faces in an image uint8 RGB `[H, W, 3]`, the largest first."""
        if self._detector is None:
            self._detector = make_detector()
        return self._detector(pixels)

    def find(self, pixels: np.ndarray, landmarks: np.ndarray | None = None, faces: str = "largest") -> list[np.ndarray]:
        """The five points of each face, `[5, 2]`.

        Args:
            pixels: uint8 RGB `[H, W, 3]`.
            landmarks: x and y in pixels of the five points of the only face, `[5, 2]`; None: faces are found.
            faces: `largest`, `all`, or a number: 0 is the largest face, 1 the next.

        Raises:
            UserError: the image shows no face, or fewer than `faces` asks for.
        """
        if landmarks is not None:
            check_points(landmarks, (pixels.shape[1], pixels.shape[0]))
            return [landmarks]
        return [face.points for face in find_faces(pixels, self.detect, faces)]

    def align(self, image: OneImage, landmarks: np.ndarray | None = None, faces: str = "largest") -> list[np.ndarray]:
        """The faces in an image, each uint8 `[S, S, 3]`. Arguments and errors are those of `find`.

        `image` may also be a Pillow image, or the path of a file, which errors name.
        """
        with _named(image):
            pixels = _rgb_of(image)
            return [align(pixels, points, self.size)[0] for points in self.find(pixels, landmarks, faces)]


class PhotoEditor:
    """Makes the same edit of the faces in any photograph, at the photograph's own resolution.

    Pixels outside the frames of the faces stay as they are. At strength 0, all pixels do.

    Args:
        editor: of a run.
        exemplar: one exemplar, which gives all attributes, or one for each of them: images, of which the largest face
            counts, or `Exemplar`s of a catalogue.
        attributes: names, one or several.
        strength: as in `Editor.swap`.
        faces: which faces of a photo are edited: `largest`, `all`, or a number: 0 is the largest face, 1 the next.
        blend: how the edit is added to the photo, see `BLENDS`.
        detect: finds faces, as for `FaceFinder`.
        aligned: whether the exemplars' images are aligned already.

    Raises:
        UserError: an exemplar shows no face, or an argument makes no sense.
    """

    def __init__(
        self,
        editor: Editor,
        exemplar: Exemplars,
        attributes: Sequence[str],
        strength: float | Sequence[float] = 1.0,
        *,
        faces: str = "largest",
        blend: str = BLENDS[0],
        detect: Detector | None = None,
        aligned: bool = False,
    ) -> None:
        check_which(faces)
        if blend not in BLENDS:
            raise UserError(f"--blend={blend}: expected {', '.join(BLENDS)}")
        self._editor, self._attributes, self._strength = editor, attributes, strength
        self._faces, self._blend = faces, blend
        self._finder = FaceFinder(editor.image_size, detect)
        given: list[Any] = [exemplar] if is_one(exemplar) else list(exemplar)  # type: ignore[arg-type] # several
        self._exemplars: list[np.ndarray | Exemplar] = [
            one if aligned or isinstance(one, Exemplar) else self._finder.align(one)[0] for one in given
        ]

    def edit_photo(self, photo: OneImage, landmarks: np.ndarray | None = None) -> np.ndarray:
        """Edits a photo.

        Args:
            photo: the path of a file, a Pillow image, or uint8 RGB `[H, W, 3]`, which stays as it is.
            landmarks: x and y in pixels of the five points of the face to edit, `[5, 2]`; None: faces are found.

        Returns:
            uint8 RGB `[H, W, 3]`, upright.

        Raises:
            UserError: the photo cannot be read, or shows no face.
        """
        with _named(photo):
            pixels = _rgb_of(photo).copy()
            self._edit(pixels, landmarks)
        return pixels

    def edit_file(
        self,
        path: str | os.PathLike[str],
        out: str | os.PathLike[str],
        landmarks: np.ndarray | None = None,
        overwrite: bool = False,
        mark: Marker | None = None,
    ) -> None:
        """Edits the photo in a file, and writes it with what else the file holds, see `photo_files`.

        Args:
            path: the photo.
            out: the file to write, in the format that its name says.
            landmarks: as for `edit_photo`.
            overwrite: whether an existing file is replaced.
            mark: makes the XMP packet of the edited photo; None: the photo's own packet is kept.

        Raises:
            UserError: the photo cannot be read or shows no face, or the file cannot be written; the text names the
                file.
        """
        image_format = check_photo_output(out, overwrite)
        photo = self._edited(path, out, image_format, landmarks)
        write_photo(out, photo, photo.pixels, _packet(mark, photo, image_format), overwrite)

    def edit_files(
        self,
        photos: Sequence[str],
        out: str | os.PathLike[str],
        landmarks: Mapping[str, np.ndarray] | None = None,
        overwrite: bool = False,
        mark: Marker | None = None,
    ) -> list[str]:
        """Edits photos and writes each into a folder, under its own name and in its own format.

        Files that are there already stay, so that the same call goes on after an interruption.

        Args:
            photos: the files.
            out: the folder, made if it is missing.
            landmarks: by photo; None: faces are found.
            overwrite: whether existing files are replaced.
            mark: as for `edit_file`.

        Returns:
            The files that were written now.

        Raises:
            UserError: two photos have the same name, the folder is that of a photo or cannot be written, or some photo
                cannot be read or shows no face; all other photos are written first, and the text names each failure.
        """
        targets = photo_targets(photos, out)
        check_writable(out)
        remove_parts(out)
        todo = {photo: target for photo, target in targets.items() if overwrite or not os.path.lexists(target)}
        failures: list[str] = []
        written: list[str] = []
        if kept := len(targets) - len(todo):
            print(f"{os.fspath(out)}: {kept} of {len(targets)} photos are there already, and stay", file=sys.stderr)
        progress = Progress("photos", len(targets), kept)

        def finished() -> str:
            return f"{kept + len(written)} of {len(targets)} photos are finished" if written else ""

        with says_how_to_go_on(finished):
            for path, target in todo.items():
                try:
                    photo = self._edited(path, target, "", None if landmarks is None else landmarks[path])
                except UserError as error:
                    failures.append(str(error))
                else:
                    packet = _packet(mark, photo, photo.format)
                    write_photo(target, photo, photo.pixels, packet, overwrite, photo.format)
                    written.append(target)
                progress.add()
            progress.close()
        if failures:
            raise UserError("\n".join([f"{len(failures)} of {len(targets)} photos were not edited:", *failures]))
        return written

    def _edited(
        self, path: str | os.PathLike[str], out: str | os.PathLike[str], image_format: str, landmarks: np.ndarray | None
    ) -> Photo:
        """The photo in a file, edited. An empty format is the photo's own."""
        with _named(path):
            photo = read_photo(path)
            check_format(out, photo, image_format or photo.format)
            self._edit(photo.pixels, landmarks)
        return photo

    def _edit(self, pixels: np.ndarray, landmarks: np.ndarray | None) -> None:
        """Edits the faces in pixels `[H, W, C]`, in place."""
        rgb = _to_rgb(pixels)
        for points in self._finder.find(rgb, landmarks, self._faces):
            face, similarity = align(rgb, points, self._finder.size)
            if np.any(self._strength):
                edited, reconstructed = (
                    self._editor.swap(face, self._exemplars, self._attributes, strength)
                    for strength in (self._strength, 0.0)
                )
                if pixels.shape[2] in (2, 4):  # its colours without the white behind them, as they are in the photo
                    face = align(_to_rgb(pixels[..., :-1]), points, self._finder.size)[0]
                box = give_back(pixels, face, edited, reconstructed, similarity, self._blend)
                rgb[box] = _to_rgb(pixels[box])  # the next face's frame may overlap


def edit_photo(
    editor: Editor,
    photo: OneImage,
    exemplar: Exemplars,
    attributes: Sequence[str],
    strength: float | Sequence[float] = 1.0,
    faces: str = "largest",
) -> np.ndarray:
    """Edits one photo, uint8 RGB `[H, W, 3]`; arguments, errors and results are those of `PhotoEditor`."""
    return PhotoEditor(editor, exemplar, attributes, strength, faces=faces).edit_photo(photo)


def give_back(
    pixels: np.ndarray,
    face: np.ndarray,
    edited: np.ndarray,
    reconstructed: np.ndarray,
    similarity: Similarity,
    blend: str = BLENDS[0],
) -> tuple[slice, slice]:
    """Gives the edit of an aligned face back to its photo.

    Args:
        pixels: the photo, uint8 or uint16 `[H, W, C]` as in `Photo.pixels`; changed in place, but for its alpha.
        face: the aligned face, uint8 `[S, S, 3]`.
        edited: its edit.
        reconstructed: its edit of strength 0.
        similarity: from the photo to the face.
        blend: see `BLENDS`.

    Returns:
        The rows and columns of the photo that may have changed.
    """
    layer, cover = _layer(face, edited, reconstructed, blend)
    colours = 1 if pixels.shape[2] < 3 else 3
    layer = layer if colours == 3 else (layer @ _GREY)[..., None]
    white, unit = (65535, 257) if pixels.dtype == np.uint16 else (255, 1)  # 65535 / 255 = 257
    planes = np.concatenate([layer * np.float32(unit), cover[..., None]], axis=-1)
    rows, columns = _box(similarity, len(face), pixels.shape)
    width, back = columns.stop - columns.start, similarity.inverse()
    step = max(1, _AT_ONCE // max(width, 1))
    for top in range(rows.start, rows.stop, step):
        bottom = min(top + step, rows.stop)
        part = pixels[top:bottom, columns, :colours]
        enlarged = warp(planes, Similarity(back.scale, back.shift - complex(columns.start, top)), width, bottom - top)
        mixed = part * (1 - enlarged[..., colours:]) + enlarged[..., :colours]
        part[...] = np.clip(np.rint(mixed), 0, white)
    return rows, columns


def photo_targets(photos: Sequence[str], out: str | os.PathLike[str]) -> dict[str, str]:
    """The file in a folder that each photo is written to.

    Raises:
        UserError: two photos would be written to the same file, or one to itself.
    """
    sources: dict[str, str] = {}
    for photo in dict.fromkeys(photos):
        target = os.path.join(out, os.path.basename(photo))
        other = sources.setdefault(target, photo)
        if other != photo:
            raise UserError(f"{other} and {photo} would both become {target}: rename one")
        if os.path.exists(target) and os.path.samefile(photo, target):
            raise UserError(f"--out={os.fspath(out)}: is the folder of {photo}: choose another folder")
    return {photo: target for target, photo in sources.items()}


def _layer(
    face: np.ndarray, edited: np.ndarray, reconstructed: np.ndarray, blend: str
) -> tuple[np.ndarray, np.ndarray]:
    """What is added to the photo, float32 `[S, S, 3]`, and the share of the photo that it covers, `[S, S]`, 0 to 1."""
    fade = _fade(len(face))
    if blend == "paste":
        return fade[..., None] * edited, fade
    change = edited.astype(np.float32) - reconstructed
    cover = fade * _strong(change) if blend == "detail" else np.zeros_like(fade)
    return fade[..., None] * change + cover[..., None] * face, cover


def _strong(change: np.ndarray) -> np.ndarray:
    """Where a change is so strong that the detail beneath it goes: float32 `[S, S]`, 0 to 1."""
    largest = Image.fromarray(np.abs(change).max(axis=-1).astype(np.uint8))
    near = largest.filter(ImageFilter.BoxBlur(1))
    return _smooth_step((np.asarray(near, np.float32) - _FADES_FROM) / (_GONE_AT - _FADES_FROM))


def _fade(size: int) -> np.ndarray:
    """1 inside a frame, and 0 at its border: float32 `[S, S]`."""
    place = np.arange(size, dtype=np.float32)
    ramp = _smooth_step((np.minimum(place, place[::-1]) - (_RIM - 1)) / max(1.0, _FADE * size))
    return ramp[:, None] * ramp


def _smooth_step(values: np.ndarray) -> np.ndarray:
    values = values.clip(0, 1)
    return (values * values * (3 - 2 * values)).astype(np.float32)


def _box(similarity: Similarity, size: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The rows and columns of a photo in which the frame of a face lies."""
    corners = similarity.inverse().points(np.array([[x, y] for x in (0, size - 1) for y in (0, size - 1)]))
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    height, width = shape[:2]
    rows, columns = np.clip([top, bottom], 0, height).tolist(), np.clip([left, right], 0, width).tolist()
    return slice(*rows), slice(*columns)


def _to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Pixels `[H, W, C]` as the model sees them, uint8 RGB on white; uint8 RGB itself stays the same array."""
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 255 = 257
    if pixels.shape[2] in (2, 4):
        image = Image.fromarray(pixels).convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return np.array(Image.alpha_composite(white, image).convert("RGB"))
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def _rgb_of(image: OneImage) -> np.ndarray:
    """uint8 RGB `[H, W, 3]`."""
    pixels = image_pixels(image)
    check_pixels(pixels)
    return pixels


def _packet(mark: Marker | None, photo: Photo, image_format: str) -> bytes | None:
    return mark(photo, image_format) if mark else None


@contextlib.contextmanager
def _named(image: object) -> Iterator[None]:
    """Adds the name of a file to errors that lack it."""
    try:
        yield
    except UserError as error:
        name, text = os.fspath(image) if isinstance(image, str | os.PathLike) else "", str(error)
        raise UserError(text if text.startswith(name) else f"{name}: {text}") from error
