"""How many images a second reach training: prepared records and files here, against a PyTorch DataLoader.

The DataLoader is used as the authors' program uses it: Pillow decodes and resizes in worker processes, 5 or 2, one
loader for the images with an attribute and one for those without. All take turns in one run, on the same JPEG files:
drawn faces with as much noise as makes the files as large as photos'.

    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --sizes 64 128 256 --batches 16 64
    python benchmarks/input_pipeline.py --index      # a full-size table of labels: 202,599 × 40
    python benchmarks/input_pipeline.py --prepare    # images/s and memory of preparing, 2,000 and 20,000 images
    python benchmarks/input_pipeline.py --jitter --sizes 64 128 256     # records with --jitter and without

PyTorch: pip install '.[torch]'.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from PIL import Image

from elegant_tf.config import DataConfig
from elegant_tf.data.collection import Collection
from elegant_tf.data.pairs import pair_dataset
from elegant_tf.data.parallel import cpus
from elegant_tf.data.preparation import Settings
from elegant_tf.data.prepare import prepare
from elegant_tf.data.sampler import PairSampler
from elegant_tf.sources import open_collection, open_source
from elegant_tf.synthetic import make_face

ATTRIBUTES = ("Bangs", "Smiling")
CELEBA_IMAGES, CELEBA_ATTRIBUTES = 202_599, 40
DRAWN = 40  # different faces; the noise makes every file another
Measure = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256])
    parser.add_argument("--batches", type=int, nargs="+", default=[16])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--index", action="store_true")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--jitter", action="store_true")
    options = parser.parse_args()
    print(f"{cpus()} processors")
    with tempfile.TemporaryDirectory() as folder:
        if options.index:
            measure_index()
        elif options.prepare:
            measure_prepare(Path(folder))
        else:
            for size in options.sizes:
                files = write_files(Path(folder) / f"files{size}", options.images, size)
                records = Path(folder) / f"records{size}"
                prepare(open_collection("celeba", files), records, Settings(size, "crop"))
                for batch in options.batches:
                    if options.jitter:
                        compare_jitter(records, size, batch, options.rounds)
                    else:
                        compare(files, records, size, batch, options.rounds)


def write_files(folder: Path, count: int, size: int) -> Path:
    """JPEG files in CelebA's layout, as large as photos' of this size."""
    random = np.random.default_rng(0)
    drawn = [make_face(0, index).draw(size).astype(np.int16) for index in range(DRAWN)]
    (folder / "img_align_celeba").mkdir(parents=True)
    lines = [str(count), " ".join(ATTRIBUTES)]
    for number in range(count):
        noise = random.integers(-6, 7, (size, size, 1), np.int16)
        picture = np.clip(drawn[number % DRAWN] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / "img_align_celeba" / f"{number:06d}.jpg", quality=95)
        lines.append(f"{number:06d}.jpg {number % 3 // 2 * 2 - 1} {number % 7 // 6 * 2 - 1}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines))
    return folder


def compare(files: Path, records: Path, size: int, batch: int, rounds: int) -> None:
    """Each in turn, several times: images/s, and ratios of neighbours in time."""
    count = max(1600, 40 * batch)
    feeds: dict[str, Measure] = {
        "records": ours("records", records, size, batch, count),
        "DataLoader, 5 workers": theirs(files, size, batch, 5, count),
        "files": ours("celeba", files, size, batch, count),
        "DataLoader, 2 workers": theirs(files, size, batch, 2, count),
    }
    rates: dict[str, list[float]] = {name: [] for name in feeds}
    for _ in range(rounds):
        for name, measure in feeds.items():
            rates[name].append(measure())
    print(f"\n{size} px, batch {batch}: images/s, median of {rounds} (least, most); ratio to 5 and to 2 workers")
    for name, values in rates.items():
        others = (rates[f"DataLoader, {workers} workers"] for workers in (5, 2))
        ratios = [statistics.median(a / b for a, b in zip(values, other, strict=True)) for other in others]
        spread = f"({min(values):.0f}, {max(values):.0f})"
        print(
            f"  {name:22s} {statistics.median(values):6.0f} {spread:14s} {ratios[0]:5.2f} {ratios[1]:5.2f}", flush=True
        )


def compare_jitter(records: Path, size: int, batch: int, rounds: int) -> None:
    """With jitter and without in turn, several times: images/s."""
    feeds = [ours("records", records, size, batch, max(400, 10 * batch), jitter) for jitter in (0.0, 0.02)]
    still, moved = zip(*([measure() for measure in feeds] for _ in range(rounds)), strict=True)
    print(
        f"{size} px, batch {batch}: {statistics.median(still):.0f} images/s from records, "
        f"{statistics.median(moved):.0f} with jitter, median of {rounds}",
        flush=True,
    )


def ours(kind: str, folder: Path, size: int, batch: int, count: int, jitter: float = 0.0) -> Measure:
    source = open_source(DataConfig(kind=kind, data_dir=str(folder)), ATTRIBUTES, size)
    sampler = PairSampler(source.labels, batch, "round_robin", 0, jitter=jitter)

    def measure() -> float:
        batches = iter(pair_dataset(source, sampler))
        for _ in range(-(-count // 4 // (2 * batch))):
            next(batches)
        updates = -(-count // (2 * batch))
        start = time.perf_counter()
        for _ in range(updates):
            next(batches)
        return updates * 2 * batch / (time.perf_counter() - start)

    return measure


def theirs(files: Path, size: int, batch: int, workers: int, count: int) -> Measure:
    """In a process of its own, as DataLoaders fork, which a process with TensorFlow's threads must not."""
    program = [sys.executable, str(Path(__file__).with_name("plain_loader.py"))]
    arguments = [str(files), *map(str, (size, batch, workers, count))]

    def measure() -> float:
        return float(subprocess.run([*program, *arguments], check=True, capture_output=True, text=True).stdout)

    return measure


