"""A cgroup for each program: how much memory and how many processes it and all that it starts may have.

The program joins it between fork and exec, so nothing escapes; when everything in it has been ended it is removed. What
a killed runner leaves is removed by its reaper, or by the next start (`clear`). A program that runs as root, or in version
2 as the same user, could lift its own limits; in the sandbox it cannot, for there these files are read-only.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import cgroup_tree, lineage
from .cgroup_tree import Parent, write

SHARE = 0.8
"""Of the memory that there is, what a program may have by default: the rest is for the runner and the desktop."""
PROCESSES = 4096
"""Processes and threads that a program may have by default; a large test suite has some hundred."""

_NAME = re.compile(r"agenttasks-(?:runner-\d+|(?P<space>\d+)-(?P<pid>\d+)-(?P<start>\d+)-\d+)")
_NUMBERS = itertools.count(1)
_PATIENCE = 0.5  # seconds until the kernel has taken what died out of its cgroup
_MIB, _GIB = 1024**2, 1024**3


@dataclass(frozen=True, slots=True)
class Hit:
    """What the limits of a program have stopped, in words; "" for nothing.

    `memory`: the kernel ended processes of it, because of this; `processes`: forks were refused, because of this.
    """

    memory: str = ""
    processes: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """The same as sentences, none where nothing was stopped."""
        return (
            *([f"the kernel ended processes of it ({self.memory})"] if self.memory else []),
            *([f"it was refused forks ({self.processes})"] if self.processes else []),
        )


NOTHING = Hit()


@dataclass(frozen=True, slots=True)
class Cgroups:
    """What was found: where cgroups are made (None: nowhere, for `reason`), and the limits in them.

    `memory` is in bytes, swap included where it can be limited; `processes` counts threads, as the kernel does.
    `asked`: the limits that the settings name.
    """

    for_memory: Parent | None = None
    for_processes: Parent | None = None
    memory: int = 0
    processes: int = PROCESSES
    reason: str = ""
    asked: tuple[str, ...] = ()

    @property
    def unheld(self) -> str:
        """The limits that the settings name and that do not hold here, in words; "" where there is none."""
        held = {"memory": self.for_memory, "processes": self.for_processes}
        names = [f"`limits.{name}`" for name in self.asked if held[name] is None]
        return f"{' and '.join(names)} cannot be held here: {self.reason}" if names else ""

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders in which cgroups are made."""
        parents = (self.for_memory, self.for_processes)
        return tuple(dict.fromkeys(parent.folder for parent in parents if parent))

    @contextmanager
    def group(self) -> Iterator[Group]:
        """A cgroup for one program, removed afterwards. Raises OSError when it cannot be made."""
        name = f"agenttasks-{_me()}-{next(_NUMBERS)}"
        made = Group(
            memory=_below(self.for_memory, name),
            processes=_below(self.for_processes, name),
            most=(self.memory, self.processes),
        )
        try:
            made.make()
            yield made
        finally:
            made.remove()

    def clear(self) -> list[str]:
        """End and remove what runs that were killed have left here; a line for each."""
        told = []
        for folder in self.folders:
            for name in sorted(os.listdir(folder)):  # noqa: PTH208
                if _abandoned(name):
                    ended = _kill_all(folder / name)
                    with_it = f", and ended {ended} process{'es' * (ended > 1)} in it" if ended else ""
                    if _remove(folder / name) and not name.startswith(cgroup_tree.LEAF):
                        told.append(f"removed the cgroup {name} of a run that was killed{with_it}")
        return told


NO_CGROUPS = Cgroups()


@dataclass(frozen=True, slots=True)
class Group:
    """The cgroup of one program, in one folder or two. `most`: bytes, and processes."""

    memory: Parent | None
    processes: Parent | None
    most: tuple[int, int]

    @property
    def doors(self) -> tuple[Path, ...]:
        """Files to which a process writes 0 to join.

        In version 1 it is the one for a single thread, which the kernel does at once; that for a whole process makes it
        wait for all processors (10 ms), and is the only one in version 2.
        """
        parts = dict.fromkeys(part for part in (self.memory, self.processes) if part)
        return tuple(part.folder / ("cgroup.procs" if part.unified else "tasks") for part in parts)

    def make(self) -> None:
        for door in self.doors:
            door.parent.mkdir()
        if self.memory:
            limit, swap = (
                ("memory.max", "memory.swap.max")
                if self.memory.unified
                else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
            )
            write(self.memory.folder / limit, str(self.most[0]))
            with suppress(FileNotFoundError):  # a kernel that does not count swap
                write(self.memory.folder / swap, "0" if self.memory.unified else str(self.most[0]))
        if self.processes:
            write(self.processes.folder / "pids.max", str(self.most[1]))

    def hit(self) -> Hit:
        """What the limits have stopped until now."""
        memory = processes = ""
        if self.memory and _count(self.memory.folder, _KILLED[self.memory.unified]):
            # The kernel counts those too that it ended for want of memory elsewhere.
            if self._was_full():
                memory = f"more than {size(self.most[0])} of memory (`limits.memory`)"
            else:
                memory = "the machine ran out of memory"
        if self.processes and _count(self.processes.folder, ("pids.events", "max")):
            processes = f"more than {self.most[1]:,} processes (`limits.processes`)"
        return Hit(memory, processes)

    def _was_full(self) -> bool:
        assert self.memory is not None
        if self.memory.unified:
            return _count(self.memory.folder, ("memory.events", "oom")) > 0
        # memory.failcnt stays 0 in recent kernels.
        return _count(self.memory.folder, ("memory.max_usage_in_bytes", "")) > self.most[0] - _MIB

    def remove(self) -> None:
        """Remove it, and end whatever is in it: something only where the reaper was lost, or cannot kill it. That one
        is left to the next start."""
        for door in self.doors:
            try:
                door.parent.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                _kill_all(door.parent)
                _remove(door.parent)


