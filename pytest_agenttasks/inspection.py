"""The scope verdict over what a session left, before anything that it wrote is executed."""

from __future__ import annotations

from .attempt_record import Attempt, logs_of
from .base import Base
from .memory.agent_changes import AgentMemory, agent_changes
from .outcome import Ended, Kind, Outcome
from .run import Run
from .tasks.scope import Verdict, judge
from .trees.changes import SYMLINK_MODE, Change
from .trees.objects import blob
from .trees.shadow import diff
from .trees.survey import leaves
from .trees.workspace import Snapshot


def inspect(run: Run, this: Attempt, base: Base, shot: Snapshot) -> tuple[Verdict, AgentMemory | None]:
    """What may land, and what goes into the memory file. Raises Ended for any violation, and for no change at all."""
    task = this.task
    changes = diff(run.shadow, base.tree, shot.tree)
    verdict = judge(task.scope, task.front.allow_tests, base.rules, changes)
    this.dropped = tuple(change.name for change in verdict.dropped)
    refused = [(v.change.name, f"{v.change.verb}: {v.reason}") for v in verdict.violations]
    refused += [(oddity.name, oddity.reason) for oddity in shot.oddities]
    refused += [
        (change.name, "symbolic link that leaves the repository")
        for change in verdict.allowed
        if change.new_mode == SYMLINK_MODE and leaves(change.path, blob(run.shadow, change.new_object))
    ]
    memory = None
    if verdict.memory is not None:
        memory, reasons = _judge_memory(run, base, verdict.memory)
        refused += [(verdict.memory.name, reason) for reason in reasons]
    objections = [str(reason) for reason in run.extensions.check_changes(task, verdict.allowed)]
    if objections and not refused:
        raise Ended(
            Outcome(
                Kind.SCOPE,
                f"refused by a plugin: {objections[0]}",
                evidence="\n".join(objections),
                advice="see what the project's `pytest_agenttasks_check_changes` asks for",
            )
        )
    if refused:
        first = ", ".join(name for name, _ in refused[:3]) + (
            f" and {len(refused) - 3} more" if len(refused) > 3 else ""
        )
        raise Ended(
            Outcome(
                Kind.SCOPE,
                f"{len(refused)} change{'s' * (len(refused) > 1)} out of scope: {first}",
                evidence="\n".join(f"{name}: {reason}" for name, reason in refused[:200]),
                paths=tuple(name for name, _ in refused),
                log=str(logs_of(run, task) / f"{this.stem}.diff"),
            )
        )
    if not verdict.allowed and not task.front.allow_no_change:
        raise Ended(Outcome(Kind.AGENT, "no change: the session ended without changing a file in scope"))
    return verdict, memory


def _judge_memory(run: Run, base: Base, change: Change) -> tuple[AgentMemory | None, tuple[str, ...]]:
    if base.memory is None or change.added:
        return None, ("added: not in Files in Scope",)
    if change.deleted or change.new_mode != change.old_mode:
        return None, (f"{change.verb}: only additions to it are allowed",)
    try:
        text = blob(run.shadow, change.new_object).decode("utf-8")
    except UnicodeDecodeError:
        return None, ("modified: no longer UTF-8",)
    judged = agent_changes(base.memory, text)
    return judged, judged.violations
