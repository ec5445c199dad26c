"""Running programs in a folder of their own, and seeing which of their processes are alive."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_agenttasks.processes.supervisor import Finished, Supervisor

PATH = os.environ["PATH"]


class Runner:
    """A supervisor whose programs run in `folder` and write to its file `out`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.supervisor = Supervisor()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.close()
        end(self.folder)

    def __call__(self, *argv: str, **options: Any) -> Finished:
        given: dict[str, Any] = {"cwd": self.folder, "env": {"PATH": PATH}, "timeout": 60.0}
        return self.supervisor.run(argv, **(given | {"stdout": self.folder / "out"} | options))

    @property
    def reaper(self) -> int:
        """The pid of the helper process."""
        assert self.supervisor._lifeline is not None
        return self.supervisor._lifeline.process.pid

    def living(self) -> list[int]:
        return living(self.folder)


def living(folder: Path) -> list[int]:
    """Processes that run in `folder`, but for zombies and this one."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if os.readlink(f"/proc/{name}/cwd") == os.fspath(folder):
                    found.append(int(name))
    return found


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def end(folder: Path) -> None:
    """Kill what a failed test left in its folder."""
    for pid in living(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def raising(error: BaseException) -> Callable[..., None]:
    """A callback that fails with this."""

    def fail(*_: object) -> None:
        raise error

    return fail
