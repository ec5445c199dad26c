"""`agenttasks review`: what needs a person, what landed, what it cost, what to type next; on one screen or step by step."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from typing import Any

import msgspec

from ..approval import Coverage, whole_branch
from ..approvals import awaiting, read
from ..approving import who
from ..journal import Journal
from ..outcome import SetupError
from ..queue import Queue
from ..report.printable import printable
from ..review.facts import Facts
from ..review.gather import gather
from ..review.risk import ranked
from ..review.screen import render
from ..review.steps import Decided, Step, steps_of, walk
from ..settings.loading import load
from ..settings.records import FILE_NAME
from ..trees.repository import Repository
from . import approve, reject, requeue
from .place import finish_landing, open_place, queue_option


def configure(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--step", action="store_true", help="one by one: approve, reject, open, skip")
    how.add_argument("--json", action="store_true", help="one JSON document")
    how.add_argument("--all", action="store_true", help="every line, also on a small terminal")
    queue_option(parser)


def run(args: argparse.Namespace) -> int:
    repository, queue = open_place(args.queue)
    if args.step:
        finish_landing(repository, queue)
    facts = _facts(repository, queue)
    if args.json:
        print(json.dumps(_document(facts), indent=2))
    elif args.step:
        _step(repository, queue, facts)
    else:
        size = shutil.get_terminal_size()
        whole = args.all or not sys.stdout.isatty()
        print(render(facts, size.columns, None if whole else size.lines))
    return 0


def _facts(repository: Repository, queue: Queue) -> Facts:
    settings = load(repository.top / FILE_NAME)
    history = Journal(repository.home / "journal.jsonl").history
    return gather(repository, queue, history, settings.memory.file)


def _document(facts: Facts) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(facts)
    document["landed"] = [
        {**msgspec.to_builtins(task), "risk": risk.score, "reasons": list(risk.reasons)}
        for task, risk in ranked(facts.landed)
    ]
    return document


def _step(repository: Repository, queue: Queue, facts: Facts) -> None:
    steps = steps_of(facts)
    if not steps:
        print("nothing to review")
        return
    decided = Decided()
    try:
        walk(steps, _ask, print, _Hands(repository, queue), decided)
    finally:  # also after Ctrl-C: what was approved is approved
        _approve(repository, queue, decided)
    if decided.skipped:
        print(f"left for later: {printable(', '.join(decided.skipped))}")


def _ask(question: str) -> str | None:
    print(question, end="", flush=True)
    line = sys.stdin.readline()
    if not line:
        print()
    return line or None


def _approve(repository: Repository, queue: Queue, decided: Decided) -> None:
    if not decided.approved:
        return
    history = Journal(repository.home / "journal.jsonl").history
    found = awaiting(repository, queue, history, read(repository, queue))
    chosen = {step.task for step in decided.approved}
    landed = tuple(landed for landed in found.landed if landed.task in chosen)
    failed = tuple(name for name in found.failed if name in chosen)
    whole = len(landed) + len(failed) == len(found.names)
    covered = Coverage(who(repository), whole_branch(repository, history) if whole else None, landed, failed)
    if not covered.nothing:
        try:
            approve.write_down(repository, queue, covered, time.time())
        except SetupError as error:
            names = " ".join([*(one.task for one in landed), *failed])
            raise SetupError(f"{error}\nnothing is approved yet; then: agenttasks approve {names}") from error
    print(approve.told(covered, []))


class _Hands:
    """What the answers do, by the verbs of the same name."""

    def __init__(self, repository: Repository, queue: Queue) -> None:
        self._repository = repository
        self._queue = queue

    def reject(self, step: Step, why: str) -> str:
        return reject.told(reject.reject(self._repository, self._queue, step.task, why))

    def requeue(self, step: Step, note: str) -> str:
        requeue.requeue(self._repository, self._queue, [step.task], note)
        return f"{step.task}: pending again, with your note"

    def look(self, step: Step) -> str:
        if step.commit is not None:
            shown = self._repository.git(
                "diff-tree", "-r", "-p", "--stat", "--no-commit-id", "--no-ext-diff", "--no-textconv", "--no-color",
                step.commit,
            )  # fmt: skip
            return printable(shown.decode("utf-8", "backslashreplace"))
        numbers = [
            file.stem.removeprefix("attempt-")
            for file in (self._queue.logs / step.task).glob("attempt-*.json")
        ]
        last = max((int(number) for number in numbers if number.isdigit()), default=None)
        return "no attempt was made" if last is None else self._verb("show", step, "--attempt", str(last))

    def open(self, step: Step) -> str:
        return self._verb("open", step)

    def _verb(self, name: str, step: Step, *more: str) -> str:
        from . import VERBS, main

        if name not in VERBS:
            return f"this version has no `agenttasks {name}`; what there is of the task: {self._queue.logs / step.task}"
        status = main([name, step.task, "--queue", str(self._queue.pending), *more])
        return "" if status == 0 else f"`agenttasks {name} {step.task}` ended with status {status}"
