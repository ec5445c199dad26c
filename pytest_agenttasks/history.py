"""What the records of a journal add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .budget import Spending
from .journal_records import (
    Abandoned,
    AnyRecord,
    AttemptEnded,
    AttemptStarted,
    AttemptStored,
    CanaryAsked,
    Failed,
    Forward,
    Forwarded,
    Landed,
    Passed,
    ProgramStarted,
    Recovered,
    Rejected,
    Released,
    RunStarted,
    ServicesEnded,
    ServicesStarted,
    SessionBegins,
    SessionEnded,
    SessionStarted,
    Withdrawn,
)
from .ledger import NOTHING, Ledger


@dataclass
class History:
    """What the records add up to. What is open at a time is kept by the process whose it is."""

    attempts: dict[str, int] = field(default_factory=dict)
    charged: dict[str, int] = field(default_factory=dict)
    ended: dict[str, list[AttemptEnded]] = field(default_factory=dict)
    landed: dict[str, Landed] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)
    """The tasks that were given up and have not been queued again."""
    rejected: dict[str, Rejected] = field(default_factory=dict)
    """The last rejection of each task that has not landed since."""
    passed: dict[str, Passed] = field(default_factory=dict)
    starts: dict[str, AttemptStarted] = field(default_factory=dict)
    bases: dict[tuple[str, int], str] = field(default_factory=dict)
    """The commit that each attempt (task and number) began from."""
    guarded: dict[str, CanaryAsked] = field(default_factory=dict)
    together: dict[str, int] = field(default_factory=dict)
    """How often a task has failed only together with what had landed meanwhile, since it was queued."""
    ledger: Ledger = field(default_factory=Ledger)
    run: RunStarted | None = None
    """The last run that was begun."""
    queues: set[str] = field(default_factory=set)
    """The queues that runs have been on, as `queue.Queue.relative` has them."""
    forward: Forward | None = None
    running: dict[str, AttemptStarted] = field(default_factory=dict)
    interrupted: dict[str, AttemptStarted] = field(default_factory=dict)
    """The attempts that have begun a session; of a process that is dead, whether it is stored, its ref says."""
    programs: dict[str, list[ProgramStarted]] = field(default_factory=dict)
    services: dict[tuple[str, int], ServicesStarted] = field(default_factory=dict)
    _before: Spending = NOTHING
    """Of sessions that no record of their own tells of, as those of earlier versions."""

    @property
    def spending(self) -> Spending:
        """Of all sessions that were ever held."""
        return self._before + self.ledger.total

    @property
    def sessions(self) -> int:
        return self.spending.sessions

    @property
    def spent_usd(self) -> float:
        return self.spending.usd

    @property
    def _without_ledger(self) -> bool:
        """Whether what is read now is of a version that had no records of sessions."""
        return self.run is None or not self.run.began

    def add(self, record: AnyRecord) -> None:
        match record:
            case RunStarted():
                self.run = record
                self.queues.add(record.queue)
                self.programs.pop(record.owner, None)
            case AttemptStarted(task=task):
                self.attempts[task] = max(self.attempts.get(task, 0), record.attempt)
                self.starts[task] = record
                self.bases[task, record.attempt] = record.base
                self.running[record.owner] = record
            case CanaryAsked(task=task):
                self.guarded[task] = record
            case SessionBegins():
                self._interrupt(record.owner)
            case ProgramStarted():
                self.programs.setdefault(record.owner, []).append(record)
                self._interrupt(record.owner)
            case Passed(task=task):
                self.passed[task] = record
            case Abandoned(task=task):
                self.passed.pop(task, None)
            case Forward():
                self.forward = record
            case Forwarded() | Withdrawn():
                self.forward = None
            case Landed(task=task):
                self.passed.pop(task, None)
                self.landed[task] = record
                self.rejected.pop(task, None)
                self._begin_anew(task)
            case AttemptEnded(task=task):
                self._close(task, record.attempt)
                self.ended.setdefault(task, []).append(record)
                if self._without_ledger:
                    self._before += Spending(usd=record.cost_usd or 0.0)
                if record.together:
                    self.together[task] = self.together.get(task, 0) + 1
                if record.charged:
                    self.charged[task] = self.charged.get(task, 0) + 1
            case ServicesStarted():
                self.services[record.role, record.worker] = record
            case ServicesEnded():
                self.services.pop((record.role, record.worker), None)
            case Failed(task=task):
                self._begin_anew(task)
                self.failed[task] = record
            case Released(task=task):
                self._begin_anew(task)
                self.landed.pop(task, None)
            case Rejected(task=task):
                self._begin_anew(task)
                self.landed.pop(task, None)
                self.rejected[task] = record
            case SessionStarted():
                self.ledger.start(record)
            case SessionEnded():
                self.ledger.end(record)
            case AttemptStored():
                if self._without_ledger and not record.by_hand:
                    self._before += Spending(sessions=1)
            case Recovered(of=owner):
                for opened in (self.running, self.interrupted, self.programs):
                    opened.pop(owner, None)

    def _interrupt(self, owner: str) -> None:
        """Should the process die from here on, what lies in its workspace is its attempt's."""
        if owner in self.running:
            self.interrupted[owner] = self.running[owner]

    def _begin_anew(self, task: str) -> None:
        self.failed.pop(task, None)
        self.charged.pop(task, None)
        self.ledger.begin_anew(task)
        self.together.pop(task, None)

    def _close(self, task: str, attempt: int) -> None:
        """An attempt is over, whoever wrote that down."""
        for opened in (self.running, self.interrupted):
            for owner in [o for o, begun in opened.items() if (begun.task, begun.attempt) == (task, attempt)]:
                del opened[owner]

    def owners(self) -> set[str]:
        """The processes that have left something open, living or dead."""
        services = (started.owner for started in self.services.values())
        return {*self.running, *self.interrupted, *self.programs, *self.ledger.going_on, *services}

    def add_stored(self, highest: Mapping[str, int]) -> None:
        """Attempts that are stored count even where the records are lost: their numbers are taken."""
        for task, number in highest.items():
            self.attempts[task] = max(self.attempts.get(task, 0), number)
