"""What jitter is worth on misaligned images: trains the same run with it and without, and compares their robustness.

    python benchmarks/jitter.py --steps 3000 --out runs/jitter
    python benchmarks/jitter.py --steps 300 --jitter 0.02 --more image_size=32 depth=3

Prints what the edits of both runs, of the preset `modern`, realise and leak at every level of every disturbance, and
writes `jitter.json`. The same command again goes on with a run that was interrupted, and trains no finished one again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from elegant_tf.editor import Editor
from elegant_tf.evaluation.counterfactuals import draw_counterfactuals
from elegant_tf.evaluation.edits import edit_all
from elegant_tf.evaluation.metrics.robustness import Point, robustness
from elegant_tf.presets import preset
from elegant_tf.training.trainer import Trainer

# Of the evaluation set, which no run trains with.
EVALUATION_SEED = 1000


def main() -> None:
    arguments = parse_arguments()
    curves = {}
    for jitter in (0.0, arguments.jitter):
        run_dir = arguments.out / f"jitter_{jitter:g}"
        train(run_dir, jitter, arguments.steps, dict(map(parse_option, arguments.more)))
        curves[f"--jitter={jitter:g}"] = measure(run_dir, arguments.count)
    print_table(curves)
    values = {name: [dataclasses.asdict(point) for point in points] for name, points in curves.items()}
    (arguments.out / "jitter.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000, help="of training, a run")
    parser.add_argument("--jitter", type=float, default=0.02, help="of the second run")
    parser.add_argument("--out", type=Path, default=Path("runs/jitter"))
    parser.add_argument("--count", type=int, default=8, help="held-out edits per attribute and direction")
    parser.add_argument("--more", nargs="+", default=[], metavar="FLAG=VALUE", help="options that both runs have")
    return parser.parse_args()


def parse_option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def train(run_dir: Path, jitter: float, steps: int, more: Mapping[str, Any]) -> None:
    ends = {"steps": steps, "checkpoint_every": steps, "checkpoints_kept": 1, "sample_every": 0}
    Trainer(preset("modern", **{**ends, **more, "jitter": jitter}), run_dir).train()


def measure(run_dir: Path, count: int) -> list[Point]:
    editor = Editor.load(run_dir)
    edits = draw_counterfactuals(EVALUATION_SEED, editor.attributes, editor.image_size, count)
    return robustness(editor, edits, edit_all(editor, edits))


def print_table(curves: Mapping[str, Sequence[Point]]) -> None:
    print(f"\n{'':16s}" + "".join(f"{name:>22s}" for name in curves))
    print(f"{'':16s}" + len(curves) * f"{'realised':>14s}{'leak':>8s}")
    for points in zip(*curves.values(), strict=True):
        level = "" if points[0].disturbance == "none" else f"{points[0].level:g}"
        cells = "".join(f"{point.realised:14.3f}{point.leak:8.2f}" for point in points)
        print(f"{points[0].disturbance:9s}{level:>7s}{cells}")


if __name__ == "__main__":
    main()
