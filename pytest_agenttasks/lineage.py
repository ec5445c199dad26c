"""The process table: who descends from this process, and signalling a process without hitting another.

Linux only (/proc). The reaper imports this, hence nothing but a little of the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing alone would cost the reaper a tenth of its start
    from collections.abc import Callable

LINUX: bool = sys.platform == "linux"


class Process:
    """One line of the process table. `start` is in clock ticks since boot."""

    __slots__ = ("name", "parent", "pid", "start", "zombie")

    def __init__(self, pid: int, data: bytes) -> None:
        name, _, rest = data.partition(b"(")[2].rpartition(b")")  # a name may hold ") ("
        fields = rest.split()
        self.pid = pid
        self.name = name.decode("utf-8", "replace")
        self.zombie = fields[0] in (b"Z", b"X")
        self.parent = int(fields[1])
        self.start = int(fields[19])

    def send(self, number: int) -> None:
        """Signal this very process, never another that has its number by now."""
        if self.parent == os.getpid():  # ours to reap: until then nobody gets the number
            send(os.kill, self.pid, number)
            return
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        except OSError:  # a kernel before 5.3, or a filter that forbids the call
            send(os.kill, self.pid, number)
            return
        try:
            now = look_up(self.pid)
            if now is not None and now.start == self.start:
                send(signal.pidfd_send_signal, handle, number)
        finally:
            os.close(handle)


def send(how: Callable[[int, int], None], target: int, number: int) -> None:
    """Signal what may be gone, or another user's: that one outlasts the sweep, which then says so."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        how(target, number)


def look_up(pid: int) -> Process | None:
    """The process with this number, or None when there is none."""
    try:
        handle = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return Process(pid, os.read(handle, 4096))
    except ProcessLookupError:
        return None
    finally:
        os.close(handle)


class Family:
    """The descendants of this process. Reads each stranger only once, to keep up with fast forkers."""

    def __init__(self) -> None:
        self._strangers = {0, 1} - {os.getpid()}

    def look(self) -> list[Process]:
        """All of them, zombies too, newest number first; what dies or is born meanwhile may be missing."""
        numbers = (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208
        pids = sorted(numbers, reverse=True)
        table = {p.pid: p for pid in pids if pid not in self._strangers and (p := look_up(pid))}
        # None: an ancestor died between two reads, so only the next look can tell.
        ours: dict[int, bool | None] = dict.fromkeys(self._strangers, False)
        ours[os.getpid()] = True
        for pid in table:
            chain = []
            at = pid
            while at not in ours:
                chain.append(at)
                ours[at] = None
                at = table[at].parent if at in table else at
            for link in chain:
                ours[link] = ours[at]
        self._strangers.update(pid for pid, verdict in ours.items() if verdict is False)
        return [p for p in table.values() if ours[p.pid] and p.pid != os.getpid()]
