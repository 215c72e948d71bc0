"""What each choice of `modern` is worth: trains it with one changed at a time, for the same minutes, and scores all.

    python benchmarks/ablation.py --minutes 10 --out runs/ablation
    python benchmarks/ablation.py --minutes 10 --out runs/ablation --trials modern no_r1 --seeds 1 2

Each trial is `train.py` with the options below in a process of its own on one core, as many at once as there are
cores. All trials and seeds are scored at their last checkpoint, on the same held-out people: drawn ones, or those of a
folder with counterfactual targets (`--scored_on`, for trials to which `--more` gives other data). Writes
`ablation.json` and prints a table; trials that are in it already are not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean

ROOT = Path(__file__).resolve().parent.parent
TRIALS: Mapping[str, Sequence[str]] = {
    "modern": [],
    "planes": ["--conditioning=planes"],
    "no_mismatch": ["--mismatch_weight=0"],
    "no_r1": ["--r1_weight=0"],
    "no_cycle": ["--cycle_weight=0"],
    "no_style_cycle": ["--style_cycle_weight=0"],
    "no_carrier": ["--carrier_share=0"],
    "no_warmup": ["--cycle_warmup_updates=0"],
    "no_residual": ["--residual_weight=0"],
    "no_average": ["--ema_half_life=0"],
    "no_flip": ["--noflip"],
    "adam": ["--optimizer=adam", "--learning_rate=8e-4"],
    "rate_half": ["--learning_rate=1e-3"],
    "rate_double": ["--learning_rate=4e-3"],
    "cycle_half": ["--cycle_weight=2", "--style_cycle_weight=2"],
    "cycle_double": ["--cycle_weight=8", "--style_cycle_weight=8"],
    "round_robin": ["--attribute_schedule=round_robin"],
    "exchange_more": ["--exchange_share=0.2"],
    "matched": ["--match_attributes=all"],
    # `modern` itself, unless `--more` gives all trials another depth.
    "depth_4": ["--depth=4"],
    "depth_5": ["--depth=5"],
    "width_40": ["--width=40"],
    "l1": ["--reconstruction_norm=l1", "--reconstruction_weight=1"],
    "jitter": ["--jitter=0.03"],
    "warmup_500": ["--cycle_warmup_updates=500"],
    "no_mask": ["--nomask"],
    "mask_lighter": ["--mask_weight=0.05"],
    "mask_heavier": ["--mask_weight=0.2"],
    # Meant for few images: `--more faces_count=400`.
    "augment": ["--augment=shift,cutout,colour"],
    "spectral": ["--discriminator_norm=spectral"],
    "instance": ["--discriminator_norm=instance"],
}
COMMON = ["--preset=modern", "--steps=1000000", "--checkpoint_every=100000", "--checkpoints_kept=1", "--sample_every=0"]
# Of the evaluation set, which no trial trains with.
EVALUATION_SEED = 1000
COLUMNS = ("realised", "added", "removed", "leak", "restyled", "updates")


def main() -> None:
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "ablation.json"
    settings = {name: getattr(arguments, name) for name in ("minutes", "count", "more", "scored_on")}
    scores = read_scores(path, settings)
    runs = [(name, seed) for seed in arguments.seeds for name in arguments.trials if key(name, seed) not in scores]
    for name, seed in trained(runs, arguments):
        scores[key(name, seed)] = score(arguments.out / key(name, seed), arguments.count, arguments.scored_on)
        print(key(name, seed), scores[key(name, seed)], flush=True)
        text = json.dumps({"settings": settings, "scores": scores}, indent=1)
        path.write_text(text + "\n", encoding="utf-8")
    print_table(scores)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, a trial")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--count", type=int, default=32, help="held-out edits per attribute and direction")
    parser.add_argument("--scored_on", metavar="FOLDER", help="held-out edits with targets, instead of drawn ones")
    parser.add_argument("--trials", nargs="+", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--more", nargs="+", default=[], metavar="FLAG=VALUE", help="options that all trials have")
    return parser.parse_args()


def read_scores(path: Path, settings: Mapping[str, object]) -> dict[str, dict[str, float]]:
    """Scores of earlier calls by trial, which must have been made alike."""
    if not path.exists():
        return {}
    earlier = json.loads(path.read_text(encoding="utf-8"))
    if earlier["settings"] != settings:
        raise SystemExit(f"{path} was made with {earlier['settings']}, not {settings}: give another --out")
    return earlier["scores"]


def key(name: str, seed: int) -> str:
    return f"{name}.{seed}"


def trained(runs: Sequence[tuple[str, int]], arguments: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Trains all, one on each core at a time; each run when it is done, in their order."""
    cores: SimpleQueue[int] = SimpleQueue()
    usable = sorted(os.sched_getaffinity(0))
    for core in usable:
        cores.put(core)

    def work(run: tuple[str, int]) -> tuple[str, int]:
        core = cores.get()
        try:
            train(*run, arguments, core)
        finally:
            cores.put(core)
        return run

    with ThreadPoolExecutor(len(usable)) as pool:
        yield from pool.map(work, runs)


