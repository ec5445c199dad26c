"""Scopes that share files, found without comparing each with each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.tasks import scope_index
from pytest_agenttasks.tasks.patterns import may_meet
from pytest_agenttasks.tasks.scope_index import sharing

_PARTS = st.sampled_from(["a", "b", "A", "*", "a*", "**"])
_PATTERNS = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(_PARTS, min_size=1, max_size=3).filter(lambda parts: parts != ["**"]),
    st.sampled_from(["", "/"]),
)
_SCOPES = st.lists(st.lists(_PATTERNS, max_size=3), max_size=6)


@given(_SCOPES)
def test_it_finds_what_comparing_each_with_each_finds(scopes: list[list[str]]) -> None:
    masks, complete = sharing(scopes)
    assert complete
    for n, ours in enumerate(scopes):
        for m, theirs in enumerate(scopes):
            expected = n != m and any(may_meet(x, y) for x in ours for y in theirs)
            assert bool(masks[n] >> m & 1) == expected, (ours, theirs)


def test_too_many_comparisons_end_early_and_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    scopes = [["*.a"], ["b.a"], ["src/"], ["src/x"]]
    assert sharing(scopes)[1]
    monkeypatch.setattr(scope_index, "MOST_COMPARISONS", 1)
    masks, complete = sharing(scopes)
    assert not complete
    assert masks[2] == 1 << 3 | (masks[2] & 1)


def test_too_many_scopes_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope_index, "MOST_SCOPES", 1)
    assert sharing([["a"], ["a"]]) == ([0, 0], False)
