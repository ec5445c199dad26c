"""Reading the journal, which every process of a run does once, and which nothing shortens."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_agenttasks.journal import Journal
from pytest_agenttasks.journal_records import (
    AnyRecord,
    AttemptEnded,
    AttemptStarted,
    AttemptStored,
    CanaryAsked,
    Forward,
    Forwarded,
    Landed,
    Passed,
    ProgramStarted,
)
from pytest_agenttasks.outcome import Kind

from . import tables

TITLE = "Reading the journal"
EXPLANATION = """\
Nine records for each task that landed at its first attempt, as a run writes them; processor time of reading them all, which
each process of a run does at its start, and `agenttasks status` does (median of five)."""


def measure(folder: Path, *, short: bool) -> str:
    rows = []
    for number in (10_000,) if short else (10_000, 100_000):
        file = folder / f"journal-{number}.jsonl"
        tasks = _write(file, number)
        taken = []
        for _ in range(5):
            began = time.process_time()
            Journal(file)
            taken.append(time.process_time() - began)
        size = file.stat().st_size / 1024 / 1024
        rows.append(
            (
                tables.count(number),
                tables.count(tasks),
                f"{size:.1f} MB",
                tables.milliseconds(statistics.median(taken)),
            )
        )
    return tables.table(("records", "tasks", "size", "time"), rows)


def _write(file: Path, number: int) -> int:
    """Write so many records to a journal, without flushing each to the disk; the tasks that makes."""
    from pytest_agenttasks.journal import _encoded

    tasks = written = 0
    with file.open("wb") as lines:
        while written < number:
            tasks += 1
            for record in _landed(f"{tasks:05d}-some-task", tasks):
                lines.write(_encoded(record) + b"\n")
                written += 1
    return tasks


def _landed(name: str, pid: int) -> Iterator[AnyRecord]:
    owner, oid, branch = f"123456-1234567.25/{pid % 4}", "a1b2" * 10, "refs/heads/work"
    session = "0b1c2d3e-1234-5678-9abc-def012345678"
    yield AttemptStarted(owner=owner, task=name, attempt=1, base=oid, task_blob=oid)
    yield CanaryAsked(owner=owner, task=name, attempt=1, guarded="yes")
    yield ProgramStarted(owner=owner, pid=pid, started=1e6)
    yield AttemptStored(owner=owner, task=name, attempt=1, ref=f"refs/attempts/{name}/1", tree=oid)
    yield Passed(
        owner=owner,
        task=name,
        attempt=1,
        old=oid,
        new=oid,
        commit=oid,
        branch=branch,
        task_blob=oid,
        tracked=True,
    )
    yield Forward(owner=owner, old=oid, new=oid, branch=branch, lock=oid)
    yield Forwarded(owner=owner, new=oid)
    yield Landed(owner=owner, task=name, attempt=1, commit=oid)
    yield AttemptEnded(
        owner=owner, task=name, attempt=1, kind=Kind.LANDED, summary="landed", seconds=300.0, cost_usd=0.4,
        turns=17, session=session,
    )  # fmt: skip
