"""Methods that change face attributes, on the same pairs for the same minutes, scored alike.

    elegant-tf dress --input photos --landmarks align.json --leave_out worn.csv --out dressed --count 8000 \\
        --image_size 64 --counterfactuals 64 --seed 0
    elegant-tf train-classifier --data celeba --data_dir dressed --attributes Eyeglasses,Wearing_Hat,Mustache \\
        --image_size 64 --out judge
    taskset -c 0 python -m benchmarks.peers --data_dir dressed --classifier judge --out runs/peers --minutes 20 \\
        --photos photos --landmarks align.json --leave_out worn.csv

Methods are trained one after another; `taskset` keeps each on one core. To use two, call it twice with the same
`--out` and different `--methods`. Writes `results.jsonl`, a line a method, the weights and a sheet of edits of each,
and prints the table of all methods that are in `results.jsonl`; these are not trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

from benchmarks.peers import elegant
from benchmarks.peers.cyclegan import CycleGAN
from benchmarks.peers.dnagan import DNAGAN
from benchmarks.peers.plumbing import Task, labels_by, trained
from benchmarks.peers.scoring import draw_galleries, score
from benchmarks.peers.stargan import StarGAN
from elegant_tf.cli.options import files_of
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.counterfactuals import read_counterfactuals
from elegant_tf.evaluation.edits import Evaluated, edit_all
from elegant_tf.evaluation.report.sheet import draw_sheet
from elegant_tf.images import write_image
from elegant_tf.synthetic.dressing import WEARABLE
from elegant_tf.synthetic.photo_list import list_photos

METHODS: Mapping[str, Callable[..., Evaluated]] = {
    "cyclegan": functools.partial(trained, CycleGAN),
    "stargan": functools.partial(trained, StarGAN),
    "dnagan": functools.partial(trained, DNAGAN),
    "official": functools.partial(elegant.trained, "official"),
    "modern": functools.partial(elegant.trained, "modern"),
}
WITHOUT_EXEMPLARS = ("stargan", "cyclegan")
COLUMNS = {"realised": 2, "leak": 1, "rank_one": 2, "identity": 2, "accuracy": 2, "frechet": 2}
"""Numbers of a row, and their decimals."""
NONE = "–"


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    task = Task(
        options.data_dir, tuple(options.attributes), options.image_size, options.minutes, options.seed, options.width
    )
    path = options.out / "results.jsonl"
    done = {result["method"] for result in read_results(path, task)}
    judge = AttributeClassifier.load(options.classifier)
    galleries = read_galleries(options, task)
    for name in options.methods:
        if name in done:
            print(f"{name}: found in {path}, not trained again")
            continue
        result = run(
            name, task, options.out / name, judge, {} if name in WITHOUT_EXEMPLARS else galleries, options.count
        )
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
    print(table(read_results(path, task)))


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--data_dir", required=True, help="folder that `elegant-tf dress` or `faces` wrote")
    parser.add_argument("--classifier", required=True, help="directory that `elegant-tf train-classifier` wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"))
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, a method")
    parser.add_argument("--attributes", nargs="+", default=list(WEARABLE))
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--width", type=float, default=0.5, help="channels as a share of those published")
    parser.add_argument("--count", type=int, default=64, help="held-out edits per attribute and direction")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", nargs="+", help="for rank 1: what --data_dir was dressed from")
    parser.add_argument("--landmarks", help="as `elegant-tf dress` had it")
    parser.add_argument("--leave_out", help="as `elegant-tf dress` had it")
    return parser.parse_args(arguments)


def run(
    name: str, task: Task, path: Path, judge: AttributeClassifier, galleries: Mapping[str, Any], count: int
) -> dict[str, Any]:
    """Trains a method and scores it: its line of the results. Writes its sheet beside `path`."""
    print(f"{name}: trains for {task.minutes:g} minutes", flush=True)
    editor = METHODS[name](task, path, functools.partial(labels_by, judge))
    edits = read_counterfactuals(task.data_dir, editor.attributes, task.image_size, count)
    edited = edit_all(editor, edits)
    write_image(path.with_suffix(".png"), draw_sheet(edits, edited, {}, f"{name}, {editor.step:,} updates"))
    rows = score(editor, task, edits, edited, judge, galleries)
    return {
        "method": name,
        "updates": editor.step,
        "rows": [dataclasses.asdict(row) for row in rows],
        "task": settings(task),
    }


def settings(task: Task) -> dict[str, Any]:
    """The task as JSON gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(task)))


def read_galleries(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    if not options.photos:
        return {}
    listed = list_photos(files_of(options.photos), task.attributes, options.landmarks, options.leave_out)
    edits = read_counterfactuals(task.data_dir, task.attributes, task.image_size, options.count)
    return draw_galleries(listed, task, edits)


def read_results(path: Path, task: Task) -> list[dict[str, Any]]:
    """The lines of earlier calls, which must have had the same task."""
    if not path.exists():
        return []
    results = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for result in results:
        if result["task"] != settings(task):
            raise SystemExit(
                f"{path}: {result['method']} had {result['task']}, not {settings(task)}: give another --out"
            )
    return results


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: each method's means over the attributes, then each attribute; `add / remove` in every cell.

    Methods of one attribute have no means.
    """
    lines = [f"| attribute | method | updates | {' | '.join(COLUMNS)} |", "|---" * (3 + len(COLUMNS)) + "|"]
    names = list(dict.fromkeys(row["attribute"] for result in results for row in result["rows"]))
    for name in [None, *names] if len(names) > 1 else names:
        for result in results:
            rows = [row for row in result["rows"] if name in (None, row["attribute"])]
            if not rows or (name is None and len({row["attribute"] for row in rows}) < len(names)):
                continue
            cells = [_cell(rows, column, digits) for column, digits in COLUMNS.items()]
            lines.append(f"| {name or 'mean'} | {result['method']} | {result['updates']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(rows: Sequence[Mapping[str, Any]], column: str, digits: int) -> str:
    """The means of what was measured, adding and removing apart."""
    known = {
        way: [row[column] for row in rows if row["direction"] == way and row[column] is not None]
        for way in ("add", "remove")
    }
    texts = [f"{fmean(values):.{digits}f}" if values else NONE for values in known.values()]
    return texts[0] if column == "rank_one" else " / ".join(texts)


if __name__ == "__main__":
    main()
