"""Looking at landed history again, from git alone: was every task commit in scope, is it green when gated again?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from . import gates, verdicts
from .base import memory_of, rules_of
from .queue import REPORT
from .run import Run
from .tasks.scope import judge
from .tasks.task import parse
from .trees.changes import SYMLINK_MODE, Change
from .trees.composition import diff
from .trees.objects import blob, entries
from .trees.repository import Repository
from .trees.survey import leaves

SEVERED = "its parent is not here (a shallow clone); `git fetch --unshallow` brings it"
NO_TASK_FILE = "its task file does not move from pending to done in this commit, so its scope is not known"
_PARENTS = "a task commit has exactly one parent"


class Sort(StrEnum):
    """What kind of commit it is: by its trailers and what it changes, never by its subject."""

    TASK = "task"
    BOOKKEEPING = "bookkeeping"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the range; `task` is the name in its trailer, "" for others."""

    id: str
    parents: tuple[str, ...]
    subject: str
    task: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said of one commit; no `problems`: as it should be.

    `red` names the gate that failed, with the end of its output in `evidence`; `note`: what could not be looked at.
    """

    commit: Commit
    sort: Sort
    problems: tuple[str, ...] = ()
    red: str = ""
    evidence: str = ""
    note: str = ""

    @property
    def ok(self) -> bool:
        return not self.problems and not self.red


def commits(repository: Repository, revisions: str) -> list[Commit]:
    """The commits of a range such as `main..HEAD`, oldest first. Raises GitError for one that git does not know."""
    chosen = repository.line("rev-list", "--reverse", "--topo-order", revisions, "--").split()
    found = []
    for commit in chosen:
        text = repository.line(
            "show", "-s", "--format=%P%n%s%n%(trailers:key=Agent-Task,valueonly)", commit, "--"
        )
        parents, subject, *names = text.split("\n")
        found.append(
            Commit(commit, tuple(parents.split()), subject, next((n.strip() for n in names if n.strip()), ""))
        )
    return found


def verify(run: Run, chosen: Sequence[Commit], logs: Path) -> Iterator[Finding]:
    """Each commit's finding, as it becomes known. Gates run past the cache."""
    for commit in chosen:
        sort, problems = _examine(run, commit)
        note = ""
        if problems == (NO_TASK_FILE,) and not run.queue.tracked:
            problems, note = (), "its scope is not known: the queue is not tracked by git"
        red = evidence = ""
        if sort is Sort.TASK:
            tree = run.repository.tree_of(commit.id)
            before = _gated_parent(run, commit)
            given = gates.check(
                run, run.settings.gates, tree, commit.id, logs, commit.id[:12], trust=False, base=before
            )
            if not given[-1].passed:
                red = f"{given[-1].gate}: {given[-1].reason} ({given[-1].log})"
                evidence = given[-1].evidence
        yield Finding(commit, sort, problems, red, evidence, note)


def _gated_parent(run: Run, commit: Commit) -> str | None:
    """The tree of the commit's parent, where its tests are known; it is not gated just for that."""
    if not commit.parents:
        return None
    tree = run.repository.tree_of(commit.parents[0])
    known = (verdicts.recall(run, verdicts.key(run, gate, tree)) for gate in gates.shell(run.settings.gates))
    return tree if all(known) else None


def _examine(run: Run, commit: Commit) -> tuple[Sort, tuple[str, ...]]:
    if len(commit.parents) != 1:
        return (Sort.TASK, (_PARENTS if commit.parents else SEVERED,)) if commit.task else (Sort.OTHER, ())
    changes = diff(run.shadow, commit.parents[0], commit.id)
    if not commit.task:
        return (Sort.BOOKKEEPING if _only_bookkeeping(run, commit, changes) else Sort.OTHER), ()
    own = {name: run.queue.git_path(name, commit.task) for name in ("pending", "failed", "done")}
    report = run.queue.git_path(
        "failed", f"{commit.task}{REPORT}"
    )  # goes with a task that is finished by hand
    moved = [change for change in changes if change.path in own.values()]
    rest = [
        change
        for change in changes
        if change.path not in own.values() and not (change.path == report and change.deleted)
    ]
    moves = {change.path: change.verb for change in moved}
    if moves not in ({own[place]: "deleted", own["done"]: "added"} for place in ("pending", "failed")):
        return Sort.TASK, (NO_TASK_FILE,)
    if not _same_text(moved):
        return Sort.TASK, ("the task file's text changes in the commit",)
    text = entries(run.shadow, commit.id, [own["done"]])[own["done"]]
    task = parse(Path(os.fsdecode(own["done"])), blob(run.shadow, text[1]))
    if task.refused:
        return Sort.TASK, tuple(f"task file, line {p.line}: {p.message}" for p in task.problems if not p.hint)
    base = run.repository.tree_of(commit.parents[0])
    rules = rules_of(run.settings, run.queue, memory_of(run.shadow, base, run.settings.memory.file))
    verdict = judge(task.scope, task.front.allow_tests, rules, rest)
    problems = [f"{v.change.name}: {v.change.verb}: {v.reason}" for v in verdict.violations]
    problems += [f"{change.name}: {change.verb}: a dropped path must not land" for change in verdict.dropped]
    if verdict.memory is not None:
        problems.append(f"{verdict.memory.name}: memory lands in bookkeeping commits only")
    problems += [
        f"{change.name}: symbolic link that leaves the repository"
        for change in verdict.allowed
        if change.new_mode == SYMLINK_MODE and leaves(change.path, blob(run.shadow, change.new_object))
    ]
    return Sort.TASK, tuple(problems)


def _same_text(moved: Sequence[Change]) -> bool:
    old = {change.old_object for change in moved if change.deleted}
    new = {change.new_object for change in moved if change.added}
    return old == new


def _only_bookkeeping(run: Run, commit: Commit, changes: Sequence[Change]) -> bool:
    memory = memory_of(run.shadow, commit.parents[0], run.settings.memory.file).path
    queue = f"{run.queue.relative}/".encode()
    return all(change.path == memory or change.path.startswith(queue) for change in changes)
