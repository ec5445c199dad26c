"""What is known of one attempt, and where it is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .agents.contract import AgentResult
from .gates import Verdict
from .journal import AttemptEnded
from .outcome import Outcome
from .report.printable import one_line
from .report.transcript import write_transcript
from .run import Run
from .settings.durations import format_duration
from .tasks.task import Task


@dataclass
class Attempt:
    """What is known of one attempt so far; `outcome` is set when it is over. Times in seconds, money in USD.

    `guarded`: what the canary said of its scope (yes, no, n/a, unknown), None where it was not asked.
    """

    task: Task
    number: int
    seconds: float = 0.0
    outcome: Outcome | None = None
    agent: AgentResult | None = None
    notes: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    tree: str | None = None
    dropped: tuple[str, ...] = ()
    guarded: str | None = None

    @property
    def stem(self) -> str:
        return f"attempt-{self.number}"


def logs_of(run: Run, task: Task) -> Path:
    """The task's log folder, made where it is not there."""
    folder = run.queue.logs / task.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def earlier_failures(run: Run, task: Task) -> list[Outcome]:
    """The outcomes of the attempts that the task has used up already, in earlier runs, as they were written down."""
    history = run.journal.history
    count = history.charged.get(task.name, 0)
    ended = [attempt for attempt in history.ended.get(task.name, ()) if attempt.kind.charged]
    return [_read_back(run, task, attempt) for attempt in ended[len(ended) - count :]]


def _read_back(run: Run, task: Task, ended: AttemptEnded) -> Outcome:
    file = logs_of(run, task) / f"attempt-{ended.attempt}.json"
    try:
        document = msgspec.json.decode(file.read_bytes(), type=_Written)
    except (OSError, msgspec.DecodeError):
        return Outcome(ended.kind, ended.summary)
    return Outcome(
        ended.kind, document.summary, evidence=document.evidence, gate=document.gate, paths=document.paths
    )


class _Written(msgspec.Struct, frozen=True):
    """What a result record says of an outcome."""

    summary: str = ""
    evidence: str = ""
    gate: str | None = None
    paths: tuple[str, ...] = ()


def record(run: Run, this: Attempt, outcome: Outcome) -> None:
    """The attempt's end, in the journal, the event log and its folder."""
    agent = this.agent or AgentResult()
    run.journal.write(
        AttemptEnded(
            task=this.task.name,
            attempt=this.number,
            kind=outcome.kind,
            summary=one_line(outcome.summary),
            seconds=round(this.seconds, 3),
            cost_usd=agent.cost_usd,
            turns=agent.turns,
            session=agent.session,
        )
    )
    run.events.write(
        "attempt-ended", task=this.task.name, attempt=this.number, outcome=outcome.kind.value, summary=outcome.summary,
        took=format_duration(this.seconds), cost_usd=agent.cost_usd, commit=outcome.commit,
    )  # fmt: skip
    folder = logs_of(run, this.task)
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
        "seconds": round(this.seconds, 3),
        "cost_usd": agent.cost_usd,
        "turns": agent.turns,
        "session": agent.session,
        "denials": list(agent.denials),
        "notes": this.notes,
        "dropped": list(this.dropped),
        "guarded": this.guarded,
        "gates": [
            {"name": v.gate, "passed": v.passed, "seconds": v.seconds, "log": v.log} for v in this.verdicts
        ],
    }
    text = msgspec.json.format(msgspec.json.encode(_encodable(document)), indent=2)
    (folder / f"{this.stem}.json").write_bytes(text + b"\n")


def _encodable(value: object) -> object:
    """Text with lone surrogates cannot be encoded: show them as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
