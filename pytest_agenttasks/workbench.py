"""Where a person finishes a task by hand: a worktree of the user's repository with an attempt's files, on no branch,
and beside it a folder with all that is known of the task's attempts.

Both lie beside the checkout, where people look for them, and neither is ever written over: opened again, they are as the
person has left them.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .base import memory_of
from .dossier import DOSSIER, Workbench, digest, with_dossier
from .memory.agent_changes import agent_changes, merge_additions
from .outcome import SetupError
from .run import Run
from .state_file import load, put_for_good
from .tasks.scope import Rules, judge
from .tasks.task import Task
from .trees.attempts import kept
from .trees.changes import SYMLINK_MODE, Change, shown
from .trees.composition import compose, conflicts, diff, write_blob
from .trees.git import GitError
from .trees.objects import blob, entries
from .trees.places import state_folder
from .trees.removal import remove
from .trees.repository import Repository


@dataclass(frozen=True, slots=True)
class Opened:
    """A worktree that is there. `anew`: it has been made just now.

    `strays` are paths that may not land; `clash` those that the branch has changed since the attempt began: then the
    worktree stands on the attempt's base, and has to be brought up to date.
    """

    bench: Workbench
    anew: bool
    strays: tuple[str, ...] = ()
    clash: tuple[str, ...] = ()


def known(repository: Repository, task: str) -> Workbench | None:
    """The worktree of this task, None where there is none or its folder is gone."""
    found = load(_state(repository, task), Workbench)
    return found if found is not None and found.whole and os.path.lexists(found.path) else None


def benches(repository: Repository) -> list[Workbench]:
    """The worktrees that are there."""
    found = (load(file, Workbench) for file in sorted((repository.home / "by-hand").glob("*.json")))
    return [bench for bench in found if bench is not None and bench.whole and os.path.lexists(bench.path)]


def containing(repository: Repository) -> Workbench | None:
    """The workbench whose worktree this checkout is."""
    top = repository.top.resolve()
    return next((bench for bench in benches(repository) if bench.worktree.resolve() == top), None)


def open_attempt(run: Run, task: Task, number: int | None, rules: Rules) -> Opened:
    """The task's worktree, made of attempt `number` (None: the last one with files) where there is none yet.

    Raises SetupError where there is no such attempt, or where another one's files are being worked on.
    """
    bench = known(run.repository, task.name)
    if bench is not None:
        if number not in (None, bench.attempt):
            raise SetupError(
                f"{task.name}: attempt {bench.attempt} is open in {bench.path}; land that, or give it up with "
                f"`git worktree remove --force {shlex.quote(bench.path)}`"
            )
        bench = with_dossier(run, task, bench)
        _record(run.repository, bench)
        return Opened(bench, anew=False)
    number = number if number is not None else _last(run, task.name)
    base, tree = _stored(run, task.name, number)
    start, files, clash = _on_the_tip(run, base, tree)
    path = _place(run.repository, task.name)
    bench = Workbench(
        task=task.name,
        attempt=number,
        top=str(run.repository.top),
        queue=str(run.queue.pending),
        path=str(path),
        whole=False,
        unfinished=_unfinished(run.repository, task.name),
    )
    _record(run.repository, bench)
    try:
        run.repository.git("worktree", "add", "-q", "-f", "--detach", str(path), start)
        _put(run, path, run.repository.tree_of(start), files)
    except GitError as error:
        raise SetupError(f"{path}: the worktree cannot be made: {error.stderr.strip()}") from error
    bench = msgspec.structs.replace(with_dossier(run, task, bench), whole=True)
    _record(run.repository, bench)
    verdict = judge(
        task.scope, task.front.allow_tests, rules, diff(run.shadow, run.repository.tree_of(start), files)
    )
    return Opened(
        bench,
        anew=True,
        strays=tuple(violation.change.name for violation in verdict.violations),
        clash=clash,
    )


def discard(run: Run, bench: Workbench) -> list[str]:
    """Remove the worktree, and of the dossier what nobody has touched; the names of what is left there."""
    run.repository.git("worktree", "remove", "--force", bench.path)
    left = []
    for file in sorted(bench.dossier.iterdir()) if bench.dossier.is_dir() else ():
        if file.is_file() and digest(file.read_bytes()) == bench.written.get(file.name):
            file.unlink()
        else:
            left.append(file.name)
    if not left:
        remove(bench.dossier)
        if not any(bench.dossier.parent.iterdir()):
            bench.dossier.parent.rmdir()
    _state(run.repository, bench.task).unlink(missing_ok=True)
    return left


def _state(repository: Repository, task: str) -> Path:
    return repository.home / "by-hand" / f"{task}.json"


def _record(repository: Repository, bench: Workbench) -> None:
    file = _state(repository, bench.task)
    file.parent.mkdir(parents=True, exist_ok=True)
    put_for_good(file, msgspec.json.encode(bench))


def _unfinished(repository: Repository, task: str) -> tuple[str, ...]:
    """The worktrees of this task that were begun, and not made to their end."""
    found = load(_state(repository, task), Workbench)
    if found is None:
        return ()
    begun = (*found.unfinished, *(() if found.whole else (found.path,)))
    return tuple(path for path in begun if os.path.lexists(path))


def _last(run: Run, name: str) -> int:
    for number in range(run.journal.history.attempts.get(name, 0), 0, -1):
        if kept(run.shadow, f"refs/attempts/{name}/{number}") is not None:
            return number
    raise SetupError(
        f"{name}: no attempt at it has left any files; `agenttasks show {name}` tells what there is"
    )


def _stored(run: Run, name: str, number: int) -> tuple[str, str]:
    """Base commit and files of an attempt."""
    tree = kept(run.shadow, f"refs/attempts/{name}/{number}")
    base = run.journal.history.bases.get((name, number))
    if tree is None or base is None:
        raise SetupError(
            f"{name}: attempt {number} has left no files (`agenttasks show {name}` lists the attempts)"
        )
    try:
        run.repository.tree_of(base)
    except GitError as error:
        raise SetupError(
            f"{name}: the commit {base[:10]} that attempt {number} began from is gone; its changes are in "
            f"{run.queue.logs / name / f'attempt-{number}.diff'}: `git apply` puts them on another"
        ) from error
    return base, tree


def _on_the_tip(run: Run, base: str, tree: str) -> tuple[str, str, tuple[str, ...]]:
    """A commit, the attempt's files on it, and what keeps it from being the branch's tip."""
    tip = run.repository.tip()
    before, now = run.repository.tree_of(base), run.repository.tree_of(tip)
    memory = memory_of(run.shadow, before, run.settings.memory.file).path
    changes = diff(run.shadow, before, tree)
    files = [change for change in changes if change.path != memory]
    clash = conflicts(run.shadow, before, now, files)
    if clash:
        return base, tree, tuple(map(shown, clash))
    noted = [change for change in changes if change.path == memory]
    if conflicts(run.shadow, before, now, noted):  # the runner writes there with every landing
        noted = _additions(run, now, before, noted[0])
    return tip, compose(run.shadow, now, [*files, *noted]), ()


def _additions(run: Run, now: str, before: str, change: Change) -> list[Change]:
    """The attempt's additions to the memory file, on the file as it is now; what else it did there is in its diff."""
    file = run.settings.memory.file
    current, base = (memory_of(run.shadow, tree, file).text for tree in (now, before))
    if current is None or base is None or change.deleted or change.new_mode == SYMLINK_MODE:
        return []
    theirs = blob(run.shadow, change.new_object).decode("utf-8", "replace")
    text = merge_additions(current, agent_changes(base, theirs).additions)
    mode, old = entries(run.shadow, now, [change.path])[change.path]
    return [Change(change.path, mode, mode, old, write_blob(run.shadow, text.encode()))]


