"""Results that pass alone and fail together with what has landed meanwhile: nobody's fault."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from . import acceptance, gates
from .attempt_record import Attempt, logs_of
from .base import Base
from .bookkeeping import task_move
from .journal_records import Abandoned
from .outcome import Ended, Kind, Outcome
from .run import Run
from .session import gates_of
from .trees.changes import Change
from .trees.composition import commit, compose, diff

MESSAGE = "chore: an attempt's changes alone\n"


def judged(
    run: Run, this: Attempt, red: Outcome, tip: Base, base_tree: str, changes: Sequence[Change]
) -> Outcome:
    """What a red gate or acceptance on `tip` means for an attempt that began on `base_tree`.

    Where the same changes pass without what has landed meanwhile, it is MOVED. That ends: after a few of those the others
    wait for this task (`turn.ahead_of_others`).
    """
    if red.kind not in (Kind.GATE, Kind.ACCEPT) or not _passes_alone(run, this, tip, base_tree, changes):
        return red
    name = this.task.name
    if name in run.journal.history.passed:
        run.journal.write(Abandoned(task=name, attempt=this.number))
    return replace(
        red,
        kind=Kind.MOVED,
        summary=f"passes alone, fails together with what landed meanwhile: {red.summary}",
        together=True,
    )


def _passes_alone(run: Run, this: Attempt, tip: Base, base_tree: str, changes: Sequence[Change]) -> bool:
    """Asked only of a red result on a tip that has other content; one that has passed before is known already."""
    task = this.task
    passed = run.journal.history.passed.get(task.name)
    if passed is not None and passed.attempt == this.number:
        before, tree, head = run.tree_of(passed.old), run.tree_of(passed.commit), passed.commit
    else:
        before = base_tree
        tree = compose(run.shadow, before, [*changes, *task_move(run, before, task, "done")])
        head = commit(run.shadow, tree, run.journal.history.starts[task.name].base, MESSAGE)
    if not _content_moved(run, tip, before):
        return False
    logs, stem = logs_of(run, task), f"{this.stem}.alone"
    given = gates.check(run, gates_of(run, task), tree, head, logs, stem, base=before, second_chance=False)
    if not all(verdict.passed for verdict in given):
        return False
    try:
        acceptance.check(run, task, tree, head, logs, stem, before)
    except Ended:
        return False
    return True


def _content_moved(run: Run, tip: Base, before: str) -> bool:
    """Whether more has changed than what the runner itself writes: queue and memory."""
    own = os.fsencode(f"{run.queue.relative}/")
    memory = os.fsencode(tip.rules.memory_file)
    return any(
        not change.path.startswith(own) and change.path != memory
        for change in diff(run.shadow, before, tip.tree)
    )
