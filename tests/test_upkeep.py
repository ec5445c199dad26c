"""The memory file over many days: joined sections, dropped repetitions, the log and what it has no room for."""

from __future__ import annotations

import datetime
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_agenttasks.cli import main
from pytest_agenttasks.memory.agent_changes import agent_changes
from pytest_agenttasks.memory.sections import heading_name, parse
from pytest_agenttasks.memory.text import Completed, protected_paths, record_completed
from pytest_agenttasks.memory.upkeep import (
    MAX_CHARACTERS,
    logged,
    merged,
    put_by,
    size_warning,
    tidied,
    without_entries,
    without_repetitions,
)
from tests.markdown_texts import memory_texts
from tests.queue_runs import Project

TWICE = """\
# Project

## Known Issues
- flaky clock

## Other
prose

## Known issues
- slow disk
- flaky clock

Why, in words.

## Completed Tasks Log
- 2026-11-20 014-a: First

## Completed Tasks Log
- 2026-11-20 014-a: First
- 2026-11-21 015-b: Second
"""


def test_sections_that_are_there_twice_become_one_and_repetitions_go() -> None:
    assert tidied(TWICE) == (
        "# Project\n\n## Known Issues\n- flaky clock\n- slow disk\n\nWhy, in words.\n\n## Other\nprose\n\n"
        "## Completed Tasks Log\n- 2026-11-20 014-a: First\n- 2026-11-21 015-b: Second\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "## Do Not Touch\n- a/\n\n## Do Not Touch\n- b/\n",
        "## Notes\n- a\n\n## Notes\n- b\n",
        "# A\n## Known Issues\n- a\n# B\n## Known Issues\n- b\n",
        "## Known Issues\n- a\n### Known Issues\n- b\n",
        "## Known Issues\n- a\n## Known Issues\n- b\n### More\n- c\n",
        "## Do Not Touch\n### Known Issues\n- a\n### Known Issues\n- b\n",
        "## Known Issues\n- a\n## Known Issues\n```\nleft open\n",
        "## Known Issues\n- a\n## Known Issues\n<!-- left open\n",
    ],
)
def test_what_would_mean_something_else_stays(text: str) -> None:
    assert merged(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "## Known Issues\nLinux:\n- slow\n\nmacOS:\n\n- slow\n",
        "## Known Issues\n1. a\n2. a\n",
        "## Known Issues\n- a\n  because\n- a\n  because\n",
        "## Known Issues\n- a\n  - b\n- c\n  - b\n",
        "## Notes\n- a\n- a\n",
        "## Known Issues\n- a\n- a.\n",
        "## Completed Tasks Log\n- by hand\n- by hand\n",
        "text\ntext\n\n## Known Issues\ntext\n\ntext\n",
    ],
)
def test_what_people_repeat_for_a_reason_stays(text: str) -> None:
    assert without_repetitions(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("## Known Issues\n- a\n- b\n- a\n", "## Known Issues\n- a\n- b\n"),
        ("## Architectural Invariants\r\n- a\r\n- a", "## Architectural Invariants\r\n- a\r\n"),
        (
            "## Completed Tasks Log\n- 2026-01-01 001-a: A\n- note\n- note\n- 2026-01-01 001-a: A\n",
            "## Completed Tasks Log\n- 2026-01-01 001-a: A\n- note\n- note\n",
        ),
    ],
)
def test_repetitions_go(text: str, left: str) -> None:
    assert without_repetitions(text) == left


@given(memory_texts())
@example(TWICE)
def test_upkeep_changes_and_loses_no_line(text: str) -> None:
    done = tidied(text)
    before, after = (Counter(line.strip() for line in parse(t).lines if line.strip()) for t in (text, done))
    assert not after - before, "nothing is made up"
    gone = set(before - after)
    titles = {line for section in parse(text).sections for line in _heading_lines(text, section.start)}
    assert all(line in after or line in titles for line in gone), (
        "what is gone is there once more, or was a heading"
    )
    assert tidied(done) == done
    assert protected_paths(done) == protected_paths(text) or protected_paths(text)[1]
    assert {s.path for s in parse(done).sections} == {s.path for s in parse(text).sections}


def _heading_lines(text: str, start: int) -> list[str]:
    document = parse(text)
    section = next(s for s in document.sections if s.start == start)
    return [line.strip() for line in document.lines[section.start : section.content]]


@given(memory_texts())
def test_what_upkeep_does_is_never_held_against_an_agent(text: str) -> None:
    once = tidied(text)
    judged = agent_changes(once, tidied(once))
    assert (judged.additions, judged.violations) == ((), ())


@given(memory_texts(), st.integers(0, 3))
def test_every_entry_is_in_the_log_or_put_by(text: str, limit: int) -> None:
    text = tidied(text)
    new = [Completed(datetime.date(2026, 11, 22), f"{n}-x", "T") for n in range(2)]
    edited = record_completed(text, new, limit)
    beside = put_by("", edited.left_out, ())
    for entry in logged(text):
        assert entry in logged(edited.text) or f"- {entry}\n" in beside
    assert put_by(beside, edited.left_out, ()) == beside
    again = record_completed(edited.text, (), limit)
    assert again.text == edited.text
    assert again.left_out == ()


