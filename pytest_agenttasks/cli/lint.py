"""`agenttasks lint`: all that can be said about the queue before anything is spent."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..memory.text import protected_paths
from ..outcome import SetupError
from ..queue import names, open_queue, task_files
from ..report.printable import one_line
from ..settings.loading import load
from ..settings.records import FILE_NAME, Settings
from ..tasks.lint import lint
from ..tasks.scope import Rules
from ..tasks.task import Problem, read
from ..trees.git import GitError, split
from ..trees.repository import Repository, discover
from .new import DEFAULT_QUEUE

EXIT_ERRORS = 1
EXIT_EMPTY = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """The queue, and the form of the answer."""
    parser.add_argument(
        "queue",
        nargs="?",
        type=Path,
        metavar="QUEUE",
        help=f"the queue folder, or one task file in it (default: {DEFAULT_QUEUE} in the top folder)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print every error and hint; 1 when a task would be refused."""
    repository = discover(Path.cwd())
    repository.tip()
    asked = args.queue or repository.top / DEFAULT_QUEUE
    queue = open_queue(repository, asked)
    settings = load(repository.top / FILE_NAME)
    tasks = [read(path) for path in task_files(queue.pending)]
    found = lint(
        tasks,
        done=names(queue.done),
        failed=names(queue.failed),
        base_paths=base_paths(repository),
        rules=rules(repository, settings, queue.relative),
    )
    only = None if asked.is_dir() else asked.name
    chosen = {
        task.path: found.get(task.path, task.problems) for task in tasks if only in (None, task.path.name)
    }
    if only and not chosen:
        raise SetupError(f"{asked}: no such task file")
    print(as_json(chosen) if args.json else as_lines(chosen))
    if any(not problem.hint for problems in chosen.values() for problem in problems):
        return EXIT_ERRORS
    return 0 if chosen else EXIT_EMPTY


def base_paths(repository: Repository) -> list[str]:
    """The files of the last commit, from the top folder."""
    try:
        listed = repository.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", "HEAD")
    except GitError as error:
        raise SetupError(str(error)) from error
    return [os.fsdecode(path) for path in split(listed)]


def rules(repository: Repository, settings: Settings, queue: str) -> Rules:
    """What no task may change, from the settings and the memory file as they stand in the checkout."""
    memory = repository.top / settings.memory.file
    listed: Sequence[str] = ()
    if memory.is_file():
        listed, problems = protected_paths(memory.read_text(encoding="utf-8", errors="replace"))
        if problems:
            raise SetupError(f"{settings.memory.file}: {'; '.join(problems)}")
    return Rules(
        protected=(*settings.protected, *listed),
        tests=settings.tests,
        queue=queue,
        memory_file=settings.memory.file,
        settings_file=FILE_NAME,
        drop=settings.drop,
    )


def as_lines(found: Mapping[Path, Sequence[Problem]]) -> str:
    """A line for each problem, as editors understand it, and a summary."""
    lines = []
    for path, problems in found.items():
        for problem in sorted(problems, key=lambda p: (p.line, p.hint)):
            place = f"{os.path.relpath(path)}:{problem.line}" if problem.line else os.path.relpath(path)
            lines.append(one_line(f"{place}: {_level(problem)}: {problem.message}", limit=1000))
    return "\n".join([*lines, summary(found)])


def as_json(found: Mapping[Path, Sequence[Problem]]) -> str:
    """The same for programs."""
    tasks = [
        {
            "name": path.stem,
            "path": os.path.relpath(path),
            "problems": [{"line": p.line, "level": _level(p), "message": p.message} for p in problems],
        }
        for path, problems in found.items()
    ]
    return json.dumps(
        {"tasks": tasks, "errors": _count(found, hint=False), "hints": _count(found, hint=True)}, indent=2
    )


def summary(found: Mapping[Path, Sequence[Problem]]) -> str:
    """One line: how many tasks, errors and hints."""
    if not found:
        return 'no task in the queue; write one with `agenttasks new "Title"`'
    counts = ((len(found), "task"), (_count(found, hint=False), "error"), (_count(found, hint=True), "hint"))
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)


def _count(found: Mapping[Path, Sequence[Problem]], *, hint: bool) -> int:
    return sum(problem.hint is hint for problems in found.values() for problem in problems)


def _level(problem: Problem) -> str:
    return "hint" if problem.hint else "error"
