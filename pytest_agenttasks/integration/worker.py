"""A worker of `-n`: does what it is handed, tells the process with the terminal, and shows nothing itself."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Generator
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Any

import pytest

from ..agents.contract import Progress
from ..outcome import SetupError
from ..processes.orphans import process_start_time
from ..queue import ensure_folders
from ..report.printable import one_line, printable
from ..trees.repository import discover
from . import wire
from .choosing import Choosing
from .collection import Explanation, TaskItem
from .hand_over import from_plain
from .limits import Used
from .opening import STOP_SIGNALS, elsewhere, open_for, usage_error, warnings_are_no_errors
from .protocol import ItemProtocol
from .session import QueueSession

REFRESH = 0.5
"""Seconds between two messages about the same step."""
GONE = "the run that this worker belongs to is gone"
PATIENCE = 60.0
"""Seconds until the process with the terminal has answered, or counts as gone."""


def activate_worker(config: pytest.Config) -> None:
    """Make this worker work on the plan that it was handed: it looks at no argument and reads no settings."""
    given: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    plan = from_plain(given[wire.PLAN])
    try:
        repository = discover(given[wire.TOP])
    except SetupError as error:
        raise usage_error(error) from error
    ensure_folders(plan.queue)  # one that replaces another: git takes empty folders away
    config.args[:] = [str(plan.queue.pending)]
    config.args_source = pytest.Config.ArgsSource.ARGS
    line = Line(given[wire.CHANNEL])
    session = QueueSession(config, repository, plan, line)
    for task in plan.tasks:
        for tag in task.front.tags:
            config.addinivalue_line("markers", f"{tag}: tag of agent tasks")
    config.pluginmanager.register(Choosing(session, given[wire.FROZEN]), "agenttasks-choosing")
    config.pluginmanager.register(
        Worker(session, line, given[wire.BRANCH], given[wire.MACHINE]), "agenttasks-worker"
    )


class Line:
    """The channel to the process with the terminal: its screen and its account, as this process sees them."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._parent = os.getppid()
        self._due = 0.0
        self._unsent: Progress | None = None

    def send(self, name: str, *values: object) -> None:
        try:
            self._channel.send(wire.message(name, *values))
        except OSError as error:
            raise KeyboardInterrupt(GONE) from error

    def begin(self, what: str) -> None:
        self.send(wire.BEGAN, one_line(what))
        self._due = 0.0
        self._unsent = None

    def progress(self, _task: str, progress: Progress) -> None:
        self._unsent = progress
        self.tick()

    def tick(self) -> None:
        """Raises KeyboardInterrupt when nobody is there any more to hear of a result: the run was killed."""
        if os.getppid() != self._parent:
            raise KeyboardInterrupt(GONE)
        if self._unsent is not None and time.monotonic() >= self._due:
            self._due = time.monotonic() + REFRESH
            self.send(wire.STEP, one_line(self._unsent.step), self._unsent.cost_usd)
            self._unsent = None

    def hear(self, event: dict[str, Any]) -> None:
        """What is written to the event log. It is no reason to break off: that the others are gone is noticed elsewhere."""
        with suppress(OSError):
            self._channel.send(wire.message(wire.EVENT, json.dumps(event)))

    def wait(self) -> None:
        self._due = 0.0
        self._unsent = None

    def waiting(self, _task: str, why: str, left: float) -> None:
        self.tick()
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + REFRESH
            self.send(wire.PAUSE, one_line(why), left)

    def clear(self) -> None:
        """There is nothing to be cleared."""

    def add(self, used: Used) -> None:
        self.send(wire.USED, used.sessions, used.landed, used.spent)

    def repeat(self) -> str | None:
        answer: str | None = self._ask(wire.REPEAT)
        return answer

    def leave(self, why: str) -> bool:
        """Whether another worker takes over."""
        return bool(self._ask(wire.LEAVES, why))

    def _ask(self, name: str, *values: object) -> Any:
        self.send(name, *values)
        try:
            return self._channel.receive(timeout=PATIENCE)
        except (EOFError, OSError) as error:
            raise KeyboardInterrupt(GONE) from error


class Idle(pytest.Item):
    """The item behind every task: xdist starts an item only when it knows the next one."""

    def runtest(self) -> None:
        """It never runs."""


class Worker:
    """The hooks of a worker."""

    def __init__(self, session: QueueSession, line: Line, branch: str, machine: str | None) -> None:
        self.queue_session = session
        self.line = line
        self.branch = branch
        self.machine = machine
        self.protocol = ItemProtocol(session, line, line.leave)
        session.config.pluginmanager.register(self.protocol, "agenttasks-protocol")
        self._stack = ExitStack()
        self._working = False
        self._stopping = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """After xdist has sent the list: the idle item is no part of it."""
        for note in self.queue_session.notes:
            self.line.send(wire.NOTE, note)
        self.queue_session.notes.clear()
        session.items.append(Idle.from_parent(session, name="idle"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        with warnings_are_no_errors(), self._stack as stack:
            for number in (signal.SIGINT, *STOP_SIGNALS):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    stack.callback(signal.signal, number, signal.signal(number, self._stop))
            return (yield)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        """Ends what is being done, once; a worker that does nothing ends when it is told to."""
        if self._working and not self._stopping:
            self._stopping = True
            raise KeyboardInterrupt("stopped")
        self._stopping = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not isinstance(item, TaskItem):
            return True if isinstance(item, Idle) else None
        reason: str | None = "a worker was stopped from outside"
        try:
            self._working = True
            if not self._stopping:
                self._open()
                reason = self.protocol.run(item, nextitem)
        except SetupError as error:
            reason = str(error)
        except KeyboardInterrupt:
            self._stopping = True
        finally:
            self._working = False
        if reason is not None:
            self.line.send(wire.STOP, reason)
        self.line.send(wire.IDLE)
        return True

    def _open(self) -> None:
        """With the first task: by then the checks of the start are through. Raises SetupError."""
        session = self.queue_session
        if session.run is None:
            self.line.begin("opening its workspace")
            run = open_for(session, self.line, self._stack, self.line.hear, branch=self.branch)
            if self.machine is not None:
                run = elsewhere(run, self.machine, self._stack)
            run.supervisor.start()
            session.run = run
            helper = run.supervisor.helper
            self.line.send(wire.HELLO, os.getpid(), run.owner, helper, process_start_time(helper) or 0.0)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """With the reports goes what the table says of the task."""
        session = self.queue_session
        name = next(task.name for task in session.chosen if session.plan.node_id(task) == report.nodeid)
        told: dict[str, Any] = {"notes": [printable(note) for note in session.notes]}
        session.notes.clear()
        if name in session.rows:
            told["row"] = wire.plain_row(session.rows[name])
        elif name in session.progress and session.progress[name].outcomes:
            told["tried"] = wire.plain_row(session.progress[name].row)
        if isinstance(report.longrepr, Explanation):
            told["explanation"] = report.longrepr.to_plain()
        report.agenttasks = told  # type: ignore[attr-defined]
