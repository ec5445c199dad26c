"""What a run was asked to do: settings, the tasks as they stood at its start, which of them were named. Read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ..base import memory_of, rules_of
from ..outcome import SetupError
from ..plan import order
from ..queue import Queue, names, task_files
from ..report.printable import printable
from ..settings.records import Settings
from ..tasks.lint import lint
from ..tasks.scope import Rules
from ..tasks.task import Task, read
from ..trees.git import split
from ..trees.repository import Repository
from . import limits
from .names import node_name


@dataclass(frozen=True)
class Plan:
    """`tasks` are all that are pending, in the order in which they run; `named`: those that were typed, None: all.

    `folder` is the node id of the queue's folder. `typed` are the settings' keys that the command line gave.
    """

    queue: Queue
    settings: Settings
    settings_file: Path
    typed: frozenset[str]
    rules: Rules
    folder: str
    tasks: tuple[Task, ...]
    began: datetime
    named: frozenset[str] | None = None

    def node_id(self, task: Task) -> str:
        return f"{self.folder}/{node_name(task.path.name)}::{node_name(task.name)}"

    @property
    def selected(self) -> Sequence[Task]:
        """The tasks that were named, or all."""
        return [task for task in self.tasks if self.named is None or task.name in self.named]


def read_plan(
    repository: Repository,
    queue: Queue,
    settings: Settings,
    settings_file: Path,
    typed: frozenset[str],
    rootdir: Path,
) -> Plan:
    """The plan of the queue as it is now. Raises SetupError."""
    rules, tasks = _read_tasks(repository, queue, settings)
    return Plan(
        queue=queue,
        settings=settings,
        settings_file=settings_file,
        typed=typed,
        rules=rules,
        folder=_folder(repository, queue, rootdir),
        tasks=tuple(tasks),
        began=limits.now(),
    )


def _folder(repository: Repository, queue: Queue, rootdir: Path) -> str:
    """From pytest's rootdir where the queue lies there, else from the git top."""
    base = rootdir if rootdir in queue.pending.parents else repository.top
    return printable(queue.pending.relative_to(base).as_posix())


def _read_tasks(repository: Repository, queue: Queue, settings: Settings) -> tuple[Rules, list[Task]]:
    tasks = [read(path) for path in task_files(queue.pending)]
    tip = repository.tip()
    rules = rules_of(settings, queue, memory_of(repository, tip, settings.memory.file))
    listed = split(repository.git("ls-tree", "-r", "-z", "--name-only", tip))
    problems = lint(
        tasks,
        done=names(queue.done),
        failed=names(queue.failed),
        base_paths=[path.decode("utf-8", "surrogateescape") for path in listed],
        rules=rules,
    )
    checked = [replace(task, problems=tuple(problems.get(task.path, task.problems))) for task in tasks]
    by_name = {task.name: task for task in checked}
    ordered = order([task.name for task in checked], {t.name: t.front.depends_on for t in checked})
    return rules, [by_name[name] for name in ordered] if len(by_name) == len(checked) else checked


def naming(plan: Plan, arguments: Sequence[str]) -> Plan:
    """`plan` for what was typed: task files and node ids, as pytest would look for them. Raises SetupError."""
    tasks = {str(task.path): task for task in plan.tasks}
    named = set()
    for argument in arguments:
        path, separator, rest = argument.partition("::")
        if path == str(plan.queue.pending):
            return plan
        task = tasks.get(path)
        if task is None or (separator and rest != node_name(task.name)):
            raise SetupError(f"not found: {argument}")
        named.add(task.name)
    return replace(plan, named=frozenset(named))
