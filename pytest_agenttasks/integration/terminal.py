"""What a person sees while a queue runs: one live line, or heartbeats where there is no terminal, and the table."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ..agents.contract import Progress
from ..report.printable import one_line, printable
from ..report.summary import table
from ..settings.durations import format_duration

if TYPE_CHECKING:
    from .session import QueueSession

HEARTBEAT = 60.0
"""Seconds between two plain lines of a task where there is no terminal."""
REFRESH = 0.25
_NAMED = 10


class Terminal:
    """The only place that writes to the terminal while a task runs."""

    def __init__(self, config: pytest.Config, session: QueueSession) -> None:
        self._config = config
        self._session = session
        self._head = ""
        self._began = 0.0
        self._due = 0.0
        self._live: str | None = None
        self._last = Progress()

    @property
    def _reporter(self) -> Any:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """pytest's reporter, past any capturing; None where there is none."""
        reporter = self._reporter
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or capture is None:
            yield reporter
            return
        with capture.global_and_fixture_disabled():
            yield reporter

    def begin(self, what: str) -> None:
        """`what` starts now: an attempt, or the checks before the first one."""
        self._head = what
        self._last = Progress()
        self._began = time.monotonic()
        with self._open() as reporter:
            tty = reporter is not None and bool(reporter.isatty)
        self._due = self._began + (REFRESH if tty else HEARTBEAT)

    def say(self, line: str) -> None:
        """One plain line, between tasks."""
        self.clear()
        with self._open() as reporter:
            if reporter is not None:
                reporter.ensure_newline()
                reporter.write_line(printable(line))

    def progress(self, _task: str, progress: Progress) -> None:
        """What the agent of the task does now."""
        self._last = progress
        self.tick()

    def tick(self) -> None:
        """Show how long it has been going on; to be called a few times a second."""
        last = self._last
        cost = "" if last.cost_usd is None else f", ${last.cost_usd:.2f}"
        step = f": {last.step}" if last.step else ""
        self._show(f"{self._head}, {format_duration(time.monotonic() - self._began)}{cost}{step}")

    def wait(self) -> None:
        """A pause begins: the next `waiting` is shown at once."""
        self._due = 0.0

    def waiting(self, task: str, why: str, left: float) -> None:
        self._show(f"{task}: waiting {format_duration(left)} more: {why}")

    def _show(self, text: str) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        with self._open() as reporter:
            if reporter is None:
                return
            if reporter.isatty:
                self._due = now + REFRESH
                self._rewrite(reporter, text)
            else:
                self._due = now + HEARTBEAT
                reporter.ensure_newline()
                reporter.write_line(f"[{time.strftime('%H:%M')}] {one_line(text)}")

    def _rewrite(self, reporter: Any, text: str) -> None:
        """Put `text` over the line that pytest has begun; `clear` brings that back."""
        writer = reporter._tw
        if self._live is None:
            if writer.width_of_current_line >= writer.fullwidth:
                reporter.ensure_newline()
            self._live = writer._current_line
        reporter.rewrite(one_line(text, max(writer.fullwidth - 2, 20)), erase=True)
        writer.flush()

    def clear(self) -> None:
        """Take the live line away, so that the result stands where pytest would have put it."""
        if self._live is None:
            return
        line, self._live = self._live, None
        with self._open() as reporter:
            reporter.rewrite("", erase=True)
            reporter.rewrite(line)
            # What it counts to align the progress on the right; it takes no notice of \r.
            reporter._tw._current_line = line
            reporter._tw.flush()

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
        if not session.plan.tasks:
            terminalreporter.write_line(f"no task in the queue: {session.queue.pending} holds no .md file")
        elif self._config.option.collectonly:
            self._problems(terminalreporter)
        else:
            self._table(terminalreporter)
        for note in session.notes:
            terminalreporter.write_line(printable(note))

    def _table(self, terminalreporter: Any) -> None:
        session = self._session
        rows = [session.rows[task.name] for task in session.chosen if task.name in session.rows]
        if rows:
            terminalreporter.section("agent tasks")
            terminalreporter.write_line(table(rows, max(terminalreporter._tw.fullwidth, 80)))
        left = [task.name for task in session.chosen if task.name not in session.rows]
        if left and session.run is not None:
            more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            names = ", ".join(one_line(name) for name in left[:_NAMED])
            terminalreporter.write_line(f"not run, still pending ({len(left)}): {names}{more}")

    def _problems(self, terminalreporter: Any) -> None:
        for task in self._session.chosen:
            for problem in task.problems:
                word = "hint" if problem.hint else "error"
                line = f"{task.path}:{problem.line}: {word}: {problem.message}"
                terminalreporter.write_line(one_line(line, 1000))
