"""Names every effect that a process of the plugin has outside itself, and has the process die at a chosen one.

Loaded into the process under test (`install`, or `-p tests.crash.effects` for the workers of `-n`); nothing in the plugin
knows of it. A step is named by the function that wanted the effect, the effect, and what it is done to: `landing._lock_index
link index.lock`. What is only read is no step. Python's audit events tell of everything but writes and flushes; those are
wrapped.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from errno import ENOSPC
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal

import pytest_agenttasks

VARIABLE = "CRASH_PLAN"
PACKAGE = os.path.dirname(pytest_agenttasks.__file__) + os.sep
HELPERS = frozenset(
    {"trees/git", "trees/repository", "trees/shadow", "trees/loose_objects", "trees/removal", "state_file"}
)
"""Modules that do as they are told: a step is named by who told them."""
READING = frozenset(
    [
        *(
            "cat-file",
            "ls-files",
            "ls-tree",
            "rev-parse",
            "diff",
            "diff-tree",
            "diff-index",
            "status",
            "for-each-ref",
        ),
        *(
            "merge-base",
            "config",
            "rev-list",
            "version",
            "check-ignore",
            "check-attr",
            "pack-objects",
            "log",
            "var",
        ),
        *("symbolic-ref", "worktree", "check-ref-format", "hash-object", "--version"),
    ]
)
"""The commands of git that change nothing."""
_FLUSHED = re.compile(r"/project/\.git/(?!index(\.agenttasks-\d+)?$)")
"""Where the runner promises to flush what counts. The index is not: git does not flush it either."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TEMPORARY = getattr(os, "O_TMPFILE", 0)

How = Literal["before", "within", "power", "full", "parent"]


@dataclass(frozen=True)
class Plan:
    """What a process is to do, for whom it is meant, and where it writes down the steps that it passes.

    `step` and `occurrence` (from 1) choose the moment; `how`: die `before` it, `within` it (half of a write, an opened and
    empty file, a git that is killed when a file of it gets longer than `limit` bytes), by a loss of `power` (nothing that was
    not flushed survives, in git's folder), find the disk `full` from there on, or kill its `parent` and go on. `process` is
    `main` or a worker's name.
    """

    log: str
    process: str = "main"
    step: str = ""
    occurrence: int = 1
    how: How = "before"
    limit: int = 0
    home: str = ""

    def text(self) -> str:
        return json.dumps(asdict(self))


def install() -> None:
    """Begin to count, by the plan in the environment; nothing without one."""
    text = os.environ.get(VARIABLE)
    if text:
        _Watch(Plan(**json.loads(text)))


def who_this_is() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


