"""Commits of the runner itself: queue files that move, and the memory file. They touch nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import gates
from .attempt_record import Attempt, record, session_id, total_cost
from .failure import put_away_report, report_of
from .journal_records import Failed, Landed, Passed, Released
from .keeping_memory import log_on_disk, memory_changes
from .landing import BranchMoved, InTheWay, advance, between_landings
from .outcome import Kind, Outcome, SetupError
from .owner import lives
from .queue import REPORT, changed_files, free_name, move_untracked, names, task_file, write_new
from .report.printable import one_line
from .run import Run
from .tasks.names import name_problem
from .tasks.task import Task, named
from .trees.changes import Change
from .trees.composition import addition, commit, compose, removal, write_blob
from .trees.git import split
from .trees.loose_objects import blob_id
from .trees.objects import entries
from .trees.repository import is_ancestor
from .turn import turn

TRIES = 5


def task_move(run: Run, tree: str, task: Task, folder: str, name: str | None = None) -> list[Change]:
    """The task file's move from where it is to `folder`, as changes to `tree`; empty where the queue is not tracked.

    With a task that is done the report of its failure goes.
    """
    if not run.queue.tracked:
        return []
    source = os.fsencode(f"{run.queue.relative}/{task.path.parent.name}/{task.path.name}")
    report = run.queue.git_path("failed", f"{task.name}{REPORT}")
    found = entries(run.shadow, tree, [source, report])
    if source not in found:
        return []
    mode, object_id = found[source]
    return [
        removal(source, object_id, mode),
        addition(run.queue.git_path(folder, name or task.name), object_id, mode),
        *(
            [removal(report, found[report][1], found[report][0])]
            if report in found and folder == "done"
            else []
        ),
    ]


def commit_message(run: Run, this: Attempt, gate_names: Sequence[str]) -> str:
    """Subject, the task's title, and the trailers that say where the commit comes from."""
    task = this.task
    kind = task.front.type or run.settings.commit.type
    how = "finished by hand" if this.finished_by else "automated agent run"
    own = f"{kind}: complete {task.name} ({how})\n\n{one_line(task.title)}\n"
    message = run.extensions.commit_message(task, own) or own
    if not run.settings.commit.trailers:
        return message
    trailers = [f"Agent-Task: {task.name}", f"Agent-Attempt: {this.number}"]
    if session := session_id(run, this):
        trailers.append(f"Agent-Session: {one_line(session)}")
    if (cost := total_cost(run, this)) is not None:
        trailers.append(f"Agent-Cost-USD: {cost:.4f}")
    trailers.append(f"Agent-Gates: {', '.join(gate_names)}")
    if this.finished_by:
        trailers.append(f"Agent-Finished-By: {one_line(this.finished_by)}")
    return message.rstrip("\n") + "\n\n" + "\n".join(trailers) + "\n"


def give_up(run: Run, task: Task, outcome: Outcome | None = None) -> str | None:
    """Move a task to the failed folder, with a report beside it; in a bookkeeping commit where tracked.

    `outcome` is the one that ended it. A line for the user when the task stays.
    """
    name = free_name(run.queue.failed, task.name)
    report_name, report = "", b""
    if name_problem(task.name) is None:  # another name may leave no room for what is put behind it
        report_name = f"{free_name(run.queue.failed, name, REPORT)}{REPORT}"
        report = report_of(run, task.name, outcome).encode("utf-8", "replace")
    if not run.queue.tracked:
        try:
            move_untracked(run.queue, task.name, "failed", name)
        except FileNotFoundError:
            return f"{task.name}: its file was taken away meanwhile"
        if report:
            write_new(run.queue.failed / f"{report_name}.md", report)
    else:

        def draft(tree: str) -> Draft | None:
            moves = task_move(run, tree, task, "failed", name)
            if moves and report:
                path = run.queue.git_path("failed", report_name)
                moves.append(addition(path, write_blob(run.shadow, report)))
            after = compose(run.shadow, tree, moves)
            changes = [*moves, *memory_changes(run, after, landed=(), without=task.name)]
            return Draft(changes, f"chore(tasks): move {task.name} to failed") if moves else None

        try:
            if keep_books(run, f"agenttasks: {task.name} failed", draft) is None:
                return f"{task.name}: its file was taken away meanwhile"
        except (InTheWay, BranchMoved) as error:
            return f"{task.name} stays pending: {error}"
    run.journal.write(Failed(task=task.name))
    run.events.write("task-failed", task=task.name)
    return None


def settle(run: Run, passed: Passed, text: bytes | None) -> None:
    """Write down that a verified result is part of the branch, and move its file where git does not.

    `text` is what the session was given, None when that is not known any more: then a file that differs from
    the journaled blob stays pending, to run again with its new text.
    """
    put_away_report(run, passed)
    log_on_disk(run, passed)
    file = task_file(run.queue, passed.task)
    edited = False
    if not passed.tracked and file is not None:
        now = file.read_bytes()
        edited = blob_id(now, run.repository.object_format) != passed.task_blob
        if not edited:
            move_untracked(run.queue, passed.task, "done")
        elif text is not None:
            write_new(run.queue.done / f"{free_name(run.queue.done, passed.task)}.md", text)
    run.journal.write(Landed(task=passed.task, attempt=passed.attempt, commit=passed.commit))
    if edited:
        run.journal.write(Released(task=passed.task))


