"""`agenttasks requeue TASK…`: failed or held tasks back to pending."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..failure import put_away
from ..journal import Journal
from ..journal_records import Abandoned, Released
from ..outcome import SetupError
from ..queue import Queue, names
from ..report.printable import one_line
from ..runs import run_lock
from ..trees.repository import is_ancestor
from .place import open_place

NOTE_HEADING = "## Reviewer's note"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="names of failed or held tasks")
    parser.add_argument("--all", action="store_true", help="every failed task")
    parser.add_argument(
        "-m", dest="note", metavar="NOTE", help="added to the task as a reviewer's note, for the next session"
    )
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )


def run(args: argparse.Namespace) -> int:
    """Move the files back and let held tasks go. Raises SetupError, with nothing moved, for a name that cannot be."""
    repository, queue = open_place(args.queue)
    wanted = [name.removesuffix(".md") for name in args.tasks]
    if args.all:
        wanted += sorted(names(queue.failed) - set(wanted))
    if not wanted:
        raise SetupError(
            "no task named; name failed or held tasks, or give --all (`agenttasks status` lists them)"
        )
    with run_lock(repository, queue):
        journal = Journal(repository.home / "journal.jsonl")
        for name in wanted:
            _refuse(queue, journal, name)
        for name in dict.fromkeys(wanted):
            _requeue(queue, name, args.note)
            passed = journal.history.passed.get(name)
            if passed is not None and not is_ancestor(repository, passed.new, "HEAD"):
                journal.write(Abandoned(task=name, attempt=passed.attempt))  # of `land`: it is tried anew now
            journal.write(Released(task=name))
            print(f"{one_line(name)}: pending again")
    return 0


def _refuse(queue: Queue, journal: Journal, name: str) -> None:
    failed, pending = queue.failed / f"{name}.md", queue.pending / f"{name}.md"
    if failed.exists() and os.path.lexists(pending):
        raise SetupError(f"{name}: {pending} is there already; rename one of the two")
    if not failed.exists() and not (pending.exists() and name in journal.history.landed):
        raise SetupError(f"{name}: neither failed nor held (`agenttasks status` lists what is)")


def _requeue(queue: Queue, name: str, note: str | None) -> None:
    target = queue.pending / f"{name}.md"
    failed = queue.failed / f"{name}.md"
    if failed.exists():
        os.link(failed, target)
        failed.unlink()
        put_away(queue, name)
    if note:
        text = target.read_bytes()
        separator = b"" if text.endswith(b"\n") else b"\n"
        heading = b"" if NOTE_HEADING.encode() in text else f"\n{NOTE_HEADING}\n".encode()
        temporary = target.with_name(f".{target.name}.new")
        temporary.write_bytes(text + separator + heading + f"{note}\n".encode())
        temporary.replace(target)
