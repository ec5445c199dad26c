"""One item from start to end: attempts as reruns, waits between them, and what stops a run."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import pytest_timeout  # type: ignore[import-untyped]
from _pytest.runner import runtestprotocol

from ..outcome import Kind, SetupError
from ..report.printable import printable
from ..retry import Again, Stop
from .collection import TaskFailed, TaskItem
from .opening import warnings_are_no_errors
from .screen import Screen
from .session import QueueSession


class ItemProtocol:
    """Runs items; its hooks keep what is for tests away from them."""

    def __init__(
        self, session: QueueSession, screen: Screen, leave: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`leave` is asked whether another process does what this one cannot do any more, for the reason given."""
        self.queue_session = session
        self.screen = screen
        self._leave = leave

    def run(self, item: TaskItem, nextitem: pytest.Item | None) -> str | None:
        """All attempts at the item's task, reported; why the run has to stop after it, None: it goes on.

        KeyboardInterrupt leaves it after the interrupted task has been reported.
        """
        faulthandler.cancel_dump_traceback_later()  # the ini file's faulthandler_timeout, which may even end the process
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        try:
            with warnings_are_no_errors():
                return self._attempts(item, nextitem)
        except KeyboardInterrupt:
            self._interrupted(item)
            raise
        finally:
            self.screen.clear()
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _attempts(self, item: TaskItem, nextitem: pytest.Item | None) -> str | None:
        session = self.queue_session
        reruns = 0
        while True:
            item._report_sections.clear()
            self.screen.begin(f"{item.task.name}: attempt {reruns + 1}")
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
            call = next((report for report in reports if report.when == "call"), None)
            if call is None:
                self._log(item, reports)
                return None
            decision = session.decide(item)
            if isinstance(decision, Again) and (reason := session.account.repeat()):
                decision = Stop(reason)
            given_up = session.given_up if isinstance(decision, Again) else None
            leaving = given_up is not None and self._leave(given_up)
            if given_up is not None and not leaving:
                decision = Stop(given_up)
            if isinstance(decision, Again):
                call.user_properties = []
                reruns += 1
                self._rerun(item, call, reruns)
                if leaving:
                    return None
                self._pause(item, decision)
                continue
            try:
                session.finish(item, decision)
            except SetupError as error:
                decision = Stop(str(error))
            item.user_properties[:] = session.properties(item)
            for report in reports:
                report.user_properties = list(item.user_properties)
            self._log(item, reports)
            return printable(decision.why) if isinstance(decision, Stop) else None

    def _log(self, item: TaskItem, reports: Sequence[pytest.TestReport]) -> None:
        self.screen.clear()
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
        if decision.delay > 0 and session.progress[item.task.name].outcomes[-1].kind is not Kind.DISK:
            run.events.write("waiting", task=item.task.name, seconds=round(decision.delay), why=decision.why)
        self.screen.wait()
        while (left := end - time.monotonic()) > 0:
            self.screen.waiting(item.task.name, decision.why, left)
            time.sleep(min(left, 1.0))
        self.screen.clear()
        if session.progress[item.task.name].outcomes[-1].kind.charged is False:
            session.progress[item.task.name].waited += time.monotonic() - began

    def _interrupted(self, item: TaskItem) -> None:
        """Report the task that was stopped: without this, one that was tried before would look passed in JUnit."""
        if item.task.name in self.queue_session.rows:
            return
        outcome = self.queue_session.interrupted(item)
        item.user_properties[:] = self.queue_session.properties(item)

        def fail() -> None:
            raise TaskFailed(outcome)

        phases: list[tuple[Any, Callable[[], None]]] = [("call", fail), ("teardown", lambda: None)]
        calls = [pytest.CallInfo.from_call(function, phase) for phase, function in phases]
        self._log(item, [item.ihook.pytest_runtest_makereport(item=item, call=call) for call in calls])

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """A session_timeout of the ini file is for the project's tests: it must not cut a night's run short."""
        if config.getoption("session_timeout", None) is None:
            config.stash[pytest_timeout.SESSION_EXPIRE_KEY] = 0

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item) -> bool | None:
        """No alarm may fire in the middle of a landing: the supervisor holds the time."""
        return True if isinstance(item, TaskItem) else None

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> bool | None:
        return True if isinstance(item, TaskItem) else None
