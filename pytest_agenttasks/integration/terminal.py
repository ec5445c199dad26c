"""What a person sees while a queue runs: one live line, or heartbeats where there is no terminal, and the table."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ..agents.contract import Progress
from ..durations import format_duration
from ..printable import one_line, printable
from ..summary import table

if TYPE_CHECKING:
    from .session import QueueSession

HEARTBEAT = 60.0
"""Seconds between two plain lines of a task where there is no terminal."""
REFRESH = 0.25


class Terminal:
    """The only place that writes to the terminal while a task runs."""

    def __init__(self, config: pytest.Config, session: QueueSession) -> None:
        self._config = config
        self._session = session
        self._task = ""
        self._attempt = 1
        self._began = time.monotonic()
        self._written = 0.0
        self._live = False
        self._last = Progress()

    @property
    def _reporter(self) -> Any:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    @contextmanager
    def _open(self) -> Iterator[Any]:
        reporter = self._reporter
        if reporter is None:
            yield None
            return
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if capture is None:
            yield reporter
            return
        with capture.global_and_fixture_disabled():
            yield reporter

    def begin(self, task: str, attempt: int) -> None:
        self._task, self._attempt = task, attempt
        self._began = self._written = time.monotonic()
        self._last = Progress()

    def say(self, line: str) -> None:
        """One plain line, between tasks."""
        with self._open() as reporter:
            if reporter is not None:
                reporter.ensure_newline()
                reporter.write_line(printable(line))

    def progress(self, task: str, progress: Progress) -> None:
        """What the agent does now; shown a few times a second at most."""
        self._last = progress
        self._show(f"attempt {self._attempt}, {self._elapsed()}{self._cost()}: {one_line(progress.step, 120)}")

    def waiting(self, task: str, why: str, left: float) -> None:
        self._show(f"waiting {format_duration(left)} more: {one_line(why, 120)}")

    def _elapsed(self) -> str:
        return format_duration(time.monotonic() - self._began)

    def _cost(self) -> str:
        return "" if self._last.cost_usd is None else f", ${self._last.cost_usd:.2f}"

    def _show(self, text: str) -> None:
        now = time.monotonic()
        with self._open() as reporter:
            if reporter is None:
                return
            if reporter.isatty:
                if now - self._written < REFRESH:
                    return
                if not self._live:
                    reporter.ensure_newline()
                width = max(reporter._tw.fullwidth - 2, 20)
                reporter.rewrite(one_line(f"{self._task}: {text}", width), erase=True)
                self._live = True
            elif now - self._written >= HEARTBEAT:
                reporter.ensure_newline()
                reporter.write_line(f"[{time.strftime('%H:%M')}] {self._task}: {text}")
            else:
                return
        self._written = now

    def clear(self) -> None:
        """Take the live line away, so that the result stands alone."""
        if not self._live:
            return
        self._live = False
        with self._open() as reporter:
            reporter.rewrite("", erase=True)
            reporter._tw.write("\r")
            reporter.currentfspath = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, Any] | None:
        if str(report.outcome) == "rerun":
            return "rerun", "R", ("RERUN", {"yellow": True})
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "passed":
            report.sections.clear()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        session = self._session
        if self._config.option.collectonly:
            self._problems(terminalreporter)
            return
        if not session.tasks():
            terminalreporter.write_line(f"no task in the queue: {session.queue.pending} holds no .md file")
            return
        rows = [session.rows[task.name] for task in session.tasks() if task.name in session.rows]
        if rows:
            terminalreporter.section("agent tasks")
            terminalreporter.write_line(table(rows, max(terminalreporter._tw.fullwidth, 80)))
        for note in session.notes:
            terminalreporter.write_line(printable(note))

    def _problems(self, terminalreporter: Any) -> None:
        for task in self._session.tasks():
            for problem in task.problems:
                word = "hint" if problem.hint else "error"
                terminalreporter.write_line(printable(f"{task.path}:{problem.line}: {word}: {problem.message}"))
