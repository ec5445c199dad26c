"""`agenttasks approve`: write down that a person has reviewed what has landed, and what has failed."""

from __future__ import annotations

import argparse
import json
import time

from ..approval import Coverage, covering, landed_by_trailers, write
from ..approvals import awaiting, read
from ..journal import Journal
from ..outcome import SetupError
from ..queue import Queue
from ..report.printable import one_line, printable
from ..trees.repository import Repository
from .place import committing, finish_landing, open_place, queue_option


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "tasks", nargs="*", metavar="TASK", help="only these (default: all that has landed or failed)"
    )
    parser.add_argument(
        "--up-to", metavar="COMMIT", help="what has landed up to this commit, or this task's; no failed tasks"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    queue_option(parser)


def run(args: argparse.Namespace) -> int:
    """0, also where there was nothing to approve. Raises SetupError for a name or commit that is not known."""
    if args.tasks and args.up_to:
        raise SetupError("give either tasks or --up-to, not both")
    repository, queue = open_place(args.queue)
    finish_landing(repository, queue)
    history = Journal(repository.home / "journal.jsonl").history
    names = [name.removesuffix(".md") for name in args.tasks]
    covered = covering(repository, queue, history, names, args.up_to)
    others = [] if names else landed_by_trailers(repository, queue, history, covered)
    if not covered.nothing or others:
        write_down(repository, queue, covered, time.time())
    left = awaiting(repository, queue, history, read(repository, queue))
    if args.json:
        print(json.dumps({**_document(covered), "commits_of_others": others, "left": left.names}, indent=2))
        return 0
    print(told(covered, others))
    if left.names:
        print(f"still to be reviewed: {one_line(', '.join(left.names), 200)} (`agenttasks review`)")
    return 0


def write_down(repository: Repository, queue: Queue, covered: Coverage, now: float) -> None:
    """Record it; only a tracked queue needs a commit."""
    if not queue.tracked:
        write(repository, Journal(repository.home / "journal.jsonl").history, covered, now)
        return
    with committing(repository, queue) as opened:
        write(repository, opened.journal.history, covered, now, opened)


def _document(covered: Coverage) -> dict[str, object]:
    return {
        "by": covered.by,
        "up_to": covered.up_to,
        "landed": [{"task": landed.task, "commit": landed.commit} for landed in covered.landed],
        "failed": list(covered.failed),
    }


def told(covered: Coverage, others: list[str]) -> str:
    if covered.nothing and not others:
        return "nothing to approve: all that has landed or failed was approved before"
    up_to = f", up to {covered.up_to[:10]}" if covered.up_to else ""
    lines = [f"approved by {printable(covered.by)}{up_to}"]
    lines += [f"  landed  {one_line(landed.task)}  {landed.commit[:10]}" for landed in covered.landed]
    lines += [
        f"  failed  {one_line(name)} (it stays failed; `agenttasks requeue` runs it again)"
        for name in covered.failed
    ]
    if others:
        lines.append(f"  and {len(others)} task commits of another clone's runs")
    return "\n".join(lines)
