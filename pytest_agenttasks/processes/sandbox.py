"""bubblewrap around a program: what it may write, what it does not see, and whether this machine can do that.

In the sandbox the whole file system is read-only but for the workspace, its TMPDIR and caches, and what belongs
to the agent; `/tmp` and `/dev/shm` are its own; logins and sockets that lead outside look empty (`hidden.py`). It
has process, IPC, host name and user namespaces of its own, no capabilities, and the machine's network. It dies
with whoever started it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..outcome import SetupError
from ..report.printable import one_line

Mode = Literal["auto", "bwrap", "none"]

PROBE_SECONDS = 10.0
"""It takes a hundredth of that; a machine that hangs must not hang the run."""
SMALL_FOLDER = 1024 * 1024 * 1024
"""Bytes in each private folder that lies in memory (`/tmp`, `/var/tmp`, `/dev/shm`): browsers and compilers need some
hundred MB; TMPDIR lies on disk."""
PRIVATE = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - these are what is replaced
"""Other programs keep sockets and files here (tmux, X11, ssh-agent): each sandbox has its own."""

BEGINNING = (
    "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
    "--die-with-parent", "--new-session", "--cap-drop", "ALL",
    "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
)  # fmt: skip
"""Without `--cap-drop ALL` root could still mount. `--new-session`: a signal to the program's session reaches the
program, and not bwrap."""

_SWITCHES = {
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "AppArmor forbids user namespaces: give /usr/bin/bwrap a profile with `userns,`, or "
        "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
    "/proc/sys/kernel/unprivileged_userns_clone": (
        "0",
        "`sysctl kernel.unprivileged_userns_clone=1` allows user namespaces",
    ),
    "/proc/sys/user/max_user_namespaces": (
        "0",
        "`sysctl user.max_user_namespaces=15000` allows user namespaces",
    ),
}
_IN_A_CONTAINER = (
    "in a container, allow user namespaces and a new /proc (docker: --security-opt seccomp=unconfined "
    "--security-opt systempaths=unconfined), or rely on the container and set `sandbox: none`"
)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What was found: `program` is bwrap's path when it works (with its `version`), else None, and `reason` and
    `remedy` say why not. `wanted` is the setting."""

    wanted: Mode
    program: str | None = None
    version: str = ""
    reason: str = ""
    remedy: str = ""

    @property
    def active(self) -> bool:
        return self.program is not None


@dataclass(frozen=True, slots=True)
class View:
    """What one program finds. All paths are real ones (no links), and exist.

    `writable` may be changed, but for what is in `fixed`; `replaced`: (path, what is shown there instead),
    read-only; `copies`: the same, to be written to; `needed` stays visible where it lies in a private folder.
    """

    cwd: Path
    writable: Sequence[Path]
    fixed: Sequence[Path] = ()
    replaced: Sequence[tuple[Path, Path]] = ()
    copies: Sequence[tuple[Path, Path]] = ()
    needed: Sequence[Path] = ()


def wrap(program: str, view: View, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` by `program` (bwrap) with this view."""
    words = [program, *BEGINNING]
    for folder in PRIVATE:
        words += ["--perms", "1777", "--size", str(SMALL_FOLDER), "--tmpfs", folder]
    for root in _roots((*view.needed, *view.writable)):
        words += ["--ro-bind", root, root]
    for path in view.writable:
        words += ["--bind", str(path), str(path)]
    for path in view.fixed:
        words += ["--ro-bind", str(path), str(path)]
    for path, shown in view.copies:
        words += ["--bind", str(shown), str(path)]
    for path, shown in view.replaced:
        words += ["--ro-bind", str(shown), str(path)]
    return [*words, "--chdir", str(view.cwd), "--", *argv]


def _roots(paths: Iterable[Path]) -> list[str]:
    """What has to be shown for `paths` in the private folders: the whole entry that holds each, for links in it
    may lead to its other parts."""
    found: dict[str, None] = {}
    for path in paths:
        for folder in PRIVATE:
            if path.is_relative_to(folder) and path != Path(folder):
                found[str(Path(folder, path.relative_to(folder).parts[0]))] = None
    return list(found)


def find(wanted: Mode) -> Sandbox:
    """Whether a sandbox works here, by running one. Raises SetupError when it was asked for and does not."""
    found = _look(wanted)
    if wanted == "bwrap" and not found.active:
        raise SetupError(
            f"`sandbox: bwrap`, but it does not work here: {found.reason}; {found.remedy}. "
            "`sandbox: auto` goes on without one"
        )
    return found


def _look(wanted: Mode) -> Sandbox:
    if wanted == "none":
        return Sandbox(wanted, reason="`sandbox: none` in the settings", remedy="set `sandbox: auto`")
    if sys.platform != "linux":
        return Sandbox(wanted, reason="bubblewrap is for Linux only", remedy="run in a container or a VM")
    program = shutil.which("bwrap")
    if program is None:
        remedy = "install the package `bubblewrap`"
        return Sandbox(wanted, reason="`bwrap` is not installed", remedy=remedy)
    program = os.path.abspath(program)  # noqa: PTH100 - the name it was found by
    try:
        version = _ask([program, "--version"])
        _ask(wrap(program, View(cwd=Path("/"), writable=()), ["true"]))
    except _Refused as refused:
        return Sandbox(wanted, reason=f"{program}: {refused}", remedy=_remedy(str(refused)))
    return Sandbox(wanted, program, version.removeprefix("bubblewrap").strip())


class _Refused(Exception):
    """bwrap did not do what it was asked for; the text says why."""


def _ask(argv: Sequence[str]) -> str:
    try:
        answer = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            timeout=PROBE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _Refused(f"no answer within {PROBE_SECONDS:.0f} s") from None
    except OSError as error:
        raise _Refused(error.strerror or repr(error)) from error
    text = one_line(answer.stdout.decode("utf-8", "replace"), 300)
    if answer.returncode != 0:
        raise _Refused(text.removeprefix("bwrap: ") or f"exit status {answer.returncode}")
    return text


def _remedy(complaint: str) -> str:
    if re.search(r"(?i)unknown option|usage:", complaint):
        return "update the package `bubblewrap` (0.8 or later)"
    for file, (value, remedy) in _SWITCHES.items():
        try:
            if Path(file).read_text().strip() == value:
                return remedy
        except OSError:
            continue
    return _IN_A_CONTAINER


def describe(found: Sandbox) -> list[str]:
    """What confines the programs of a run, and what that means, a line each."""
    if found.active:
        return [
            f"sandbox: bubblewrap {found.version}: agents and gates write only to their workspace; logins in the home "
            "and docker.sock are hidden; the network is shared",
        ]
    return [
        f"sandbox: none ({found.reason}; to have one: {found.remedy})",
        "  careless agents are contained and most hostile ones detected, but nothing protects your home, the network, "
        "or the runner's own files from a program that runs as you",
    ]
