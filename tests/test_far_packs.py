"""Objects between two repositories: whole, and only what the other one lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_agenttasks.far import packs
from pytest_agenttasks.trees.git import GitError
from pytest_agenttasks.trees.repository import Repository, discover
from tests.user_repository import UserRepository, make_repository


@pytest.fixture(params=["sha1", "sha256"])
def two(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[UserRepository, Repository, Repository]:
    """One with 150 files in its first commit, and an empty one."""
    full = make_repository(tmp_path / "full", request.param)
    full.commit("first", **{f"src/{n}.txt": f"{n}\n" for n in range(150)})
    make_repository(tmp_path / "empty", request.param)
    return full, discover(full.path), discover(tmp_path / "empty")


def carry(source: Repository, target: Repository, *wanted: str, without: tuple[str, ...] = ()) -> int:
    """How many objects went over."""
    count = 0
    with packs.arriving(target.common_dir) as pack:
        for piece in packs.pieces(source, source.common_dir, wanted, without):
            count = count or int.from_bytes(piece[8:12], "big")
            pack.add(piece)
        pack.unpack(target, strict=True)
    assert not list(source.common_dir.glob("agenttasks-pack-*"))
    return count


def test_a_commit_arrives_with_its_history_and_then_only_what_is_new(
    two: tuple[UserRepository, Repository, Repository],
) -> None:
    full, source, target = two
    first = full.head()
    assert carry(source, target, first) == 153, "the files, two trees, the commit"
    assert packs.whole(target, f"{first}^{{tree}}")
    second = full.commit("second", **{"src/7.txt": "another\n"})
    assert packs.present(target, [first, second]) == [first]
    assert carry(source, target, second, without=(first,)) == 4
    assert packs.whole(target, f"{second}^{{tree}}")
    assert carry(source, target, second, without=(second,)) == 0
    assert carry(source, target) == 0


def test_a_tree_without_a_commit_arrives_as_what_differs(
    two: tuple[UserRepository, Repository, Repository],
) -> None:
    full, source, target = two
    carry(source, target, full.head())
    full.write("src/7.txt", "another\n")
    full.git("add", "-A")
    tree = full.git("write-tree")
    with packs.arriving(target.common_dir) as pack:
        pieces = list(packs.pieces(source, source.common_dir, [tree], [], full.head()))
        for piece in pieces:
            pack.add(piece)
        assert not packs.whole(target, tree)
        pack.unpack(target, strict=True)
    assert int.from_bytes(pieces[0][8:12], "big") == 3, "the top, the folder, the file"
    assert packs.whole(target, tree, full.head())


def test_what_was_damaged_on_its_way_is_refused(two: tuple[UserRepository, Repository, Repository]) -> None:
    full, source, target = two
    (pack_data,) = packs.pieces(source, source.common_dir, [full.head()], ())
    with packs.arriving(target.common_dir) as pack:
        pack.add(pack_data[:-30] + bytes(30))
        with pytest.raises(GitError):
            pack.unpack(target, strict=True)
    assert packs.present(target, [full.head()]) == []


def test_a_tree_whose_parts_are_missing_is_not_whole(
    two: tuple[UserRepository, Repository, Repository],
) -> None:
    full, source, target = two
    first = full.head()
    second = full.commit("second", **{"src/7.txt": "another\n"})
    with packs.arriving(target.common_dir) as pack:
        for piece in packs.pieces(source, source.common_dir, [second], [first]):
            pack.add(piece)
        pack.unpack(target, strict=False)
    assert not packs.whole(target, f"{second}^{{tree}}")
