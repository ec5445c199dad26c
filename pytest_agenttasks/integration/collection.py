"""Task files as pytest nodes: the queue is a directory, each file a collector with one item."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter

from ..outcome import Kind, Outcome
from ..report.printable import one_line, printable
from ..report.summary import explain
from ..tasks.task import Task
from .names import node_name

if TYPE_CHECKING:
    from .session import QueueSession


class TaskFailed(Exception):
    """An attempt that did not land, as pytest sees it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.summary)
        self.outcome = outcome


class Explanation(TerminalRepr):
    """Why a task did not land: the whole text, and one line for summaries (`reprcrash.message`)."""

    def __init__(self, text: str, where: ReprFileLocation) -> None:
        self.text = text
        self.reprcrash = where

    def __str__(self) -> str:
        return self.text

    def to_plain(self) -> tuple[str, str, int, str]:
        """For `from_plain`, in another process; pytest itself would keep only the text."""
        where = self.reprcrash
        return self.text, where.path, where.lineno, where.message

    @classmethod
    def from_plain(cls, text: str, path: str, line: int, message: str) -> Explanation:
        return cls(text, ReprFileLocation(path, line, message))

    def toterminal(self, tw: TerminalWriter) -> None:
        tw.line(self.text)


class FolderAbove(pytest.Directory):
    """A folder on the way to the queue: nothing else in it is looked at, let alone imported."""

    queue_session: QueueSession

    def collect(self) -> Iterable[pytest.Collector]:
        step = self.queue_session.queue.pending.relative_to(self.path).parts[0]
        yield folder(self.queue_session, self.path / step, self)


class QueueDirectory(pytest.Directory):
    """The folder of pending tasks."""

    queue_session: QueueSession

    def collect(self) -> Iterable[pytest.Collector]:
        for task in self.queue_session.plan.selected:
            name = node_name(task.path.name)
            node = TaskFile.from_parent(self, name=name, path=task.path, nodeid=f"{self.nodeid}/{name}")
            node.queue_session, node.task = self.queue_session, task
            yield node


def folder(session: QueueSession, path: Path, parent: pytest.Collector) -> FolderAbove | QueueDirectory:
    """The node of the queue's folder, or of one around it."""
    node: FolderAbove | QueueDirectory
    if path != session.queue.pending:
        node = FolderAbove.from_parent(parent, path=path)
    else:
        node = QueueDirectory.from_parent(parent, path=path, nodeid=session.plan.folder)
    node.queue_session = session
    return node


class TaskFile(pytest.Collector):
    """One task file. Not a pytest.File: --lf drops those whose file has moved."""

    queue_session: QueueSession
    task: Task

    def collect(self) -> Iterable[pytest.Item]:
        item = TaskItem.from_parent(self, name=node_name(self.task.name))
        item.queue_session, item.task = self.queue_session, self.task
        for tag in self.task.front.tags:
            item.add_marker(tag)
        return [item]


class TaskItem(pytest.Item):
    """One task: running it is one attempt."""

    queue_session: QueueSession
    task: Task

    def setup(self) -> None:
        self.queue_session.prepare(self)

    def runtest(self) -> None:
        outcome = self.queue_session.attempt(self)
        if not outcome.landed:
            raise TaskFailed(outcome)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | TerminalRepr:
        if not isinstance(excinfo.value, TaskFailed):
            return super().repr_failure(excinfo, style or "short")
        outcome = excinfo.value.outcome
        line = f"{outcome.kind}: {one_line(outcome.summary)}"
        where = ReprFileLocation(node_name(str(self.task.path)), self.task.title_line, line)
        return Explanation(explain(outcome, self.task.name), where)

    def reportinfo(self) -> tuple[Path, int, str]:
        return (
            Path(node_name(str(self.task.path))),
            max(self.task.title_line - 1, 0),
            node_name(self.task.name),
        )


def skip(kind: Kind, reason: str) -> None:
    raise pytest.skip.Exception(f"{kind}: {printable(reason)}", _use_item_location=True)
