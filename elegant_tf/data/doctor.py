"""Checks a collection before hours are spent on it: what would stop training, spoil it or slow it down."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from elegant_tf.data.collection import Collection, CollectionSource
from elegant_tf.data.correlation import correlations, pair_differences
from elegant_tf.data.landmarks import check_convention, check_points
from elegant_tf.data.listing import composed, first_names, printable
from elegant_tf.data.pairs import BadImages
from elegant_tf.data.parallel import Progress, map_in_order
from elegant_tf.data.sampler import PairSampler
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, lacks_end

# An image is mostly black if more than this share of its pixels is darker than this, of 255, in every channel.
BLACK_SHARE, BLACK_LEVEL = 0.3, 8
# Attributes with a stronger correlation leak into each other.
STRONG_CORRELATION = 0.5
# A larger share of mostly black images is an error: they were aligned by landmarks of another variant.
BLACK_IMAGES_SHARE = 0.05
DISK_FILES = 500
_REFUSALS = ("training", "missing", "unreadable", "unlabelled")  # kinds of findings
SHOWN = 10  # findings of a kind in the text; the JSON has all


class Finding(NamedTuple):
    """A problem: `level` error (training would stop or be worthless) or warning; `kind`; `text` for people."""

    level: str
    kind: str
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """The result of examining a collection.

    `images`: the number of labelled images; `looked_at`: the number that were read; `sizes`: the number of images by
    `WxH`, the most frequent first; `attributes`: the number of images with each; `trained`: the attributes with which
    training was tried; `correlation`: rows of the matrix,
    None where an attribute never varies; `pair_differences`: the matrices of `correlation.pair_differences` by the
    value of --match_attributes; `speed`: megabytes or images per second, by what was timed; `findings`: the worst
    first.
    """

    origin: str
    images: int
    looked_at: int
    variant: str
    sizes: Mapping[str, int]
    attributes: Mapping[str, int]
    trained: Sequence[str]
    correlation: Sequence[Sequence[float | None]]
    pair_differences: Mapping[str, Sequence[Sequence[float | None]]]
    speed: Mapping[str, float]
    findings: Sequence[Finding]

    @property
    def healthy(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The diagnosis as plain values, for JSON."""
        findings = [finding._asdict() for finding in self.findings]
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "healthy": self.healthy, "findings": findings}

    def __str__(self) -> str:
        """The diagnosis as text, for people."""
        sizes = ", ".join(f"{size} ({count})" for size, count in itertools.islice(self.sizes.items(), 3))
        more = f" and {len(self.sizes) - 3} other sizes" if len(self.sizes) > 3 else ""
        variant = f", {self.variant}" if self.variant else ""
        lines = [f"{self.origin}: {self.images} labelled images{variant}, {self.looked_at} looked at"]
        lines += [f"sizes: {sizes}{more}"] if sizes else []
        width = max(map(len, self.attributes))
        for name, count in self.attributes.items():
            lines.append(f"  {name.ljust(width)}  {count:>8}  {count / max(self.images, 1):6.1%}")
        lines += [f"{what}: {rate:.0f} a second" for what, rate in self.speed.items()]
        shown: Counter[str] = Counter()
        for level, kind, text in self.findings:
            shown[kind] += 1
            lines += [f"{level}: {text}"] if shown[kind] <= SHOWN else []
        lines += [f"and {count - SHOWN} more findings: {kind}" for kind, count in shown.items() if count > SHOWN]
        return printable("\n".join([*lines, "" if shown else "nothing is wrong"]).rstrip())


class _Look(NamedTuple):
    """One image: its size, a digest of its pixels, and whether it is mostly black or cut short; or why it is bad."""

    size: tuple[int, int] = (0, 0)
    digest: bytes = b""
    black: bool = False
    cut: bool = False
    error: str = ""


