"""Methods that change face attributes, on the same pairs for the same minutes, scored alike.

    elegant-tf dress --input photos --landmarks align.json --leave_out worn.csv --out dressed --count 8000 \\
        --image_size 64 --counterfactuals 64 --seed 0
    elegant-tf train-classifier --data celeba --data_dir dressed --attributes Eyeglasses,Wearing_Hat,Mustache \\
        --image_size 64 --out judge
    taskset -c 0 python -m benchmarks.peers --data_dir dressed --classifier judge --out runs/peers --minutes 20 \\
        --photos photos --landmarks align.json --leave_out worn.csv

Methods are trained one after another; `taskset` keeps them on one core. To use two, call it twice with the same
`--out` and different `--methods`. Writes `results.jsonl`, a line a method, and the weights and a sheet of edits of
each; prints the table of all methods that are in `results.jsonl`, which are not trained again.
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

import numpy as np

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
WITHOUT_EXEMPLARS = ("cyclegan", "stargan")

# The options that results depend on.
SETTINGS = ("data_dir", "classifier", "minutes", "attributes", "image_size", "width", "count", "seed")

# Numbers of a row: heading and decimals.
COLUMNS = {
    "realised": ("realised", 2),
    "leak": ("leak", 1),
    "rank_one": ("rank 1", 2),
    "identity": ("identity", 2),
    "accuracy": ("accuracy", 2),
    "frechet": ("Fréchet", 2),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    path, settings = options.out / "results.jsonl", {name: getattr(options, name) for name in SETTINGS}
    done = {result["method"] for result in read_results(path, settings)}
    if todo := [name for name in options.methods if name not in done]:
        task = Task(**{field.name: settings[field.name] for field in dataclasses.fields(Task)})
        judge, galleries = AttributeClassifier.load(options.classifier), read_galleries(options, task)
        for name in todo:
            try:
                result = run(name, task, options, judge, {} if name in WITHOUT_EXEMPLARS else galleries)
            except FloatingPointError as error:
                print(f"{name}: {error}", flush=True)
                continue
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**result, "settings": settings}) + "\n")
    print(table(read_results(path, settings)))


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--data_dir", required=True, help="folder that `elegant-tf dress` wrote")
    parser.add_argument("--classifier", required=True, help="directory that `elegant-tf train-classifier` wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"))
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, a method")
    parser.add_argument("--attributes", nargs="+", default=list(WEARABLE), help="CycleGAN edits the first one alone")
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--width", type=float, default=0.25, help="channels as a share of those published")
    parser.add_argument("--count", type=int, default=64, help="held-out edits per attribute and direction")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", nargs="+", help="for rank 1: what --data_dir was dressed from")
    parser.add_argument("--landmarks", help="as `elegant-tf dress` had it")
    parser.add_argument("--leave_out", help="as `elegant-tf dress` had it")
    return parser.parse_args(arguments)


def run(
    name: str,
    task: Task,
    options: argparse.Namespace,
    judge: AttributeClassifier,
    galleries: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Trains a method, draws its sheet and scores it: its line of the results."""
    print(f"{name}: trains for {task.minutes:g} minutes", flush=True)
    editor = METHODS[name](task, options.out / name, functools.partial(labels_by, judge))
    edits = read_counterfactuals(task.data_dir, editor.attributes, task.image_size, options.count)
    edited = edit_all(editor, edits)
    write_image(options.out / f"{name}.png", draw_sheet(edits, edited, {}, f"{name}, {editor.step:,} updates"))
    rows = score(editor, task, edits, edited, judge, galleries)
    return {"method": name, "updates": editor.step, "rows": [dataclasses.asdict(row) for row in rows]}


def read_galleries(options: argparse.Namespace, task: Task) -> dict[str, np.ndarray]:
    if not options.photos:
        return {}
    listed = list_photos(files_of(options.photos), task.attributes, options.landmarks, options.leave_out)
    edits = read_counterfactuals(task.data_dir, task.attributes, task.image_size, options.count)
    return draw_galleries(listed, task, edits)


def read_results(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of this call and of earlier ones, which must have had the same settings."""
    if not path.exists():
        return []
    results = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for result in results:
        if result["settings"] != settings:
            raise SystemExit(f"{path} was made with {result['settings']}, not {settings}: give another --out")
    return results


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: the means over the attributes, then each attribute, adding and removing apart.

    Methods of one attribute have no means.
    """
    heads = ["attribute", "method", "updates", *(heading for heading, _ in COLUMNS.values())]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    names = list(dict.fromkeys(row["attribute"] for result in results for row in result["rows"]))
    groups = {"mean": names, **{name: [name] for name in names}} if len(names) > 1 else {name: [name] for name in names}
    for group, members in groups.items():
        for result in results:
            rows = [row for row in result["rows"] if row["attribute"] in members]
            if {row["attribute"] for row in rows} == set(members):
                cells = [_cell(rows, column, digits) for column, (_, digits) in COLUMNS.items()]
                lines.append(f"| {group} | {result['method']} | {result['updates']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(rows: Sequence[Mapping[str, Any]], column: str, digits: int) -> str:
    """`add / remove`, means of what was measured; rank 1 is of adding alone."""
    texts = []
    for direction in ("add",) if column == "rank_one" else ("add", "remove"):
        values = [row[column] for row in rows if row["direction"] == direction and row[column] is not None]
        texts.append(f"{fmean(values):.{digits}f}" if values else "–")
    return " / ".join(texts)


if __name__ == "__main__":
    main()
