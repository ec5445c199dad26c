"""How a program ended, in words; the same for every agent that is one."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum

from ..outcome import Kind, Outcome
from ..processes.supervisor import Finished
from ..report.printable import one_line
from ..settings.durations import format_duration
from .contract import AgentResult


class Stop(StrEnum):
    """Why a session was ended from outside: what `poll` returns, plus the supervisor's own reasons."""

    TIMEOUT = "timeout"
    OUTPUT = "output"
    SILENT = "silent"
    STALLED = "stalled"
    RETRYING = "retrying"
    REPEATING = "repeating"
    TURNS = "turns"
    SETTLED = "settled"


def stopped_outcome(finished: Finished, during: str = "") -> Outcome:
    """The failure of a session that was stopped; `during` says what it was doing, with a leading space."""
    took = format_duration(finished.seconds)
    match finished.stopped:
        case Stop.TIMEOUT:
            summary = f"the session was not done after {took}{during}"
            advice = "split the task, or raise `timeout` (agenttasks.yaml or the task's front matter)"
        case Stop.STALLED:
            summary = f"the session stalled{during}, stopped after {took}"
            advice = "if a command of it takes that long, raise `agent.stall_timeout`"
        case Stop.SILENT:
            summary = f"the agent printed nothing at all in {took}"
            advice = "run the command by hand: it may be waiting for something (a proxy, a key chain, a hook)"
        case Stop.OUTPUT:
            summary = f"the session printed more than its limit{during}"
            advice = "look at the end of its stream for what it repeats"
        case reason:
            summary = f"the session was stopped ({one_line(reason or '')}) after {took}{during}"
            advice = ""
    return Outcome(Kind.AGENT, summary, advice=advice)


def how_it_ended(finished: Finished) -> str:
    """`exit status 3`, or the signal that killed it."""
    if finished.signal is None:
        return f"exit status {finished.exit_code}"
    try:
        return f"killed by {signal.Signals(finished.signal).name}"
    except ValueError:
        return f"killed by signal {finished.signal}"


def last_line(text: str) -> str:
    """The last line that says something."""
    return one_line(next((line for line in reversed(text.splitlines()) if line.strip()), ""))


def survivors_note(finished: Finished) -> Iterator[str]:
    """A note about processes that the session left behind, if any."""
    if finished.survivors:
        names = ", ".join(one_line(name, 40) for name in finished.survivors[:5])
        more = f" and {len(finished.survivors) - 5} more" if len(finished.survivors) > 5 else ""
        yield f"still running when the agent ended, now ended: {names}{more}"


def held_to_limits(result: AgentResult, programs: Sequence[Finished]) -> AgentResult:
    """`result`, saying what the limits on memory and processes have stopped of the session's programs.

    A charged failure names memory as its cause where the program itself was killed for it; else it is a note.
    """
    notes = tuple(dict.fromkeys(f"the agent: {note}" for each in programs for note in each.hit.notes))
    failure = result.failure
    for finished in programs:
        if failure is not None and failure.kind is Kind.AGENT and finished.hit.memory and _killed(finished):
            advice = "raise `limits.memory`, or have the task say how to get along with less"
            failure = replace(failure, summary=f"the agent was killed: {finished.hit.memory}", advice=advice)
    return replace(result, failure=failure, notes=(*result.notes, *notes))


def _killed(finished: Finished) -> bool:
    """Whether the program was killed from outside; a shell says so of its last command by its status."""
    return finished.stopped is None and (
        finished.signal == signal.SIGKILL or finished.exit_code == 128 + signal.SIGKILL
    )
