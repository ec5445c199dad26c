"""The verbs for after a run: show, status, requeue."""

from __future__ import annotations

import json

import pytest

from pytest_agenttasks.cli import main
from tests.queue_runs import Project


@pytest.fixture
def after(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A queue that has run: one landed, one failed by scope, one refused; the current folder is the project."""
    project.agent("echo x >> src/a.txt; if [ $AGENTTASKS_TASK = 002-stray ]; then echo x >> src/b.txt; fi")
    project.task("001-fine")
    project.task("002-stray", front="max_attempts: 1")
    project.task("003-refused", "# Nothing\n")
    assert project.run().status == 1
    monkeypatch.chdir(project.path)
    return project


def test_show_tells_each_attempt_with_its_evidence_and_diff(
    after: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "002-stray"]) == 0
    assert "attempt 1: scope" in capsys.readouterr().out
    assert main(["show", "002-stray", "--attempt", "1"]) == 0
    told = capsys.readouterr().out
    assert "src/b.txt: modified: not in Files in Scope" in told
    assert "+x" in told
    assert "attempt-1.prompt.md" in told
    assert main(["show", "002-stray", "--attempt", "7"]) == 4
    assert main(["show", "009-none"]) == 4
    assert "no such task" in capsys.readouterr().err


def test_status_counts_and_names_what_failed(after: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    told = capsys.readouterr().out
    assert "0 pending, 1 done, 2 failed, 0 held; 2 sessions" in told
    assert "002-stray: scope: 1 change out of scope: src/b.txt" in told
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["done"] == ["001-fine"]
    assert set(found["failed"]) == {"002-stray", "003-refused"}
    assert found["running"] is None


def test_a_failed_task_is_requeued_with_a_note_that_the_next_session_reads(
    after: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["requeue", "002-stray", "-m", "leave b alone"]) == 0
    assert after.where("002-stray") == ["pending"]
    after.agent("cat > ../prompt; echo again >> src/a.txt")
    result = after.run()
    assert result.outcomes == {"002-stray": "landed"}, result.output
    prompt = (after.path / "tasks/logs/002-stray/attempt-2.prompt.md").read_text()
    assert "## Reviewer's note\nleave b alone" in prompt
    assert "(attempt 1 of 1)" in prompt
    assert "The checkout is fresh" in prompt
    assert "src/b.txt: modified: not in Files in Scope" in prompt.partition("# What failed before")[2]


def test_what_failed_before_a_task_landed_is_not_told_when_it_runs_once_more(after: Project) -> None:
    after.agent('echo "$AGENTTASKS_ATTEMPT" >> src/a.txt')
    assert main(["requeue", "002-stray"]) == 0
    assert after.run().outcomes == {"002-stray": "landed"}
    after.repository.git(
        "revert", "--no-edit", after.repository.git("log", "--format=%H", "--grep=complete 002-stray")
    )
    assert main(["requeue", "002-stray", "-m", "again"]) == 0
    assert after.run().outcomes == {"002-stray": "landed"}
    prompt = (after.path / "tasks/logs/002-stray/attempt-3.prompt.md").read_text()
    assert "What failed before" not in prompt


def test_a_reverted_task_is_held_until_it_is_requeued(
    after: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = after.repository.git("log", "--format=%H", "--grep=complete 001-fine")
    after.repository.git("revert", "--no-edit", commit)
    assert main(["status"]) == 0
    assert "001-fine: held" in capsys.readouterr().out
    assert after.run().outcomes == {"001-fine": "held"}
    assert main(["requeue", "001-fine", "-m", "once more"]) == 0
    assert after.run().outcomes == {"001-fine": "landed"}


def test_requeue_moves_nothing_when_one_name_is_wrong(
    after: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["requeue", "002-stray", "001-fine"]) == 4
    assert "001-fine: has landed; `agenttasks reject 001-fine -m WHY`" in capsys.readouterr().err
    assert after.where("002-stray") == ["failed"]
    after.task("002-stray")
    assert main(["requeue", "002-stray"]) == 4
    assert main(["requeue"]) == 4


def test_requeue_all_takes_every_failed_task(after: Project) -> None:
    assert main(["requeue", "--all"]) == 0
    assert after.where("002-stray") == after.where("003-refused") == ["pending"]
