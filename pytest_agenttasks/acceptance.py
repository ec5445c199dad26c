"""A task's own `accept:` commands: red on the base, before a session is spent; green on the result."""

from __future__ import annotations

from pathlib import Path

from . import gates, verdicts
from .base import Base
from .outcome import Ended, Kind, Outcome
from .run import Run
from .services import not_up
from .settings.records import GateSettings
from .tasks.task import Task
from .verdicts import Verdict


def commands(task: Task) -> list[GateSettings]:
    """The commands as gates named `accept-1`, `accept-2`, …"""
    return [GateSettings(name=f"accept-{n}", run=line) for n, line in enumerate(task.front.accept, 1)]


def refuse_what_holds(run: Run, task: Task, base: Base, logs: Path, stem: str) -> None:
    """Raise Ended (REFUSED) where a command is green on the base, or red only because its program is missing."""
    for command in commands(task):
        verdict = gates.check(
            run, [command], base.tree, base.commit, logs, f"{stem}.before", trust=False, second_chance=False
        )[-1]
        verdicts.note_branch(run, [command], base.tree)
        if verdict.gate in ("setup", "up"):
            raise Ended(
                Outcome(
                    Kind.BASE_RED, verdict.reason, evidence=verdict.evidence, log=verdict.log,
                    gate=verdict.gate,
                )
            )  # fmt: skip
        if verdict.passed:
            why = "holds already, before any change"
            advice = (
                "if the work is done, delete the task; else name a command that the missing work keeps red"
            )
        elif verdict.missing:
            why = f"cannot be run ({verdict.reason})"
            advice = "name a command that a clean checkout can run, or bring its program by `workspace.setup`"
        else:
            continue
        summary = f"its acceptance `{command.run}` {why}; nothing was spent"
        raise Ended(Outcome(Kind.REFUSED, summary, evidence=verdict.evidence, log=verdict.log, advice=advice))


def check(run: Run, task: Task, tree: str, head: str, logs: Path, stem: str, base: str) -> list[Verdict]:
    """Run the commands on the composed tree; what ran on `base` must still. Raises Ended (ACCEPT) for the first red one."""
    given: list[Verdict] = []
    if task.front.accept:
        given = gates.check(run, commands(task), tree, head, logs, stem, base=base, second_chance=False)
    if given and given[-1].gate == "up":
        raise Ended(not_up(given[-1].reason, given[-1].evidence, given[-1].log))
    if given and not given[-1].passed:
        red = given[-1]
        command = next((c.run for c in commands(task) if c.name == red.gate), red.gate)
        raise Ended(
            Outcome(
                Kind.ACCEPT,
                f"acceptance `{command}`: {red.reason}",
                evidence=red.evidence,
                gate=red.gate,
                log=red.log,
            )
        )
    return given
