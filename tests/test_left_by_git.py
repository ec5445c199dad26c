"""Locks that a killed git has left, told from those of others; `test_crashes.py` has real kills."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pytest_agenttasks.left_by_git import free_index, remove_ref_locks
from pytest_agenttasks.trees.base_rules import put_back
from pytest_agenttasks.trees.places import Place, place
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import prepare
from tests.user_repository import UserRepository

BRANCH = "refs/heads/work"
NEW = "1" * 40


def lock_of(repository: UserRepository, name: str = f"{BRANCH}.lock") -> Path:
    return repository.path / ".git" / name


@pytest.mark.parametrize("text", ["", f"{NEW}\n"])
def test_the_locks_of_the_landing_are_removed(repository: UserRepository, text: str) -> None:
    began = time.time()
    lock_of(repository).write_text(text)
    lock_of(repository, "HEAD.lock").write_text("")
    remove_ref_locks(discover(repository.path), BRANCH, NEW, began)
    assert not lock_of(repository).exists()
    assert not lock_of(repository, "HEAD.lock").exists()


@pytest.mark.parametrize(("text", "age"), [("2" * 40 + "\n", 0), ("", 60), (f"{NEW}\n", 60)])
def test_the_locks_of_others_stay(repository: UserRepository, text: str, age: int) -> None:
    """Of another commit, or from before the landing."""
    lock_of(repository).write_text(text)
    os.utime(lock_of(repository), (time.time() - age,) * 2)
    remove_ref_locks(discover(repository.path), BRANCH, NEW, time.time())
    assert lock_of(repository).read_text() == text


def test_a_lock_that_changes_meanwhile_is_somebodys(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = lock_of(repository)
    file.write_text("")
    began = time.time()
    waited = threading.Event()
    usual = time.sleep

    def sleep(seconds: float) -> None:
        if not waited.is_set():
            file.write_text("3" * 40)
        waited.set()
        usual(min(seconds, 0.01))

    monkeypatch.setattr(time, "sleep", sleep)
    remove_ref_locks(discover(repository.path), BRANCH, NEW, began)
    assert waited.is_set()
    assert file.read_text() == "3" * 40


def test_a_git_that_works_on_an_index_is_waited_for(repository: UserRepository, tmp_path: Path) -> None:
    index = tmp_path / "agent-0.index"
    lock = tmp_path / "agent-0.index.lock"
    lock.touch()
    process = subprocess.Popen(
        ["git", "cat-file", "--batch"], cwd=repository.path, env={**os.environ, "GIT_INDEX_FILE": str(index)},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    thread = threading.Thread(target=free_index, args=(index,))
    try:
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert lock.exists()
    finally:
        process.communicate()
        thread.join()
    assert not lock.exists()


@pytest.fixture
def where(repository: UserRepository) -> Place:
    found = place(prepare(discover(repository.path), []), "agent", 0)
    (found.root / "rules").mkdir()
    return found


def note(where: Place, path: str) -> None:
    (where.root / "rules/0").write_text("the agent's\n")
    (where.root / "rules/0.path").write_text(path)


def test_rules_that_lie_beside_the_workspace_are_put_back(where: Place) -> None:
    (where.path / "src").mkdir()
    (where.path / "src/.gitignore").write_text("the base's\n")
    note(where, "src/.gitignore")
    put_back(where)
    assert (where.path / "src/.gitignore").read_text() == "the agent's\n"
    assert not (where.root / "rules").exists()


@pytest.mark.parametrize(
    "path", ["../.gitignore", "/tmp/.gitignore", "src/a.txt", "link/.gitignore", "no/.gitignore"]
)
def test_a_note_of_where_they_belong_is_not_believed(where: Place, tmp_path: Path, path: str) -> None:
    """Without a sandbox an agent can write one."""
    (tmp_path / "out").mkdir()
    (where.path / "link").symlink_to(tmp_path / "out")
    note(where, path)
    put_back(where)
    assert not (where.path / path).exists()
