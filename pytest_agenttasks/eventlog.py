"""The event log (orchestration.log): one physical line per event, however many processes write."""

from __future__ import annotations

import enum
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from .printable import one_line, printable

LONGEST_VALUE = 500
"""Characters of a value in the file; listeners get it whole."""

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

    def write(self, event: str, /, *, task: str | None = None, **values: object) -> None:
        """Append one event. A value None is left out; texts become printable. Raises OSError.

        A record has `time` (ISO 8601 with UTC offset), `event`, `task` if there is one, and the values, all of
        them of types that JSON has.
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
        try:
            descriptor = self._open()
        except FileNotFoundError:
            _make_folder(self.path.parent)
            descriptor = self._open()
        try:
            data = line.encode()
            if _ends_torn(descriptor):
                data = b"\n" + data
            written = os.write(descriptor, data)  # a single write, so that lines of several processes never mix
            if written != len(data):
                raise OSError(f"{self.path}: only {written} of {len(data)} bytes could be written")
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _make_folder(folder: Path) -> None:
    """The log folder, with the `.gitignore` that keeps all of it out of commits."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / ".gitignore").open("x", encoding="utf-8") as file:
            file.write("*\n")
    except FileExistsError:
        pass


def _ends_torn(descriptor: int) -> bool:
    """Whether an earlier writer was cut off in the middle of a line."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return False
    return os.pread(descriptor, 1, status.st_size - 1) != b"\n"


def _line(record: Mapping[str, Any]) -> str:
    words = [record["time"], record["event"], _word(record["task"]) if "task" in record else "-"]
    words += [f"{key}={_word(value)}" for key, value in record.items() if key not in _RESERVED]
    return " ".join(words) + "\n"


def _word(value: Any) -> str:
    """A value without spaces as it is, anything else as JSON text: a reader can tell where it ends."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not _PLAIN.fullmatch(text):
        text = one_line(text.replace("\n", "\\n").replace("\t", "\\t"), LONGEST_VALUE)
        return json.dumps(text, ensure_ascii=False)
    return one_line(text, LONGEST_VALUE)


def _plain(value: object) -> Any:
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, bytes):
        return printable(value.decode("utf-8", "backslashreplace"))
    return printable(str(value))
