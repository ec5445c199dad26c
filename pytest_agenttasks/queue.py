"""The queue's folders: pending, done and failed side by side, and the files that move between them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from .outcome import SetupError
from .trees.git import split
from .trees.repository import Repository

REPORT = ".report"
"""How the stem of a failed task's report ends; such a file is no task."""
LOG_NAME = "LOG.md"
_NEW = ".new"
_LONG_AGO = 60.0
"""Seconds; nobody takes so long to write a task file."""


@dataclass(frozen=True, slots=True)
class Queue:
    """`pending` as the user named it, `relative` the folder around it as git writes it (`tasks`).

    `tracked`: git has some file of these folders, so task files move within commits.
    """

    pending: Path
    relative: str
    tracked: bool

    @property
    def done(self) -> Path:
        return self.pending.parent / "done"

    @property
    def failed(self) -> Path:
        return self.pending.parent / "failed"

    @property
    def logs(self) -> Path:
        return self.pending.parent / "logs"

    def git_path(self, folder: str, name: str) -> bytes:
        """The path of a task file in git; `folder` is `pending`, `done` or `failed`."""
        inner = self.pending.name if folder == "pending" else folder
        return os.fsencode(f"{self.relative}/{inner}/{name}.md")

    @property
    def log(self) -> Path:
        """What the memory file's log of completed tasks has no room for."""
        return self.done / LOG_NAME

    def has_done(self, name: str) -> bool:
        return os.path.lexists(self.done / f"{name}.md")

    @property
    def folders(self) -> tuple[str, ...]:
        return tuple(f"{self.relative}/{name}" for name in (self.pending.name, "done", "failed"))


def open_queue(repository: Repository, path: Path) -> Queue:
    """The queue at `path` (the folder, or one task file in it). Raises SetupError when there is none."""
    folder = Path(os.path.abspath(path))
    if folder.suffix == ".md" and not folder.is_dir():
        folder = folder.parent
    if not folder.is_dir():
        raise SetupError(
            f"{path}: no such folder; `agenttasks init` makes a queue, or name another with --agent-tasks"
        )
    real = folder.resolve()
    top = repository.top.resolve()
    if not real.is_relative_to(top):
        raise SetupError(
            f"{path}: outside the repository {repository.top}; the queue must lie in a folder of it"
        )
    relative = real.parent.relative_to(top).as_posix()
    if relative == "." or real == top:
        raise SetupError(
            f"{path}: the queue needs a folder around it (its siblings are done/, failed/ and logs/), such as tasks/pending"
        )
    names = tuple(f"{relative}/{name}" for name in (real.name, "done", "failed"))
    tracked = bool(
        repository.git(
            "ls-tree", "-r", "--name-only", repository.tip(), "--", *(f"{name}/" for name in names)
        )
    )
    if tracked:
        ignored = repository.git(
            "ls-files",
            "-z",
            "--others",
            "--ignored",
            "--exclude-standard",
            "--",
            *(f"{name}/" for name in names),
        )
        files = [Path(os.fsdecode(path)) for path in split(ignored)]
        if any(file.suffix == ".md" and not is_own(file.parent, file.name) for file in files):
            raise SetupError(
                f"{path}: git tracks the queue's folders but ignores task files in them, so they could not move with their "
                "commits; track them (mend .gitignore), or stop tracking the folders: "
                f"`git rm -r --cached {relative}` and ignore `{relative}/`"
            )
    return Queue(pending=repository.top / real.relative_to(top), relative=relative, tracked=tracked)


def task_files(folder: Path) -> list[Path]:
    """The task files of a queue folder, in file order: `.md`, nothing hidden, nothing deeper, no reports, not the log."""
    try:
        names = [
            entry.name
            for entry in os.scandir(folder)
            if entry.name.endswith(".md")
            and not entry.name.startswith(".")
            and not is_own(folder, entry.name)
            and not entry.is_dir(follow_symlinks=False)
        ]
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names)]


def names(folder: Path) -> set[str]:
    """The task names in a queue folder."""
    return {path.stem for path in task_files(folder)}


def is_own(folder: Path, name: str) -> bool:
    """Whether a file in a queue folder is one that the runner writes: a report (`NAME.report.md`), or the log."""
    return name.endswith(f"{REPORT}.md") or (folder.name == "done" and name == LOG_NAME)


def task_file(queue: Queue, name: str) -> Path | None:
    """The file of a task that has not landed: in the folder of pending tasks, or in that of failed ones."""
    files = (folder / f"{name}.md" for folder in (queue.pending, queue.failed))
    return next((file for file in files if os.path.lexists(file)), None)


def changed_files(repository: Repository, queue: Queue) -> list[bytes]:
    """Task files that differ from the last commit: new, edited, moved or deleted by the user; no other files."""
    if not queue.tracked:
        return []
    listed = split(
        repository.git(
            "status",
            "--porcelain=v1",
            "-z",
            "--untracked-files=all",
            "--no-renames",
            "--",
            *(f"{f}/" for f in queue.folders),
        )
    )
    return [entry[3:] for entry in listed if entry.endswith(b".md")]


def move_untracked(queue: Queue, name: str, folder: str, new_name: str | None = None) -> Path:
    """Move a task file that git does not track. Raises FileExistsError rather than overwrite another."""
    source = task_file(queue, name) or queue.pending / f"{name}.md"
    target = queue.pending.parent / folder / f"{new_name or source.stem}.md"
    target.parent.mkdir(exist_ok=True)
    os.link(source, target, follow_symlinks=False)
    source.unlink(missing_ok=True)
    return target


def rewrite(file: Path, data: bytes) -> None:
    """Replace a task file's text in one step. What a kill leaves beside it has one name, and goes with the next start."""
    temporary = file.with_name(f".{file.name}{_NEW}")
    temporary.write_bytes(data)
    temporary.replace(file)


def finish_moves(queue: Queue, charged: Callable[[], Container[str]]) -> None:
    """End moves that a kill has cut short: then a task file has two names, in `pending` and in another folder.

    One that is in `failed` too is on its way there where its task was charged since it was queued, else on its way back.
    """
    for file in task_files(queue.pending):
        if file.lstat().st_nlink == 1:
            continue
        if _same(file, queue.done / file.name):
            file.unlink(missing_ok=True)
        elif _same(file, failed := queue.failed / file.name):
            (file if file.stem in charged() else failed).unlink(missing_ok=True)
    for folder in (queue.pending, queue.failed):
        for left in folder.glob(f".*.md{_NEW}"):
            if time.time() - left.lstat().st_mtime > _LONG_AGO:
                left.unlink(missing_ok=True)


def _same(file: Path, other: Path) -> bool:
    try:
        return os.path.samestat(file.lstat(), other.lstat())
    except FileNotFoundError:
        return False


def write_new(file: Path, data: bytes) -> None:
    """Write a file that must not exist yet."""
    with file.open("xb") as stream:
        stream.write(data)


def ensure_folders(queue: Queue) -> None:
    """Make the folders that are not there; git takes an empty one away with its last tracked file."""
    for folder in (queue.pending, queue.done, queue.failed):
        folder.mkdir(exist_ok=True)


def free_name(folder: Path, name: str, end: str = "") -> str:
    """`name`, or with a number behind it where a file of that name (followed by `end`) is there already."""
    number, candidate = 1, name
    while os.path.lexists(folder / f"{candidate}{end}.md"):
        number += 1
        candidate = f"{name}.{number}"
    return candidate
