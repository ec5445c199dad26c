"""`agenttasks reject TASK -m WHY`: revert what a task landed as, and queue it again with a reviewer's note."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict

from ..outcome import SetupError
from ..queue import Queue
from ..rejection import Rejection
from ..rejection import reject as take_back
from ..report.printable import one_line, printable
from ..runs import run_lock
from ..trees.repository import Repository
from .place import committing, open_place, queue_option


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="the name of a task that has landed")
    parser.add_argument(
        "-m",
        dest="why",
        metavar="WHY",
        required=True,
        help="what the next session has to know: a note in the task",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    queue_option(parser)


def run(args: argparse.Namespace) -> int:
    repository, queue = open_place(args.queue)
    done = reject(repository, queue, args.task.removesuffix(".md"), args.why)
    print(json.dumps(asdict(done), indent=2) if args.json else told(done))
    return 0


def reject(repository: Repository, queue: Queue, name: str, why: str) -> Rejection:
    """Raises SetupError, with nothing done, as `rejection.reject`, and while a run of this queue goes on."""
    if not why.strip():
        raise SetupError("-m: say why; the next session of this task reads it")
    with run_lock(repository, queue), committing(repository, queue) as opened:
        return take_back(opened, name, why, time.time())


def told(done: Rejection) -> str:
    """What was done, for people."""
    name = one_line(done.task)
    what = (
        f"{done.commit[:10]} is reverted by {done.revert[:10]}"
        if done.revert
        else f"{done.commit[:10]} had been reverted before"
    )
    lines = [f"{name}: {what}; pending again, with your note"]
    if done.landed_on_it:
        names = printable(", ".join(done.landed_on_it))
        lines.append(
            f"  have landed and depend on it: {names}; look whether they hold without it (reject them too?)"
        )
    if done.waiting:
        lines.append(f"  wait until it has landed again: {printable(', '.join(done.waiting))}")
    if done.revert:
        lines.append("  the gates have not run on the branch as it is now; the next run begins with them")
    return "\n".join(lines)
