from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_agenttasks.trees.composition import addition, compose, diff, removal, write_blob
from pytest_agenttasks.trees.git import DEAF, GitError
from pytest_agenttasks.trees.objects import ObjectReader, blob, entries, format_tree, parse_tree, read_tree
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import Shadow, prepare
from tests.user_repository import UserRepository, make_repository


@pytest.fixture
def shadow(repository: UserRepository) -> Shadow:
    return prepare(discover(repository.path), [])


@pytest.fixture
def reader(repository: UserRepository) -> ObjectReader:
    return ObjectReader(repository.path, DEAF)


def test_an_object_is_read_as_git_has_it(repository: UserRepository, reader: ObjectReader) -> None:
    head = repository.head()
    found = reader.read("HEAD")
    assert (found.object_id, found.kind) == (head, "commit")
    assert found.data.decode() == repository.git("cat-file", "commit", head) + "\n"
    assert reader.read(f"{head}^{{tree}}").object_id == repository.git("rev-parse", "HEAD^{tree}")
    assert blob(reader, repository.git("rev-parse", "HEAD:src/a.txt")) == b"a\n"


def test_a_git_in_the_checkout_is_never_started(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = repository.write("bin/git", "#!/bin/sh\ntouch planted\nexit 1\n")
    planted.chmod(0o755)
    monkeypatch.setenv("PATH", f"bin:{os.environ['PATH']}")
    assert discover(repository.path).read("HEAD").kind == "commit"
    assert not list(repository.path.rglob("planted"))


def test_a_missing_object_is_an_error_and_the_next_one_is_read(
    repository: UserRepository, reader: ObjectReader
) -> None:
    with pytest.raises(GitError, match="1111 missing"):
        reader.read("1" * 40)
    assert reader.read(repository.head()).kind == "commit"


def test_objects_that_come_later_are_seen(repository: UserRepository, reader: ObjectReader) -> None:
    reader.read(repository.head())
    new = repository.commit("later", **{"src/later.txt": "x\n"})
    assert reader.read(new).kind == "commit"
    repository.git("gc", "-q")
    assert reader.read(new).kind == "commit"


def test_a_reader_that_was_ended_starts_again(repository: UserRepository, reader: ObjectReader) -> None:
    reader.read(repository.head())
    children = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "git"], capture_output=True, text=True, check=True
    ).stdout
    for pid in children.split():
        os.kill(int(pid), signal.SIGKILL)
    assert reader.read(repository.head()).kind == "commit"


