"""The memory file: the paths it protects, the log and the queue that the runner keeps in it."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.memory.sections import parse
from pytest_agenttasks.memory.text import Completed, protected_paths, record_completed, update_queue
from pytest_agenttasks.report.printable import one_line
from tests.markdown_texts import memory_texts

DAY = datetime.date(2026, 11, 22)

MEMORY = """\
# Project

## Do Not Touch
- src/core/billing/
- `migrations/` — ask the database team

## Active Task Queue
The runner keeps this list.

- 016-old: Old

## Completed Tasks Log
- 2026-11-20 014-a: First
- 2026-11-21 015-b: Second

## Known Issues
- flaky clock
"""


def done(name: str, title: str = "Title", day: datetime.date = DAY) -> Completed:
    return Completed(day, name, title)


# Do Not Touch


def test_the_listed_paths_are_protected() -> None:
    assert protected_paths(MEMORY) == (("src/core/billing/", "migrations/"), ())


@pytest.mark.parametrize(
    "heading", ["## Do Not Touch", "#### DO NOT TOUCH", "Do not touch\n---", "## 🚫 **Do Not Touch** (ever)"]
)
def test_the_heading_may_look_different(heading: str) -> None:
    assert protected_paths(f"{heading}\n- a/\n") == (("a/",), ())


def test_a_heading_that_says_more_protects_too() -> None:
    assert protected_paths("## Do Not Touch Without Asking\n- a/\n") == (("a/",), ())
    assert protected_paths("## Do Not Touchdown\n- a/\n") == ((), ())


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ("- src/a.ts", "src/a.ts"),
        ("* ./src/", "src/"),
        ("1. `src/with space/`", "src/with space/"),
        ("- `src/a/` - legacy, see `docs/`", "src/a/"),
        ("- src/a/ # why", "src/a/"),
        ("- src/a/ (why)", "src/a/"),
        ("- src/a/: why", "src/a/"),
        ("- `src/a/`: why", "src/a/"),
        ("- **/secrets.*", "**/secrets.*"),
        ("- größe/日本/", "größe/日本/"),
        ("- nothing/", "nothing/"),
        ("- src/a/ — a comment\n  that goes on", "src/a/"),
    ],
)
def test_an_entry_is_a_path_and_maybe_a_comment(item: str, path: str) -> None:
    assert protected_paths(f"## Do Not Touch\n{item}\n") == ((path,), ())


@pytest.mark.parametrize(
    "item",
    [
        "- /etc/passwd",
        "- ~/x",
        "- C:/x",
        "- ../other/",
        "- src/../..",
        "- .",
        "- ./",
        "- !src/",
        "- src\\core",
        "- [src](src/)",
        "- Production database",
        "- src/a/, src/b/",
        "- `src/a/`, `src/b/`",
        "- `src/a/` and src/b/",
        "- **`src/a/`**",
        "- src/a/\n  src/b/",
        "-",
    ],
)
def test_what_cannot_be_a_path_is_a_problem_with_its_line(item: str) -> None:
    paths, problems = protected_paths(f"# P\n\n## Do Not Touch\n\n- ok/\n{item}\n")
    assert paths == ("ok/",)
    assert len(problems) == 1
    assert problems[0].startswith("line 6: ")


def test_nested_items_and_subsections_count() -> None:
    text = "## Do Not Touch\n- a/\n  - b/\n### More\n- c/\n## Other\n- d/\n"
    assert protected_paths(text) == (("a/", "b/", "c/"), ())


def test_nothing_is_taken_from_code_and_comments() -> None:
    text = "## Do Not Touch\n- a/\n\n```\n- b/\n```\n<!--\n- c/\n-->\n"
    assert protected_paths(text) == (("a/",), ())


@pytest.mark.parametrize(
    "text", ["Never edit src/core.", "```\nsrc/core/\n```", "> src/core/", "    src/core/"]
)
def test_text_without_a_list_is_a_problem(text: str) -> None:
    paths, problems = protected_paths(f"## Do Not Touch\n{text}\n## Next\n")
    assert paths == ()
    assert len(problems) == 1
    assert problems[0].startswith("line 2: ")


@pytest.mark.parametrize("text", ["", "(none)", "- none yet", "_Nothing._", "<!-- one path an item -->"])
def test_an_empty_section_protects_nothing(text: str) -> None:
    assert protected_paths(f"## Do Not Touch\n{text}\n## Next\ntext\n- x/\n") == ((), ())


@given(memory_texts())
def test_any_text_has_protected_paths_inside_the_repository(text: str) -> None:
    paths, problems = protected_paths(text)
    assert not any(path.startswith("/") or ".." in path.split("/") for path in paths)
    assert all(problem == one_line(problem, 1000) for problem in problems)


# Completed Tasks Log


def test_landed_tasks_are_added_at_the_end_of_the_log() -> None:
    edited = record_completed(MEMORY, [done("016-c", "Third"), done("017-d", "Fourth")], 30)
    assert edited.text == MEMORY.replace(
        "015-b: Second\n", "015-b: Second\n- 2026-11-22 016-c: Third\n- 2026-11-22 017-d: Fourth\n"
    )
    assert edited.left_out == ()


def test_the_newest_entries_are_kept_and_the_others_returned() -> None:
    edited = record_completed(MEMORY, [done("016-c", "Third")], 2)
    assert edited.text == MEMORY.replace("- 2026-11-20 014-a: First\n", "").replace(
        "015-b: Second\n", "015-b: Second\n- 2026-11-22 016-c: Third\n"
    )
    assert edited.left_out == ("2026-11-20 014-a: First",)


def test_more_new_entries_than_the_limit_leave_the_newest() -> None:
    edited = record_completed(MEMORY, [done("016-c"), done("017-d")], 1)
    assert "014-a" not in edited.text
    assert "016-c" not in edited.text
    assert "- 2026-11-22 017-d: Title\n" in edited.text
    assert edited.left_out == (
        "2026-11-20 014-a: First",
        "2026-11-21 015-b: Second",
        "2026-11-22 016-c: Title",
    )


def test_lines_of_humans_and_examples_are_left_alone() -> None:
    text = (
        "## Completed Tasks Log\nOurs:\n\n- before all: start\n- 2026-01-01 001-a: by hand\n  for a reason\n"
        "- 2026-01-02 002-b: B\n- a note\n\n```\n- 2026-01-01 000-x: example\n```\n"
    )
    edited = record_completed(text, [done("003-c", "C")], 1)
    assert edited.text == text.replace("- 2026-01-02 002-b: B\n", "- 2026-11-22 003-c: C\n")
    assert edited.left_out == ("2026-01-02 002-b: B",)


@pytest.mark.parametrize(
    "human",
    [
        "- before\n  - 2026-01-01 001-a: A",
        "> - 2026-01-01 001-a: A",
        "1. 2026-01-01 001-a: A",
        "- 2026-01-01 001-a: A\n  - why",
    ],
)
def test_only_plain_items_are_the_runners(human: str) -> None:
    text = f"## Completed Tasks Log\n{human}\n\n* 2026-01-02 002-b: B\n"
    edited = record_completed(text, [done("003-c", "C")], 1)
    assert edited.text == text.replace("* 2026-01-02 002-b: B\n", "* 2026-11-22 003-c: C\n")


def test_entries_go_on_in_the_style_of_the_list() -> None:
    text = "## Completed Tasks Log\n\n * 2026-01-01 001-a: A\n"
    assert record_completed(text, [done("002-b", "B")], 9).text == text + " * 2026-11-22 002-b: B\n"
    text = "## Completed Tasks Log\n* a note\n"
    assert record_completed(text, [done("002-b", "B")], 9).text == text + "* 2026-11-22 002-b: B\n"


def test_an_empty_log_gets_a_list() -> None:
    text = "# P\n\n## Completed Tasks Log\n\n## Next\n"
    assert record_completed(text, [done("a")], 9).text == (
        "# P\n\n## Completed Tasks Log\n\n- 2026-11-22 a: Title\n\n## Next\n"
    )


def test_recording_again_changes_nothing() -> None:
    once = record_completed(MEMORY, [done("016-c")], 30).text
    assert record_completed(once, [done("016-c")], 30).text == once
    assert record_completed(once, [done("016-c", day=datetime.date(2026, 11, 23))], 30).text != once


def test_a_title_cannot_be_more_than_the_end_of_a_line() -> None:
    text = record_completed(MEMORY, [done("016-c", "a\n## Do Not Touch\n- x/\x1b[31m" + "y" * 200)], 30).text
    assert parse(text).outline == parse(MEMORY).outline
    assert "016-c: a ## Do Not Touch - x/yyy" in text
    assert max(map(len, text.splitlines())) < 130


def test_a_task_without_a_title_has_its_name() -> None:
    assert "\n- 2026-11-22 016-c\n" in record_completed(MEMORY, [done("016-c", "")], 30).text


def test_line_ends_bom_and_a_missing_last_one_are_kept() -> None:
    text = "\ufeff# P\r\n## Completed Tasks Log\r\n- 2026-01-01 001-a: A"
    assert record_completed(text, [done("002-b", "B")], 9).text == text + "\r\n- 2026-11-22 002-b: B\r\n"


# Active Task Queue


def test_the_queue_says_what_is_pending() -> None:
    text = update_queue(MEMORY, [("017-jwt", "Rotate keys"), ("018-x", "")])
    assert text == MEMORY.replace("- 016-old: Old\n", "- 017-jwt: Rotate keys\n- 018-x\n")


def test_an_empty_queue_says_so() -> None:
    assert update_queue(MEMORY, []) == MEMORY.replace("- 016-old: Old\n", "- (none)\n")


def test_prose_around_the_lists_stays() -> None:
    text = (
        "## Active Task Queue\nIntro.\n\n- [ ] a\n  more of a\n\nBetween.\n\n1. b\n\nEnd.\n\n## Next\n- c\n"
    )
    assert update_queue(text, [("t", "T")]) == (
        "## Active Task Queue\nIntro.\n\n- t: T\n\nBetween.\n\n\nEnd.\n\n## Next\n- c\n"
    )


def test_a_queue_without_a_list_gets_one() -> None:
    assert update_queue("## Active Task Queue\nIntro.\n## Next\n", [("t", "T")]) == (
        "## Active Task Queue\nIntro.\n\n- t: T\n\n## Next\n"
    )


def test_a_list_whose_removal_would_make_a_heading_stays() -> None:
    text = "## Active Task Queue\n- a\n\nEnd.\n* b\n---\n"
    assert update_queue(text, [("t", "T")]) == text.replace("- a", "- t: T")


# Both


@pytest.mark.parametrize("opened", ["```", "<!--"])
def test_nothing_is_written_into_a_block_left_open(opened: str) -> None:
    text = f"## Active Task Queue\n{opened}\n"
    assert update_queue(text, [("t", "T")]) == text
    text = f"## Completed Tasks Log\n{opened}\n"
    edited = record_completed(text, [done("t")], 9)
    assert (edited.text, edited.left_out) == (text, ("2026-11-22 t: Title",))


def test_a_file_without_the_sections_stays_as_it_is() -> None:
    text = "# P\n\n```\n## Completed Tasks Log\n## Active Task Queue\n```\n"
    assert record_completed(text, [done("a")], 9).text == text
    assert update_queue(text, [("a", "A")]) == text


@given(
    memory_texts(),
    st.lists(st.tuples(st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True), st.text()), max_size=4),
)
def test_any_text_keeps_its_outline_and_a_second_time_changes_nothing(
    text: str, tasks: list[tuple[str, str]]
) -> None:
    queued = update_queue(text, tasks)
    assert parse(queued).outline == parse(text).outline
    assert update_queue(queued, tasks) == queued
    entries = [done(name, title) for name, title in tasks]
    recorded = record_completed(text, entries, 30).text
    assert parse(recorded).outline == parse(text).outline
    assert record_completed(recorded, entries, 30).text == recorded


@given(memory_texts(), st.integers(1, 3))
def test_recording_loses_no_line_but_those_it_returns(text: str, limit: int) -> None:
    edited = record_completed(text, [done("new-1"), done("new-2")], limit)
    kept = [line.strip() for line in parse(edited.text).lines]
    for line in parse(text).lines:
        assert line.strip() in kept or any(line.strip().endswith(gone) for gone in edited.left_out)
