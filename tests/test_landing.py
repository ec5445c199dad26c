from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_agenttasks import landing
from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.journal import Journal
from pytest_agenttasks.journal_records import Forward
from pytest_agenttasks.outcome import Kind, SetupError
from pytest_agenttasks.trees.changes import Change
from pytest_agenttasks.trees.composition import (
    addition,
    commit,
    compose,
    conflicts,
    diff,
    removal,
    write_blob,
)
from pytest_agenttasks.trees.git import GitError
from pytest_agenttasks.trees.handover import send
from pytest_agenttasks.trees.objects import entries
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import Shadow, prepare
from tests.opened import append, opened, outcome
from tests.user_repository import UserRepository

BRANCH = "refs/heads/work"


@pytest.fixture
def shadow(repository: UserRepository) -> Shadow:
    return prepare(discover(repository.path), [])


@pytest.fixture
def journal(shadow: Shadow) -> Journal:
    return Journal(shadow.repository.home / "journal.jsonl")


def edit(shadow: Shadow, base: str, files: dict[str, str | None]) -> str:
    """A commit on `base` with these files (None: deleted), in the private repository only."""
    changes: list[Change] = []
    for name, text in files.items():
        path = os.fsencode(name)
        if text is None:
            mode, old = entries(shadow, base, [path])[path]
            changes.append(removal(path, old, mode))
        else:
            changes.append(addition(path, write_blob(shadow, text.encode())))
    return commit(shadow, compose(shadow, base, changes), base, "landed\n")


def advance(shadow: Shadow, journal: Journal, new: str, on_disk: tuple[bytes, ...] = ()) -> None:
    old = shadow.repository.tip()
    landing.advance(shadow, journal, branch=BRANCH, old=old, new=new, why="test", on_disk=on_disk)


