"""`agenttasks clean`: old attempts, workspaces and logs go, but never anything that nobody has reviewed."""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path

from filelock import FileLock

from ..cleaning import GRACE, carry_out, described, freed_objects, plan
from ..journal import Journal
from ..outcome import SetupError
from ..report.printable import one_line, printable
from ..runs import run_lock
from ..settings.durations import parse_duration
from ..settings.sizes import format_size
from ..trees.shadow import existing
from .place import open_place

DAY = 24 * 3600
USUAL = "30d"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older-than", metavar="AGE", default=USUAL, help=f"such as 12h or 90d (default: {USUAL})"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and drop nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )


def run(args: argparse.Namespace) -> int:
    """Drop what may go, and say so: status 1 where something could not be. Raises SetupError while a run goes on."""
    age = parse_age(args.older_than)
    repository, queue = open_place(args.queue)
    # Nobody opens anything meanwhile: not a run on another queue either.
    with run_lock(repository, queue), FileLock(repository.home / "opening.lock", poll_interval=0.01):
        shadow = existing(repository)
        history = Journal(repository.home / "journal.jsonl").history
        wanted = plan(repository, queue, shadow, history, time.time() - age)
        troubles: list[str] = []
        if args.dry_run:
            objects = freed_objects(wanted, shadow)
        else:
            objects, troubles = carry_out(wanted, shadow, min(GRACE, age))
        if shadow is not None:
            shadow.close()
    total = sum(item.size for item in wanted.items) + objects
    if args.json:
        items = [
            {"what": item.what, "name": printable(item.name), "bytes": item.size} for item in wanted.items
        ]
        found = {"dry_run": args.dry_run, "dropped": items, "objects_bytes": objects, "bytes": total}
        print(json.dumps({**found, "stays": [*wanted.stays], "troubles": troubles}, indent=2))
    else:
        verb = "would drop" if args.dry_run else "dropped"
        for item in wanted.items:
            size = f" ({format_size(item.size)})" if item.size else ""
            print(f"{verb} {one_line(described(item))}{size}")
        print(f"{verb} {len(wanted.items)} things older than {args.older_than}: {format_size(total)}")
        for line in wanted.stays:
            print(f"stays: {one_line(line)}")
        for line in troubles:
            print(f"could not be dropped: {one_line(line, 500)}")
    return 1 if troubles else 0


def parse_age(text: str) -> float:
    """Seconds, from a duration or from days such as `30d`. Raises SetupError."""
    if match := re.fullmatch(r"([0-9]+)d", text.strip()):
        return float(match[1]) * DAY
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise SetupError(f"--older-than: {error}, or days such as {USUAL}") from error
