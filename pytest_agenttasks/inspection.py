"""The scope verdict over what a session left, before anything that it wrote is executed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .attempt_record import Attempt, logs_of
from .base import Base
from .memory.agent_changes import AgentMemory, agent_changes
from .outcome import Ended, Kind, Outcome
from .run import Run
from .tasks.patterns import fold
from .tasks.scope import Verdict, judge
from .trees.changes import SYMLINK_MODE, Change, shown
from .trees.composition import diff
from .trees.objects import TREE_MODE, Entry, blob, read_tree
from .trees.snapshot import Snapshot
from .trees.survey import leaves


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
    refused += _twins(run, shot.tree, verdict.allowed, {entry.pattern for entry in task.scope})
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
        raise Ended(Outcome(Kind.AGENT, "no change: no file in scope is changed"))
    return verdict, memory


def _twins(run: Run, tree: str, allowed: Sequence[Change], named: Collection[str]) -> list[tuple[str, str]]:
    """New paths that some file systems take for one that is there already; a scope may name such a path itself."""
    folded: dict[str, dict[str, list[bytes]]] = {}
    found = []
    for change in allowed:
        if not change.added or change.name in named:
            continue
        folder = Entry(TREE_MODE, tree)
        for name in change.path.split(b"/"):
            if folder.object_id not in folded:
                names: dict[str, list[bytes]] = {}
                for other in read_tree(run.shadow, folder.object_id):
                    names.setdefault(fold(shown(other)), []).append(other)
                folded[folder.object_id] = names
            twins = [other for other in folded[folder.object_id][fold(shown(name))] if other != name]
            if twins:
                found.append(
                    (change.name, f"added: differs from `{shown(twins[0])}` in case or composition only")
                )
                break
            folder = read_tree(run.shadow, folder.object_id)[name]
    return found


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
