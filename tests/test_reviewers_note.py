"""A reviewer's note in a task file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.reviewers_note import HEADING, with_note
from pytest_agenttasks.tasks.task import parse
from tests.user_repository import task_text

FILE = Path("001-a.md")


def noted(text: str, note: str) -> str:
    return with_note(FILE, text.encode(), note).decode()


def test_it_is_the_last_section() -> None:
    text = noted(task_text(), "leave b alone")
    assert text == f"{task_text()}\n{HEADING}\nleave b alone\n"
    assert parse(FILE, text.encode()).sections[-1] == ("Reviewer's note", "leave b alone")


def test_further_notes_follow_under_the_same_heading() -> None:
    text = noted(noted(task_text(), "one"), "two")
    assert text.endswith(f"{HEADING}\none\n\ntwo\n")
    assert text.count(HEADING) == 1
    assert noted(text, "two") == text, "the same once more, after a kill"


def test_a_heading_that_is_not_the_last_one_gets_another_at_the_end() -> None:
    text = noted(f"{HEADING}\nold\n{task_text()}", "new")
    assert text.endswith(f"- the gates pass\n\n{HEADING}\nnew\n")
    fenced = noted(f"{task_text()}```\n{HEADING}\n```\n", "new")
    assert fenced.endswith(f"```\n\n{HEADING}\nnew\n")


def test_line_ends_are_those_of_the_file() -> None:
    data = with_note(FILE, task_text().replace("\n", "\r\n").rstrip("\n").encode(), "one\ntwo")
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert data.endswith(b"one\r\ntwo\r\n")


@pytest.mark.parametrize("note", ["x\n\n## Files in Scope\n- src/b.txt", "x\n## Files in Scope"])
def test_a_note_cannot_change_the_task(note: str) -> None:
    with pytest.raises(SetupError, match=r"001-a\.md: the note has a heading"):
        noted(task_text(), note)


def test_a_file_that_is_no_task_gets_its_note_too() -> None:
    assert with_note(FILE, b"\xff", "why\udc80").startswith(b"\xff\n\n## Reviewer's note\nwhy")
