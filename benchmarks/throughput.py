"""How fast verified results land when several agents end at the same time."""

from __future__ import annotations

import sys
from pathlib import Path

from . import event_log, tables
from .again import landed, red
from .repositories import make_repository
from .timing import run

TITLE = "Landings when all agents end together"
EXPLANATION = """\
Eight workers, tasks of files of their own, agents that all take half a second: the results are there at the same time, and
each has to be verified on what has landed before it. *a landing*: the whole run by its landings. *gate runs*: how often the
gate ran for each, the one that the landed tree passed included. *red*: commits of tasks on which the gate, run again on a
checkout of just that commit, is red."""

WORKERS = 8
CHECK = "test $(ls src/new | wc -l) -ge 1 && ! grep -rq broken src/new"
AGENT = 'set -eu\nsleep 0.5\nmkdir -p src/new\necho "$AGENTTASKS_TASK" > "src/new/$AGENTTASKS_TASK.txt"\n'
_TASK = """\
# Task {name}

## Objective
Add a file.

## Files in Scope
- `src/new/{name}.txt`

## Definition of Done
- it is there
"""


def measure(folder: Path, *, short: bool) -> str:
    rows = []
    for seconds in (0, 1) if short else (0, 1, 5):
        count = 16 if short else 40
        path, record = _run(folder / f"throughput-{seconds}", seconds, count)
        commits = landed(path)
        rows.append(
            (
                f"{seconds} s",
                tables.count(len(commits)),
                f"{record.seconds:.1f} s",
                f"{record.seconds / len(commits):.2f} s",
                f"{60 * len(commits) / record.seconds:.0f}",
                f"{record.gates / len(commits):.1f}",
                tables.count(red(path, CHECK, folder / f"again-{seconds}")),
            )
        )
    return tables.table(("gate", "landed", "time", "a landing", "a minute", "gate runs", "red"), rows)


def _run(folder: Path, seconds: int, count: int) -> tuple[Path, event_log.Record]:
    folder.mkdir()
    agent = folder / "agent.sh"
    agent.write_text(AGENT)
    gate = f"sleep {seconds}; {CHECK}"
    settings = (
        f"gates: [{{name: tests, run: {gate!r}}}]\nsandbox: none\ncanary: off\n"
        f"agent: {{name: command, command: 'sh {agent}'}}\n"
    )
    names = [f"{number:05d}-new" for number in range(count)]
    tasks = {f"tasks/pending/{name}.md": _TASK.format(name=name) for name in names}
    path = make_repository(
        folder / "project", 100, {"agenttasks.yaml": settings, "src/new/first.txt": "first\n", **tasks}
    )
    command = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--agent-tasks",
        "tasks/pending",
        "-n",
        str(WORKERS),
    ]
    run([sys.executable, *command], path)
    return path, event_log.read(path / "tasks/logs/orchestration.log")
