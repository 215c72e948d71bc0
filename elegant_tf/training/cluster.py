"""The workers of a training on several machines: their addresses, and which of them this process is."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from elegant_tf.errors import UserError


class Cluster(NamedTuple):
    """`workers`: the address `host:port` of every worker, the chief first; `task`: which of them this process is."""

    workers: tuple[str, ...]
    task: int


def find_cluster(kind: str, workers: int, port: int) -> Cluster:
    """The cluster that the environment describes.

    Args:
        kind: where it stands, as `--cluster` says: `tf_config`, `slurm` or `kubernetes`.
        workers: how many there are; for `kubernetes`, which does not tell.
        port: of a machine's first worker, the next ones being those of further workers there; not for `tf_config`.

    Raises:
        UserError: the environment does not describe one; the text names the variable.
    """
    return _KINDS[kind](workers, port)


def _from_tf_config(workers: int, port: int) -> Cluster:
    """TF_CONFIG as TensorFlow defines it: `cluster` maps jobs to addresses, `task` says which one this process is.

    Tasks of the job `chief` come first; without one, worker 0 is the chief.
    """
    text = _variable("TF_CONFIG", "tf_config")
    try:
        found = json.loads(text)
        jobs: dict[str, list[str]] = {job: list(addresses) for job, addresses in found["cluster"].items()}
        job, index = str(found["task"]["type"]), int(found["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG={text}: cannot be understood ({error}); expected "
            '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
        ) from error
    if others := sorted(set(jobs) - {"chief", "worker"}):
        raise UserError(f"TF_CONFIG: has the jobs {', '.join(others)}; only chief and worker take part in a training")
    chiefs, rest = jobs.get("chief", []), jobs.get("worker", [])
    if not 0 <= index < len(jobs.get(job, [])):
        raise UserError(f"TF_CONFIG: task {job} {index} is not in the cluster, which has {_counted(jobs)}")
    return Cluster((*chiefs, *rest), index + (len(chiefs) if job == "worker" else 0))


def _from_slurm(workers: int, port: int) -> Cluster:
    """The tasks of a SLURM job step, in the order of their ranks.

    TensorFlow's SlurmClusterResolver needs GPUs, and sorts hosts by name, where n10 comes before n9 and ranks no longer
    fit.
    """
    rank = _number("SLURM_PROCID", "slurm")
    hosts = expand_hosts(_variable("SLURM_STEP_NODELIST", "slurm"))
    counts = expand_counts(_variable("SLURM_STEP_TASKS_PER_NODE", "slurm"))
    if len(hosts) != len(counts):
        raise UserError(f"SLURM_STEP_TASKS_PER_NODE: counts tasks on {len(counts)} nodes; there are {len(hosts)}")
    tasks = [f"{host}:{port + place}" for host, count in zip(hosts, counts, strict=True) for place in range(count)]
    if not 0 <= rank < len(tasks):
        raise UserError(f"SLURM_PROCID={rank}: must be below the number of tasks, {len(tasks)}")
    return Cluster(tuple(tasks), rank)


def _from_kubernetes(workers: int, port: int) -> Cluster:
    """Pods of an indexed Job or a StatefulSet under a headless service: `NAME-0.SERVICE`, `NAME-1.SERVICE`, …"""
    host, _, domain = socket.getfqdn().partition(".")
    match = re.fullmatch(r"(.+)-(\d+)", host)
    if not match:
        raise UserError(
            f"--cluster=kubernetes: this host is called {host}; expected the name of a pod of an indexed Job or a "
            "StatefulSet, which ends with its number"
        )
    if workers < 1:
        raise UserError(f"--workers={workers}: must be the number of pods, for --cluster=kubernetes")
    if (index := int(match[2])) >= workers:
        raise UserError(f"--workers={workers}: must be more than {index}, the number of this pod, {host}")
    names = [f"{match[1]}-{number}" for number in range(workers)]
    return Cluster(tuple(f"{name}.{domain}:{port}" if domain else f"{name}:{port}" for name in names), index)


_KINDS: Mapping[str, Callable[[int, int], Cluster]] = {
    "tf_config": _from_tf_config,
    "slurm": _from_slurm,
    "kubernetes": _from_kubernetes,
}


def expand_hosts(text: str) -> list[str]:
    """The hosts in SLURM's notation, such as `gpu[1-3,08],login`, in their order.

    Raises:
        UserError: it cannot be understood.
    """
    hosts = []
    for part in re.split(r",(?![^\[]*\])", text):
        if not (match := re.fullmatch(r"([^\[\]]*)(?:\[((?:\d+(?:-\d+)?,?)+)\])?", part)):
            raise UserError(f"SLURM_STEP_NODELIST={text}: cannot be understood at {part}")
        prefix, ranges = match.groups()
        if ranges is None:
            hosts.append(prefix)
            continue
        for one in ranges.split(","):
            first, _, last = one.partition("-")
            numbers = range(int(first), int(last or first) + 1)
            hosts += [f"{prefix}{number:0{len(first)}d}" for number in numbers]
    return hosts


def expand_counts(text: str) -> list[int]:
    """The counts in SLURM's notation, such as `2(x3),1`.

    Raises:
        UserError: it cannot be understood.
    """
    counts: list[int] = []
    for part in text.split(","):
        if not (match := re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)):
            raise UserError(f"SLURM_STEP_TASKS_PER_NODE={text}: cannot be understood at {part}")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _variable(name: str, kind: str) -> str:
    if not (text := os.environ.get(name, "")):
        raise UserError(f"{name}: is not set in the environment, as --strategy=multi_worker --cluster={kind} needs it")
    return text


def _number(name: str, kind: str) -> int:
    text = _variable(name, kind)
    if not text.isdecimal():
        raise UserError(f"{name}={text}: must be a whole number")
    return int(text)


def _counted(jobs: Mapping[str, Any]) -> str:
    return " and ".join(f"{len(addresses)} {job}" for job, addresses in jobs.items())
