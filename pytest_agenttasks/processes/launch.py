"""Starting one program in the reaper: its files, its session, and why it did not start.

The reaper imports this, hence nothing but a little of the standard library. Texts from the runner hold bytes
as latin-1.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing alone would cost the reaper a tenth of its start
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

# What a Python or the reaper ignores, and what this one was told to: it would stay ignored in the program.
IGNORED = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT} | {
    number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN
}


class Refused(Exception):
    """The program could not be started. `step` is cgroup, cwd, stdin, stdout, stderr, limits or program."""

    def __init__(self, step: str, error: int, reason: str) -> None:
        super().__init__(step, error, reason)
        self.step, self.errno, self.reason = step, error, reason


def open_files(stdin: str | None, stdout: str, stderr: str | None) -> list[int]:
    """Open the program's files, the outputs emptied; two handles where stderr goes where stdout does."""
    wanted = [("stdin", stdin or os.devnull, os.O_RDONLY)]
    for step, path in (("stdout", stdout), ("stderr", stderr)):
        if path is not None:
            wanted.append((step, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND))
    handles: list[int] = []
    for step, path, flags in wanted:
        try:
            handles.append(_open_file(path.encode("latin-1"), flags))
        except OSError as error:
            close_all(handles)
            raise Refused(*_problem(step, error)) from error
    return handles


def _open_file(path: bytes, flags: int) -> int:
    # A named pipe in the file's place must not block this process.
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    mode = os.fstat(handle).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file")
    os.set_blocking(handle, True)
    return handle


def close_all(handles: Sequence[int]) -> None:
    for handle in handles:
        os.close(handle)


def total_size(outputs: Sequence[int]) -> int:
    """Bytes in all of these files."""
    return sum(os.fstat(handle).st_size for handle in outputs)


def cut(outputs: Sequence[int], limit: int) -> None:
    """Keep `limit` bytes in all, the first ones of each file; a later file's claim goes before."""
    for handle in reversed(outputs):
        size = os.fstat(handle).st_size
        if size > limit:
            os.ftruncate(handle, limit)
        limit -= min(size, limit)


def fork(
    argv: Sequence[str],
    cwd: str,
    env: Mapping[str, str],
    handles: Sequence[int],
    caps: Mapping[str, int],
    oom_score: int | None,
    doors: Sequence[str] = (),
) -> tuple[int, int]:
    """Begin the program in a session of its own; return its pid and what to give to `await_exec`.

    `caps`: name in `resource` → most that this limit may be. `doors`: files of cgroups, to which it writes 0 to join.
    """
    # All that can be done before the fork is: the copy pays for each page that it touches.
    folder = cwd.encode("latin-1")
    words = [text.encode("latin-1") for text in argv]
    variables = {name.encode("latin-1"): value.encode("latin-1") for name, value in env.items()}
    places = [words[0]]
    if b"/" not in words[0]:
        path = variables.get(b"PATH", os.defpath.encode())
        places = [os.path.join(place, words[0]) for place in path.split(b":")]  # noqa: PTH118
    limits = [(getattr(resource, name), most) for name, most in caps.items()]
    files = [door.encode("latin-1") for door in doors]
    report, reporting = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(places, words, folder, variables, handles, reporting, limits, oom_score, files)
    os.close(reporting)
    return pid, report


def await_exec(report: int) -> None:
    """Return as soon as the program runs; raise Refused if it cannot."""
    with os.fdopen(report, "rb") as stream:
        problem = stream.read()
    if problem:
        raise Refused(*json.loads(problem))


def _become(
    places: Sequence[bytes],
    argv: list[bytes],
    cwd: bytes,
    env: Mapping[bytes, bytes],
    handles: Sequence[int],
    report: int,
    limits: Sequence[tuple[int, int]],
    oom_score: int | None,
    doors: Sequence[bytes],
) -> NoReturn:
    step = "program"
    problem: Sequence[str | int] = [step, errno.ENOENT, os.strerror(errno.ENOENT)]
    try:
        step = "cgroup"
        for door in doors:
            _join(door)
        step = "program"
        os.setsid()
        for number in IGNORED:
            signal.signal(number, signal.SIG_DFL)
        for target, handle in enumerate((handles[0], handles[1], handles[-1])):
            os.dup2(handle, target)
        step = "limits"
        for limit, most in limits:
            _limit(limit, most)
        if oom_score is not None:
            _offer_to_the_oom_killer(oom_score)
        step = "cwd"
        os.chdir(cwd)
        step = "program"
        for place in places:
            try:
                os.execve(place, argv, env)  # noqa: S606
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:  # this is the reason, unless a later folder has one that runs
                problem = _problem(step, error)
    except BaseException as error:  # noqa: BLE001  this copy of the reaper must not go on
        problem = _problem(step, error)
    finally:
        os.write(report, json.dumps(problem).encode())
        os._exit(127)


def _limit(number: int, most: int) -> None:
    """Lower one limit to `most`; one that is lower already stays."""
    now = resource.getrlimit(number)
    soft, hard = (most if value == resource.RLIM_INFINITY else min(value, most) for value in now)
    resource.setrlimit(number, (soft, hard))


def _join(door: bytes) -> None:
    handle = os.open(door, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, b"0")  # whoever writes
    finally:
        os.close(handle)


def _offer_to_the_oom_killer(score: int) -> None:
    try:
        handle = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # no Linux
        return
    try:
        if int(os.read(handle, 16)) < score:
            os.pwrite(handle, str(score).encode(), 0)
    finally:
        os.close(handle)


def _problem(step: str, error: BaseException) -> tuple[str, int, str]:
    if isinstance(error, OSError) and error.errno and error.strerror:
        return step, error.errno, error.strerror
    return step, 0, repr(error)
