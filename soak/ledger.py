"""What the agents did, written down by themselves outside of everything that the runner or the loop touches."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "SOAK_LEDGER"
"""The environment variable that leads agents here; whatever they start inherits it, which is how it is found again."""

WINDOW = 2.0
"""Seconds that a usage limit lasts."""
STORM = 3
"""Sessions in a row that an overloaded service refuses."""


@dataclass(frozen=True, slots=True)
class Session:
    """One session: `index` counts all of them from 1, `number` those of its task."""

    index: int
    task: str
    number: int
    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """The folder. Records are whole lines, appended in one write each."""

    folder: Path

    def begin(self, task: str) -> Session:
        with self._locked("sessions.jsonl") as file:
            before = file.read_bytes() if file.exists() else b""
            mine = f'"task": "{task}"'.encode()
            pid = os.getpid()
            session = Session(before.count(b"\n") + 1, task, before.count(mine) + 1, pid, start_of(pid))
            line = {
                "task": task,
                "index": session.index,
                "number": session.number,
                "pid": pid,
                "started": session.started,
            }
            _append(file, line)
        return session

    def wrote(self, session: Session, path: str, data: bytes) -> None:
        """To be called when the file is whole."""
        self._note("writes.jsonl", session, path=path, blob=blob(data))

    def did(self, session: Session, what: str) -> None:
        self._note("deeds.jsonl", session, what=what)

    def spent(self, session: Session, usd: float) -> None:
        self._note("costs.jsonl", session, usd=usd)

    def limited_until(self, at: int, index: int) -> float | None:
        """The end (epoch seconds) of the usage limit that the session `at` and those after it meet; None: it is over."""
        if index < at:
            return None
        with self._locked(f"limit-{at}") as file:
            if not file.exists():
                file.write_text(repr(time.time() + WINDOW))
            until = float(file.read_text())
        return until if time.time() < until else None

    def begun(self) -> int:
        """How many sessions have begun; to be asked often."""
        file = self.folder / "sessions.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def sessions(self) -> list[Session]:
        return [
            Session(line["index"], line["task"], line["number"], line["pid"], line["started"])
            for line in self.lines("sessions.jsonl")
        ]

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The whole lines of one of its files."""
        file = self.folder / name
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]

    def _note(self, name: str, session: Session, **values: object) -> None:
        _append(
            self.folder / name,
            {"task": session.task, "number": session.number, "index": session.index, **values},
        )

    @contextmanager
    def _locked(self, name: str) -> Iterator[Path]:
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.folder / name


def blob(data: bytes) -> str:
    """The id that git has for a file with these contents."""
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()


def start_of(pid: int) -> str:
    """When the process was started, as the kernel counts; "" where it is gone (or there is no /proc)."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _append(file: Path, record: dict[str, object]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, json.dumps(record).encode() + b"\n")
    finally:
        os.close(descriptor)
