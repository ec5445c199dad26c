"""Taking a landed result back: its changes reverted in a commit, the task pending again with what the reviewer says.

Both commits come at once, through `landing.advance` like all others: the checkout has neither or both. A kill behind that
leaves a task that is held; doing it again finishes the work.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .approvals import Rejected as Record
from .approvals import moment
from .approvals import read as read_reviews
from .approving import record_changes, record_privately, who
from .bookkeeping import TRIES
from .journal_records import Landed, Rejected
from .keeping_memory import memory_changes
from .landing import BranchMoved, advance, between_landings
from .outcome import SetupError
from .prompt import TakenBack
from .queue import names, rewrite
from .report.printable import encodable, one_line
from .reviewers_note import with_note
from .run import Run
from .tasks.task import read
from .trees.changes import Change, shown
from .trees.composition import addition, commit, compose, diff, readable_patch, removal, write_blob
from .trees.git import GitError
from .trees.objects import blob, entries
from .trees.repository import is_ancestor
from .trees.undoing import undo
from .turn import turn

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Rejection:
    """What was done: `revert` is the reverting commit, "" where nothing of the result was left on the branch.

    `landed_on_it` and `waiting` are the tasks that depend on the rejected one, in done and in pending.
    """

    task: str
    commit: str
    revert: str
    landed_on_it: tuple[str, ...]
    waiting: tuple[str, ...]


def reject(run: Run, name: str, why: str, now: float) -> Rejection:
    """Revert what the task landed as, and queue it again with a note. `now` is epoch seconds.

    Raises SetupError with nothing done: for a task that has not landed on this branch, a note that would change the task,
    and later changes to the same lines; InTheWay and BranchMoved as `landing.advance`.
    """
    with turn(run, name):
        for _ in range(TRIES):
            with between_landings(run.shadow, run.journal):
                landed = _landed(run, name)
                tip = run.repository.tip()
                _refuse_lost_text(run, name, why)
            record = Record(
                at=moment(now, run.journal.history, [name]), by=who(run.repository), task=name, commit=landed.commit,
                why=why,
            )  # fmt: skip
            # One that a kill cut short has written it down already.
            records = [] if _is_written_down(run, record) else [record]
            revert, new = _commits(run, tip, landed, why, records)
            try:
                if new != tip:
                    advance(
                        run.shadow,
                        run.journal,
                        branch=run.branch,
                        old=tip,
                        new=new,
                        why=f"agenttasks: {name} rejected",
                    )
            except BranchMoved:
                continue
            if not run.queue.tracked:
                _put_back(run, name, why)
                if records:
                    record_privately(run.repository, records)
            run.journal.write(Rejected(task=name, commit=landed.commit, why=why))
            run.events.write("task-rejected", task=name, commit=landed.commit, why=one_line(why))
            return Rejection(name, landed.commit, revert, *_dependents(run, name))
    raise BranchMoved("the branch keeps moving")


def rejected(run: Run, name: str) -> TakenBack | None:
    """What was taken back of this task and has not landed since; None where nothing was."""
    record = run.journal.history.rejected.get(name)
    if record is None:
        return None
    try:
        parent = run.repository.tree_of(f"{record.commit}^")
        changed = compose(run.shadow, parent, own_changes(run, record.commit))
        difference = readable_patch(run.shadow, parent, changed)
    except GitError:  # the commit is gone, with the branch that had it
        difference = b""
    return TakenBack(record.commit, record.why, difference)


def own_changes(run: Run, commit_id: str) -> tuple[Change, ...]:
    """What a landed commit changed, but for the queue's files."""
    queue = f"{run.queue.relative}/".encode()
    changes = diff(run.shadow, run.repository.read(f"{commit_id}^").object_id, commit_id)
    return tuple(change for change in changes if not change.path.startswith(queue))


def _landed(run: Run, name: str) -> Landed:
    landed = run.journal.history.landed.get(name)
    if landed is None and name in run.journal.history.rejected and name in names(run.queue.pending):
        raise SetupError(
            f"{name}: rejected already, and queued again; what else the next session has to know goes into its task file"
        )
    if landed is None:
        raise SetupError(
            f"{name}: has not landed, so there is nothing to take back; a failed task: `agenttasks requeue {name} -m WHY`"
        )
    if not is_ancestor(run.repository, landed.commit, "HEAD"):
        raise SetupError(
            f"{name}: its commit {landed.commit[:10]} is not part of `{run.branch.removeprefix('refs/heads/')}`; switch to "
            "the branch that has it"
        )
    return landed


def _is_written_down(run: Run, record: Record) -> bool:
    said = (encodable(record.task), record.commit, encodable(record.why))
    reviews = read_reviews(run.repository, run.queue)
    return any(
        isinstance(known, Record) and (known.task, known.commit, known.why) == said for known in reviews
    )


