from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_agenttasks.cli import main
from tests.queue_runs import Project


@pytest.fixture
def landed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two landed tasks; the current folder is the project."""
    project.repository.commit("memory", **{"CLAUDE.md": "# M\n\n## Completed Tasks Log\n"})
    project.task("001-first")
    project.task("002-second")
    assert project.run().status == 0
    monkeypatch.chdir(project.path)
    return project


def test_honest_history_is_verified(landed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 0
    told = capsys.readouterr().out
    assert "2 of tasks" in told
    assert "0 out of scope, 0 red" in told


def test_reviews_are_not_repeated_and_that_is_said(
    landed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    gates = "gates: [{name: tests, run: 'true'}, {name: review, agent: claude, command: /nowhere}]\n"
    landed.repository.commit("review", **{"agenttasks.yaml": gates})
    assert main(["verify"]) == 0
    assert "not repeated: review" in capsys.readouterr().out


def test_a_commit_out_of_scope_is_found(landed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    pending = landed.task("003-forged")
    landed.repository.commit("queue")
    landed.repository.write("tasks/done/003-forged.md", pending.read_text())
    pending.unlink()
    landed.repository.commit(
        "feat: sly\n\nAgent-Task: 003-forged", **{"src/a.txt": "x\n", "src/b.txt": "x\n"}
    )
    assert main(["verify", "HEAD~1..HEAD"]) == 1
    assert "src/b.txt: modified: not in Files in Scope" in capsys.readouterr().out


def test_a_commit_without_its_task_is_found(landed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    landed.repository.commit("feat: sly\n\nAgent-Task: 004-none", **{"src/a.txt": "x\n"})
    assert main(["verify", "--json", "HEAD~1..HEAD"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert "does not move from pending to done" in found["commits"][0]["problems"][0]


def test_a_red_commit_is_found_although_a_later_one_mends_it(
    landed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    pending = landed.task("005-red", scope=("src/broken.txt",))
    landed.repository.commit("queue")
    landed.repository.write("tasks/done/005-red.md", pending.read_text())
    pending.unlink()
    landed.repository.commit("feat: red\n\nAgent-Task: 005-red", **{"src/broken.txt": "x\n"})
    landed.repository.git("rm", "-q", "src/broken.txt")
    landed.repository.commit("mend")
    gate = "if test -e src/broken.txt; then echo src/broken.txt is there; exit 1; fi"
    landed.configure(gate=gate)
    assert main(["verify", "HEAD~3..HEAD"]) == 1
    told = capsys.readouterr().out
    assert "1 red" in told
    log = told.partition("(")[2].partition(")")[0]
    assert "broken" in Path(log).read_text()
    assert "| src/broken.txt is there" in told


@pytest.mark.parametrize("where", ["detached", "default branch"])
def test_a_pull_request_is_verified_whatever_is_checked_out(
    landed: Project, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    landed.repository.git("switch", "-q", *(["--detach"] if where == "detached" else ["-c", "main"]))
    assert main(["verify"]) == 0
    assert "2 of tasks" in capsys.readouterr().out


def test_a_clone_is_all_that_is_needed(
    landed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    landed.repository.git("clone", "-q", ".", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    assert main(["verify"]) == 0


def test_a_shallow_clone_says_what_it_lacks(
    landed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    landed.repository.git("clone", "-q", "--depth", "2", f"file://{landed.path}", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    assert main(["verify"]) == 1
    assert "git fetch --unshallow" in capsys.readouterr().out


def test_an_untracked_queue_leaves_the_scope_open_and_the_gates_run(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.repository.git("rm", "-rq", "tasks")
    project.repository.commit("no queue", **{".gitignore": "tasks/\n"})
    project.task("001-first")
    assert project.run().status == 0
    monkeypatch.chdir(project.path)
    assert main(["verify"]) == 0
    told = capsys.readouterr().out
    assert "its scope is not known: the queue is not tracked by git" in told
    assert "1 of tasks" in told


def test_a_range_without_task_commits_or_unknown_is_said(
    landed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    landed.repository.commit("mine", **{"src/b.txt": "mine\n"})
    assert main(["verify", "HEAD~1..HEAD"]) == 5
    assert main(["verify", "nowhere..HEAD"]) == 4
    assert "no such range" in capsys.readouterr().err


def test_a_commit_that_takes_tests_away_is_found_where_its_parents_are_known(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.configure()
    settings = project.repository.read("agenttasks.yaml")
    gate = "gates:\n  - {name: tests, run: cp cases.xml r.xml, junit: r.xml}\nretry_delay"
    settings = gate + settings.partition("retry_delay")[2]
    cases = "<testsuite><testcase name='one'/>{}</testsuite>"
    more = cases.format("<testcase name='two'/>")
    project.repository.commit(
        "cases", **{"agenttasks.yaml": settings, "cases.xml": more, ".gitignore": "r.xml\n"}
    )
    project.task("001-first")
    pending = project.task("002-sly", scope=("cases.xml",))
    result = project.run("-k", "001-first")
    assert result.status == 0, result.output
    project.repository.write("tasks/done/002-sly.md", pending.read_text())
    pending.unlink()
    project.repository.commit("feat: sly\n\nAgent-Task: 002-sly", **{"cases.xml": cases.format("")})
    monkeypatch.chdir(project.path)
    assert main(["verify", "HEAD~1..HEAD"]) == 1
    assert "of the tests that ran on the base 1 test no longer runs" in capsys.readouterr().out
