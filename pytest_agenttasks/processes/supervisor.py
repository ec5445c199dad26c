"""Run one program, hold it to its limits, and end every process it started.

`Supervisor` is the runner's side of a small helper process (`reaper.py`), which outlives a killed runner for
just as long as it takes to end what runs.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from . import orphans
from .caps import OOM_SCORE
from .cgroups import NOTHING, Hit
from .lifeline import SILENCE, TICK, Lifeline, Lost
from .orphans import end_orphans, process_start_time

__all__ = [
    "Finished",
    "StartError",
    "Supervisor",
    "SupervisorLost",
    "Unkillable",
    "end_orphans",
    "process_start_time",
]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    `exit_code` is None when it was killed; `signal` the number that killed it. `stopped` says why the
    runner ended it: `timeout`, `output` (too much of it), `disk` (too little left), or the text that `poll`
    returned. `survivors` are the command names of processes that were still alive when the program itself
    ended, now dead. `hit`: what the limits of its cgroup have stopped.
    """

    exit_code: int | None
    signal: int | None
    seconds: float
    stopped: str | None = None
    survivors: tuple[str, ...] = ()
    hit: Hit = NOTHING

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and self.stopped is None


class StartError(OSError):
    """A program could not be started: `argv0` its name, `reason` why, `errno` as the system gave it."""

    def __init__(self, argv0: str, reason: str, number: int) -> None:
        super().__init__(number, reason)
        self.argv0 = argv0
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot start {self.argv0!r}: {self.reason}"


class SupervisorLost(Exception):
    """The helper process died or went silent; `ended` names what was found and killed, best effort.

    Daemons of the program that had detached themselves may be alive.
    """

    def __init__(self, reason: str, ended: tuple[str, ...]) -> None:
        super().__init__(f"the helper process that supervises programs {reason}")
        self.ended = ended


class Unkillable(Exception):
    """Processes of a program that SIGKILL did not end in time: stuck in the kernel, or another user's."""

    def __init__(self, argv0: str, names: tuple[str, ...], finished: Finished) -> None:
        super().__init__(
            f"{argv0!r} left processes that cannot be killed: {', '.join(names)}. "
            "End them by hand before the next run (look for state D, or another user, in `ps`)"
        )
        self.names = names
        self.finished = finished


