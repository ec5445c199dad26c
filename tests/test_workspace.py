from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_agenttasks.trees.composition import diff
from pytest_agenttasks.trees.index_file import digest
from pytest_agenttasks.trees.objects import blob, entries
from pytest_agenttasks.trees.places import Place, place
from pytest_agenttasks.trees.removal import mounts_below
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import Shadow, prepare
from pytest_agenttasks.trees.snapshot import snapshot
from pytest_agenttasks.trees.workspace import move_to, tags, write_git
from tests.user_repository import UserRepository


@pytest.fixture
def shadow(repository: UserRepository) -> Shadow:
    return prepare(discover(repository.path), [])


@pytest.fixture
def where(shadow: Shadow, repository: UserRepository) -> Place:
    ready = place(shadow, "agent", 0)
    reset(shadow, ready)
    return ready


def reset(shadow: Shadow, where: Place, keep: tuple[bytes, ...] = ()) -> str:
    head = shadow.repository.tip()
    move_to(shadow, where, shadow.repository.tree_of(head), keep)
    write_git(shadow, where, head, "refs/heads/work", tags(shadow.repository))
    return head


def base(shadow: Shadow) -> str:
    return shadow.repository.tree_of(shadow.repository.tip())


def changed(shadow: Shadow, where: Place) -> dict[str, str]:
    shot = snapshot(shadow, where, base(shadow), ())
    return {change.name: change.verb for change in diff(shadow, base(shadow), shot.tree)}


def test_a_fresh_workspace_holds_the_base_and_its_git_is_clean(shadow: Shadow, where: Place) -> None:
    assert (where.path / "src/a.txt").read_text() == "a\n"
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=where.path, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""
    assert changed(shadow, where) == {}


