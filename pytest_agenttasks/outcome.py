"""The typed outcomes of an attempt, and what each one means for the task."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """One class of outcome; the value is what users see in tables and JUnit."""

    LANDED = "landed"

    BLOCKED = "blocked"
    HELD = "held"

    REFUSED = "refused"
    SCOPE = "scope"
    GATE = "gate"
    ACCEPT = "accept"
    AGENT = "agent"

    USAGE_LIMIT = "usage-limit"
    OVERLOADED = "overloaded"
    AUTH = "auth"
    NETWORK = "network"
    BASE_RED = "base-red"
    REVIEW = "review"
    MOVED = "moved"
    CHECKOUT = "checkout"
    DISK = "disk"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"

    @property
    def charged(self) -> bool:
        """Whether an attempt that ended so uses up one of the task's attempts."""
        return self in _CHARGED

    @property
    def skipped(self) -> bool:
        """Whether the task was not attempted for a reason outside itself."""
        return self in (Kind.BLOCKED, Kind.HELD)


_CHARGED = frozenset({Kind.SCOPE, Kind.GATE, Kind.ACCEPT, Kind.AGENT})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended.

    `summary` is one line without a trailing full stop; `evidence` is what a person or the next session
    needs to see (a tail of at most 16 KB); `advice` says what to do next. All three may hold text that an
    agent wrote: pass them through `printable` before they reach a terminal or a report.
    `resumes_at` is epoch seconds, for outcomes that state when the service is back. `stays`: not to be tried
    again in this run. `together`: it passes alone, and fails with what has landed meanwhile.
    """

    kind: Kind
    summary: str
    evidence: str = ""
    advice: str = ""
    gate: str | None = None
    paths: tuple[str, ...] = ()
    log: str | None = None
    commit: str | None = None
    resumes_at: float | None = None
    stays: bool = False
    together: bool = False

    @property
    def landed(self) -> bool:
        return self.kind is Kind.LANDED


class Ended(Exception):
    """Ends the attempt at any step, with its typed outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"{outcome.kind}: {outcome.summary}")
        self.outcome = outcome


class SetupError(Exception):
    """The run cannot start; the message says what is wrong, where, and the command that mends it."""
