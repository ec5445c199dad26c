from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_agenttasks.trees.index_file import Known, names, read, unchanged
from tests.user_repository import UserRepository, make_repository

LONG = "d/" * 1500 + "end.txt"


@pytest.fixture(params=["sha1", "sha256"])
def user(request: pytest.FixtureRequest, tmp_path: Path) -> UserRepository:
    made = make_repository(tmp_path / "project", request.param)
    made.write("run.sh", "true\n").chmod(0o755)
    (made.path / "link").symlink_to("src/a.txt")
    made.commit("first", **{"src/a.txt": "a\n", "src/ä ö": "b\n", "z": "z\n"})
    return made


def index(user: UserRepository) -> Path:
    return user.path / ".git/index"


def id_bytes(user: UserRepository) -> int:
    return len(user.head()) // 2


def lookup(file: Path, paths: Collection[bytes], id_bytes: int) -> Mapping[bytes, Known] | None:
    listing = read(file, id_bytes)
    return None if listing is None else listing.lookup(paths)


def listed(user: UserRepository) -> dict[bytes, tuple[str, str]]:
    """What git says of the index."""
    found = {}
    for line in user.git("ls-files", "-s", "-z").split("\0")[:-1]:
        head, _, path = line.partition("\t")
        mode, object_id, _ = head.split(" ")
        found[os.fsencode(path)] = (mode, object_id)
    return found


def age(user: UserRepository) -> None:
    """Make every file older than the index, as it is a moment after any command of git's."""
    for name in listed(user):
        os.utime(user.path / os.fsdecode(name), ns=(10**18, 10**18), follow_symlinks=False)
    user.git("update-index", "-q", "--refresh")


def test_entries_are_those_that_git_lists(user: UserRepository) -> None:
    expected = listed(user)
    found = lookup(index(user), set(expected) | {b"no/such"}, id_bytes(user))
    assert found is not None
    assert {path: (known.mode, known.object_id) for path, known in found.items()} == expected
    assert names(index(user), id_bytes(user)) == sorted(expected)


def test_every_length_of_a_name_is_read(tmp_path: Path) -> None:
    made = make_repository(tmp_path / "project")
    made.commit("first", **{"x" * length: "x\n" for length in range(1, 40)})
    blob = made.git("hash-object", "-w", "--stdin", stdin="far\n")
    made.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{LONG}")
    expected = listed(made)
    found = lookup(index(made), set(expected), 20)
    assert found is not None
    assert {path: (known.mode, known.object_id) for path, known in found.items()} == expected
    assert LONG.encode() in found


def test_an_emptied_file_whose_size_git_was_not_sure_of_is_not_taken_for_unchanged(
    user: UserRepository,
) -> None:
    age(user)
    file = user.path / "src/a.txt"
    file.write_bytes(b"")
    os.utime(file, ns=(10**18, 10**18))
    found = lookup(index(user), {b"src/a.txt"}, id_bytes(user))
    assert found
    known = found[b"src/a.txt"]
    now = file.stat()
    second = 10**9
    words = (*divmod(now.st_ctime_ns, second), *divmod(now.st_mtime_ns, second), now.st_dev, now.st_ino)
    forged = known._replace(words=(*words, known.words[6], now.st_uid, now.st_gid, 0))
    assert not unchanged(forged, os.fsencode(file), time.time_ns())


def test_what_git_left_alone_is_unchanged(user: UserRepository) -> None:
    age(user)
    found = lookup(index(user), set(listed(user)), id_bytes(user))
    assert found
    as_of = index(user).stat().st_mtime_ns
    top = os.fsencode(user.path) + b"/"
    assert all(unchanged(known, top + path, as_of) for path, known in found.items())


@pytest.mark.parametrize("name", ["src/a.txt", "link", "run.sh"])
def test_within_one_tick_of_the_index_the_content_decides(user: UserRepository, name: str) -> None:
    age(user)
    file = user.path / name
    found = lookup(index(user), {name.encode()}, id_bytes(user))
    assert found
    known = found[name.encode()]
    as_of = file.lstat().st_mtime_ns
    assert unchanged(known, os.fsencode(file), as_of)
    another = known._replace(
        object_id=known.object_id[::-1]
    )  # as if the file had been edited and kept its times
    assert not unchanged(another, os.fsencode(file), as_of)
    assert unchanged(another, os.fsencode(file), as_of + 1)


