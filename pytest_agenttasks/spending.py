"""What a session may cost is known before it begins, and what it has cost is written down the moment it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from . import owner
from .agents.claude_cost import cost_of_stream
from .agents.contract import AgentResult
from .attempt_record import Attempt, Bill, logs_of
from .budget import Budget, Cap, Occupied, Spending, UsedUp, allowance
from .held_signals import uninterrupted
from .history import History
from .journal_records import SessionEnded, SessionStarted
from .ledger import day, next_day
from .outcome import Ended, Kind, Outcome, SetupError
from .processes.lifeline import TICK
from .run import Run
from .settings.records import BudgetSettings
from .tasks.task import Task
from .turn import shown

OVER_BUDGET = "error_max_budget_usd"
"""How the claude CLI calls an end for `--max-budget-usd`."""


@dataclass
class Session:
    """One that goes on: `cap` is the most that it may cost. Its holder puts the `result` here."""

    cap: Cap
    result: AgentResult | None = None


def of_today(settings: BudgetSettings, history: History, now: float) -> Budget:
    spent = history.ledger.of_day(day(now))
    return Budget("of today", spent, settings.day_usd, settings.day_sessions)


def budgets(run: Run, task: Task) -> Sequence[Budget]:
    """Those that a session of this task has to keep within. Sessions of a run are counted where tasks are handed out: what
    is in flight may have its review."""
    settings, own, history = run.settings.budget, task.front.budget, run.journal.history
    return (
        Budget(
            f"of {task.name}", history.ledger.of_task(task.name),
            own.usd or settings.task_usd, own.sessions or settings.task_sessions,
        ),
        Budget("of this run", history.ledger.of_run(run.began), settings.usd),
        of_today(settings, history, time.time()),
    )  # fmt: skip


def occupied(run: Run, handed_out: int) -> bool:
    """Whether sessions of the tasks that are handed out may use up all that the run or the day has left. Those whose session
    has not begun, or that may need another, are taken to cost what is usual."""
    settings, now = run.settings.budget, time.time()
    if settings.usd is None and settings.day_usd is None:
        return False
    run.journal.refresh()
    ledger = run.journal.history.ledger
    of_run, typical = ledger.of_run(run.began), ledger.total.typical
    to_come = max(handed_out - of_run.running, 0)
    expected = Spending(running=to_come, reserved=to_come * typical)
    shared = (
        Budget("of this run", of_run + expected, settings.usd),
        Budget("of today", ledger.of_day(day(now)) + expected, settings.day_usd),
    )
    return isinstance(allowance(None, shared, workers=run.workers, typical=typical), Occupied)


def wait(run: Run, task: Task) -> float:
    """Return when there is something left for a session, with the seconds that took. Raises Ended where there is not, and
    waiting would not help or is not allowed."""
    began = time.monotonic()
    if _limited(run, task):
        _allowed(run, task, None, began)
    return time.monotonic() - began


@contextmanager
def session(run: Run, this: Attempt, stem: str, own: float | None) -> Iterator[Session]:
    """Around a session, whose stream is `stem`.jsonl: it begins with a cap, and its cost is written down however it ends.

    `own`: its own limit in USD. Raises Ended as `wait` does.
    """
    held = Session(_begin(run, this, stem, own))
    refused = False
    try:
        yield held
    except SetupError:  # nothing has run
        refused = True
        raise
    finally:
        with uninterrupted():
            bill = Bill(0.0) if refused else bill_of(held.result, logs_of(run, this.task) / f"{stem}.jsonl")
            this.bills.append(bill)
            run.journal.write(SessionEnded(of=run.owner, cost_usd=bill.usd, estimated=bill.estimated))


def judged(held: Session, result: AgentResult) -> AgentResult:
    """`result`, its failure not charged where what cut it short was all that the run's or the day's budget had left."""
    failure, budget = result.failure, held.cap.budget
    over = failure is not None and (result.details or {}).get("subtype") == OVER_BUDGET
    if not over or failure is None or budget is None:
        return result
    summary = f"the session used up what was left of the budget {budget.name} ({held.cap.usd:.3g} USD)"
    if budget.name not in _SHARED:
        advice = "split the task, or raise its `budget` (front matter, or `budget.task_usd`)"
        return replace(result, failure=replace(failure, summary=summary, advice=advice))
    advice = "nothing; the task stays pending, what it had done is kept"
    return replace(result, failure=replace(failure, kind=Kind.INTERRUPTED, summary=summary, advice=advice))


def bill_of(result: AgentResult | None, stream: Path) -> Bill:
    """What a session has cost: as its agent told, else as its stream lets one estimate; `usd` None: nobody knows."""
    if result is not None and result.cost_usd is not None:
        return Bill(result.cost_usd)
    found = cost_of_stream(stream)
    return Bill(None) if found is None else Bill(found.usd, estimated=found.estimated)


def settle(run: Run, dead: str) -> Bill | None:
    """Write down what the session has cost that the process `dead` was killed in; None where it was in none."""
    started = run.journal.history.ledger.going_on.get(dead)
    if started is None:
        return None
    bill = bill_of(None, run.queue.logs / started.task / f"{started.stem}.jsonl")
    run.journal.write(SessionEnded(of=dead, cost_usd=bill.usd, estimated=bill.estimated))
    return bill


_SHARED = ("of this run", "of today")


def _begin(run: Run, this: Attempt, stem: str, own: float | None) -> Cap:
    """Write down that a session begins, with its cap; nobody else takes the same money meanwhile."""
    limited = _limited(run, this.task)
    lock = FileLock(run.repository.home / "budget.lock") if limited else nullcontext()
    began = time.monotonic()
    while True:
        cap = _allowed(run, this.task, own, began) if limited else Cap(own)
        with lock:
            if limited:
                run.journal.refresh()
                answer = _ask(run, this.task, own)
                if not isinstance(answer, Cap):
                    continue
                cap = answer
            run.journal.write(
                SessionStarted(
                    task=this.task.name, attempt=this.number, run=run.began, stem=stem, cap_usd=cap.usd
                )
            )
            return cap


def _limited(run: Run, task: Task) -> bool:
    return any(budget.usd or budget.sessions for budget in budgets(run, task))


def _ask(run: Run, task: Task, own: float | None) -> Cap | Occupied | UsedUp:
    typical = run.journal.history.ledger.total.typical
    return allowance(own, budgets(run, task), workers=run.workers, typical=typical)


def _allowed(run: Run, task: Task, own: float | None, began: float) -> Cap:
    """Wait until there is something left. Raises Ended."""
    what, waiting = "", shown(run, task.name, "")
    while True:
        run.journal.refresh()
        match _ask(run, task, own):
            case Cap() as cap:
                return cap
            case Occupied(budget):
                for dead in [of for of in run.journal.history.ledger.going_on if not owner.lives(of)]:
                    settle(run, dead)
                step = f"waiting for what other sessions leave of the budget {budget.name}"
            case UsedUp(budget):
                step = _until_tomorrow(run, budget, began)
        if step != what:
            what, waiting = step, shown(run, task.name, step)
        waiting()
        time.sleep(TICK)


def _until_tomorrow(run: Run, budget: Budget, began: float) -> str:
    """What is waited for. Raises Ended where it is nothing."""
    why = budget.used_up or ""
    if budget.name not in _SHARED:
        advice = "split the task, or raise its `budget` (front matter, or `budget.task_usd`), then `agenttasks requeue` it"
        raise Ended(Outcome(Kind.AGENT, why, advice=advice, stays=True))
    now = time.time()
    end, limit = next_day(now), run.settings.wait
    late = run.until is not None and end > run.until
    if (
        budget.name == "of this run"
        or late
        or (limit is not None and time.monotonic() - began + end - now > limit)
    ):
        advice = "nothing; the task stays pending: start again when there is a budget again"
        raise Ended(Outcome(Kind.INTERRUPTED, why, advice=advice, stays=True))
    return f"waiting until {time.strftime('%Y-%m-%d %H:%M', time.localtime(end))}: {why}"
