"""What plugins and the `notify` command hear of a run: in the process with the terminal, each event once.

With `-n` workers tell theirs over the channel. What became of a task is told here, from the reports, for a worker may die
with it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Generator, Mapping
from typing import Any

import pytest

from ..budget import Spending
from ..last_run import LastRun, last_run, write_down
from ..notifier import TOLD, VERSION, Notifier
from ..outcome import Kind, SetupError
from ..report.eventlog import EventLog
from ..report.printable import one_line, printable
from ..report.summary import Row
from . import wire
from .limits import OwnAccount, Reason
from .session import QueueSession

STOPPING = (
    Kind.AUTH,
    Kind.BASE_RED,
    Kind.DISK,
    Kind.INTERNAL,
    Kind.USAGE_LIMIT,
    Kind.OVERLOADED,
    Kind.NETWORK,
)
"""Outcomes after which a run may have been stopped, the surest first."""


class Announcer:
    """Delivers events, writes those of the whole run, and writes down how it ended."""

    def __init__(self, session: QueueSession, account: OwnAccount) -> None:
        self.queue_session = session
        self.account = account
        self._notifier: Notifier | None = None
        self._told: set[str] = set()
        self._failed: list[str] = []
        self._began = time.time()
        self._clock = time.monotonic()
        self._setup: str | None = None

    def open(self) -> None:
        """A run is about to start. Nothing is told before."""
        session = self.queue_session
        if session.settings.notify is not None:
            self._notifier = Notifier(session.settings.notify, session.repository.top, os.environ)

    def begin(self) -> None:
        """The checks of the start are through."""
        session = self.queue_session
        assert session.run is not None
        session.run.events.write("run-started", tasks=len(session.chosen))
        write_down(session.repository, session.queue, LastRun(pid=os.getpid(), began=self._began))

    def refused(self, error: SetupError) -> None:
        """The run cannot start. `error` is what the user is told."""
        self._setup = str(error)

    def hear(self, record: Mapping[str, Any]) -> None:
        """Hand an event on, to the hook and to the command. Neither can stop the run."""
        session = self.queue_session
        event: dict[str, Any] = {"version": VERSION, **record}
        event["repository"] = printable(str(session.repository.top))
        event["queue"] = printable(str(session.queue.pending))
        branch = session.run.branch if session.run is not None else session.repository.branch() or ""
        event["branch"] = printable(branch.removeprefix("refs/heads/"))
        event["run"] = f"{os.getpid()}-{self._began:.0f}"
        try:
            session.config.hook.pytest_agenttasks_event(event=dict(event))
        except Exception as error:  # noqa: BLE001  the hook is somebody else's
            self._failed.append(f"{type(error).__name__}: {error}")
        if self._notifier is not None and record["event"] in TOLD:
            self._notifier.tell(event)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        session = self.queue_session
        if session.run is None:
            return
        if str(report.outcome) == "rerun":
            row = self._tried(report)
            if row is not None:
                session.run.events.write("task-retried", task=row.task, **_told(row))
        for name, row in session.rows.items():
            if name not in self._told:
                self._told.add(name)
                session.run.events.write("task-ended", task=name, **_told(row))

    def _tried(self, report: pytest.TestReport) -> Row | None:
        session = self.queue_session
        name = next(
            (task.name for task in session.chosen if session.plan.node_id(task) == report.nodeid), None
        )
        if name is None:
            return None
        if name in session.progress:
            return session.progress[name].row
        plain = (report.__dict__.get("agenttasks") or {}).get("tried")
        return wire.row_of(name, plain) if plain else None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """When the exit status is known, and before the terminal's summary: the notes belong to that."""
        result = yield
        if self.queue_session.run is not None or self._setup is not None:
            self._end(session)
        return result

    def _end(self, session: pytest.Session) -> None:
        queue_session, used = self.queue_session, self.account.used
        stopped = self._stopped(session)
        kind, why = (None, None) if stopped is None else (stopped.kind, one_line(stopped, 500))
        status = int(session.exitstatus)
        before = last_run(queue_session.repository, queue_session.queue)
        events = (
            queue_session.run.events
            if queue_session.run is not None
            else EventLog(queue_session.queue.logs / "orchestration.log", [self.hear])
        )
        if self._setup is not None and before is not None and (before.status, before.why) == (status, why):
            self._notifier = None  # it has been told: `watch` tries again and again
        known = LastRun(
            pid=os.getpid(), began=self._began, status=status, stopped=kind, why=why, landed=used.landed
        )
        try:
            write_down(queue_session.repository, queue_session.queue, known)
            rows = queue_session.rows.values()
            spent = self._spent()
            events.write(
                "run-ended", status=status, stopped=kind, why=why, tasks=len(queue_session.chosen),
                outcomes=dict(Counter(row.kind.value for row in rows)), landed=used.landed,
                not_run=sum(task.name not in queue_session.rows for task in queue_session.chosen),
                sessions=spent.sessions, spent_usd=round(spent.usd, 4),
                seconds=round(time.monotonic() - self._clock, 1),
            )  # fmt: skip
        except OSError as error:  # a full disk
            queue_session.notes.append(f"the end of this run could not be written down: {error}")
        note = self._notifier.close() if self._notifier is not None else None
        if note is not None:
            queue_session.notes.append(note)
        if self._failed:
            queue_session.notes.append(
                f"pytest_agenttasks_event failed {len(self._failed)} times, first: {one_line(self._failed[0])}"
            )

    def _spent(self) -> Spending:
        """By this run, as the journal knows it: sessions that were killed too."""
        run = self.queue_session.run
        if run is None:
            return Spending()
        run.journal.refresh()
        return run.journal.history.ledger.of_run(run.began)

    def _stopped(self, session: pytest.Session) -> Reason | None:
        """Why the run did not come to its end, with what kind of a reason that is; None where it did."""
        if self._setup is not None:
            return Reason("setup", self._setup)
        said = self.queue_session.stopped
        if said is None and int(session.exitstatus) == pytest.ExitCode.INTERRUPTED:
            return Reason("interrupted", "interrupted")
        if said is None:
            return Reason("maxfail", str(session.shouldfail)) if session.shouldfail else None
        if isinstance(said, Reason):
            return said
        limit = self.account.exhausted()
        if limit is not None:
            return Reason(limit.kind, said)
        rows = self.queue_session.rows.values()
        if any(row.kind is Kind.INTERRUPTED and row.summary == said for row in rows):
            return Reason("budget", said)  # of this run or of today, found out where a session was to begin
        kinds = {row.kind for row in rows}
        return Reason(next((kind.value for kind in STOPPING if kind in kinds), "other"), said)


def _told(row: Row) -> dict[str, object]:
    return {
        "outcome": row.kind.value,
        "attempts": row.attempts,
        "summary": one_line(row.summary, 500),
        "commit": row.commit,
        "cost_usd": row.cost_usd,
        "seconds": round(row.seconds, 1),
    }
