"""What was spent, and what is left, for `agenttasks status`: by the last run, and today."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ..budget import Budget
from ..history import History
from ..ledger import next_day
from ..settings.records import BudgetSettings
from ..spending import of_today


def last_run(history: History) -> Budget | None:
    """That of the run that was begun last, with its own limits; None where none was."""
    run = history.run
    if run is None or not run.began:
        return None
    limits = _limits(history)
    return Budget("of this run", history.ledger.of_run(run.began), limits.usd, limits.sessions)


def today(history: History) -> Budget:
    return of_today(_limits(history), history, time.time())


def used_up_today(history: History) -> dict[str, Any] | None:
    """As a pause: nothing begins before tomorrow."""
    if (why := today(history).used_up) is None:
        return None
    return {"kind": "budget", "why": why, "task": None, "until": next_day(time.time())}


def as_data(budget: Budget) -> dict[str, Any]:
    """`unknown` counts sessions of which nobody knows the cost, `estimated` those whose agent did not live to tell it."""
    spent = budget.spent
    return {
        "sessions": spent.sessions, "running": spent.running, "spent_usd": round(spent.usd, 4), "unknown": spent.unknown,
        "estimated": spent.estimated, "left_usd": _rounded(budget.left_usd), "left_sessions": budget.left_sessions,
    }  # fmt: skip


def as_text(data: dict[str, Any]) -> str:
    """What `as_data` holds, in a line."""
    parts = [f"{data['sessions']} session{'s' * (data['sessions'] != 1)}", f"${data['spent_usd']:.2f}"]
    if data["estimated"]:
        parts[-1] += f" ({data['estimated']} estimated)"
    if data["unknown"]:
        parts.append(f"{data['unknown']} of unknown cost")
    if data["left_usd"] is not None:
        parts.append(f"${data['left_usd']:.2f} left")
    if data["left_sessions"] is not None:
        parts.append(f"{data['left_sessions']} session{'s' * (data['left_sessions'] != 1)} left")
    return ", ".join(parts)


def _limits(history: History) -> BudgetSettings:
    """Those of the last run, the command line's among them."""
    try:
        return msgspec.convert(history.run.budget if history.run else {}, BudgetSettings)
    except msgspec.ValidationError:  # of another version
        return BudgetSettings()


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 4)
