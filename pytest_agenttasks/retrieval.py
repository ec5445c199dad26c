"""An attempt whose runner was killed while the agent worked: what it left is stored before anything else touches its
workspace."""

from __future__ import annotations

from .attempt_record import Attempt, Bill, record
from .outcome import Kind, Outcome
from .owner import slot_of
from .run import Run
from .session import store
from .tasks.task import Task, read
from .trees.attempts import kept
from .trees.git import GitError
from .trees.workspace import place


def store_interrupted(run: Run, dead: str, bill: Bill | None) -> str | None:
    """Store what the last session of the process `dead` left, and what it has cost; a line for the user, None when there is
    nothing to store."""
    started = run.journal.history.interrupted.get(dead)
    if started is None or kept(run.shadow, f"refs/attempts/{started.task}/{started.attempt}") is not None:
        return None
    where = place(run.shadow, "agent", slot_of(dead))
    if not where.path.is_dir():
        return None
    try:
        tree = run.repository.tree_of(started.base)
    except GitError:
        return (
            f"{started.task}: attempt {started.attempt} was not stored: its base {started.base[:10]} is gone"
        )
    file = run.queue.pending / f"{started.task}.md"
    task = read(file) if file.exists() else Task(started.task, file, "", started.task, 0)
    this = Attempt(task, started.attempt, bills=[bill] if bill is not None else [])
    store(run, this, where, tree)
    summary = "the runner was killed while the agent worked; what it had done is kept"
    record(run, this, Outcome(Kind.INTERRUPTED, summary))
    return f"{started.task}: kept what attempt {started.attempt} had done when the last run was killed"
