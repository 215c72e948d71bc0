"""Kills one of two workers, or both, at random moments, starts them again, and looks for what was lost.

    python benchmarks/worker_kills.py --kills 20 --seed 0

Two processes on 127.0.0.1 train a tiny run together (`tests/fleet.py`). After `kill -9` of the chief, the other worker
or both, every process must end within a minute, and the same commands must go on from the newest checkpoint and yield
what an undisturbed run yields: equal values in the last checkpoint, to the bit, and equal losses at every step. Exit
status 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fleet
import numpy as np
import tiny

from elegant_tf.runs import checkpoint_steps
from elegant_tf.synthetic import write_celeba

STEPS, SAVE_EVERY = 30, 5
PATIENCE = 60.0  # seconds until every process has noticed
# Who is killed before the workers have found each other is missed for ten minutes; here, for as many seconds.
WAIT_SECONDS = 20
SCRIPT = (
    f"from elegant_tf.training import strategy; strategy.WAIT_SECONDS = {WAIT_SECONDS}\n"
    "import fleet, sys; sys.exit(fleet.main(1, sys.argv[1:]))"
)
VICTIMS = {"chief": [0], "worker": [1], "both": [0, 1]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "celeba"
        write_celeba(data, 60, 32, seed=0)
        began = time.monotonic()
        whole = Path(folder) / "whole"
        finish(start(whole, data))
        duration = time.monotonic() - began
        print("| killed | after, s | ended in, s | status of the other | goes on from step | wrong |\n|" + "---|" * 6)
        wrong = 0
        for number in range(options.kills):
            run_dir = Path(folder) / str(number)
            row, faults = kill(run_dir, data, whole, dice.choice(list(VICTIMS)), dice.uniform(0.1, 0.95) * duration)
            print(f"| {' | '.join(row)} | {'; '.join(faults)} |", flush=True)
            wrong += bool(faults)
    print(f"{wrong} of {options.kills} went wrong")
    return int(wrong > 0)


def start(run_dir: Path, data: Path) -> list[subprocess.Popen]:
    return fleet.start_workers(2, flags(run_dir, data), ["-c", SCRIPT])


def flags(run_dir: Path, data: Path) -> list[str]:
    """Of a tiny run with all that depends on how a batch is divided."""
    given = {"data": "celeba", "data_dir": data, "steps": STEPS, "checkpoint_every": SAVE_EVERY, "ema_half_life": 5.0}
    given |= {"attribute_schedule": "mixed", "cycle_weight": 1.0, "carrier_share": 0.5, "exchange_share": 0.5}
    return [f"--run_dir={run_dir}", "--deterministic", *tiny.flags(**given)]


def kill(run_dir: Path, data: Path, whole: Path, victim: str, after: float) -> tuple[list[str], list[str]]:
    """Kills, starts again and compares: a row of the table, and what was wrong."""
    workers = start(run_dir, data)
    time.sleep(after)
    began = time.monotonic()
    for index in VICTIMS[victim]:
        workers[index].kill()
    faults = []
    try:
        ends = fleet.finish(workers, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        for worker in workers:
            worker.kill()
        return [victim, f"{after:.1f}", "-", "-", "-"], ["a worker did not notice"]
    ended = time.monotonic() - began
    others = [end for index, end in enumerate(ends) if index not in VICTIMS[victim]]
    faults += ["a traceback" for _, said in others if "Traceback" in said]
    steps = checkpoint_steps(run_dir) if run_dir.exists() else []
    again = finish(start(run_dir, data))
    if steps and steps[-1] < STEPS and f"resuming at step {steps[-1]} " not in again:
        faults.append("does not go on from the newest checkpoint")
    faults += compare(run_dir, whole)
    status = ", ".join(str(status) for status, _ in others) or "-"
    return [victim, f"{after:.1f}", f"{ended:.1f}", status, str(steps[-1] if steps else 0)], faults


def compare(run_dir: Path, whole: Path) -> list[str]:
    """What differs from the undisturbed run."""
    mine, its = fleet.values(run_dir), fleet.values(whole)
    faults = ["other weights"] if any(not np.array_equal(mine[name], value) for name, value in its.items()) else []
    return faults + (["other losses"] if losses(run_dir) != losses(whole) else [])


def losses(run_dir: Path) -> list[dict[str, float]]:
    """Losses by step, without times."""
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]


def finish(workers: Sequence[subprocess.Popen]) -> str:
    """Waits for workers that must end well; what the chief said."""
    ends = fleet.finish(workers, timeout=600.0)
    for status, said in ends:
        if status:
            raise SystemExit(f"a worker ended with status {status}:\n{said}")
    return ends[0][1]


if __name__ == "__main__":
    sys.exit(main())
