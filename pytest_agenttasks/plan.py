"""Which task comes when: dependencies first, the longest chain of followers before others, then file order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush


def order(names: Sequence[str], depends_on: Mapping[str, Sequence[str]]) -> list[str]:
    """`names` so that each comes after those it depends on; of the ready ones the longest chain first, then as given.

    Dependencies outside `names` do not count; members of a cycle (which lint refuses) come last, as given.
    """
    position = {name: n for n, name in enumerate(names)}
    waits = waiting(names, depends_on)
    chain = chains(names, depends_on)
    followers = _followers(waits)
    left = {name: len(before) for name, before in waits.items()}
    free = [(-chain[name], position[name]) for name in names if not left[name]]
    heapify(free)
    ordered: list[str] = []
    while free:
        name = names[heappop(free)[1]]
        ordered.append(name)
        for follower in followers.get(name, ()):
            left[follower] -= 1
            if not left[follower]:
                heappush(free, (-chain[follower], position[follower]))
    placed = set(ordered)
    return ordered + [name for name in names if name not in placed]


def chains(
    names: Sequence[str], depends_on: Mapping[str, Sequence[str]], length: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The longest chain that begins with each task, as the sum of the tasks' `length` (1 each); 0 where it is in or
    before a cycle."""
    waits = waiting(names, depends_on)
    followers = _followers(waits)
    left = {name: len(followers.get(name, ())) for name in names}
    after = dict.fromkeys(names, 0.0)
    longest = dict.fromkeys(names, 0.0)
    last = [name for name in names if not left[name]]
    while last:
        name = last.pop()
        longest[name] = after[name] + (1.0 if length is None else length[name])
        for before in waits[name]:
            after[before] = max(after[before], longest[name])
            left[before] -= 1
            if not left[before]:
                last.append(before)
    return longest


def waiting(names: Sequence[str], depends_on: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """For each of `names` those of them that it waits for."""
    known = set(names)
    return {n: frozenset(d for d in depends_on.get(n, ()) if d in known and d != n) for n in names}


def _followers(waits: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    followers: dict[str, list[str]] = {}
    for name, before in waits.items():
        for other in before:
            followers.setdefault(other, []).append(name)
    return followers
