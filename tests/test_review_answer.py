from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from pytest_agenttasks.agents.contract import AgentResult
from pytest_agenttasks.outcome import Kind, Outcome
from pytest_agenttasks.review_answer import SCHEMA, Answer, NoAnswer, read_answer, to_verdict


def answered(given: object) -> AgentResult:
    return AgentResult(details={"answer": given}, final_text='{"approve": true, "reasons": [], "missed": []}')


def test_the_schema_and_the_record_are_one() -> None:
    assert set(SCHEMA["properties"]) == set(SCHEMA["required"]) == set(get_type_hints(Answer)) - {"__slots__"}


def test_an_answer_is_read() -> None:
    answer = read_answer(answered({"approve": True, "reasons": ["a"], "missed": []}))
    assert answer == Answer(True, ("a",), ())
    assert answer.approved


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "ended without one"),
        ("approve", "not of the schema"),
        ({"approve": "true", "reasons": [], "missed": []}, "not of the schema"),
        ({"approve": 1, "reasons": [], "missed": []}, "not of the schema"),
        ({"approve": True, "reasons": "a", "missed": []}, "not of the schema"),
        ({"approve": True, "reasons": [1], "missed": []}, "not of the schema"),
        ({"approve": True, "reasons": []}, "not of the schema"),
        ({"approve": True, "reasons": [], "missed": [], "x": 1}, "not of the schema"),
        ([True, [], []], "not of the schema"),
        ({"approve": False, "reasons": [" "], "missed": []}, "does not say why"),
    ],
)
def test_what_is_no_answer(given: Any, why: str) -> None:
    with pytest.raises(NoAnswer, match=why):
        read_answer(answered(given))


def test_an_answer_of_a_session_that_failed_or_wrote_does_not_count() -> None:
    good = {"approve": True, "reasons": ["a"], "missed": []}
    with pytest.raises(NoAnswer, match="too long"):
        read_answer(AgentResult(failure=Outcome(Kind.AGENT, "too long"), details={"answer": good}))
    with pytest.raises(NoAnswer, match=r"src/a\.txt"):
        read_answer(answered(good), ["src/a.txt"])


def test_an_approval_that_misses_something_is_a_refusal() -> None:
    verdict = to_verdict("review", "tree", Answer(True, ("nice",), ("a test",)), 1.0, "log")
    assert not verdict.passed
    assert verdict.reason == "the review refused the change: a test"


def test_a_refusals_evidence_is_all_that_it_says_made_printable() -> None:
    verdict = to_verdict("review", "tree", Answer(False, ("one\x1b[31m", "two"), ("three",)), 1.0, "log")
    assert verdict.evidence == "Reasons:\n- one\n- two\nMissed:\n- three"
    endless = to_verdict("review", "tree", Answer(False, ("x" * 100_000,), ()), 1.0, "log")
    assert len(endless.evidence) <= 16 * 1024 + 100
    assert len(endless.reason) < 300
