"""What is known of one attempt, and where it is written down."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from .agents.contract import AgentResult
from .journal_records import AttemptEnded
from .outcome import Kind, Outcome
from .report.printable import encodable, one_line, tail
from .report.transcript import write_transcript
from .run import Run
from .settings.durations import format_duration
from .tasks.task import Task
from .verdicts import Verdict

LONGEST_SAID = 4096
"""Bytes that are kept of what a session said at its end, beside its transcript."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What one session has cost in USD: None where nobody knows; `estimated` where the agent did not live to tell."""

    usd: float | None
    estimated: bool = False


@dataclass
class Attempt:
    """What is known of one attempt so far; `outcome` is set when it is over. Times in seconds, money in USD.

    `begun`: its session has, or had in an earlier part of it. `waited`: seconds for services and for room on the disk, no part
    of `seconds`.

    `denials` counts the edits and commands that its session was refused while it went on.
    `guarded`: what the canary said of its scope (yes, no, n/a, unknown), None where it was not asked.
    """

    task: Task
    number: int
    seconds: float = 0.0
    waited: float = 0.0
    outcome: Outcome | None = None
    begun: bool = False
    agent: AgentResult | None = None
    notes: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    tree: str | None = None
    dropped: tuple[str, ...] = ()
    denials: int = 0
    guarded: str | None = None
    reviews: list[AgentResult] = field(default_factory=list)
    """The sessions of its review gates, in order."""
    bills: list[Bill] = field(default_factory=list)
    """Of all its sessions, in order, also of those that were cut short."""
    finished_by: str = ""
    """The person who has finished it by hand, as `Name <mail>`; "" for a session's."""
    difference: Future[Any] | None = None
    """What writes its `.diff`, while the attempt goes on."""

    @property
    def cost_usd(self) -> float | None:
        """Of the agent's session and of all reviews; None: of none is known."""
        known = [bill.usd for bill in self.bills if bill.usd is not None]
        return sum(known) if known else None

    @property
    def turns(self) -> int | None:
        """Of the agent's session and of all reviews; None: of none is known."""
        known = [held.turns for held in self._sessions if held.turns is not None]
        return sum(known) if known else None

    @property
    def _sessions(self) -> list[AgentResult]:
        return [*([self.agent] if self.agent is not None else []), *self.reviews]

    def add_wait(self, seconds: float) -> None:
        """Time in which nothing could be done, and which is counted as such."""
        self.seconds -= seconds
        self.waited += seconds

    @property
    def stem(self) -> str:
        return f"attempt-{self.number}"

    @property
    def flaky(self) -> tuple[str, ...]:
        """The names of its gates that were red at first and green when run again."""
        return tuple(verdict.gate for verdict in self.verdicts if verdict.flaky and not verdict.cached)

    def note_gates(self) -> None:
        """Add what the gates had to say of their tests to the attempt's notes."""
        said = [note for verdict in self.verdicts if not verdict.cached for note in verdict.notes]
        self.notes += [note for note in said if note not in self.notes]


def logs_of(run: Run, task: Task) -> Path:
    """The task's log folder, made where it is not there."""
    folder = run.queue.logs / task.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def earlier_failures(run: Run, task: Task) -> list[Outcome]:
    """The outcomes of the attempts that the task has used up already, in earlier runs, as they were written down."""
    history = run.journal.history
    count = history.charged.get(task.name, 0)
    ended = [attempt for attempt in history.ended.get(task.name, ()) if attempt.charged]
    return [_read_back(run, task, attempt) for attempt in ended[len(ended) - count :]]


def failure_before_requeue(run: Run, task: Task) -> list[Outcome]:
    """The last charged outcome from before the task was given up and queued again; none where it has landed since."""
    for ended in reversed(run.journal.history.ended.get(task.name, ())):
        if ended.kind is Kind.LANDED:
            break
        if ended.charged:
            return [_read_back(run, task, ended)]
    return []


def failed_together(run: Run, task: Task) -> list[Outcome]:
    """The last outcome, uncharged, of a result that passed alone and failed with what had landed meanwhile; none where
    the task has been charged with something since."""
    for ended in reversed(run.journal.history.ended.get(task.name, ())):
        if ended.charged or ended.kind is Kind.LANDED:
            break
        if ended.together:
            return [_read_back(run, task, ended)]
    return []