def examine(
    collection: Collection,
    attributes: Sequence[str] = (),
    image_size: int = 256,
    batch_size: int = 16,
    most: int = 0,
    workers: int = 2,
) -> Diagnosis:
    """Examines a collection's labels and images, and opens it as training does.

    `with_pipeline_speed` adds the speed of training's pipeline.

    Args:
        collection: the labelled images.
        attributes: the attributes to train; empty: all that some images of the train split have and others lack.
        image_size, batch_size: training's.
        most: the number of images to read, evenly spread; 0: all.
        workers: the number of threads that read.

    Raises:
        UserError: an attribute is unknown.
    """
    table = collection.table.select(attributes) if attributes else collection.table
    present = [row for row in range(len(table.files)) if not collection.images or collection.images[row]]
    rows = present if not most else present[:: -(-len(present) // most)] if present else []
    looks = _look_at_all(collection, rows, workers)
    trained = attributes or _varying(collection)
    findings = [
        *(Finding("error", kind, text) for kind, text in collection.disagreements().items()),
        *_training(collection, trained, looks, image_size, batch_size),
        *_table(collection, chosen=bool(attributes)),
        *_images(table.files, looks, image_size),
        *_duplicates(table.files, table.labels, looks),
        *_landmarks(collection, looks),
        *_attributes(table.names, table.labels, batch_size),
    ]
    matrix = correlations(table.labels)
    differences = {"none": pair_differences(table.labels, False), "all": pair_differences(table.labels, True)}
    findings += _correlations(table.names, matrix, differences)
    sizes = Counter(f"{look.size[0]}x{look.size[1]}" for look in looks.values() if not look.error)
    positives = table.labels.sum(axis=0, dtype=np.int64)
    return Diagnosis(
        origin=str(collection.origin),
        images=len(table.files),
        looked_at=len(rows),
        variant=collection.variant,
        sizes=dict(sizes.most_common()),
        attributes=dict(zip(table.names, positives.tolist(), strict=True)),
        trained=list(trained),
        correlation=_plain(matrix),
        pair_differences={match: _plain(values) for match, values in differences.items()},
        speed=_disk_speed(collection, rows),
        findings=_worst_first(findings),
    )


def with_pipeline_speed(diagnosis: Diagnosis, rate: float, needed: float) -> Diagnosis:
    """Adds the pipeline's `rate` in images per second; a rate below `needed` (0: unknown) is an error."""
    findings = list(diagnosis.findings)
    if needed and rate < needed:
        text = (
            f"the pipeline delivers {rate:.0f} images a second and training needs {needed:g}: "
            "write records (`elegant-tf prepare`), use a faster disk or more processors"
        )
        findings.append(Finding("error", "slow", text))
    speed = {**diagnosis.speed, "pipeline, images": rate}
    return dataclasses.replace(diagnosis, speed=speed, findings=_worst_first(findings))


def with_refusal(diagnosis: Diagnosis, text: str) -> Diagnosis:
    """Adds what training said when it refused the data, unless that is known."""
    if any(finding.level == "error" and finding.kind in _REFUSALS for finding in diagnosis.findings):
        return diagnosis
    findings = [*diagnosis.findings, Finding("error", "training", text)]
    return dataclasses.replace(diagnosis, findings=_worst_first(findings))


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: finding.level)


def _look_at_all(collection: Collection, rows: Sequence[int], workers: int) -> dict[int, _Look]:
    looks, progress = {}, Progress("images", len(rows))
    for row, look in zip(rows, map_in_order(lambda row: _look(collection, row), rows, workers), strict=True):
        looks[row] = look
        progress.add()
    progress.close()
    return looks


def _look(collection: Collection, row: int) -> _Look:
    try:
        image = collection.read(row)
    except BadImage as error:
        return _Look(error=str(error))
    height, width = image.shape[:2]
    digest = hashlib.blake2b(image.tobytes(), digest_size=16, person=f"{width}x{height}".encode()).digest()
    black = bool((image.max(axis=-1) < BLACK_LEVEL).mean() > BLACK_SHARE)
    path = collection.image_path(row)
    return _Look((width, height), digest, black, cut=path is not None and lacks_end(path))


def _training(
    collection: Collection, attributes: Sequence[str], looks: Mapping[int, _Look], image_size: int, batch_size: int
) -> list[Finding]:
    """What training would say: opens its source, and counts the bad images among its own."""
    if collection.disagreements():
        return []  # which training says
    try:
        source = CollectionSource(collection, attributes, image_size, "train")
        rows = collection.rows("train")
        PairSampler(source.labels, batch_size, "mixed", seed=0)
        _check_readable(source, {place: looks[row] for place, row in enumerate(rows.tolist()) if row in looks})
    except UserError as error:
        return [Finding("error", "training", str(error))]
    return []


def _varying(collection: Collection) -> Sequence[str]:
    """The attributes that some images of the train split have and others lack; all if there are none."""
    with contextlib.suppress(UserError):
        labels = collection.table.labels[collection.rows("train")]
        varying = labels.min(axis=0) < labels.max(axis=0)
        return list(itertools.compress(collection.table.names, varying)) or collection.table.names
    return collection.table.names


def _check_readable(source: CollectionSource, looks: Mapping[int, _Look]) -> None:
    """Raises the UserErrors of training that finds the same bad images."""
    bad_images = BadImages(len(looks))
    for place, look in looks.items():
        if look.error:
            bad_images.add(place, look.error)
    good = [place for place in range(len(source.labels)) if place not in looks or not looks[place].error]
    for name, column in zip(source.attributes, source.labels[good].T, strict=True):
        for kind, label in (("with", 1), ("without", 0)):
            if label not in column:
                raise UserError(f"no readable image {kind} {name} is left: mend or remove them")


def _table(collection: Collection, chosen: bool) -> list[Finding]:
    """Columns that look like attributes but are none, unless others are chosen; and files found under other names."""
    findings = []
    if not chosen:
        flaws = [flaw.text for flaw in collection.table.flaws.values() if flaw.rare]
        findings += [Finding("warning", "column", f"not an attribute: {text}") for text in flaws]
    pairs = zip(collection.table.files, collection.images, strict=False)
    renamed = [f"{file}: {image}" for file, image in pairs if image and not _is_same_name(file, image)]
    if renamed:
        text = f"{len(renamed)} images have other names than in {collection.labels_from} ({first_names(renamed)})"
        findings.append(Finding("warning", "renamed", text))
    return findings


def _is_same_name(file: str, image: str) -> bool:
    return composed(file).rpartition("/")[2] == composed(image).rpartition("/")[2]


def _images(files: Sequence[str], looks: Mapping[int, _Look], image_size: int) -> list[Finding]:
    findings = []
    if bad := [look.error for look in looks.values() if look.error]:
        findings += [Finding("warning", "unreadable", f"{len(bad)} images cannot be read")]
        findings += [Finding("warning", "unreadable", message) for message in bad]
    if cut := [files[row] for row, look in looks.items() if look.cut]:
        text = f"{len(cut)} JPEG files lack their end ({first_names(cut)}): what is missing is read as grey"
        findings.append(Finding("warning", "cut", text))
    if black := [files[row] for row, look in looks.items() if look.black]:
        level = "error" if len(black) > BLACK_IMAGES_SHARE * len(looks) else "warning"
        text = (
            f"{len(black)} images are black over more than {BLACK_SHARE:.0%} of their area ({first_names(black)}): "
            "were they aligned by landmarks of another variant?"
        )
        findings.append(Finding(level, "black", text))
    if small := [files[row] for row, look in looks.items() if not look.error and min(look.size) < image_size]:
        text = f"{len(small)} images are smaller than {image_size} pixels ({first_names(small)}): they will be blurred"
        findings.append(Finding("warning", "small", text))
    return findings


def _duplicates(files: Sequence[str], labels: np.ndarray, looks: Mapping[int, _Look]) -> list[Finding]:
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row, look in looks.items():
        if not look.error:
            groups[look.digest].append(row)
    groups_of_many = [rows for rows in groups.values() if len(rows) > 1]
    findings = []
    for rows in groups_of_many:
        names = " = ".join(files[row] for row in rows)
        if (labels[rows] != labels[rows[0]]).any():
            findings.append(Finding("error", "conflict", f"the same image with different labels: {names}"))
        else:
            findings.append(Finding("warning", "duplicate", f"the same image: {names}"))
    return findings


def _landmarks(collection: Collection, looks: Mapping[int, _Look]) -> list[Finding]:
    if collection.landmarks is None:
        problem = collection.landmarks_problem
        return [Finding("warning", "landmarks", f"no landmarks: {problem}")] if problem else []
    rows = [row for row, look in looks.items() if not look.error]
    try:
        check_convention(collection.landmarks, ())
        check_convention(collection.landmarks[rows], [looks[row].size for row in rows])
    except UserError as error:
        return [Finding("error", "landmarks", str(error))]
    points = {row: collection.landmarks[row] for row in rows}
    without = [row for row in rows if not np.isfinite(points[row]).all()]
    outside = [row for row in rows if np.isfinite(points[row]).all() and not _inside(points[row], looks[row].size)]
    findings = []
    if without:
        text = f"{len(without)} images have no landmarks ({_names(collection, without)}): alignment leaves them out"
        findings.append(Finding("warning", "landmarks", text))
    if outside:
        text = (
            f"the landmarks of {len(outside)} images lie outside them ({_names(collection, outside)}): "
            "are landmarks and images of the same variant?"
        )
        findings.append(Finding("error", "landmarks", text))
    odd = {
        row: problem
        for row in rows
        if _inside(points[row], looks[row].size) and (problem := _odd(points[row], looks[row]))
    }
    if odd:
        text = f"{len(odd)} images have odd landmarks ({_names(collection, list(odd))}): {next(iter(odd.values()))}"
        findings.append(Finding("warning", "landmarks", text))
    return findings


def _odd(points: np.ndarray, look: _Look) -> str:
    try:
        check_points(points, look.size)
    except UserError as error:
        return str(error)
    return ""


def _names(collection: Collection, rows: Sequence[int]) -> str:
    return first_names([collection.table.files[row] for row in rows])


def _inside(points: np.ndarray, size: tuple[int, int]) -> bool:
    return bool(((points >= 0) & (points < size)).all())


def _attributes(names: Sequence[str], labels: np.ndarray, batch_size: int) -> list[Finding]:
    findings = []
    for name, count in zip(names, labels.sum(axis=0, dtype=np.int64).tolist(), strict=True):
        for kind, number in (("with", count), ("without", len(labels) - count)):
            if number < batch_size:
                text = f"{number} images {kind} {name}, fewer than a batch of {batch_size}: too few to learn from"
                findings.append(Finding("warning", "few", text))
    return findings


def _correlations(names: Sequence[str], matrix: np.ndarray, differences: Mapping[str, np.ndarray]) -> list[Finding]:
    findings = []
    for i, j in itertools.combinations(range(len(names)), 2):
        if abs(matrix[i, j]) > STRONG_CORRELATION:
            edited, moved = max((i, j), (j, i), key=lambda pair: abs(differences["none"][pair]))
            free, matched = (differences[match][edited, moved] for match in ("none", "all"))
            text = (
                f"{names[i]} and {names[j]} are correlated ({matrix[i, j]:+.2f}): editing {names[edited]} will change "
                f"{names[moved]}, in which its pairs differ by {free:+.2f}; with --match_attributes=all {matched:+.2f}"
            )
            findings.append(Finding("warning", "correlation", text))
    return findings


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in matrix]


def _disk_speed(collection: Collection, rows: Sequence[int]) -> dict[str, float]:
    """Megabytes per second that the disk delivers, if the images are files."""
    paths = [path for row in rows[:DISK_FILES] if (path := collection.image_path(row))]
    size, begin = 0, time.perf_counter()
    for path in paths:
        try:
            with path.open("rb") as file:
                if hasattr(os, "posix_fadvise"):  # else the page cache would be timed
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                size += len(file.read())
        except OSError:
            continue  # reported as unreadable
    return {"disk, megabytes": size / 1e6 / (time.perf_counter() - begin)} if size else {}
