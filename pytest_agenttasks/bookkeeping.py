"""Commits of the runner itself: queue files that move, and the memory file. They touch nothing else."""

from __future__ import annotations

import datetime
import os
import re
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import gates
from .base import memory_of
from .journal import Failed
from .landing import BranchMoved, InTheWay, advance
from .memory import Completed, record_completed, update_queue
from .memory_changes import AgentMemory, merge_additions
from .outcome import SetupError
from .printable import one_line
from .queue import changed_files, free_name, names
from .run import Run
from .shadow import addition, commit, compose, entries, removal, write_blob
from .task import Task
from .trees import SYMLINK_MODE, Change

if TYPE_CHECKING:
    from .attempt_record import Attempt

TRIES = 5


def task_move(run: Run, tree: str, task: Task, folder: str, name: str | None = None) -> list[Change]:
    """The task file's move from pending to `folder`, as changes to `tree`; empty where the queue is not tracked."""
    if not run.queue.tracked:
        return []
    source = os.fsencode(f"{run.queue.relative}/{run.queue.pending.name}/{task.path.name}")
    found = entries(run.shadow, tree, [source]).get(source)
    if found is None:
        return []
    mode, object_id = found
    return [removal(source, object_id, mode), addition(run.queue.git_path(folder, name or task.name), object_id, mode)]


def commit_message(run: Run, this: Attempt, gate_names: Sequence[str]) -> str:
    """Subject, the task's title, and the trailers that say where the commit comes from."""
    task, agent = this.task, this.agent
    kind = task.front.type or run.settings.commit.type
    own = f"{kind}: complete {task.name} (automated agent run)\n\n{one_line(task.title)}\n"
    message = run.extensions.commit_message(task, own) or own
    if not run.settings.commit.trailers:
        return message
    trailers = [f"Agent-Task: {task.name}", f"Agent-Attempt: {this.number}"]
    if agent is not None and agent.session:
        trailers.append(f"Agent-Session: {one_line(agent.session)}")
    if agent is not None and agent.cost_usd is not None:
        trailers.append(f"Agent-Cost-USD: {agent.cost_usd:.4f}")
    trailers.append(f"Agent-Gates: {', '.join(gate_names)}")
    return message.rstrip("\n") + "\n\n" + "\n".join(trailers) + "\n"


def memory_commit(
    run: Run, parent: str, *, landed: Sequence[Task], memory: AgentMemory | None = None, without: str = ""
) -> str:
    """A commit on `parent` that brings the memory file up to date; `parent` itself where nothing changes."""
    tree = run.repository_tree(parent)
    changes = memory_changes(run, tree, landed=landed, memory=memory, without=without)
    if not changes:
        return parent
    subject = f"chore(memory): record {', '.join(task.name for task in landed)}"
    return commit(run.shadow, compose(run.shadow, tree, changes), parent, subject + "\n")


def memory_changes(
    run: Run, tree: str, *, landed: Sequence[Task], memory: AgentMemory | None = None, without: str = ""
) -> list[Change]:
    """What the memory file of `tree` becomes, as changes: the agent's additions, the log, the queue."""
    found = memory_of(run.shadow, tree, run.settings.memory.file)
    if found.text is None:
        return []
    text = found.text
    if memory is not None:
        text = merge_additions(text, memory.additions)
    today = datetime.date.today()
    done = [Completed(date=today, name=task.name, title=task.title) for task in landed]
    text = record_completed(text, done, run.settings.memory.completed_log_limit).text
    if re.search(r"active\s+task\s+queue", text, re.IGNORECASE):
        text = update_queue(text, _pending(run, without))
    if text == found.text:
        return []
    mode, old = entries(run.shadow, tree, [found.path])[found.path]
    return [Change(found.path, mode, mode, old, write_blob(run.shadow, text.encode("utf-8")))]


def _pending(run: Run, without: str) -> list[tuple[str, str]]:
    return [(name, run.titles.get(name, name)) for name in sorted(names(run.queue.pending) - {without})]


def give_up(run: Run, task: Task) -> str | None:
    """Move a task to the failed folder, in a bookkeeping commit where tracked; a line for the user when it stays."""
    name = free_name(run.queue.failed, task.name)
    if not run.queue.tracked:
        try:
            run.queue.failed.mkdir(exist_ok=True)
            os.link(task.path, run.queue.failed / f"{name}.md", follow_symlinks=False)
            task.path.unlink()
        except FileNotFoundError:
            return f"{task.name}: its file was taken away meanwhile"
    else:
        for _ in range(TRIES):
            tip = run.repository.tip()
            tree = run.repository_tree(tip)
            moves = task_move(run, tree, task, "failed", name)
            if not moves:
                return f"{task.name}: its file was taken away meanwhile"
            after = compose(run.shadow, tree, moves)
            changes = [*moves, *memory_changes(run, after, landed=(), without=task.name)]
            done = commit(
                run.shadow, compose(run.shadow, tree, changes), tip, f"chore(tasks): move {task.name} to failed\n"
            )
            try:
                advance(run.shadow, run.journal, branch=run.branch, old=tip, new=done, why=f"agenttasks: {task.name} failed")
            except BranchMoved:
                continue
            except InTheWay as error:
                return f"{task.name} stays pending: {error}"
            gates.inherit(run, run.settings.gates, tree, run.repository_tree(done))
            break
        else:
            return f"{task.name} stays pending: the branch kept moving"
    run.journal.write(Failed(task=task.name))
    run.events.write("task-failed", task=task.name)
    return None


def commit_queue(run: Run) -> str | None:
    """Commit what the user did to a tracked queue: new, edited, moved and deleted task files. Returns the commit."""
    for _ in range(TRIES):
        paths = changed_files(run.repository, run.queue)
        if not paths:
            return None
        tip = run.repository.tip()
        tree = run.repository_tree(tip)
        changes = [change for path in paths if (change := _as_on_disk(run, tree, path)) is not None]
        new_tree = compose(run.shadow, tree, changes)
        if new_tree == tree:
            return None
        count = len(changes)
        subject = f"chore(tasks): update {count} task file{'s' * (count > 1)}"
        if count == 1:
            subject = f"chore(tasks): update {one_line(changes[0].name, 80)}"
        done = commit(run.shadow, new_tree, tip, subject + "\n")
        try:
            advance(
                run.shadow, run.journal, branch=run.branch, old=tip, new=done, why="agenttasks: queue", on_disk=paths
            )
        except BranchMoved:
            continue
        except InTheWay as error:
            raise SetupError(f"{run.queue.pending}: the queue's files cannot be committed: {error}") from error
        gates.inherit(run, run.settings.gates, tree, new_tree)
        return done
    raise SetupError(f"{run.repository.top}: the branch keeps moving; is another program committing here?")


def _as_on_disk(run: Run, tree: str, path: bytes) -> Change | None:
    file = os.path.join(os.fsencode(run.repository.top), path)
    before = entries(run.shadow, tree, [path]).get(path)
    try:
        status = os.lstat(file)
    except FileNotFoundError:
        return removal(path, before[1], before[0]) if before else None
    if stat.S_ISLNK(status.st_mode):
        return addition(path, write_blob(run.shadow, os.readlink(file)), SYMLINK_MODE)
    with open(file, "rb") as stream:
        data = stream.read()
    stored = run.shadow.git(
        "hash-object", "-w", "--stdin", f"--path={os.fsdecode(path)}", stdin=data, work_tree=run.repository.top
    )
    executable = bool(status.st_mode & stat.S_IXUSR) and run.repository.settings.get("core.filemode") != "false"
    return addition(path, stored.decode().strip(), "100755" if executable else "100644")


