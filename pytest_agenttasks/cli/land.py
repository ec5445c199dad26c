"""`agenttasks land TASK`: what was finished by hand, through the same verdict, gates and landing as an agent's work."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..agents.contract import Progress
from ..dossier import Workbench
from ..finishing import finish, not_landed
from ..integration.alone import extensions
from ..outcome import Kind, Outcome, SetupError
from ..preflight import check_landing
from ..queue import Queue, open_queue, task_file
from ..report.printable import one_line, printable
from ..report.summary import explain
from ..run import open_run
from ..runs import run_lock
from ..settings.loading import load
from ..settings.records import FILE_NAME
from ..trees.repository import Repository, discover
from ..workbench import containing, discard, known
from .open import unfinished_task
from .place import finish_landing, open_place


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="the name of a task that `agenttasks open` has opened")
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )


def run(args: argparse.Namespace) -> int:
    """0 when it has landed, 1 when it has not; then nothing is changed. Raises SetupError."""
    repository, queue = _place(args)
    finish_landing(repository, queue)
    name = args.task.removesuffix(".md")
    bench = known(repository, name)
    if bench is not None and queue.has_done(name) and task_file(queue, name) is None:
        raise SetupError(
            f"{name}: has landed already; its worktree is still there, to be removed when you need nothing of it: "
            f"`git worktree remove --force {shlex.quote(bench.path)}`"
        )
    task = unfinished_task(queue, name)
    if bench is None:
        raise SetupError(f"{task.name}: not open; `agenttasks open {task.name}` makes a worktree of it")
    if task.refused:
        problem = next(problem for problem in task.problems if not problem.hint)
        raise SetupError(f"{task.path}:{problem.line}: {problem.message}; mend the task file first")
    file = repository.top / FILE_NAME
    settings, hooks = load(file), extensions(queue)
    with run_lock(repository, queue):
        opened = open_run(
            repository, queue, settings, file, hooks, listeners=[hooks.event, _heard], progress=_progress
        )
        try:
            check_landing(opened, lambda line: print(printable(line), flush=True))
            if not task.path.exists():  # an earlier one that was killed: what it had left to do is done now
                print(f"{task.name}: nothing is left to land; its worktree stays: {bench.path}")
                return 0
            this = finish(opened, task, bench)
            assert this.outcome is not None
            for note in this.notes:
                print(f"note: {printable(note)}")
            if not this.outcome.landed:
                print(explain(_advised(this.outcome, bench, task.path, opened.branch), task.name))
                return 1
            print(f"{task.name}: {this.outcome.summary}")
            if left := not_landed(opened, bench, this, settings.memory.file):
                place = shlex.quote(bench.path)
                print(f"the worktree stays, for not all in it has landed ({one_line('; '.join(left), 600)}):")
                print(f"  git worktree remove --force {place}    # when you need nothing of it")
            else:
                kept = discard(opened, bench)
                said = (
                    f"; your files beside it stay in {bench.dossier}: {', '.join(kept[:5])}" if kept else ""
                )
                print(f"its worktree held nothing else and is removed{printable(said)}")
        finally:
            opened.close()
    return 0


def _place(args: argparse.Namespace) -> tuple[Repository, Queue]:
    """The checkout to land in, also for whoever types this in the worktree itself."""
    here = discover(Path.cwd())
    bench = containing(here)
    if bench is None:
        return open_place(args.queue)
    repository = discover(Path(bench.top))
    return repository, open_queue(repository, Path(bench.queue))


def _advised(outcome: Outcome, bench: Workbench, task_file: Path, branch: str) -> Outcome:
    """The outcome, with what a person does about it."""
    again = f"nothing is changed; mend it in {bench.path}, then `agenttasks land {bench.task}`"
    match outcome.kind:
        case Kind.SCOPE:
            again += f" (or, where a file belongs to the task, name it in the Files in Scope of {task_file})"
        case Kind.MOVED:
            place, short = shlex.quote(bench.path), shlex.quote(branch.removeprefix("refs/heads/"))
            again = (
                f"commit what is in the worktree and bring it up to date, `git -C {place} merge {short}`, then "
                f"`agenttasks land {bench.task}`"
            )
        case Kind.CHECKOUT:
            again = (
                f"commit, stash or move these files, then `agenttasks land {bench.task}` again; its gates are green "
                "and known"
            )
        case Kind.GATE | Kind.ACCEPT | Kind.AGENT:
            pass
        case _:
            return outcome
    return replace(outcome, advice=again)


def _heard(event: dict[str, Any]) -> None:
    if event["event"] == "gate-started":
        print(f"gate {printable(event['gate'])}: {one_line(str(event['run']))} …", flush=True)


def _progress(_task: str, progress: Progress) -> None:
    if progress.step.startswith("waiting"):
        print(one_line(progress.step), flush=True)
