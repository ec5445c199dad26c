"""What sessions may still cost: pure arithmetic over limits, what was spent, and what sessions that go on may still spend.

Money in USD. A limit in money is kept by giving each session a cap; what sessions of several workers may spend at the same
time never comes to more than what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 0.0001
"""USD: less than this is nothing."""


@dataclass(frozen=True, slots=True)
class Spending:
    """`sessions` counts all, those of them too that go on (`running`) or whose cost nobody knows (`unknown`); `usd` is what
    is known, `estimated` how many sessions of that were not told by the agent; `reserved`: what running ones may cost."""

    sessions: int = 0
    usd: float = 0.0
    unknown: int = 0
    estimated: int = 0
    running: int = 0
    reserved: float = 0.0

    def __add__(self, more: Spending) -> Spending:
        return Spending(
            self.sessions + more.sessions, self.usd + more.usd, self.unknown + more.unknown,
            self.estimated + more.estimated, self.running + more.running, self.reserved + more.reserved,
        )  # fmt: skip

    @property
    def typical(self) -> float:
        """What a session costs on average; 0 where none is known."""
        known = self.sessions - self.unknown - self.running
        return self.usd / known if known else 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit, and what counts against it. `name` is how it is called: of the task, of this run, of today."""

    name: str
    spent: Spending
    usd: float | None = None
    sessions: int | None = None

    @property
    def left_usd(self) -> float | None:
        """None without a limit."""
        return None if self.usd is None else max(self.usd - self.spent.usd, 0.0)

    @property
    def left_sessions(self) -> int | None:
        return None if self.sessions is None else max(self.sessions - self.spent.sessions, 0)

    @property
    def used_up(self) -> str | None:
        """Why nothing is left of it; None while something is. What goes on may still leave something, or not."""
        if self.left_sessions == 0:
            return f"all {self.sessions} session{'s' * (self.sessions != 1)} {self.name} are used"
        if self.usd is not None and self.usd - self.spent.usd < LEAST:
            return f"the budget {self.name}, {self.usd:.2f} USD, is spent ({self.spent.usd:.2f} USD)"
        return None


@dataclass(frozen=True, slots=True)
class Cap:
    """A session may begin, and cost `usd` at most (None: no limit). `budget` is the one that caps it; None: its own limit."""

    usd: float | None
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class Occupied:
    """Sessions that go on may use all that is left of this budget; the next has to wait for their end."""

    budget: Budget


@dataclass(frozen=True, slots=True)
class UsedUp:
    """Nothing is left of this budget."""

    budget: Budget


def allowance(
    own: float | None, budgets: Sequence[Budget], *, workers: int = 1, typical: float = 0.0
) -> Cap | Occupied | UsedUp:
    """What one more session may cost, `own` being its own limit.

    Workers share what is left of a budget evenly, so that they can work at the same time. Where a share is less than a
    `typical` session, fewer go on at a time: that none is cut short is worth more than that all of them begin.
    """
    for budget in budgets:
        if budget.used_up is not None:
            return UsedUp(budget)
    cap = Cap(own)
    for budget in budgets:
        if budget.usd is None:
            continue
        free = budget.usd - budget.spent.usd - budget.spent.reserved
        share = free / max(workers - budget.spent.running, 1)
        if share < typical:
            share = min(free, typical)
        if budget.spent.running and share < max(min(typical, own or typical), LEAST):
            return Occupied(budget)
        if cap.usd is None or share < cap.usd:
            cap = Cap(share, budget)
    return cap
