"""What follows an outcome: another attempt, a wait, the end of the task, or the end of the run. Pure decisions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .outcome import Kind, Outcome
from .settings.durations import format_duration
from .trees.attempts import kept

if TYPE_CHECKING:
    from .run import Run
    from .tasks.task import Task

LONGEST_DELAY = 900.0
"""Seconds: the cap of the doubling delay before a retry, and between looks at a service that is out."""
RESET_MARGIN = 5.0
FREE_RETRIES = 5
"""How often in a row a task may be tried again without being charged, where no waiting is involved."""
DISK_RETRIES = 2
"""How often in a row after the disk ran full: it may be the task itself that fills it."""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `delay` seconds; `why` is shown while waiting."""

    delay: float
    why: str


@dataclass(frozen=True, slots=True)
class Final:
    """The task is over; `give_up`: it goes to the failed folder, else it stays pending."""

    give_up: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """The run ends here with the task still pending; `why` says what to do."""

    why: str


Decision = Again | Final | Stop


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts for the decision: attempts used up (this one included), the cap, uncharged ends in a row, seconds
    waited for services so far; `lived`: whether some session of this run was more than refused."""

    charged: int
    max_attempts: int
    free: int
    waited: float
    lived: bool = False


def decide(
    outcome: Outcome,
    standing: Standing,
    *,
    retry_delay: float,
    wait: float | None,
    until: float | None = None,
    now: float | None = None,
) -> Decision:
    """What to do after `outcome`. `wait` is the most seconds to wait for services, None without a limit; nothing is begun
    after `until` (epoch seconds)."""
    now = time.time() if now is None else now
    decision = _decide(outcome, standing, retry_delay, wait, now)
    if isinstance(decision, Again) and until is not None and now + decision.delay > until:
        clock = time.strftime("%H:%M", time.localtime(until))
        return Stop(f"{decision.why}: nothing is begun after {clock}")
    return decision


def _decide(
    outcome: Outcome, standing: Standing, retry_delay: float, wait: float | None, now: float
) -> Decision:
    match outcome.kind:
        case Kind.LANDED | Kind.BLOCKED | Kind.HELD:
            return Final(give_up=False)
        case Kind.REFUSED:
            return Final(give_up=True)
        case Kind.INTERRUPTED if outcome.stays:
            return Stop(outcome.summary)
        case Kind.SCOPE | Kind.GATE | Kind.ACCEPT | Kind.AGENT:
            if outcome.stays or standing.charged >= standing.max_attempts:
                return Final(give_up=True)
            return Again(doubled(retry_delay, standing.charged - 1), "pause before the next attempt")
        case Kind.USAGE_LIMIT | Kind.OVERLOADED | Kind.NETWORK:
            return _wait(outcome, standing, retry_delay, wait, now)
        case Kind.MOVED:
            if outcome.stays or standing.free >= FREE_RETRIES:
                return Final(give_up=False)
            return Again(0.0, "the branch moved")
        case Kind.CHECKOUT | Kind.INTERRUPTED | Kind.REVIEW:
            return Final(give_up=False)
        case Kind.AUTH if standing.lived and not outcome.stays:
            return _wait(outcome, standing, retry_delay, wait, now)
        case Kind.DISK if standing.free < DISK_RETRIES:
            return _wait(outcome, standing, retry_delay, wait, now)
        case Kind.AUTH | Kind.BASE_RED | Kind.DISK | Kind.INTERNAL:
            return Stop(outcome.summary)


def _wait(
    outcome: Outcome, standing: Standing, retry_delay: float, wait: float | None, now: float
) -> Decision:
    if outcome.resumes_at is not None:
        delay = max(0.0, outcome.resumes_at - now) + RESET_MARGIN
    else:
        delay = doubled(max(retry_delay, 1.0), standing.free)
    if wait is not None and standing.waited + delay > wait:
        return Stop(
            f"{outcome.summary}; waiting {format_duration(delay)} more would exceed --agent-wait {format_duration(wait)}: "
            "start again later, nothing is lost"
        )
    return Again(delay, outcome.summary)


def doubled(first: float, times: int) -> float:
    return min(first * float(2 ** min(max(times, 0), 30)), max(LONGEST_DELAY, first))


def last_files(run: Run, task: Task) -> tuple[str, str] | None:
    """Base commit and stored tree of the task's last attempt, None when there is none."""
    number = run.journal.history.attempts.get(task.name, 0)
    started = run.journal.history.starts.get(task.name)
    tree = kept(run.shadow, f"refs/attempts/{task.name}/{number}") if number else None
    if tree is None or started is None:
        return None
    return started.base, tree
