from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.trees.survey import is_git_name, leaves, survey


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        (b"a", b"b", False),
        (b"a/b", b"../c", False),
        (b"a/b", b"../../c", True),
        (b"a", b"..", True),
        (b"a", b"/etc/passwd", True),
        (b"a/b/c", b"../../d/../../e", True),
        (b"a/b/c", b"../../d", False),
        (b"a/b/c", b"up/../home", True),
        (b"a", b"./x/../y", True),
        (b"a/hooks", b"../.git/hooks", True),
        (b"a", b".GIT/config", True),
    ],
)
def test_links_that_leave_are_told_apart(path: bytes, target: bytes, expected: bool) -> None:
    assert leaves(path, target) is expected


@given(
    st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=4),
    st.lists(st.sampled_from([b"..", b".", b"x", b""]), min_size=1, max_size=8),
)
def test_a_link_that_stays_lexically_and_never_turns_back_is_fine(
    path: list[bytes], target: list[bytes]
) -> None:
    joined = b"/".join(target)
    ups = sum(part == b".." for part in target)
    turns_back = b".." in target[next((n for n, part in enumerate(target) if part == b"x"), len(target)) :]
    expected = joined.startswith(b"/") or ups > len(path) - 1 or turns_back
    assert leaves(b"/".join(path), joined) is expected


@pytest.mark.parametrize("name", [b".git", b".GIT", b".Git", b"git~1", b"GIT~1", b".git ", b".git."])
def test_twins_of_dot_git_are_known(name: bytes) -> None:
    assert is_git_name(name)


@pytest.mark.parametrize("name", [b".gitignore", b"git", b".github", b"x.git", b"\xff"])
def test_other_names_are_no_twins(name: bytes) -> None:
    assert not is_git_name(name)


def test_what_git_cannot_hold_is_found(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    os.link(tmp_path / "plain", tmp_path / "twin")
    (tmp_path / "empty/inner").mkdir(parents=True)
    (tmp_path / "sub/.git").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "deps").mkdir()
    os.mkfifo(tmp_path / "deps/pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "sub/.gitignore").write_text("*\n")
    found = survey(tmp_path, {b"deps"})
    assert {oddity.path for oddity in found.oddities} == {b"pipe", b"socket", b"plain", b"twin", b"sub/.git"}
    assert found.rules == (b"sub/.gitignore",)
    assert found.empty == (b"empty/inner", b"sub/.git")


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_found(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    try:
        assert {oddity.path for oddity in survey(tmp_path, ()).oddities} == {b"closed", b"secret"}
    finally:
        (tmp_path / "closed").chmod(0o700)