def settle_all(run: Run) -> list[str]:
    """Results that are on the branch although a crash kept that from being written down; a line for each, and for those that
    are still to land.

    Those of a process that lives are its own to write down, and those of another queue that queue's.
    """
    lines = []
    for passed in list(run.journal.history.passed.values()):
        if passed.owner != run.owner and lives(passed.owner):
            continue
        if passed.queue not in ("", run.queue.relative):
            continue
        if is_ancestor(run.repository, passed.new, "HEAD"):
            _record_landed(run, passed)  # first: nobody asks any more for what is settled
            settle(run, passed, None)
            lines.append(f"{passed.task} had landed as {passed.commit[:10]} when the last run ended")
        elif passed.branch == run.branch and (run.queue.pending / f"{passed.task}.md").exists():
            lines.append(
                f"{passed.task}: attempt {passed.attempt} was verified and has not landed; that comes first, without a session"
            )
    return lines


def settle_failed(run: Run) -> None:
    """Write down that tasks were given up, where a kill came when their files had been moved."""
    gone = names(run.queue.failed) - names(run.queue.pending)
    for name in sorted(gone & run.journal.history.charged.keys()):
        run.journal.write(Failed(task=name))


def _record_landed(run: Run, passed: Passed) -> None:
    ended = run.journal.history.ended.get(passed.task, ())
    if not any(end.attempt == passed.attempt and end.kind is Kind.LANDED for end in ended):
        this = Attempt(named(passed.task, run.queue.done), passed.attempt)
        record(run, this, Outcome(Kind.LANDED, f"landed as {passed.commit[:10]}", commit=passed.commit))


def commit_queue(run: Run) -> str | None:
    """Commit what the user did to a tracked queue: new, edited, moved and deleted task files. Returns the commit."""

    def draft(tree: str) -> Draft | None:
        paths = changed_files(run.repository, run.queue)
        changes = _as_on_disk(run, tree, paths) if paths else []
        count = len(changes)
        what = one_line(changes[0].name, 80) if count == 1 else f"{count} task files"
        return Draft(changes, f"chore(tasks): update {what}", paths) if changes else None

    try:
        return keep_books(run, "agenttasks: queue", draft)
    except InTheWay as error:
        raise SetupError(f"{run.queue.pending}: the queue's files cannot be committed: {error}") from error
    except BranchMoved as error:
        raise SetupError(f"{run.repository.top}: {error}; is another program committing here?") from error


class Draft(NamedTuple):
    """A bookkeeping commit to be; `on_disk` are paths whose files are as it has them already."""

    changes: Sequence[Change]
    subject: str
    on_disk: Sequence[bytes] = ()


def keep_books(run: Run, why: str, draft: Callable[[str], Draft | None]) -> str | None:
    """Commit what `draft` makes of the tip's tree, anew where the branch has moved; None where that is nothing.

    Raises InTheWay, and BranchMoved when the branch keeps moving.
    """
    with turn(run, "bookkeeping"):
        for _ in range(TRIES):
            with between_landings(run.shadow, run.journal):
                tip = run.repository.tip()
                tree = run.tree_of(tip)
                wanted = draft(tree)
            if wanted is None:
                return None
            new_tree = compose(run.shadow, tree, wanted.changes)
            if new_tree == tree:
                return None
            done = commit(run.shadow, new_tree, tip, f"{wanted.subject}\n")
            try:
                advance(
                    run.shadow,
                    run.journal,
                    branch=run.branch,
                    old=tip,
                    new=done,
                    why=why,
                    on_disk=wanted.on_disk,
                )
            except BranchMoved:
                continue
            gates.inherit(run, run.settings.gates, tree, new_tree)
            return done
    raise BranchMoved("the branch keeps moving")


def _as_on_disk(run: Run, tree: str, paths: Sequence[bytes]) -> list[Change]:
    """What git would commit for these files as they are on disk, by the user's own index and filters."""
    repository = run.repository
    before = entries(run.shadow, tree, paths)
    copy = repository.git_dir / f"index.agenttasks-queue-{os.getpid()}"
    try:
        shutil.copy2(repository.git_dir / "index", copy)
        stdin = b"".join(path + b"\0" for path in paths)
        repository.git("update-index", "--add", "--remove", "-z", "--stdin", stdin=stdin, index=copy)
        listed = split(repository.git("ls-files", "-s", "-z", "--", *map(os.fsdecode, paths), index=copy))
    finally:
        copy.unlink(missing_ok=True)
    changes = []
    now = {}
    for entry in listed:
        head, _, path = entry.partition(b"\t")
        mode, object_id, _ = head.decode("ascii").split(" ")
        now[path] = (mode, object_id)
    for path in paths:
        if path in now:
            changes.append(addition(path, now[path][1], now[path][0]))
        elif path in before:
            changes.append(removal(path, before[path][1], before[path][0]))
    return changes
