"""A task that a person has finished: the worktree's files, taken as those of one more attempt, with the same verdict on
them, the same gates and the same landing."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from . import gates
from .agents.contract import Progress
from .attempt import land, recorded
from .attempt_record import Attempt
from .base import Base, base_at, base_of, memory_of
from .dossier import Workbench
from .inspection import inspect
from .journal_records import Abandoned, AttemptStarted
from .meanwhile import text_id
from .memory.agent_changes import agent_changes
from .outcome import Ended, Outcome, SetupError
from .run import TOOL_CACHES, Run
from .session import gates_of, keep_attempt
from .tasks.task import Task
from .trees.changes import shown
from .trees.composition import diff
from .trees.git import GitError, split
from .trees.objects import entries
from .trees.repository import Repository, discover, is_ancestor
from .trees.repository_checks import unfinished
from .trees.snapshot import Snapshot
from .trees.survey import MAX_FILE, Oddity


def finish(run: Run, task: Task, bench: Workbench) -> Attempt:
    """Land what is in the worktree, or say by a typed outcome why not; the worktree stays as it is.

    Raises SetupError where it is no worktree of this repository any more.
    """
    return recorded(run, task, partial(_finish, run, bench, _forked(run, bench)))


def _finish(run: Run, bench: Workbench, forked: str, this: Attempt) -> Outcome:
    task, who = this.task, run.repository.identity
    this.finished_by = f"{who.name} <{who.email}>" if who is not None else "unknown"
    if task.name in run.journal.history.passed:  # an earlier result that could not land: this one is newer
        run.journal.write(Abandoned(task=task.name, attempt=run.journal.history.passed[task.name].attempt))
    base = base_at(run, forked)
    run.journal.write(
        AttemptStarted(task=task.name, attempt=this.number, base=base.commit, task_blob=text_id(run, task))
    )
    run.events.write("attempt-started", task=task.name, attempt=this.number, base=base.commit, by="hand")
    gates.refuse_twins(gates_of(run, task))
    run.progress(task.name, Progress(step="files"))
    shot = _files(run, bench, base)
    keep_attempt(run, this, shot.tree, base.tree)
    verdict, memory = inspect(run, this, base, shot)
    try:
        return land(run, this, base.tree, verdict.allowed, memory)
    except Ended:
        if (
            task.name in run.journal.history.passed
        ):  # no run is to land it: the person does, with what is there then
            run.journal.write(Abandoned(task=task.name, attempt=this.number))
        raise


def not_landed(run: Run, bench: Workbench, this: Attempt, passed_over: str) -> list[str]:
    """What the worktree holds that has not landed, or that git could not bring back; nothing: it may go.

    `passed_over` is the memory file's name.
    """
    found = discover(bench.worktree)
    base = base_at(run, run.journal.history.bases[this.task.name, this.number])
    reasons = []
    if _files(run, bench, base).tree != this.tree:
        reasons.append("files were edited while they landed")
    if this.dropped:
        reasons.append(f"left out by `drop`: {', '.join(this.dropped[:5])}")
    if this.tree is not None and _memory_left(run, base, this.tree):
        reasons.append(f"not all that was changed in {passed_over} lands")
    if ignored := _ignored(run, found):
        more = f" and {len(ignored) - 5} more" if len(ignored) > 5 else ""
        reasons.append(f"ignored files: {', '.join(ignored[:5])}{more}")
    if found.branch() is not None:
        reasons.append(f"it is on the branch {str(found.branch()).removeprefix('refs/heads/')}")
    elif not is_ancestor(run.repository, found.tip(), run.branch):
        reasons.append("commits of its own")
    if operation := unfinished(found):
        reasons.append(f"git is in the middle of a {operation}")
    if this.tree is not None and (staged := _staged(run, found, this.tree)):
        reasons.append(f"staged otherwise than it landed: {', '.join(staged[:5])}")
    return reasons


def _forked(run: Run, bench: Workbench) -> str:
    """The commit of the branch that the worktree's files are based on, whatever was committed or merged there."""
    try:
        found = discover(bench.worktree)
    except SetupError as error:
        raise SetupError(f"{bench.path}: no worktree any more: {error}") from error
    if found.common_dir != run.repository.common_dir or found.top.resolve() != bench.worktree.resolve():
        raise SetupError(
            f"{bench.path}: no worktree of {run.repository.top} any more (its .git is another's or gone)"
        )
    try:
        return run.repository.line("merge-base", found.tip(), base_of(run).commit)
    except GitError as error:
        raise SetupError(
            f"{bench.path}: its HEAD has no commit in common with `{run.branch.removeprefix('refs/heads/')}`"
        ) from error


def _files(run: Run, bench: Workbench, base: Base) -> Snapshot:
    """The worktree's files as a tree, by its own ignore rules: it is a person's, and only what lands is run."""
    run.shadow.pin()
    index = run.shadow.git_dir / f"by-hand-{os.getpid()}.index"
    try:
        run.shadow.git("read-tree", base.tree, index=index, work_tree=bench.worktree)
        run.shadow.git("add", "-A", index=index, work_tree=bench.worktree)
        tree = run.shadow.git("write-tree", index=index, work_tree=bench.worktree).decode().strip()
    finally:
        index.unlink(missing_ok=True)
    large = []
    for change in diff(run.shadow, base.tree, tree):
        size = 0 if change.deleted else Path(bench.path, os.fsdecode(change.path)).lstat().st_size
        if size > MAX_FILE:
            large.append(Oddity(change.path, f"larger than {MAX_FILE // 1024 // 1024} MB", size))
    return Snapshot(tree, tuple(large), (), ())


def _memory_left(run: Run, base: Base, tree: str) -> bool:
    """Whether the person changed more in the memory file than the additions that are taken over."""
    now = memory_of(run.shadow, tree, run.settings.memory.file).text
    if base.memory is None or now is None:
        return base.memory != now
    judged = agent_changes(base.memory, now)
    return bool(judged.dropped or judged.violations)


def _ignored(run: Run, found: Repository) -> list[str]:
    """Files that git does not see there, but what tools leave behind and what settings bring to a workspace."""
    listed = split(found.git("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"))
    workspace = run.settings.workspace
    provided = {path.rstrip("/") for path in (*workspace.copy, *workspace.cache, *workspace.link)}
    return [
        shown(path)
        for path in listed
        if f"{Path(shown(path)).name}/" not in TOOL_CACHES and shown(path).rstrip("/") not in provided
    ]


def _staged(run: Run, found: Repository, tree: str) -> list[str]:
    """Paths whose staged content is neither the commit's nor what has landed."""
    fields = split(found.git("diff-index", "--cached", "-r", "-z", "--no-renames", "HEAD"))
    staged = {path: head.split(b" ") for head, path in zip(fields[::2], fields[1::2], strict=True)}
    landed = entries(run.shadow, tree, list(staged))
    return [
        shown(path)
        for path, (_, mode, _, object_id, _) in staged.items()
        if landed.get(path, ("000000", "0" * len(object_id))) != (mode.decode(), object_id.decode())
    ]