class Supervisor:
    """Runs programs, one at a time; starts its helper process when first needed.

    On Linux no process that a program started is alive when `run` returns or raises, whatever it did to
    detach itself; not even when this process is killed. Elsewhere see `orphans.Watch`. What another service
    (docker, systemd, at) started at the program's request is beyond it.
    """

    def __init__(self) -> None:
        self.tick: Callable[[], None] = lambda: None
        """Called about four times a second while a program runs, for clocks that go on in silence."""
        self._lifeline: Lifeline | None = None
        self._busy = threading.Lock()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the helper process ahead of the first `run`, without waiting for it."""
        self._line()

    @property
    def helper(self) -> int:
        """The pid of the helper process; it ends everything when this process is gone."""
        return self._line().process.pid

    def close(self) -> None:
        """End what runs and the helper process; a later `run` starts a new one."""
        self._leave()

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: Path,
        stderr: Path | None = None,
        stdin: Path | None = None,
        timeout: float | None = None,
        max_output: int | None = None,
        poll: Callable[[], str | None] | None = None,
        grace: float = 3.0,
        started: Callable[[int, float], None] | None = None,
        caps: Mapping[str, int] | None = None,
        wrapped: bool = False,
        disk: tuple[Path, int] | None = None,
        doors: Sequence[Path] = (),
    ) -> Finished:
        """Run a program in a session of its own until it ends; then end all that it left behind.

        `env` is its whole environment, and the PATH in it is searched. `stdout` and `stderr` (None: into
        stdout) are emptied or made anew with mode 0600; `stdin` None is empty. After `timeout` seconds, or
        when `poll` (called four times a second) returns a text, its process group gets SIGTERM, and after
        `grace` seconds everything SIGKILL; more than `max_output` bytes in both files: SIGKILL at once, and
        the rest is cut off. `started` gets pid and `process_start_time`. `caps` are limits for it (`caps.LIMITS`).
        `wrapped`: the program is a sandbox whose first process leads a session, and SIGTERM is for that one.
        `disk`: a folder, and how many bytes must stay free there; with fewer everything is killed (`stopped` is `disk`).
        `doors`: files of cgroups that it joins by writing 0 to them, before it runs.

        Raises StartError, SupervisorLost, Unkillable, and whatever `poll` or `started` or a signal handler
        raises, but only after everything has been ended.
        """
        if not argv:
            raise ValueError("no program to run")
        request = {
            "argv": [_text(argv[0], word) for word in argv],
            "cwd": _text(argv[0], cwd.absolute()),
            "env": {_text(argv[0], name): _text(argv[0], value) for name, value in env.items()},
            "stdin": None if stdin is None else _text(argv[0], stdin.absolute()),
            "stdout": _text(argv[0], stdout.absolute()),
            "stderr": None if stderr is None else _text(argv[0], stderr.absolute()),
            "timeout": timeout,
            "max_output": max_output,
            "grace": grace,
            "caps": dict(caps or {}),
            "oom_score": None if caps is None else OOM_SCORE,
            "wrapped": wrapped,
            "disk": None if disk is None else (_text(argv[0], disk[0].absolute()), disk[1]),
            "doors": [_text(argv[0], door) for door in doors],
        }
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this Supervisor is running a program already; use one for each thread")
        program: list[tuple[int, float]] = []
        try:
            line = self._line()
            answer = self._converse(line, request, program, poll, started)
            strays = line.watch.end()
        except Lost as lost:
            raise self._lost(str(lost), program) from lost
        except BaseException as error:
            for note in self._leave():
                error.add_note(note)
            raise
        finally:
            self._busy.release()
        if "refused" in answer:
            step, number, reason = answer["refused"]
            subject = {"cwd": f"its working folder {cwd}: ", "program": ""}.get(step, f"its {step}: ")
            raise StartError(argv[0], subject + reason, number)
        code = answer["code"]
        finished = Finished(
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            seconds=answer["seconds"],
            stopped=answer["stopped"],
            survivors=(*answer["survivors"], *strays),
        )
        if answer["stuck"]:
            raise Unkillable(argv[0], tuple(answer["stuck"]), finished)
        return finished

    def _line(self) -> Lifeline:
        if self._lifeline is not None and self._lifeline.broken:
            self._leave()  # it died while idle: nothing is lost
        if self._lifeline is None:
            self._lifeline = Lifeline()
        return self._lifeline

    def _converse(
        self,
        line: Lifeline,
        request: Mapping[str, object],
        program: list[tuple[int, float]],
        poll: Callable[[], str | None] | None,
        started: Callable[[int, float], None] | None,
    ) -> dict[str, Any]:
        """Have the request carried out; return the last message. Fills in `program`."""
        line.send(request)
        silent = 0
        due = float("inf")  # until the program runs
        while True:
            message = line.receive()
            # In ticks of this process's own, for both may have been suspended for hours.
            silent = silent + 1 if message is None else 0
            if silent > SILENCE:
                raise Lost("went silent")
            match message or {}:
                case {"refused": _} | {"code": _} as answer:
                    return answer
                case {"forked": int(pid), "ticks": ticks}:
                    start = process_start_time(pid) if ticks is None else orphans.from_ticks(ticks)
                    program.append((pid, start or 0.0))
                case {"running": True}:
                    due = 0.0
                    if started is not None:
                        started(*program[0])
            if (now := time.monotonic()) >= due:
                due = now + TICK
                line.watch.look()
                self.tick()
                text = poll() if poll is not None else None
                if text is not None:
                    poll = None
                    line.send({"stop": text})

    def _lost(self, reason: str, program: Sequence[tuple[int, float]]) -> SupervisorLost:
        """End what can be found without the reaper, and the reaper."""
        assert self._lifeline is not None
        process = self._lifeline.process
        ended = orphans.end_all(
            lambda: orphans.descendants(process.pid).union(*(orphans.program(*known) for known in program))
        )
        process.kill()
        notes = self._leave()
        return SupervisorLost("\n".join([f"{reason} (exit status {process.returncode})", *notes]), ended)

    def _leave(self) -> list[str]:
        notes = self._lifeline.leave() if self._lifeline is not None else []
        self._lifeline = None  # only now: if an interrupt cut this short, `close` comes here again
        return notes


def _text(argv0: str, value: str | Path) -> str:
    """The bytes of a text for the system, as latin-1."""
    try:
        data = os.fsencode(value)
    except UnicodeEncodeError as error:
        reason = f"a character that has no bytes in {str(value)!a}"
        raise StartError(argv0, reason, errno.EILSEQ) from error
    if b"\0" in data:
        raise StartError(argv0, f"a NUL character in {value!r}", errno.EINVAL)
    return data.decode("latin-1")
