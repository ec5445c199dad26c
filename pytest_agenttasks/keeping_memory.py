"""What the runner writes into the memory file, as changes to a tree: the agent's additions, the log, the queue, upkeep."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from .base import memory_of
from .journal_records import Passed
from .memory.agent_changes import AgentMemory, merge_additions
from .memory.text import Completed, record_completed, update_queue
from .memory.upkeep import logged, name_in, put_by, tidied, without_entries
from .queue import LOG_NAME, names, task_file
from .run import Run
from .state_file import put
from .tasks.task import Task
from .trees.changes import REGULAR_MODES, Change
from .trees.composition import addition, commit, compose, write_blob
from .trees.objects import blob, entries


def memory_commit(
    run: Run, parent: str, *, landed: Sequence[Task], memory: AgentMemory | None = None, without: str = ""
) -> str:
    """A commit on `parent` that brings the memory file up to date; `parent` itself where nothing changes."""
    tree = run.tree_of(parent)
    changes = memory_changes(run, tree, landed=landed, memory=memory, without=without)
    if not changes:
        return parent
    subject = f"chore(memory): record {', '.join(task.name for task in landed)}"
    return commit(run.shadow, compose(run.shadow, tree, changes), parent, subject + "\n")


def memory_changes(
    run: Run,
    tree: str,
    *,
    landed: Sequence[Task],
    memory: AgentMemory | None = None,
    without: str = "",
    rejected: str = "",
) -> list[Change]:
    """What the memory file of `tree` becomes, as changes: the agent's additions, the log, the queue, some upkeep; and
    the file that takes what the log has no room for. `rejected`: a task whose file is about to be put back."""
    found = memory_of(run.shadow, tree, run.settings.memory.file)
    if found.text is None:
        return []
    text = found.text
    if memory is not None:
        text = merge_additions(text, memory.additions)
    text = tidied(text)
    # One that lands again was reverted before.
    back = {*_put_back(run, tree, logged(text)), *(task.name for task in landed), rejected}
    reverted = without_entries(text, back)
    today = datetime.date.today()
    done = [Completed(date=today, name=task.name, title=task.title) for task in landed]
    recorded = record_completed(reverted.text, done, run.settings.memory.completed_log_limit)
    text = recorded.text
    if re.search(r"active\s+task\s+queue", text, re.IGNORECASE):
        text = update_queue(text, _pending(run, tree, without))
    if text == found.text:
        return []
    mode, old = entries(run.shadow, tree, [found.path])[found.path]
    change = Change(found.path, mode, mode, old, write_blob(run.shadow, text.encode("utf-8")))
    return [change, *_log_changes(run, tree, recorded.left_out, reverted.left_out)]


def _put_back(run: Run, tree: str, listed: Sequence[str]) -> set[str]:
    """The tasks among the log's entries that have not landed, by where their files are: somebody has reverted them."""
    tasks = {name_in(entry) for entry in listed}
    if not run.queue.tracked:
        return {name for name in tasks if task_file(run.queue, name) and not run.queue.has_done(name)}
    places = ("pending", "failed", "done")
    paths = {name: [run.queue.git_path(place, name) for place in places] for name in tasks}
    there = entries(run.shadow, tree, [path for of_task in paths.values() for path in of_task])
    return {
        name
        for name, (pending, failed, done) in paths.items()
        if (pending in there or failed in there) and done not in there
    }


def _log_changes(run: Run, tree: str, moved: Sequence[str], reverted: Sequence[str]) -> list[Change]:
    """The file of older entries, as a change to `tree`; none where git does not track it (`settle` writes it then)."""
    if not run.queue.tracked or not (moved or reverted):
        return []
    path = run.queue.git_path("done", LOG_NAME.removesuffix(".md"))
    mode, old = entries(run.shadow, tree, [path]).get(path, ("100644", ""))
    if mode not in REGULAR_MODES:
        return []
    text = blob(run.shadow, old).decode("utf-8", "surrogateescape") if old else ""
    now = write_blob(run.shadow, put_by(text, moved, reverted).encode("utf-8", "surrogateescape"))
    return [Change(path, mode, mode, old, now) if old else addition(path, now)]


def log_on_disk(run: Run, passed: Passed) -> None:
    """What a landing took out of the log, where git does not track the file that it goes to."""
    if passed.tracked:
        return
    before, after = (
        memory_of(run.shadow, run.tree_of(at), run.settings.memory.file).text
        for at in (passed.commit, passed.new)
    )
    if before is None or after is None:
        return
    kept = set(logged(after))
    gone = [entry for entry in logged(before) if entry not in kept]
    if not gone:
        return
    back = [entry for entry in gone if name_in(entry) == passed.task or task_file(run.queue, name_in(entry))]
    file = run.queue.log
    text = file.read_text(encoding="utf-8", errors="surrogateescape") if file.is_file() else ""
    file.parent.mkdir(exist_ok=True)
    put(file, put_by(text, [e for e in gone if e not in back], back).encode("utf-8", "surrogateescape"))


def _pending(run: Run, tree: str, without: str) -> list[tuple[str, str]]:
    """The pending tasks as they are with `tree` on the branch: another process may be moving its files just now."""
    listed = names(run.queue.pending) - {without}
    if run.queue.tracked:
        paths = {name: run.queue.git_path("pending", name) for name in listed}
        moved = {name: [run.queue.git_path(to, name) for to in ("done", "failed")] for name in listed}
        there = entries(run.shadow, tree, [*paths.values(), *(path for to in moved.values() for path in to)])
        listed = {name for name in listed if paths[name] in there or there.keys().isdisjoint(moved[name])}
    else:
        tip = run.repository.tip()
        listed -= {name for name, passed in run.journal.history.passed.items() if passed.new == tip}
    return [(name, run.titles.get(name, name)) for name in sorted(listed)]
