"""`agenttasks requeue TASK…`: failed or held tasks back to pending."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from ..failure import put_away
from ..history import History
from ..journal import Journal
from ..journal_records import Abandoned, Released
from ..outcome import SetupError
from ..queue import Queue, finish_moves, names, rewrite
from ..report.printable import one_line
from ..reviewers_note import with_note
from ..runs import run_lock
from ..trees.repository import Repository, is_ancestor
from .place import finish_landing, open_place, queue_option


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="names of failed or held tasks")
    parser.add_argument("--all", action="store_true", help="every failed task")
    parser.add_argument(
        "-m", dest="note", metavar="NOTE", help="added to the task as a reviewer's note, for the next session"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    queue_option(parser)


def run(args: argparse.Namespace) -> int:
    repository, queue = open_place(args.queue)
    finish_landing(repository, queue)
    wanted = [name.removesuffix(".md") for name in args.tasks]
    if args.all:
        wanted += sorted(names(queue.failed) - set(wanted))
    if not wanted and not args.all:
        raise SetupError(
            "no task named; name failed or held tasks, or give --all (`agenttasks status` lists them)"
        )
    done = requeue(repository, queue, wanted, args.note)
    if args.json:
        print(json.dumps({"requeued": [{"task": name, "was": was} for name, was in done.items()]}, indent=2))
    elif not done:
        print("no task has failed: nothing to do")
    for name, was in done.items() if not args.json else ():
        print(f"{one_line(name)}: pending again (was {was})")
    return 0


def requeue(repository: Repository, queue: Queue, wanted: Sequence[str], note: str | None) -> dict[str, str]:
    """Move the files back and let held tasks go; what each was: failed or held. Cut short by a kill, it can be done again.

    Raises SetupError, with nothing moved, for a name that cannot be, and while a run of this queue goes on.
    """
    with run_lock(repository, queue):
        journal = Journal(repository.home / "journal.jsonl")
        finish_moves(queue, lambda: journal.history.charged)
        done = {name: _standing(repository, queue, journal.history, name) for name in wanted}
        noted = {name: _with_note(queue, name, was, note) for name, was in done.items()}
        for name, was in done.items():
            if (data := noted[name]) is not None:
                rewrite(_file(queue, name, was), data)
            passed = journal.history.passed.get(name)
            if passed is not None and not is_ancestor(repository, passed.new, "HEAD"):
                journal.write(Abandoned(task=name, attempt=passed.attempt))  # of `land`: it is tried anew now
            journal.write(Released(task=name))
            if was == "failed":
                _put_back(queue, name)
    return done


def _standing(repository: Repository, queue: Queue, history: History, name: str) -> str:
    """`failed` or `held`. Raises SetupError where it is neither."""
    failed, pending = queue.failed / f"{name}.md", queue.pending / f"{name}.md"
    landed = history.landed.get(name)
    if failed.exists():
        if os.path.lexists(pending):
            raise SetupError(f"{name}: {pending} is there already; rename one of the two")
        return "failed"
    if landed is None and pending.exists():
        raise SetupError(f"{name}: pending already; the next run has it (a note for it goes into {pending})")
    if landed is not None and not pending.exists():
        raise SetupError(f"{name}: has landed; `agenttasks reject {name} -m WHY` takes it back")
    if landed is None or not is_ancestor(repository, landed.commit, "HEAD"):
        raise SetupError(f"{name}: neither failed nor held (`agenttasks status` lists what is)")
    return "held"


def _file(queue: Queue, name: str, was: str) -> Path:
    return (queue.failed if was == "failed" else queue.pending) / f"{name}.md"


def _with_note(queue: Queue, name: str, was: str, note: str | None) -> bytes | None:
    """The task's text with the note, None where it has it, or there is none. Raises SetupError as `with_note`."""
    file = _file(queue, name, was)
    data = file.read_bytes()
    noted = with_note(file, data, note) if note and note.strip() else data
    return noted if noted != data else None


def _put_back(queue: Queue, name: str) -> None:
    """The move itself comes last: until then the task is a failed one, and can be requeued again."""
    failed = queue.failed / f"{name}.md"
    put_away(queue, name)
    queue.pending.mkdir(exist_ok=True)
    os.link(failed, queue.pending / failed.name, follow_symlinks=False)
    failed.unlink(missing_ok=True)
