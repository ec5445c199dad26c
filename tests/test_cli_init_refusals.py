"""Where `agenttasks init` must not do anything, and says why."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_agenttasks.cli.init import BRANCH
from tests.init_runs import Init
from tests.init_runs import agents as agents
from tests.init_runs import init as init
from tests.init_runs import user as user
from tests.user_repository import UserRepository, make_repository

WRITTEN = [
    "agenttasks.yaml",
    "tasks/done/.gitkeep",
    "tasks/failed/.gitkeep",
    "tasks/pending/.gitkeep",
    "tasks/sample-task.md",
]


def no_repository(user: UserRepository, tmp_path: Path) -> Path:
    (tmp_path / "plain").mkdir()
    return tmp_path / "plain"


def no_commit(user: UserRepository, tmp_path: Path) -> Path:
    return make_repository(tmp_path / "new").path


def detached(user: UserRepository, tmp_path: Path) -> Path:
    user.git("checkout", "-q", "--detach")
    return user.path


def branch_exists(user: UserRepository, tmp_path: Path) -> Path:
    user.git("branch", BRANCH)
    return user.path


def folder_exists(user: UserRepository, tmp_path: Path) -> Path:
    user.path.with_name("my app.agents").mkdir()
    return user.path


def link_exists(user: UserRepository, tmp_path: Path) -> Path:
    user.path.with_name("my app.agents").symlink_to("nowhere")
    return user.path


def not_committed(user: UserRepository, tmp_path: Path) -> Path:
    user.write("agenttasks.yaml", "")
    return user.path


def nobody(user: UserRepository, tmp_path: Path) -> Path:
    user.git("config", "--global", "--remove-section", "user")
    return user.path


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (no_repository, "not inside a git checkout"),
        (no_commit, "no commit yet; make a first one, e.g. `git add -A && git commit"),
        (detached, "HEAD is detached; check out a branch first"),
        (branch_exists, f"the branch `{BRANCH}` exists already"),
        (folder_exists, "my app.agents exists already; move it away"),
        (link_exists, "my app.agents exists already; move it away"),
        (not_committed, "agenttasks.yaml is not committed, so a new worktree would not have it"),
        (nobody, "git does not know who commits; run `git config --global user.name"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(
    init: Init,
    user: UserRepository,
    tmp_path: Path,
    prepare: Callable[[UserRepository, Path], Path],
    said: str,
) -> None:
    cwd = prepare(user, tmp_path)
    before = sorted(tmp_path.iterdir()), user.git("for-each-ref"), user.status()
    status, out, err = init(cwd=cwd)
    assert (status, out) == (4, "")
    assert err.startswith("agenttasks: error: ")
    assert said in err
    assert (sorted(tmp_path.iterdir()), user.git("for-each-ref"), user.status()) == before


def test_the_commands_of_the_branch_error_lead_to_a_queue(
    init: Init, user: UserRepository, agents: UserRepository
) -> None:
    user.git("branch", BRANCH)
    _, _, err = init()
    command = re.search(r"`(git worktree add .*?)`", err)
    assert command
    subprocess.run(["sh", "-c", command[1]], cwd=user.path, check=True, capture_output=True)
    assert init("--here", cwd=agents.path)[0] == 0
    assert (agents.path / "agenttasks.yaml").is_file()


@pytest.mark.parametrize("name", ["tasks", "tasks/pending", "tasks/done"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_else_in_a_folders_place_is_refused(
    init: Init, user: UserRepository, tmp_path: Path, name: str, kind: str
) -> None:
    place = user.path / name
    place.parent.mkdir(exist_ok=True)
    if kind == "file":
        place.write_text("x")
    else:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    status, _, err = init("--here")
    assert status == 4
    assert f"{place} is in the way" in err
    assert not (user.path / "agenttasks.yaml").exists()
