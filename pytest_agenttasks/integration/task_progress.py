"""What has become of one task in this run, and what the table and JUnit say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..attempt_record import Attempt
from ..outcome import Outcome
from ..report.printable import printable
from ..report.summary import Row
from ..tasks.task import Task


@dataclass
class Progress:
    """`attempts` are those that were begun; `outcomes` may hold more (a refusal, an interruption)."""

    task: Task
    outcomes: list[Outcome] = field(default_factory=list)
    begun: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    charged: list[Outcome] = field(default_factory=list)
    free: int = 0
    waited: float = 0.0

    @property
    def cost_usd(self) -> float | None:
        costs = [this.cost_usd for this in self.attempts if this.cost_usd is not None]
        return sum(costs) if costs else None

    @property
    def guarded(self) -> str | None:
        """What the canary said of the task last; None: not asked, or not known."""
        said = [this.guarded for this in self.attempts if this.guarded not in (None, "unknown")]
        return said[-1] if said else None

    @property
    def flaky(self) -> list[str]:
        """The gates that were red at first and green when run again."""
        return list(dict.fromkeys(gate for this in self.attempts for gate in this.flaky))

    @property
    def row(self) -> Row:
        outcome = self.outcomes[-1]
        return Row(
            self.task.name,
            outcome.kind,
            self.begun,
            sum(this.seconds for this in self.attempts),
            self.cost_usd,
            outcome.commit,
            outcome.summary,
            without_session=sum(this.agent is None for this in self.attempts),
            denials=sum(this.denials for this in self.attempts),
            reviews=sum(len(this.reviews) for this in self.attempts),
            guarded=self.guarded,
            unknown=sum(bill.usd is None for this in self.attempts for bill in this.bills),
        )

    def properties(self, logs: Path) -> list[tuple[str, object]]:
        """The JUnit properties of the contract; `logs` is the task's log folder."""
        found: list[tuple[str, object]] = [
            ("outcome", self.outcomes[-1].kind.value),
            ("attempts", str(self.begun)),
        ]
        for number, outcome in enumerate(self.outcomes, 1):
            found.append((f"attempt.{number}", printable(f"{outcome.kind}: {outcome.summary}")))
        if commit := self.outcomes[-1].commit:
            found.append(("commit", commit))
        if self.flaky:
            found.append(("flaky", ", ".join(self.flaky)))
        if (cost := self.cost_usd) is not None:
            found.append(("cost_usd", f"{cost:.4f}"))
        if self.guarded:
            found.append(("guarded", self.guarded))
        last = next((this for this in reversed(self.attempts) if this.agent is not None), None)
        if last is not None and last.agent is not None:
            if last.turns is not None:
                found.append(("turns", str(last.turns)))
            if last.agent.session:
                found.append(("session", printable(last.agent.session)))
        denials = sum(this.denials for this in self.attempts)
        if denials or (last is not None and last.agent is not None and last.agent.session):
            found.append(("denials", str(denials)))
        for review in (review for this in self.attempts for review in this.reviews if review.session):
            found.append(("review_session", printable(review.session or "")))
        found.append(("log", printable(str(logs))))
        return found
