"""The report beside a task that has failed for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_agenttasks.cli import main
from pytest_agenttasks.outcome import Kind, Outcome
from pytest_agenttasks.queue import names
from pytest_agenttasks.report.failure import failure_report
from tests.queue_runs import Project

NAME = "001-first"


def report(project: Project) -> Path:
    return project.path / f"tasks/failed/{NAME}.report.md"


@pytest.fixture
def failed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A task that has failed for good by its gate, after two attempts; the current folder is the project."""
    project.agent('echo "by $AGENTTASKS_ATTEMPT" >> src/a.txt; touch src/broken.txt; echo "I did my best"')
    project.configure(gate="echo 'src/broken.txt \x1b[31mis there'; test ! -e src/broken.txt")
    project.task(NAME, scope=("src/",))
    result = project.run()
    assert result.outcomes == {NAME: "gate"}, result.output
    monkeypatch.chdir(project.path)
    return project


def test_it_tells_what_was_tried_with_the_evidence_and_what_to_type(failed: Project) -> None:
    text = report(failed).read_text()
    assert text.startswith(f"# {NAME} has failed (gate)\n\n2 attempts, ")
    first, second = text.index("## Attempt 1: gate\n"), text.index("## Attempt 2: gate\n")
    assert first < second
    for part in (text[first:second], text[second:]):
        assert "    gate `tests`: " in part
        assert "    src/a.txt (modified)\n    src/broken.txt (added)\n" in part
        assert "    src/broken.txt is there\n" in part, "the evidence, without control sequences"
        assert "    I did my best\n" in part
    assert f"`tasks/logs/{NAME}/attempt-2.diff`" in text[second:]
    assert (failed.path / f"tasks/logs/{NAME}/attempt-2.diff").exists()
    typed = [line.split("  #")[0].strip() for line in text.splitlines() if line.startswith("    agenttasks ")]
    assert typed == [
        f"agenttasks show {NAME} --attempt 2",
        f"agenttasks open {NAME}",
        f"agenttasks land {NAME}",
        f"agenttasks requeue {NAME} -m NOTE",
    ]


def test_it_comes_in_the_commit_that_moves_the_task(failed: Project) -> None:
    repository = failed.repository
    assert repository.subjects()[-1] == f"chore(tasks): move {NAME} to failed"
    assert repository.files_of("HEAD") == [
        f"tasks/failed/{NAME}.md", f"tasks/failed/{NAME}.report.md", f"tasks/pending/{NAME}.md",
    ]  # fmt: skip
    assert repository.status() == ""
    assert main(["verify"]) == 5, "no task commit, and nothing wrong"


def test_it_is_no_task(failed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert names(failed.path / "tasks/failed") == {NAME}
    assert main(["status"]) == 0
    assert "1 failed" in capsys.readouterr().out
    capsys.readouterr()
    main(["lint", "tasks/failed"])
    assert "1 task, " in capsys.readouterr().out
    failed.task("002-next", front=f"depends_on: [{NAME}]")
    failed.agent("echo fine >> src/a.txt")
    assert failed.run().outcomes == {"002-next": "blocked"}


def test_it_is_kept_among_the_logs_when_the_task_is_queued_again(failed: Project) -> None:
    text = report(failed).read_text()
    logs = failed.path / f"tasks/logs/{NAME}"
    assert main(["requeue", NAME]) == 0
    assert not report(failed).exists()
    assert (logs / "report.md").read_text() == text
    assert failed.run().outcomes == {NAME: "gate"}
    again = report(failed).read_text()
    assert "4 attempts" in again
    assert "## Attempt 1: gate" in again
    assert failed.repository.status() == ""
    assert main(["requeue", "--all"]) == 0
    assert (logs / "report-2.md").read_text() == again
    failed.agent("echo fine >> src/a.txt")
    assert failed.run().outcomes == {NAME: "landed"}
    assert failed.repository.status() == ""


def test_a_report_of_the_users_is_not_written_over(project: Project) -> None:
    project.agent("touch src/broken.txt")
    project.task(NAME, scope=("src/",), front="max_attempts: 1")
    report(project).write_text("mine\n")
    assert project.run().outcomes == {NAME: "gate"}
    assert project.where(NAME) == ["failed"]
    assert report(project).read_text() == "mine\n"
    assert "has failed" in (project.path / f"tasks/failed/{NAME}.2.report.md").read_text()


def test_a_task_that_was_never_attempted_has_its_problems_told(project: Project) -> None:
    project.task(NAME, "# Nothing\n")
    assert project.run().outcomes == {NAME: "refused"}
    text = report(project).read_text()
    assert text.startswith(
        f"# {NAME} has failed (refused)\n\nIts task file cannot be used; nothing was spent.\n"
    )
    assert "no `## Files in Scope`" in text
    assert f"agenttasks requeue {NAME}" in text
    assert "agenttasks open" not in text


def test_nothing_of_an_agents_is_markdown() -> None:
    nasty = "```\n# heading\n<script>\n\x1b]0;title\x07\ud800"
    attempt = {
        "attempt": 1, "outcome": "gate", "summary": nasty, "evidence": nasty, "said": nasty, "session": nasty,
        "seconds": 1.5, "cost_usd": 0.25,
    }  # fmt: skip
    text = failure_report(
        "001-x",
        [attempt] * 7,
        given_up=Outcome(Kind.GATE, nasty),
        changed=lambda _: [nasty],
        logs="tasks/logs/001-x",
    )
    assert not any(line.startswith(("```", "# heading", "<script>")) for line in text.splitlines())
    assert "\x1b" not in text
    assert text.encode()
    assert "7 attempts, 10 s, $1.75" in text
    assert text.count("Evidence:") == 5
