"""The output of runs that are started again and again: an error that stays the same is shown once."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


class ToldOnce:
    """Standard error is kept in a file and passed on; after an error standard output too, until the run has started."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._shown = 0
        self._live = True
        self._error: str | None = None

    @contextmanager
    def opened(self) -> Iterator[tuple[int | None, int]]:
        """Where a run's output and errors are to go, as file descriptors; None: where this process's go."""
        quiet = self._error is not None
        with tempfile.TemporaryFile() as file:
            self._file, self._shown, self._live = file, 0, not quiet
            try:
                yield (file.fileno() if quiet else None), file.fileno()
            finally:
                self._file = None

    def started(self) -> None:
        """This run has got further than the last one."""
        self._live = True
        self._error = None

    def relay(self) -> None:
        """Show what has come, unless it may be what was shown before."""
        if not self._live or self._file is None:
            return
        while data := os.pread(self._file.fileno(), 1 << 16, self._shown):
            self._shown += len(data)
            sys.stderr.flush()
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()

    def ended(self, *, bad: bool, why: str | None) -> None:
        """The run is over. `bad`: it failed by no task; then `why` tells its error, None: what it wrote does."""
        assert self._file is not None
        error = (why or _errors(os.pread(self._file.fileno(), 1 << 20, 0))) if bad else None
        if error is None or error != self._error:
            self._live = True
        self._error = error
        self.relay()


def _errors(output: bytes) -> str:
    lines = output.decode(errors="replace").splitlines()
    found = [line for line in lines if line.startswith(("ERROR", "agenttasks: error", "E  "))]
    return "\n".join(found or lines)
