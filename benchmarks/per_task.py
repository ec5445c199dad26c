"""The runner's own time for a task, beside a shell loop of the bare steps."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from itertools import count as counting
from pathlib import Path

from . import tables
from .repositories import CHANGED, add_tasks, make_repository
from .timing import in_turns, median, run, timed

TITLE = "The runner's own time for a task"
EXPLANATION = """\
Wall time of a run of N tasks minus that of a run of one, divided by N - 1 (so collecting, committing the new task
files and reporting count), minus the agent (`sh` appending a line) and the gate (`true`) as a loop runs them without
anything else. Beside it a shell loop: agent, gate, `mv` to done, `git add -A`, `git commit`; its agent and gate are
taken off in the same way. Without sandbox and canary, which the loop has not either: the next table has those."""

AGENT = f'echo "one more ${{AGENTTASKS_TASK:-}}" >> {CHANGED}\n'
_ONE = 'for task in tasks/pending/*.md; do sh "$1"; true; done'
_LOOP = (
    'for task in tasks/pending/*.md; do sh "$1" && true && mv "$task" tasks/done/ && git add -A && '
    'git commit -q -m "feat: complete $task"; done'
)


@dataclass
class Place:
    """One repository with its queue; task names are never used twice."""

    path: Path
    agent: Path
    next_task: counting[int] = field(default_factory=lambda: counting(1))
    accept: str = ""
    """A command for each task to be accepted by, with its name as `{name}`."""

    def fill(self, number: int) -> None:
        first = next(self.next_task)
        add_tasks(self.path / "tasks/pending", first, number, self.accept)
        self.next_task = counting(first + number)

    def runner(self, number: int) -> float:
        """Seconds of a whole run of a queue of `number` tasks."""
        self.fill(number)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--agent-tasks",
            "tasks/pending",
            "-q",
            "-p",
            "no:cacheprovider",
        ]
        return timed(lambda: run(command, self.path))

    def loop(self, number: int) -> float:
        self.fill(number)
        return timed(lambda: run(["sh", "-ec", _LOOP, "sh", str(self.agent)], self.path))

    def alone(self, number: int) -> float:
        """Seconds of nothing but agent and gate, as often."""
        self.fill(number)
        seconds = timed(lambda: run(["sh", "-ec", _ONE, "sh", str(self.agent)], self.path))
        run(["git", "clean", "-fdq", "tasks/pending"], self.path)
        run(["git", "checkout", "-q", "--", "src"], self.path)
        return seconds


def measure(folder: Path, *, short: bool) -> str:
    rows = []
    for files in (100, 1000) if short else (100, 1000, 20_000):
        place = _place(folder / f"per-task-{files}", files)
        for queue in (10,) if short else (10, 200):
            rounds = 2 if short else 5 if queue == 10 else 1 if files == 20_000 else 2
            whole, one, loop, alone = (
                median(found)
                for found in in_turns(
                    rounds,
                    partial(place.runner, queue),
                    partial(place.runner, 1),
                    partial(place.loop, queue),
                    partial(place.alone, queue),
                )
            )
            own = (whole - one) / (queue - 1) - alone / queue
            bare = (loop - alone) / queue
            cells = [tables.milliseconds(value) for value in (own, bare, own - bare)]
            rows.append((tables.count(files), tables.count(queue), *cells, tables.times(own, bare)))
    return tables.table(("files", "queue", "runner", "bare loop", "difference", "ratio"), rows)


def _place(folder: Path, files: int) -> Place:
    folder.mkdir()
    agent = folder / "agent.sh"
    agent.write_text(AGENT)
    settings = (
        "gates: [{name: tests, run: 'true'}]\nsandbox: none\ncanary: off\n"
        f"agent: {{name: command, command: 'sh {agent}'}}\n"
    )
    place = Place(make_repository(folder / "project", files, {"agenttasks.yaml": settings}), agent)
    place.runner(1)  # the first run makes the workspaces
    return place
