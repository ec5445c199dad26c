"""The board of a run with `-n`: a line for each worker and one for what waits, redrawn in place on a terminal.

Only xdist's loop calls it, so that it prints from one thread. Whatever else is printed meanwhile goes through `_Above`,
which takes the board away first.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from ..outcome import Kind
from ..report.printable import one_line
from ..report.summary import Row, cut
from ..settings.durations import format_duration
from . import wire
from .crew import Crew, Member
from .scheduler import TaskScheduler
from .session import QueueSession

REFRESH = 0.5
HEARTBEAT = 60.0
"""Seconds between two looks at all workers where there is no terminal."""
_NAMED = 3
_WORDS = {
    "passed": ("PASSED", {"green": True}),
    "failed": ("FAILED", {"red": True}),
    "skipped": ("SKIPPED", {"yellow": True}),
    "rerun": ("RERUN", {"yellow": True}),
}


class Board:
    """A line for each result, and below them what goes on."""

    def __init__(self, session: QueueSession, crew: Crew, scheduler: TaskScheduler) -> None:
        self._session = session
        self._crew = crew
        self._scheduler = scheduler
        self._due = float("inf")
        self._above: _Above | None = None
        self._reporting = False

    @property
    def _reporter(self) -> Any:
        return self._session.config.pluginmanager.get_plugin("terminalreporter")

    def open(self) -> None:
        """The first task is about to be handed out."""
        reporter = self._reporter
        if reporter is None:
            return
        reporter.ensure_newline()
        distributed = self._session.config.pluginmanager.get_plugin("terminaldistreporter")
        if distributed is not None:
            distributed.rewrite = lambda *_, **__: None  # its line about workers that are coming up
        self._due = time.monotonic() + (REFRESH if reporter.isatty else HEARTBEAT)
        if reporter.isatty:
            self._above = reporter._tw._file = _Above(reporter._tw._file)

    def close(self) -> None:
        if self._above is not None:
            self._above.draw([])
            self._reporter._tw._file = self._above.file
            self._above = None
        self._due = float("inf")

    def clear(self) -> None:
        """Make room for something that takes a while."""
        if self._above is not None:
            self._above.draw([])

    def tick(self) -> None:
        now = time.monotonic()
        reporter = self._reporter
        if now < self._due or reporter is None:
            return
        if self._above is not None:
            self._due = now + REFRESH
            # What has scrolled away cannot be taken back.
            height = max(shutil.get_terminal_size().lines - 2, 1)
            self._above.draw(self.lines(now, max(reporter._tw.fullwidth - 1, 20))[:height])
        else:
            self._due = now + HEARTBEAT
            for line in self.lines(now, 200):
                reporter.write_line(f"[{time.strftime('%H:%M')}] {line}")

    def lines(self, now: float, width: int) -> list[str]:
        """The board as it is `now` (monotonic): who does what, and what waits for whom."""
        lines = [_line(member, now) for member in list(self._crew.members.values()) if member.doing]
        waiting = self._waiting()
        return [cut(one_line(line), width) for line in (*lines, *([waiting] if waiting else []))]

    def _waiting(self) -> str:
        schedule = self._scheduler.schedule_of_tasks
        if schedule is None or not schedule.waiting:
            return ""
        if self._scheduler.stopped is not None:
            return f"{len(schedule.waiting)} not handed out: {self._scheduler.stopped}"
        told = []
        for name in schedule.waiting[:_NAMED]:
            before, shared = schedule.held_up_by(name)
            if before:
                told.append(f"{name} (for {', '.join(before[:_NAMED])})")
            elif shared:
                told.append(f"{name} (shares files with {', '.join(shared[:_NAMED])})")
            else:
                told.append(name)
        more = len(schedule.waiting) - len(told)
        return f"waiting: {', '.join(told)}{f' and {more} more' if more else ''}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Counted, but shown by this board: letters in a row, or halves of lines, would run into each other."""
        if not self._reporting:
            return None
        outcome = str(report.outcome)
        if report.when != "call" and outcome == "passed":
            return "", "", ""
        return ("error" if outcome == "failed" and report.when != "call" else outcome), "", ""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        self._reporting = True
        try:
            result = yield
        finally:
            self._reporting = False
        self._show(report)
        return result

    def _show(self, report: pytest.TestReport) -> None:
        outcome = str(report.outcome)
        reporter = self._reporter
        if reporter is None or (report.when != "call" and outcome == "passed"):
            return
        told = report.__dict__.get("agenttasks") or {}
        plain = told.get("row") or told.get("tried")
        name = self._scheduler.name_of(report.nodeid)
        schedule = self._scheduler.schedule_of_tasks
        assert schedule is not None
        number = len(schedule.over) + (outcome != "rerun")
        word, colour = _WORDS[outcome]
        reporter.ensure_newline()
        reporter.write(f"[{number:{len(str(len(schedule.tasks)))}}/{len(schedule.tasks)}] ")
        reporter.write(word, **colour)
        row = wire.row_of(name, plain) if plain else None
        worker = getattr(report, "worker", None)
        who = f" [{worker}]" if worker else ""
        reporter.write_line(f" {one_line(f'{name}{who}{_details(row)}', 500)}")


def _line(member: Member, now: float) -> str:
    cost = "" if member.cost_usd is None else f", ${member.cost_usd:.2f}"
    text = f"{member.name}  {member.doing}, {format_duration(now - member.since)}{cost}"
    if member.pause is not None:
        why, until = member.pause
        return f"{text}: waiting {format_duration(max(until - now, 0.0))} more: {why}"
    return f"{text}: {member.step}" if member.step else text


def _details(row: Row | None) -> str:
    if row is None:
        return ""
    cost = "" if row.cost_usd is None else f", ${row.cost_usd:.2f}"
    spent = f" {format_duration(row.seconds)}{cost}" if row.seconds else ""
    return f"{spent}: {row.summary}" if row.kind is Kind.LANDED else f"{spent}: {row.kind}: {row.summary}"


class _Above:
    """The terminal's file: what is written to it stands above the board."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self._drawn = 0
        self._broken_off = False

    def write(self, text: str) -> int:
        self._erase()
        self._broken_off = not text.endswith("\n") if text else self._broken_off
        written: int = self.file.write(text)
        return written

    def draw(self, lines: Sequence[str]) -> None:
        """Put the board below what is there, on a line of its own."""
        self._erase()
        if self._broken_off and lines:
            self.file.write("\n")
            self._broken_off = False
        self.file.write("".join(f"{line}\n" for line in lines))
        self.file.flush()
        self._drawn = len(lines)

    def _erase(self) -> None:
        if self._drawn:
            self.file.write(f"\x1b[{self._drawn}A\r\x1b[J")
            self._drawn = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
