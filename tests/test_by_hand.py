"""Finishing a task by hand: `agenttasks open` and `agenttasks land`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_agenttasks import preflight
from pytest_agenttasks.cli import main, spent
from pytest_agenttasks.journal import Journal
from pytest_agenttasks.outcome import Kind
from tests import opened as opening
from tests.opened import fingerprint
from tests.queue_runs import Project

NAME = "001-first"
SCOPE = ("src/a.txt", "src/broken.txt", "src/new.txt", "src/gone.txt")
MEMORY = "# M\n\n## Known Issues\n\n## Completed Tasks Log\n"


@pytest.fixture
def failed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A task that has failed for good by its gate: `src/broken.txt` is there; the current folder is the project."""
    project.repository.commit("more", **{"src/gone.txt": "gone\n", "CLAUDE.md": MEMORY})
    project.agent("echo agent >> src/a.txt; echo new > src/new.txt; rm src/gone.txt; touch src/broken.txt")
    project.task(NAME, scope=SCOPE, front="max_attempts: 1")
    result = project.run()
    assert result.outcomes == {NAME: "gate"}, result.output
    monkeypatch.chdir(project.path)
    return project


def opened(project: Project, *args: str) -> Path:
    """Open the task; its worktree."""
    assert main(["open", NAME, *args]) == 0
    return worktree(project)


def worktree(project: Project) -> Path:
    return project.path.parent / "project.by-hand" / NAME


def dossier(project: Project) -> Path:
    return worktree(project).with_name(f"{NAME}.dossier")


def history(project: Project) -> Journal:
    return Journal(project.path / ".git/agenttasks/journal.jsonl")


def git(where: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=where, check=True, capture_output=True, text=True).stdout


