"""A review's pure parts: the ranking, the screen, the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.memory.changes import changes_of_people_and_agents
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.review.facts import BlockedTask, Facts, FailedTask, LandedTask
from pytest_agenttasks.review.gather import _blocked
from pytest_agenttasks.review.risk import ranked, risk
from pytest_agenttasks.review.screen import render
from pytest_agenttasks.review.steps import Decided, Step, steps_of, walk


def task(name: str = "a", **known: Any) -> LandedTask:
    return LandedTask(task=name, title=f"Title of {name}", commit="c" * 40, at=0.0, **known)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"guarded": "no"}, "unguarded"),
        ({"attempts": 2}, "2 attempts"),
        ({"flaky": ("tests",)}, "flaky: tests"),
        ({"refused": 1}, "a review refused it"),
        ({"refused": 3}, "a review refused it 3 times"),
        ({"together": True}, "failed together with others first"),
        ({"denied": 4}, "4 refused while it went on"),
        ({"dropped": ("x",)}, "1 changes dropped"),
        ({"added": 50}, "+50 -0 in 0 files"),
        ({"files": 11}, "+0 -0 in 11 files"),
    ],
)
def test_whatever_is_odd_about_a_task_is_said_and_makes_it_riskier(known: dict[str, Any], said: str) -> None:
    found = risk(task(**known))
    assert said in found.reasons
    assert found.score > risk(task()).score
    assert risk(task()).reasons == ("+0 -0 in 0 files",)


def test_riskiest_first_then_largest_then_oldest() -> None:
    tasks = [
        task("small", added=2),
        task("large", added=9),
        task("flaky", flaky=("t",)),
        task("again", attempts=3),
        task("unguarded", guarded="no"),
        task("huge", added=100_000),
    ]
    order = ["again", "unguarded", "flaky", "huge", "large", "small"]
    assert [found.task for found, _ in ranked(tasks)] == order
    assert risk(task(guarded="n/a")).score == 0


def test_a_task_is_blocked_by_what_will_not_run_by_itself() -> None:
    waits = {"b": ["failed"], "c": ["b"], "d": ["e"], "e": [], "f": ["done", "gone"], "g": ["g"]}
    assert _blocked(waits, {"done"}) == {"b": ["failed"], "c": ["b"], "f": ["gone"]}


FULL = Facts(
    queue="/x/tasks/pending",
    branch="work",
    tip="d" * 40,
    since=86400.0 * 365,
    by="Ada <ada@example.org>",
    landed=tuple(task(f"{n:03}-task", added=n) for n in range(40)),
    failed=tuple(FailedTask(task=f"f{n}", kind="gate", summary="`tests` failed (exit 1)") for n in range(9)),
    blocked=(BlockedTask(task="b1", waits_for=("f1", "f2")),),
    held=("h1",),
    verified=("v1",),
    not_run=("n1", "n2", "n3", "n4", "n5"),
    elsewhere=("e1",),
    memory=tuple(f"Known Issues: + line {n}" for n in range(9)),
    ends={"gate": 3, "agent": 1, "usage-limit": 2},
    attempts=50,
    spent_usd=12.345,
    spent_usd_ever=1048.1,
    running=4711,
)


def test_a_long_review_fits_a_small_screen_and_says_what_it_leaves_out() -> None:
    text = render(FULL, 80, 24)
    lines = text.splitlines()
    assert len(lines) <= 23, text
    assert max(map(len, lines)) <= 80
    for said in (
        "review of work: 40 landed, 9 failed; last approval 1971-01-0",
        "a run is going on (process 4711)",
        "needs you (14)",
        "landed, riskiest first (40)\n  039-task  ccccccccc  +39 -0 in 0 files",
        "memory (9)\n  Known Issues: + line 0",
        "more (`agenttasks review --all`)",
        "attempts that failed: gate 3, agent 1; not charged: usage-limit 2",
        "spent: $12.35 in 50 attempts; $1,048.10 in all",
        "agenttasks review --step",
        "agenttasks reject 039-task -m WHY",
        "agenttasks approve --up-to ddddddddd  # what is shown here",
    ):
        assert said in text
    assert text.count(" more (`agenttasks review --all`)") == 3


def test_without_a_height_everything_is_there() -> None:
    text = render(FULL, 200, None)
    for said in (
        "f8",
        "000-task",
        "line 8",
        "b1  waits for f1, f2",
        "held     h1",
        "n1, n2, n3, n4 and 1 more",
        "v1",
        "e1",
    ):
        assert said in text
    assert "--all`" not in text


@given(st.integers(20, 200), st.integers(1, 60), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_it_never_outgrows_the_screen(width: int, height: int, landed: int, failed: int, memory: int) -> None:
    facts = Facts(
        queue="q", branch="b", tip="d" * 40, since=None, by=None, landed=FULL.landed[:landed], failed=FULL.failed[:failed],
        memory=FULL.memory[:memory],
    )  # fmt: skip
    lines = render(facts, width, height).splitlines()
    assert max(map(len, lines)) <= width
    if height >= 16:
        assert len(lines) < height


def test_nothing_to_review_is_said() -> None:
    text = render(Facts(queue="q", branch="b", tip="d" * 40, since=None, by=None), 80, 24)
    assert text.splitlines()[0] == "review of b: 0 landed, 0 failed; nothing was approved before"
    assert text.splitlines()[-1] == "nothing to review"


def test_what_an_agent_wrote_cannot_steer_the_terminal() -> None:
    facts = Facts(
        queue="q", branch="b", tip="d" * 40, since=None, by=None, memory=("x\x1b[2Jy",),
        failed=(FailedTask(task="f", kind="agent", summary="\x1b]0;title\x07done\nagenttasks approve"),),
    )  # fmt: skip
    text = render(facts, 80, None)
    assert "\x1b" not in text
    assert "agent: done agenttasks approve" in text


class Hands:
    """Actions that remember what was asked of them."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def reject(self, step: Step, why: str) -> str:
        if why == "refuse":
            raise SetupError("in the way")
        self.done.append(("reject", step.task, why))
        return f"{step.task} rejected"

    def requeue(self, step: Step, note: str) -> str:
        self.done.append(("requeue", step.task, note))
        return ""

    def look(self, step: Step) -> str:
        self.done.append(("look", step.task))
        return "+the diff"

    def open(self, step: Step) -> str:
        self.done.append(("open", step.task))
        return ""