def test_branch_index_and_files_move_forward_together(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    new = edit(shadow, repository.head(), {"src/a.txt": "A\n", "src/b.txt": None, "lib/new.txt": "n\n"})
    advance(shadow, journal, new)
    assert repository.head() == new
    assert repository.status() == ""
    assert repository.read("src/a.txt") == "A\n"
    assert not (repository.path / "src/b.txt").exists()
    assert repository.git("reflog", "-1", "--format=%gs") == "test"
    assert repository.git("fsck", "--strict") == ""
    assert not (repository.path / ".git/index.lock").exists()


def test_unrelated_edits_staged_and_unstaged_stay(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    repository.write("src/b.txt", "mine\n")
    repository.write("staged.txt", "staged\n")
    repository.git("add", "staged.txt")
    repository.write("untracked.txt", "untracked\n")
    advance(shadow, journal, edit(shadow, repository.head(), {"src/a.txt": "A\n"}))
    assert sorted(repository.git("status", "--porcelain").splitlines()) == [
        " M src/b.txt",
        "?? untracked.txt",
        "A  staged.txt",
    ]
    assert repository.read("src/b.txt") == "mine\n"


def in_the_way(repository: UserRepository, how: str) -> None:
    if how == "edited":
        repository.write("src/a.txt", "mine\n")
    elif how == "staged":
        repository.write("src/a.txt", "mine\n")
        repository.git("add", "src/a.txt")
    elif how == "staged and put back":
        repository.write("src/a.txt", "mine\n")
        repository.git("add", "src/a.txt")
        repository.write("src/a.txt", "a\n")
    elif how == "untracked":
        repository.write("src/new.txt", "mine\n")
    elif how == "ignored":
        repository.write("src/new.log", "mine\n")
    elif how == "assume-unchanged":
        repository.git("update-index", "--assume-unchanged", "src/a.txt")
        repository.write("src/a.txt", "mine\n")
    elif how == "skip-worktree":
        repository.git("update-index", "--skip-worktree", "src/a.txt")
        repository.write("src/a.txt", "mine\n")
    elif how == "deleted":
        (repository.path / "src/a.txt").unlink()
    elif how == "folder":
        (repository.path / "src/new.txt").mkdir()
        repository.write("src/new.txt/inner", "mine\n")


def fingerprint(repository: UserRepository) -> dict[str, bytes]:
    found = {}
    for path in sorted(repository.path.rglob("*")):
        relative = path.relative_to(repository.path)
        if relative.parts[0] != ".git" and path.is_file():
            found[str(relative)] = path.read_bytes()
    found["HEAD"] = repository.head().encode()
    found["index"] = repository.git("ls-files", "-s", "-v").encode()
    return found


@pytest.mark.parametrize(
    "how",
    [
        "edited",
        "staged",
        "staged and put back",
        "untracked",
        "ignored",
        "assume-unchanged",
        "skip-worktree",
        "deleted",
        "folder",
    ],
)
def test_what_the_user_has_at_a_path_of_the_change_is_never_touched(
    repository: UserRepository, shadow: Shadow, journal: Journal, how: str
) -> None:
    new = edit(shadow, repository.head(), {"src/a.txt": "A\n", "src/new.txt": "n\n", "src/new.log": "n\n"})
    in_the_way(repository, how)
    before = fingerprint(repository)
    with pytest.raises(landing.InTheWay):
        advance(shadow, journal, new)
    assert fingerprint(repository) == before
    assert not (repository.path / ".git/index.lock").exists()
    assert list((repository.path / ".git").glob("index.agenttasks*")) == []


def test_a_linked_folder_in_the_checkout_is_not_followed(
    repository: UserRepository, shadow: Shadow, journal: Journal, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (repository.path / "lib").symlink_to(tmp_path / "outside")
    new = edit(shadow, repository.head(), {"lib/new.txt": "n\n"})
    with pytest.raises(landing.InTheWay, match="symbolic link"):
        advance(shadow, journal, new)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_branch_that_moved_is_not_overwritten(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    old = repository.head()
    new = edit(shadow, old, {"src/a.txt": "A\n"})
    mine = repository.commit("mine", **{"src/b.txt": "mine\n"})
    with pytest.raises(landing.BranchMoved):
        landing.advance(shadow, journal, branch=BRANCH, old=old, new=new, why="test")
    assert repository.head() == mine


@pytest.mark.parametrize(
    ("staged", "added"), [("src/new/y.txt", "src/new"), ("src/new", "src/new/y.txt")], ids=["below", "above"]
)
def test_what_the_user_has_staged_around_a_new_path_is_in_the_way(
    repository: UserRepository, shadow: Shadow, journal: Journal, staged: str, added: str
) -> None:
    new = edit(shadow, repository.head(), {added: "n\n"})
    repository.write(staged, "mine\n")
    repository.git("add", staged)
    (repository.path / staged).unlink()
    before = fingerprint(repository)
    with pytest.raises(landing.InTheWay, match=staged):
        advance(shadow, journal, new)
    assert fingerprint(repository) == before


def test_a_landing_that_cannot_be_mended_leaves_no_lock(
    repository: UserRepository, shadow: Shadow, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = edit(shadow, repository.head(), {"src/a.txt": "A\n"})

    def take_up(*given: object) -> None:
        repository.write("src/a.txt", "neither\n")

    with monkeypatch.context() as patched:
        patched.setattr(landing, "take_up", take_up)
        with pytest.raises(SetupError, match="git checkout HEAD -- PATH"):
            advance(shadow, journal, new)
    assert not (repository.path / ".git/index.lock").exists()
    repository.git("checkout", "-q", "HEAD", "--", "src/a.txt")
    landing.recover(shadow, journal)
    assert repository.status() == ""


def test_a_branch_that_moves_at_the_last_moment_is_not_overwritten(
    repository: UserRepository, shadow: Shadow, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = repository.head()
    new = edit(shadow, base, {"src/a.txt": "A\n"})
    theirs = repository.git("commit-tree", f"{base}^{{tree}}", "-p", base, "-m", "theirs")

    def take_up(*_: object) -> None:
        repository.git("update-ref", BRANCH, theirs)

    monkeypatch.setattr(landing, "take_up", take_up)
    with pytest.raises(landing.BranchMoved):
        advance(shadow, journal, new)
    assert repository.head() == theirs
    assert repository.read("src/a.txt") == "a\n"
    assert not (repository.path / ".git/index.lock").exists()


def test_a_switched_branch_is_not_moved(repository: UserRepository, shadow: Shadow, journal: Journal) -> None:
    old = repository.head()
    new = edit(shadow, old, {"src/a.txt": "A\n"})
    repository.git("switch", "-q", "-c", "other")
    with pytest.raises(landing.BranchMoved, match="no longer on"):
        landing.advance(shadow, journal, branch=BRANCH, old=old, new=new, why="test")
    assert repository.git("rev-parse", "work") == old


def test_a_held_index_lock_is_waited_for_and_named(
    repository: UserRepository, shadow: Shadow, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "INDEX_LOCK_WAIT", 0.2)
    new = edit(shadow, repository.head(), {"src/a.txt": "A\n"})
    lock = repository.write(".git/index.lock", "")
    with pytest.raises(landing.InTheWay, match=r"index\.lock"):
        advance(shadow, journal, new)
    assert lock.exists()


def test_files_already_as_landed_are_taken_up(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    repository.write("tasks/pending/001-x.md", "text\n")
    repository.write("tasks/pending/.gitkeep", "changed\n")
    new = edit(
        shadow, repository.head(), {"tasks/pending/001-x.md": "text\n", "tasks/pending/.gitkeep": "changed\n"}
    )
    advance(shadow, journal, new, (b"tasks/pending/001-x.md", b"tasks/pending/.gitkeep"))
    assert repository.head() == new
    assert repository.status() == ""


def test_hooks_of_the_repository_do_not_run(
    repository: UserRepository, shadow: Shadow, journal: Journal, tmp_path: Path
) -> None:
    for name in ("post-index-change", "reference-transaction", "post-checkout"):
        hook = repository.write(f".git/hooks/{name}", f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
        hook.chmod(0o755)
    advance(shadow, journal, edit(shadow, repository.head(), {"src/a.txt": "A\n"}))
    assert not (tmp_path / "ran").exists()


def test_line_ending_settings_of_the_user_hold(home: Path, repository: UserRepository) -> None:
    repository.git("config", "core.autocrlf", "true")
    shadow = prepare(discover(repository.path), [])
    journal = Journal(shadow.repository.home / "journal.jsonl")
    advance(shadow, journal, edit(shadow, repository.head(), {"src/a.txt": "one\ntwo\n"}))
    assert (repository.path / "src/a.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert repository.status() == ""


KILL_AT = {
    "before the branch moves": ("git", "update-ref"),
    "before the files move": ("git", "read-tree"),
    "before the index is taken over": ("replace", ""),
    "before the lock is given back": ("unlock", ""),
}

KILLED = """
import os, sys
from pathlib import Path
from pytest_agenttasks import landing
from pytest_agenttasks.trees import repository as repository_module
from pytest_agenttasks.journal import Journal
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import prepare

kind, what, old, new, partial = sys.argv[1:]
shadow = prepare(discover(Path.cwd()), [])
journal = Journal(shadow.repository.home / "journal.jsonl")
real_git, real_replace = repository_module.git, Path.replace

def die():
    if partial == "partial":
        Path("src/a.txt").write_text("A")
        Path("src/b.txt").unlink()
    os.kill(os.getpid(), 9)

def git(args, **kwargs):
    if kind == "git" and args[0] == what:
        die()
    return real_git(args, **kwargs)

def replace(self, target):
    if kind == "replace" and "index" in self.name and (not what or self.name == what):
        die()
    return real_replace(self, target)

def unlock(*args):
    os.kill(os.getpid(), 9)

if kind == "unlock":
    landing._unlock = unlock
repository_module.git = git
Path.replace = replace
landing.advance(shadow, journal, branch="refs/heads/work", old=old, new=new, why="test")
"""


@pytest.mark.parametrize(
    ("step", "partial"), [*((step, "whole") for step in KILL_AT), ("before the files move", "partial")]
)
def test_a_kill_in_the_middle_is_recovered(
    repository: UserRepository, shadow: Shadow, journal: Journal, step: str, partial: str
) -> None:
    old = repository.head()
    new = edit(shadow, old, {"src/a.txt": "A whole line\n", "src/b.txt": None, "src/new.txt": "n\n"})
    repository.write("untracked.txt", "mine\n")
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *KILL_AT[step], old, new, partial],
        cwd=repository.path, check=False, capture_output=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr.decode()
    again = Journal(journal.file)
    assert again.history.forward is not None
    said = landing.recover(shadow, again)
    if step == "before the branch moves":
        assert said is not None
        assert "had not begun" in said
        assert repository.head() == old
        landing.advance(shadow, again, branch=BRANCH, old=old, new=new, why="again")
    assert repository.head() == new
    assert repository.status() == "?? untracked.txt"
    assert repository.read("src/a.txt") == "A whole line\n"
    assert landing.recover(shadow, Journal(journal.file)) is None


def test_recovery_stops_at_a_file_that_is_neither_old_nor_new(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    old = repository.head()
    new = edit(shadow, old, {"src/a.txt": "A\n"})
    send(shadow, new, old)
    repository.git("update-ref", BRANCH, new, old)
    journal.write(Forward(old=old, new=new, branch=BRANCH, lock="token"))
    repository.write("src/a.txt", "my own words\n")
    with pytest.raises(SetupError, match=r"src/a\.txt"):
        landing.recover(shadow, journal)
    assert repository.read("src/a.txt") == "my own words\n"


def test_a_foreign_lock_is_not_removed_by_recovery(
    repository: UserRepository, shadow: Shadow, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "INDEX_LOCK_WAIT", 0.1)
    old = repository.head()
    new = edit(shadow, old, {"src/a.txt": "A\n"})
    send(shadow, new, old)
    repository.git("update-ref", BRANCH, new, old)
    journal.write(Forward(old=old, new=new, branch=BRANCH, lock="token"))
    lock = repository.write(".git/index.lock", "")
    with pytest.raises(landing.InTheWay):
        landing.recover(shadow, journal)
    assert lock.exists()


@pytest.mark.parametrize(
    ("ours", "theirs", "clash"),
    [
        ({"src/a.txt": "A\n"}, {"src/b.txt": "B\n"}, False),
        ({"src/a.txt": "A\n"}, {"src/a.txt": "B\n"}, True),
        ({"src/a.txt": None}, {"src/a.txt": "B\n"}, True),
        ({"src/x/y.txt": "A\n"}, {"src/x": "a file\n"}, True),
        ({"src/x": "a file\n"}, {"src/x/y.txt": "B\n"}, True),
        ({"src/x/y.txt": "A\n"}, {"src/x/z.txt": "B\n"}, False),
    ],
)
def test_changes_compose_only_where_the_branch_did_not_move(
    repository: UserRepository,
    shadow: Shadow,
    ours: dict[str, str | None],
    theirs: dict[str, str | None],
    clash: bool,
) -> None:
    base = repository.head()
    mine = edit(shadow, base, ours)
    tip = edit(shadow, base, theirs)
    assert bool(conflicts(shadow, base, tip, diff(shadow, base, mine))) is clash


def test_an_attempt_is_kept_once(shadow: Shadow, repository: UserRepository) -> None:
    from pytest_agenttasks.trees.attempts import keep, kept

    tree = shadow.repository.tree_of(repository.head())
    keep(shadow, "refs/attempts/001-x/1", tree)
    with pytest.raises(GitError):
        keep(shadow, "refs/attempts/001-x/1", tree)
    assert kept(shadow, "refs/attempts/001-x/1") == tree
    assert kept(shadow, "refs/attempts/001-x/2") is None


def test_what_a_kill_left_of_an_attempts_ref_is_in_nobodys_way(
    shadow: Shadow, repository: UserRepository
) -> None:
    from pytest_agenttasks.trees.attempts import attempts, keep, kept

    tree = shadow.repository.tree_of(repository.head())
    folder = shadow.git_dir / "refs/attempts/001-x"
    folder.mkdir(parents=True)
    (folder / f"1.{os.getpid()}.lock").write_text(tree)
    assert attempts(shadow) == {}
    keep(shadow, "refs/attempts/001-x/1", tree)
    assert kept(shadow, "refs/attempts/001-x/1") == tree
    assert attempts(shadow) == {"001-x": 1}
    assert [file.name for file in folder.iterdir()] == ["1"]


def test_signals_wait_until_a_forward_is_whole(
    repository: UserRepository, shadow: Shadow, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = edit(shadow, repository.head(), {"src/a.txt": "A\n"})
    real: Callable[..., None] = landing.check

    def interrupted(*args: object) -> None:
        os.kill(os.getpid(), 2)
        real(*args)

    monkeypatch.setattr(landing, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        advance(shadow, journal, new)
    assert repository.head() == new
    assert repository.status() == ""


@pytest.mark.parametrize("ignored", [False, True])
def test_a_users_file_where_a_folder_comes_is_in_the_way(
    repository: UserRepository, shadow: Shadow, journal: Journal, ignored: bool
) -> None:
    if ignored:
        repository.commit("rules", **{".gitignore": "/src/n*\n!/src/n*/\n"})
    new = edit(shadow, repository.head(), {"src/notes/x.txt": "x\n"})
    repository.write("src/notes", "precious\n")
    with pytest.raises(landing.InTheWay, match="src/notes"):
        advance(shadow, journal, new)
    assert repository.read("src/notes") == "precious\n"


def test_a_users_link_in_a_folder_that_becomes_a_file_is_in_the_way(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    repository.commit("folder", **{"src/d/one.txt": "1\n"})
    new = edit(shadow, repository.head(), {"src/d/one.txt": None, "src/d": "a file\n"})
    (repository.path / "src/d/mylink").symlink_to("/etc")
    with pytest.raises(landing.InTheWay):
        advance(shadow, journal, new)
    assert (repository.path / "src/d/mylink").is_symlink()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"src/d": "file\n"}, {"src/d": None, "src/d/one.txt": "1\n"}),
        ({"src/d/one.txt": "1\n"}, {"src/d/one.txt": None, "src/d": "file\n"}),
    ],
)
def test_files_and_folders_change_places(
    repository: UserRepository,
    shadow: Shadow,
    journal: Journal,
    before: dict[str, str],
    after: dict[str, str | None],
) -> None:
    repository.commit("before", **before)
    advance(shadow, journal, edit(shadow, repository.head(), after))
    assert repository.status() == ""
    for name, text in after.items():
        assert text is None or repository.read(name) == text


def half_landed(
    repository: UserRepository, shadow: Shadow, journal: Journal, files: dict[str, str | None]
) -> str:
    """The branch has moved, nothing else has."""
    old = repository.head()
    new = edit(shadow, old, files)
    send(shadow, new, old)
    journal.write(Forward(old=old, new=new, branch=BRANCH, lock="token"))
    repository.git("update-ref", BRANCH, new, old)
    return new


def test_recovery_spares_a_folder_that_the_user_made_since(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    half_landed(repository, shadow, journal, {"src/new.txt": "n\n"})
    repository.write("src/new.txt/precious", "mine\n")
    with pytest.raises(SetupError, match=r"src/new\.txt"):
        landing.recover(shadow, journal)
    assert repository.read("src/new.txt/precious") == "mine\n"


def test_recovery_spares_a_file_where_a_folder_comes(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    half_landed(repository, shadow, journal, {"src/deep/new.txt": "n\n"})
    repository.write("src/deep", "mine\n")
    with pytest.raises(SetupError, match="src/deep"):
        landing.recover(shadow, journal)
    assert repository.read("src/deep") == "mine\n"


def test_recovery_never_works_through_a_link(
    repository: UserRepository, shadow: Shadow, journal: Journal, tmp_path: Path
) -> None:
    repository.commit("folder", **{"lnk/k.txt": "k\n"})
    half_landed(repository, shadow, journal, {"lnk/k.txt": None})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/k.txt").write_text("k\n")
    (repository.path / "lnk/k.txt").unlink()
    (repository.path / "lnk").rmdir()
    (repository.path / "lnk").symlink_to(tmp_path / "outside")
    with pytest.raises(SetupError, match=r"lnk/k\.txt"):
        landing.recover(shadow, journal)
    assert (tmp_path / "outside/k.txt").read_text() == "k\n"


def test_recovery_removes_a_deleted_link_to_a_folder(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    (repository.path / "link").symlink_to("src")
    repository.commit("link")
    half_landed(repository, shadow, journal, {"link": None})
    assert landing.recover(shadow, journal)
    assert repository.status() == ""
    assert not (repository.path / "link").is_symlink()


def test_a_lock_left_before_anything_moved_is_known_as_ours(
    repository: UserRepository, shadow: Shadow, journal: Journal
) -> None:
    old = repository.head()
    new = edit(shadow, old, {"src/a.txt": "A\n"})
    journal.write(Forward(old=old, new=new, branch=BRANCH, lock="token"))
    repository.write(".git/index.lock", "token")
    repository.write(".git/index.agenttasks-1", "left")
    assert landing.recover(shadow, Journal(journal.file))
    assert not (repository.path / ".git/index.lock").exists()
    assert not list((repository.path / ".git").glob("index.agenttasks*"))


def test_filters_configured_in_mid_run_are_not_started(repository: UserRepository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def plant(workspace: AgentWorkspace) -> None:
        append(workspace)
        for verb in ("clean", "smudge"):
            repository.git("config", f"filter.mine.{verb}", f"touch {ran}; cat")
        repository.git("config", "filter.mine.required", "true")
        repository.git("config", "filter.upper.smudge", f"touch {ran}; cat")
        (repository.path / ".git/info/attributes").write_text("* filter=mine\n*.txt filter=upper\n")

    repository.git("config", "filter.upper.clean", "tr A-Z a-z")
    repository.git("config", "filter.upper.smudge", "tr a-z A-Z")
    with opened(repository, plant, gates=[{"name": "tests", "run": "true"}]) as run:
        assert outcome(run).kind is Kind.LANDED
    assert not ran.exists()
    assert repository.read("src/a.txt") == "A\nATTEMPT 1\n"
