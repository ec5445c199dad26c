"""Workers of xdist as far as a scheduler sees them, and the schedule of tasks made of a few words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from pytest_agenttasks.integration.limits import OwnAccount
from pytest_agenttasks.integration.schedule import Schedule
from pytest_agenttasks.integration.scheduler import TaskScheduler
from pytest_agenttasks.settings.records import Settings
from pytest_agenttasks.tasks.task import Task, parse
from tests.user_repository import task_text


class FakeNode:
    """A worker: runs what it is sent with the delay that xdist's have, of one item."""

    def __init__(self, name: str = "gw0") -> None:
        self.name = name
        self.sent: list[int] = []
        self.shut = False
        self._at = 0
        self._idle = -1

    @property
    def shutting_down(self) -> bool:
        return self.shut

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        self.sent.extend(indices)
        self._idle = indices[-1]

    def shutdown(self) -> None:
        self.shut = True

    @property
    def running(self) -> int | None:
        """The index of the item that runs: one with another behind it. The idle one takes no time."""
        while self._at + 1 < len(self.sent) and self.sent[self._at] == self._idle:
            self._at += 1
        return self.sent[self._at] if self._at + 1 < len(self.sent) else None

    def finish(self) -> int:
        """End the item that runs; its index."""
        index = self.running
        assert index is not None, f"{self.name} has nothing to run"
        self._at += 1
        return index


def tasks(
    names: Sequence[str],
    depends_on: Mapping[str, Sequence[str]] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
) -> list[Task]:
    """Tasks of files of their own, but for what is said."""
    made = []
    for name in names:
        before = (depends_on or {}).get(name, ())
        front = f"depends_on: [{', '.join(before)}]" if before else ""
        scope = tuple((scopes or {}).get(name, (f"src/{name}.txt",)))
        made.append(parse(Path(f"{name}.md"), task_text(name, scope, front).encode()))
    return made


def scheduler(
    made: Sequence[Task], settings: Settings | None = None, leaving: Collection[object] = ()
) -> TaskScheduler:
    """A scheduler whose collection is these tasks' names; nodes in `leaving` cannot go on."""
    account = OwnAccount(settings or Settings(), datetime(2026, 1, 1))
    by_name = {task.name: task for task in made}
    return TaskScheduler(
        None,
        account,
        lambda ids: Schedule([by_name[name] for name in ids]),
        lambda: None,
        leaving.__contains__,
    )


def join(made: TaskScheduler, node: FakeNode, names: Sequence[str]) -> None:
    """What xdist tells of a worker that comes and has collected."""
    made.add_node(node)
    made.add_node_collection(node, names)
    made.schedule()


def finish(made: TaskScheduler, node: FakeNode) -> int:
    """The item that runs on `node` is over; so is the idle one, once another task is behind it."""
    index = node.finish()
    made.mark_test_complete(node, index, 0.1)
    if node.running is not None:
        made.mark_test_complete(node, len(made.collection or ()), 0.0)
    return index
