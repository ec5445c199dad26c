"""The review gate: a fresh, read-only session gets the task and the change, and must approve.

It is held last, when every gate that is a shell line and every `accept:` command is green. What it says is
taken from its checked answer alone, never from its words; what it does to its folder has no effect on anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from . import pause, spending
from .attempt_record import Attempt
from .memory.agent_changes import AgentMemory
from .outcome import Ended, Kind, Outcome
from .review_answer import NoAnswer, read_answer, to_verdict
from .review_prompt import build_review_prompt
from .review_session import Held, hold, reviewer
from .run import Run
from .settings.records import GateSettings, Settings
from .state_file import load, save
from .tasks.task import Task
from .trees.changes import Change
from .trees.composition import compose, readable_patch
from .verdicts import Verdict

TRIES = 2
"""Sessions that one verdict may take: the second where the first gives no valid answer."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What is reviewed: `tree` is what would land on the tree `before`, `changes` what the session changed in it."""

    tree: str
    before: str
    changes: Sequence[Change]
    memory: AgentMemory | None


def reviews(gates: Sequence[GateSettings]) -> list[GateSettings]:
    """Those that are reviews."""
    return [gate for gate in gates if gate.agent]


def check(run: Run, this: Attempt, asked: Sequence[GateSettings], submission: Submission) -> None:
    """Have each gate of `asked` review the change; the verdicts and sessions are added to `this`.

    Raises Ended: GATE for a refusal, REVIEW where a gate gives no valid answer, USAGE_LIMIT, OVERLOADED, NETWORK or
    AUTH where the service is not there. An approval of the same change to the same task is not asked for again.
    """
    for gate in asked:
        file = run.repository.home / "reviews" / f"{_key(run.settings, gate, this.task, submission)}.json"
        known = load(file, Verdict)
        verdict = (
            msgspec.structs.replace(known, cached=True) if known else _review(run, this, gate, submission)
        )
        this.verdicts.append(verdict)
        if not verdict.passed:
            raise Ended(_refusal(verdict))
        save(file, verdict)


def _review(run: Run, this: Attempt, gate: GateSettings, submission: Submission) -> Verdict:
    """The verdict of one gate. Raises Ended where there is none."""
    for _ in range(TRIES):
        held = _hold(run, this, gate, submission)
        failure = held.result.failure
        try:
            answer = read_answer(held.result, held.touched)
        except NoAnswer as none:
            why, evidence = str(none), failure.evidence if failure is not None else held.result.final_text
            run.events.write("review-without-answer", task=this.task.name, gate=gate.name, why=why)
        else:
            return to_verdict(gate.name, submission.tree, answer, held.seconds, str(held.stream))
    raise Ended(
        Outcome(
            Kind.REVIEW,
            f"review `{gate.name}` gave no valid answer, {TRIES} times; the last: {why}",
            evidence=evidence,
            gate=gate.name,
            log=str(held.stream),
        )
    )


def _hold(run: Run, this: Attempt, gate: GateSettings, submission: Submission) -> Held:
    """A session, after a pause of its own account. Raises Ended where the service is out."""
    name, agent = this.task.name, reviewer(run.settings, gate)
    this.add_wait(pause.wait(run, name, agent) + spending.wait(run, this.task))
    with pause.session_begins(run, name, agent) as now:
        held = hold(now, this, gate, submission.tree, _prompt(run, this, gate, submission))
        failure = held.result.failure
        if failure is not None and failure.kind is not Kind.AGENT:
            pause.announce(run, name, failure, agent)
            summary = f"review `{gate.name}`: {failure.summary}"
            raise Ended(replace(failure, summary=summary, gate=gate.name, log=str(held.stream)))
    return held


def _prompt(run: Run, this: Attempt, gate: GateSettings, submission: Submission) -> str:
    after = compose(run.shadow, submission.before, submission.changes)  # without the task file's move
    return build_review_prompt(
        this.task,
        changes=submission.changes,
        patch=readable_patch(run.shadow, submission.before, after),
        memory=submission.memory,
        verdicts=this.verdicts,
        instructions=gate.instructions,
    )


def _refusal(verdict: Verdict) -> Outcome:
    summary = f"gate `{verdict.gate}`: {verdict.reason}"
    return Outcome(Kind.GATE, summary, evidence=verdict.evidence, gate=verdict.gate, log=verdict.log)


def _key(settings: Settings, gate: GateSettings, task: Task, submission: Submission) -> str:
    """What an approval depends on: who reviews and how, the task's text, the change. Not the tree around it, which
    the landings of other tasks alter; nor the tree alone, which says nothing of what was asked for."""
    parts = (gate, reviewer(settings, gate), task.data, tuple(submission.changes), submission.memory)
    whole = hashlib.sha256()
    for part in parts:
        data = repr(part).encode("utf-8", "backslashreplace")
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()
