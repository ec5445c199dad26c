"""One item from start to end: attempts as reruns, waits between them, and the ways in which a run stops."""

from __future__ import annotations

import signal
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from ..agents.registry import built_in_agents
from ..outcome import SetupError
from ..plan import order
from ..preflight import check, run_lock
from ..printable import printable
from ..retry import Again, Stop
from ..run import open_run
from .collection import QueueDirectory, TaskItem
from .extensions import BUILT_IN, HookExtensions
from .session import QueueSession
from .terminal import Terminal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Protocol:
    """The hooks that make pytest run tasks."""

    def __init__(self, session: QueueSession, terminal: Terminal) -> None:
        self.queue_session = session
        self.terminal = terminal

    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if path != self.queue_session.queue.pending and path.resolve() != self.queue_session.queue.pending.resolve():
            return None
        node = QueueDirectory.from_parent(parent, path=path)
        node.queue_session = self.queue_session
        return node

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, object, object]:
        """Dependencies first, whatever other plugins did to the order; runs after all of them."""
        result = yield
        tasks = {item.task.name: item for item in items if isinstance(item, TaskItem)}
        if len(tasks) == len(items):
            planned = [task.name for task in self.queue_session.tasks() if task.name in tasks]
            ordered = order(planned, {name: tasks[name].task.front.depends_on for name in planned})
            items[:] = [tasks[name] for name in ordered]
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        if session.config.option.collectonly or not session.items or session.testsfailed:
            return (yield)
        with ExitStack() as stack:
            try:
                self._start(session, stack)
            except SetupError as error:
                raise pytest.UsageError(printable(str(error))) from error
            return (yield)

    def _start(self, session: pytest.Session, stack: ExitStack) -> None:
        ours = self.queue_session
        extensions = HookExtensions(session.config)
        for agent_name, agent in built_in_agents().items():
            name = f"{BUILT_IN}{agent_name}"
            if not session.config.pluginmanager.has_plugin(name):
                session.config.pluginmanager.register(agent, name)
        for number in STOP_SIGNALS:
            stack.callback(signal.signal, number, signal.signal(number, _interrupt))
        stack.enter_context(run_lock(ours.repository, ours.queue))
        run = open_run(
            ours.repository, ours.queue, ours.settings, ours.settings_file, extensions,
            listeners=[extensions.event], progress=self.terminal.progress,
        )  # fmt: skip
        stack.callback(run.close)
        run.titles.update({task.name: task.title for task in ours.tasks()})
        check(run, self.terminal.say)
        ours.run = run
        run.events.write("run-started", tasks=len(session.items), branch=run.branch)
        stack.callback(lambda: run.events.write("run-ended", landed=ours.landed, spent_usd=round(ours.spent, 4)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not isinstance(item, TaskItem):
            return None
        reason = self.queue_session.limit_reached()
        if reason is not None:
            item.session.shouldstop = reason
            return True
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        try:
            self._attempts(item, nextitem)
        finally:
            self.terminal.clear()
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _attempts(self, item: TaskItem, nextitem: pytest.Item | None) -> None:
        session = self.queue_session
        if item.config.pluginmanager.hasplugin("timeout"):
            item.add_marker(pytest.mark.timeout(session._timeout() or 0, func_only=True))
        reruns = 0
        while True:
            item._report_sections.clear()
            self.terminal.begin(item.task.name, reruns + 1)
            try:
                reports = runtestprotocol(item, log=False, nextitem=nextitem)
            except SetupError as error:
                item.session.shouldstop = printable(str(error))
                return
            call = next((report for report in reports if report.when == "call"), None)
            if call is None or item.task.name not in session.progress or not session.progress[item.task.name].outcomes:
                self._log(item, reports)
                return
            decision = session.decide(item)
            if isinstance(decision, Again):
                call.user_properties = []
                reruns += 1
                self._rerun(item, call, reruns)
                self._pause(item, decision)
                continue
            try:
                session.finish(item, decision)
            finally:
                item.user_properties[:] = session.properties(item)
                for report in reports:
                    report.user_properties = list(item.user_properties)
                self._log(item, reports)
            if isinstance(decision, Stop):
                item.session.shouldstop = printable(decision.why)
            return

    def _log(self, item: TaskItem, reports: Sequence[pytest.TestReport]) -> None:
        self.terminal.clear()
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)

    def _rerun(self, item: TaskItem, report: pytest.TestReport, number: int) -> None:
        report.outcome = "rerun"  # type: ignore[assignment]
        report.rerun = number  # type: ignore[attr-defined]
        self._log(item, [report])

    def _pause(self, item: TaskItem, decision: Again) -> None:
        """Wait, shown and interruptible."""
        session = self.queue_session
        began = time.monotonic()
        end = began + decision.delay
        run = session.run
        assert run is not None
        if decision.delay > 0:
            run.events.write("waiting", task=item.task.name, seconds=round(decision.delay), why=decision.why)
        while (left := end - time.monotonic()) > 0:
            self.terminal.waiting(item.task.name, decision.why, left)
            time.sleep(min(left, 1.0))
        if session.progress[item.task.name].outcomes[-1].kind.charged is False:
            session.progress[item.task.name].waited += time.monotonic() - began

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool | None:
        """No alarm may fire in the middle of a landing: the supervisor holds the time."""
        return True if isinstance(item, TaskItem) else None

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> bool | None:
        return True if isinstance(item, TaskItem) else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """0 only when every chosen task landed."""
        if exitstatus == pytest.ExitCode.OK and not session.config.option.collectonly:
            rows = self.queue_session.rows.values()
            if any(not row.kind.value == "landed" for row in rows):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {signal.Signals(number).name}")
