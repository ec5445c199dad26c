"""The machine stays awake while a run goes on: it may dim its screen, it may not go to sleep.

`systemd-inhibit` on Linux, `caffeinate` on macOS, where they are there. Each holds on for as long as a program does that
ends by itself when this process is gone, however it went: there is nothing to be cleaned up after a kill.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from shutil import which

from .report.printable import one_line

NOBODY = "Failed to connect to bus"
"""What it says in a container, or where another program has started the machine: nobody there sends it to sleep."""
FAREWELL = 2.0
"""Seconds for the program to end once it is told."""


@contextmanager
def kept_awake(wanted: bool, say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Hold the machine awake. What is yielded may be called at any time, to `say`, once, that it cannot be.

    Asking costs a few milliseconds; the answer may take longer than the checks of a start, so it is looked at then and
    at the end.
    """
    argv = _command() if wanted else None
    process = _start(argv) if argv is not None else None
    if argv is None or process is None:
        yield lambda: None
        return
    told = False

    def look() -> None:
        nonlocal told
        if not told and process.poll() is not None:
            told = True
            why = _why(argv[0], process)
            if NOBODY not in why:
                say(f"the machine may go to sleep: {why} (`keep_awake: false` asks for nothing)")

    try:
        yield look
        look()
    finally:
        _end(process)


def _command() -> Sequence[str] | None:
    """What holds the machine awake until its standard input is closed, or this process is gone; None: nothing is there."""
    if sys.platform == "darwin":
        return ["caffeinate", "-i", "-s", "-w", str(os.getpid())] if which("caffeinate") else None
    if which("systemd-inhibit") is None:
        return None
    # `cat` ends with the pipe from this process.
    why = ("--who=agenttasks", "--why=agents are at work", "--mode=block")
    return ["systemd-inhibit", "--what=idle:sleep", *why, "cat"]


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes] | None:
    """In a session of its own: a Ctrl-C is not meant for it, and without a terminal it asks nobody for a password."""
    with suppress(OSError):
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    return None


def _why(name: str, process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    said = one_line(process.stderr.read(4096).decode("utf-8", "replace"))
    return f"{name}: {said or f'ended with status {process.returncode}'}"


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    if sys.platform == "darwin":
        process.terminate()
    try:
        process.wait(FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
