"""A place moved by the few files that differ: the same files and the same index as git makes, or git is asked."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_agenttasks.trees import workspace as workspace_module
from pytest_agenttasks.trees.index_file import names, read
from pytest_agenttasks.trees.places import Place, place
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import Shadow, prepare
from pytest_agenttasks.trees.survey import survey
from pytest_agenttasks.trees.workspace import move_to, surely_as_switched
from tests.user_repository import UserRepository, make_repository

Files = Mapping[str, str]
"""What a tree holds: path → content; one that begins with `->` is a link, with `#!` a program."""

PATHS = ("a", "b.txt", "d/e", "d/f", "d/g/h", "x", "x/y", "ä ö")
TREES = st.dictionaries(
    st.sampled_from(PATHS), st.sampled_from(("1\n", "2\n", "#!x\n", "", "-> a")), min_size=1
).filter(lambda files: not {"x", "x/y"} <= set(files))


@pytest.fixture(params=["sha1", "sha256"])
def user(request: pytest.FixtureRequest, tmp_path: Path) -> UserRepository:
    made = make_repository(tmp_path / "project", request.param)
    made.commit("first", a="a\n")
    return made


def tree_of(user: UserRepository, files: Files) -> str:
    """These files as a tree, made by git."""
    index = user.path / ".git/made.index"
    index.unlink(missing_ok=True)
    lines = []
    for path, text in files.items():
        mode = "120000" if text.startswith("->") else "100755" if text.startswith("#!") else "100644"
        blob = user.git("hash-object", "-w", "--stdin", stdin=text.removeprefix("-> "))
        lines.append(f"{mode} {blob}\t{path}\0")
    env = {**os.environ, "GIT_INDEX_FILE": str(index)}
    for command, given_text in (
        (["update-index", "--add", "-z", "--index-info"], "".join(lines)),
        (["write-tree"], None),
    ):
        done = subprocess.run(
            ["git", *command],
            cwd=user.path,
            env=env,
            input=given_text,
            check=True,
            capture_output=True,
            text=True,
        )
    return done.stdout.strip()


def on_disk(where: Place) -> dict[str, str]:
    """What lies in the place, in the words of `Files`."""
    found = {}
    for folder, folders, files in os.walk(where.path):
        for name in (*files, *(name for name in folders if Path(folder, name).is_symlink())):
            file = Path(folder, name)
            text = f"-> {file.readlink()}" if file.is_symlink() else file.read_text()
            program = stat.S_IXUSR & file.lstat().st_mode
            assert file.is_symlink() or bool(program) == text.startswith("#!"), file
            found[str(file.relative_to(where.path))] = text
        if not files and not folders:
            found[f"{Path(folder).relative_to(where.path)}/"] = "(empty folder)"
    found.pop("./", None)
    return found


def is_whole(shadow: Shadow, where: Place, tree: str) -> None:
    """Git finds the index to be that of the tree, sound, and all files as the index has them; so do we."""

    copy = where.root / "copy.index"  # for git writes into it
    shutil.copy2(where.index, copy)

    def git(*args: str) -> bytes:
        return shadow.git(*args, index=copy, work_tree=where.path)

    assert git("write-tree").decode().strip() == tree
    assert git("diff-files", "--raw") == b""
    assert git("ls-files", "--others") == b""
    assert where.tree == tree
    assert where.intact
    listing = read(where.index, shadow.repository.id_bytes)
    assert listing is not None
    assert where.listing is not None
    assert where.listing.data == listing.data
    assert list(where.listing.names) == list(listing.names) == names(where.index, shadow.repository.id_bytes)
    files = survey(where.path, ()).files
    later = where.index.stat().st_mtime_ns + 10**9
    assert where.listing.differing(files, later) == listing.differing(files, later) == {}


def aged(where: Place) -> Place:
    """The place a moment later: no file is as young as the index."""
    newest = max((entry.st_mtime_ns for entry in survey(where.path, ()).files.values()), default=0)
    os.utime(where.index, ns=(newest + 10**6, newest + 10**6))
    return where


def without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("git was asked")

    monkeypatch.setattr(workspace_module, "_switch", refuse)


def append(file: Path) -> None:
    with file.open("a") as stream:
        stream.write("more\n")


def same_size(file: Path) -> None:
    before = file.lstat()
    file.write_bytes(file.read_bytes().swapcase())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def to_folder(file: Path) -> None:
    file.unlink()
    (file / "inner").mkdir(parents=True)
    (file / "inner/file").write_text("x\n")


def to_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("/nowhere")


DISTURBANCES: Mapping[str, Callable[[Path], None]] = {
    "append": append,
    "delete": Path.unlink,
    "same-size": same_size,
    "read-only": lambda file: file.chmod(0o444),
    "program": lambda file: file.chmod(0o755),
    "folder": to_folder,
    "link": to_link,
}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees=st.lists(TREES, min_size=2, max_size=4), data=st.data())
def test_the_files_and_the_index_are_gits(
    user: UserRepository, trees: list[Files], data: st.DataObject
) -> None:
    shadow = prepare(discover(user.path), [])
    where = place(shadow, "gate", 0)
    for files in trees:
        if where.tree:
            for path in data.draw(st.lists(st.sampled_from(sorted(on_disk(where))), unique=True, max_size=2)):
                file = where.path / path
                if file.is_file() and not file.is_symlink():
                    DISTURBANCES[data.draw(st.sampled_from(sorted(DISTURBANCES)))](file)
            for left in data.draw(
                st.lists(st.sampled_from(("new", "d/new", "x/z/new", "empty/")), unique=True)
            ):
                if not any(parent.is_file() or parent.is_symlink() for parent in (where.path / left).parents):
                    (where.path / left).parent.mkdir(parents=True, exist_ok=True)
                    (where.path / left).mkdir() if left.endswith("/") else (where.path / left).write_text(
                        "left\n"
                    )
        tree = tree_of(user, files)
        where = move_to(shadow, aged(where) if where.index.exists() else where, tree, ())
        assert on_disk(where) == dict(files)
        is_whole(shadow, where, tree)


@pytest.mark.parametrize("how", sorted(DISTURBANCES))
def test_git_need_not_be_asked(user: UserRepository, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    shadow = prepare(discover(user.path), [])
    first = tree_of(user, {"a": "1\n", "b": "b\n", "d/e": "#!e\n", "gone/x": "x\n", "link": "-> a"})
    wanted = {"a": "2\n", "b": "b\n", "d/e": "#!e\n", "link": "-> b", "new/deep/y": "y\n"}
    where = aged(move_to(shadow, place(shadow, "gate", 0), first, ()))
    DISTURBANCES[how](where.path / "b")
    without_git(monkeypatch)
    second = tree_of(user, wanted)
    where = move_to(shadow, where, second, ())
    assert on_disk(where) == wanted
    monkeypatch.undo()
    is_whole(shadow, where, second)


def test_a_file_takes_the_place_of_a_folder_and_a_folder_of_a_file(
    user: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = prepare(discover(user.path), [])
    first, second = tree_of(user, {"x": "file\n", "y/z": "z\n"}), tree_of(user, {"x/z": "z\n", "y": "file\n"})
    where = aged(move_to(shadow, place(shadow, "gate", 0), first, ()))
    without_git(monkeypatch)
    where = move_to(shadow, where, second, ())
    assert on_disk(where) == {"x/z": "z\n", "y": "file\n"}
    is_whole(shadow, where, second)


def asked(user: UserRepository, monkeypatch: pytest.MonkeyPatch, first: Files, second: Files) -> bool:
    """Whether git moves a place between these."""
    shadow = prepare(discover(user.path), [])
    where = aged(move_to(shadow, place(shadow, "gate", 0), tree_of(user, first), ()))
    found: list[str] = []
    really = workspace_module._switch

    def counted(shadow: Shadow, where: Place, tree: str) -> None:
        found.append(tree)
        really(shadow, where, tree)

    monkeypatch.setattr(workspace_module, "_switch", counted)
    where = move_to(shadow, where, tree_of(user, second), ())
    is_whole(shadow, where, tree_of(user, second))
    return bool(found)


def test_many_files_are_gits(user: UserRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(user, monkeypatch, {"a": "a\n"}, {f"f{n}": "x\n" for n in range(100)})


@pytest.mark.parametrize("first", [{"a": "a\n", ".gitattributes": "* text\n"}, {"a": "a\n"}])
def test_with_attributes_git_writes_the_files(
    user: UserRepository, monkeypatch: pytest.MonkeyPatch, first: Files
) -> None:
    assert asked(user, monkeypatch, first, {"a": "b\n", ".gitattributes": "* text\n"})


def test_where_the_user_has_line_ends_of_his_own_git_writes_the_files(
    user: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.git("config", "core.autocrlf", "true")
    assert asked(user, monkeypatch, {"a": "a\n"}, {"a": "b\n"})


def test_an_index_that_somebody_has_written_into_is_not_believed(
    user: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = prepare(discover(user.path), [])
    first, second = tree_of(user, {"a": "1\n", "b": "1\n"}), tree_of(user, {"a": "1\n", "b": "2\n"})
    where = aged(move_to(shadow, place(shadow, "gate", 0), first, ()))
    (where.path / "a").write_text("poison\n")
    shadow.git("update-index", "a", index=where.index, work_tree=where.path)
    where = move_to(shadow, where, second, ())
    assert on_disk(where) == {"a": "1\n", "b": "2\n"}
    is_whole(shadow, where, second)


def test_nothing_is_written_through_a_link(user: UserRepository, tmp_path: Path) -> None:
    shadow = prepare(discover(user.path), [])
    first, second = tree_of(user, {"d/e": "1\n", "k": "1\n"}), tree_of(user, {"d/e": "2\n", "k": "1\n"})
    where = aged(move_to(shadow, place(shadow, "gate", 0), first, ()))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "e").write_text("mine\n")
    (where.path / "d/e").unlink()
    (where.path / "d").rmdir()
    (where.path / "d").symlink_to(outside)
    where = move_to(shadow, where, second, ())
    assert (outside / "e").read_text() == "mine\n"
    assert on_disk(where) == {"d/e": "2\n", "k": "1\n"}


def test_a_place_that_is_known_no_more_is_made_by_git(user: UserRepository) -> None:
    shadow = prepare(discover(user.path), [])
    first, second = tree_of(user, {"a": "1\n"}), tree_of(user, {"a": "2\n"})
    where = aged(move_to(shadow, place(shadow, "gate", 0), first, ()))
    where.index.unlink()
    where = move_to(shadow, where, second, ())
    assert on_disk(where) == {"a": "2\n"}
    is_whole(shadow, replace(where), second)


@pytest.mark.parametrize("how", ["append", "delete", "same-size", "program", "folder", "link"])
def test_what_a_program_has_changed_since_is_seen(user: UserRepository, how: str) -> None:
    shadow = prepare(discover(user.path), [])
    first, second = tree_of(user, {"a": "a\n", "b": "b\n"}), tree_of(user, {"a": "a\n", "b": "c\n"})
    where = move_to(shadow, aged(move_to(shadow, place(shadow, "gate", 0), first, ())), second, ())
    assert surely_as_switched(where), "written within the tick of the index, and the same"
    DISTURBANCES[how](where.path / "b")
    assert not surely_as_switched(where)