def train(name: str, seed: int, arguments: argparse.Namespace, core: int) -> None:
    run_dir = (arguments.out / key(name, seed)).resolve()
    if (run_dir / "scorecard.json").exists():  # train.py writes it last.
        print(f"{run_dir.name}: found, not trained again")
        return
    if run_dir.exists():
        raise SystemExit(f"{run_dir} is of a trial that was not finished: remove it to have that made again")
    command = ["taskset", "-c", str(core), sys.executable, str(ROOT / "train.py"), f"--run_dir={run_dir}"]
    command += [*COMMON, f"--seed={seed}", f"--max_minutes={arguments.minutes}"]
    command += [*(f"--{option}" for option in arguments.more), *TRIALS[name]]
    log_path = run_dir.parent / f"{run_dir.name}.log"
    began = time.monotonic()
    with open(log_path, "w", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"{run_dir.name}: train.py failed, see {log_path}")
    print(f"{run_dir.name}: {(time.monotonic() - began) / 60:.1f} minutes with start and scorecard", flush=True)


def score(run_dir: Path, count: int, folder: str | None) -> dict[str, float]:
    """What edits realise, those that add or remove together and apart, what these leak, and the updates made."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.path.insert(0, str(ROOT))
    from elegant_tf.editor import Editor
    from elegant_tf.evaluation.counterfactuals import load_counterfactuals
    from elegant_tf.evaluation.edits import DIRECTIONS, edit_all
    from elegant_tf.evaluation.metrics.scores import mean_score, scorecard
    from elegant_tf.rundir import read_config
    from elegant_tf.runs import checkpoint_steps

    editor, config = Editor.load(run_dir), read_config(run_dir)
    edits = load_counterfactuals(config, folder, count, seed=EVALUATION_SEED)
    rows = scorecard(edits, edit_all(editor, edits))
    changed = mean_score([row for row in rows if row.direction != "restyle"])
    added, removed, restyled = (
        mean_score([row for row in rows if row.direction == direction]).realised for direction in DIRECTIONS
    )
    updates = checkpoint_steps(run_dir)[-1] * config.updates_per_step
    values = (changed.realised, added, removed, changed.leak, restyled, updates)
    return dict(zip(COLUMNS, values, strict=True))


def print_table(scores: Mapping[str, Mapping[str, float]]) -> None:
    """Every trial, the mean of its seeds."""
    print(f"\n{'':16s} seeds  realised   added  removed    leak  restyled  updates")
    for name in TRIALS:
        seeds = sorted(int(entry.rpartition(".")[2]) for entry in scores if entry.rpartition(".")[0] == name)
        if not seeds:
            continue
        means = {column: fmean(scores[key(name, seed)][column] for seed in seeds) for column in COLUMNS}
        print(
            f"{name:16s} {len(seeds):5d} {means['realised']:9.3f} {means['added']:7.3f} {means['removed']:8.3f} "
            f"{means['leak']:7.2f} {means['restyled']:9.3f} {means['updates']:8.0f}"
        )


if __name__ == "__main__":
    main()
