"""Taking a commit back out of a later tree: as `git revert` does it, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_agenttasks.trees.composition import compose, diff
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import Shadow, prepare
from pytest_agenttasks.trees.undoing import Undone, undo
from tests.user_repository import UserRepository

LINES = "".join(f"line {n}\n" for n in range(30))


@pytest.fixture
def shadow(repository: UserRepository) -> Shadow:
    return prepare(discover(repository.path), [])


def taken_back(shadow: Shadow, repository: UserRepository, commit: str) -> Undone:
    parent = repository.git("rev-parse", f"{commit}^")
    return undo(shadow, repository.git("rev-parse", "HEAD^{tree}"), diff(shadow, parent, commit))


def as_git_reverts(repository: UserRepository, commit: str) -> str | None:
    """The tree that git's own revert makes; None where it finds conflicts."""
    try:
        repository.git("revert", "--no-edit", commit)
    except AssertionError:
        repository.git("revert", "--abort", check=False)
        repository.git("reset", "-q", "--hard")
        return None
    tree = repository.git("rev-parse", "HEAD^{tree}")
    repository.git("reset", "-q", "--hard", "HEAD^")
    return tree


def test_other_lines_of_the_same_file_stay(repository: UserRepository, shadow: Shadow) -> None:
    repository.commit("lines", **{"src/a.txt": LINES})
    done = repository.commit(
        "done", **{"src/a.txt": LINES.replace("line 3\n", "three\n"), "src/new.txt": "n\n"}
    )
    repository.commit("later", **{"src/a.txt": repository.read("src/a.txt").replace("line 20\n", "twenty\n")})
    undone = taken_back(shadow, repository, done)
    assert undone.conflicts == ()
    tree = compose(shadow, repository.git("rev-parse", "HEAD^{tree}"), undone.changes)
    assert tree == as_git_reverts(repository, done)


@pytest.mark.parametrize("later", ["edited", "deleted", "a link", "a folder", "binary"])
def test_a_later_change_of_the_same_is_a_conflict(
    repository: UserRepository, shadow: Shadow, later: str
) -> None:
    done = repository.commit("done", **{"src/a.txt": "a\nb\n"})
    file = repository.path / "src/a.txt"
    file.unlink()
    match later:
        case "edited":
            file.write_text("a\nc\n")
        case "a link":
            file.symlink_to("b.txt")
        case "a folder":
            file.mkdir()
            (file / "x").write_text("x")
        case "binary":
            file.write_bytes(b"\0\1\2")
    repository.commit("later")
    undone = taken_back(shadow, repository, done)
    assert undone == Undone((), (b"src/a.txt",))
    assert repository.status() == ""


def test_what_is_back_already_needs_no_change(repository: UserRepository, shadow: Shadow) -> None:
    done = repository.commit("done", **{"src/a.txt": "x\n", "src/c.txt": "c\n"})
    repository.git("revert", "--no-edit", done)
    assert taken_back(shadow, repository, done) == Undone((), ())


def test_modes_and_links_come_back(repository: UserRepository, shadow: Shadow) -> None:
    (repository.path / "src/a.txt").chmod(0o755)
    (repository.path / "src/b.txt").unlink()
    (repository.path / "src/b.txt").symlink_to("a.txt")
    done = repository.commit("done")
    later = LINES.replace("line 1\n", "1\n")
    repository.commit("later", **{"src/z.txt": later})
    undone = taken_back(shadow, repository, done)
    tree = compose(shadow, repository.git("rev-parse", "HEAD^{tree}"), undone.changes)
    assert tree == as_git_reverts(repository, done)


texts = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=12).map("".join)


@given(before=texts, done=texts, after=texts)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_agrees_with_git(
    repository: UserRepository, shadow: Shadow, before: str, done: str, after: str
) -> None:
    repository.commit("before", **{"src/a.txt": before, "src/b.txt": "x"})
    commit = repository.commit("done", **{"src/a.txt": done, "src/b.txt": "y"})
    repository.commit("after", **{"src/a.txt": after})
    undone = taken_back(shadow, repository, commit)
    expected = as_git_reverts(repository, commit)
    if undone.conflicts:
        assert expected is None
    else:
        assert compose(shadow, repository.git("rev-parse", "HEAD^{tree}"), undone.changes) == expected
