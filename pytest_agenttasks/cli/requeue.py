"""`agenttasks requeue TASK…`: failed or held tasks back to pending."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence

from ..failure import put_away
from ..history import History
from ..journal import Journal
from ..journal_records import Abandoned, Released
from ..outcome import SetupError
from ..queue import Queue, names
from ..rejection import write_note
from ..report.printable import one_line
from ..reviewers_note import with_note
from ..runs import run_lock
from ..trees.repository import Repository, is_ancestor
from .place import open_place, queue_option


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
    """Move the files back and let held tasks go; what each was: failed or held.

    Raises SetupError, with nothing moved, for a name that cannot be, and while a run of this queue goes on.
    """
    with run_lock(repository, queue):
        journal = Journal(repository.home / "journal.jsonl")
        done = {name: _standing(repository, queue, journal.history, name) for name in wanted}
        for name, was in done.items() if note else ():
            file = (queue.failed if was == "failed" else queue.pending) / f"{name}.md"
            with_note(file, file.read_bytes(), note or "")
        for name, was in done.items():
            _put_back(queue, name, was, note)
            passed = journal.history.passed.get(name)
            if passed is not None and not is_ancestor(repository, passed.new, "HEAD"):
                journal.write(Abandoned(task=name, attempt=passed.attempt))  # of `land`: it is tried anew now
            journal.write(Released(task=name))
    return done


def _standing(repository: Repository, queue: Queue, history: History, name: str) -> str:
    """`failed` or `held`. Raises SetupError where it is neither."""
    failed, pending = queue.failed / f"{name}.md", queue.pending / f"{name}.md"
    landed = history.landed.get(name)
    if failed.exists():
        if os.path.lexists(pending):
            raise SetupError(f"{name}: {pending} is there already; rename one of the two")
        return "failed"
    if landed is not None and not pending.exists():
        raise SetupError(f"{name}: has landed; `agenttasks reject {name} -m WHY` takes it back")
    if landed is None or not is_ancestor(repository, landed.commit, "HEAD"):
        raise SetupError(f"{name}: neither failed nor held (`agenttasks status` lists what is)")
    return "held"


def _put_back(queue: Queue, name: str, was: str, note: str | None) -> None:
    target = queue.pending / f"{name}.md"
    if was == "failed":
        failed = queue.failed / f"{name}.md"
        queue.pending.mkdir(exist_ok=True)
        os.link(failed, target)
        failed.unlink()
        put_away(queue, name)
    if note and note.strip():
        write_note(target, note)
