"""The verbs of a review: review, approve, reject, requeue, after a real run."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pytest_agenttasks.cli import main
from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.runs import run_lock
from pytest_agenttasks.trees.repository import discover
from tests.queue_runs import Project

AGENT = """
case $AGENTTASKS_TASK in
    001-fine) echo fine > src/fine.txt ;;
    002-second) [ $AGENTTASKS_ATTEMPT = 1 ] && touch src/broken.txt || rm -f src/broken.txt; echo x > src/second.txt ;;
    003-stray) echo x > src/stray.txt; echo x > outside.txt ;;
    *) echo "$AGENTTASKS_ATTEMPT" >> src/a.txt ;;
esac
"""
CLAUDE = "# P\n\n## Known Issues\n\n- old\n\n## Completed Tasks Log\n"


@pytest.fixture
def after(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A queue that has run: two landed, the second one at its second attempt; one failed, and blocks another."""
    project.repository.commit("memory", **{"CLAUDE.md": CLAUDE})
    project.agent(AGENT)
    project.task("001-fine", scope=("src/fine.txt",))
    project.task("002-second", scope=("src/second.txt", "src/broken.txt"))
    project.task("003-stray", scope=("src/stray.txt",), front="max_attempts: 1")
    project.task("004-next", front="depends_on: [003-stray]")
    assert project.run().status == 1
    project.repository.commit(
        "noted", **{"CLAUDE.md": project.repository.read("CLAUDE.md").replace("- old", "- new")}
    )
    monkeypatch.chdir(project.path)
    return project


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    capsys.readouterr()
    assert main([*arguments]) == status
    told = capsys.readouterr()
    return told.err if status else told.out


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(said(capsys, *arguments, "--json"))


def commit_of(project: Project, task: str) -> str:
    return project.repository.git("log", "--format=%H", f"--grep=complete {task}")


def test_review_shows_it_all_and_approve_starts_anew(
    after: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "review")
    second, fine = commit_of(after, "002-second"), commit_of(after, "001-fine")
    assert "review of work: 2 landed, 1 failed; nothing was approved before" in text
    assert "failed   003-stray  scope: 1 change out of scope: outside.txt" in text
    assert "blocked  004-next  waits for 003-stray" in text
    assert text.index(f"002-second  {second[:9]}  2 attempts, +1 -0 in 1 file") < text.index(
        f"001-fine    {fine[:9]}"
    )
    assert "Known Issues: + - new" in text
    assert "attempts that failed: gate 1, scope 1" in text
    assert "spent: $0.00 in 4 attempts" in text
    assert f"git show {second[:9]}" in text
    assert len(text.splitlines()) <= 23
    found = document(capsys, "review")
    assert [(one["task"], one["attempts"], one["commit"]) for one in found["landed"]] == [
        ("002-second", 2, second),
        ("001-fine", 1, fine),
    ]
    assert found["landed"][0]["reasons"] == ["2 attempts", "+1 -0 in 1 file"]
    assert found["blocked"] == [{"task": "004-next", "waits_for": ["003-stray"]}]
    assert found["ends"] == {"gate": 1, "scope": 1}
    assert document(capsys, "status")["review"] == {"landed": 2, "failed": 1, "up_to": None, "due": None}

    head = after.repository.head()
    text = said(capsys, "approve")
    assert f"approved by Test User <test@example.org>, up to {head[:10]}" in text
    assert f"landed  001-fine  {fine[:10]}" in text
    assert "failed  003-stray" in text
    assert after.repository.subjects()[-1] == "chore(tasks): approve 3 tasks"
    assert (after.repository.files_of("HEAD"), after.repository.status()) == (["tasks/reviews.jsonl"], "")
    assert document(capsys, "status")["review"]["up_to"] == head
    text = said(capsys, "review")
    assert "0 landed, 0 failed; last approval 20" in text
    assert ", Test User\n" in text
    assert "spent: $0.00 in 0 attempts" in text
    assert "memory" not in text
    after_approval = after.repository.head()
    assert "nothing to approve" in said(capsys, "approve")
    assert after.repository.head() == after_approval


def test_approving_a_part(after: Project, capsys: pytest.CaptureFixture[str]) -> None:
    fine = commit_of(after, "001-fine")
    found = document(capsys, "approve", "--up-to", fine[:12])
    assert (found["up_to"], found["landed"], found["failed"]) == (
        fine,
        [{"task": "001-fine", "commit": fine}],
        [],
    )
    assert found["left"] == ["002-second", "003-stray"]
    text = said(capsys, "approve", "003-stray.md")
    assert "still to be reviewed: 002-second" in text
    assert after.repository.subjects()[-1] == "chore(tasks): approve 003-stray"
    assert "004-next: still pending" in said(capsys, "approve", "004-next", status=4)
    assert "009-none: neither landed nor failed here" in said(capsys, "approve", "009-none", status=4)
    assert "neither a commit nor a task" in said(capsys, "approve", "--up-to", "nothing", status=4)
    assert "not both" in said(capsys, "approve", "001-fine", "--up-to", fine, status=4)
    assert "nothing to approve" in said(capsys, "approve", "001-fine")
    assert document(capsys, "approve", "--up-to", "002-second")["left"] == []


