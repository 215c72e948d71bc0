"""Tests on every supported Python: `nox -s tests` takes all that are not slow, `nox -s quick` minutes."""

from __future__ import annotations

import nox

PYTHONS = ("3.10", "3.11", "3.12", "3.13")

# A part of every kind: imports, options, processes, editing, losses, records and exports.
QUICK = (
    "architecture",
    "public",
    "config",
    "cli",
    "cli_train",
    "cli_edit",
    "workers",
    "losses",
    "records",
    "savedmodel",
    "tflite",
)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    session.install(".[all,test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS)
def quick(session: nox.Session) -> None:
    session.install(".[all,test]")
    session.run("pytest", *(f"tests/test_{name}.py" for name in QUICK), *session.posargs)