def _commits(run: Run, tip: str, landed: Landed, why: str, records: Sequence[Record]) -> tuple[str, str]:
    """The reverting commit ("" for none) on `tip`, and with the bookkeeping what the branch is to become."""
    name, tree = landed.task, run.tree_of(tip)
    undone = _undone(run, tree, landed)
    moves = _task_back(run, tree, landed) if run.queue.tracked else []
    reverted = compose(run.shadow, tree, [*undone, *moves])
    parent, revert = tip, ""
    if reverted != tree:
        parent = revert = commit(run.shadow, reverted, tip, _message(run, landed.commit, why))
    after, changes = reverted, []
    if run.queue.tracked:
        changes = [*_note(run, reverted, name, why)]
        changes += record_changes(run, reverted, records) if records else []
        after = compose(run.shadow, reverted, changes)
    changes += memory_changes(run, after, landed=(), rejected=name)
    tree = compose(run.shadow, reverted, changes)
    if tree == reverted:
        return revert, parent
    return revert, commit(run.shadow, tree, parent, f"chore(tasks): queue {name} again, rejected in review\n")


def _undone(run: Run, tree: str, landed: Landed) -> Sequence[Change]:
    """What is left to be taken back. Raises SetupError where later changes are in the way, and nobody has mended that."""
    if _reverted(run, landed.commit):
        return ()
    undone = undo(run.shadow, tree, own_changes(run, landed.commit))
    if not undone.conflicts:
        return undone.changes
    if os.path.lexists(run.queue.pending / f"{landed.task}.md"):
        return ()  # its file is back, so somebody has done it in a way of their own
    raise SetupError(_conflict(run, landed.task, landed.commit, [shown(path) for path in undone.conflicts]))


def _reverted(run: Run, commit_id: str) -> bool:
    """Whether a commit behind it says, in git's own words, that it reverts it, and was not reverted in its turn."""
    words = f"--grep=This reverts commit {commit_id}"
    reverts = run.repository.line(
        "log", "--format=%H", "--fixed-strings", words, f"{commit_id}..HEAD"
    ).split()
    return any(not _reverted(run, revert) for revert in reverts)


def _message(run: Run, commit_id: str, why: str) -> str:
    subject = run.repository.line("show", "-s", "--format=%s", commit_id, "--")
    return f'Revert "{subject}"\n\nThis reverts commit {commit_id}.\n\nRejected in review: {why.strip()}\n'


def _task_back(run: Run, tree: str, landed: Landed) -> list[Change]:
    """The task file's move back to pending; a text of the user's that is there already stays."""
    done, pending = (run.queue.git_path(folder, landed.task) for folder in ("done", "pending"))
    found = entries(run.shadow, tree, [done, pending])
    as_landed = entries(run.shadow, landed.commit, [done]).get(done)
    text = found.get(done) or as_landed
    if text is None and pending not in found:
        raise SetupError(
            f"{landed.task}: its task file is gone; put one into {run.queue.pending} and commit it, then reject again"
        )
    moves = [removal(done, found[done].object_id, found[done].mode)] if done in found else []
    if pending not in found and text is not None:
        moves.append(addition(pending, text.object_id, text.mode))
    return moves


def _note(run: Run, tree: str, name: str, why: str) -> list[Change]:
    path = run.queue.git_path("pending", name)
    mode, object_id = entries(run.shadow, tree, [path])[path]
    old = blob(run.shadow, object_id)
    noted = with_note(Path(os.fsdecode(path)), old, why)
    return [] if noted == old else [Change(path, mode, mode, object_id, write_blob(run.shadow, noted))]


def _refuse_lost_text(run: Run, name: str, why: str) -> None:
    """Where git does not have the task's file: nothing is reverted that could not be queued again."""
    if run.queue.tracked:
        return
    files = [folder / f"{name}.md" for folder in (run.queue.pending, run.queue.done)]
    file = next((file for file in files if os.path.lexists(file)), None)
    if file is None:
        raise SetupError(
            f"{name}: its task file is gone; put one into {run.queue.pending}, then reject again"
        )
    with_note(file, file.read_bytes(), why)


def _put_back(run: Run, name: str, why: str) -> None:
    """The task file's move back to pending, with the note, where git does not have it."""
    done, pending = run.queue.done / f"{name}.md", run.queue.pending / f"{name}.md"
    if not os.path.lexists(pending):
        run.queue.pending.mkdir(exist_ok=True)
        os.link(done, pending, follow_symlinks=False)
    if os.path.lexists(done):
        done.unlink()
    _write_note(pending, why)


def _write_note(file: Path, note: str) -> None:
    """Raises SetupError as `with_note`."""
    data = file.read_bytes()
    noted = with_note(file, data, note)
    if noted != data:
        rewrite(file, noted)


def _conflict(run: Run, name: str, commit_id: str, paths: list[str]) -> str:
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    later = run.repository.line("log", "--format=%h %s", f"{commit_id}..HEAD", "--", *paths).splitlines()
    told = "".join(f"\n  {one_line(line, 100)}" for line in later[:5])
    return (
        f"{name}: cannot be reverted by itself: later commits changed the same lines of {', '.join(paths[:SHOWN])}{more}; "
        f"nothing was done. Reject the later task first, or revert by hand: `git revert {commit_id[:10]}`, mend, commit, "
        f"then `agenttasks reject {name} -m WHY` again{told}"
    )


def _dependents(run: Run, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tasks that say they depend on this one: those that have landed, those that are pending."""

    def those(folder: Path) -> tuple[str, ...]:
        tasks = [read(folder / f"{other}.md") for other in sorted(names(folder) - {name})]
        return tuple(task.name for task in tasks if name in task.front.depends_on)

    return those(run.queue.done), those(run.queue.pending)
