"""Which task is handed out next while several run: the longest chain of followers first, never two that share files.

Pure. A task whose dependency has failed is handed out all the same: it skips itself, from what is on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..plan import chains, waiting
from ..tasks.scope import overlap
from ..tasks.task import Task
from ..timetable import startable


class Schedule:
    """The chosen tasks, in file order within equal chains; each is waiting, running or over."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = {task.name: task for task in tasks}
        names = list(self.tasks)
        # What is refused spends nothing: it waits for nobody, least of all in a circle.
        depends_on = {task.name: () if task.refused else task.front.depends_on for task in tasks}
        chain = chains(names, depends_on)
        self._waits = waiting(names, depends_on)
        self._rank = {name: (-chain[name], position) for position, name in enumerate(names)}
        self.waiting = list(names)
        self.running: list[str] = []
        self.over: set[str] = set()
        self._apart = cache(lambda a, b: overlap(self.tasks[a].scope, self.tasks[b].scope))

    @property
    def finished(self) -> bool:
        return not self.waiting and not self.running

    def next(self) -> str | None:
        """The task to start now, None while each has to wait for one that runs."""
        found = startable(
            self._waits, self._rank.__getitem__, self.apart, waiting_tasks=self.waiting, landed=self.over,
            running=self.running, free=1,
        )  # fmt: skip
        if not found and self.waiting and not self.running:
            return self.waiting[0]  # nothing will ever change: it says by itself why it cannot run
        return found[0] if found else None

    def begin(self, name: str) -> None:
        self.waiting.remove(name)
        self.running.append(name)

    def end(self, name: str) -> None:
        self.running.remove(name)
        self.over.add(name)

    def put_back(self, name: str) -> None:
        """It was cut off, and is to run again."""
        self.running.remove(name)
        self.waiting.insert(0, name)

    def apart(self, a: str, b: str) -> bool:
        """Whether two tasks may not run beside each other."""
        return self._apart(a, b) if a < b else self._apart(b, a)

    def held_up_by(self, name: str) -> tuple[list[str], list[str]]:
        """What a waiting task waits for: dependencies that are not over, and running tasks that share files with it."""
        before = sorted(self._waits[name] - self.over, key=self._rank.__getitem__)
        return before, [other for other in self.running if self.apart(name, other)]
