"""How fast recipes learn on drawn faces: trains each for the same minutes, in turn, and scores every checkpoint.

    python benchmarks/learning.py --minutes 30 --out runs/learning
    elegant-tf faces --out other --count 6000 --seed 9 --counterfactuals 320
    python benchmarks/learning.py --minutes 30 --out runs/other --data_dir other

Each recipe is `train.py` with the options below in a process of its own, so that what is timed is what users run.
Writes `learning.json` (the curves) and `learning.png`; prints a table. Recipes already trained there are not trained
again, and curves of earlier calls stay.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OFFICIAL = ["--preset=official", "--image_size=64", "--checkpoint_every=150"]
RECIPES = {
    "official": [*OFFICIAL, "--width=24"],
    "official_16": [*OFFICIAL, "--width=16"],
    "official_40": [*OFFICIAL, "--width=40"],
    "official_64": [*OFFICIAL, "--width=64", "--checkpoint_every=100"],
    "modern": ["--preset=modern", "--steps=1000000", "--checkpoint_every=1000"],
}
FIELDS = ("realised", "leak")
TITLES = ("realised (higher is better)", "leak (lower is better)")
COMMON = ["--checkpoints_kept=1000", "--sample_every=0"]


def main() -> None:
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "learning.json"
    curves = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in arguments.recipes:
        run_dir = arguments.out / name
        train(name, run_dir, arguments.minutes, arguments.data_dir)
        curves[name] = score_checkpoints(run_dir, arguments.count)
        print_curve(name, curves[name])
        path.write_text(json.dumps(curves, indent=1) + "\n", encoding="utf-8")
    plot(curves, arguments.out / "learning.png")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, a recipe")
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    parser.add_argument(
        "--data_dir", help="learn from this folder that `elegant-tf faces` wrote, not from embedded faces"
    )
    parser.add_argument("--count", type=int, default=32, help="edits per attribute and direction")
    parser.add_argument("--recipes", nargs="+", default=["official_40", "modern"], choices=list(RECIPES))
    return parser.parse_args()


def train(name: str, run_dir: Path, minutes: float, data_dir: str | None) -> None:
    if run_dir.exists():
        print(f"{name}: found in {run_dir}, not trained again")
        return
    command = [sys.executable, str(ROOT / "train.py"), f"--run_dir={run_dir.resolve()}", f"--max_minutes={minutes}"]
    command += ["--data=celeba", f"--data_dir={Path(data_dir).resolve()}"] if data_dir else ["--data=faces"]
    began = time.monotonic()
    subprocess.run([*command, *COMMON, *RECIPES[name]], check=True, cwd=ROOT)
    print(f"{name}: {(time.monotonic() - began) / 60:.1f} minutes with start and scorecard")


def score_checkpoints(run_dir: Path, count: int) -> list[dict[str, float]]:
    """Step, minutes of training, realised and leak of every checkpoint, oldest first."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.path.insert(0, str(ROOT))
    from elegant_tf.editor import Editor
    from elegant_tf.evaluation.counterfactuals import load_counterfactuals
    from elegant_tf.evaluation.edits import edit_all
    from elegant_tf.evaluation.metrics.scores import mean_score, scorecard
    from elegant_tf.rundir import read_config
    from elegant_tf.runs import checkpoint_steps

    edits = load_counterfactuals(read_config(run_dir), None, count, ("add", "remove"))
    minutes = minutes_by_step(run_dir)
    rows = []
    for step in checkpoint_steps(run_dir):
        editor = Editor.load(run_dir, step=step)
        mean = mean_score(scorecard(edits, edit_all(editor, edits)))
        rows.append({"step": step, "minutes": minutes(step), "realised": mean.realised, "leak": mean.leak})
    return rows


def minutes_by_step(run_dir: Path):
    """Minutes of training at a step, by the run's own log."""
    import numpy as np

    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    steps, seconds = zip(*((row["step"], row["seconds"]) for row in rows), strict=True)
    return lambda step: float(np.interp(step, steps, seconds)) / 60


def print_curve(name: str, rows: list[dict[str, float]]) -> None:
    print(f"\n{name:14s} minutes  realised   leak")
    for row in rows:
        print(f"{row['step']:14d} {row['minutes']:7.1f} {row['realised']:9.3f} {row['leak']:6.2f}")


def plot(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        print("no plot: pip install matplotlib")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, field, title in zip(axes, FIELDS, TITLES, strict=True):
        for name, rows in curves.items():
            axis.plot([row["minutes"] for row in rows], [row[field] for row in rows], marker=".", label=name)
        axis.set(title=title, xlabel="minutes of training")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    print(f"\n{path}")


if __name__ == "__main__":
    main()
