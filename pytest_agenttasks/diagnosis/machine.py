"""The machine: git, the operating system's part in ending processes, room on the disk."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..processes import lineage
from ..room import LOW_DISK
from ..trees import git
from .finding import Finding, fail, ok, warn

FILES_NEEDED = 1024
"""Open files: what a test suite on top of the runner gets along with."""
_GET_CHILD_SUBREAPER = 37
_MB = 1024 * 1024


def git_version() -> Finding:
    found, needed = git.version(), ".".join(map(str, git.MINIMUM))
    if found == (0,):
        return fail("git", "not on the PATH", f"install git {needed} or newer")
    text = ".".join(map(str, found))
    return (
        ok("git", text)
        if found >= git.MINIMUM
        else fail("git", f"{text} is too old", f"install {needed} or newer")
    )


def system() -> Finding:
    """Whether everything that a session starts can be ended, and whether its programs may open enough files."""
    name = f"{platform.system()} {platform.release()}"
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files not in (resource.RLIM_INFINITY, -1) and files < FILES_NEEDED:
        remedy = f"`ulimit -n {FILES_NEEDED}` in the shell that starts the run"
        return warn("system", f"{name}: only {files} files may be open at once (at most {most})", remedy)
    if not lineage.LINUX:
        return ok("system", f"{name}: a process that detaches itself at once may outlive its session")
    if not _adopts_orphans():
        return fail(
            "system",
            f"{name}: this kernel or container does not let a process adopt its orphans (child subreaper)",
            "run outside that container, or allow prctl in its seccomp profile",
        )
    return ok("system", f"{name}: whatever a session starts is ended with it")


def _adopts_orphans() -> bool:
    answer = ctypes.c_int()
    status: int = ctypes.CDLL(None).prctl(_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return status == 0


def disk(
    folders: tuple[Path, Path], size: int, files: int, workers: int, bare: tuple[int, int] = (0, 0)
) -> Iterator[Finding]:
    """Room for `workers` agents and as many clean checkouts of `size` bytes and `files` files each.

    `bare`: bytes and files that each worker needs besides, for reviews and services.
    `folders`: where workspaces lie, and where the journal and the attempts do.
    """
    workspaces, records = folders
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            yield fail(
                "disk", f"{folder}: cannot be made: {error.strerror}", "set XDG_STATE_HOME to another place"
            )
            return
        flags = os.statvfs(folder).f_flag
        if flags & os.ST_RDONLY:
            yield fail(
                "disk", f"{folder} is read-only", "mount it writable, or set XDG_STATE_HOME to another place"
            )
            return
    if os.statvfs(workspaces).f_flag & getattr(os, "ST_NOEXEC", 0):
        yield fail(
            "disk",
            f"{workspaces}: no program in it can be started (mounted noexec), so installed dependencies would not run",
            "set XDG_STATE_HOME to a folder on another file system",
        )
    needed = workers * (2 * size + bare[0]) + LOW_DISK
    wanted = workers * (2 * files + bare[1])
    free = shutil.disk_usage(workspaces).free
    share = f"{2 * workers} workspaces of {_megabytes(size)} ({workers} at once, each with a clean checkout for gates)"
    if bare[0]:
        share += f" and {_megabytes(workers * bare[0])} for reviews and services"
    if free < needed:
        remedy = "make room, set XDG_STATE_HOME to a folder on a larger disk, or run fewer at once (-n)"
        yield fail(
            "disk", f"{workspaces}: {_megabytes(free)} free, {_megabytes(needed)} needed for {share}", remedy
        )
    else:
        yield ok("disk", f"{_megabytes(free)} free for {share}")
    inodes = os.statvfs(workspaces)
    if inodes.f_files and inodes.f_favail < wanted:
        yield fail(
            "disk",
            f"{workspaces}: room for {inodes.f_favail:,} more files, {wanted:,} needed for {share}",
            "delete what is not needed there, or set XDG_STATE_HOME to a folder on another file system",
        )
    if shutil.disk_usage(records).free < LOW_DISK:
        yield fail(
            "disk",
            f"{records}: only {_megabytes(shutil.disk_usage(records).free)} free",
            "make room before a run",
        )


def _megabytes(size: int) -> str:
    return f"{size / _MB:,.0f} MB" if size >= _MB else "less than 1 MB"
