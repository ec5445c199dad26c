from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.plan import order


def test_without_dependencies_the_file_order_stays() -> None:
    assert order(["a", "b", "c"], {}) == ["a", "b", "c"]


def test_a_dependency_comes_first() -> None:
    assert order(["a", "b", "c"], {"a": ["c"]}) == ["b", "c", "a"]


def test_dependencies_outside_the_chosen_tasks_do_not_count() -> None:
    assert order(["a", "b"], {"a": ["z"]}) == ["a", "b"]


def test_members_of_a_cycle_come_last() -> None:
    assert order(["a", "b", "c"], {"a": ["b"], "b": ["a"]}) == ["c", "a", "b"]


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"))))
def test_every_task_comes_once_and_after_what_it_depends_on(depends_on: dict[str, list[str]]) -> None:
    names = list("abcdefgh")
    acyclic = {name: [d for d in dependencies if d > name] for name, dependencies in depends_on.items()}
    ordered = order(names, acyclic)
    assert sorted(ordered) == names
    for name, dependencies in acyclic.items():
        for dependency in dependencies:
            assert ordered.index(dependency) < ordered.index(name)
    assert sorted(order(names, depends_on)) == names