def _read_back(run: Run, task: Task, ended: AttemptEnded) -> Outcome:
    document = _written_before(logs_of(run, task) / f"attempt-{ended.attempt}.json")
    return Outcome(
        ended.kind,
        document.summary or ended.summary,
        evidence=document.evidence,
        gate=document.gate,
        paths=document.paths,
        together=ended.together,
    )


def _written_before(file: Path) -> _Written:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Written)
    except (OSError, msgspec.DecodeError):
        return _Written()


class _Written(msgspec.Struct, frozen=True):
    """What a result record says of an attempt, as far as it is read back."""

    summary: str = ""
    evidence: str = ""
    gate: str | None = None
    paths: tuple[str, ...] = ()
    denials: tuple[str, ...] = ()
    denied: int = 0
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    reviews: tuple[dict[str, Any], ...] = ()


def earlier_parts(run: Run, this: Attempt) -> list[AttemptEnded]:
    """The ends that this very attempt has had: its verified result was kept, and is resumed now."""
    ended = run.journal.history.ended.get(this.task.name, ())
    return [part for part in ended if part.attempt == this.number]


def total_cost(run: Run, this: Attempt) -> float | None:
    """USD of the attempt with its earlier parts; None: of none is known."""
    costs = [*(part.cost_usd for part in earlier_parts(run, this)), this.cost_usd]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def session_id(run: Run, this: Attempt) -> str | None:
    """The agent's session, also where this part of the attempt held none."""
    if this.agent is not None:
        return this.agent.session
    return next((part.session for part in earlier_parts(run, this) if part.session), None)


def record(run: Run, this: Attempt, outcome: Outcome) -> None:
    """The attempt's end, in the journal, the event log and its folder."""
    if this.difference is not None:
        this.difference.result()
    agent = this.agent or AgentResult()
    cost, session = total_cost(run, this), session_id(run, this)
    earlier = earlier_parts(run, this)
    folder = logs_of(run, this.task)
    before = _written_before(folder / f"{this.stem}.json") if earlier else _Written()
    run.journal.write(
        AttemptEnded(
            task=this.task.name,
            attempt=this.number,
            kind=outcome.kind,
            summary=one_line(outcome.summary),
            seconds=round(this.seconds, 3),
            cost_usd=this.cost_usd,
            turns=this.turns,
            session=agent.session,
            flaky=this.flaky,
            together=outcome.together,
            by_hand=bool(this.finished_by),
        )
    )
    run.events.write(
        "attempt-ended", task=this.task.name, attempt=this.number, outcome=outcome.kind.value, summary=outcome.summary,
        took=format_duration(this.seconds), cost_usd=this.cost_usd, commit=outcome.commit,
    )  # fmt: skip
    stream = folder / f"{this.stem}.jsonl"
    if stream.exists():
        write_transcript(
            stream, folder / f"{this.stem}.transcript.md", f"{this.task.name}, attempt {this.number}"
        )
    document = {
        "task": this.task.name,
        "attempt": this.number,
        "outcome": outcome.kind.value,
        "summary": outcome.summary,
        "evidence": outcome.evidence,
        "paths": list(outcome.paths),
        "gate": outcome.gate,
        "commit": outcome.commit,
        "seconds": round(this.seconds + sum(part.seconds for part in earlier), 3),
        "cost_usd": cost,
        "turns": sum(filter(None, [this.turns, *(part.turns for part in earlier)])) or None,
        "session": session,
        "denials": [*before.denials, *agent.denials],
        "denied": before.denied + this.denials,
        "notes": [*before.notes, *this.notes],
        "dropped": [*before.dropped, *this.dropped],
        "guarded": this.guarded,
        "finished_by": this.finished_by or None,
        "said": tail(agent.final_text.encode("utf-8", "replace"), LONGEST_SAID),
        "reviews": [
            *before.reviews,
            *(
                {
                    "session": held.session,
                    "model": held.model,
                    "cost_usd": held.cost_usd,
                    "turns": held.turns,
                    "answer": (held.details or {}).get("answer"),
                    "denials": list(held.denials),
                }
                for held in this.reviews
            ),
        ],
        "gates": [
            {
                "name": v.gate,
                "passed": v.passed,
                "seconds": v.seconds,
                "log": v.log,
                "tests": v.tests,
                "flaky": v.flaky,
            }
            for v in this.verdicts
        ],
    }
    text = msgspec.json.format(msgspec.json.encode(_encodable(document)), indent=2)
    (folder / f"{this.stem}.json").write_bytes(text + b"\n")


def _encodable(value: object) -> object:
    """Text with lone surrogates cannot be encoded: show them as escapes."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
