"""How the programs of a run are started: agents, gates and set-up, all through here, in the sandbox where there is one."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from .agents.own_files import OwnFiles
from .outcome import SetupError
from .processes import caps
from .processes.cgroups import NO_CGROUPS, Cgroups, Group
from .processes.hidden import hidden
from .processes.orphans import end_all
from .processes.sandbox import PROBE_SECONDS, Sandbox, View, wrap
from .processes.supervisor import Finished, StartError, Supervisor, SupervisorLost
from .processes.tool_caches import redirected
from .trees.places import Place, state_folder
from .trees.removal import remove
from .trees.repository import Repository

FATAL = frozenset({4, 5, 6, 7, 8, 9, 11, 13, 15, 24, 25, 31})
"""Signals that end programs. bwrap, like a shell, ends with 128 + N when signal N ended its program; a program that
ends itself with such a status is rare, and one with 129 (git) or 130 is not taken for killed."""

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Programs:
    """Starts programs in places of one repository."""

    supervisor: Supervisor
    sandbox: Sandbox
    repository: Repository
    cgroups: Cgroups = NO_CGROUPS

    def run(
        self,
        where: Place,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdout: Path,
        cwd: Path | None = None,
        stderr: Path | None = None,
        stdin: Path | None = None,
        timeout: float | None = None,
        max_output: int | None = None,
        poll: Callable[[], str | None] | None = None,
        started: Callable[[int, float], None] | None = None,
        own: OwnFiles | None = None,
    ) -> Finished:
        """`Supervisor.run` in this place (`cwd`: a folder in it), with `own` for an agent.

        Raises as that does; StartError also when the sandbox could not be made, OSError (ENOSPC) when the disk ran full.
        """
        folder = cwd or where.path
        words, variables = argv, env
        if self.sandbox.program is not None:
            words, variables = self._wrapped(
                self.sandbox.program, where, folder, argv, env, own or OwnFiles()
            )
        links = {path: path.readlink() for path in (own.fixed if own else ()) if path.is_symlink()}
        try:
            with self._group(words[0]) as group:
                finished = self.supervisor.run(
                    words, cwd=folder, env=variables, stdout=stdout, stderr=stderr, stdin=stdin, timeout=timeout,
                    max_output=max_output, poll=poll, started=started, caps=caps.LIMITS, wrapped=self.sandbox.active,
                    disk=(where.root, caps.LEAST_FREE), doors=group.doors,
                )  # fmt: skip
                finished = replace(finished, hit=group.hit())
        except SupervisorLost:
            self.end_left(where)
            raise
        finally:
            _restore(links)
        if finished.stopped == "disk":
            least = f"{caps.LEAST_FREE // 1024 // 1024} MB"
            raise OSError(
                errno.ENOSPC,
                f"less than {least} free; a program was ended before it took all",
                str(where.root),
            )
        if self.sandbox.active:
            said = _why_unmade(finished, stderr or stdout)
            if said is not None and not self._can_begin(where, folder, env, own or OwnFiles()):
                raise StartError("bwrap", f"the sandbox could not be made: {said}", errno.EPERM)
            return _unwrapped(finished)
        return finished

    @contextmanager
    def _group(self, argv0: str) -> Iterator[Group]:
        """The program's own cgroup. Raises StartError."""
        with ExitStack() as stack:
            try:
                group = stack.enter_context(self.cgroups.group())
            except OSError as error:
                reason = f"its cgroup cannot be made: {error.filename}: {error.strerror}"
                raise StartError(argv0, reason, error.errno or errno.EIO) from error
            yield group

    def _can_begin(self, where: Place, cwd: Path, env: Mapping[str, str], own: OwnFiles) -> bool:
        """Whether the same sandbox starts a program that prints nothing: then it was the last one that spoke like bwrap."""
        assert self.sandbox.program is not None
        words, variables = self._wrapped(self.sandbox.program, where, cwd, ["true"], env, own)
        log = where.root / "trial.log"
        return self.supervisor.run(words, cwd=cwd, env=variables, stdout=log, timeout=PROBE_SECONDS).ok

    def end_left(self, where: Place) -> tuple[str, ...]:
        """End sandboxes in this place that nobody supervises; return their names. bwrap's inner process asks to die with
        the outer one only after it was forked: whoever kills that one just then leaves it behind."""
        mark = os.path.realpath(where.tmp)

        def left() -> set[psutil.Process]:
            found = (
                (process, process.info["cmdline"] or [""]) for process in psutil.process_iter(["cmdline"])
            )
            return {process for process, words in found if words[0] == self.sandbox.program and mark in words}

        return end_all(left) if self.sandbox.active else ()

    def _wrapped(
        self,
        program: str,
        where: Place,
        cwd: Path,
        argv: Sequence[str],
        env: Mapping[str, str],
        own: OwnFiles,
    ) -> tuple[list[str], Mapping[str, str]]:
        path = env.get("PATH", os.defpath)
        found = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=path)
        if found is None:
            raise StartError(argv[0], os.strerror(errno.ENOENT), errno.ENOENT)
        home = home_of(env)
        # Folders below the place's root, which no program in the sandbox can replace by a link.
        caches, homes, covers = (where.root / name for name in ("caches", "homes", "covers"))
        remove(homes)
        for made in (caches, homes):
            made.mkdir(exist_ok=True)
        variables = {**env, **redirected(caches, homes, home, env, os.environ)}
        writable = _real((where.path, where.tmp, caches, homes, *own.writable))
        self._refuse_too_much(_real(own.writable))
        copies = [_copy(path, where.tmp) for path in _real((*own.copied, *own.emptied))]
        named = (Path(word) for word in (found, *argv[1:]) if word.startswith("/") and os.path.lexists(word))
        view = View(
            cwd=cwd,
            writable=writable,
            fixed=_real(own.fixed),
            replaced=tuple(hidden(home, covers, writable)),
            copies=copies,
            needed=_real(
                (
                    *(self.repository.top, self.repository.common_dir, where.root, PACKAGE),
                    *(
                        Path(folder)
                        for folder in (sys.prefix, sys.base_prefix, *path.split(os.pathsep))
                        if folder
                    ),
                    *([home] if home is not None else []),
                    *named,
                )
            ),
        )
        return wrap(program, view, [found, *argv[1:]]), variables

    def _refuse_too_much(self, paths: Sequence[Path]) -> None:
        own = (self.repository.top, self.repository.common_dir, state_folder(self.repository))
        for path in paths:
            for ours in own:
                if ours.is_relative_to(path) or path.is_relative_to(ours):
                    raise SetupError(
                        f"`agent.writable`: {path} would let agents write to {ours}, which only the runner may change"
                    )


