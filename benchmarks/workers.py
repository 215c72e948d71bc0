"""Programs under comparison in processes of their own, each of which works only when it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Worker:
    """A process that answers questions, a line of JSON each; see `answer`."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name = name
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Threads that spin while they wait slow PyTorch down on a machine that does other things too.
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        )
        self._read()

    def ask(self, question: str, count: int = 1) -> Any:
        """What the process's function of that name returns for `count`."""
        self._process.stdin.write(f"{question} {count}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self._name} ended early, see above")
        return json.loads(line)

    def close(self) -> None:
        """Lets the process end."""
        self._process.stdin.close()
        self._process.wait()


def take_turns(asked: Mapping[str, Callable[[], Any]], count: int) -> dict[str, list[Any]]:
    """What each of `asked` answers in `count` turns."""
    turns: dict[str, list[Any]] = {name: [] for name in asked}
    for turn in range(count):
        # Who begins alternates, so that a slow drift of the machine favours nobody.
        for name in list(asked)[:: 1 if turn % 2 else -1]:
            turns[name].append(asked[name]())
    return turns


def answer(prepare: Callable[[], Mapping[str, Callable[[int], Any]]]) -> None:
    """Answers a `Worker`'s questions by the functions that `prepare` makes, until its input closes."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # So that nothing that a framework prints is taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    functions = prepare()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        question, count = line.split()
        print(json.dumps(functions[question](int(count))), file=answers, flush=True)
