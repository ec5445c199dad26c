"""Follows a session's stream file while it grows: what to show, and when to end the session."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .claude_stream import Lines, Stream, advance
from .claude_verdict import hopeless
from .contract import Progress
from .ending import Stop

FIRST_BYTE_SECONDS = 120.0
SETTLE_SECONDS = 5.0
SPARE_TURNS = 10
"""Turns beyond its limit until a session is ended here: the CLI counts them itself, and in its own way."""

_CHUNK = 1024 * 1024
_CHUNKS_A_POLL = 32


class Watch:
    """Reads what the CLI has printed since the last look, reports progress, and says when to end it.

    `poll` is what the supervisor calls about four times a second. Times are seconds of `clock`.
    """

    def __init__(
        self,
        stream: Path,
        report: Callable[[Progress], None],
        stall_timeout: float,
        may_stop_retries: bool = True,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_turns: int | None = None,
        repeat_limit: int | None = None,
    ) -> None:
        self.stream = Stream()
        self._path = stream
        self._report = report
        self._stall_timeout = stall_timeout
        self._may_stop_retries = may_stop_retries
        self._clock = clock
        self._max_turns = max_turns
        self._repeat_limit = repeat_limit
        self._file: BinaryIO | None = None
        self._lines = Lines()
        self._started: float | None = None
        self._last_event = 0.0
        self._any_output = False
        self._reported = Progress()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def poll(self) -> str | None:
        """Read what is new; a reason to end the session, or None."""
        now = self._clock()
        if self._started is None:
            self._started = self._last_event = now
        events = self.stream.events
        self._read(_CHUNKS_A_POLL)
        if self.stream.events > events:
            self._last_event = now
        self._tell()
        return self._reason(now - self._started, now - self._last_event)

    def finish(self) -> Stream:
        """Read the rest, once the program has ended; the whole record."""
        self._read(None)
        for line in self._lines.close():
            self.stream = advance(self.stream, line)
        self._tell()
        return self.stream

    def _reason(self, running: float, quiet: float) -> Stop | None:
        if self.stream.result is not None:
            return Stop.SETTLED if quiet > SETTLE_SECONDS else None
        if not self._any_output:
            return Stop.SILENT if running > min(self._stall_timeout, FIRST_BYTE_SECONDS) else None
        retry = self.stream.retry
        if retry is not None and self._may_stop_retries and hopeless(retry, self.stream.turns):
            return Stop.RETRYING
        if self._repeat_limit is not None and self.stream.repeated >= self._repeat_limit:
            return Stop.REPEATING
        if self._max_turns is not None and self.stream.turns > self._max_turns + SPARE_TURNS:
            return Stop.TURNS
        return Stop.STALLED if quiet > self._stall_timeout else None

    def _read(self, chunks: int | None) -> None:
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return
        while chunks is None or chunks > 0:
            data = self._file.read(_CHUNK)
            if not data:
                return
            self._any_output = True
            for line in self._lines.feed(data):
                self.stream = advance(self.stream, line)
            chunks = None if chunks is None else chunks - 1

    def _tell(self) -> None:
        stream = self.stream
        now = Progress(
            step=stream.step, turns=stream.turns or None, cost_usd=stream.cost_usd, session=stream.session
        )
        if now != self._reported:
            self._reported = now
            self._report(now)
