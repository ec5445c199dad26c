"""Where a verb works: the repository around the current folder, its queue, and a run on them for verbs that commit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..agents.contract import Progress
from ..journal import Journal
from ..landing import BranchMoved, InTheWay
from ..outcome import SetupError
from ..owner import lives
from ..queue import Queue, open_queue, task_files
from ..recovery import finish_landings
from ..report.printable import printable
from ..run import NoExtensions, Run, open_run
from ..runs import going_on
from ..settings.loading import load
from ..settings.records import FILE_NAME
from ..tasks.task import read
from ..trees.repository import Repository, discover
from .new import DEFAULT_QUEUE


def queue_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )


def open_place(queue: Path | None) -> tuple[Repository, Queue]:
    """The repository and its queue (`tasks/pending` of the top folder unless named). Raises SetupError."""
    repository = discover(Path.cwd())
    return repository, open_queue(repository, queue or repository.top / DEFAULT_QUEUE)


def finish_landing(repository: Repository, queue: Queue) -> None:
    """For verbs that look at what has landed: first comes what a kill has left of landings. Says what was done; raises
    SetupError where a landing is half-way and cannot be finished here."""
    file = repository.home / "journal.jsonl"
    if not file.exists():
        return
    history = Journal(file).history
    if history.forward is None and not any(not lives(passed.owner) for passed in history.passed.values()):
        return
    try:
        with committing(repository, queue) as run:
            finish_landings(run, lambda line: print(f"agenttasks: {printable(line)}", file=sys.stderr))
    except SetupError as error:
        if history.forward is not None:
            raise SetupError(f"a landing that a kill has cut short comes first: {error}") from error


def _tell(_task: str, progress: Progress) -> None:
    """Say what is waited for: a task that lands in a run that goes on."""
    print(f"agenttasks: {progress.step}", file=sys.stderr)


@contextmanager
def committing(repository: Repository, queue: Queue) -> Iterator[Run]:
    """A run for a verb that makes commits of the runner's own, on the branch that is checked out; also beside a run that
    goes on in this checkout. Raises SetupError, also for what is in the way of the commit: then nothing was done."""
    for known in going_on(repository):
        if known.get("top") not in (None, str(repository.top)):
            raise SetupError(
                f"{repository.top}: a run goes on in another worktree, {known['top']}; wait for it, or work there"
            )
    file = repository.top / FILE_NAME
    run = open_run(repository, queue, load(file), file, NoExtensions(), progress=_tell)
    try:
        run.titles.update({task.name: task.title for task in map(read, task_files(queue.pending))})
        yield run
    except InTheWay as error:
        raise SetupError(f"nothing was done: {error}; commit or undo that, then try again") from error
    except BranchMoved as error:
        raise SetupError(f"nothing was done: {error}; try again") from error
    finally:
        run.close()
