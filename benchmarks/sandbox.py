"""What the sandbox adds to the start of a program."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from pytest_agenttasks.processes.sandbox import Sandbox
from pytest_agenttasks.programs import Programs
from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.run import NoExtensions, open_run
from pytest_agenttasks.settings.loading import load
from pytest_agenttasks.settings.records import FILE_NAME
from pytest_agenttasks.trees.places import Place, place
from pytest_agenttasks.trees.repository import discover

from . import tables
from .repositories import make_repository
from .timing import in_turns, median, timed

TITLE = "The sandbox"
EXPLANATION = """\
`true` as a gate runs it (the supervisor running already), with and without bubblewrap; the home has no files, or a
login in each of ten places."""

LOGINS = (
    ".ssh",
    ".aws",
    ".gnupg",
    ".docker",
    ".kube",
    ".azure",
    ".config/gh",
    ".oci",
    ".mozilla",
    ".config/op",
)


def measure(folder: Path, *, short: bool) -> str:
    repository = discover(make_repository(folder / "sandbox", 10, {}))
    queue = open_queue(repository, repository.top / "tasks/pending")
    run = open_run(
        repository, queue, load(repository.top / FILE_NAME), repository.top / FILE_NAME, NoExtensions()
    )
    try:
        if not run.programs.sandbox.active:
            return f"not measured: {run.programs.sandbox.reason}"
        bare = replace(run.programs, sandbox=Sandbox("none"))
        where = place(run.shadow, "gate", 0)
        where.path.mkdir(exist_ok=True)
        rows = []
        for logins in ((), LOGINS):
            for name in logins:
                (Path.home() / name).mkdir(parents=True, exist_ok=True)
            without, inside = (
                median(found)
                for found in in_turns(
                    10 if short else 50, partial(_start, bare, where), partial(_start, run.programs, where)
                )
            )
            cells = [tables.milliseconds(value) for value in (without, inside, inside - without)]
            rows.append((f"{len(logins)} logins", *cells))
        return tables.table(("home", "without", "inside", "difference"), rows)
    finally:
        run.close()


def _start(programs: Programs, where: Place) -> float:
    return timed(lambda: programs.run(where, ["true"], env=dict(os.environ), stdout=where.root / "out"))
