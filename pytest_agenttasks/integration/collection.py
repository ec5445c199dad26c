"""Task files as pytest nodes: the queue is a directory, each file a collector with one item."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..outcome import Kind, Outcome
from ..printable import printable
from ..summary import explain
from ..task import Task

if TYPE_CHECKING:
    from .session import QueueSession


class TaskFailed(Exception):
    """An attempt that did not land, as pytest sees it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.summary)
        self.outcome = outcome


class QueueDirectory(pytest.Directory):
    """The folder of pending tasks."""

    queue_session: QueueSession

    def collect(self) -> Iterable[pytest.Collector]:
        for task in self.queue_session.tasks():
            name = printable(task.path.name)
            folder = "" if self.nodeid in ("", ".") else f"{self.nodeid}/"
            node = TaskFile.from_parent(self, name=name, path=task.path, nodeid=folder + name)
            node.queue_session, node.task = self.queue_session, task
            yield node


class TaskFile(pytest.Collector):
    """One task file. Not a pytest.File: --lf drops those whose file has moved."""

    queue_session: QueueSession
    task: Task

    def collect(self) -> Iterable[pytest.Item]:
        item = TaskItem.from_parent(self, name=printable(self.task.name))
        item.queue_session, item.task = self.queue_session, self.task
        for tag in self.task.front.tags:
            item.add_marker(tag)
        return [item]


class TaskItem(pytest.Item):
    """One task: running it is one attempt."""

    queue_session: QueueSession
    task: Task
    deadline: float | None = None

    def setup(self) -> None:
        self.queue_session.prepare(self)

    def runtest(self) -> None:
        outcome = self.queue_session.attempt(self)
        if not outcome.landed:
            raise TaskFailed(outcome)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        if isinstance(excinfo.value, TaskFailed):
            return explain(excinfo.value.outcome, self.task.name)
        return str(super().repr_failure(excinfo, style or "short"))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.task.path, max(self.task.title_line - 1, 0), printable(self.task.name)


def skip(kind: Kind, reason: str) -> None:
    raise pytest.skip.Exception(f"{kind}: {printable(reason)}", _use_item_location=True)
