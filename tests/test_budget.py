from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.budget import LEAST, Budget, Cap, Occupied, Spending, UsedUp, allowance

NOTHING = Spending()


def about(usd: float) -> Any:
    return pytest.approx(usd)


def spent(usd: float, *, sessions: int = 1, running: int = 0, reserved: float = 0.0) -> Spending:
    return Spending(sessions=sessions + running, usd=usd, running=running, reserved=reserved)


def test_without_limits_a_session_has_its_own() -> None:
    assert allowance(None, [Budget("of x", spent(9.0))]) == Cap(None)
    assert allowance(2.5, [Budget("of x", spent(9.0))]) == Cap(2.5)


def test_a_session_may_cost_no_more_than_is_left_of_any_budget() -> None:
    task, run = Budget("of x", spent(0.5), usd=1.5), Budget("of this run", spent(7.0), usd=10.0)
    assert allowance(None, [task, run]) == Cap(1.0, task)
    assert allowance(0.25, [task, run]) == Cap(0.25), "its own limit is less"
    assert allowance(5.0, [run]) == Cap(3.0, run)


def test_workers_share_what_is_left_and_what_one_leaves_goes_to_the_next() -> None:
    budget = Budget("of this run", NOTHING, usd=20.0)
    assert allowance(None, [budget], workers=4) == Cap(5.0, budget)
    budget = Budget("of this run", spent(0.0, sessions=0, running=3, reserved=15.0), usd=20.0)
    assert allowance(None, [budget], workers=4) == Cap(5.0, budget)
    budget = Budget("of this run", spent(0.5, running=3, reserved=15.0), usd=20.0)
    assert allowance(None, [budget], workers=4) == Cap(4.5, budget)


def test_where_little_is_left_fewer_begin_rather_than_all_are_cut_short() -> None:
    budget = Budget("of this run", spent(9.0), usd=10.0)
    assert allowance(None, [budget], workers=4, typical=0.5) == Cap(0.5, budget)
    busy = Budget("of this run", spent(9.0, running=1, reserved=0.5), usd=10.0)
    assert allowance(None, [busy], workers=4, typical=0.5) == Cap(0.5, busy)
    full = Budget("of this run", spent(9.0, running=2, reserved=1.0), usd=10.0)
    assert allowance(None, [full], workers=4, typical=0.5) == Occupied(full)
    assert allowance(0.1, [busy], workers=4, typical=0.5) == Cap(0.1)
    last = Budget("of this run", spent(9.8), usd=10.0)
    assert allowance(None, [last], workers=4, typical=0.5) == Cap(about(0.2), last)


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        (Budget("of today", spent(5.0), usd=5.0), "the budget of today, 5.00 USD, is spent (5.00 USD)"),
        (Budget("of today", spent(5.5), usd=5.0), "the budget of today, 5.00 USD, is spent (5.50 USD)"),
        (Budget("of today", spent(0.0, sessions=2), sessions=2), "all 2 sessions of today are used"),
        (
            Budget("of today", spent(0.0, sessions=1, running=1), sessions=2),
            "all 2 sessions of today are used",
        ),
    ],
)
def test_a_budget_that_is_used_up_says_so(budget: Budget, why: str) -> None:
    assert allowance(None, [Budget("of x", NOTHING), budget]) == UsedUp(budget)
    assert budget.used_up == why


def test_what_is_left_is_never_less_than_nothing() -> None:
    budget = Budget("of today", spent(7.0, sessions=5), usd=5.0, sessions=3)
    assert (budget.left_usd, budget.left_sessions) == (0.0, 0)
    assert (Budget("x", NOTHING).left_usd, Budget("x", NOTHING).left_sessions) == (None, None)


@given(
    limit=st.floats(0.01, 100),
    workers=st.integers(1, 6),
    moves=st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=60),
)
def test_sessions_that_keep_their_caps_never_spend_more_than_the_budget(
    limit: float, workers: int, moves: list[tuple[bool, float]]
) -> None:
    """Sessions begin where they may, and end having cost any part of their cap."""
    running: list[float] = []
    usd, ended = 0.0, 0
    for begin, share in moves:
        if begin and len(running) < workers:
            now = Spending(ended + len(running), usd, running=len(running), reserved=sum(running))
            answer = allowance(None, [Budget("b", now, usd=limit)], workers=workers, typical=now.typical)
            assert not (isinstance(answer, Occupied) and not running), "somebody is waited for"
            if isinstance(answer, Cap):
                assert answer.usd is not None
                assert answer.usd > 0
                running.append(answer.usd)
        elif running:
            usd += share * running.pop()
            ended += 1
        assert usd + sum(running) <= limit + LEAST