def _place(repository: Repository, task: str) -> Path:
    """A path for the worktree that nothing has: beside the checkout, or where that cannot be, in the state folder."""
    folder = repository.top.parent / f"{repository.top.name}.by-hand"
    try:
        folder.mkdir(exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(folder)
    except OSError:
        folder = state_folder(repository) / "by-hand"
        folder.mkdir(parents=True, exist_ok=True)
    number, path = 1, folder / task
    while os.path.lexists(path) or os.path.lexists(f"{path}{DOSSIER}"):
        number += 1
        path = folder / f"{task}.{number}"
    return path


def _put(run: Run, path: Path, before: str, tree: str) -> None:
    """Bring the files that differ into a worktree that holds `before`; its own index stays."""
    changes = diff(run.shadow, before, tree)
    for change in changes:
        if change.deleted:
            file = path / os.fsdecode(change.path)
            file.unlink(missing_ok=True)
            for folder in file.parents:
                if folder == path or any(folder.iterdir()):
                    break
                folder.rmdir()
    index = run.shadow.git_dir / f"by-hand-{os.getpid()}.index"
    try:
        run.shadow.git("read-tree", tree, index=index, work_tree=path)
        paths = b"".join(change.path + b"\0" for change in changes if not change.deleted)
        run.shadow.git("checkout-index", "-f", "-z", "--stdin", index=index, work_tree=path, stdin=paths)
    finally:
        index.unlink(missing_ok=True)