STEPS = [Step("a", "landed", "c" * 40), Step("f", "failed"), Step("h", "held", held=True)]


def walked(lines: list[str]) -> tuple[Hands, Decided, str, str]:
    given, hands, decided = iter(lines), Hands(), Decided()
    asked: list[str] = []
    said: list[str] = []

    def ask(question: str) -> str | None:
        asked.append(question)
        return next(given, None)

    walk(STEPS, ask, said.append, hands, decided)
    return hands, decided, "\n".join(said), "\n".join(asked)


def test_each_answer_does_its_work() -> None:
    hands, decided, said, asked = walked(
        ["d", "o", "approve\n", "r", "do better\n", "R", "again", "never asked"]
    )
    assert [step.task for step in decided.approved] == ["a"]
    assert hands.done == [
        ("look", "a"),
        ("open", "a"),
        ("requeue", "f", "do better"),
        ("requeue", "h", "again"),
    ]
    assert "[1/3] a  landed" in said
    assert "+the diff" in said
    assert asked.splitlines()[0] == "[a]pprove, [r]eject, [d]iff, [o]pen, [s]kip, [q]uit > "
    assert "[r]equeue, [d]iff, [o]pen, [s]kip, [q]uit > " in asked.splitlines()


@pytest.mark.parametrize("lines", [["s", "q"], ["skip"], ["x", "", "s"]])
def test_quitting_and_the_end_of_the_input_leave_the_rest_for_later(lines: list[str]) -> None:
    hands, decided, _, _ = walked(lines)
    assert (hands.done, decided.approved, decided.skipped) == ([], [], ["a", "f", "h"])


def test_an_answer_that_is_none_is_asked_again() -> None:
    _, decided, said, _ = walked(["y", "a"])
    assert "type the first letter of one of: approve, reject, diff, open, skip, quit" in said
    assert [step.task for step in decided.approved] == ["a"]


def test_a_held_task_cannot_be_approved() -> None:
    _, decided, said, _ = walked(["s", "s", "a", "q"])
    assert decided.approved == []
    assert "type the first letter of one of: requeue, diff" in said


def test_a_rejection_needs_a_reason_and_may_be_refused() -> None:
    hands, decided, said, _ = walked(["r", "  ", "r", "refuse", "r", "wrong", "q"])
    assert "left as it is" in said
    assert "not done: in the way" in said
    assert hands.done == [("reject", "a", "wrong")]
    assert decided.approved == []


def test_what_was_decided_before_an_interrupt_is_kept() -> None:
    answers: Iterator[str] = iter(["a"])

    def ask(question: str) -> str:
        for answer in answers:
            return answer
        raise KeyboardInterrupt

    decided = Decided()
    say: Callable[[str], None] = lambda line: None  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        walk(STEPS, ask, say, Hands(), decided)
    assert [step.task for step in decided.approved] == ["a"]


def test_steps_are_in_the_order_of_risk() -> None:
    facts = Facts(
        queue="q", branch="b", tip="d" * 40, since=None, by=None, landed=(task("small"), task("odd", guarded="no")), held=("h",),
        failed=(FailedTask(task="f", kind="gate", summary="red"),),
    )  # fmt: skip
    assert [step.task for step in steps_of(facts)] == ["odd", "small", "f", "h"]
    assert "unguarded" in steps_of(facts)[0].headline


def test_memory_changes_leave_out_what_the_runner_keeps() -> None:
    old = "# P\n\n## Known Issues\n\n- one\n- old\n\n## Completed Tasks Log\n\n- 2026-01-01 a\n\n## Active Task Queue\n\n- b\n"
    new = (
        old.replace("- old\n", "- new\n")
        .replace("01 a\n", "01 a\n- 2026-01-02 b\n")
        .replace("- b\n", "- c\n")
    )
    assert changes_of_people_and_agents(old, new) == ("Known Issues: + - new", "Known Issues: - - old")
    assert changes_of_people_and_agents(old, old) == ()
