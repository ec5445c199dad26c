"""What runs beside what: the tasks that may start now, and how long a whole queue takes with N workers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from .plan import chains, waiting

Apart = Callable[[str, str], bool]
"""Whether two tasks may not run beside each other: their scopes may share a file."""


@dataclass(frozen=True)
class Workload:
    """The tasks in file order, what each depends on, which have to stay apart, and how long each takes (seconds)."""

    names: Sequence[str]
    depends_on: Mapping[str, Sequence[str]]
    apart: Apart
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Slot:
    """One task's place in a timetable; times in seconds from the start."""

    task: str
    worker: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Bound:
    """Why no timetable can be shorter than `seconds`."""

    seconds: float
    reason: str


def startable(
    waits: Mapping[str, frozenset[str]],
    rank: Callable[[str], tuple[float, int]],
    apart: Apart,
    *,
    waiting_tasks: Collection[str],
    landed: Collection[str],
    running: Sequence[str],
    free: int,
) -> list[str]:
    """At most `free` of `waiting_tasks` that may start now, in the order in which they should.

    A task may start when all it waits for has landed and no running one has to stay apart from it.
    """
    chosen: list[str] = []
    ready = sorted((name for name in waiting_tasks if waits[name] <= set(landed)), key=rank)
    for name in ready:
        if len(chosen) == free:
            break
        if not any(apart(name, other) for other in (*running, *chosen)):
            chosen.append(name)
    return chosen


def timetable(work: Workload, workers: int) -> list[Slot]:
    """When each task runs if none fails, first come first. Tasks of a cycle, or behind one, are left out."""
    waits = waiting(work.names, work.depends_on)
    chain = chains(work.names, work.depends_on)
    position = {name: n for n, name in enumerate(work.names)}
    left = {name for name in work.names if chain[name]}
    slots: list[Slot] = []
    landed: set[str] = set()
    busy: list[tuple[float, int, str]] = []
    idle = list(range(workers))
    now = 0.0
    while True:
        begin = startable(
            waits, lambda name: (-chain[name], position[name]), work.apart,
            waiting_tasks=left, landed=landed, running=[name for _, _, name in busy], free=len(idle),
        )  # fmt: skip
        for name in begin:
            worker = min(idle)
            idle.remove(worker)
            left.remove(name)
            slots.append(Slot(name, worker, now, now + work.seconds[name]))
            heappush(busy, (now + work.seconds[name], worker, name))
        if not busy:
            return slots
        now = busy[0][0]
        while busy and busy[0][0] == now:
            _, worker, name = heappop(busy)
            idle.append(worker)
            landed.add(name)


def lower_bound(work: Workload, workers: int) -> Bound:
    """The longest of: the critical path, the work shared evenly, the busiest set of tasks that stay apart from each other."""
    names = [name for name, length in chains(work.names, work.depends_on).items() if length]
    if not names:
        return Bound(0.0, "nothing to do")
    chain = chains(names, work.depends_on, work.seconds)
    path = critical_path(work, chain)
    total = sum(work.seconds[name] for name in names)
    clique = _apart_from_each_other(work, names)
    candidates = (
        Bound(chain[path[0]], f"the chain {' -> '.join(path)}"),
        Bound(total / workers, f"all the work on {workers} worker{'s' * (workers > 1)}"),
        Bound(sum(work.seconds[n] for n in clique), f"{len(clique)} tasks that change the same files"),
    )
    return max(candidates, key=lambda bound: bound.seconds)


def critical_path(work: Workload, chain: Mapping[str, float]) -> list[str]:
    """The tasks of the longest chain, first to last."""
    waits = waiting(list(chain), work.depends_on)
    at = max(chain, key=lambda name: chain[name])
    path = [at]
    while followers := [name for name in chain if at in waits[name]]:
        at = max(followers, key=lambda name: chain[name])
        path.append(at)
    return path


def _apart_from_each_other(work: Workload, names: Sequence[str]) -> list[str]:
    """Tasks of which no two may run side by side, found greedily from the longest on: one such set, and a long one."""
    best: list[str] = []
    for first in sorted(names, key=lambda name: -work.seconds[name])[:20]:
        clique = [first]
        for name in names:
            if name != first and all(work.apart(name, other) for other in clique):
                clique.append(name)
        if sum(work.seconds[n] for n in clique) > sum(work.seconds[n] for n in best):
            best = clique
    return best
