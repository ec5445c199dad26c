"""The order of tasks: dependencies first, then file order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush


def order(names: Sequence[str], depends_on: Mapping[str, Sequence[str]]) -> list[str]:
    """`names` so that each comes after those it depends on, otherwise as given.

    Dependencies outside `names` do not count; members of a cycle (which lint refuses) come last, as given.
    """
    position = {name: n for n, name in enumerate(names)}
    waits: dict[str, set[str]] = {
        n: {d for d in depends_on.get(n, ()) if d in position and d != n} for n in names
    }
    followers: dict[str, list[str]] = {}
    for name, dependencies in waits.items():
        for dependency in dependencies:
            followers.setdefault(dependency, []).append(name)
    free = [position[name] for name in names if not waits[name]]
    heapify(free)
    ordered: list[str] = []
    while free:
        name = names[heappop(free)]
        ordered.append(name)
        for follower in followers.get(name, ()):
            waits[follower].discard(name)
            if not waits[follower]:
                heappush(free, position[follower])
    placed = set(ordered)
    return ordered + [name for name in names if name not in placed]