_KILLED = {True: ("memory.events", "oom_kill"), False: ("memory.oom_control", "oom_kill")}
"""File and key of a count, for version 2 (True) and 1; "" where the file is the count alone."""


def find(memory: int | None, processes: int | None) -> Cgroups:
    """Where programs can be given cgroups with these limits (None: the default), tried with an empty one."""
    tree = cgroup_tree.look()
    available = _available(tree.memory) if tree.memory else 0
    found = Cgroups(
        tree.memory,
        tree.processes,
        memory=memory or int(available * SHARE),
        processes=processes or PROCESSES,
        reason=tree.reason,
        asked=tuple(
            name for name, limit in (("memory", memory), ("processes", processes)) if limit is not None
        ),
    )
    try:
        with found.group():
            return found
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        return Cgroups(memory=found.memory, processes=found.processes, reason=reason, asked=found.asked)


def describe(found: Cgroups) -> list[str]:
    """What is limited and what is not, and what that means, a line each."""
    held = [
        *([f"{size(found.memory)} of memory, beyond which the kernel ends it"] if found.for_memory else []),
        *([f"{found.processes:,} processes and threads of its own"] if found.for_processes else []),
    ]
    version = 2 if any(p and p.unified for p in (found.for_memory, found.for_processes)) else 1
    lines = [f"each in a cgroup (version {version}): {', '.join(held)}"] if held else []
    if not found.for_memory:
        lines.append("memory is not limited; when it is short, the kernel ends agents and gates first")
    if found.reason:
        lines.append(f"no cgroup for it: {found.reason}; to have one: {cgroup_tree.remedy()}")
    return lines


def size(number: int) -> str:
    """Bytes in words: `64 MiB`, `18.8 GiB`."""
    if number >= _GIB:
        return f"{number / _GIB:.1f}".removesuffix(".0") + " GiB"
    return f"{number / _MIB:.0f} MiB"


def _me() -> str:
    """This process, told from a later one with its number and from one of another PID namespace."""
    process = lineage.look_up(os.getpid())
    return f"{_pid_namespace()}-{os.getpid()}-{process.start if process else 0}"


def _pid_namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # no Linux
        return 0


def _abandoned(name: str) -> bool:
    match = _NAME.fullmatch(name)
    if match is None:
        return False
    if match["pid"] is None:
        return True  # a leaf: only an empty one goes away, for nobody in it is ended
    process = lineage.look_up(int(match["pid"]))
    return int(match["space"]) == _pid_namespace() and (
        process is None or process.start != int(match["start"])
    )


def _below(parent: Parent | None, name: str) -> Parent | None:
    return parent and Parent(parent.folder / name, parent.unified)


def _available(parent: Parent) -> int:
    """Bytes of memory that cgroups in this folder can have at most."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if not parent.unified:
        return min(total, _count(parent.folder, ("memory.stat", "hierarchical_memory_limit")) or total)
    limits = [_count(folder, ("memory.max", "")) for folder in (parent.folder, *parent.folder.parents)]
    return min([total, *filter(None, limits)])


def _count(folder: Path, where: tuple[str, str]) -> int:
    """A number that the kernel tells in a file; 0 where there is no such file, key or number (`max`)."""
    file, key = where
    try:
        lines = [line.split() for line in (folder / file).read_text().splitlines()]
    except OSError:
        return 0
    found = (words[-1] for words in lines if words[:-1] == ([key] if key else []))
    return next((int(number) for number in found if number.isdecimal()), 0)


def _kill_all(folder: Path) -> int:
    """Kill whatever is in an abandoned cgroup: only a program that its run had put there, and what that one started."""
    if folder.name.startswith(cgroup_tree.LEAF):
        return 0
    killed: set[int] = set()
    until = time.monotonic() + _PATIENCE
    while (inside := _inside(folder)) and time.monotonic() < until:
        for pid in inside:
            lineage.send(os.kill, pid, signal.SIGKILL)
        killed |= inside
        time.sleep(0.01)
    return len(killed)


def _inside(folder: Path) -> set[int]:
    with suppress(OSError):
        files = folder.rglob("cgroup.procs")
        return {int(line) for file in files for line in file.read_text().split()} - {0}
    return set()


def _remove(folder: Path) -> bool:
    """Remove a cgroup and those that a program has made in it; whether it is gone."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            for inner in sorted(folder.glob("**/"), reverse=True)[:-1]:
                with suppress(OSError):
                    inner.rmdir()
            if time.monotonic() > until or _inside(folder):
                return False
            time.sleep(0.01)
        else:
            return True
