"""A connection to another machine, by a gateway of execnet: opened, asked, and closed; and what is wrong where it cannot be.

The program that carries it (`ssh`) does not hear a Ctrl-C, so that what an agent has done can still be fetched then.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import execnet

from .. import __version__
from ..agents.contract import Progress
from ..held_signals import STOP_SIGNALS
from ..outcome import Ended, SetupError
from ..report.printable import one_line, tail_of_file
from ..trees.git import MINIMUM
from . import messages
from .messages import Message, message
from .names import Elsewhere

TICK = 0.25
OLDEST = (3, 11)
SSH = "-o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
"""Behind the user's own options, which count first: nobody is there to be asked for a password."""
FAREWELL = 5.0
"""Seconds for the other side, and for what carries the connection, to end by itself."""
PACKAGE = "pytest-agenttasks"


class Lost(Exception):
    """The connection is gone, or the other side has gone silent."""


class Stopped(Exception):
    """The other side has ended what it did, as it was asked to."""


class Unreachable(SetupError):
    """No connection could be made; it may be possible later."""


class Connection:
    """`tick` is called four times a second while an answer is waited for, and may raise."""

    def __init__(self, where: Elsewhere, tick: Callable[[], None] = lambda: None) -> None:
        """Raises SetupError where sessions cannot be held there, Unreachable where nobody answers."""
        self.where = where
        self.tick = tick
        self.progress: Callable[[Progress], None] = lambda _: None
        self.log: Callable[[messages.Piece, bytes], None] = lambda _, __: None
        self.pack: Callable[[bytes], None] = lambda _: None
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._over = threading.Event()
        self._lost = False
        self._complaints = tempfile.NamedTemporaryFile(prefix="agenttasks-")  # noqa: SIM115 - as long as this
        self._group = execnet.Group(execmodel="thread")
        try:
            self._channel = self._open()
        except BaseException:
            self.close()
            raise
        self._heard = time.monotonic()
        self._channel.setcallback(self._hear, endmarker=None)
        threading.Thread(target=self._beat, name="agenttasks-beat", daemon=True).start()

    def _open(self) -> Any:
        try:
            gateway = self._gateway()
            greeting = gateway.remote_exec(_source("greeting.py"))
            found = json.loads(greeting.receive(timeout=messages.SILENCE))
            greeting.waitclose(timeout=messages.SILENCE)
        except Exception as error:
            raise Unreachable(self._why_closed(error)) from error
        self._refuse(found)
        return gateway.remote_exec("from pytest_agenttasks.far.host import serve; serve(channel)")

    def _gateway(self) -> Any:
        """In a thread that hears no signals, and so does not what it starts; this one stays open to them."""
        made: list[Any] = []

        def make() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            try:
                with _stderr_to(self._complaints.fileno()):
                    made.append(self._group.makegateway(_spec(self.where)))
            except Exception as error:  # noqa: BLE001 - raised again below
                made.append(error)

        thread = threading.Thread(target=make, name="agenttasks-connect", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(TICK)
            self.tick()
        if isinstance(made[0], Exception):
            raise made[0]
        return made[0]

    def _why_closed(self, error: Exception) -> str:
        said = one_line(tail_of_file(Path(self._complaints.name), 2048).strip().rpartition("\n")[2], 300)
        where = self.where
        told = f"{where.name}: no Python answers there ({said or type(error).__name__})"
        return f"{told}; {where.trial()}"

    def _refuse(self, found: dict[str, Any]) -> None:
        """Raise SetupError for a machine that lacks something."""
        name, python = self.where.name, one_line(str(found["executable"]))
        version = ".".join(map(str, found["python"]))
        other = "or name another Python that has it: `--tx ssh=HOST//python=PATH`"
        if tuple(found["python"]) < OLDEST:
            raise SetupError(
                f"{name}: {python} is Python {version}; {PACKAGE} needs {'.'.join(map(str, OLDEST))}: {other}"
            )
        theirs = found.get("package")
        install = f"`{python} -m pip install {PACKAGE}=={__version__}`"
        if theirs is not None and theirs != __version__:
            raise SetupError(
                f"{name}: {python} has {PACKAGE} {one_line(str(theirs))}, here it is {__version__}: {install} there, {other}"
            )
        least = ".".join(map(str, MINIMUM))
        words = str(found.get("git", "")).split()
        digits = words[2].split(".")[:2] if len(words) > 2 else []
        if tuple(int(part) for part in digits if part.isdigit()) < MINIMUM:
            has = f"git {words[2]}" if digits else "no git on its PATH"
            raise SetupError(
                f"{name}: {one_line(has)}: install git {least} or newer there (a PATH for it: `--tx ssh=HOST//env:PATH=…`)"
            )
        if theirs is None or "missing" in found:
            reason = one_line(str(found.get("missing", "")))
            raise SetupError(f"{name}: {python} has no {PACKAGE} ({reason}): {install} there, {other}")

    def _hear(self, heard: Message | None) -> None:
        """In a thread of execnet's."""
        self._heard = time.monotonic()
        if heard is None:
            self._lost = True
        self._inbox.put(heard)

    def _beat(self) -> None:
        while not self._over.wait(messages.BEAT_SECONDS):
            with suppress(Lost):
                self.tell(messages.BEAT)

    @property
    def lost(self) -> bool:
        return self._lost or time.monotonic() - self._heard > messages.SILENCE

    def tell(self, name: str, document: object = None, data: bytes = b"") -> None:
        """Send without waiting for an answer. Raises Lost."""
        try:
            with self._sending:
                self._channel.send(message(name, document, data))
        except OSError as error:
            self._lost = True
            raise Lost(str(error)) from error

    def ask(
        self,
        name: str,
        document: object = None,
        pack: Iterable[bytes] | None = None,
        *,
        within: float | None = None,
    ) -> str:
        """Send a request, with the pieces of a pack behind it; the document of the answer. `within`: seconds, None: as
        long as there are signs of life.

        Raises Lost, Stopped, Ended, SetupError, and what `tick` raises.
        """
        self.tell(name, document)
        if pack is not None:
            for piece in pack:
                self.tell(messages.PACK, None, piece)
                self.tick()
            self.tell(messages.PACK)
        return self.answer(name, within=within)

    def answer(self, name: str, *, within: float | None = None) -> str:
        """The rest of `ask`, to be called again where `tick` cut that short."""
        deadline = None if within is None else time.monotonic() + within
        while True:
            try:
                heard = self._inbox.get(timeout=TICK)
            except queue.Empty:
                if self.lost or (deadline is not None and time.monotonic() > deadline):
                    raise Lost("silent") from None
                self.tick()
                continue
            if heard is None:
                self._lost = True
                raise Lost("closed")
            self.tick()
            kind, document, data = heard
            if kind == messages.STEP:
                self.progress(messages.read(document, Progress))
            elif kind == messages.LOG:
                self.log(messages.read(document, messages.Piece), data)
            elif kind == messages.PACK:
                self.pack(data)
            elif kind != messages.BEAT:
                return self._taken(name, kind, document)

    def _taken(self, name: str, kind: str, document: str) -> str:
        if kind == name:
            return document
        if kind == messages.STOPPED:
            raise Stopped
        if kind == messages.ENDED:
            raise Ended(messages.outcome_of(document))
        found = json.loads(document)
        raise SetupError(
            f"{self.where.name}: {found['why']}" + (f"\n{found['trace']}" if "trace" in found else "")
        )

    def close(self) -> None:
        """End the other side's process and what carries the connection. What runs there is ended and stored."""
        self._over.set()
        with suppress(Exception):
            self._group.terminate(timeout=FAREWELL)
        self._complaints.close()


def _spec(where: Elsewhere) -> Any:
    spec = execnet.XSpec(where.spec)
    if spec.ssh:
        spec.ssh = f"{spec.ssh} {SSH}"
    spec.python = spec.python or "python3"
    spec.execmodel = "main_thread_only"
    spec.id = f"agenttasks-{os.getpid()}"
    return spec


def _source(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


@contextmanager
def _stderr_to(handle: int) -> Iterator[None]:
    """Have a program that is started meanwhile complain into a file: the board is on the terminal."""
    before = os.dup(2)
    try:
        os.dup2(handle, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
