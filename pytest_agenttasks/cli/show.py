"""`agenttasks show TASK`: one task's attempts, with their evidence and what each of them changed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..outcome import SetupError
from ..queue import Queue
from ..report.printable import one_line, printable
from ..report.recorded import recorded
from ..settings.durations import format_duration
from .place import open_place


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="the task's name (its file without .md)")
    parser.add_argument(
        "--attempt", type=int, metavar="N", help="this attempt in full: evidence, diff, where its logs are"
    )
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the story of one task. Raises SetupError when there is nothing about it."""
    _, queue = open_place(args.queue)
    name = args.task.removesuffix(".md")
    attempts = recorded(queue.logs / name)
    where = [
        folder.name
        for folder in (queue.pending, queue.done, queue.failed)
        if (folder / f"{name}.md").exists()
    ]
    if not where and not attempts:
        raise SetupError(
            f"{name}: no such task in {queue.pending.parent} (`agenttasks status` lists what is there)"
        )
    print(
        f"{printable(name)}: {', '.join(where) or 'its file is gone'}; {len(attempts)} attempts in {queue.logs / name}"
    )
    if args.attempt is None:
        for attempt in attempts:
            print(line(attempt))
        if attempts:
            print(f"\nthe last one in full: agenttasks show {name} --attempt {attempts[-1]['attempt']}")
        return 0
    chosen = next((attempt for attempt in attempts if attempt["attempt"] == args.attempt), None)
    if chosen is None:
        numbers = ", ".join(str(attempt["attempt"]) for attempt in attempts) or "none"
        raise SetupError(f"{name}: no attempt {args.attempt} (there are: {numbers})")
    _print_whole(queue, name, chosen)
    return 0


def line(attempt: dict[str, Any]) -> str:
    """One attempt in one line."""
    parts = [f"  attempt {attempt['attempt']}: {attempt['outcome']}"]
    if isinstance(attempt.get("seconds"), int | float):
        parts.append(format_duration(attempt["seconds"]))
    if isinstance(attempt.get("cost_usd"), int | float):
        parts.append(f"${attempt['cost_usd']:.2f}")
    if isinstance(attempt.get("denied"), int) and attempt["denied"]:
        parts.append(f"{attempt['denied']} refused while it went on")
    if attempt.get("guarded") == "no":
        parts.append("unguarded")
    return one_line(f"{', '.join(parts)}: {attempt['summary']}", 300)


def _print_whole(queue: Queue, name: str, attempt: dict[str, Any]) -> None:
    print(line(attempt))
    for note in attempt.get("notes", ()):
        print(f"  note: {printable(str(note))}")
    for denial in attempt.get("denials", ()):
        print(f"  refused while it went on: {one_line(str(denial))}")
    if attempt.get("evidence"):
        print("\nevidence:")
        for text in printable(str(attempt["evidence"])).splitlines():
            print(f"  | {text}")
    stem = f"attempt-{attempt['attempt']}"
    folder = queue.logs / name
    print("\nfiles:")
    for file in sorted(folder.glob(f"{stem}.*")):
        print(f"  {file}")
    patch = folder / f"{stem}.diff"
    if patch.exists():
        print("\ndiff:")
        print(printable(patch.read_text(encoding="utf-8", errors="backslashreplace")))