def measure_index() -> None:
    """The pairs of a table of CelebA's size, with attributes as rare as 2 % and as common as 84 %."""
    random = np.random.default_rng(0)
    shares = np.linspace(0.02, 0.84, CELEBA_ATTRIBUTES)
    labels = (random.random((CELEBA_IMAGES, CELEBA_ATTRIBUTES)) < shares).astype(np.int8)
    print(f"{CELEBA_IMAGES} images, {CELEBA_ATTRIBUTES} attributes, batch 16: milliseconds")
    for schedule in ("round_robin", "mixed"):
        for count, match in ((40, "none"), (5, "none"), (5, "all"), (40, "all")):
            start = time.perf_counter()
            sampler = PairSampler(labels[:, :count], 16, schedule, 0, flip=True, match=match)
            begin = time.perf_counter() - start
            following = [_milliseconds(sampler, k) for k in range(1000)]
            jumps = [
                _milliseconds(PairSampler(labels[:, :count], 16, schedule, 0, flip=True, match=match), int(k))
                for k in random.integers(0, 10**6, 3)
            ]
            row = f"{schedule}, {count} attributes, match {match}: start {1000 * begin:.0f}, following batches median"
            row += f" {statistics.median(following):.2f} (99 %: {np.percentile(following, 99):.2f}, mean "
            row += f"{statistics.mean(following):.2f}), first batch anywhere {statistics.median(jumps):.1f}"
            print(f"  {row}, {_memory():.0f} MB", flush=True)


def _milliseconds(sampler: PairSampler, k: int) -> float:
    start = time.perf_counter()
    sampler.batch(k)
    return 1000 * (time.perf_counter() - start)


def measure_prepare(folder: Path) -> None:
    """Images/s of preparing pictures of CelebA's size, and the largest memory so far."""
    source = write_files(folder / "source", 2000, 178)
    collection = open_collection("celeba", source)
    for settings in (Settings(256, "crop"), Settings(256, "similarity")):
        for count in (2000, 20_000):
            many = _repeated(collection, count, settings)
            start, before = time.perf_counter(), time.process_time()
            prepare(many, folder / f"{settings.alignment}{count}", settings)
            seconds, used = time.perf_counter() - start, time.process_time() - before
            print(
                f"{settings.alignment} to 256 px, {count} images: {count / seconds:.0f} images/s, "
                f"{count / used:.0f} a second of processor time, {_memory():.0f} MB at most",
                flush=True,
            )
    start = time.perf_counter()
    count = len(collection.table.files)
    for row in range(count):
        collection.read(row)
    print(f"decoding alone, one thread: {count / (time.perf_counter() - start):.0f} images/s")


def _repeated(collection: Collection, count: int, settings: Settings) -> Collection:
    """`count` pictures: those of a collection again and again."""
    rows = np.arange(count) % len(collection.table.files)
    table = collection.table.take(rows)
    table = dataclasses.replace(table, files=tuple(f"{number}.jpg" for number in range(count)))
    landmarks = None
    if settings.alignment == "similarity":
        landmarks = np.repeat(make_face(0, 0).landmarks(178)[None].astype(np.float32), count, axis=0)
    return dataclasses.replace(
        collection, table=table, read=lambda row: collection.read(int(rows[row])), landmarks=landmarks
    )


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
