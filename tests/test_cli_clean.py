"""`agenttasks clean`: what is old and reviewed goes, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_agenttasks import cleaning
from pytest_agenttasks.cli import main
from pytest_agenttasks.cli.clean import parse_age
from pytest_agenttasks.journal import Journal
from pytest_agenttasks.journal_records import AttemptStarted, Passed, ProgramStarted, RunStarted
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.trees.places import state_folder
from pytest_agenttasks.trees.repository import discover
from tests.opened import attempt_task, opened
from tests.user_repository import UserRepository

GREEN = [{"name": "tests", "run": "true"}]


@pytest.fixture
def landed(repository: UserRepository, monkeypatch: pytest.MonkeyPatch) -> UserRepository:
    """A task has landed; nobody has looked at it."""
    monkeypatch.chdir(repository.path)
    with opened(repository, gates=GREEN) as run:
        attempt_task(run)
    return repository


def approve(repository: UserRepository, *tasks: str) -> None:
    covered = [{"task": task} for task in tasks]
    record: dict[str, Any] = {"review": "approved", "at": "2040-01-01T00:00:00Z", "by": "A <a@example.org>"}
    record |= {"tasks": covered} if tasks else {"up_to": repository.head()}
    home = discover(repository.path).home
    with (home / "reviews.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")


def clean(capsys: pytest.CaptureFixture[str], *args: str, status: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["clean", "--older-than", "0", "--json", *args]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def dropped(found: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((item["what"], item["name"]) for item in found["dropped"])


def private_git(repository: UserRepository, *args: str) -> str:
    git_dir = discover(repository.path).home / "shadow.git"
    return subprocess.run(
        ["git", "--git-dir", str(git_dir), *args], capture_output=True, text=True, check=True
    ).stdout


def attempts(repository: UserRepository) -> list[str]:
    return private_git(repository, "for-each-ref", "--format=%(refname)", "refs/attempts/").split()


def places(repository: UserRepository) -> list[str]:
    return sorted(folder.name for folder in state_folder(discover(repository.path)).iterdir())


def logs(repository: UserRepository) -> list[str]:
    return sorted(file.name for file in (repository.path / "tasks/logs/001-first").iterdir())


def test_what_nobody_has_reviewed_stays(landed: UserRepository, capsys: pytest.CaptureFixture[str]) -> None:
    before = (attempts(landed), logs(landed))
    found = clean(capsys)
    assert {what for what, _ in dropped(found)} == {"workspace"}
    assert (attempts(landed), logs(landed)) == before
    assert before[0] == ["refs/attempts/001-first/1"]
    assert "1 tasks are pending, or wait for a review" in found["stays"][0]


def test_what_is_approved_goes_and_the_next_run_is_none_the_worse(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    approve(landed)
    found = clean(capsys)
    assert dropped(found) == [
        ("attempt", "001-first 1"),
        ("logs", "001-first 1"),
        ("workspace", "agent-0"),
        ("workspace", "gate-0"),
        ("workspace", "review-0"),
        ("workspace", "services-0"),
    ]
    assert attempts(landed) == places(landed) == logs(landed) == []
    assert found["bytes"] > found["objects_bytes"] > 0
    assert private_git(landed, "count-objects", "-v").startswith("count: 0\n")
    landed.git("fsck", "--strict")
    with opened(landed) as run:
        this = attempt_task(run, name="002-second")
        assert this.outcome is not None
        assert this.outcome.landed
        assert run.journal.history.attempts["001-first"] == 1


def test_a_dry_run_drops_nothing_and_says_the_same(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    approve(landed)
    before = (attempts(landed), places(landed), logs(landed), private_git(landed, "count-objects"))
    would = clean(capsys, "--dry-run")
    assert (attempts(landed), places(landed), logs(landed), private_git(landed, "count-objects")) == before
    did = clean(capsys)
    assert dropped(would) == dropped(did)
    assert (would["dry_run"], did["dry_run"]) == (True, False)
    assert 0 < would["objects_bytes"] <= did["objects_bytes"]
    assert main(["clean", "--older-than", "0", "--dry-run"]) == 0
    assert "would drop 0 things older than 0: 0 B" in capsys.readouterr().out


def test_what_is_young_stays(landed: UserRepository, capsys: pytest.CaptureFixture[str]) -> None:
    approve(landed)
    assert main(["clean"]) == 0
    assert "dropped 0 things older than 30d" in capsys.readouterr().out
    assert attempts(landed)
    assert places(landed)
    folder = landed.path / "tasks/logs/001-first"
    for file in folder.iterdir():
        os.utime(file, (0, time.time() - 31 * 24 * 3600))
    assert main(["clean"]) == 0
    assert "dropped logs 001-first 1 (" in capsys.readouterr().out
    assert attempts(landed)  # its end is in the journal


def test_a_failed_task_stays_until_it_is_approved_by_name(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository.path)
    with opened(
        repository, gates=[{"name": "tests", "run": "test ! -s src/a.txt || ! grep -q attempt src/a.txt"}]
    ) as run:
        this = attempt_task(run)
        assert this.outcome is not None
        assert this.outcome.kind == "gate"
    (repository.path / "tasks/pending/001-first.md").rename(repository.path / "tasks/failed/001-first.md")
    repository.commit("failed")
    approve(repository)
    assert {what for what, _ in dropped(clean(capsys))} == {"workspace"}
    assert attempts(repository)
    approve(repository, "001-first")
    assert [what for what, _ in dropped(clean(capsys))] == ["attempt", "logs"]


def test_an_attempt_that_a_killed_run_has_left_stays_with_its_workspace_and_all_objects(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    approve(landed)
    home = discover(landed.path).home
    dead = Journal(home / "journal.jsonl", "999999-1.0/0")
    dead.write(AttemptStarted(task="002-cut", attempt=1, base=landed.head(), task_blob="0" * 40))
    dead.write(ProgramStarted(pid=999998, started=1.0))
    before = (places(landed), private_git(landed, "count-objects"))
    found = clean(capsys)
    assert dropped(found) == [("attempt", "001-first 1"), ("logs", "001-first 1")]
    assert (places(landed), private_git(landed, "count-objects")) == before
    assert any("killed; the next start mends that" in line for line in found["stays"])
    assert found["objects_bytes"] == 0


def test_a_verified_result_that_waits_to_be_landed_stays(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    def edit(workspace: Any) -> None:
        (workspace.path / "src/b.txt").write_text("agent\n")
        (landed.path / "src/b.txt").write_text("user\n")  # in the way of the landing

    with opened(landed, edit) as run:
        this = attempt_task(run, name="002-waits", scope=("src/b.txt",))
        assert this.outcome is not None
        assert this.outcome.kind == "checkout"
        passed = run.journal.history.passed["002-waits"]
    approve(landed)
    assert ("attempt", "002-waits 1") not in dropped(clean(capsys))
    assert private_git(landed, "cat-file", "-t", passed.commit) == "commit\n"
    landed.git("checkout", "-q", "src/b.txt")
    with opened(landed) as run:
        this = attempt_task(run, name="002-waits", scope=("src/b.txt",))
        assert this.outcome is not None
        assert this.outcome.landed
        assert this.agent is None  # no second session
    assert landed.read("src/b.txt") == "agent\n"


def test_a_verified_result_is_kept_though_only_the_journal_knows_of_it(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    home = discover(landed.path).home
    tree = landed.git("rev-parse", "HEAD^{tree}")
    kept, stray = (
        private_git(
            landed, "-c", "user.name=A", "-c", "user.email=a@b", "commit-tree", "-m", text, tree
        ).strip()
        for text in ("verified", "stray")
    )
    Journal(home / "journal.jsonl").write(
        Passed(
            task="002-waits", attempt=1, old=landed.head(), new=kept, commit=kept, branch="refs/heads/work",
            task_blob="0" * 40, tracked=True,
        )
    )  # fmt: skip
    approve(landed)
    clean(capsys)
    assert private_git(landed, "cat-file", "-t", kept) == "commit\n"
    with pytest.raises(subprocess.CalledProcessError):
        private_git(landed, "cat-file", "-t", stray)


def test_a_task_of_another_queue_with_the_same_name_keeps_its_attempts(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    approve(landed)
    journal = Journal(discover(landed.path).home / "journal.jsonl", "1.1.1")
    journal.write(RunStarted(pid=1, queue="more/tasks", branch="refs/heads/work"))
    landed.write("more/tasks/failed/001-first.md", "# Another\n")
    assert {what for what, _ in dropped(clean(capsys))} == {"workspace"}
    (landed.path / "more/tasks/failed/001-first.md").unlink()
    assert ("attempt", "001-first 1") in dropped(clean(capsys))


def test_while_a_run_goes_on_it_refuses_and_other_slots_stay(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    approve(landed)
    with opened(landed):  # of another queue, say: it holds slot 0
        before = (places(landed), private_git(landed, "count-objects"))
        found = clean(capsys)
        assert dropped(found) == [("attempt", "001-first 1"), ("logs", "001-first 1")]
        assert (places(landed), private_git(landed, "count-objects")) == before


def test_old_parts_of_the_event_log_go_with_the_tasks_that_they_tell_of(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = landed.path / "tasks/logs"
    (folder / "orchestration.1.log").write_text("t attempt-started 001-first\nt run-ended - status=0\n")
    (folder / "orchestration.2.log").write_text("t attempt-started 001-first\nt task-ended 002-other x=1\n")
    assert not [what for what, _ in dropped(clean(capsys)) if what == "events"]
    approve(landed)
    assert ("events", "orchestration.1.log") in dropped(clean(capsys))
    assert not (folder / "orchestration.1.log").exists()
    assert (folder / "orchestration.2.log").exists()
    assert (folder / "orchestration.log").exists()


def test_what_could_not_be_stored_stays_until_its_task_is_approved(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = state_folder(discover(landed.path)) / "kept"
    for name in ("001-first.1", "001-first.1.2", "002-other.1"):
        (kept / name).mkdir(parents=True)
        (kept / name / "file").write_text("x")
    assert not [what for what, _ in dropped(clean(capsys)) if what == "kept"]
    approve(landed)
    found = [name for what, name in dropped(clean(capsys)) if what == "kept"]
    assert found == ["001-first.1", "001-first.1.2"]
    assert [folder.name for folder in kept.iterdir()] == ["002-other.1"]


def test_an_object_that_was_written_just_now_has_a_day_of_grace(
    landed: UserRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    home = discover(landed.path).home
    new = subprocess.run(
        ["git", "--git-dir", str(home / "shadow.git"), "hash-object", "-w", "--stdin"],
        input="new", capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    approve(landed)
    assert main(["clean", "--older-than", "2d"]) == 0
    assert private_git(landed, "cat-file", "-t", new) == "blob\n"
    clean(capsys)
    with pytest.raises(subprocess.CalledProcessError):
        private_git(landed, "cat-file", "-t", new)


@pytest.mark.parametrize(("text", "seconds"), [("30d", 30 * 86400.0), ("0", 0.0), ("12h", 43200.0)])
def test_ages(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


def test_an_age_that_is_none(landed: UserRepository, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupError, match="--older-than"):
        parse_age("a month")
    assert main(["clean", "--older-than", "a month"]) == 4
    assert attempts(landed)


def test_a_repository_without_any_run(repository: UserRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository.path)
    assert main(["clean"]) == 0


def test_sizes_are_those_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/file").write_bytes(b"x" * 100_000)
    (tmp_path / "x/sparse").touch()
    os.truncate(tmp_path / "x/sparse", 10**9)
    assert 100_000 <= cleaning.size_of(tmp_path / "x") < 200_000
    assert cleaning.size_of(tmp_path / "none") == 0
