from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.outcome import Kind, Outcome
from pytest_agenttasks.retry import (
    LONGEST_DELAY,
    RESET_MARGIN,
    Again,
    Decision,
    Final,
    Standing,
    Stop,
    decide,
)

CHARGED = [Kind.SCOPE, Kind.GATE, Kind.ACCEPT, Kind.AGENT]
SERVICES = [Kind.USAGE_LIMIT, Kind.OVERLOADED, Kind.NETWORK]


def after(
    kind: Kind,
    *,
    charged: int = 1,
    cap: int = 2,
    free: int = 0,
    waited: float = 0.0,
    wait: float | None = None,
    resumes_at: float | None = None,
    lived: bool = False,
    stays: bool = False,
    until: float | None = None,
) -> Decision:
    standing = Standing(charged=charged, max_attempts=cap, free=free, waited=waited, lived=lived)
    outcome = Outcome(kind, "why", resumes_at=resumes_at, stays=stays)
    return decide(outcome, standing, retry_delay=30, wait=wait, until=until, now=1000.0)


@pytest.mark.parametrize("kind", CHARGED)
def test_a_charged_failure_is_tried_again_until_the_cap(kind: Kind) -> None:
    assert isinstance(after(kind, charged=1, cap=2), Again)
    assert after(kind, charged=2, cap=2) == Final(give_up=True)


def test_the_delay_doubles_up_to_a_cap() -> None:
    delays = [after(Kind.GATE, charged=n, cap=50) for n in range(1, 12)]
    assert [d.delay for d in delays if isinstance(d, Again)][:4] == [30, 60, 120, 240]
    assert max(d.delay for d in delays if isinstance(d, Again)) == LONGEST_DELAY


@pytest.mark.parametrize("kind", SERVICES)
def test_outages_are_waited_for_without_end_where_no_limit_is_set(kind: Kind) -> None:
    assert isinstance(after(kind, charged=0, free=100, waited=1e6), Again)


def test_a_usage_limit_is_waited_for_until_its_stated_reset() -> None:
    assert after(Kind.USAGE_LIMIT, resumes_at=4600.0) == Again(3600 + RESET_MARGIN, "why")
    assert after(Kind.USAGE_LIMIT, resumes_at=10.0) == Again(RESET_MARGIN, "why")


def test_a_wait_beyond_the_limit_stops_the_run() -> None:
    assert isinstance(after(Kind.USAGE_LIMIT, resumes_at=4600.0, wait=600), Stop)
    assert isinstance(after(Kind.OVERLOADED, wait=100, waited=90), Stop)
    assert isinstance(after(Kind.NETWORK, wait=0), Stop)
    assert isinstance(after(Kind.OVERLOADED, wait=100), Again)


@pytest.mark.parametrize("kind", [Kind.AUTH, Kind.BASE_RED, Kind.INTERNAL])
def test_what_no_task_can_mend_stops_the_run(kind: Kind) -> None:
    assert isinstance(after(kind), Stop)


def test_a_moved_branch_is_tried_again_a_few_times_for_free() -> None:
    assert after(Kind.MOVED, free=0) == Again(0.0, "the branch moved")
    assert after(Kind.MOVED, free=5) == Final(give_up=False)


def test_refused_tasks_are_given_up_and_landed_ones_are_done() -> None:
    assert after(Kind.REFUSED) == Final(give_up=True)
    assert after(Kind.LANDED) == Final(give_up=False)
    assert after(Kind.CHECKOUT) == Final(give_up=False)


@given(
    st.sampled_from(Kind), st.integers(0, 100), st.integers(1, 10), st.integers(0, 100), st.floats(0, 1e7),
    st.none() | st.floats(0, 1e6), st.none() | st.floats(0, 1e10),
)  # fmt: skip
def test_only_a_task_that_used_up_its_attempts_or_was_refused_is_given_up(
    kind: Kind, charged: int, cap: int, free: int, waited: float, wait: float | None, resumes_at: float | None
) -> None:
    decision = after(
        kind, charged=charged, cap=cap, free=free, waited=waited, wait=wait, resumes_at=resumes_at
    )
    given_up = isinstance(decision, Final) and decision.give_up
    assert given_up == (kind is Kind.REFUSED or (kind.charged and charged >= cap))
    if isinstance(decision, Again):
        assert decision.delay >= 0


def test_a_login_that_is_lost_in_mid_run_is_waited_for() -> None:
    assert after(Kind.AUTH, lived=True, free=3) == Again(240.0, "why")
    assert isinstance(after(Kind.AUTH, lived=True, wait=10), Stop)
    assert isinstance(after(Kind.AUTH, lived=True, stays=True), Stop), "no such model"


def test_a_full_disk_is_waited_for_unless_the_task_itself_may_fill_it() -> None:
    assert after(Kind.DISK, free=0) == Again(30.0, "why")
    assert isinstance(after(Kind.DISK, free=1), Again)
    assert isinstance(after(Kind.DISK, free=2), Stop)
    assert isinstance(after(Kind.DISK, wait=0), Stop)


@pytest.mark.parametrize("kind", [Kind.GATE, Kind.OVERLOADED])
def test_nothing_is_begun_after_the_time_that_was_given(kind: Kind) -> None:
    assert isinstance(after(kind, until=1031.0), Again)
    decision = after(kind, until=1029.0)
    assert isinstance(decision, Stop)
    assert "nothing is begun after" in decision.why