def test_entries_that_are_not_beyond_doubt_are_told(user: UserRepository) -> None:
    age(user)
    files = {name: (user.path / os.fsdecode(name)).lstat() for name in listed(user)}
    listing = read(index(user), id_bytes(user))
    assert listing
    newest = max(status.st_mtime_ns for status in files.values())
    assert listing.differing(files, newest + 1) == {}
    assert set(listing.differing(files, newest) or ()) == set(files), "within the tick of the index"
    (user.path / "src/a.txt").write_text("A\n")
    gone, *_ = files
    files = {name: (user.path / os.fsdecode(name)).lstat() for name in files if name != gone}
    assert set(listing.differing(files, time.time_ns() + 10**9) or ()) == {gone, b"src/a.txt"}
    user.git("update-index", "--assume-unchanged", "z")
    flagged = read(index(user), id_bytes(user))
    assert flagged
    assert flagged.differing(files, time.time_ns()) is None


@pytest.mark.parametrize("change", ["size", "content", "mode", "gone", "link", "folder", "replaced"])
def test_what_somebody_touched_is_not(user: UserRepository, change: str) -> None:
    age(user)
    file = user.path / "src/a.txt"
    found = lookup(index(user), {b"src/a.txt"}, id_bytes(user))
    assert found
    as_of = index(user).stat().st_mtime_ns
    before = file.stat()
    match change:
        case "size":
            file.write_text("aa\n")
        case "content":
            file.write_text("b\n")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "mode":
            file.chmod(0o755)
        case "gone":
            file.unlink()
        case "link":
            file.unlink()
            file.symlink_to("b")
        case "folder":
            file.unlink()
            file.mkdir()
        case "replaced":
            other = file.with_name("other")
            shutil.copy2(file, other)
            other.replace(file)
    assert not unchanged(found[b"src/a.txt"], os.fsencode(file), as_of)


@pytest.mark.parametrize(
    "command",
    [
        ("update-index", "--assume-unchanged", "src/a.txt"),
        ("update-index", "--skip-worktree", "src/a.txt"),
        ("update-index", "--index-version", "4"),
        ("update-index", "--split-index"),
    ],
    ids=lambda command: command[1],
)
def test_what_only_git_understands_is_left_to_it(user: UserRepository, command: tuple[str, ...]) -> None:
    user.git(*command)
    if "--split-index" in command:
        user.commit("second", new="n\n")
    assert lookup(index(user), {b"src/a.txt"}, id_bytes(user)) is None
    known = names(index(user), id_bytes(user))
    assert known is None if "index" in command[1] else known == sorted(listed(user))


def test_a_conflict_is_left_to_git(user: UserRepository) -> None:
    blob = user.git("hash-object", "-w", "--stdin", stdin="other\n")
    lines = f"0 {'0' * len(blob)}\tz\n100644 {blob} 2\tz\n100644 {blob} 3\tz\n"
    user.git("update-index", "--index-info", stdin=lines)
    assert lookup(index(user), {b"z"}, id_bytes(user)) is None
    assert lookup(index(user), {b"src/a.txt"}, id_bytes(user)) is not None


def test_an_added_name_without_content_is_left_to_git(user: UserRepository) -> None:
    user.write("later", "x\n")
    user.git("add", "-N", "later")
    assert lookup(index(user), {b"later"}, id_bytes(user)) is None


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 2000), flip=st.integers(0, 2000), bits=st.integers(1, 255))
def test_a_damaged_index_is_not_known_or_read_to_its_end(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, bits: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    if not folder.exists():
        made = make_repository(folder)
        made.commit("first", **{f"f{n}": "x\n" for n in range(5)})
    data = bytearray((folder / ".git/index").read_bytes())
    data[flip % len(data)] ^= bits
    file = folder / "damaged"
    file.write_bytes(data[: len(data) - cut % len(data)])
    found = lookup(file, {b"f1", b"f2"}, 20)
    assert found is None or set(found) <= {b"f1", b"f2"}
