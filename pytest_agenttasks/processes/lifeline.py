"""The runner's line to its reaper: starting that process, talking to it, and taking leave of it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import orphans

REAPER = Path(__file__).with_name("reaper.py")
TICK = 0.25  # seconds; the reaper gives a sign of life as often
SILENCE = 80  # ticks without one after which it counts as lost
_FAREWELL = 15.0  # seconds for it to end everything and itself; its sweep takes 10 at most

_lingering: list[subprocess.Popen[bytes]] = []  # reapers that could not end everything, and still try


class Lost(Exception):
    """The reaper can no longer be talked to; the text says why."""


class Lifeline:
    """One reaper process. It lives until `leave`, or until this process is gone."""

    def __init__(self) -> None:
        _lingering[:] = [process for process in _lingering if process.poll() is None]
        self._line, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = _start(theirs.fileno())
        except BaseException:
            self._line.close()
            raise
        self.watch = orphans.watch(self.process.pid)
        self._partial = b""
        self._inbox: list[dict[str, Any]] = []

    @property
    def broken(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def send(self, message: Mapping[str, object]) -> None:
        """Raises Lost."""
        try:
            self._line.settimeout(SILENCE * TICK)
            self._line.sendall(json.dumps(message).encode() + b"\n")
        except TimeoutError as error:
            raise Lost("does not answer") from error
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Lost("died") from error

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when none came for a tick. Raises Lost."""
        if not self._inbox:
            self._line.settimeout(TICK)
            try:
                data = self._line.recv(1 << 16)
            except TimeoutError:
                return None
            except ConnectionResetError:
                data = b""
            if not data:
                raise Lost("died")
            *lines, self._partial = (self._partial + data).split(b"\n")
            self._inbox.extend(json.loads(line) for line in lines)
        return self._inbox.pop(0) if self._inbox else None

    def leave(self) -> list[str]:
        """Have the reaper end everything and itself; return what it had to say about that.

        May be called again, above all when an interrupt cut it short: the reaper goes on meanwhile.
        """
        with contextlib.suppress(OSError):  # it is gone
            self._line.shutdown(socket.SHUT_WR)  # reaches it even if a forked copy holds the line open
        deadline = time.monotonic() + _FAREWELL
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while (left := deadline - time.monotonic()) > 0:
                self._line.settimeout(left)
                if not self._line.recv(1 << 16):
                    break
        assert self.process.stderr is not None
        complaint = self.process.stderr.read() or b""
        try:
            self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            if complaint:  # it knows, and goes on trying
                _lingering.append(self.process)
            else:
                orphans.end_all(lambda: orphans.descendants(self.process.pid))
                self.process.kill()
                self.process.wait()
        self.process.stderr.close()
        self._line.close()
        self.watch.end()
        return complaint.decode(errors="replace").splitlines()


def _start(line: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", REAPER, str(line), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[line],
        start_new_session=True,
        cwd="/",
        # What its Python may need to load; secrets are none of its business.
        env={name: value for name, value in os.environ.items() if name.startswith(("LD_", "DYLD_"))},
    )
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    return process