def home_of(variables: Mapping[str, str]) -> Path | None:
    """The user's home as its real path; None where it is no folder of its own."""
    home = Path(os.path.realpath(variables.get("HOME") or Path("~").expanduser()))
    return home if home.is_dir() and home != Path("/") else None


def _real(paths: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(Path(os.path.realpath(path)) for path in paths if path.exists()))


def _copy(path: Path, folder: Path) -> tuple[Path, Path]:
    """A file as it is now, or an empty folder in the place of one; for one session, as `folder` is emptied after it."""
    copy = Path(tempfile.mkdtemp(prefix=".own-", dir=folder))
    if path.is_file():
        copy /= path.name
        shutil.copyfile(path, copy)
        copy.chmod(0o600)
    return path, copy


def _restore(links: Mapping[Path, Path]) -> None:
    """Put back links whose targets were read-only: in a writable folder a link itself cannot be."""
    for path, target in links.items():
        if not path.is_symlink() or path.readlink() != target:
            remove(path)
            path.symlink_to(target)


def _why_unmade(finished: Finished, log: Path) -> str | None:
    """What bwrap says when it ends before the program began: a line, with status 1. A program may say the like."""
    if (
        finished.exit_code != 1
        or finished.stopped is not None
        or not log.exists()
        or log.stat().st_size > 4096
    ):
        return None
    said = log.read_bytes()
    if said.startswith(b"bwrap: ") and said.count(b"\n") == 1:
        return said.decode("utf-8", "replace").removeprefix("bwrap: ").strip()
    return None


def _unwrapped(finished: Finished) -> Finished:
    """What became of the program, out of what became of bwrap."""
    code = finished.exit_code
    survivors = tuple(name for name in finished.survivors if name != "bwrap")
    if code is not None and code - 128 in FATAL:
        return replace(finished, exit_code=None, signal=code - 128, survivors=survivors)
    if finished.stopped is not None and finished.exit_code is not None and code == 128 + signal.SIGTERM:
        return replace(finished, exit_code=None, signal=int(signal.SIGTERM), survivors=survivors)
    return replace(finished, survivors=survivors)