def test_an_interrupted_answer_is_not_taken_for_the_next_one(
    repository: UserRepository, reader: ObjectReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = repository.git("rev-parse", "HEAD^{tree}")

    def interrupt(*args: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pytest_agenttasks.trees.objects.int", interrupt, raising=False)
        with pytest.raises(KeyboardInterrupt):
            reader.read(repository.head())
    assert reader.read(tree).kind == "tree"


def children_named_git() -> set[int]:
    return {child.pid for child in psutil.Process().children() if child.name() == "git"}


def test_no_process_is_left(repository: UserRepository, reader: ObjectReader) -> None:
    before = children_named_git()
    reader.read(repository.head())
    assert len(children_named_git() - before) == 1
    reader.close()
    reader.close()
    assert children_named_git() <= before


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_what_is_written_git_finds_sound(tmp_path: Path, object_format: str) -> None:
    repository = make_repository(tmp_path / "project", object_format)
    repository.commit("first", **{"a": "a\n", "a.b": "x", "a-b/c": "y", "a0": "z"})
    shadow = prepare(discover(repository.path), [])
    tree = repository.git("rev-parse", "HEAD^{tree}")
    assert format_tree(read_tree(shadow, tree)) == shadow.read(tree).data
    made = compose(
        shadow, tree, [addition(b"a/new/file", write_blob(shadow, b"1")), removal(b"a", "0" * len(tree))]
    )
    shadow.git("fsck", "--strict", made)
    assert shadow.git("ls-tree", "-r", "--name-only", made).split() == [
        b"a-b/c",
        b"a.b",
        b"a/new/file",
        b"a0",
    ]


def test_entries_of_files_and_folders_are_found(repository: UserRepository, shadow: Shadow) -> None:
    found = entries(shadow, repository.head(), [b"src/a.txt", b"src", b"src/none", b"src/a.txt/b", b"none/x"])
    assert set(found) == {b"src/a.txt", b"src"}
    assert found[b"src"] == ("040000", repository.git("rev-parse", "HEAD:src"))
    assert found[b"src/a.txt"] == ("100644", repository.git("rev-parse", "HEAD:src/a.txt"))
    user = discover(repository.path)
    assert entries(user, repository.head(), [b"src/a.txt"]) == {b"src/a.txt": found[b"src/a.txt"]}


def test_odd_old_modes_read_as_git_shows_them() -> None:
    data = b"100664 a\0" + b"\1" * 20 + b"40000 b\0" + b"\2" * 20
    assert [entry.mode for entry in parse_tree(data, 20).values()] == ["100644", "040000"]


def test_a_file_and_a_folder_at_one_path_are_refused(repository: UserRepository, shadow: Shadow) -> None:
    tree = repository.git("rev-parse", "HEAD^{tree}")
    new = write_blob(shadow, b"n")
    with pytest.raises(GitError, match="src would be both"):
        compose(shadow, tree, [addition(b"src", new)])
    with pytest.raises(GitError, match=r"src/a\.txt would be both"):
        compose(shadow, tree, [addition(b"src/a.txt/deep/x", new)])


def test_folders_of_any_depth_can_be_compared_and_composed(
    repository: UserRepository, shadow: Shadow
) -> None:
    tree = repository.git("rev-parse", "HEAD^{tree}")
    deep = b"d/" * 1100 + b"x"
    made = compose(shadow, tree, [addition(deep, write_blob(shadow, b"n"))])
    assert [change.path for change in diff(shadow, tree, made)] == [deep]
    assert compose(shadow, made, [removal(deep, "0" * 40)]) == tree


_NAMES = st.sampled_from([b"a", b"a.b", b"a-b", b"a0", b"b", b"\xff", b"c d"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map(b"/".join)
_FILES = st.dictionaries(_PATHS, st.sampled_from([b"1", b"2", b"3"]), max_size=8)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=_FILES, after=_FILES)
def test_comparing_and_composing_agree_with_git(
    before: dict[bytes, bytes], after: dict[bytes, bytes], shadow: Shadow
) -> None:
    old, new = (_tree(shadow, files) for files in (before, after))
    changes = diff(shadow, old, new)
    raw = shadow.git("diff-tree", "-r", "-z", "--no-renames", old, new).split(b"\0")[:-1]
    told = sorted(
        (path, head.lstrip(b":")[:-2].decode()) for head, path in zip(raw[::2], raw[1::2], strict=True)
    )
    ours = [(c.path, f"{c.old_mode} {c.new_mode} {c.old_object} {c.new_object}") for c in changes]
    assert ours == told
    assert compose(shadow, old, changes) == new
    assert compose(shadow, old, changes[::-1]) == new


def _tree(shadow: Shadow, files: dict[bytes, bytes]) -> str:
    """A tree made by git itself; a file that lies where another needs a folder is left out."""
    folders = {path[:n] for path in files for n, c in enumerate(path) if c == 0x2F}
    lines = b"".join(
        b"100644 %s\t%s\0" % (write_blob(shadow, data).encode(), path)
        for path, data in files.items()
        if path not in folders
    )
    index = shadow.git_dir / "test.index"
    index.unlink(missing_ok=True)
    shadow.git("read-tree", "--empty", index=index)
    shadow.git("update-index", "-z", "--index-info", index=index, stdin=lines)
    return shadow.git("write-tree", index=index).decode().strip()