def test_open_brings_the_attempts_files_and_what_is_known_of_it(
    failed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    branches = failed.repository.git("for-each-ref")
    before = fingerprint(failed.path, but=(".git/objects", ".git/agenttasks", ".git/worktrees"))
    place = opened(failed)
    told = capsys.readouterr().out
    assert f"the files of attempt 1 are in {place}" in told
    assert "agenttasks land 001-first" in told
    assert (place / "src/a.txt").read_text() == "a\nagent\n"
    assert (place / "src/new.txt").read_text() == "new\n"
    assert not (place / "src/gone.txt").exists()
    # For git it is what one has changed and not committed.
    assert git(place, "status", "--porcelain").splitlines() == [
        " M src/a.txt",
        " D src/gone.txt",
        "?? src/broken.txt",
        "?? src/new.txt",
    ]
    assert git(place, "rev-parse", "--abbrev-ref", "HEAD").strip() == "HEAD"
    assert {"README.md", "task.md", "attempt-1.diff", "attempt-1.gate-tests.log"} <= set(
        os.listdir(dossier(failed))
    )
    assert "gate `tests`" in (dossier(failed) / "README.md").read_text()
    assert failed.repository.git("for-each-ref") == branches
    assert fingerprint(failed.path, but=(".git/objects", ".git/agenttasks", ".git/worktrees")) == before


def test_what_was_finished_by_hand_lands_like_any_task(
    failed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    (place / "src/a.txt").write_text("a\nagent\nand me\n")
    (place / "CLAUDE.md").write_text(MEMORY.replace("Issues\n", "Issues\n- the clock is slow\n"))
    assert main(["land", NAME]) == 0
    told = capsys.readouterr().out
    assert "001-first: landed as " in told
    assert "gate tests: " in told
    repository = failed.repository
    assert repository.subjects()[-2:] == [
        "feat: complete 001-first (finished by hand)",
        "chore(memory): record 001-first",
    ]
    assert repository.files_of("HEAD~1") == [
        "src/a.txt", "src/gone.txt", "src/new.txt",
        "tasks/done/001-first.md", "tasks/failed/001-first.md", "tasks/failed/001-first.report.md",
    ]  # fmt: skip
    body = repository.git("log", "-1", "--format=%B", "HEAD~1")
    assert "Agent-Task: 001-first\nAgent-Attempt: 2\n" in body
    assert "Agent-Finished-By: Test User <test@example.org>" in body
    assert failed.where(NAME) == ["done"]
    assert repository.read("src/a.txt") == "a\nagent\nand me\n"
    assert "- the clock is slow" in repository.read("CLAUDE.md")
    assert "001-first: Task 001-first" in repository.read("CLAUDE.md")
    assert repository.status() == ""
    journal = history(failed)
    last = journal.history.ended[NAME][-1]
    assert (last.attempt, last.kind, last.by_hand) == (2, Kind.LANDED, True)
    assert journal.history.sessions == 1, "nobody but the agent has had one"
    assert (found := spent.last_run(journal.history)) is not None
    assert found.spent.sessions == 1, "to land is no run"
    assert NAME in journal.history.landed
    assert (failed.path / f"tasks/logs/{NAME}/report.md").read_text().startswith(f"# {NAME} has failed")
    assert not worktree(failed).parent.exists()
    assert "project.by-hand" not in repository.git("worktree", "list")
    assert main(["verify"]) == 0


def test_reverting_it_brings_the_failed_task_back(failed: Project) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    assert main(["land", NAME]) == 0
    failed.repository.git("revert", "--no-edit", "HEAD~1")
    assert failed.where(NAME) == ["failed"]
    assert (failed.path / f"tasks/failed/{NAME}.report.md").exists()
    assert main(["requeue", NAME, "-m", "again"]) == 0
    failed.agent("echo again >> src/a.txt")
    assert failed.run().outcomes == {NAME: "landed"}


def test_a_red_gate_changes_nothing(failed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    place = opened(failed)
    (place / "src/a.txt").write_text("mine\n")
    before, there = failed.repository.head(), fingerprint(place)
    assert main(["land", NAME]) == 1
    told = capsys.readouterr().out
    assert "001-first failed (gate): gate `tests`" in told
    assert f"mend it in {place}, then `agenttasks land 001-first`" in told
    assert failed.repository.head() == before
    assert failed.where(NAME) == ["failed"]
    assert fingerprint(place) == there
    assert NAME not in history(failed).history.charged, "what a person tries uses up nothing"
    (place / "src/broken.txt").unlink()
    assert main(["land", NAME]) == 0
    assert failed.repository.read("src/a.txt") == "mine\n"


@pytest.mark.parametrize(
    ("stray", "said"),
    [
        ("src/b.txt", "src/b.txt: modified: not in Files in Scope"),
        ("agenttasks.yaml", "agenttasks.yaml: modified"),
        ("tasks/failed/001-first.md", "tasks/failed/001-first.md: modified"),
    ],
)
def test_what_is_out_of_scope_does_not_land(
    failed: Project, capsys: pytest.CaptureFixture[str], stray: str, said: str
) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    with (place / stray).open("a") as file:
        file.write("# stray\n")
    before = failed.repository.head()
    assert main(["land", NAME]) == 1
    told = capsys.readouterr().out
    assert "001-first failed (scope)" in told
    assert said in told
    assert failed.repository.head() == before
    assert (place / stray).read_text().endswith("# stray\n")


def test_opened_again_it_goes_on_and_nothing_is_written_over(
    failed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    place = opened(failed)
    (place / "src/a.txt").write_text("half\n")
    (dossier(failed) / "README.md").write_text("my own notes\n")
    (dossier(failed) / "attempt-1.diff").unlink()
    there = fingerprint(place)
    capsys.readouterr()
    opened(failed)
    assert f"open already, as you left it: attempt 1 in {place}" in capsys.readouterr().out
    assert fingerprint(place) == there
    assert (dossier(failed) / "README.md").read_text() == "my own notes\n"
    assert (dossier(failed) / "attempt-1.diff").exists()
    assert main(["open", NAME, "--attempt", "2"]) == 4
    assert "attempt 1 is open in" in capsys.readouterr().err


def test_a_worktree_that_was_given_up_is_made_anew(failed: Project) -> None:
    place = opened(failed)
    (place / "src/a.txt").write_text("half\n")
    failed.repository.git("worktree", "remove", "--force", str(place))
    assert main(["land", NAME]) == 4
    # Its dossier is still there, so it has another name.
    assert main(["open", NAME]) == 0
    again = place.with_name(f"{NAME}.2")
    assert (again / "src/a.txt").read_text() == "a\nagent\n"


def test_on_a_branch_that_has_moved_the_files_stand_on_its_tip(failed: Project) -> None:
    failed.repository.commit("meanwhile", **{"src/b.txt": "later\n"})
    place = opened(failed)
    assert (place / "src/b.txt").read_text() == "later\n"
    assert git(place, "rev-parse", "HEAD").strip() == failed.repository.head()
    (place / "src/broken.txt").unlink()
    assert main(["land", NAME]) == 0
    assert failed.repository.files_of("HEAD~1")[:3] == ["src/a.txt", "src/gone.txt", "src/new.txt"]


def test_where_the_branch_changed_the_same_files_one_merges_first(
    failed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    failed.repository.commit("meanwhile", **{"src/a.txt": "theirs\n"})
    place = opened(failed)
    told = capsys.readouterr().out
    assert "`work` has changed the same files since the attempt began: src/a.txt" in told
    assert (place / "src/a.txt").read_text() == "a\nagent\n"
    (place / "src/broken.txt").unlink()
    before = failed.repository.head()
    assert main(["land", NAME]) == 1
    told = capsys.readouterr().out
    assert "(moved)" in told
    assert f"git -C {place} merge work" in told
    assert failed.repository.head() == before
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "WIP")
    subprocess.run(["git", "merge", "work"], cwd=place, capture_output=True, check=False)
    (place / "src/a.txt").write_text("theirs\nagent\n")
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "merged")
    assert main(["land", NAME]) == 0
    assert failed.repository.read("src/a.txt") == "theirs\nagent\n"
    told = capsys.readouterr().out
    assert "the worktree stays, for not all in it has landed (commits of its own)" in told
    assert place.exists()
    assert failed.repository.git("log", "--format=%s").count("WIP") == 0


def test_a_worktree_with_more_than_has_landed_stays(
    failed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    (place / "notes.log").write_text("ignored by .gitignore\n")
    (place / "src/__pycache__").mkdir()
    assert main(["land", NAME]) == 0
    assert "the worktree stays, for not all in it has landed (ignored files: notes.log)" in (
        capsys.readouterr().out
    )
    assert (place / "notes.log").exists()


def test_notes_beside_the_worktree_stay(failed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    (dossier(failed) / "mine.md").write_text("note\n")
    assert main(["land", NAME]) == 0
    assert f"your files beside it stay in {dossier(failed)}: mine.md" in capsys.readouterr().out
    assert os.listdir(dossier(failed)) == ["mine.md"]
    assert not place.exists()


def test_staged_versions_that_have_not_landed_keep_the_worktree(
    failed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    (place / "src/a.txt").write_text("staged\n")
    git(place, "add", "src/a.txt")
    (place / "src/a.txt").write_text("landed\n")
    assert main(["land", NAME]) == 0
    assert "staged otherwise than it landed: src/a.txt" in capsys.readouterr().out
    assert git(place, "show", ":src/a.txt") == "staged\n"


def test_it_can_be_typed_in_the_worktree_itself(failed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    monkeypatch.chdir(place / "src")
    assert main(["land", NAME]) == 0
    assert failed.where(NAME) == ["done"]


def test_it_waits_for_no_run_and_no_run_minds_it(failed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    land = f"{sys.executable} -m pytest_agenttasks.cli land {NAME}"
    failed.agent(f"echo other >> src/b.txt; cd '{failed.path}'; {land} > ../told 2>&1 || echo $? >> ../told")
    failed.task("002-other", scope=("src/b.txt",))
    result = failed.run()
    assert result.outcomes == {"002-other": "landed"}, result.output
    told = (failed.path.parent / "told").read_text()
    assert "another run is using this repository" in told
    assert told.endswith("4\n")
    assert main(["land", NAME]) == 0
    capsys.readouterr()


def test_hooks_of_the_queue_are_asked(failed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    failed.repository.commit(
        "hooks",
        **{
            "tasks/conftest.py": "def pytest_agenttasks_check_changes(task, changes):\n    return 'not on a Monday'\n"
        },
    )
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    assert main(["land", NAME]) == 1
    assert "refused by a plugin: not on a Monday" in capsys.readouterr().out


def test_acceptance_counts_as_ever(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.task(NAME, scope=SCOPE, front="max_attempts: 1\naccept: [grep -q good src/a.txt]")
    assert project.run().outcomes == {NAME: "accept"}
    monkeypatch.chdir(project.path)
    place = opened(project)
    assert main(["land", NAME]) == 1
    (place / "src/a.txt").write_text("good\n")
    assert main(["land", NAME]) == 0


def test_an_untracked_queue_moves_its_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.repository.git("rm", "-rq", "--cached", "tasks")
    project.repository.commit("untracked", **{".gitignore": "*.log\ntasks/\n"})
    project.agent("echo agent >> src/a.txt; touch src/broken.txt")
    project.task(NAME, scope=SCOPE, front="max_attempts: 1")
    assert project.run().outcomes == {NAME: "gate"}
    assert project.where(NAME) == ["failed"]
    report = project.path / f"tasks/failed/{NAME}.report.md"
    text = report.read_text()
    monkeypatch.chdir(project.path)
    place = opened(project)
    (place / "src/broken.txt").unlink()
    assert main(["land", NAME]) == 0
    assert project.where(NAME) == ["done"]
    assert not report.exists()
    assert (project.path / f"tasks/logs/{NAME}/report.md").read_text() == text
    assert project.repository.files_of("HEAD") == ["src/a.txt"]


def test_the_editor_is_given_the_worktree_and_the_dossier(
    failed: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    editor = tmp_path / "an editor"
    editor.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@" > "$0.told"\n')
    editor.chmod(0o755)
    place = opened(failed, "--editor", f"'{editor}' --wait")
    told = Path(f"{editor}.told").read_text().splitlines()
    assert told == [str(place), "--wait", str(place), str(dossier(failed) / "README.md")]
    assert main(["open", NAME, "--editor", "no-such-editor"]) == 4
    assert (
        f"cannot be started (No such file or directory); the files are in {place}" in capsys.readouterr().err
    )
    assert main(["open", NAME, "--editor", "'"]) == 4
    assert main(["open", NAME, "--editor", "false"]) == 4


def test_strays_of_the_attempt_are_named(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.agent("echo x >> src/a.txt; echo x >> src/b.txt")
    project.task(NAME, front="max_attempts: 1")
    assert project.run().outcomes == {NAME: "scope"}
    monkeypatch.chdir(project.path)
    place = opened(project)
    assert "out of scope, so they cannot land" in (told := capsys.readouterr().out)
    assert told.split("cannot land", 1)[1].splitlines()[0].endswith(": src/b.txt")
    git(place, "checkout", "--", "src/b.txt")
    assert main(["land", NAME]) == 0


def test_names_that_cannot_be_opened_or_landed(failed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    failed.task("002-new")
    for verb, name, said in (
        ("open", "009-none", "no failed or pending task of this name"),
        ("open", "002-new", "no attempt at it has left any files"),
        ("land", NAME, f"not open; `agenttasks open {NAME}`"),
        ("land", "009-none", "no failed or pending task"),
    ):
        assert main([verb, name]) == 4
        assert said in capsys.readouterr().err
    assert main(["open", NAME, "--attempt", "7"]) == 4
    assert "attempt 7 has left no files" in capsys.readouterr().err


def test_the_record_says_who_finished_it(failed: Project) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    assert main(["land", NAME]) == 0
    record = json.loads((failed.path / f"tasks/logs/{NAME}/attempt-2.json").read_text())
    assert (record["finished_by"], record["outcome"]) == ("Test User <test@example.org>", "landed")
    assert "agent" in (failed.path / f"tasks/logs/{NAME}/attempt-2.diff").read_text()


def test_status_says_what_is_open(failed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    place = opened(failed)
    capsys.readouterr()
    assert main(["status"]) == 0
    assert f"001-first: open in {place}; `agenttasks land 001-first` lands it" in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["by_hand"] == {NAME: str(place)}


@pytest.mark.parametrize("tracked", [True, False])
def test_killed_after_the_branch_has_moved_nothing_lands_twice(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tracked: bool
) -> None:
    if not tracked:
        project.repository.git("rm", "-rq", "--cached", "tasks")
        project.repository.commit("untracked", **{".gitignore": "*.log\ntasks/\n"})
    project.agent("echo agent >> src/a.txt; touch src/broken.txt")
    project.task(NAME, scope=SCOPE, front="max_attempts: 1")
    assert project.run().outcomes == {NAME: "gate"}
    monkeypatch.chdir(project.path)
    place = opened(project)
    (place / "src/broken.txt").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("pytest_agenttasks.attempt.settle", _killed)
        patched.setattr("pytest_agenttasks.attempt._record", lambda *_: None)
        assert main(["land", NAME]) == 2
    landed = project.repository.head()
    assert (place / "src/a.txt").exists()
    capsys.readouterr()
    status = main(["land", NAME])
    told = capsys.readouterr()
    if tracked:
        assert status == 4
        assert "has landed already; its worktree is still there" in told.err
        with opening.opened(project.repository) as run:  # what the next start does first
            preflight.check_landing(run, lambda line: None)
    else:
        assert status == 0
        assert "nothing is left to land; its worktree stays" in told.out
    assert project.repository.head() == landed
    assert project.where(NAME) == ["done"]
    assert project.repository.git("log", "--format=%s").count("complete 001-first") == 1
    assert NAME in history(project).history.landed
    assert (project.path / f"tasks/logs/{NAME}/report.md").exists()


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_result_that_could_not_land_is_not_landed_in_place_of_a_newer_one(
    failed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    failed.repository.write("src/a.txt", "in the way\n")
    assert main(["land", NAME]) == 1
    told = capsys.readouterr().out
    assert "(checkout)" in told
    assert "then `agenttasks land 001-first` again" in told
    assert failed.where(NAME) == ["failed"]
    assert NAME not in history(failed).history.passed, "no run is to land it by itself"
    failed.repository.git("checkout", "--", "src/a.txt")
    (place / "src/a.txt").write_text("newer\n")
    assert main(["land", NAME]) == 0
    assert failed.repository.read("src/a.txt") == "newer\n"
    assert failed.repository.git("log", "--format=%s").count("complete 001-first") == 1


def test_what_was_finished_by_hand_can_be_rejected(failed: Project) -> None:
    place = opened(failed)
    (place / "src/broken.txt").unlink()
    assert main(["land", NAME]) == 0
    assert "001-first" in failed.repository.read("CLAUDE.md")
    assert main(["reject", NAME, "-m", "not like this"]) == 0
    assert failed.where(NAME) == ["pending"]
    assert failed.repository.read("src/a.txt") == "a\n"
    assert "001-first" not in failed.repository.read("CLAUDE.md"), "its entry is struck at once"
    assert "001-first: Task 001-first (reverted)" in failed.repository.read("tasks/done/LOG.md")
    assert main(["verify"]) == 0
