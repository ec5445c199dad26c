"""How long a queue takes with several agents, beside the least that it could take."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_agenttasks.timetable import Workload, lower_bound, timetable

from . import event_log, tables
from .again import red
from .repositories import make_repository
from .timing import run

TITLE = "A queue with several agents"
EXPLANATION = """\
Tasks of random length (agents that sleep 0.5 to 2 s; the gate is one `awk`); a third depend on earlier ones, a quarter share a
file with others. *makespan*: from the first task handed out to the end of the last. *bound*: no order is shorter, the sleeps
taken alone: the longest chain, all sleeps shared evenly, or the busiest file. *same, by plan*: the planner's timetable for the
times that the attempts really took, workspace, gate and landing included. *agents*, *runner*, *idle*: what the workers' time
went to; *forced*: what that timetable leaves idle, because of dependencies and shared files. *red*: commits of tasks on which
the gate, run again on a checkout of just that commit, is red.
Beside it plain pytest-xdist with test functions that sleep as long: `load` as it is, for it cannot keep to dependencies or
keep tests apart, and `loadscope` with everything that is connected in one class, in order, which does both. Both from
the first function to the end of the last, and without workspaces, gates and commits."""

GATE = "awk 'FNR > 2 { exit 1 }' src/own/*.txt"
"""Red where a task has written its line twice."""
AGENT = """\
set -eu
ms=${AGENTTASKS_TASK#*-}
sleep $((ms / 1000)).$(printf %03d $((ms % 1000)))
echo "$AGENTTASKS_TASK" >> "src/own/${AGENTTASKS_TASK%-*}.txt"
"""
_TASK = """\
---
depends_on: [{before}]
---
# Task {name}

## Objective
Wait.

## Files in Scope
{scope}

## Definition of Done
- done
"""
SHARED = 12


@dataclass(frozen=True)
class Queue:
    """Task → seconds that its agent sleeps, what it depends on, and the shared file in its scope, if any."""

    seconds: dict[str, float]
    depends_on: dict[str, list[str]]
    shared: dict[str, int]

    def apart(self, a: str, b: str) -> bool:
        return a in self.shared and self.shared.get(a) == self.shared.get(b)

    def work(self, seconds: dict[str, float]) -> Workload:
        return Workload(list(self.seconds), self.depends_on, self.apart, seconds)


def make_queue(count: int, seed: int = 7) -> Queue:
    chance = random.Random(seed)
    seconds: dict[str, float] = {}
    depends_on: dict[str, list[str]] = {}
    shared: dict[str, int] = {}
    for number in range(count):
        length = chance.randint(500, 2000)
        name = f"{number:05d}-{length}"
        if seconds and chance.random() < 1 / 3:
            depends_on[name] = chance.sample(list(seconds), min(chance.randint(1, 2), len(seconds)))
        if chance.random() < 1 / 4:
            shared[name] = chance.randrange(SHARED)
        seconds[name] = length / 1000
    return Queue(seconds, depends_on, shared)


def measure(folder: Path, *, short: bool) -> str:
    queue = make_queue(40 if short else 200)
    rows = []
    for workers in (2, 4) if short else (2, 4, 8):
        place = folder / f"makespan-{workers}"
        record = _tasks(place, queue, workers)
        spans = {name: end - begin for name, (begin, end) in record.spans.items()}
        planned = timetable(queue.work(spans), workers)
        end = max(slot.end for slot in planned)
        whole = record.seconds * workers
        agents = sum(queue.seconds.values())
        bound = lower_bound(queue.work(queue.seconds), workers).seconds
        rows.append(
            (
                str(workers),
                f"{record.seconds:.1f} s",
                f"{bound:.1f} s",
                f"{end:.1f} s",
                _share(agents, whole),
                _share(record.busy - agents, whole),
                _share(whole - record.busy, whole),
                _share(end * workers - record.busy, end * workers),
                tables.count(red(place / "project", GATE, place / "again")),
                f"{_tests(folder / f'load-{workers}', _functions(queue), workers, 'load'):.1f} s",
                f"{_tests(folder / f'scope-{workers}', _classes(queue), workers, 'loadscope'):.1f} s",
            )
        )
    header = ("workers", "makespan", "bound", "same, by plan", "agents", "runner", "idle", "forced", "red")
    return tables.table((*header, "xdist load", "xdist loadscope"), rows)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %"


def _tasks(folder: Path, queue: Queue, workers: int) -> event_log.Record:
    folder.mkdir()
    agent = folder / "agent.sh"
    agent.write_text(AGENT)
    settings = (
        f'gates: [{{name: tests, run: "{GATE}"}}]\nsandbox: none\ncanary: off\n'
        f"agent: {{name: command, command: 'sh {agent}'}}\n"
    )
    tasks = {f"tasks/pending/{name}.md": _text(queue, name) for name in queue.seconds}
    own = {f"src/own/{name.split('-')[0]}.txt": "\n" for name in queue.seconds}
    path = make_repository(folder / "project", 100, {"agenttasks.yaml": settings, **tasks, **own})
    run(_pytest("--agent-tasks", "tasks/pending", "-n", str(workers)), path)
    record = event_log.read(path / "tasks/logs/orchestration.log")
    if len(record.spans) != len(queue.seconds):
        raise SystemExit(f"{path}: {len(record.spans)} of {len(queue.seconds)} tasks ran")
    return record


def _text(queue: Queue, name: str) -> str:
    scope = [f"src/own/{name.split('-')[0]}.txt"]
    if name in queue.shared:
        scope.append(f"src/shared/{queue.shared[name]}.txt")
    return _TASK.format(
        name=name,
        before=", ".join(queue.depends_on.get(name, ())),
        scope="\n".join(f"- `{path}`" for path in scope),
    )


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]


def _tests(folder: Path, text: str, workers: int, mode: str) -> float:
    """Seconds from the first of these test functions to the end of the last."""
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_sleeps.py").write_text(_SLEEP + text)
    run(_pytest("test_sleeps.py", "-n", str(workers), "--dist", mode), folder)
    moments = [float(line) for line in (folder / "moments").read_text().splitlines()]
    return max(moments) - min(moments)


_SLEEP = """\
import time


def sleep(seconds):
    for wait in (seconds, 0):
        with open("moments", "a") as file:
            file.write(f"{time.time()}\\n")
        time.sleep(wait)


"""


def _functions(queue: Queue) -> str:
    tests = [f"def test_{n:05d}():\n    sleep({s})\n" for n, s in enumerate(queue.seconds.values())]
    return "\n\n".join(tests)


def _classes(queue: Queue) -> str:
    lines = []
    for number, names in enumerate(_connected(queue)):
        lines.append(f"\nclass Test{number:05d}:")
        lines += [
            f"    def test_{n:05d}(self):\n        sleep({queue.seconds[name]})\n"
            for n, name in enumerate(names)
        ]
    return "\n".join(lines)


def _connected(queue: Queue) -> Sequence[Sequence[str]]:
    """The tasks that depend on each other or share a file, however indirectly; each group in the order of the queue,
    in which dependencies come first."""
    group = {name: {name} for name in queue.seconds}
    links = [(name, before) for name, all_before in queue.depends_on.items() for before in all_before]
    links += [(a, b) for a in queue.shared for b in queue.shared if queue.apart(a, b)]
    for a, b in links:
        if group[a] is not group[b]:
            group[a] |= group[b]
            for name in group[b]:
                group[name] = group[a]
    unique = {id(members): members for members in group.values()}
    return [sorted(members) for members in unique.values()]
