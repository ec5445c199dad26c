"""An attempt whose runner was killed: what its session left is stored before anything else touches its workspace, and what
is missing of its records is written down."""

from __future__ import annotations

from .attempt_record import Attempt, Bill, logs_of, record
from .journal_records import AttemptStarted
from .left_by_git import free_index
from .outcome import Kind, Outcome
from .owner import slot_of
from .run import Run
from .session import store, write_difference
from .tasks.task import named
from .trees.attempts import kept
from .trees.base_rules import put_back
from .trees.git import GitError
from .trees.places import place


def store_interrupted(run: Run, dead: str, bill: Bill | None) -> str | None:
    """Store what the last session of the process `dead` left, and what it has cost; a line for the user, None when there is
    nothing to say."""
    history = run.journal.history
    started = history.interrupted.get(dead) or history.running.get(dead)
    if started is None:
        return None
    bills = [bill] if bill is not None else []
    this = Attempt(named(started.task, run.queue.pending), started.attempt, bills=bills)
    stored = kept(run.shadow, f"refs/attempts/{started.task}/{started.attempt}")
    if stored is not None:
        return _complete(run, this, started, stored)
    if dead not in history.interrupted:  # no session has begun
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
    free_index(where.index)
    put_back(where)
    store(run, this, where, tree)
    record(
        run, this, Outcome(Kind.INTERRUPTED, "the runner was killed while the agent worked; what it had done is kept")
    )  # fmt: skip
    return f"{started.task}: kept what attempt {started.attempt} had done when the last run was killed"


def _complete(run: Run, this: Attempt, started: AttemptStarted, stored: str) -> str | None:
    """Write down what was not, of an attempt that is stored; one whose result has passed goes on."""
    history, name = run.journal.history, started.task
    if not (logs_of(run, this.task) / f"{this.stem}.diff").exists():
        try:
            write_difference(run, this, run.repository.tree_of(started.base), stored)
        except GitError as error:
            this.notes.append(f"no diff: {error}")
    passed, landed = history.passed.get(name), history.landed.get(name)
    if passed is not None and passed.attempt == this.number:
        return None
    if landed is not None and landed.attempt == this.number:
        record(run, this, Outcome(Kind.LANDED, f"landed as {landed.commit[:10]}", commit=landed.commit))
        return f"{name} had landed as {landed.commit[:10]} when the last run was killed"
    record(
        run, this, Outcome(Kind.INTERRUPTED, "the runner was killed before it was judged; what was done is kept")
    )  # fmt: skip
    return f"{name}: attempt {this.number} had not been judged when the last run was killed; it is kept"
