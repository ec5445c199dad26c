"""What `agenttasks watch` goes by: what the queue holds, what has changed, and what follows a run. Pure but for reading."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .history import History
from .last_run import LastRun
from .outcome import Kind
from .queue import Queue, names, task_files
from .retry import RESET_MARGIN
from .tasks.task import read
from .trees.repository import Repository, is_ancestor

Stamp = tuple[int, int, int]
"""Of a file: inode, time of change in ns, size."""

FIRST, MOST = 12, 720
"""The back-off, in periods of looking: a minute to begin with and an hour at most, where that is five seconds."""
NO_REPEAT = frozenset({"review", "budget"})
SERVICES = (Kind.USAGE_LIMIT, Kind.OVERLOADED, Kind.NETWORK)


@dataclass(frozen=True, slots=True)
class Seen:
    """One look, by `stat` alone: task files of the pending folder; what else tells that tasks may run now; what a person
    does to the branch, the index or the reviews; the settings."""

    tasks: Mapping[str, Stamp]
    books: tuple[Stamp | None, ...]
    person: tuple[Stamp | None, ...]
    settings: Stamp | None


def look(repository: Repository, queue: Queue, settings_file: Path) -> Seen:
    tasks = {}
    for file in task_files(queue.pending):
        if not file.name.endswith(".report.md") and (stamp := _stamp(file)) is not None:
            tasks[file.stem] = stamp
    git, common = repository.git_dir, repository.common_dir
    branch = repository.branch()
    books = (queue.done, queue.failed, repository.home / "journal.jsonl")
    person = (
        git / "HEAD", git / "logs/HEAD", git / "index", *([common / branch] if branch else []),
        repository.home / "reviews.jsonl",
    )  # fmt: skip
    return Seen(tasks, tuple(map(_stamp, books)), tuple(map(_stamp, person)), _stamp(settings_file))


def _stamp(file: Path) -> Stamp | None:
    try:
        found = os.lstat(file)
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, found.st_size


def could_run(repository: Repository, queue: Queue, history: History) -> frozenset[str]:
    """The pending tasks that a run would do something about: neither held, nor blocked by what no run would land."""
    done, failed = names(queue.done), names(queue.failed)
    pending = names(queue.pending)
    waits: dict[str, set[str]] = {}
    for file in task_files(queue.pending):
        if file.name.endswith(".report.md"):
            continue
        landed = history.landed.get(file.stem)
        if landed is not None and is_ancestor(repository, landed.commit, "HEAD"):
            continue  # held: it was reverted by hand
        try:
            task = read(file)
        except OSError:
            continue
        # One that depends on what nobody knows is refused by the next run.
        known = {name for name in task.front.depends_on if name in pending or name in failed}
        waits[file.stem] = set() if task.refused else known - done
    while True:
        blocked = [name for name, on in waits.items() if not on <= waits.keys()]
        if not blocked:
            return frozenset(waits)
        for name in blocked:
            del waits[name]


@dataclass(frozen=True, slots=True)
class Again:
    """Run at once."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Run when a task is new or changed (`tasks`); when `seconds` have passed (None: never by that); when a person has changed
    something (`person`); when an approval is recorded (`approval`, without which new tasks count for nothing)."""

    why: str
    seconds: float | None = None
    person: bool = False
    approval: bool = False
    tasks: bool = True


@dataclass(frozen=True, slots=True)
class End:
    """Watch no longer."""

    why: str


Step = Again | Wait | End


@dataclass
class Course:
    """What runs have come to so far. `tried`: the tasks that were left although they could run, each as it was before."""

    period: float
    failures: int = 0
    idle: int = 0
    """Runs in a row that were begun at once, and after which the same tasks were pending."""
    tried: dict[str, Stamp] = field(default_factory=dict)

    def fresh(self, runnable: Iterable[str], tasks: Mapping[str, Stamp]) -> set[str]:
        """Those that no run has been given as they are now."""
        return {name for name in runnable if name in tasks and self.tried.get(name) != tasks[name]}

    def after(
        self,
        status: int,
        last: LastRun | None,
        *,
        before: Mapping[str, Stamp],
        now: Mapping[str, Stamp],
        runnable: frozenset[str],
        resumes_in: float | None = None,
    ) -> Step:
        """What follows a run with this exit status; `last` is what it wrote down about itself.

        `before` and `now` are the task files, `runnable` those that could run now. `resumes_in`: seconds until the
        agents' service is expected back, or until tomorrow where today's budget is used up.
        """
        self.tried = {name: before[name] for name in runnable if name in before}
        stopped = None if last is None else last.stopped
        why = (last.why if last is not None else None) or f"exit status {status}"
        if stopped == "interrupted":
            return End("the run was interrupted")
        if stopped == "time":
            return End(why)
        if stopped in (*SERVICES, "budget") and resumes_in is not None:
            seconds = max(resumes_in, 0.0) + max(self.period, RESET_MARGIN)
            return Wait(why, seconds, person=True, tasks=False)
        if stopped in NO_REPEAT:
            self.failures = 0
            return Wait(why, person=stopped == "budget", approval=True)
        if status not in (0, 1, 5):
            return self._back_off(why)
        if self.fresh(runnable, now):
            self.idle = 0 if before.keys() - now.keys() else self.idle + 1
            if self.idle <= 1:
                self.failures = 0
                return Again()
            self.tried = {name: now[name] for name in runnable if name in now}
        if status == 1 and self.tried and stopped is None:
            if last is not None and last.landed:
                self.failures = 0
            return self._back_off(f"left pending: {', '.join(sorted(self.tried))}")
        self.failures = 0
        return Wait(why if stopped is not None else "nothing to run")

    def _back_off(self, why: str) -> Wait:
        seconds = self.period * min(FIRST * 2 ** min(self.failures, 30), MOST)
        self.failures += 1
        return Wait(why, seconds, person=True)
