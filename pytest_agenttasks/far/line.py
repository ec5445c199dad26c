"""Over there: this process's end of the connection. Whoever is at the other end decides; without it nothing goes on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..agents.contract import Progress
from . import messages
from .logs import is_log
from .messages import Message, message
from .packs import PIECE

REFRESH = 0.5
"""Seconds between two looks at what is to be told of a session."""


class Line:
    """Takes requests in and tells of what goes on. Only `tick`, in the main thread, ends anything."""

    def __init__(self, channel: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._clock = clock
        self._requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._heard = clock()
        self._lost = False
        self._stop = False
        self._sending = threading.Lock()
        self._over = threading.Event()
        self.logs: Logs | None = None
        self._due = 0.0
        self._step: Progress | None = None
        channel.setcallback(self._hear, endmarker=None)
        threading.Thread(target=self._beat, name="agenttasks-beat", daemon=True).start()

    @property
    def lost(self) -> bool:
        return self._lost or self._clock() - self._heard > messages.SILENCE

    def close(self) -> None:
        self._over.set()

    def _hear(self, heard: Message | None) -> None:
        """In a thread of execnet's."""
        self._heard = self._clock()
        if heard is None:
            self._lost = True
            self._requests.put(None)
        elif heard[0] == messages.STOP:
            self._stop = True
        elif heard[0] != messages.BEAT:
            self._requests.put(heard)

    def _beat(self) -> None:
        while not self._over.wait(messages.BEAT_SECONDS):
            self.send(messages.BEAT)

    def requests(self) -> Iterator[Message]:
        """Until nobody asks any more."""
        while not self.lost:
            try:
                request = self._requests.get(timeout=messages.BEAT_SECONDS)
            except queue.Empty:
                continue
            if request is None:
                return
            self._stop = False
            yield request

    def pieces(self) -> Iterator[bytes]:
        """The pack that comes with a request, up to its empty piece. Raises KeyboardInterrupt where that stays away."""
        while True:
            try:
                piece = self._requests.get(timeout=messages.BEAT_SECONDS)
            except queue.Empty:
                self.tick()
                continue
            if piece is None or piece[0] != messages.PACK:
                raise KeyboardInterrupt("the connection is gone")
            if not piece[2]:
                return
            yield piece[2]

    def send(self, name: str, document: object = None, data: bytes = b"") -> None:
        """Does nothing where nobody hears it."""
        try:
            with self._sending:
                self._channel.send(message(name, document, data))
        except OSError:
            self._lost = True

    def progress(self, _task: str, now: Progress) -> None:
        self._step = now

    def tick(self) -> None:
        """Raises KeyboardInterrupt where what goes on is to end."""
        if self._stop:
            raise KeyboardInterrupt("stopped from the other side")
        if self.lost:
            raise KeyboardInterrupt("the connection is gone")
        if self._clock() >= self._due:
            self._due = self._clock() + REFRESH
            self.tell()

    def tell(self) -> None:
        """Send what is new of the session's step and logs."""
        if self._step is not None:
            self.send(messages.STEP, self._step)
            self._step = None
        if self.logs is not None:
            self.logs.send(self)

    @contextmanager
    def telling(self, logs: Logs) -> Iterator[None]:
        self.logs = logs
        try:
            yield
        finally:
            self.tell()
            self.logs = None


class Logs:
    """What is new in the log files of one attempt, since the last look."""

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder = folder
        self._stem = stem
        self._sent: dict[str, int] = {}

    def send(self, line: Line) -> None:
        for file in sorted(self._folder.iterdir()):
            if not is_log(self._stem, file.name) or not file.is_file() or file.is_symlink():
                continue
            offset = self._sent.get(file.name)
            size = file.stat().st_size
            if offset is None or size < offset:  # begun anew
                offset = 0
                line.send(messages.LOG, messages.Piece(name=file.name, offset=0))
            with file.open("rb") as stream:
                stream.seek(offset)
                while piece := stream.read(PIECE):
                    line.send(messages.LOG, messages.Piece(name=file.name, offset=offset), piece)
                    offset += len(piece)
            self._sent[file.name] = offset
