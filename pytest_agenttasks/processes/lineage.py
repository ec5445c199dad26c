"""The process table: who descends from this process, and ending those without ever hitting another.

Linux only (/proc). The reaper imports this, hence nothing but a little of the standard library.

Process numbers are used again, under a fork bomb within seconds, and the table cannot be read in one instant.
So nothing is signalled for what was read a while ago. A process is proven to be a descendant when its parent
is this process (whose dead children keep their numbers until it collects them), or when it is seen anew below
a parent that was proven and stopped before, which thus cannot have given its number away meanwhile.
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

    def send(self, number: int) -> bool:
        """Signal this very process, if its parent is the same or this process; whether that was so."""
        if self.parent == os.getpid():
            return send(os.kill, self.pid, number)
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except OSError:  # a kernel before 5.3, or a filter that forbids the call
            return self._unchanged() and send(os.kill, self.pid, number)
        try:
            return self._unchanged() and send(signal.pidfd_send_signal, handle, number)
        finally:
            os.close(handle)

    def _unchanged(self) -> bool:
        now = look_up(self.pid)
        return now is not None and now.start == self.start and now.parent in (self.parent, os.getpid())


def send(how: Callable[[int, int], None], target: int, number: int) -> bool:
    """Signal what may be gone, or another user's: that one outlasts the sweep, which then says so."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        how(target, number)
        return True
    return False


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


def only_child(pid: int) -> int | None:
    """The child of the process `pid` when it has one, and that leads a session."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:  # noqa: PTH123
            (child,) = map(int, file.read().split())
        return child if os.getsid(child) == child else None
    except (OSError, ValueError):  # gone; or a kernel without CONFIG_PROC_CHILDREN
        return None


class Family:
    """Descendants of this process that have been stopped. No child may be collected while it is in use."""

    def __init__(self) -> None:
        self.members: dict[int, Process] = {}
        self._strangers = {0, 1} - {os.getpid()}

    def freeze(self) -> bool:
        """Stop every descendant that still runs; whether there was any. If so, look again: it may have
        forked before it stopped. What has stopped forks no more, and cannot respawn what is killed."""
        count = len(self.members)
        table: dict[int, Process] = {}
        for pid in _newest_first():
            if pid in self._strangers or pid in self.members:
                continue
            process = look_up(pid)
            if process is None:
                continue
            table[pid] = process
            if process.parent == os.getpid():  # an endless forker must be hit before its next fork
                self._stop(process)
        children: dict[int, list[Process]] = {}
        for process in table.values():
            children.setdefault(process.parent, []).append(process)
        proven = list(self.members)
        for pid in proven:
            for child in children.get(pid, ()):
                if child.pid not in self.members and self._stop(child):
                    proven.append(child.pid)
        self._rule_out(table)
        return any(not process.zombie for process in list(self.members.values())[count:])

    def kill(self) -> None:
        """Kill all that were stopped."""
        for process in self.members.values():
            process.send(signal.SIGKILL)

    def _stop(self, process: Process) -> bool:
        if not process.send(signal.SIGSTOP):
            return False
        self.members[process.pid] = process
        return True

    def _rule_out(self, table: dict[int, Process]) -> None:
        """Read those no more whose every ancestor is known to be a stranger."""
        for pid in table:
            chain = []
            at = pid
            while at in table and at not in chain:
                chain.append(at)
                at = table[at].parent
            if at in self._strangers:
                self._strangers.update(chain)


def _newest_first() -> list[int]:
    numbers = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208
    with open("/proc/loadavg", "rb") as file:  # noqa: PTH123
        latest = int(file.read().split()[-1])
    return sorted(numbers, key=lambda pid: (pid > latest, -pid))
