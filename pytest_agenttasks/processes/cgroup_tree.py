"""Where on this machine a run may make cgroups of its own: in the one it runs in, if that can be written to.

Linux has two versions, also side by side, each controller in one of them. In version 1 a cgroup may hold both
processes and other cgroups; in version 2 (below the machine's root) one that hands on memory or pids holds no
process: there the runner moves itself into a leaf, and where others' processes are in its cgroup too it does not
begin. Nothing above the runner's own cgroup is touched. Facts: the kernel's `admin-guide/cgroup-v1`, `-v2`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

Controllers = Mapping[str, str]
"""Controller → path of the own cgroup in its hierarchy; "" is version 2."""

LEAF = "agenttasks-runner-"
"""With the runner's pid the name of the leaf that it moved itself to."""

WITH_SYSTEMD = (
    "start the run by `systemd-run --scope -p Delegate=yes …` (with `--user` where you are not root), with nothing else "
    "in that scope"
)
WITHOUT_SYSTEMD = (
    "have a cgroup of this run's own delegated to your user, or mounted writable in the container"
)


@dataclass(frozen=True, slots=True)
class Parent:
    """A folder in which cgroups with one controller can be made; `unified`: of version 2."""

    folder: Path
    unified: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """Where cgroups for memory and for the number of processes can be made; `reason` says why one cannot."""

    memory: Parent | None
    processes: Parent | None
    reason: str = ""


class Unavailable(Exception):
    """No cgroup can be made; the text says why."""


def look(proc: Path = Path("/proc")) -> Tree:
    """Find the two places. In version 2 this may move the runner into a leaf of its cgroup (see above)."""
    found: dict[str, Parent] = {}
    reasons: list[str] = []
    try:
        own = _own(_read(proc / "self/cgroup"))
        mounts = _mounts(_read(proc / "self/mountinfo"))
    except OSError as error:
        return Tree(None, None, f"no cgroups: {error.strerror}")
    for controller in ("memory", "pids"):
        try:
            found[controller] = _parent(controller, own, mounts)
        except Unavailable as why:
            reasons.append(str(why))
        except OSError as error:
            reasons.append(f"{error.filename}: {error.strerror}")
    return Tree(found.get("memory"), found.get("pids"), "; ".join(dict.fromkeys(reasons)))


def remedy() -> str:
    """How to have a cgroup where there is none."""
    return WITH_SYSTEMD if Path("/run/systemd/system").is_dir() else WITHOUT_SYSTEMD


@dataclass(frozen=True, slots=True)
class _Mount:
    """`root` is the cgroup that is shown at `at`; `options` of version 1 name its controllers."""

    kind: str
    root: str
    at: Path
    options: frozenset[str]


def _own(text: str) -> Controllers:
    lines = (line.split(":", 2) for line in text.splitlines())
    return {name: path for _, names, path in lines for name in names.split(",")}


def _mounts(text: str) -> list[_Mount]:
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if kinds and kinds[0] in ("cgroup", "cgroup2"):
            at = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), fields[4])
            found.append(_Mount(kinds[0], fields[3], Path(at), frozenset(kinds[-1].split(","))))
    return found


def _parent(controller: str, own: Controllers, mounts: list[_Mount]) -> Parent:
    unified = controller not in own
    if unified and "" not in own:
        raise Unavailable(f"the kernel has no cgroups for {controller}")
    path = own["" if unified else controller]
    for mount in mounts:
        right = mount.kind == "cgroup2" if unified else controller in mount.options
        shown = PurePosixPath(path).is_relative_to(mount.root) and ".." not in path.split("/")
        if right and shown:
            folder = mount.at / PurePosixPath(path).relative_to(mount.root)
            return _unified(controller, folder) if unified else _separate(controller, folder)
    raise Unavailable(f"the own cgroup for {controller} is not mounted")


def _separate(controller: str, folder: Path) -> Parent:
    """In version 1."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Unavailable(f"{folder} cannot be written to")
    # Else what is made in it would escape the limits that are set above it.
    if controller == "memory" and _read(folder / "memory.use_hierarchy").strip() != "1":
        raise Unavailable(f"{folder} does not limit what lies below it (memory.use_hierarchy)")
    return Parent(folder, unified=False)


def _unified(controller: str, folder: Path) -> Parent:
    """In version 2."""
    if folder.name.startswith(LEAF):
        folder = folder.parent
    if controller not in _read(folder / "cgroup.controllers").split():
        raise Unavailable(f"{folder} has no controller for {controller}")
    switch = folder / "cgroup.subtree_control"
    if not all(os.access(place, os.W_OK) for place in (folder, folder / "cgroup.procs", switch)):
        raise Unavailable(f"{folder} is not delegated to this user")
    handed_on = controller in _read(switch).split()
    if not (folder / "cgroup.type").exists():  # the machine's root, which may hold processes
        if not handed_on:  # and whose switches are the administrator's
            raise Unavailable(f"{folder} is the machine's root, and does not hand on {controller}")
        return Parent(folder, unified=True)
    _move_to_a_leaf(folder)
    if not handed_on:
        write(switch, f"+{controller}")
    return Parent(folder, unified=True)


def _move_to_a_leaf(folder: Path) -> None:
    """Move this process and its descendants out of the way, where they are the only ones."""
    leaf = folder / f"{LEAF}{os.getpid()}"
    while inside := {int(line) for line in _read(folder / "cgroup.procs").split()}:
        ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
        if inside - ours:
            raise Unavailable(f"{folder} holds other processes too")
        leaf.mkdir(exist_ok=True)
        for pid in inside:
            try:
                write(leaf / "cgroup.procs", str(pid))
            except ProcessLookupError:  # it has ended
                continue


def _read(file: Path) -> str:
    return file.read_text("utf-8", "surrogateescape")


def write(file: Path, text: str) -> None:
    """Write to a file of the kernel's: it is never made, and each write is a request."""
    handle = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    except OSError as error:
        error.filename = str(file)
        raise
    finally:
        os.close(handle)
