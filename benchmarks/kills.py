"""Kills training, `prepare` and `align` at random moments, in half of the cases on a disk that has filled up, starts
them again, and looks for what was lost.

    python benchmarks/kills.py --kills 20 --seed 0

The disk is a file system in memory of its own (`unshare`, tmpfs), which is filled by a file to within a few bytes and
emptied again before the restart. Each restart is the same command. It must end well, keep what was saved when the
process was killed, and yield what an undisturbed call yields: equal files, or for training equal weights and losses.
No message may contain a traceback or advice that a restart does not need. Exit status 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
MEGABYTES = 64
PATIENCE = 600.0  # seconds

# What nobody should read whose work was killed: the same command goes on.
FALSE_ADVICE = re.compile(
    r"Traceback|train it first|choose another|remove|delete|again|another run|damaged|start a new run|move it away"
)
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


class Work(NamedTuple):
    """A kind of work: its command, without the directory that it writes to, and how its result is looked at.

    `saved`: how much is saved in the directory; `kept`: how much a restart goes on from, by what it prints; `result`:
    what must be equal in the end.
    """

    command: Sequence[str]
    out: str
    saved: Callable[[Path], int]
    kept: Callable[[str], int]
    result: Callable[[Path], object]


class Case(NamedTuple):
    """What happened: a row of the table, and what was wrong."""

    row: Sequence[str]
    wrong: Sequence[str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--works", nargs="+", default=["train", "prepare", "align"])
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is None:
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            command = [sys.executable, __file__, *sys.argv[1:], "--inside", folder]
            return subprocess.run(["unshare", "--map-root-user", "--mount", *command]).returncode
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would theirs
    folder = Path(options.inside)
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(disk)], check=True)
    return _kill_all(folder, disk, options)


def _kill_all(folder: Path, disk: Path, options: argparse.Namespace) -> int:
    works = {name: work for name, work in _works(folder).items() if name in options.works}
    wanted, seconds = {}, {}
    for name, work in works.items():
        began = time.monotonic()
        ended = _finish(_start(work, folder / name))
        if ended[0]:
            raise SystemExit(f"{name}: without a kill, exit status {ended[0]}:\n{ended[1]}")
        seconds[name] = time.monotonic() - began
        wanted[name] = work.result(folder / name)
        print(f"{name}, undisturbed: {seconds[name]:.0f} s", file=sys.stderr)
    dice, cases = random.Random(options.seed), []
    print(_line(("", "work", "signal", "at", "full at", "ended", "saved", "kept", "restart", "result")))
    while len(cases) < options.kills:
        name = list(works)[len(cases) % len(works)]
        case = _kill(works[name], disk, seconds[name], wanted[name], dice, fills=len(cases) // len(works) % 2 == 1)
        if case is None:  # it had ended before
            continue
        cases.append(case)
        print(_line((str(len(cases)), name, *case.row)), flush=True)
        for wrong in case.wrong:
            print(f"    WRONG: {wrong}", flush=True)
    wrong = sum(bool(case.wrong) for case in cases)
    print(f"{len(cases)} kills, {wrong} of them with something wrong")
    return int(wrong > 0)


def _kill(work: Work, disk: Path, seconds: float, wanted: object, dice: random.Random, fills: bool) -> Case | None:
    """Kills a call, starts it again and compares; None if it had ended before it was to be killed."""
    out, filler, number = disk / work.out, disk / "filler", dice.choice(SIGNALS)
    at = dice.uniform(0.2, 1.0) * seconds
    full_at, room = dice.uniform(0.2 * seconds, at), dice.randrange(0, 2**18)
    shutil.rmtree(out, ignore_errors=True)
    process, began = _start(work, out), time.monotonic()
    if fills:
        time.sleep(full_at)
        _fill(filler, room)
    while process.poll() is None and time.monotonic() < began + at:
        time.sleep(0.02)
    alone = process.poll() is not None
    if not alone:
        process.send_signal(number)
    status, printed = _finish(process)
    saved = work.saved(out)
    filler.unlink(missing_ok=True)
    if alone and status == 0:
        return None
    wrong = _judge_end(status, printed, number, fills, alone, disk)
    again, printed_again = _finish(_start(work, out))
    kept = work.kept(printed_again) if saved else 0
    result = work.result(out) if again == 0 else None
    if again:
        wrong.append(f"the restart ended with {again}: {printed_again[-500:]}")
    if kept < saved:
        wrong.append(f"{saved} were saved, but the restart went on from {kept}")
    if again == 0 and result != wanted:
        wrong.append("the result is another one")
    if advice := FALSE_ADVICE.search(printed_again):
        wrong.append(f"the restart said {advice[0]!r}: {printed_again[-500:]}")
    row = (
        "full disk" if alone else number.name,
        f"{at:.1f} s",
        f"{full_at:.1f} s" if fills else "",
        str(status),
        str(saved),
        str(kept),
        str(again),
        "equal" if result == wanted else "DIFFERS",
    )
    return Case(row, wrong)


def _judge_end(status: int, printed: str, number: signal.Signals, fills: bool, alone: bool, disk: Path) -> list[str]:
    """What is wrong with how a call ended."""
    wrong = []
    if fills and status == 2:
        if "No space left on device" not in printed or str(disk) not in printed:
            wrong.append(f"the full disk is not named: {printed[-500:]}")
    elif alone or status not in (-number, 128 + number, 130):
        wrong.append(f"it ended with {status}: {printed[-500:]}")
    if advice := FALSE_ADVICE.search(printed):
        wrong.append(f"it said {advice[0]!r}: {printed[-500:]}")
    return wrong


def _works(folder: Path) -> Mapping[str, Work]:
    faces, photos = folder / "faces", folder / "photos"
    made = ["faces", "--out", str(faces), "--count", "1000", "--image_size", "128", "--counterfactuals", "0"]
    subprocess.run([sys.executable, "-m", "elegant_tf", *made], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    photos.mkdir()
    for path in sorted((faces / "img_align_celeba").iterdir())[:10]:
        shutil.copy(path, photos)
    train = "--image_size=32 --width=4 --depth=3 --faces_count=64 --batch_size=4 --steps=300 --checkpoint_every=10"
    train += " --sample_every=50 --log_every=10 --deterministic --attributes=Bangs,Smiling --strategy=one_device"
    prepare = ["prepare", "--data", "celeba", "--data_dir", str(faces), "--image_size", "96", "--shard_images", "50"]
    align = ["align", "--input", str(photos), "--image_size", "128"]
    return {
        "train": Work(["train", *train.split()], "run", _saved_step, _resumed_step, _trained),
        "prepare": Work(prepare, "records", _shards, _finished, _tree),
        "align": Work(align, "aligned", _photos, _finished, _tree),
    }


def _start(work: Work, out: Path) -> subprocess.Popen:
    flag = "--run_dir" if work.command[0] == "train" else "--out"
    command = [sys.executable, "-m", "elegant_tf", *work.command, f"{flag}={out}"]
    # A file takes everything that is printed: a pipe might fill up while nobody reads it.
    printed = tempfile.TemporaryFile()  # noqa: SIM115
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, cwd=ROOT)
    process.printed = printed
    return process


def _finish(process: subprocess.Popen) -> tuple[int, str]:
    """Waits for the end: the exit status and what was printed."""
    try:
        status = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    with process.printed as printed:
        printed.seek(0)
        return status, printed.read().decode(errors="replace")


def _fill(filler: Path, room: int) -> None:
    """Fills the disk but for `room` bytes."""
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(bytes(2**16)):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - room))


def _saved_step(run: Path) -> int:
    """The step of the newest checkpoint that has all of its files."""
    steps = [int(path.stem.partition("-")[2]) for path in run.glob("checkpoints/step-*.index")]
    return max(steps, default=0)


def _resumed_step(printed: str) -> int:
    found = re.findall(r"resuming at step (\d+)|all (\d+) steps are done", printed)
    return max((int(one or other) for one, other in found[:1]), default=0)


def _trained(run: Path) -> object:
    """The weights of the last checkpoint, and the losses of all steps."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"step-{_saved_step(run)}"))
    names = sorted(name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE"))
    digest = hashlib.sha256()
    for name in names:
        digest.update(reader.get_tensor(name).tobytes())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timed = ("seconds", "images_per_second")
    return digest.hexdigest(), [{name: row[name] for name in row if name not in timed} for row in rows]


def _shards(records: Path) -> int:
    """The number of images in whole shards."""
    return 50 * len(list(records.glob("*.npz")))


def _photos(aligned: Path) -> int:
    """The number of photos in the journal whose faces are there."""
    journal = aligned / ".align.jsonl"
    lines = journal.read_text().splitlines()[1:] if journal.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    return sum(all((aligned / face["file"]).exists() for face in row["faces"]) for row in rows)


def _finished(printed: str) -> int:
    found = re.search(r"(\d+) of \d+ (?:images|photos) are finished already", printed)
    return int(found[1]) if found else 0


def _tree(folder: Path) -> object:
    """Every file and its content."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _line(cells: Sequence[str]) -> str:
    widths = (3, 8, 10, 8, 8, 6, 6, 6, 8, 8)
    return " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
