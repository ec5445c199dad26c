"""Attempts as refs of the private repository: each is stored once, out of the user's sight."""

from __future__ import annotations

import os

from .git import GitError
from .shadow import Shadow


def keep(shadow: Shadow, ref: str, object_id: str) -> None:
    """Store an attempt under a ref that must not exist yet; on disk when this returns. Raises GitError when it does.

    Without a process: the content is written beside, under a name that git passes over, and linked into place.
    """
    file = shadow.git_dir / ref
    if (shadow.git_dir / "packed-refs").exists():  # somebody has packed them, and only git reads those
        shadow.git("update-ref", ref, object_id, "0" * len(object_id))
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.with_name(f"{file.name}.{os.getpid()}.lock")
    lock.unlink(missing_ok=True)  # of a killed process that had this number
    try:
        with lock.open("x") as stream:
            stream.write(f"{object_id}\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(lock, file)
    except FileExistsError as error:
        raise GitError(("update-ref", ref), 128, f"{file} exists already") from error
    finally:
        lock.unlink(missing_ok=True)


def attempts(shadow: Shadow) -> dict[str, int]:
    """The highest number stored for each task."""
    highest: dict[str, int] = {}
    for name in shadow.line("for-each-ref", "--format=%(refname)", "refs/attempts/").splitlines():
        task, _, number = name.removeprefix("refs/attempts/").rpartition("/")
        highest[task] = max(highest.get(task, 0), int(number))
    return highest


def kept(shadow: Shadow, ref: str) -> str | None:
    """The object that an attempt's ref holds."""
    try:
        return shadow.line("rev-parse", "-q", "--verify", ref)
    except GitError as error:
        if error.status == 1:
            return None
        raise
