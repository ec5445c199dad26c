"""What happened, in order, on disk before the next step is taken: one JSON line a record, fsynced.

Recovery and every count (attempts used up, what has landed) are read from here, never guessed from commits. All runner
processes on one repository append to the same file, and each reads on in what the others have written.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from .history import History
from .journal_records import (
    AnyRecord,
    Forwarded,
    Landed,
    ProgramStarted,
    Recovered,
    SessionEnded,
    SessionStarted,
)
from .outcome import SetupError
from .report.printable import encodable


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


_FLUSHED_BY_THE_NEXT = (ProgramStarted, Forwarded, Landed, Recovered, SessionStarted, SessionEnded)
"""No process outlives a power failure; a forward that is whole, a result on the branch, and an attempt that is stored
are seen as what they are; what a session has cost, its stream says."""

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
