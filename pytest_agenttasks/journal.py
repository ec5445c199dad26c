"""What happened, in order, on disk before the next step is taken: one JSON line a record, fsynced.

Recovery and every count (attempts used up, what has landed) are read from here, never guessed from commits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .outcome import Kind, SetupError
from .report.printable import encodable


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="record"):
    """`at` is epoch seconds."""

    at: float = msgspec.field(default_factory=time.time)


class RunStarted(Record, frozen=True, tag="run-started"):
    pid: int
    queue: str
    branch: str


class AttemptStarted(Record, frozen=True, tag="attempt-started"):
    """`task_blob` is the git id of the frozen task text, `base` the commit it works on."""

    task: str
    attempt: int
    base: str
    task_blob: str


class CanaryAsked(Record, frozen=True, tag="canary-asked"):
    """What the canary said of the attempt's scope: yes, no, n/a or unknown."""

    task: str
    attempt: int
    guarded: str


class ProgramStarted(Record, frozen=True, tag="program-started"):
    """A process of the runner that must not outlive it; `started` as `supervisor.process_start_time` gives it."""

    pid: int
    started: float


class AttemptStored(Record, frozen=True, tag="attempt-stored"):
    task: str
    attempt: int
    ref: str
    tree: str


class Passed(Record, frozen=True, tag="passed"):
    """The gates passed, those that are shell lines: `commit` is the task's, `new` the tip it brings (bookkeeping on
    top), `old` where it goes. Reviews come after this record, and what is resumed from it goes through them again."""

    task: str
    attempt: int
    old: str
    new: str
    commit: str
    branch: str
    task_blob: str
    tracked: bool


class Abandoned(Record, frozen=True, tag="abandoned"):
    """A passed attempt that will not land (the task was edited, or it no longer fits)."""

    task: str
    attempt: int


class Forward(Record, frozen=True, tag="forward"):
    """The branch is about to move from `old` to `new`, under an index lock that holds the text `lock`."""

    old: str
    new: str
    branch: str
    lock: str


class Forwarded(Record, frozen=True, tag="forwarded"):
    new: str


class Withdrawn(Record, frozen=True, tag="withdrawn"):
    """A forward that did not begin: the branch had moved, or the checkout was in the way."""

    new: str


class Landed(Record, frozen=True, tag="landed"):
    task: str
    attempt: int
    commit: str


class AttemptEnded(Record, frozen=True, tag="attempt-ended"):
    task: str
    attempt: int
    kind: Kind
    summary: str
    seconds: float = 0.0
    cost_usd: float | None = None
    turns: int | None = None
    session: str | None = None
    flaky: tuple[str, ...] = ()


class ServicesStarted(Record, frozen=True, tag="services-started"):
    """`workspace.up` is about to run for the workspace of this role; `down` is the line that ends what it starts, with
    these variables."""

    role: str
    worker: int
    down: str
    variables: dict[str, str]


class ServicesEnded(Record, frozen=True, tag="services-ended"):
    """`down` has run; whether it could end them is in the notes."""

    role: str
    worker: int


class Failed(Record, frozen=True, tag="failed"):
    """The task is given up: it goes to the failed folder."""

    task: str


class Released(Record, frozen=True, tag="released"):
    """A person has put the task back: attempts count anew, and a reverted commit no longer holds it."""

    task: str


AnyRecord = (
    RunStarted
    | AttemptStarted
    | CanaryAsked
    | ProgramStarted
    | AttemptStored
    | Passed
    | Abandoned
    | Forward
    | Forwarded
    | Withdrawn
    | Landed
    | AttemptEnded
    | ServicesStarted
    | ServicesEnded
    | Failed
    | Released
)


