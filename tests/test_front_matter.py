"""The YAML at the top of a task file: what it may say, and errors that name the line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.settings.records import GateSettings
from pytest_agenttasks.tasks.front_matter import LIVE_MARKERS, FrontMatter, FrontMatterError, parse, split


def errors(text: str, task: str = "017-task") -> list[tuple[int, str]]:
    return [(error.line, error.message) for error in parse(text, 2, task)[1]]


def test_every_key_is_read() -> None:
    front, wrong = parse(
        "depends_on: [016-pool, '015']\ntags: [auth]\naccept: [npm test]\ntimeout: 45m\nmax_attempts: 3\n"
        "max_turns: 50\nmodel: opus\nbudget_usd: 1.5\ntype: fix\ngates: [{name: extra, run: make}]\n"
        "allow_tests: true\nallow_no_change: true\n",
        2,
        "017-task",
    )
    assert wrong == ()
    assert front == FrontMatter(
        depends_on=("016-pool", "015"),
        tags=("auth",),
        accept=("npm test",),
        timeout=front.timeout,
        max_attempts=3,
        max_turns=50,
        model="opus",
        budget_usd=1.5,
        type="fix",
        gates=(GateSettings(name="extra", run="make"),),
        allow_tests=True,
        allow_no_change=True,
    )
    assert front.timeout is not None
    assert float(front.timeout) == 2700


@pytest.mark.parametrize("text", ["", "# only a comment\n", "depends_on:\ntags: ~\ntimeout: null\n"])
def test_nothing_said_is_nothing_asked_for(text: str) -> None:
    assert parse(text, 2, "a") == (FrontMatter(), ())


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("tags: [a]\ndepend_on: [b]\n", 3, "unknown key `depend_on`.*`depends_on`"),
        ("depends_on: 016-pool\n", 2, "`depends_on`: expected a list.*write .016-pool."),
        ("tags: [a]\ndepends_on:\n  - x\n  - 16\n", 5, "quotes"),
        ("timeout: soon\n", 2, "`timeout`.*45m"),
        ("timeout: 0\n", 2, "`timeout`.*more than 0"),
        ("max_attempts: 0\n", 2, "`max_attempts`"),
        ("\nbudget_usd: -1\n", 3, "`budget_usd`"),
        ("type: Feature!\n", 2, "`type`.*lower-case"),
        ("allow_tests: yes\n", 2, "`allow_tests`.*true or false"),
        ("gates:\n  - {name: a, run: b}\n  - {name: A, run: c}\n", 4, "used twice"),
        ("gates: [{name: a}]\n", 2, "`gates.0..run`: is missing"),
        ("gates: [{name: a, run: b, cwd: ../x}]\n", 2, "leaves the repository"),
        ("tags: [a\n", 3, "not valid YAML"),
        ("a: 1\na: 2\n", 3, "written twice"),
        ("- a\n", 2, "expected keys and values, got a list"),
        ("just text\n", 2, "expected keys and values"),
        ("a: &x [*x]\n", 2, "anchors"),
        ("a: !!python/object:os.system x\n", 2, "tag"),
        ("depends_on: [017-TASK]\n", 2, "depends on itself"),
        ("tags: [a]\ndepends_on: [a, b, A]\n", 3, "listed twice"),
        ("depends_on: [../x]\n", 2, "without `.md`"),
        ("depends_on: [x.lock]\n", 2, "lock"),
        ("tags: [two words]\n", 2, "is no tag"),
        ("tags: [a-b]\n", 2, "is no tag"),
        ("tags: [_private]\n", 2, "is no tag"),
        ("tags: ['1st']\n", 2, "is no tag"),
        ("tags: [or]\n", 2, "operator"),
        ("tags: [pytest_x]\n", 2, "marker"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, words: str) -> None:
    (found,) = errors(text)
    assert found[0] == line
    assert re.search(words, found[1]), found[1]


@pytest.mark.parametrize(
    "marker", ["skip", "xfail", "timeout", "parametrize", "usefixtures", "asyncio", "flaky"]
)
def test_a_tag_that_pytest_acts_on_is_refused(marker: str) -> None:
    assert marker in LIVE_MARKERS
    (found,) = errors(f"tags: [{marker}]")
    assert "choose another name" in found[1]


def test_the_shortest_timeout_is_fine() -> None:
    front, wrong = parse("timeout: 0.5", 2, "a")
    assert wrong == ()
    assert front.timeout is not None
    assert float(front.timeout) == 0.5


def test_every_flaw_is_reported_at_once() -> None:
    assert [line for line, _ in errors("tags: [skip, a b]\ndepends_on:\n  - 017-task\n")] == [4, 2, 2]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["---", "a: 1", "---", "# T"], (1, 2)),
        (["", "  ", "---", "a: 1", "...", "# T"], (3, 4)),
        (["--- ", "---\t"], (1, 1)),
        (["# T", "---", "a: 1", "---"], (0, 0)),
        (["----", "a: 1", "----"], (0, 0)),
        ([""], (0, 0)),
        ([], (0, 0)),
    ],
)
def test_where_the_front_matter_lies(lines: list[str], expected: tuple[int, int]) -> None:
    assert split(lines) == expected


def test_a_front_matter_left_open_is_an_error_with_its_line() -> None:
    with pytest.raises(FrontMatterError, match="not closed") as refused:
        split(["", "---", "a: 1", "# T"])
    assert refused.value.line == 2


@given(st.text("abc: -[]{}#&*!|>'\"\n\t0123?,~%@`", max_size=60))
def test_no_text_makes_it_raise(text: str) -> None:
    _, wrong = parse(text, 2, "a")
    assert all(error.line >= 2 and error.message for error in wrong)


@pytest.mark.parametrize("text", ["[" * 50_000, "- " * 50_000, "{a: " * 50_000, "a: " + "9" * 50_000])
def test_hostile_yaml_is_refused_and_never_crashes(text: str) -> None:
    assert errors(text)
