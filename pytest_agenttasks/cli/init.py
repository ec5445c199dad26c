"""`agenttasks init`: settings and queue folders for this repository, on a branch that tasks may land on."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..outcome import SetupError
from ..report.printable import printable
from ..settings.records import FILE_NAME
from ..trees.git import GitError, git, split
from ..trees.repository import Repository, discover
from ..trees.repository_checks import default_branches
from .init_files import QUEUE, files
from .recipes import Detected, Machine, detect

BRANCH = "agents/queue"
MESSAGE = "chore(tasks): set up the task queue"
NEW = 'agenttasks new "Title" --scope PATH'


def configure(parser: argparse.ArgumentParser) -> None:
    """Where to write."""
    parser.add_argument(
        "--here",
        action="store_true",
        help=f"write into this checkout, without committing, instead of a new worktree on branch {BRANCH}",
    )


def run(args: argparse.Namespace) -> int:
    """Write what is missing, and say what was done and what to type next."""
    repository = discover(Path.cwd())
    repository.tip()
    branch = repository.branch()
    if branch is None:
        raise SetupError(
            f"{repository.top}: HEAD is detached; check out a branch first, e.g. `git switch main`"
        )
    short = branch.removeprefix("refs/heads/")
    defaults = default_branches(repository)
    try:
        if short in defaults and not args.here:
            in_worktree(repository)
        else:
            in_checkout(repository, short if short in defaults else None)
    except GitError as error:
        raise SetupError(str(error)) from error
    return 0


def in_worktree(repository: Repository) -> None:
    """Make `../<repo>.agents` on a new branch, write there and commit.

    Raises SetupError before anything is made; where git fails later, what was made stays for a look.
    """
    target = repository.top.with_name(f"{repository.top.name}.agents")
    _refuse_taken(repository, target)
    identity = repository.identity
    if identity is None:
        raise SetupError(
            f"{repository.top}: git does not know who commits; run "
            "`git config --global user.name 'Your Name'` and `git config --global user.email you@example.org`"
        )
    repository.git("worktree", "add", "-q", "-b", BRANCH, str(target), "HEAD")
    say(f"made {shown(target)}, a worktree on the new branch {BRANCH}")
    made = discover(target)
    tracked = _without_ignored(made, _write(made))
    if tracked:
        author = {"GIT_AUTHOR_NAME": identity.name, "GIT_AUTHOR_EMAIL": identity.email}
        committer = {"GIT_COMMITTER_NAME": identity.name, "GIT_COMMITTER_EMAIL": identity.email}
        environment = {**made.environment, **author, **committer}
        git(["add", "--", *tracked], cwd=made.top, env=environment)
        git(["commit", "-q", "-m", MESSAGE, "--", *tracked], cwd=made.top, env=environment)
        say(f"committed them: {MESSAGE}")
    _next(f"cd {shlex.quote(os.path.relpath(target))} && {NEW}", "agenttasks run")


def in_checkout(repository: Repository, default: str | None) -> None:
    """Write into the checkout of `repository`; `default` is its branch when nothing lands there."""
    if default is not None:
        say(
            f"note: nothing lands on {default}; before a run, switch to another branch: "
            f"`git switch -c {BRANCH}`"
        )
    tracked = _without_ignored(repository, _write(repository))
    commit = ""
    if tracked:
        names = " ".join(shlex.quote(os.path.relpath(repository.top / name)) for name in tracked)
        commit = f"git add {names} && git commit -m {shlex.quote(MESSAGE)} -- {names}"
    _next(*([commit, NEW] if commit else [NEW, "agenttasks run"]))


def say(line: str) -> None:
    """Print one line; names of files and scripts are the project's, so they may hold anything."""
    print(printable(line))


def shown(path: Path) -> str:
    """A path as it is shortest to read from here."""
    return os.path.relpath(path)


def _refuse_taken(repository: Repository, target: Path) -> None:
    if repository.git("for-each-ref", "--format=%(refname)", f"refs/heads/{BRANCH}"):
        raise SetupError(
            f"the branch `{BRANCH}` exists already; to set up a queue on it, `git worktree add "
            f"{shlex.quote(shown(target))} {BRANCH}` (unless `git worktree list` shows it) "
            "and `agenttasks init --here` there"
        )
    if os.path.lexists(target):
        raise SetupError(
            f"{target} exists already; move it away, or run `agenttasks init --here` on a branch of your own"
        )
    if os.path.lexists(repository.top / FILE_NAME) and not repository.git("ls-tree", "HEAD", "--", FILE_NAME):
        raise SetupError(
            f"{repository.top / FILE_NAME} is not committed, so a new worktree would not have it; "
            "commit it, or run `agenttasks init --here`"
        )


def _write(repository: Repository) -> list[str]:
    """Write the files that are missing; the paths of those written."""
    for name in (QUEUE, *(f"{QUEUE}/{inner}" for inner in ("pending", "done", "failed"))):
        folder = repository.top / name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise SetupError(f"{folder} is in the way: the queue needs a folder of that name; move it")
    detected = detect(repository.top, Machine())
    written, kept = [], []
    for name, text in files(detected).items():
        file = repository.top / name
        if os.path.lexists(file):
            kept.append(name)
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
        written.append(name)
    if written:
        say(f"wrote {', '.join(written)}")
    if kept:
        say(f"left as they are, for they exist already: {', '.join(kept)}")
    if FILE_NAME in written:
        _describe(detected, repository.top / FILE_NAME)
    return written


def _describe(detected: Detected, file: Path) -> None:
    for gate in detected.gates:
        where = f" (in {gate.cwd}/)" if gate.cwd else ""
        say(f"  gate {gate.name}: {gate.run}{where}")
    if detected.setup:
        say(f"  workspace.setup: {detected.setup}")
    for note in detected.notes:
        say(f"note: {note}")
    if not detected.gates:
        say(
            "note: no gate was found, and the queue does not run without one: "
            f"fill in `gates:` in {shown(file)}"
        )


def _without_ignored(repository: Repository, names: Sequence[str]) -> list[str]:
    """The names that git does not ignore."""
    asked = b"".join(os.fsencode(name) + b"\0" for name in names)
    # check-ignore refuses to work with literal pathspecs switched on.
    environment = {k: v for k, v in repository.environment.items() if k != "GIT_LITERAL_PATHSPECS"}
    command = ["check-ignore", "-z", "--stdin"]
    found = git(command, cwd=repository.top, env=environment, stdin=asked, accept=(0, 1)) if asked else b""
    ignored = {os.fsdecode(path) for path in split(found)}
    if ignored:
        say(f"note: git ignores {', '.join(sorted(ignored))}, so they are not committed")
    return [name for name in names if name not in ignored]


def _next(*commands: str) -> None:
    print("next:")
    for command in commands:
        say(f"  {command}")
