"""`agenttasks plan [-n N]`: the order of a run, what runs beside what, the critical path, and how long it takes at best."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .. import timetable
from ..history import History
from ..journal import Journal
from ..outcome import Kind, SetupError
from ..plan import chains
from ..queue import names, task_files
from ..report.printable import one_line
from ..settings.durations import format_duration
from ..settings.loading import load
from ..settings.records import FILE_NAME
from ..tasks.lint import lint
from ..tasks.scope import overlap
from ..tasks.task import Task, read
from ..timetable import Slot, lower_bound
from .lint import base_paths, rules
from .place import open_place

EXIT_EMPTY = 5
UNKNOWN = 1.0
"""What a task counts for where no session has landed yet."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", type=int, default=1, metavar="N", help="agents side by side (default: 1)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the plan; 5 when there is no task that can run."""
    if args.n < 1:
        raise SetupError(f"-n {args.n}: at least one agent is needed")
    repository, queue = open_place(args.queue)
    settings = load(repository.top / FILE_NAME)
    tasks = [read(path) for path in task_files(queue.pending)]
    done = names(queue.done)
    problems = lint(
        tasks,
        done=done,
        failed=names(queue.failed),
        base_paths=base_paths(repository),
        rules=rules(repository, settings, queue.relative),
    )
    refused = {
        task.name: next(p.message for p in problems[task.path] if not p.hint)
        for task in tasks
        if any(not p.hint for p in problems[task.path])
    }
    blocked = _blocked(tasks, done, refused)
    able = {task.name: task for task in tasks if task.name not in {*refused, *blocked}}
    each = usual_seconds(Journal(repository.home / "journal.jsonl").history)
    plan = timetable.Workload(
        names=list(able),
        depends_on={name: task.front.depends_on for name, task in able.items()},
        apart=lambda a, b: overlap(able[a].scope, able[b].scope),
        seconds=dict.fromkeys(able, each or UNKNOWN),
    )
    show = _as_json if args.json else _as_text
    print(show(plan, args.n, each, refused, blocked))
    return 0 if able else EXIT_EMPTY


def usual_seconds(history: History) -> float | None:
    """The median time of a landed task, all of its attempts together; None where none has landed."""
    times = [
        sum(attempt.seconds for attempt in attempts)
        for attempts in history.ended.values()
        if attempts and attempts[-1].kind is Kind.LANDED
    ]
    return median(times) if times else None


def _blocked(tasks: Sequence[Task], done: set[str], refused: Mapping[str, str]) -> dict[str, str]:
    """The tasks that cannot run as things are, each with a task that it waits for in vain."""
    found: dict[str, str] = {}
    pending = {task.name for task in tasks}
    while True:
        more = {
            task.name: dependency
            for task in tasks
            if task.name not in found and task.name not in refused
            for dependency in task.front.depends_on
            if dependency not in done
            and (dependency not in pending or dependency in refused or dependency in found)
        }
        if not more:
            return found
        found.update(more)


def _as_text(
    plan: timetable.Workload, agents: int, each: float | None, refused: Mapping[str, str], blocked: Mapping[str, str]
) -> str:  # fmt: skip
    def shown(value: float) -> str:
        return format_duration(value) if each is not None else f"{value:g}"

    slots = timetable.timetable(plan, agents)
    count = len(plan.names)
    basis = (
        f"{shown(each)} each, the median of those that have landed"
        if each is not None
        else "each counted as 1, for none has landed yet"
    )
    lines = [f"{count} task{'' if count == 1 else 's'}, {agents} agent{'' if agents == 1 else 's'}; {basis}"]
    if not plan.names:
        lines = ["no task in the queue can run"]
    for slot in slots:
        task = one_line(f"{slot.task}{_reason(plan, slots, slot)}")
        lines.append(f"{shown(slot.start):>8}  agent {slot.worker + 1}  {task}")
    for name, other in blocked.items():
        lines.append(f" blocked  {one_line(f'{name}: waits for {other}, which cannot land')}")
    for name, reason in refused.items():
        lines.append(f" refused  {one_line(f'{name}: {reason}')}")
    if slots:
        bound = lower_bound(plan, agents)
        path = timetable.critical_path(plan, chains(plan.names, plan.depends_on, plan.seconds))
        end = max(slot.end for slot in slots)
        lines += [
            f"critical path: {one_line(' -> '.join(path), 1000)}",
            f"the last one lands after {shown(end)}; no plan is shorter than {shown(bound.seconds)} "
            f"({one_line(bound.reason, 1000)})",
        ]
    return "\n".join(lines)


def _reason(plan: timetable.Workload, slots: Sequence[Slot], slot: Slot) -> str:
    """Why a task begins no earlier: what ended just then and had to."""
    before = [other for other in slots if other.end == slot.start and slot.start > 0]
    waits = [other.task for other in before if other.task in plan.depends_on[slot.task]]
    if waits:
        return f" (after {', '.join(waits)})"
    shares = [other.task for other in before if plan.apart(slot.task, other.task)]
    return f" (shares files with {', '.join(shares)})" if shares else ""


def _as_json(
    plan: timetable.Workload, agents: int, each: float | None, refused: Mapping[str, str], blocked: Mapping[str, str]
) -> str:  # fmt: skip
    slots = timetable.timetable(plan, agents)
    bound = lower_bound(plan, agents)
    document: dict[str, Any] = {
        "agents": agents,
        "seconds_each": each,
        "tasks": [
            {"name": slot.task, "agent": slot.worker + 1, "start": slot.start, "end": slot.end}
            for slot in slots
        ],
        "blocked": dict(blocked),
        "refused": dict(refused),
        "critical_path": timetable.critical_path(
            plan, chains(plan.names, plan.depends_on, plan.seconds)
        ) if slots else [],
        "end": max((slot.end for slot in slots), default=0.0),
        "at_least": bound.seconds,
        "because": bound.reason,
    }  # fmt: skip
    return json.dumps(document, indent=2)
