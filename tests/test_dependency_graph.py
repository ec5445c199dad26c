"""Circles and order among dependencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.tasks.dependency_graph import before_and_after, circles

NAMES = ["a", "b", "c", "d", "e"]
GRAPHS = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from([*NAMES, "elsewhere"]), max_size=3) for name in NAMES}
)


def reachable(start: str, graph: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        for other in graph.get(todo.pop(), ()):
            if other in graph and other not in found:
                found.add(other)
                todo.append(other)
    return found


@given(GRAPHS)
def test_exactly_the_tasks_in_a_circle_are_given_one(graph: dict[str, list[str]]) -> None:
    found = circles(graph)
    assert set(found) == {name for name in NAMES if name in reachable(name, graph)}
    for name, circle in found.items():
        assert circle[0] == circle[-1]
        assert all(after in graph[before] for before, after in pairwise(circle))
        assert circle[0] in reachable(name, graph)
        assert len(set(circle)) == len(circle) - 1


@given(GRAPHS)
def test_before_and_after_are_all_that_can_be_reached(graph: dict[str, list[str]]) -> None:
    before, after = before_and_after(NAMES, graph)
    circular = {
        name
        for name in NAMES
        if any(other in reachable(other, graph) for other in {name} | reachable(name, graph))
    }
    for n, name in enumerate(NAMES):
        expected = set() if name in circular else reachable(name, graph)
        assert {NAMES[m] for m in range(len(NAMES)) if before[n] >> m & 1} == expected
        for m in range(len(NAMES)):
            assert bool(after[m] >> n & 1) == bool(before[n] >> m & 1)


def test_a_long_chain_is_no_matter() -> None:
    names = [f"t{n}" for n in range(5000)]
    chain = {name: names[max(n - 1, 0) : n] for n, name in enumerate(names)}
    assert circles(chain) == {}
    assert before_and_after(names, chain)[0][-1].bit_count() == 4999
    assert len(circles({**chain, "t0": ["t4999"]})["t7"]) == 5001


def test_the_shortest_circle_is_named() -> None:
    assert circles({"a": ["b", "c"], "b": ["c"], "c": ["a"]})["b"] == ("a", "c", "a")
    assert circles({"a": ["a"]}) == {"a": ("a", "a")}
