"""`agenttasks init`, with real git: a worktree on a branch of its own, or the files in this checkout."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from pytest_agenttasks.cli.init import BRANCH
from pytest_agenttasks.settings.loading import load
from pytest_agenttasks.tasks.task import read
from tests.init_runs import Init
from tests.init_runs import agents as agents
from tests.init_runs import init as init
from tests.init_runs import user as user
from tests.user_repository import UserRepository

WRITTEN = [
    "agenttasks.yaml",
    "tasks/done/.gitkeep",
    "tasks/failed/.gitkeep",
    "tasks/pending/.gitkeep",
    "tasks/sample-task.md",
]


def untouched(user: UserRepository) -> tuple[str, str, list[str]]:
    """Everything of a checkout that `init` must not change."""
    return (
        user.head(),
        user.git("status", "--porcelain", "--ignored"),
        sorted(p.name for p in user.path.iterdir()),
    )


def test_on_the_default_branch_it_commits_in_a_new_worktree(
    init: Init, user: UserRepository, agents: UserRepository
) -> None:
    before = untouched(user)
    status, out, err = init()
    assert (status, err) == (0, "")
    assert untouched(user) == before
    assert agents.git("symbolic-ref", "HEAD") == f"refs/heads/{BRANCH}"
    assert agents.subjects() == ["first", "chore(tasks): set up the task queue"]
    assert agents.files_of("HEAD") == WRITTEN
    assert agents.git("log", "-1", "--format=%an <%ae> %cn") == "Test User <test@example.org> Test User"
    assert agents.status() == ""
    assert "gate tests: make test" in out


def test_the_settings_it_writes_are_usable(init: Init, agents: UserRepository) -> None:
    init()
    assert [(gate.name, gate.run) for gate in load(agents.path / "agenttasks.yaml").gates] == [
        ("tests", "make test")
    ]


def test_the_sample_task_is_a_good_one_and_not_in_the_queue(init: Init, agents: UserRepository) -> None:
    init()
    assert read(agents.path / "tasks/sample-task.md").problems == ()
    assert [path.name for path in (agents.path / "tasks/pending").iterdir()] == [".gitkeep"]


def test_it_ends_with_two_commands_that_work(init: Init, user: UserRepository) -> None:
    _, out, _ = init()
    first, second = out.split("next:\n")[1].splitlines()
    assert second.strip() == "agenttasks run"
    folder = shlex.split(first)[1]
    assert (user.path / folder / "agenttasks.yaml").is_file()
    assert first.endswith('&& agenttasks new "Title" --scope PATH')


def test_from_a_folder_below_it_works_for_the_whole_repository(
    init: Init, user: UserRepository, agents: UserRepository
) -> None:
    (user.path / "deep/er").mkdir(parents=True)
    _, out, _ = init(cwd=user.path / "deep/er")
    assert agents.files_of("HEAD") == WRITTEN
    assert "cd '../../../my app.agents'" in out


def test_the_remotes_default_branch_is_one_too(
    init: Init, user: UserRepository, agents: UserRepository, tmp_path: Path
) -> None:
    user.git("branch", "-m", "trunk")
    user.git("clone", "-q", "--bare", str(user.path), str(tmp_path / "origin.git"))
    user.git("remote", "add", "up", str(tmp_path / "origin.git"))
    user.git("fetch", "-q", "up")
    user.git("remote", "set-head", "up", "trunk")
    assert init()[0] == 0
    assert agents.git("symbolic-ref", "--short", "HEAD") == BRANCH


@pytest.mark.parametrize("args", [(), ("--here",)])
def test_on_another_branch_it_writes_here_and_commits_nothing(
    init: Init, user: UserRepository, agents: UserRepository, args: tuple[str, ...]
) -> None:
    user.git("checkout", "-q", "-b", "queue")
    head = user.head()
    status, out, _ = init(*args)
    assert (status, user.head()) == (0, head)
    assert not agents.path.exists()
    assert user.git("diff", "--cached", "--name-only") == ""
    assert user.git("ls-files", "--others").splitlines() == WRITTEN
    assert "nothing lands on" not in out


def test_the_commit_command_that_it_prints_commits_its_own_files_only(
    init: Init, user: UserRepository, home: Path
) -> None:
    user.git("checkout", "-q", "-b", "queue")
    user.write("mine.txt", "x")
    user.git("add", "mine.txt")
    user.write("tasks/pending/001-mine.md", "x")
    _, out, _ = init()
    command = out.split("next:\n")[1].splitlines()[0].strip()
    subprocess.run(["sh", "-c", command], cwd=user.path, check=True, capture_output=True)
    assert user.files_of("HEAD") == WRITTEN
    assert user.status() == "A  mine.txt\n?? tasks/pending/001-mine.md"


def test_here_on_the_default_branch_says_that_nothing_lands_there(init: Init, user: UserRepository) -> None:
    status, out, _ = init("--here")
    assert status == 0
    assert (
        f"note: nothing lands on main; before a run, switch to another branch: `git switch -c {BRANCH}`"
        in out
    )
    assert (user.path / "agenttasks.yaml").is_file()


def test_existing_files_are_never_overwritten(init: Init, user: UserRepository) -> None:
    user.write("agenttasks.yaml", "gates: mine\n")
    user.write("tasks/sample-task.md", "mine")
    status, out, _ = init("--here")
    assert status == 0
    assert user.read("agenttasks.yaml") == "gates: mine\n"
    assert user.read("tasks/sample-task.md") == "mine"
    assert "left as they are, for they exist already: agenttasks.yaml, tasks/sample-task.md" in out
    assert "gate tests" not in out


def test_a_second_time_changes_nothing(init: Init, user: UserRepository) -> None:
    init("--here")
    before = {
        path: path.read_bytes()
        for path in user.path.rglob("*")
        if path.is_file() and ".git/" not in str(path)
    }
    status, out, _ = init("--here")
    assert status == 0
    assert {path: path.read_bytes() for path in before} == before
    assert "wrote" not in out


def test_a_queue_that_is_committed_already_gets_a_worktree_and_no_commit(
    init: Init, user: UserRepository, agents: UserRepository
) -> None:
    init("--here")
    head = user.commit("the queue")
    status, out, _ = init()
    assert status == 0
    assert agents.head() == head
    assert "committed" not in out


def test_ignored_files_are_written_but_not_committed(
    init: Init, user: UserRepository, agents: UserRepository
) -> None:
    user.commit("ignore", **{".gitignore": "tasks/\n"})
    status, out, _ = init()
    assert status == 0
    assert agents.files_of("HEAD") == ["agenttasks.yaml"]
    assert (agents.path / "tasks/pending").is_dir()
    assert "note: git ignores tasks/done/.gitkeep" in out


def test_without_gates_it_says_what_to_fill_in(init: Init, user: UserRepository) -> None:
    user.git("rm", "-q", "Makefile")
    user.commit("no makefile", **{"pom.xml": "<project/>"})
    status, out, _ = init("--here")
    assert status == 0
    assert (
        "no gate was found, and the queue does not run without one: fill in `gates:` in agenttasks.yaml"
        in out
    )
    text = user.read("agenttasks.yaml")
    assert load(user.path / "agenttasks.yaml").gates == ()
    user.write("agenttasks.yaml", text.replace("#  - name: tests\n#    run:", "  - name: tests\n    run:"))
    assert [gate.run for gate in load(user.path / "agenttasks.yaml").gates] == ["mvn -q test"]


def test_every_key_that_it_comments_out_is_a_good_one(init: Init, user: UserRepository) -> None:
    init("--here")
    text = re.sub(r"^#(?=  )", "", user.read("agenttasks.yaml"), flags=re.M)
    settings = load(user.write("agenttasks.yaml", text))
    assert (settings.protected, settings.agent.budget_usd, settings.budget.usd) == (("migrations/",), 5, 20)
    assert settings.workspace.copy == (".env",)


def test_hooks_of_the_user_do_not_run(init: Init, user: UserRepository, agents: UserRepository) -> None:
    for name in ("pre-commit", "post-checkout", "post-commit"):
        hook = user.write(
            f".git/hooks/{name}", f"#!/bin/sh\ntouch {shlex.quote(str(user.path))}.{name}\nexit 1\n"
        )
        hook.chmod(0o755)
    assert init()[0] == 0
    assert agents.status() == ""
    assert [path.name for path in user.path.parent.iterdir() if path.name.startswith("my app.p")] == []


def test_the_authors_variables_count(
    init: Init, agents: UserRepository, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".gitconfig").write_text("")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "From Env")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "env@example.org")
    monkeypatch.setattr("pytest_agenttasks.trees.repository._KEPT", {})
    assert init()[0] == 0
    assert agents.git("log", "-1", "--format=%an %cn") == "From Env From Env"
