"""The event log (orchestration.log): one physical line per event, however many processes write.

A log that has grown large is renamed to `orchestration.N.log`, and a new one begins; `agenttasks clean` drops old parts.
"""

from __future__ import annotations

import enum
import errno
import fcntl
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from ..trees.changes import shown
from .printable import printable

LONGEST_VALUE = 500
"""Characters of a value in the file; listeners get it whole."""
LARGE = 10 * 1024 * 1024
"""Bytes after which a new file is begun."""

_PLAIN = re.compile(r"[\w./:@%+,-]+", re.ASCII)
_RESERVED = frozenset({"time", "event", "task"})


class EventLog:
    """Appends events to `path` and hands the same records to the listeners, in that order."""

    def __init__(
        self,
        path: Path,
        listeners: Iterable[Callable[[dict[str, Any]], None]] = (),
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self.path = path
        self._listeners = tuple(listeners)
        self._now = now
        self._folder_made = False

    def write(self, event: str, /, *, task: str | None = None, **values: object) -> None:
        """Append one event. A value None is left out; texts become printable. Raises OSError.

        A record has `time` (ISO 8601 with UTC offset), `event`, `task` if there is one, and the values, all
        of types that JSON has.
        """
        if clash := _RESERVED & values.keys():
            raise ValueError(f"no name for a value of an event: {', '.join(sorted(clash))}")
        record: dict[str, Any] = {"time": self._now().isoformat(timespec="milliseconds"), "event": event}
        if task is not None:
            record["task"] = printable(task)
        record.update((key, _plain(value)) for key, value in values.items() if value is not None)
        self._append(_line(record))
        for listener in self._listeners:
            listener(record)

    def _append(self, line: str) -> None:
        if not self._folder_made or not self.path.parent.is_dir():
            _make_folder(self.path.parent)
            self._folder_made = True
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            data = b"\n" * _ends_torn(descriptor) + line.encode()
            written = os.write(descriptor, data)  # a single one: lines of several processes must not mix
            if os.fstat(descriptor).st_size > LARGE:
                _rotate(self.path, descriptor)
        finally:
            os.close(descriptor)
        if written != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))


def rotated(path: Path) -> list[Path]:
    """The earlier parts of a log, oldest first."""
    found = {}
    for file in path.parent.glob(f"{path.stem}.*{path.suffix}"):
        number = file.name.removeprefix(f"{path.stem}.").removesuffix(path.suffix)
        if number.isdecimal():
            found[int(number)] = file
    return [found[number] for number in sorted(found)]


def _rotate(path: Path, descriptor: int) -> None:
    """Give the file that is open another name, unless somebody has done or is doing so.

    Whoever has it open just now writes its line into the renamed file: none is lost.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    with suppress(FileNotFoundError):
        if os.path.samestat(path.stat(), os.fstat(descriptor)):
            last = rotated(path)
            number = int(last[-1].name.split(".")[-2]) + 1 if last else 1
            path.rename(path.with_name(f"{path.stem}.{number}{path.suffix}"))


def _make_folder(folder: Path) -> None:
    """The log folder, with the `.gitignore` that keeps all of it out of commits."""
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), (folder / ".gitignore").open("x", encoding="utf-8") as file:
        file.write("*\n")


def _ends_torn(descriptor: int) -> bool:
    """Whether an earlier writer was cut off in the middle of a line."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return False
    return os.pread(descriptor, 1, status.st_size - 1) not in (b"\n", b"")


def _line(record: Mapping[str, Any]) -> str:
    words = [record["time"], record["event"], _word(record["task"]) if "task" in record else "-"]
    words += [f"{key}={_word(value)}" for key, value in record.items() if key not in _RESERVED]
    return " ".join(words) + "\n"


def _word(value: Any) -> str:
    """A value without spaces as it is, anything else as JSON: a reader can tell where it ends."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > LONGEST_VALUE:
        text = text[: LONGEST_VALUE - 1] + "…"
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _plain(value: object) -> Any:
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return printable(shown(value))
    return printable(str(value))
