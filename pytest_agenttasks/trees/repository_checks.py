"""What makes a repository unusable for a run. Each refusal names the command that mends it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from ..outcome import SetupError
from .changes import GITLINK_MODE, shown
from .git import split
from .repository import Repository

_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply/applying": "am",
    "rebase-apply": "rebase",
}
"""Files and folders in the git folder by which git knows that an operation goes on."""

_FILTER_COMMAND = re.compile(r"filter\..*\.(clean|smudge|process)")


def refuse_unusable(repository: Repository) -> None:
    """Raise SetupError for a checkout that no run may start from."""
    for checks in CHECKS.values():
        for check in checks:
            check(repository)


def _refuse_default_branch(repository: Repository) -> None:
    branch = working_branch(repository)
    repository.tip()
    short = branch.removeprefix("refs/heads/")
    if short in default_branches(repository):
        raise SetupError(
            f"{repository.top}: nothing lands on the default branch `{short}`; run `agenttasks init` (a worktree on a "
            "branch of its own), or `git switch -c agents/queue`"
        )


def _refuse_nobody(repository: Repository) -> None:
    if repository.identity is None:
        raise SetupError(
            f"{repository.top}: git does not know who commits; run `git config user.name 'Your Name'` and "
            "`git config user.email you@example.org`"
        )


def working_branch(repository: Repository) -> str:
    """The branch to land on, as a full ref name. Raises SetupError when there is none or git is busy with it."""
    if operation := unfinished(repository):
        raise SetupError(
            f"{repository.top}: git is in the middle of a {operation}; finish it, or give it up with "
            f"`git {operation} --abort`"
        )
    branch = repository.branch()
    if branch is None:
        raise SetupError(
            f"{repository.top}: HEAD is detached; check out a branch first: `git switch -c agents/queue`"
        )
    return branch


def unfinished(repository: Repository) -> str | None:
    """The operation that git is in the middle of in this checkout."""
    going_on = (operation for name, operation in _UNFINISHED.items() if (repository.git_dir / name).exists())
    return next(going_on, None)


def refuse_dirty(repository: Repository, queue: str | None) -> None:
    """Raise SetupError when tracked files (apart from those of the folder `queue`) have uncommitted changes."""
    changed = []
    for entry in split(
        repository.git("status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames")
    ):
        path = shown(entry[3:])
        if queue is None or not path.startswith(f"{queue}/"):
            changed.append(path)
    if changed:
        more = f" and {len(changed) - 10} more" if len(changed) > 10 else ""
        raise SetupError(
            f"{repository.top}: uncommitted changes in {', '.join(changed[:10])}{more}; commit them, or put them away with "
            "`git stash` (agents start from the last commit, so they would not see them)"
        )


def default_branches(repository: Repository) -> set[str]:
    """The short names of branches that nothing lands on: main, master and each remote's default."""
    names = {"main", "master"}
    listed = repository.line("for-each-ref", "--format=%(refname) %(symref)", "refs/remotes/")
    for line in listed.splitlines():
        name, _, target = line.partition(" ")
        if name.endswith("/HEAD") and target:
            names.add(target.removeprefix(name.removesuffix("HEAD")))
    return names


def _refuse_second_checkout(repository: Repository) -> None:
    branch = working_branch(repository)
    where = [worktree["worktree"] for worktree in _worktrees(repository) if worktree.get("branch") == branch]
    if len(where) > 1:
        other = next(place for place in where if place != str(repository.top))
        short = branch.removeprefix("refs/heads/")
        raise SetupError(
            f"{repository.top}: the branch `{short}` is checked out twice ({', '.join(where)}); a "
            f"landing would leave the other checkout behind: `git -C {shlex.quote(other)} switch --detach`, or "
            f"`git worktree remove {shlex.quote(other)}`"
        )


def _worktrees(repository: Repository) -> Iterator[dict[str, str]]:
    """What git knows of each worktree whose folder is still there."""
    current: dict[str, str] = {}
    for field in repository.git("worktree", "list", "--porcelain", "-z").split(b"\0"):
        key, _, value = field.decode("utf-8", "surrogateescape").partition(" ")
        if key:
            current[key] = value
        elif current:
            if "prunable" not in current:
                yield current
            current = {}


def _refuse_sparse(repository: Repository) -> None:
    if repository.git("config", "--bool", "core.sparseCheckout", accept=(0, 1)).strip() == b"true":
        raise SetupError(
            f"{repository.top}: sparse checkouts are not supported; run `git sparse-checkout disable`"
        )


def _refuse_partial(repository: Repository) -> None:
    """Refuse a clone that has to fetch files of the last commit first; files of older ones may be missing."""
    tip = repository.tip()
    if not repository.git("config", "--get-regexp", r"^remote\..*\.promisor$", accept=(0, 1)):
        return
    listed = repository.git("rev-list", "--objects", "--missing=print", "--no-walk", tip, accept=(0, 128))
    if any(line.startswith(b"?") for line in listed.splitlines()):
        raise SetupError(
            f"{repository.top}: a partial clone that lacks files of the last commit; fetch them first: "
            "`git fetch --refetch --no-filter` (or clone again without --filter)"
        )


def _refuse_odd_content(repository: Repository) -> None:
    tip = repository.tip()
    modules, attributes = [], []
    for entry in split(repository.git("ls-tree", "-r", "-z", tip)):
        head, _, path = entry.partition(b"\t")
        if head.startswith(GITLINK_MODE.encode()):
            modules.append(shown(path))
        elif path == b".gitattributes" or path.endswith(b"/.gitattributes"):
            attributes.append(head.split()[2].decode())
    if modules:
        raise SetupError(
            f"{repository.top}: submodules are not supported ({', '.join(modules[:5])}); run the queue inside the "
            "submodule's own repository, or on a branch without it"
        )
    for blob in attributes:
        if b"filter=lfs" in repository.git("cat-file", "blob", blob):
            raise SetupError(
                f"{repository.top}: Git LFS is not supported (`filter=lfs` in .gitattributes); run the queue on a branch "
                "without LFS files"
            )


def _refuse_own_filters(repository: Repository) -> None:
    """Refuse a filter that git would run from a workspace, where an agent can change it."""
    for key, command in repository.settings.items():
        for word in re.findall(r"[^\s'\"=;|&()<>]+", command) if _FILTER_COMMAND.fullmatch(key) else ():
            # Without a slash or a dot it is a program on PATH, or an option.
            if (
                not PurePosixPath(word).is_absolute()
                and re.search(r"[/.]", word)
                and (repository.top / word).is_file()
            ):
                fixed = command.replace(word, str(repository.top / word))
                raise SetupError(
                    f"{repository.top}: {key} runs {word} of the checkout that it is used in, also in a workspace, where an "
                    f"agent could change it; give its place: `git config {shlex.quote(key)} {shlex.quote(fixed)}`"
                )


CHECKS: Mapping[str, tuple[Callable[[Repository], None], ...]] = {
    "branch": (_refuse_default_branch,),
    "worktrees": (_refuse_second_checkout,),
    "identity": (_refuse_nobody,),
    "content": (_refuse_sparse, _refuse_partial, _refuse_odd_content, _refuse_own_filters),
}
"""What is looked at in a checkout, in this order; each raises SetupError."""
