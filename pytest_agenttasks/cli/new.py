"""`agenttasks new "Title"`: a task file from the template, with the next free number."""

from __future__ import annotations

import argparse
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..outcome import SetupError
from ..queue import Queue, names, open_queue
from ..tasks.task import parse
from ..trees.repository import discover

DEFAULT_QUEUE = Path("tasks/pending")
LONGEST_SLUG = 60
_NUMBER = re.compile(r"[0-9]+")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def configure(parser: argparse.ArgumentParser) -> None:
    """Title, scope, dependencies and queue."""
    parser.add_argument("title", help="what the task is about, in a few words")
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="PATH",
        help="a path, folder/ or glob that the task may change, from the top folder; an existing one also from here",
    )
    parser.add_argument(
        "--depends-on",
        action="append",
        default=[],
        metavar="NAME",
        help="a task that must have landed before, by its name or number (repeatable)",
    )
    parser.add_argument(
        "--queue",
        type=Path,
        help=f"the queue folder (default: {DEFAULT_QUEUE} in the repository's top folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the file and print its path."""
    repository = discover(Path.cwd())
    repository.tip()
    queue = open_queue(repository, args.queue or repository.top / DEFAULT_QUEUE)
    taken = names(queue.pending) | names(queue.done) | names(queue.failed)
    title = checked_title(args.title)
    depends_on = [resolved(name, taken) for name in args.depends_on]
    number = next_number(taken)
    path = queue.pending / f"{number}-{slug(title)}.md"
    scope = [from_top(checked_scope(entry), repository.top, Path.cwd()) for entry in args.scope]
    text = template(number, title, scope, depends_on)
    # A file without scope is refused, and that is for its author to fill in: everything else is checked here.
    checked = text if scope else template(number, title, ["README.md"], depends_on)
    refuse(path, checked)
    write(queue, path, text)
    print(os.path.relpath(path))
    return 0


def checked_title(title: str) -> str:
    """`title` in one line without superfluous blanks. Raises SetupError when it cannot be a heading."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in title):
        raise SetupError("the title must be one line of text without control characters")
    words = " ".join(title.split())
    if not any(character.isalnum() for character in words):
        raise SetupError("the title is empty; say in a few words what the task is about")
    if len(words) > 200:
        raise SetupError(
            f"the title has {len(words)} characters; keep it below 200 and put the rest into the Objective"
        )
    return words


def slug(title: str) -> str:
    """The title as a part of a file's name: lower-case ASCII letters and digits, joined by `-`."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    words = _NOT_SLUG.sub("-", ascii_only.lower()).strip("-")
    if len(words) > LONGEST_SLUG:
        words = words[: LONGEST_SLUG + 1].rpartition("-")[0] or words[:LONGEST_SLUG]
    return words or "task"


def next_number(taken: Iterable[str]) -> str:
    """One more than the highest number that a name of `taken` starts with; at least three digits."""
    numbers = [match[0] for name in taken if (match := _NUMBER.match(name))]
    highest = max(numbers, key=int, default="0")
    return str(int(highest) + 1).zfill(max(3, len(highest)))


def resolved(wanted: str, taken: Iterable[str]) -> str:
    """The task of `taken` that `wanted` names, in full or by its number. Raises SetupError."""
    known = sorted(taken)
    if wanted in known:
        return wanted
    found = [
        name
        for name in known
        if (match := _NUMBER.match(name)) and wanted.isdecimal() and int(match[0]) == int(wanted)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise SetupError(
            f"--depends-on {wanted}: several tasks have that number: {', '.join(found)}; give the name"
        )
    raise SetupError(f"--depends-on {wanted}: no such task in pending, done or failed")


def template(number: str, title: str, scope: Sequence[str], depends_on: Sequence[str]) -> str:
    """The text of a new task file."""
    front = f"---\ndepends_on: [{', '.join(depends_on)}]\n---\n" if depends_on else ""
    entries = "\n".join(f"- `{entry}`" for entry in scope)
    files = (
        entries
        or "<!-- one a line: - path/to/file, - folder/ or - a/glob/*.py; without any the task is refused -->"
    )
    return f"""{front}# Task {number}: {title}

## Objective

<!-- What must be true afterwards, and why. -->

## Constraints

<!-- What must stay as it is: interfaces, behaviour, dependencies. -->

## Files in Scope

{files}

## Definition of Done

<!-- What can be checked: - [ ] a test that exists, a command that passes -->

## Rollback

`git revert` of this task's commit.

## On Completion

<!-- What the next task or session should know. -->
"""


def checked_scope(entry: str) -> str:
    """`entry` as the template can hold it. Raises SetupError for what would end its back-ticks or its line."""
    if "`" in entry or len(entry.splitlines()) > 1:
        raise SetupError(f"--scope {entry}: give one path, without back-ticks or line breaks")
    return entry


def from_top(entry: str, top: Path, here: Path) -> str:
    """`entry` relative to `top`: one that names a path seen from `here`, and none seen from `top`, was typed there."""
    if os.path.isabs(entry) or os.path.lexists(top / entry) or not os.path.lexists(here / entry):  # noqa: PTH117
        return entry
    found = os.path.relpath(os.path.normpath(here / entry), top)
    return found + "/" * entry.endswith("/")


def refuse(path: Path, text: str) -> None:
    """Raise SetupError when the parser would refuse the file."""
    problems = [problem.message for problem in parse(path, text.encode()).problems if not problem.hint]
    if problems:
        raise SetupError(f"{path.stem}: {'; '.join(problems)}")


def write(queue: Queue, path: Path, text: str) -> None:
    """Create the file. Raises SetupError rather than overwrite one that appeared meanwhile."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SetupError(
            f"{queue.relative}/{queue.pending.name}/{path.name} exists already; nothing was written"
        ) from None
