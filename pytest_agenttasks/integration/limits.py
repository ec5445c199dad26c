"""When a run hands out no more tasks. Looked at between two sessions; what runs is never cut short."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..settings.records import Settings


@dataclass
class Used:
    """What a run has used up so far; money in USD."""

    sessions: int = 0
    landed: int = 0
    spent: float = 0.0


def now() -> datetime:
    """The local time, as `--agent-until` means it."""
    return datetime.now()


def reached(settings: Settings, used: Used, began: datetime) -> str | None:
    """Why no further task may be handed out in the run that `began` then; None while there is no reason."""
    budget, every = settings.budget, settings.review.every_tasks
    if budget.usd is not None and used.spent >= budget.usd:
        return f"the budget of {budget.usd:.2f} USD is spent ({used.spent:.2f} USD)"
    if budget.sessions is not None and used.sessions >= budget.sessions:
        return f"{used.sessions} session{'s' * (used.sessions > 1)} used, as many as this run may"
    if every is not None and used.landed >= every:
        return f"{used.landed} tasks have landed: time for a review (`git log`, then start again)"
    if settings.until is not None and past(settings.until, began, now()):
        return f"it is past {settings.until}"
    return None


def past(clock: str, began: datetime, moment: datetime) -> bool:
    """Whether the first `clock` (HH:MM) after `began` is not after `moment`."""
    hour, minute = map(int, clock.split(":"))
    end = began.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if end <= began:
        end += timedelta(days=1)
    return moment >= end
