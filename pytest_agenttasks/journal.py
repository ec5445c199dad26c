"""What happened, in order, on disk before the next step is taken: one JSON line a record, fsynced.

Recovery and every count (attempts used up, what has landed) are read from here, never guessed from commits. All runner
processes on one repository append to the same file, and each reads on in what the others have written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .outcome import Kind, SetupError
from .report.printable import encodable


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="record"):
    """`at` is epoch seconds; `owner` the process that wrote it (`owner.this_process`), "" in journals from before."""

    at: float = msgspec.field(default_factory=time.time)
    owner: str = ""


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
    together: bool = False


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


class Recovered(Record, frozen=True, tag="recovered"):
    """What the dead process `of` had left is ended, stored and written down: nothing more is to be done for it."""

    of: str


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
    | Recovered
)


@dataclass
class History:
    """What the records add up to. What is open at a time is kept by the process whose it is."""

    attempts: dict[str, int] = field(default_factory=dict)
    charged: dict[str, int] = field(default_factory=dict)
    ended: dict[str, list[AttemptEnded]] = field(default_factory=dict)
    landed: dict[str, Landed] = field(default_factory=dict)
    passed: dict[str, Passed] = field(default_factory=dict)
    starts: dict[str, AttemptStarted] = field(default_factory=dict)
    guarded: dict[str, CanaryAsked] = field(default_factory=dict)
    together: set[str] = field(default_factory=set)
    """The tasks that have failed only together with what had landed meanwhile, since they were queued."""
    sessions: int = 0
    forward: Forward | None = None
    running: dict[str, AttemptStarted] = field(default_factory=dict)
    interrupted: dict[str, AttemptStarted] = field(default_factory=dict)
    """The attempts that have begun a session; of a process that is dead, whether it is stored, its ref says."""
    programs: dict[str, list[ProgramStarted]] = field(default_factory=dict)
    services: dict[tuple[str, int], ServicesStarted] = field(default_factory=dict)
    spent_usd: float = 0.0

    def add(self, record: AnyRecord) -> None:
        match record:
            case RunStarted():
                self.programs.pop(record.owner, None)
            case AttemptStarted(task=task):
                self.attempts[task] = max(self.attempts.get(task, 0), record.attempt)
                self.starts[task] = record
                self.running[record.owner] = record
            case CanaryAsked(task=task):
                self.guarded[task] = record
            case ProgramStarted():
                self.programs.setdefault(record.owner, []).append(record)
                if record.owner in self.running:
                    self.interrupted[record.owner] = self.running[record.owner]
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
                self._begin_anew(task)
            case AttemptEnded(task=task):
                self._close(task, record.attempt)
                self.ended.setdefault(task, []).append(record)
                self.spent_usd += record.cost_usd or 0.0
                if record.together:
                    self.together.add(task)
                if record.kind.charged:
                    self.charged[task] = self.charged.get(task, 0) + 1
            case ServicesStarted():
                self.services[record.role, record.worker] = record
            case ServicesEnded():
                self.services.pop((record.role, record.worker), None)
            case Failed(task=task):
                self._begin_anew(task)
            case Released(task=task):
                self._begin_anew(task)
                self.landed.pop(task, None)
            case AttemptStored():
                self.sessions += 1
            case Recovered(of=owner):
                for opened in (self.running, self.interrupted, self.programs):
                    opened.pop(owner, None)

    def _begin_anew(self, task: str) -> None:
        self.charged.pop(task, None)
        self.together.discard(task)

    def _close(self, task: str, attempt: int) -> None:
        """An attempt is over, whoever wrote that down."""
        for opened in (self.running, self.interrupted):
            for owner in [o for o, begun in opened.items() if (begun.task, begun.attempt) == (task, attempt)]:
                del opened[owner]

    def owners(self) -> set[str]:
        """The processes that have left something open, living or dead."""
        services = (started.owner for started in self.services.values())
        return {*self.running, *self.interrupted, *self.programs, *services}

    def add_stored(self, highest: Mapping[str, int]) -> None:
        """Attempts that are stored count even where the records are lost: their numbers are taken."""
        for task, number in highest.items():
            self.attempts[task] = max(self.attempts.get(task, 0), number)


class Journal:
    """The append-only file, and the history read from it. `owner` is who writes here."""

    def __init__(self, file: Path, owner: str = "") -> None:
        self.file = file
        self.owner = owner
        self.history = History()
        self._read_to = 0
        self._lines = 0
        _end_torn_line(file)
        self.refresh()

    def write(self, record: AnyRecord) -> None:
        """Append one record and have it on disk before returning. Raises OSError when it cannot be.

        The history then holds it, and before it whatever others have appended meanwhile. A kill loses none. A power
        failure may lose a last one of those that recovery finds out again.
        """
        if self.owner:
            record = msgspec.structs.replace(record, owner=self.owner)
        line = _encoded(record)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # A single write: lines of several processes never mix.
            data = b"\n" * _torn(descriptor) + line + b"\n"
            if os.write(descriptor, data) != len(data):
                raise OSError(f"{self.file}: a record could not be written whole")
            if not isinstance(record, _FLUSHED_BY_THE_NEXT):
                os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)
            self._catch_up(descriptor, line, record)
        finally:
            os.close(descriptor)

    def refresh(self) -> None:
        """Read what other processes have appended. To be called before anything is decided by the history.

        Raises SetupError for a record of another version.
        """
        try:
            if self.file.stat().st_size == self._read_to:
                return
            descriptor = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            self._catch_up(descriptor)
        finally:
            os.close(descriptor)

    def _catch_up(self, descriptor: int, own: bytes = b"", written: AnyRecord | None = None) -> None:
        """Read whole lines on from the last that was read: a torn one may be another process's that is being written.

        `written` is the record that the line `own` was made of; not all texts come back as they were.
        """
        size = os.fstat(descriptor).st_size
        if size < self._read_to:  # moved away, to begin anew
            self._read_to = self._lines = 0
        data = b""
        while len(data) < size - self._read_to:
            more = os.pread(descriptor, size - self._read_to - len(data), self._read_to + len(data))
            if not more:
                break
            data += more
        for line in data.split(b"\n")[:-1]:
            record = written if written is not None and line == own else self._decoded(line)
            self._lines += 1
            self._read_to += len(line) + 1
            if record is not None:
                self.history.add(record)

    def _decoded(self, line: bytes) -> AnyRecord | None:
        if not line.strip(b"\0"):
            return None
        try:
            record: AnyRecord = _DECODER.decode(line)
            return record
        except msgspec.MsgspecError as error:
            if not _whole(line):
                return None
            raise SetupError(
                f"{self.file}, line {self._lines + 1}: not a record of this version ({error}); move the file away to begin "
                "anew, after checking that no landing was under way (`git log`)"
            ) from None


_FLUSHED_BY_THE_NEXT = (ProgramStarted, Forwarded, Landed, Recovered)
"""No process outlives a power failure; a forward that is whole, a result on the branch, and an attempt that is stored
are seen as what they are."""

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(AnyRecord)


def _encoded(record: AnyRecord) -> bytes:
    try:
        return _ENCODER.encode(record)
    except UnicodeEncodeError:  # a task's file name or an agent's session id that is no UTF-8
        values = msgspec.to_builtins(record)
        shown = {key: encodable(value) if isinstance(value, str) else value for key, value in values.items()}
        return _ENCODER.encode(shown)


def _end_torn_line(file: Path) -> None:
    """A crash in the middle of a write: whatever is there, the next record needs a line of its own.

    A living process may be writing that line just now; then this waits for its end, and adds an empty one.
    """
    if not file.exists():
        return
    with file.open("rb") as stream:
        torn = _torn(stream.fileno())
    if torn:
        with file.open("ab") as stream:
            stream.write(b"\n")


def _torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) not in (b"\n", b"")


def _whole(line: bytes) -> bool:
    """Whether the line is a whole JSON object; a torn record is not."""
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except msgspec.DecodeError:
        return False