def test_the_workspace_has_history_and_tags_but_no_remote(repository: UserRepository, shadow: Shadow) -> None:
    repository.git("tag", "-a", "v1", "-m", "one")
    where = place(shadow, "gate", 0)
    reset(shadow, where)

    def ask(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=where.path, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert ask("describe") == "v1"
    assert ask("remote") == ""
    assert ask("log", "-1", "--format=%s") == "first"
    assert ask("symbolic-ref", "HEAD") == "refs/heads/work"


def test_edits_new_files_and_deletions_are_seen(shadow: Shadow, where: Place) -> None:
    (where.path / "src/a.txt").write_text("A\n")
    (where.path / "src/new.txt").write_text("n\n")
    (where.path / "src/b.txt").unlink()
    assert changed(shadow, where) == {"src/a.txt": "modified", "src/new.txt": "added", "src/b.txt": "deleted"}


def test_a_same_size_edit_with_its_times_put_back_is_seen(shadow: Shadow, where: Place) -> None:
    file = where.path / "src/a.txt"
    before = file.stat()
    file.write_text("x\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert changed(shadow, where) == {"src/a.txt": "modified"}


@pytest.mark.parametrize(
    "trick",
    [
        ["git", "commit", "-qam", "mine"],
        ["git", "update-index", "--assume-unchanged", "src/a.txt"],
        ["git", "update-index", "--skip-worktree", "src/a.txt"],
        ["git", "checkout", "-qb", "elsewhere"],
        ["rm", "-rf", ".git"],
        ["git", "config", "core.fsmonitor", "touch /tmp/never; false"],
        ["sh", "-c", "echo 'src/' >> .git/info/exclude"],
        ["git", "config", "core.worktree", "/"],
    ],
    ids=lambda trick: "-".join(trick[:3]).replace("/", "_"),
)
def test_what_the_agent_does_to_its_git_hides_nothing(shadow: Shadow, where: Place, trick: list[str]) -> None:
    (where.path / "src/a.txt").write_text("A\n")
    (where.path / "src/new.txt").write_text("n\n")
    subprocess.run(trick, cwd=where.path, check=True)
    assert changed(shadow, where) == {"src/a.txt": "modified", "src/new.txt": "added"}


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree", "gone"])
def test_an_index_that_was_written_into_hides_nothing(shadow: Shadow, where: Place, flag: str) -> None:
    handed_over = replace(where, seal=digest(where.index))
    if flag == "gone":
        where.index.unlink()
    else:
        shadow.git("update-index", flag, "src/a.txt", index=where.index, work_tree=where.path)
    (where.path / "src/a.txt").write_text("mine\n")
    assert not handed_over.intact
    assert changed(shadow, handed_over) == {"src/a.txt": "modified"}


def test_an_ignore_file_of_the_agents_hides_nothing(shadow: Shadow, where: Place) -> None:
    hidden = where.path / "src/secret"
    hidden.mkdir()
    (hidden / ".gitignore").write_text("*\n")
    (hidden / "code.py").write_text("evil\n")
    (where.path / ".gitignore").write_text("*.log\nbuild/\n*.txt\n")
    (where.path / "src/more.txt").write_text("m\n")
    found = changed(shadow, where)
    assert found == {
        ".gitignore": "modified",
        "src/secret/.gitignore": "added",
        "src/secret/code.py": "added",
        "src/more.txt": "added",
    }
    assert (hidden / ".gitignore").read_text() == "*\n"
    tree = snapshot(shadow, where, base(shadow), ()).tree
    assert blob(shadow, entries(shadow, tree, [b".gitignore"])[b".gitignore"][1]) == b"*.log\nbuild/\n*.txt\n"


def test_an_ignore_file_in_an_ignored_folder_is_left_out_with_it(shadow: Shadow, where: Place) -> None:
    cache = where.path / "build/cache"
    cache.mkdir(parents=True)
    (cache / ".gitignore").write_text("*\n")
    (cache / ".gitattributes").write_text("* binary\n")
    (cache / "made").write_text("x\n")
    shot = snapshot(shadow, where, base(shadow), ())
    assert shot.tree == base(shadow)
    assert b"build/" in shot.left_over
    assert (cache / ".gitignore").read_text() == "*\n"


def test_new_ignored_files_are_reported_and_do_not_outlive_the_move(shadow: Shadow, where: Place) -> None:
    (where.path / "x.log").write_text("noise")
    (where.path / "build").mkdir()
    (where.path / "build/out").write_text("o")
    shot = snapshot(shadow, where, base(shadow), ())
    assert set(shot.left_over) == {b"x.log", b"build/"}
    reset(shadow, where)
    assert not (where.path / "x.log").exists()
    assert not (where.path / "build").exists()


def test_a_move_takes_away_everything_but_what_is_kept(shadow: Shadow, where: Place) -> None:
    for name in ("deps/lib/x", "deps/y", "packages/one/cache/z", "src/.git/config", "empty/deeper/none"):
        file = where.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not name.startswith("empty"):
            file.write_text("x")
    (where.path / "src/a.txt").unlink()
    (where.path / "src/a.txt").mkdir()
    reset(shadow, where, (b"deps", b"packages/one/cache"))
    left = {
        str(p.relative_to(where.path))
        for p in where.path.rglob("*")
        if ".git" not in p.parts[len(where.path.parts) :]
    }
    kept = {
        "deps",
        "deps/lib",
        "deps/lib/x",
        "deps/y",
        "packages",
        "packages/one",
        "packages/one/cache",
        "packages/one/cache/z",
    }
    assert kept <= left
    assert left - kept == {".gitignore", "src", "src/a.txt", "src/b.txt", "tasks"} | {
        f"tasks/{name}{inner}" for name in ("pending", "done", "failed") for inner in ("", "/.gitkeep")
    }
    assert (where.path / "src/a.txt").read_text() == "a\n"


def test_a_folder_swapped_for_a_link_does_not_lead_out(shadow: Shadow, where: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("mine\n")
    for file in (where.path / "src").iterdir():
        file.unlink()
    (where.path / "src").rmdir()
    (where.path / "src").symlink_to(outside)
    assert changed(shadow, where) == {"src": "added", "src/a.txt": "deleted", "src/b.txt": "deleted"}
    reset(shadow, where)
    assert (outside / "a.txt").read_text() == "mine\n"
    assert [file.name for file in outside.iterdir()] == ["a.txt"]
    assert not (where.path / "src").is_symlink()


def test_oddities_are_named_and_the_rest_is_stored(shadow: Shadow, where: Place, tmp_path: Path) -> None:
    os.mkfifo(where.path / "src/pipe")
    (tmp_path / "outer").write_text("outer")
    os.link(tmp_path / "outer", where.path / "src/hard")
    subprocess.run(["git", "init", "-q", "src/nested"], cwd=where.path, check=True)
    (where.path / "src/big").write_bytes(b"")
    os.truncate(where.path / "src/big", 5 * 1024**3)
    (where.path / "src/fine.txt").write_text("f\n")
    shot = snapshot(shadow, where, base(shadow), ())
    assert {oddity.name for oddity in shot.oddities} == {"src/pipe", "src/hard", "src/nested/.git", "src/big"}
    assert "src/fine.txt" in {change.name for change in diff(shadow, base(shadow), shot.tree)}


def test_oddities_in_ignored_folders_do_not_count(shadow: Shadow, where: Place) -> None:
    (where.path / "build").mkdir()
    subprocess.run(["git", "init", "-q", "build/checkout"], cwd=where.path, check=True)
    os.mkfifo(where.path / "build/pipe")
    assert snapshot(shadow, where, base(shadow), ()).oddities == ()


def test_names_that_are_not_utf8_survive(shadow: Shadow, where: Place) -> None:
    names = [b"src/\xff\xfe.txt", b"src/new\nline.txt", b'src/"quoted".txt', b"src/-dash.txt", b"src/\ttab"]
    for name in names:
        Path(os.fsdecode(os.fsencode(where.path) + b"/" + name)).write_text("x")
    shot = snapshot(shadow, where, base(shadow), ())
    assert {change.path for change in diff(shadow, base(shadow), shot.tree)} == set(names)


def test_filters_and_hooks_of_the_agent_are_never_run(shadow: Shadow, where: Place, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (where.path / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    for key in (
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.textconv",
        "core.fsmonitor",
    ):
        subprocess.run(["git", "config", key, f"touch {canary}; cat"], cwd=where.path, check=True)
    hooks = where.path / ".git/hooks"
    hooks.mkdir()
    for name in ("post-index-change", "reference-transaction", "post-checkout", "pre-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {canary}\n")
        (hooks / name).chmod(0o755)
    (where.path / "src/a.txt").write_text("A\n")
    snapshot(shadow, where, base(shadow), ())
    reset(shadow, where)
    assert not canary.exists()


def test_line_ending_settings_do_not_make_untouched_rule_files_look_changed(
    repository: UserRepository,
) -> None:
    repository.git("config", "core.autocrlf", "true")
    shadow = prepare(discover(repository.path), [])
    where = place(shadow, "agent", 0)
    reset(shadow, where)
    assert (where.path / ".gitignore").read_bytes() == b"*.log\r\nbuild/\r\n"
    assert changed(shadow, where) == {}
    (where.path / ".gitignore").write_bytes(b"*.txt\r\n")
    (where.path / "src/new.txt").write_text("n\n")
    assert changed(shadow, where) == {".gitignore": "modified", "src/new.txt": "added"}


@pytest.mark.parametrize(
    "attributes", ["*.txt working-tree-encoding=UTF-16\n", "* ident\n", "*.txt eol=crlf\n"]
)
def test_attributes_of_the_agents_change_nothing_that_is_stored(
    shadow: Shadow, where: Place, attributes: str
) -> None:
    (where.path / "src/.gitattributes").write_text(attributes)
    (where.path / "src/a.txt").write_bytes(b"$Id: secret $\r\n")
    shot = snapshot(shadow, where, base(shadow), ())
    assert shot.oddities == ()
    assert {c.name for c in diff(shadow, base(shadow), shot.tree)} == {"src/.gitattributes", "src/a.txt"}
    stored = entries(shadow, shot.tree, [b"src/a.txt"])[b"src/a.txt"][1]
    assert blob(shadow, stored) == b"$Id: secret $\r\n"


def test_a_file_that_git_cannot_store_is_an_oddity_and_not_the_end(repository: UserRepository) -> None:
    repository.commit("attributes", **{".gitattributes": "*.utf16 working-tree-encoding=UTF-16\n"})
    shadow = prepare(discover(repository.path), [])
    where = place(shadow, "agent", 0)
    reset(shadow, where)
    (where.path / "bad.utf16").write_bytes(b"odd number of bytes")
    (where.path / "src/a.txt").write_text("A\n")
    shot = snapshot(shadow, where, base(shadow), ())
    assert [oddity.name for oddity in shot.oddities] == ["(git add)"]
    assert "bad.utf16" in shot.oddities[0].reason


@pytest.mark.parametrize("make", ["pipe", "sparse"])
def test_a_rule_file_that_is_no_plain_file_does_not_stop_git(shadow: Shadow, where: Place, make: str) -> None:
    odd = where.path / "src/.gitignore"
    if make == "pipe":
        os.mkfifo(odd)
    else:
        odd.touch()
        os.truncate(odd, 3 * 1024**3)
    (where.path / "src/new.txt").write_text("n\n")
    shot = snapshot(shadow, where, base(shadow), ())
    assert [oddity.name for oddity in shot.oddities] == ["src/.gitignore"]
    assert "src/new.txt" in {change.name for change in diff(shadow, base(shadow), shot.tree)}
    assert odd.exists()


def test_folders_deeper_than_any_path_are_removed(shadow: Shadow, where: Place) -> None:
    script = "import os\nfor name in ['build'] + ['deep'] * 1500:\n    os.mkdir(name)\n    os.chdir(name)\n"
    subprocess.run([sys.executable, "-c", script], cwd=where.path, check=True)
    reset(shadow, where)
    assert not (where.path / "build").exists()


@pytest.mark.parametrize("level", ["path", "root"])
def test_a_place_that_became_a_link_does_not_lead_to_the_users_checkout(
    shadow: Shadow, where: Place, repository: UserRepository, level: str
) -> None:
    mine = repository.write("build/mine.txt", "mine\n")
    places = {"path": (where.path, repository.path), "root": (where.root, repository.path.parent)}
    link, target = places[level]
    link.rename(link.with_name("moved"))
    link.symlink_to(target)
    assert set(changed(shadow, where).values()) == {"deleted"}
    link.rename(link.with_name("moved again"))
    link.symlink_to(target)
    again = place(shadow, "agent", 0)
    reset(shadow, again)
    assert mine.read_text() == "mine\n"
    assert repository.status() == ""
    assert (again.path / "src/a.txt").read_text() == "a\n"
    assert not link.is_symlink()


def test_a_tracked_file_that_became_enormous_is_not_read(shadow: Shadow, where: Place) -> None:
    os.truncate(where.path / "src/a.txt", 8 * 1024**4)
    (where.path / "src/fine.txt").write_text("f\n")
    shot = snapshot(shadow, where, base(shadow), ())
    assert [oddity.name for oddity in shot.oddities] == ["src/a.txt"]
    found = {change.name: change.verb for change in diff(shadow, base(shadow), shot.tree)}
    assert found == {"src/a.txt": "deleted", "src/fine.txt": "added"}


def test_mounts_below_a_folder_are_found_by_their_unescaped_names(tmp_path: Path) -> None:
    root = tmp_path / "a place"
    escaped = os.fsencode(root).replace(b" ", b"\\040")
    table = tmp_path / "mountinfo"
    lines = [
        b"22 1 0:21 / / rw - ext4 x rw",
        b"23 22 0:3 / %s rw - tmpfs none rw",
        b"24 22 0:4 / %s/in rw - tmpfs none rw",
    ]
    table.write_bytes(b"\n".join([lines[0], lines[1] % escaped, lines[2] % escaped]) + b"\n")
    assert mounts_below(root, table) == [f"{root}/in"]
    assert mounts_below(root, tmp_path / "none") == []
