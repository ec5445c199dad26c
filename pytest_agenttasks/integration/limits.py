"""When a run hands out no more tasks. Looked at between two sessions; what runs is never cut short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol

from ..budget import LEAST
from ..settings.records import Settings


@dataclass(frozen=True, slots=True)
class Used:
    """What a run has used up; money in USD."""

    sessions: int = 0
    landed: int = 0
    spent: float = 0.0

    def __add__(self, more: Used) -> Used:
        return Used(*(a + b for a, b in zip(astuple(self), astuple(more), strict=True)))


class Reason(str):
    """Why nothing more is handed out, as the user reads it; `kind` is the same for programs."""

    kind: str

    def __new__(cls, kind: str, text: str) -> Reason:
        made = super().__new__(cls, text)
        made.kind = kind
        return made


class Account(Protocol):
    """Where attempts are counted, and which says whether one more may begin."""

    def add(self, used: Used) -> None: ...

    def repeat(self) -> str | None:
        """Why the task that has just been attempted may not be attempted again now; None: it may."""


class OwnAccount:
    """The account of a run, in the process that hands out its tasks. Several threads may use it.

    `checkpoint` says why a person should look first, given how many tasks are being worked on; for one thread only.
    """

    def __init__(self, settings: Settings, began: datetime) -> None:
        self.used = Used()
        self.checkpoint: Callable[[int], str | None] = lambda _more: None
        self._settings = settings
        self._began = began
        self._lock = Lock()
        self._handed_out = 0
        self.occupied: Callable[[int], bool] = lambda _: False
        """Whether that many tasks may spend all the money that is left."""

    def add(self, used: Used) -> None:
        with self._lock:
            self.used += used

    def hand_out(self, change: int) -> None:
        """`change` more tasks are being worked on: each may use one session more than what is counted."""
        with self._lock:
            self._handed_out += change

    def exhausted(self) -> Reason | None:
        """Why no further task may be handed out, now or later; None while there is no reason."""
        limit = reached(self._settings, self.used, self._began)
        if limit is None and (checkpoint := self.checkpoint(0)) is not None:
            return Reason("review", checkpoint)
        return limit

    def full(self) -> bool:
        """Whether the tasks that are handed out may use up all that is left: then the next one has to wait for them."""
        with self._lock:
            handed_out = self._handed_out
            expected = self.used + Used(sessions=handed_out, landed=handed_out)
        if reached(self._settings, expected, self._began) is not None or self.occupied(handed_out):
            return True
        return self.checkpoint(handed_out) is not None

    def repeat(self) -> str | None:
        with self._lock:
            others = Used(sessions=max(self._handed_out - 1, 0))
            if reached(self._settings, self.used + others, self._began) is None:
                return None
            return reached(self._settings, self.used, self._began) or "other tasks may use all that is left"


def now() -> datetime:
    """The local time, as `--agent-until` means it."""
    return datetime.now()


def reached(settings: Settings, used: Used, began: datetime) -> Reason | None:
    """Why no further task may be handed out in the run that `began` then; None while there is no reason."""
    budget = settings.budget
    if budget.usd is not None and used.spent > budget.usd - LEAST:
        return Reason("budget", f"the budget of {budget.usd:.2f} USD is spent ({used.spent:.2f} USD)")
    if budget.sessions is not None and used.sessions >= budget.sessions:
        more = "s" * (used.sessions > 1)
        return Reason("budget", f"{used.sessions} session{more} used, as many as this run may")
    if settings.until is not None and past(settings.until, began, now()):
        return Reason("time", f"it is past {settings.until}")
    return None


def past(clock: str, began: datetime, moment: datetime) -> bool:
    """Whether the first `clock` (HH:MM) after `began` is not after `moment`."""
    return moment >= _next(clock, began)


def end(settings: Settings, began: datetime) -> float | None:
    """When nothing more is begun in the run that `began` then, in epoch seconds; None: whenever."""
    return None if settings.until is None else _next(settings.until, began).timestamp()


def _next(clock: str, began: datetime) -> datetime:
    hour, minute = map(int, clock.split(":"))
    end = began.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return end if end > began else end + timedelta(days=1)
