"""Who waits for whom: circles of dependencies, and all that comes before or after a task. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from ..plan import order


def circles(waits_for: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """For each task that waits for itself by way of others: such a circle, from a task back to the same task.

    Tasks that are in circles with each other are all given the same one, the shortest through their first.
    """
    found: dict[str, tuple[str, ...]] = {}
    for group in _strong_groups(waits_for):
        if len(group) > 1 or group[0] in waits_for.get(group[0], ()):
            circle = _shortest(min(group), set(group), waits_for)
            found.update(dict.fromkeys(group, circle))
    return found


def before_and_after(
    names: Sequence[str], waits_for: Mapping[str, Sequence[str]]
) -> tuple[list[int], list[int]]:
    """For each of `names`, all that must land before it and all that waits for it, as sets of bits.

    Bit `n` stands for `names[n]`. Tasks in a circle count as unordered.
    """
    position = {name: n for n, name in enumerate(names)}
    before, after = [0] * len(names), [0] * len(names)
    done: set[str] = set()
    ordered: list[tuple[int, list[int]]] = []
    for name in order(names, waits_for):
        earlier = [position[other] for other in waits_for.get(name, ()) if other in done]
        if len(earlier) == sum(other in position for other in waits_for.get(name, ())):
            done.add(name)
            ordered.append((position[name], earlier))
    for n, earlier in ordered:
        for other in earlier:
            before[n] |= before[other] | 1 << other
    for n, earlier in reversed(ordered):
        for other in earlier:
            after[other] |= after[n] | 1 << n
    return before, after


def _strong_groups(waits_for: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The strongly connected components (Tarjan's algorithm, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    waiting: set[str] = set()
    groups: list[list[str]] = []
    for root in waits_for:
        work = [(root, iter(waits_for[root]))] if root not in index else []
        while work:
            name, rest = work[-1]
            if name not in index:
                index[name] = low[name] = len(index)
                stack.append(name)
                waiting.add(name)
            for other in rest:
                if other in waits_for and other not in index:
                    work.append((other, iter(waits_for[other])))
                    break
                if other in waiting:
                    low[name] = min(low[name], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    group = [stack.pop()]
                    while group[-1] != name:
                        group.append(stack.pop())
                    waiting.difference_update(group)
                    groups.append(group)
    return groups


def _shortest(start: str, group: set[str], waits_for: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    came_from: dict[str, str] = {}
    todo = deque([start])
    while todo:
        name = todo.popleft()
        for other in waits_for[name]:
            if other == start:
                path = [start]
                while name != start:
                    path.append(name)
                    name = came_from[name]
                return (start, *reversed(path))
            if other in group and other not in came_from:
                came_from[other] = name
                todo.append(other)
    raise AssertionError(f"{start} is in no circle")