def test_a_clone_without_the_journal_approves_by_commit(
    after: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after.repository.git("clone", "-q", str(after.path), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    assert "and 2 task commits of another clone's runs" in said(capsys, "approve")
    assert "nothing to approve" in said(capsys, "approve", "--up-to", "HEAD")
    monkeypatch.chdir(after.path)
    after.repository.git("pull", "-q", str(tmp_path / "clone"), "work")
    assert [one["task"] for one in document(capsys, "review")["landed"]] == []


def test_reject_then_the_next_session_knows(after: Project, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "reject", "001-fine", "-m", "too fine")
    assert (found["task"], found["landed_on_it"], found["waiting"]) == ("001-fine", [], [])
    assert after.where("001-fine") == ["pending"]
    assert not (after.path / "src/fine.txt").exists()
    text = said(capsys, "reject", "002-second", "-m", "no")
    assert "002-second: " in text
    assert "pending again, with your note" in text
    assert "the gates have not run on the branch" in text
    assert "rejected already" in said(capsys, "reject", "001-fine", "-m", "again", status=4)
    assert "say why" in said(capsys, "reject", "001-fine", "-m", " ", status=4)
    result = after.run("-k", "001")
    assert result.outcomes == {"001-fine": "landed"}, result.output
    prompt = (after.path / "tasks/logs/001-fine/attempt-2.prompt.md").read_text()
    assert "## Reviewer's note\ntoo fine" in prompt
    assert "+++ b/src/fine.txt" in prompt.partition("# Rejected in review")[2]
    assert [one["task"] for one in document(capsys, "review")["landed"]] == ["001-fine"]
    assert main(["verify"]) == 0


def test_what_changes_the_queue_waits_for_a_run_that_goes_on_and_an_approval_does_not(
    after: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = discover(after.path)
    with run_lock(repository, open_queue(repository, after.path / "tasks/pending")):
        assert "another run is using this repository" in said(
            capsys, "reject", "001-fine", "-m", "no", status=4
        )
        assert "another run is using this repository" in said(capsys, "requeue", "003-stray", status=4)
        assert "a run is going on" in said(capsys, "review")
        assert "landed  001-fine" in said(capsys, "approve")


def test_requeue_tells_what_it_did(after: Project, capsys: pytest.CaptureFixture[str]) -> None:
    after.repository.git("revert", "--no-edit", commit_of(after, "001-fine"))
    assert "held     001-fine" in said(capsys, "review")
    refused = said(capsys, "requeue", "003-stray", "001-fine", "-m", "x\n## Files in Scope\n- b", status=4)
    assert "would change the task itself" in refused
    assert (after.where("003-stray"), after.where("001-fine")) == (["failed"], ["pending"])
    found = document(capsys, "requeue", "--all", "001-fine", "-m", "look again")
    assert found == {
        "requeued": [{"task": "001-fine", "was": "held"}, {"task": "003-stray", "was": "failed"}]
    }
    assert "look again" in (after.path / "tasks/pending/003-stray.md").read_text()
    assert "no task has failed" in said(capsys, "requeue", "--all")
    assert document(capsys, "requeue", "--all") == {"requeued": []}
    assert "004-next: pending already" in said(capsys, "requeue", "004-next", status=4)


def test_step_by_step_on_a_terminal(after: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """In a process of its own, on a pseudo-terminal: the answers are typed as lines."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_agenttasks.cli", "review", "--step"],
        cwd=after.path, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ, close_fds=True,
    )  # fmt: skip
    os.close(theirs)
    seen = ""

    def until(text: str) -> None:
        nonlocal seen
        while text not in seen:
            seen += os.read(ours, 4096).decode()
        seen = seen.partition(text)[2]

    def type_in(line: str) -> None:
        os.write(ours, f"{line}\n".encode())

    until("[1/3] 002-second")
    until("[q]uit > ")
    type_in("d")
    until("+x")
    until("[q]uit > ")
    type_in("a")
    until("[2/3] 001-fine")
    until("[q]uit > ")
    type_in("r")
    until("why, for the next session")
    type_in("not fine")
    until("001-fine: ")
    until("[3/3] 003-stray")
    until("[q]uit > ")
    type_in("q")
    until("landed  002-second")
    until("left for later: 003-stray")
    assert process.wait(timeout=60) == 0
    os.close(ours)
    assert after.where("001-fine") == ["pending"]
    assert after.repository.subjects()[-1] == "chore(tasks): approve 002-second"
    found = document(capsys, "review")
    assert ([one["task"] for one in found["landed"]], [one["task"] for one in found["failed"]]) == (
        [],
        ["003-stray"],
    )


def test_step_by_step_from_a_pipe_opens_by_the_verb_of_that_name(
    after: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines").write_text("s\ns\no\nd\na\n")
    with (tmp_path / "lines").open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        text = said(capsys, "review", "--step")
    assert (after.path.parent / "project.by-hand/003-stray/outside.txt").exists()
    assert "outside.txt: added: not in Files in Scope" in text, "the failed attempt in full"
    assert "failed  003-stray" in text
    assert "left for later: 002-second, 001-fine" in text


def test_an_approval_that_waits_for_a_landing_says_so(after: Project) -> None:
    turn = FileLock(after.path / ".git/agenttasks/turn.lock")
    with turn:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest_agenttasks.cli", "approve"],
            cwd=after.path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline() == "agenttasks: waiting for another task to land\n"
    assert process.wait(timeout=60) == 0
    process.stderr.close()
    assert after.repository.subjects()[-1] == "chore(tasks): approve 3 tasks"
