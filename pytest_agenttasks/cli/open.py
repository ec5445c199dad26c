"""`agenttasks open TASK`: finish a task by hand, in a worktree that holds the files of one of its attempts."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
from pathlib import Path

from ..base import memory_of, rules_of
from ..outcome import SetupError
from ..queue import Queue, task_file
from ..report.printable import one_line, printable
from ..run import NoExtensions, open_run
from ..settings.loading import load
from ..settings.records import FILE_NAME
from ..tasks.task import Task, read
from ..workbench import Opened, open_attempt
from .place import finish_landing, open_place

_TOLD = 10


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="the name of a failed (or pending) task")
    parser.add_argument(
        "--attempt", type=int, metavar="N", help="start from this attempt's files (default: the last one's)"
    )
    parser.add_argument(
        "--editor",
        metavar="CMD",
        help="open them with this command: code, cursor, idea, …; it is given the worktree and a file about the attempts",
    )
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )


def run(args: argparse.Namespace) -> int:
    """Make the worktree, or go on with the one that is there, and say where it is. Raises SetupError."""
    command = _command(args.editor)
    repository, queue = open_place(args.queue)
    finish_landing(repository, queue)
    task = unfinished_task(queue, args.task)
    file = repository.top / FILE_NAME
    branch = repository.branch() or "refs/heads/agents/queue"
    opened = open_run(repository, queue, load(file), file, NoExtensions(), branch=branch)
    try:
        tip = repository.tip()
        rules = rules_of(opened.settings, queue, memory_of(opened.shadow, tip, opened.settings.memory.file))
        found = open_attempt(opened, task, args.attempt, rules)
        print(_told(found, task, opened.settings.workspace.setup, branch), flush=True)
    finally:
        opened.close()
    return _edit(command, found) if command else 0


def unfinished_task(queue: Queue, name: str) -> Task:
    """The task of that name, failed or pending. Raises SetupError."""
    name = name.removesuffix(".md")
    file = task_file(queue, name)
    if file is not None:
        return read(file)
    if (queue.done / f"{name}.md").exists():
        raise SetupError(f"{name}: has landed; `git log --grep 'complete {name}'` shows the commit")
    raise SetupError(f"{name}: no failed or pending task of this name (`agenttasks status` lists them)")


def _command(editor: str | None) -> list[str]:
    """What to start. $VISUAL and $EDITOR do not count: they are for one file in a terminal, and this is a folder."""
    if editor is None:
        return []
    try:
        command = shlex.split(editor)
    except ValueError as error:
        raise SetupError(f"--editor {editor}: {error}") from error
    if not command:
        raise SetupError("--editor: expected a command, such as code")
    return command


def _told(found: Opened, task: Task, setup: str | None, branch: str) -> str:
    bench, name = found.bench, shlex.quote(task.name)
    place = shlex.quote(bench.path)
    short = shlex.quote(branch.removeprefix("refs/heads/"))
    lines = [
        f"{task.name}: the files of attempt {bench.attempt} are in {bench.path}"
        if found.anew
        else f"{task.name}: open already, as you left it: attempt {bench.attempt} in {bench.path}",
        f"what is known of its attempts: {bench.dossier / 'README.md'}",
    ]
    for left in filter(os.path.lexists, bench.unfinished):
        lines += [
            f"an earlier `open` was cut short and has left {left}, which nothing uses; once you need nothing of it:",
            f"  git worktree remove --force --force {shlex.quote(left)}",
        ]
    if found.strays:
        lines.append(
            f"out of scope, so they cannot land (take them back, or name them in {task.path}): {_names(found.strays)}"
        )
    if found.clash:
        lines += [
            f"`{short}` has changed the same files since the attempt began: {_names(found.clash)}",
            "so these stand on what it began from; bring them up to date before they land:",
            f"  git -C {place} add -A && git -C {place} commit -m WIP && git -C {place} merge {short}",
        ]
    lines += ["next:", f"  cd {place}"]
    if setup and found.anew:
        lines.append(f"  {printable(setup)}    # dependencies: the worktree begins without any")
    lines += [
        f"  agenttasks land {name}    # the same checks, gates and landing as for an agent",
        f"  git worktree remove --force {place}    # or give it up",
    ]
    return "\n".join(lines)


def _names(paths: tuple[str, ...]) -> str:
    more = f" and {len(paths) - _TOLD} more" if len(paths) > _TOLD else ""
    return ", ".join(one_line(path) for path in paths[:_TOLD]) + more


def _edit(command: list[str], found: Opened) -> int:
    bench = found.bench
    try:
        done = subprocess.run(
            [*command, bench.path, str(bench.dossier / "README.md")], cwd=bench.path, check=False
        )
    except OSError as error:
        raise SetupError(
            f"--editor {command[0]}: cannot be started ({error.strerror}); the files are in {bench.path}"
        ) from error
    if done.returncode:
        raise SetupError(
            f"--editor {command[0]}: ended with status {done.returncode}; the files are in {bench.path}"
        )
    return 0
