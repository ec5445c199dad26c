"""What a worker of `-n` tells the process with the terminal, as plain values: xdist and execnet carry nothing else.

Reports bring what became of a task (they arrive before xdist says that it is over); a channel brings the rest while
it goes on. Texts are made printable first: a lone surrogate would end the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..outcome import Kind
from ..report.printable import printable
from ..report.summary import Row

CHANNEL = "agenttasks_channel"
PLAN = "agenttasks_plan"
TOP = "agenttasks_top"
BRANCH = "agenttasks_branch"
FROZEN = "agenttasks_frozen"
MACHINE = "agenttasks_machine"
"""Keys of `workerinput`; FROZEN: the node ids that the first worker collected, for one that comes later; MACHINE: the
spec of where its sessions are held, None: here."""

# Messages of the channel: a name, then its values.
HELLO = "hello"  # pid; owner in the journal; pid and start of its helper process
BEGAN = "began"  # what
STEP = "step"  # step, cost in USD or None
PAUSE = "pause"  # why, seconds left
IDLE = "idle"
USED = "used"  # sessions, landed, USD
REPEAT = "repeat"  # asks; the answer is a reason or None
STOP = "stop"  # why
LEAVES = "leaves"  # why; asks whether another worker will do its task: then it gets no more
NOTE = "note"  # a line below the table
EVENT = "event"  # a record of the event log, as JSON


def plain_row(row: Row) -> dict[str, Any]:
    """`row` without its task, which the report names already."""
    plain = asdict(row)
    del plain["task"]
    return {**plain, "kind": row.kind.value, "summary": printable(row.summary)}


def row_of(task: str, plain: Mapping[str, Any]) -> Row:
    return Row(task=task, **{**plain, "kind": Kind(plain["kind"])})


def message(name: str, *values: object) -> tuple[object, ...]:
    return (name, *(printable(value) if isinstance(value, str) else value for value in values))
