"""The fault model: a seed says all of it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from soak.__main__ import SHORT, SHORT_SEED
from soak.faults import DAYS, KILLS, PACK, STEPS, Behaviour, Disturbance, behaviour, days, events
from soak.project import tasks

seeds = st.integers(0, 2**32)
sizes = st.integers(1, 300)


@given(seeds, st.integers(1, 2000), st.integers(1, 9))
def test_the_same_seed_says_the_same_of_a_session(seed: int, task: int, session: int) -> None:
    assert behaviour(seed, task, session) == behaviour(seed, task, session)


@given(seeds, st.integers(0, 20))
def test_a_pack_is_dealt_to_the_last_card(seed: int, pack: int) -> None:
    first = pack * len(PACK) + 1
    dealt = [behaviour(seed, task, 1) for task in range(first, first + len(PACK))]
    assert Counter(dealt) == Counter(PACK)


def test_each_behaviour_and_each_disturbance_comes_in_a_full_soak() -> None:
    drawn = Counter(behaviour(13, task, session) for task in range(1, 1001) for session in (1, 2))
    assert set(drawn) == set(Behaviour)
    coming = events(13, 1000)
    assert {event.what for event in coming} == set(Disturbance)
    assert len({event.step for event in coming if event.what in KILLS}) > len(STEPS) / 2


def test_another_seed_is_another_story() -> None:
    assert [behaviour(1, n, 1) for n in range(50)] != [behaviour(2, n, 1) for n in range(50)]
    assert events(1, 1000) != events(2, 1000)
    assert tasks(1, 50) != tasks(2, 50)


@given(seeds, sizes)
def test_events_are_in_order_and_within_the_queue(seed: int, count: int) -> None:
    coming = events(seed, count)
    assert coming == events(seed, count)
    assert [event.at for event in coming] == sorted(event.at for event in coming)
    assert all(2 <= event.at <= max(2, 2 * count) for event in coming)
    assert all((event.step in STEPS) == (event.what in KILLS) for event in coming)
    assert 1 <= days(count) <= DAYS
    assert sum(event.what is Disturbance.USAGE_LIMIT for event in coming) == days(count)


@given(seeds, sizes)
def test_a_queue_can_be_worked_through(seed: int, count: int) -> None:
    queue = tasks(seed, count)
    names = [task.name for task in queue]
    assert len(set(names)) == len(names) == count
    before: set[str] = set()
    for task in queue:
        assert task.depends_on in before | {""}
        before.add(task.name)
    changed = [task.feature for task in queue if task.kind == "change"]
    built = {task.feature for task in queue if task.kind in ("new", "listed", "port")}
    assert set(changed) <= built
    assert len(set(changed)) == len(changed)


def test_a_short_soak_meets_what_matters() -> None:
    queue = tasks(SHORT_SEED, SHORT)
    played = {behaviour(SHORT_SEED, task.number, 1) for task in queue if task.kind != "refused"}
    assert played == set(PACK)
    assert {task.kind for task in queue} == {"new", "listed", "port", "change", "refused"}
    coming = events(SHORT_SEED, SHORT)
    assert {event.what for event in coming} == set(Disturbance)
    assert {"session-wrote", "program-started", "passed"} <= {event.step for event in coming}
