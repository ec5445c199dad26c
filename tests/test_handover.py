from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_agenttasks.trees import loose_objects
from pytest_agenttasks.trees.composition import addition, commit, compose, removal, write_blob
from pytest_agenttasks.trees.git import GitError
from pytest_agenttasks.trees.handover import FEW, send
from pytest_agenttasks.trees.objects import entries
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import Shadow, prepare
from tests.user_repository import UserRepository, make_repository

Opener = Callable[[], Shadow]


@pytest.fixture(params=["sha1", "sha256"])
def user(request: pytest.FixtureRequest, tmp_path: Path) -> UserRepository:
    made = make_repository(tmp_path / "project", request.param)
    made.commit("first", **{"src/a.txt": "a\n", "src/deep/b.txt": "b\n", "docs/c.txt": "c\n"})
    return made


def landed(shadow: Shadow, base: str, files: int = 1) -> str:
    """Two commits on `base`: changed files and a moved one, then another change; in the private repository only."""
    mode, moved = entries(shadow, base, [b"docs/c.txt"])[b"docs/c.txt"]
    changes = [removal(b"docs/c.txt", moved, mode), addition(b"docs/done/c.txt", moved, mode)]
    changes += [
        addition(b"src/new/%d.txt" % n, write_blob(shadow, f"new {n}\n".encode())) for n in range(files)
    ]
    first = commit(shadow, compose(shadow, base, changes), base, "feat: one\n")
    second = [addition(b"src/a.txt", write_blob(shadow, b"A\n"))]
    return commit(shadow, compose(shadow, first, second), first, "chore: two\n")


def arrived(user: UserRepository, new: str) -> bool:
    """Whether git finds every object of `new`, without the private repository."""
    done = subprocess.run(
        ["git", "rev-list", "--objects", "--quiet", new], cwd=user.path, capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.mark.parametrize("files", [1, FEW + 1])
def test_everything_new_arrives_and_is_sound(user: UserRepository, files: int) -> None:
    shadow = prepare(discover(user.path), [])
    new = landed(shadow, user.head(), files)
    assert not arrived(user, new)
    send(shadow, new, user.head())
    assert arrived(user, new)
    user.git("update-ref", "refs/heads/landed", new)
    assert user.git("fsck", "--strict", "--full") == ""


def test_a_few_objects_need_no_git_process_and_look_like_its_own(
    user: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = prepare(discover(user.path), [])
    new = landed(shadow, user.head())

    def no_process(*args: object, **kwargs: object) -> bytes:
        raise AssertionError("a process was started")

    monkeypatch.setattr("pytest_agenttasks.trees.shadow.git", no_process)
    send(shadow, new, user.head())
    assert arrived(user, new)
    objects = user.path / ".git/objects"
    assert (objects / new[:2] / new[2:]).stat().st_mode & 0o777 == 0o444
    assert not list(objects.rglob("tmp_obj*"))


@pytest.mark.parametrize(
    "setting", [("core.sharedRepository", "group"), ("core.sharedrepository", "0660")], ids=str
)
def test_a_shared_repository_is_left_to_git(user: UserRepository, setting: tuple[str, str]) -> None:
    user.git("config", *setting)
    shadow = prepare(discover(user.path), [])
    new = landed(shadow, user.head())
    objects = user.path / ".git/objects"
    before = set(objects.iterdir())
    send(shadow, new, user.head())
    assert arrived(user, new)
    assert (objects / new[:2] / new[2:]).stat().st_mode & 0o060
    made = set(objects.iterdir()) - before
    assert made
    assert all(folder.stat().st_mode & 0o020 for folder in made)


def test_a_damaged_object_does_not_arrive(user: UserRepository) -> None:
    shadow = prepare(discover(user.path), [])
    new = landed(shadow, user.head())
    tree = shadow.read(f"{new}^{{tree}}").object_id
    file = shadow.objects / tree[:2] / tree[2:]
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(GitError):
        send(shadow, new, user.head())
    assert not (user.path / ".git/objects" / tree[:2] / tree[2:]).exists()


def test_another_content_under_an_objects_name_does_not_arrive(user: UserRepository) -> None:
    shadow = prepare(discover(user.path), [])
    new = landed(shadow, user.head())
    blob = write_blob(shadow, b"A\n")
    evil = write_blob(shadow, b"evil\n")
    place, other = (shadow.objects / name[:2] / name[2:] for name in (blob, evil))
    place.chmod(0o644)
    place.write_bytes(other.read_bytes())
    with pytest.raises(GitError):
        send(shadow, new, user.head())


def test_packed_objects_arrive(user: UserRepository) -> None:
    shadow = prepare(discover(user.path), [])
    new = landed(shadow, user.head())
    shadow.git("update-ref", "refs/attempts/one/1", new)
    shadow.git("repack", "-q", "-a", "-d")
    send(shadow, new, user.head())
    assert arrived(user, new)


def test_commits_that_are_not_in_one_line_arrive(user: UserRepository) -> None:
    shadow = prepare(discover(user.path), [])
    base = user.head()
    one, two = (
        commit(shadow, compose(shadow, base, [addition(name, write_blob(shadow, name))]), base, "x\n")
        for name in (b"one", b"two")
    )
    both = shadow.line("commit-tree", f"{one}^{{tree}}", "-p", one, "-p", two, "-m", "both")
    send(shadow, both, base)
    assert arrived(user, both)


def test_a_commit_is_as_git_makes_it(user: UserRepository) -> None:
    shadow = prepare(discover(user.path), [])
    head = user.head()
    message = "feat: ünï\n\nbody\n"
    made = commit(shadow, f"{shadow.read(head + '^{tree}').object_id}", head, message)
    data = shadow.read(made).data.decode()
    when = data.split("committer ")[1].partition("\n")[0].rpartition("> ")[2]
    tree = shadow.read(f"{head}^{{tree}}").object_id
    theirs = subprocess.run(
        ["git", "commit-tree", tree, "-p", head, "-F", "-"], cwd=user.path, input=message.encode(), check=True,
        capture_output=True, env={**os.environ, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when},
    ).stdout.decode().strip()  # fmt: skip
    assert made == theirs


def test_a_message_that_git_would_refuse_is_made_one_that_it_takes(user: UserRepository) -> None:
    shadow = prepare(discover(user.path), [])
    made = commit(shadow, shadow.read(f"{user.head()}^{{tree}}").object_id, user.head(), "a\0b\udc80")
    shadow.git("update-ref", "refs/attempts/x/1", made)
    assert shadow.git("fsck", "--strict", "--no-dangling", made) == b""


def test_more_objects_than_files_may_be_open_are_written(tmp_path: Path) -> None:
    contents = {
        loose_objects.object_id("blob", data, "sha1"): ("blob", data)
        for data in (str(number).encode() for number in range(300))
    }
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        loose_objects.write(tmp_path, contents)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sum(len(list(folder.iterdir())) for folder in tmp_path.iterdir()) == 300


def test_an_object_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    name = loose_objects.object_id("blob", b"x", "sha1")
    loose_objects.write(tmp_path, {name: ("blob", b"x")})
    file = tmp_path / name[:2] / name[2:]
    before = file.stat().st_ino
    loose_objects.write(tmp_path, {name: ("blob", b"x")})
    assert file.stat().st_ino == before
    assert loose_objects.hand_on(tmp_path, tmp_path, [name], "sha1") == []
