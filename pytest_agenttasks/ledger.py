"""What sessions have cost, as the journal says it: by task, by run, by day, by process. Exact over kills and restarts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .budget import Spending
from .journal_records import SessionEnded, SessionStarted

NOTHING = Spending()


@dataclass
class Ledger:
    """`going_on` are the sessions whose end is not written down: by the process that holds each."""

    going_on: dict[str, SessionStarted] = field(default_factory=dict)
    ended: Spending = NOTHING
    _by_task: dict[str, Spending] = field(default_factory=dict)
    _by_run: dict[float, Spending] = field(default_factory=dict)
    _by_day: dict[str, Spending] = field(default_factory=dict)
    _by_owner: dict[str, Spending] = field(default_factory=dict)

    def start(self, record: SessionStarted) -> None:
        if record.owner in self.going_on:  # its end could not be written
            self._end(record.owner, Spending(sessions=1, unknown=1))
        self.going_on[record.owner] = record

    def end(self, record: SessionEnded) -> None:
        if record.cost_usd is None:
            came_to = Spending(sessions=1, unknown=1)
        else:
            came_to = Spending(sessions=1, usd=record.cost_usd, estimated=int(record.estimated))
        self._end(record.of, came_to)

    def _end(self, owner: str, came_to: Spending) -> None:
        started = self.going_on.pop(owner, None)
        if started is None:  # somebody else has said it already
            return
        self.ended += came_to
        self._by_task[started.task] = self._by_task.get(started.task, NOTHING) + came_to
        self._by_run[started.run] = self._by_run.get(started.run, NOTHING) + came_to
        self._by_day[day(started.at)] = self._by_day.get(day(started.at), NOTHING) + came_to
        self._by_owner[owner] = self._by_owner.get(owner, NOTHING) + came_to

    def begin_anew(self, task: str) -> None:
        """The task's own budget begins anew; what was spent on it stays in all others."""
        self._by_task.pop(task, None)

    def of_task(self, name: str) -> Spending:
        """Since it was queued."""
        return self._running(self._by_task.get(name, NOTHING), lambda one: one.task == name)

    def of_run(self, began: float) -> Spending:
        return self._running(self._by_run.get(began, NOTHING), lambda one: one.run == began)

    def of_day(self, name: str) -> Spending:
        """Of the sessions that began on that day."""
        return self._running(self._by_day.get(name, NOTHING), lambda one: day(one.at) == name)

    def of_owner(self, owner: str) -> Spending:
        return self._running(self._by_owner.get(owner, NOTHING), lambda one: one.owner == owner)

    @property
    def total(self) -> Spending:
        return self._running(self.ended, lambda _: True)

    def _running(self, ended: Spending, which: Callable[[SessionStarted], bool]) -> Spending:
        for one in self.going_on.values():
            if which(one):
                ended += Spending(sessions=1, running=1, reserved=one.cap_usd or 0.0)
        return ended


def day(at: float) -> str:
    """The local calendar day of a moment (epoch seconds), as YYYY-MM-DD."""
    return datetime.fromtimestamp(at).date().isoformat()


def next_day(at: float) -> float:
    """When the local calendar day after that of `at` begins, in epoch seconds."""
    tomorrow = datetime.fromtimestamp(at).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day).timestamp()
