"""The tree of a session that only edited: the one that git makes, or none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_agenttasks.trees import edits
from pytest_agenttasks.trees import snapshot as snapshot_module
from pytest_agenttasks.trees.edits import edited_tree
from pytest_agenttasks.trees.index_file import digest, read
from pytest_agenttasks.trees.places import Place, place
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import Shadow, prepare
from pytest_agenttasks.trees.snapshot import snapshot
from pytest_agenttasks.trees.survey import survey
from pytest_agenttasks.trees.workspace import move_to
from tests.user_repository import UserRepository, make_repository

FILES = ("a.txt", "run.sh", "src/b.txt", "src/inner/c.txt", "link", "empty")


@pytest.fixture(params=["sha1", "sha256"])
def user(request: pytest.FixtureRequest, tmp_path: Path) -> UserRepository:
    made = make_repository(tmp_path / "project", request.param)
    made.write("run.sh", "true\n").chmod(0o755)
    (made.path / "link").symlink_to("a.txt")
    made.commit(
        "first",
        **{"a.txt": "a\n", "src/b.txt": "b\n", "src/inner/c.txt": "c\n", "empty": "", ".gitignore": "out\n"},
    )
    return made


def begun(user: UserRepository) -> tuple[Shadow, Place, str]:
    """A workspace as a session is given it."""
    shadow = prepare(discover(user.path), [])
    tree = shadow.repository.tree_of(user.head())
    where = place(shadow, "agent", 0)
    return shadow, move_to(shadow, where, tree, ()), tree


def known(shadow: Shadow, where: Place, tree: str) -> Place:
    """The place with its index taken for what the runner had made it."""
    listing = read(where.index, shadow.repository.id_bytes)
    return replace(where, seal=digest(where.index), tree=tree, listing=listing)


def seen(shadow: Shadow, where: Place, tree: str, skip: Sequence[bytes] = ()) -> str | None:
    return edited_tree(shadow, where, tree, survey(where.path, skip), skip)


def of_git(shadow: Shadow, where: Place, tree: str) -> str:
    """The tree that git makes of the same files."""
    return snapshot(shadow, replace(where, tree=""), tree, ()).tree


def same_size(path: Path) -> None:
    """An edit that keeps size and times, as far as a program can."""
    before = path.lstat()
    if path.is_symlink():
        path.unlink()
        path.symlink_to("b.txt")
    else:
        path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)


def toggled(path: Path) -> None:
    if not path.is_symlink():
        path.chmod(path.stat().st_mode ^ 0o111)


def to_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def to_file(path: Path) -> None:
    path.unlink()
    path.write_text("a.txt")


EDITS: dict[str, Callable[[Path], object]] = {
    "append": lambda path: path.write_bytes(path.read_bytes() + b"more\n"),
    "same size": same_size,
    "empty": lambda path: os.truncate(path, 0),
    "delete": lambda path: path.unlink(),
    "mode": toggled,
    "link": to_link,
    "file": to_file,
    "touch": lambda path: os.utime(path, follow_symlinks=False),
    "again": lambda path: path.write_bytes(path.read_bytes()),
}


@given(st.lists(st.tuples(st.sampled_from(FILES), st.sampled_from(sorted(EDITS))), max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_the_tree_that_git_makes(user: UserRepository, steps: list[tuple[str, str]]) -> None:
    shadow, where, tree = begun(user)
    for name, step in steps:
        if (where.path / name).exists():
            EDITS[step](where.path / name)
    found = seen(shadow, where, tree)
    if found is not None:  # a folder that lost its last file is git's affair, and so is a link into nowhere
        assert found == of_git(shadow, where, tree)
    else:
        assert any(step in ("delete", "append", "empty") for _, step in steps)


@pytest.mark.parametrize("step", sorted(EDITS))
@pytest.mark.parametrize("name", ["a.txt", "src/inner/c.txt"])
def test_git_need_not_be_asked(
    user: UserRepository, monkeypatch: pytest.MonkeyPatch, name: str, step: str
) -> None:
    shadow, where, tree = begun(user)
    (where.path / "src/inner/d.txt").write_text("keeps the folder\n")
    shadow.git("add", "src/inner/d.txt", index=where.index, work_tree=where.path)
    tree = shadow.git("write-tree", index=where.index).decode().strip()
    where = known(shadow, where, tree)
    EDITS[step](where.path / name)
    expected = of_git(shadow, replace(where, index=_copied(where)), tree)
    monkeypatch.setattr("pytest_agenttasks.trees.shadow.git", _no_process)
    assert seen(shadow, where, tree) == expected


def _copied(where: Place) -> Path:
    copy = where.root / "index-copy"
    subprocess.run(["cp", "-p", where.index, copy], check=True)
    return copy


def _no_process(*_: object, **__: object) -> bytes:
    raise AssertionError("a git process was started")


def of_attributes(user: UserRepository) -> None:
    user.commit("attributes", **{"src/.gitattributes": "*.txt text eol=crlf\n"})


def of_info(user: UserRepository) -> None:
    (user.path / ".git/info").mkdir(exist_ok=True)
    (user.path / ".git/info/attributes").write_text("*.txt text eol=crlf\n")


@pytest.mark.parametrize(
    "make",
    [
        of_attributes,
        of_info,
        lambda user: user.git("config", "core.autocrlf", "input"),
        lambda user: user.git("config", "core.fileMode", "false"),
        lambda user: user.git("config", "core.symlinks", "false"),
        lambda user: user.git("config", "core.ignoreCase", "true"),
    ],
    ids=["attributes", "info", "autocrlf", "filemode", "symlinks", "ignorecase"],
)
def test_where_git_changes_what_it_stores_it_is_asked(
    user: UserRepository, make: Callable[[UserRepository], None]
) -> None:
    make(user)
    shadow, where, tree = begun(user)
    (where.path / "a.txt").write_text("edited\n")
    assert seen(shadow, where, tree) is None


def _unfinished(where: Place) -> None:
    with where.index.open("ab") as stream:
        stream.write(b"x")


@pytest.mark.parametrize(
    "make",
    [
        lambda where: (where.path / "new.txt").write_text("new\n"),
        lambda where: (where.path / "out").write_text("ignored\n"),
        lambda where: (where.path / "hollow").mkdir(),
        lambda where: os.mkfifo(where.path / "pipe"),
        lambda where: os.link(where.path / "a.txt", where.path / "src/twin"),
        lambda where: (where.path / ".gitignore").write_text("*\n"),
        lambda where: os.truncate(where.path / "a.txt", edits.LARGE + 1),
        _unfinished,
    ],
    ids=["new", "ignored", "empty folder", "pipe", "hard link", "rules", "large", "index"],
)
def test_where_it_takes_more_than_a_look_git_is_asked(
    user: UserRepository, make: Callable[[Place], object]
) -> None:
    shadow, where, tree = begun(user)
    (where.path / "a.txt").write_text("edited\n")
    assert seen(shadow, where, tree) is not None
    make(where)
    assert seen(shadow, where, tree) is None


def test_what_the_survey_passed_over_is_not_taken_for_deleted(user: UserRepository) -> None:
    shadow, where, tree = begun(user)
    assert seen(shadow, where, tree, [b"src"]) is None
    assert seen(shadow, where, tree, [b"deps"]) == tree


def test_a_session_that_went_on_from_other_files_is_stored_by_git(user: UserRepository) -> None:
    shadow, where, tree = begun(user)
    assert seen(shadow, replace(where, tree="0" * len(tree)), tree) is None


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_flag_in_the_index_hides_nothing(user: UserRepository, flag: str) -> None:
    shadow, where, tree = begun(user)
    shadow.git("update-index", flag, "a.txt", index=where.index, work_tree=where.path)
    (where.path / "a.txt").write_text("edited\n")
    assert seen(shadow, where, tree) is None, "the index is not the one that was sealed"
    assert seen(shadow, known(shadow, where, tree), tree) is None


def test_a_snapshot_takes_it(user: UserRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow, where, tree = begun(user)
    (where.path / "a.txt").write_text("edited\n")
    monkeypatch.setattr(snapshot_module, "edited_tree", lambda *_: "f" * len(tree))
    assert snapshot(shadow, where, tree, ()).tree == "f" * len(tree)
