"""Several runner processes on one repository at the same time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_agenttasks.journal import Journal
from tests.living import until
from tests.runner_processes import configured, processes, queued
from tests.user_repository import UserRepository, task_text


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The agent: writes its task's name into the file of its scope."""
    file = tmp_path / "agent.sh"
    file.write_text('echo "$TASK" >> "$FILE"\n')
    return file


def test_tasks_of_several_processes_all_land(repository: UserRepository, script: Path) -> None:
    configured(repository)
    names = [f"{number:03}-task" for number in range(12)]
    queued(repository, {name: f"src/{name}.txt" for name in names})
    with processes(repository, script, 3) as started:
        assert [process.worker for process in started] == [0, 1, 2]
        for position, name in enumerate(names):
            started[position % 3].tell("attempt", name)
        answers = [started[position % 3].answer() for position in range(12)]
    assert [answer["kind"] for answer in answers] == ["landed"] * 12, answers
    assert repository.status() == ""
    assert sorted(path.name for path in (repository.path / "tasks/done").glob("*.md")) == [
        f"{name}.md" for name in names
    ]
    log = repository.read("CLAUDE.md").partition("## Completed Tasks Log")[2]
    assert [sum(name in line for line in log.splitlines()) for name in names] == [1] * 12, log
    for answer, name in zip(answers, names, strict=True):
        assert set(repository.files_of(answer["commit"])) == {
            f"src/{name}.txt", f"tasks/pending/{name}.md", f"tasks/done/{name}.md"
        }  # fmt: skip


def test_a_killed_process_is_recovered_while_another_goes_on(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    configured(repository)
    queued(repository, {"001-dies": "src/a.txt", "002-lives": "src/b.txt", "003-other": "src/c.txt"})
    for fifo in ("go-dies", "go-lives"):
        os.mkfifo(tmp_path / fifo)
    script.write_text(
        'echo "$TASK $ATTEMPT" >> "$FILE"\n'
        f'case "$TASK $ATTEMPT" in "001-dies 1"|"002-lives 1")\n'
        f'echo there > {tmp_path}/there-$TASK\nread go < "{tmp_path}/go-${{TASK#*-}}";; esac\n'
    )
    with processes(repository, script, 3) as (first, second, controller):
        first.tell("attempt", "001-dies")
        second.tell("attempt", "002-lives")
        until((tmp_path / "there-001-dies").exists)
        until((tmp_path / "there-002-lives").exists)
        assert controller.do("recover", first.owner) == {"recovered": False, "said": []}
        first.kill()
        found = controller.do("recover", first.owner)
        assert found["recovered"]
        assert any("001-dies: kept what attempt 1 had done" in line for line in found["said"])
        assert controller.do("recover", first.owner) == {"recovered": True, "said": []}
        shadow = repository.path / ".git/agenttasks/shadow.git"
        assert repository.git(
            "--git-dir", str(shadow), "show", "refs/attempts/001-dies/1:src/a.txt"
        ).endswith("001-dies 1")
        history = Journal(repository.path / ".git/agenttasks/journal.jsonl").history
        assert set(history.running) == {second.owner}
        assert [end.kind for end in history.ended["001-dies"]] == ["interrupted"]
        # The living one's session was left alone, and the dead one's slot is free.
        with processes(repository, script, 1) as (third,):
            assert third.worker == first.worker
            again = third.attempt("001-dies")
            assert (again["kind"], again["number"]) == ("landed", 2)
        with (tmp_path / "go-lives").open("w") as go:
            go.write("on\n")
        assert second.answer()["kind"] == "landed"
    assert repository.read("src/b.txt").endswith("002-lives 1\n")
    assert repository.status() == ""


def test_what_a_killed_process_left_is_stored_before_its_slot_is_used_again(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    configured(repository)
    queued(repository, {"001-dies": "src/a.txt", "002-next": "src/b.txt"})
    os.mkfifo(tmp_path / "never")
    script.write_text(
        'echo "$TASK $ATTEMPT" >> "$FILE"\n'
        f"if [ $TASK = 001-dies ]; then echo > {tmp_path}/there; read go < {tmp_path}/never; fi\n"
    )
    with processes(repository, script, 1) as (first,):
        first.tell("attempt", "001-dies")
        until((tmp_path / "there").exists)
        first.kill()
    with processes(repository, script, 1) as (second,):
        assert second.worker == first.worker
        assert second.attempt("002-next")["kind"] == "landed"
    shadow = repository.path / ".git/agenttasks/shadow.git"
    assert "001-dies 1" in repository.git(
        "--git-dir", str(shadow), "show", "refs/attempts/001-dies/1:src/a.txt"
    )


@pytest.mark.parametrize("next_one", ["lands", "commits the queue"])
def test_whoever_comes_next_finishes_the_landing_of_a_killed_process(
    repository: UserRepository, script: Path, next_one: str
) -> None:
    configured(repository)
    queued(repository, {"001-dies": "src/a.txt", "002-next": "src/b.txt"})
    with processes(repository, script, 2) as (first, second):
        first.do("die-at", "read-tree")
        first.tell("attempt", "001-dies")
        assert first.process.wait(timeout=30) == -9
        assert repository.status() != ""
        if next_one == "commits the queue":
            repository.write("tasks/pending/003-new.md", task_text("New", ("src/new.txt",)))
            assert second.do("commit-queue")["commit"]
            assert repository.files_of("HEAD") == ["tasks/pending/003-new.md"]
        assert second.attempt("002-next")["kind"] == "landed"
        assert repository.status() == ""
        found = second.do("recover", first.owner)
        assert any("001-dies had landed" in line for line in found["said"]), found
    done = Journal(repository.path / ".git/agenttasks/journal.jsonl").history.landed
    assert set(done) == {"001-dies", "002-next"}
    assert repository.read("src/a.txt") == "a\n001-dies\n"


def test_attempts_of_one_task_in_several_processes_are_counted_together(
    repository: UserRepository, script: Path
) -> None:
    configured(repository)
    queued(repository, {"001-x": "src/a.txt"})
    script.write_text('echo "broken $ATTEMPT" >> "$FILE"\n')
    with processes(repository, script, 2) as (first, second):
        answers = [process.attempt("001-x") for process in (first, second)]
        assert [(answer["number"], answer["kind"]) for answer in answers] == [(1, "gate"), (2, "gate")]
        history = Journal(repository.path / ".git/agenttasks/journal.jsonl").history
        assert history.charged == {"001-x": 2}
