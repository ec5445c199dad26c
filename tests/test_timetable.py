from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.timetable import Slot, Workload, lower_bound, timetable

NAMES = list("abcdefgh")


def queue(
    seconds: dict[str, float], depends_on: dict[str, list[str]] | None = None, apart: str = ""
) -> Workload:
    """`apart`: pairs such as `ab cd`."""
    pairs = {frozenset(pair) for pair in apart.split()}
    return Workload(list(seconds), depends_on or {}, lambda a, b: frozenset((a, b)) in pairs, seconds)


def ends(slots: list[Slot]) -> float:
    return max((slot.end for slot in slots), default=0.0)


def test_tasks_of_different_files_run_beside_each_other() -> None:
    assert ends(timetable(queue({"a": 1, "b": 1, "c": 1}), 3)) == 1


def test_tasks_of_the_same_files_do_not() -> None:
    slots = timetable(queue({"a": 1, "b": 1, "c": 1}, apart="ab"), 3)
    assert {slot.task: slot.start for slot in slots} == {"a": 0, "c": 0, "b": 1}


def test_a_task_starts_the_moment_its_dependency_has_landed() -> None:
    slots = timetable(queue({"a": 1, "b": 3, "c": 1}, {"c": ["a"]}), 2)
    assert {slot.task: slot.start for slot in slots} == {"a": 0, "b": 0, "c": 1}


def test_the_longest_chain_goes_first() -> None:
    slots = timetable(queue(dict.fromkeys("abcd", 1.0), {"d": ["c"], "c": ["b"]}), 1)
    assert [slot.task for slot in slots] == ["b", "c", "a", "d"]


def test_a_cycle_is_left_out() -> None:
    slots = timetable(queue({"a": 1, "b": 1, "c": 1}, {"a": ["b"], "b": ["a"]}), 2)
    assert [slot.task for slot in slots] == ["c"]


@pytest.mark.parametrize(
    ("workers", "given_queue", "seconds", "reason"),
    [
        (2, queue({"a": 1, "b": 1, "c": 1}, {"c": ["b"], "b": ["a"]}), 3, "the chain a -> b -> c"),
        (2, queue(dict.fromkeys("abcd", 1.0)), 2, "all the work on 2 workers"),
        (8, queue(dict.fromkeys("abcd", 1.0), apart="ab ac bc"), 3, "3 tasks that change the same files"),
        (1, queue({}), 0, "nothing to do"),
    ],
)
def test_the_bound_says_what_holds_the_queue_up(
    workers: int, given_queue: Workload, seconds: float, reason: str
) -> None:
    bound = lower_bound(given_queue, workers)
    assert (bound.seconds, bound.reason) == (seconds, reason)


@given(
    seconds=st.fixed_dictionaries({name: st.integers(1, 9).map(float) for name in NAMES}),
    depends_on=st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES))),
    pairs=st.lists(st.sampled_from(["".join(pair) for pair in combinations(NAMES, 2)])),
    workers=st.integers(1, 5),
)
def test_no_timetable_breaks_a_rule_or_beats_the_bound(
    seconds: dict[str, float], depends_on: dict[str, list[str]], pairs: list[str], workers: int
) -> None:
    acyclic = {name: [d for d in before if d > name] for name, before in depends_on.items()}
    made = queue(seconds, acyclic, " ".join(pairs))
    slots = timetable(made, workers)
    by_name = {slot.task: slot for slot in slots}
    assert sorted(by_name) == NAMES
    assert len(slots) == len(NAMES)
    for a, b in combinations(slots, 2):
        beside = a.start < b.end and b.start < a.end
        assert not (beside and (a.worker == b.worker or made.apart(a.task, b.task)))
    for name, before in acyclic.items():
        assert all(by_name[other].end <= by_name[name].start for other in before)
    assert max(slot.worker for slot in slots) < workers
    bound = lower_bound(made, workers).seconds
    assert bound <= ends(slots) <= sum(seconds.values())
    started = {slot.start for slot in slots}
    assert started <= {0.0} | {slot.end for slot in slots}  # nobody starts later than an event allows