@given(memory_texts())
def test_only_entries_are_struck(text: str) -> None:
    struck = without_entries(text, {"014-a"})
    kept = [line.strip() for line in parse(struck.text).lines]
    for line in parse(text).lines:
        assert line.strip() in kept or line.strip().endswith("2026-11-20 014-a: First")
    assert without_entries(struck.text, {"014-a"}).text == struck.text
    assert without_entries(text, ()).text == text


def test_what_is_put_by_has_a_title_and_goes_on_in_lines() -> None:
    log = put_by("", ["2026-01-01 001-a: A"], ["2026-01-02 002-b: B"])
    assert log.startswith("# Completed tasks\n")
    assert log.endswith("\n\n- 2026-01-02 002-b: B (reverted)\n- 2026-01-01 001-a: A\n")
    assert put_by("mine", ["2026-01-01 001-a: A"], ()) == "mine\n- 2026-01-01 001-a: A\n"
    assert put_by(log, [], []) == log


def test_a_long_file_is_warned_of() -> None:
    assert size_warning("CLAUDE.md", None) is None
    assert size_warning("CLAUDE.md", "x" * MAX_CHARACTERS) is None
    assert "CLAUDE.md: 40,001 characters" in (size_warning("CLAUDE.md", "x" * (MAX_CHARACTERS + 1)) or "")


def test_headings_are_compared_as_everywhere() -> None:
    assert heading_name("Known Issues") == heading_name("**known issues** (old)")


MEMORY = "# M\n\n## Known Issues\n\n## Completed Tasks Log\n"


def memory(project: Project) -> str:
    return project.repository.read("CLAUDE.md")


def test_what_the_log_has_no_room_for_goes_to_a_file_in_the_same_commit(project: Project) -> None:
    project.configure("memory: {completed_log_limit: 1}")
    project.repository.commit("memory", **{"CLAUDE.md": MEMORY})
    for name in ("001-a", "002-b", "003-c"):
        project.task(name)
    assert project.run().status == 0
    assert [entry.split()[1] for entry in logged(memory(project))] == ["003-c:"]
    log = project.repository.read("tasks/done/LOG.md")
    assert [line.split()[2] for line in log.splitlines() if line.startswith("- ")] == ["001-a:", "002-b:"]
    assert project.repository.files_of("HEAD") == ["CLAUDE.md", "tasks/done/LOG.md"]
    assert project.repository.status() == ""
    project.task("004-d")
    result = project.run()
    assert result.outcomes == {"004-d": "landed"}, result.output
    assert "003-c" in project.repository.read("tasks/done/LOG.md")


def test_so_it_does_where_the_queue_is_not_tracked(project: Project) -> None:
    project.configure("memory: {completed_log_limit: 1}")
    project.repository.git("rm", "-rq", "--cached", "tasks")
    project.repository.commit("untracked", **{".gitignore": "*.log\ntasks/\n", "CLAUDE.md": MEMORY})
    for name in ("001-a", "002-b"):
        project.task(name)
    assert project.run().status == 0
    assert "001-a: Task 001-a" in (project.path / "tasks/done/LOG.md").read_text()
    assert [entry.split()[1] for entry in logged(memory(project))] == ["002-b:"]


def test_the_entry_of_a_reverted_task_is_struck_with_the_next_landing(project: Project) -> None:
    project.agent('echo "by $AGENTTASKS_TASK" >> "src/$AGENTTASKS_TASK.txt"')
    project.repository.commit("memory", **{"CLAUDE.md": MEMORY})
    project.task("001-a", scope=("src/001-a.txt",))
    assert project.run().status == 0
    project.repository.git("revert", "--no-edit", "HEAD~1")
    assert project.where("001-a") == ["pending"]
    project.task("002-b", scope=("src/002-b.txt",))
    assert project.run().outcomes == {"001-a": "held", "002-b": "landed"}
    assert [entry.split()[1] for entry in logged(memory(project))] == ["002-b:"]
    assert "001-a: Task 001-a (reverted)\n" in project.repository.read("tasks/done/LOG.md")


def test_a_long_memory_file_is_said_at_the_end_and_by_doctor(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.repository.commit("memory", **{"CLAUDE.md": MEMORY + "x" * MAX_CHARACTERS})
    project.task("001-a")
    result = project.run()
    assert "WARNING: CLAUDE.md: 40," in result.output
    assert "characters, and every session reads all of it" in result.output
    monkeypatch.chdir(project.path)
    main(["doctor"])
    assert "warn  memory" in capsys.readouterr().out


def test_an_agents_line_is_not_lost_where_a_result_lands_later(project: Project) -> None:
    twice = "# M\n\n## Known Issues\n- a\n\n## Other\nprose\n\n## Known Issues\n- b\n"
    project.repository.commit("memory", **{"CLAUDE.md": twice})
    project.agent(
        "echo x >> src/a.txt; printf -- '- from the agent\\n' >> CLAUDE.md\n"
        f"echo mine >> '{project.path}/src/a.txt'"
    )
    project.task("001-a")
    assert project.run().outcomes == {"001-a": "checkout"}
    project.repository.git("checkout", "--", "src/a.txt")
    assert project.run().outcomes == {"001-a": "landed"}
    assert memory(project) == "# M\n\n## Known Issues\n- a\n- from the agent\n- b\n\n## Other\nprose\n"