@dataclass
class History:
    """What the records add up to."""

    attempts: dict[str, int] = field(default_factory=dict)
    charged: dict[str, int] = field(default_factory=dict)
    ended: dict[str, list[AttemptEnded]] = field(default_factory=dict)
    landed: dict[str, Landed] = field(default_factory=dict)
    passed: dict[str, Passed] = field(default_factory=dict)
    starts: dict[str, AttemptStarted] = field(default_factory=dict)
    guarded: dict[str, CanaryAsked] = field(default_factory=dict)
    sessions: int = 0
    forward: Forward | None = None
    running: AttemptStarted | None = None
    interrupted: AttemptStarted | None = None
    """The attempt that had begun a session when its runner was killed; whether it is stored, its ref says."""
    programs: list[ProgramStarted] = field(default_factory=list)
    services: dict[tuple[str, int], ServicesStarted] = field(default_factory=dict)
    spent_usd: float = 0.0

    def add(self, record: AnyRecord) -> None:
        match record:
            case RunStarted():
                self.programs.clear()
            case AttemptStarted(task=task):
                self.attempts[task] = max(self.attempts.get(task, 0), record.attempt)
                self.starts[task] = record
                self.running = record
            case CanaryAsked(task=task):
                self.guarded[task] = record
            case ProgramStarted():
                self.programs.append(record)
                self.interrupted = self.running
            case Passed(task=task):
                self.passed[task] = record
            case Abandoned(task=task):
                self.passed.pop(task, None)
            case Forward():
                self.forward = record
            case Forwarded() | Withdrawn():
                self.forward = None
            case Landed(task=task):
                self.passed.pop(task, None)
                self.landed[task] = record
                self.charged.pop(task, None)
            case AttemptEnded(task=task):
                self.running = self.interrupted = None
                self.ended.setdefault(task, []).append(record)
                self.spent_usd += record.cost_usd or 0.0
                if record.kind.charged:
                    self.charged[task] = self.charged.get(task, 0) + 1
            case ServicesStarted():
                self.services[record.role, record.worker] = record
            case ServicesEnded():
                self.services.pop((record.role, record.worker), None)
            case Failed(task=task):
                self.charged.pop(task, None)
            case Released(task=task):
                self.charged.pop(task, None)
                self.landed.pop(task, None)
            case AttemptStored():
                self.sessions += 1

    def add_stored(self, highest: Mapping[str, int]) -> None:
        """Attempts that are stored count even where the records are lost: their numbers are taken."""
        for task, number in highest.items():
            self.attempts[task] = max(self.attempts.get(task, 0), number)


class Journal:
    """The append-only file, and the history read from it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.history = History()
        for record in _read(file):
            self.history.add(record)

    def write(self, record: AnyRecord) -> None:
        """Append one record and have it on disk before returning. Raises OSError when it cannot be.

        A kill loses none. A power failure may lose a last one of those that recovery finds out again.
        """
        line = _encoded(record) + b"\n"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(f"{self.file}: a record could not be written whole")
            if not isinstance(record, _FLUSHED_BY_THE_NEXT):
                os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.history.add(record)


_FLUSHED_BY_THE_NEXT = (ProgramStarted, Forwarded, Landed)
"""No process outlives a power failure; a forward that is whole, and a result on the branch, are seen as what they are."""

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(AnyRecord)


def _encoded(record: AnyRecord) -> bytes:
    try:
        return _ENCODER.encode(record)
    except UnicodeEncodeError:  # a task's file name or an agent's session id that is no UTF-8
        values = msgspec.to_builtins(record)
        shown = {key: encodable(value) if isinstance(value, str) else value for key, value in values.items()}
        return _ENCODER.encode(shown)


def _read(file: Path) -> Iterable[AnyRecord]:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return
    lines = data.split(b"\n")
    if lines.pop():
        # A crash in the middle of a write: whatever is there, the next record needs a line of its own.
        with file.open("ab") as stream:
            stream.write(b"\n")
        lines = (data + b"\n").split(b"\n")[:-1]
    for number, line in enumerate(lines, 1):
        if not line.strip(b"\0"):
            continue
        try:
            yield _DECODER.decode(line)
        except msgspec.MsgspecError as error:
            if not _whole(line):
                continue
            raise SetupError(
                f"{file}, line {number}: not a record of this version ({error}); move the file away to begin anew, after "
                "checking that no landing was under way (`git log`)"
            ) from None


def _whole(line: bytes) -> bool:
    """Whether the line is a whole JSON object; a torn record is not."""
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except msgspec.DecodeError:
        return False
