"""What the user, or another program, did to the branch and to the task's file while an attempt ran."""

from __future__ import annotations

from collections.abc import Sequence

from .base import Base
from .outcome import Ended, Kind, Outcome
from .run import Run
from .tasks.scope import judge
from .tasks.task import Task, parse
from .trees.changes import Change, shown
from .trees.composition import conflicts
from .trees.loose_objects import blob_id


def refuse_moved(run: Run, task: Task, base_tree: str, tip: Base, changes: Sequence[Change]) -> None:
    """Raise Ended (MOVED) where the branch has changed the same files meanwhile, or now protects one of them."""
    if tip.tree == base_tree:
        return
    clash = conflicts(run.shadow, base_tree, tip.tree, changes)
    if clash:
        names = ", ".join(shown(path) for path in clash[:10])
        raise Ended(Outcome(Kind.MOVED, f"the branch has changed the same files meanwhile: {names}"))
    verdict = judge(task.scope, task.front.allow_tests, tip.rules, changes)
    if len(verdict.allowed) != len(changes):
        first = next((f"{v.change.name}: {v.reason}" for v in verdict.violations), "dropped now")
        raise Ended(Outcome(Kind.MOVED, f"the branch has changed the rules meanwhile: {first}"))


def refuse_edited(run: Run, task: Task) -> None:
    file = task.path
    try:
        now = file.read_bytes()
    except FileNotFoundError:
        raise Ended(Outcome(Kind.MOVED, "the task file was taken away while the task ran")) from None
    if now == task.data:
        return
    edited = "the task file was edited while the task ran"
    if run.programs.sandbox.active or parse(file, now).permits == task.permits:
        raise Ended(Outcome(Kind.MOVED, f"{edited}; it runs again with its new text"))
    raise Ended(
        Outcome(
            Kind.MOVED,
            f"{edited}: what it may do has changed, and without a sandbox that can have been the agent",
            advice="look at the task file; it stays pending and runs with its new text at the next start",
            stays=True,
        )
    )


def text_id(run: Run, task: Task) -> str:
    return blob_id(task.data, run.repository.object_format)
