"""A review step by step: each result in turn, with what to do about it. Knows neither git nor a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..outcome import SetupError
from ..report.printable import one_line
from .facts import Facts
from .risk import ranked


@dataclass(frozen=True, slots=True)
class Step:
    """One result to be decided on. `commit` is what it landed as, None: it has not (it failed, or is held)."""

    task: str
    headline: str
    commit: str | None = None
    held: bool = False


class Actions(Protocol):
    """What the answers do, at once; each returns lines to be shown. Raises SetupError with nothing done."""

    def reject(self, step: Step, why: str) -> str: ...
    def requeue(self, step: Step, note: str) -> str: ...
    def look(self, step: Step) -> str: ...
    def open(self, step: Step) -> str: ...


@dataclass
class Decided:
    """The approvals are written down by whoever called, all at once; the rest is done."""

    approved: list[Step] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def steps_of(facts: Facts) -> list[Step]:
    """What landed, riskiest first, then what failed, then what is held."""
    landed = [
        Step(task.task, f"landed as {task.commit[:9]}: {', '.join(risk.reasons)} | {task.title}", task.commit)
        for task, risk in ranked(facts.landed)
    ]
    failed = [Step(failed.task, f"failed ({failed.kind}): {failed.summary}") for failed in facts.failed]
    held = [Step(name, "held: what it landed as was reverted by hand", held=True) for name in facts.held]
    return [*landed, *failed, *held]


def walk(
    steps: Sequence[Step],
    ask: Callable[[str], str | None],
    say: Callable[[str], None],
    act: Actions,
    decided: Decided,
) -> None:
    """Go through `steps`. `ask` returns a line, None at the end of input, which quits. `decided` is filled as it goes on."""
    for number, step in enumerate(steps, 1):
        say(f"\n[{number}/{len(steps)}] {one_line(step.task)}  {one_line(step.headline, 400)}")
        if not _decide(step, ask, say, act, decided):
            decided.skipped += [left.task for left in steps[number - 1 :]]
            return


def _decide(
    step: Step, ask: Callable[[str], str | None], say: Callable[[str], None], act: Actions, decided: Decided
) -> bool:
    """One step, until something is decided; False: no more of them."""
    back = "reject" if step.commit else "requeue"
    offered = [*(["approve"] if not step.held else []), back, "diff", "open", "skip", "quit"]
    question = f"{', '.join(f'[{word[0]}]{word[1:]}' for word in offered)} > "
    while True:
        line = ask(question)
        answer = (line or "").strip().lower()
        word = next((word for word in offered if answer and word.startswith(answer)), None)
        try:
            match "quit" if line is None else word:
                case "quit":
                    return False
                case "skip":
                    decided.skipped.append(step.task)
                    return True
                case "approve":
                    decided.approved.append(step)
                    return True
                case "reject" | "requeue":
                    if _put_back(step, ask, say, act):
                        return True
                case "diff":
                    say(act.look(step))
                case "open":
                    say(act.open(step))
                case _:
                    say(f"type the first letter of one of: {', '.join(offered)}")
        except SetupError as error:
            say(f"not done: {error}")


def _put_back(step: Step, ask: Callable[[str], str | None], say: Callable[[str], None], act: Actions) -> bool:
    why = (ask("why, for the next session (nothing: leave it as it is) > ") or "").strip()
    if not why:
        say("left as it is")
        return False
    say(act.reject(step, why) if step.commit else act.requeue(step, why))
    return True