class _Watch:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.process = who_this_is()
        self.log = os.open(plan.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.counts: dict[str, int] = {}
        self.busy = threading.local()
        self.full = False
        self.dying = False
        self.lock = threading.RLock()
        self.unflushed: dict[str, int] = {}
        """What a loss of power takes: files (by path) and how many of their bytes are safe."""
        self.write, self.fsync, self.fdatasync = os.write, os.fsync, os.fdatasync
        os.write = self._write
        os.fsync = self._flushing(self.fsync)
        os.fdatasync = self._flushing(self.fdatasync)
        self.events: dict[str, Any] = {
            "open": self._open,
            "os.rename": self._rename,
            "os.link": self._link,
            "os.remove": lambda path, folder: (
                self._at("unlink", path) if _changes(path, folder, True) else None
            ),
            "os.rmdir": lambda path, folder: (
                self._at("rmdir", path) if _changes(path, folder, True) else None
            ),
            "os.mkdir": lambda path, _, folder: (
                self._at("mkdir", path) if _changes(path, folder, False) else None
            ),
            "os.symlink": lambda _, path, *__: self._at("symlink", path),
            "subprocess.Popen": self._start,
        }
        sys.addaudithook(self._audit)

    def _audit(self, event: str, given: tuple[Any, ...]) -> None:
        seen = self.events.get(event)
        if seen is None or getattr(self.busy, "now", False):
            return
        self.busy.now = True
        try:
            seen(*given)
        finally:
            self.busy.now = False

    def _open(self, path: Any, mode: str | None, flags: int) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.fsdecode(path)
        writing = any(letter in mode for letter in "wax+") if mode else bool(flags & _WRITING)
        if not writing or flags & _TEMPORARY == _TEMPORARY or name.startswith(("/dev/", "/sys/", "/proc/")):
            return
        if os.path.isdir(name) or not os.path.isdir(os.path.dirname(os.path.abspath(name))):
            return
        if mode:
            flags = {"w": os.O_TRUNC | os.O_CREAT, "x": os.O_CREAT | os.O_EXCL, "a": os.O_CREAT}[mode[0]]
            flags |= os.O_WRONLY

        def opened() -> None:
            os.close(os.open(name, flags, 0o600))

        if self._at("open", name, opened):
            kept = os.path.getsize(name) if os.path.exists(name) and not flags & os.O_TRUNC else 0
            self.unflushed.setdefault(os.path.abspath(name), kept)

    def _rename(self, source: Any, target: Any, *_: object) -> None:
        if self._at("rename", target):
            self._moved(source, target)

    def _link(self, source: Any, target: Any, *_: object) -> None:
        if self._at("link", target):
            self._moved(source, target)

    def _moved(self, source: Any, target: Any) -> None:
        """Content that was not flushed gets another name."""
        before, after = (os.path.abspath(os.fsdecode(path)) for path in (source, target))
        if before in self.unflushed:
            self.unflushed[after] = self.unflushed[before]
        else:
            self.unflushed.pop(after, None)

    def _start(self, _: object, argv: Any, *__: object) -> None:
        words = (
            [os.fsdecode(word) for word in argv] if isinstance(argv, list | tuple) else [os.fsdecode(argv)]
        )
        name = Path(words[0]).name
        if name != "git":
            self._at("start", name)
            return
        command = _subcommand(words)
        if command not in READING:
            self._at("git", command, lambda: self._limit())

    def _limit(self) -> None:
        """Have the git that is about to start killed in the middle; this process dies at its next step."""
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.plan.limit, most))
        self.dying = True

    def _write(self, handle: int, data: Any) -> int:
        if getattr(self.busy, "now", False):
            return self.write(handle, data)
        self.busy.now = True
        try:
            path = _path_of(handle)
            if path is None:
                return self.write(handle, data)
            half = bytes(data)[: len(data) // 2]
            if self._at("write", path, lambda: self.write(handle, half)):
                self.unflushed.setdefault(path, os.fstat(handle).st_size)
            return self.write(handle, data)
        finally:
            self.busy.now = False

    def _flushing(self, real: Any) -> Any:
        def flush(handle: int) -> None:
            if getattr(self.busy, "now", False):
                real(handle)
                return
            self.busy.now = True
            try:
                path = _path_of(handle)
                if path is not None and self._at("flush", path):
                    self.unflushed.pop(path, None)
                real(handle)
            finally:
                self.busy.now = False

        return flush

    def _at(self, effect: str, path: Any, within: Any = None) -> bool:
        """Pass one step, or die there; False where it is none of the plugin's."""
        target = os.fsdecode(path)
        wanted = _wanted_by(sys._getframe(2))
        if wanted is None:
            return False
        with self.lock:
            if self.dying:
                os.kill(os.getpid(), signal.SIGKILL)
            name = f"{wanted} {effect} {_kind_of(target)}" if effect != "git" else f"{wanted} git {target}"
            count = self.counts[name] = self.counts.get(name, 0) + 1
            self.write(self.log, f"{self.process}\t{count}\t{name}\n".encode("utf-8", "backslashreplace"))
            plan = self.plan
            if (self.process, name, count) == (plan.process, plan.step, plan.occurrence):
                if plan.how == "full":
                    self.full = True
                else:
                    self._die(within)
            if self.full and effect in ("open", "mkdir", "link", "write", "flush", "symlink", "git"):
                raise OSError(ENOSPC, os.strerror(ENOSPC), target)
        return True

    def _die(self, within: Any) -> None:
        if self.plan.how == "parent":
            os.kill(os.getppid(), signal.SIGKILL)
            return
        if self.plan.how == "within" and within is not None:
            within()
            if self.dying:
                return
        if self.plan.how == "power":
            for file, safe in self.unflushed.items():
                if _FLUSHED.search(file) and os.path.isfile(file) and os.path.getsize(file) > safe:
                    os.truncate(file, safe)
        os.kill(os.getpid(), signal.SIGKILL)


def _changes(path: Any, folder: int, there: bool) -> bool:
    """Whether there is something to be removed, or nothing yet where it is to be made. `folder`: a descriptor, or -1."""
    try:
        os.lstat(path, dir_fd=None if folder == -1 else folder)
    except OSError:
        return not there
    return there


def _path_of(handle: int) -> str | None:
    """The file that is open there; None where it is no file with a name."""
    try:
        name = os.readlink(f"/proc/self/fd/{handle}")
    except OSError:
        return None
    return name if name.startswith("/") and not name.startswith(("/dev/", "/sys/", "/proc/")) else None


def _subcommand(words: list[str]) -> str:
    rest = iter(words[1:])
    for word in rest:
        if word in ("-c", "-C", "--git-dir"):
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return " ".join(words[1:])


def _wanted_by(frame: FrameType | None) -> str | None:
    """The function of the plugin that is at work; with a record of the journal, which."""
    helper = None
    while frame is not None:
        file = frame.f_code.co_filename
        if f"{os.sep}filelock{os.sep}" in file:  # locks end with the process
            return None
        if file.startswith(PACKAGE):
            module = file[len(PACKAGE) :].removesuffix(".py")
            name = f"{module.replace('/', '.')}.{_function(frame.f_code)}"
            if module == "journal" and "record" in frame.f_locals:
                return f"{name}({type(frame.f_locals['record']).__name__})"
            if module not in HELPERS:
                return name
            helper = helper or name
        frame = frame.f_back
    return helper


def _function(code: CodeType) -> str:
    return code.co_qualname.replace(".<locals>", "") if hasattr(code, "co_qualname") else code.co_name


def _kind_of(path: str) -> str:
    """The name of a file without what differs from run to run."""
    if re.search(r"/objects/[0-9a-f]{2}(/|$)", path):
        return "object"
    if path.startswith(tempfile.gettempdir() + os.sep) and "/project" not in path and "/home/" not in path:
        return "temporary"
    name = Path(path).name
    name = re.sub(r"[0-9a-f]{12,}", "#", name)
    return re.sub(r"\d+", "#", name)


if os.environ.get("PYTEST_XDIST_WORKER"):
    install()
