from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.plan import chains, order

GRAPHS = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh")))


def test_without_dependencies_the_file_order_stays() -> None:
    assert order(["a", "b", "c"], {}) == ["a", "b", "c"]


def test_a_dependency_comes_first() -> None:
    assert order(["a", "b", "c"], {"a": ["c"]}) == ["c", "a", "b"]


def test_the_longest_chain_begins_first() -> None:
    assert order(list("abcdef"), {"f": ["e"], "e": ["d"], "c": ["b"]}) == ["d", "b", "e", "a", "c", "f"]


def test_dependencies_outside_the_chosen_tasks_do_not_count() -> None:
    assert order(["a", "b"], {"a": ["z"]}) == ["a", "b"]


def test_members_of_a_cycle_come_last() -> None:
    assert order(["a", "b", "c"], {"a": ["b"], "b": ["a"]}) == ["c", "a", "b"]


def test_chains_count_tasks_or_add_lengths() -> None:
    depends_on = {"c": ["b"], "b": ["a"], "d": ["a"]}
    assert chains(list("abcd"), depends_on) == {"a": 3, "b": 2, "c": 1, "d": 1}
    lengths = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 5.0}
    assert chains(list("abcd"), depends_on, lengths) == {"a": 6, "b": 2, "c": 1, "d": 5}


def test_what_is_in_a_cycle_or_leads_into_one_has_no_chain() -> None:
    assert chains(list("abcd"), {"a": ["b"], "b": ["a", "c"]}) == {"a": 0, "b": 0, "c": 0, "d": 1}


@given(GRAPHS)
def test_every_task_comes_once_and_after_what_it_depends_on(depends_on: dict[str, list[str]]) -> None:
    names = list("abcdefgh")
    acyclic = {name: [d for d in dependencies if d > name] for name, dependencies in depends_on.items()}
    ordered = order(names, acyclic)
    assert sorted(ordered) == names
    for name, dependencies in acyclic.items():
        for dependency in dependencies:
            assert ordered.index(dependency) < ordered.index(name)
    assert sorted(order(names, depends_on)) == names
