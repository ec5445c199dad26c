"""Another machine as this process uses it: a connection that is made when it is needed, and again after it was lost."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from ..attempt_record import Attempt, logs_of, record
from ..base import Base
from ..outcome import Kind, Outcome, SetupError
from ..owner import lives
from ..run import Run
from ..session import keep_attempt
from ..tasks.task import Task, read
from ..trees.attempts import kept
from . import messages
from .connection import Connection, Lost
from .logs import write_log
from .messages import Has, Held, Wanted
from .names import Elsewhere
from .packs import arriving, pieces, present, whole
from .venue import There

SETTINGS = (
    "filter.",
    "core.autocrlf",
    "core.eol",
    "core.safecrlf",
    "core.symlinks",
    "core.filemode",
    "user.",
)
"""Of the user's own git settings those that decide what a file's content is, and who the agent commits as."""


TRIES = 4
"""Connections in a row that fail before a machine is given up, with a wait between two that doubles (`retry_delay`)."""


class Machine:
    """One worker's. Not for several threads."""

    def __init__(self, where: Elsewhere) -> None:
        self.where = where
        self._connection: Connection | None = None
        self._failed = 0
        self.top = ""
        """The clone's folder there."""

    @property
    def name(self) -> str:
        return self.where.name

    @property
    def given_up(self) -> str | None:
        return f"{self.name} cannot be reached any more" if self._failed >= TRIES else None

    def venue(self, run: Run, this: Attempt, base: Base) -> There:
        return There(self, run, this, base)

    def check(self, run: Run, say: Callable[[str], None]) -> None:
        """Everything that is looked at before anything is spent. Raises SetupError."""
        try:
            connection = self.connected(run, say)
            found = messages.read(connection.ask(messages.CHECK), Has)
        except Lost as lost:
            raise SetupError(f"{self.name}: the connection was lost ({lost}); {self.where.trial()}") from lost
        for line in found.said:
            say(f"{self.name}: {line}")

    def connected(self, run: Run, say: Callable[[str], None]) -> Connection:
        """The connection, with a run opened at its other end. Raises SetupError, Unreachable, Lost."""
        if self._connection is not None and not self._connection.lost:
            return self._connection
        self.close()
        self._failed += 1
        self._connection = connection = Connection(self.where, run.supervisor.tick)
        has = messages.read(connection.ask(messages.CLONE, _clone(run)), Has)
        self.top = has.top
        opening = _opening(run)
        tags = [line.split(b" ")[0].decode() for line in opening.tags.splitlines()]
        pack = pieces(
            run.shadow, run.shadow.git_dir, [opening.tip, *tags], present(run.shadow, has.commits)
        )  # fmt: skip
        has = messages.read(connection.ask(messages.OPEN, opening, pack), Has)
        for line in has.said:
            say(f"{self.name}: {line}")
        self.fetch_left(run, has.attempts, say)
        self._failed = 0
        return connection

    @property
    def connection(self) -> Connection:
        """The one that is open, with all that was asked of it. Raises Lost."""
        if self._connection is None or self._connection.lost:
            raise Lost("closed")
        return self._connection

    def close(self) -> None:
        """Have nothing more to do with the connection, which may be broken."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def fetch_left(self, run: Run, attempts: Sequence[Held], say: Callable[[str], None]) -> None:
        """Store what attempts have left there that nobody works on any more: a connection was lost, or a runner killed."""
        run.journal.refresh()
        history = run.journal.history
        worked_on = {
            (begun.task, begun.attempt)
            for owner, begun in history.running.items()
            if owner != run.owner and lives(owner)
        }
        for held in attempts:
            if (held.task, held.attempt) in worked_on:
                continue
            if kept(run.shadow, f"refs/attempts/{held.task}/{held.attempt}") is None:
                self._take_over(run, held)
                say(f"{held.task}: fetched what attempt {held.attempt} had done on {self.name}")
            self.forget(held.task, held.attempt)

    def _take_over(self, run: Run, held: Held) -> None:
        this = Attempt(_task(run, held.task), held.attempt)
        self.fetch(run, this, held.base)
        base = present(run.shadow, [held.base] if held.base else [])
        keep_attempt(run, this, held.tree, run.tree_of(base[0]) if base else held.tree)
        this.notes.append(f"its session was held on {self.name}")
        ended = run.journal.history.ended.get(held.task, ())
        if not any(end.attempt == held.attempt for end in ended):
            summary = f"the runner was gone while the agent worked on {self.name}; what it had done is kept"
            record(run, this, Outcome(Kind.INTERRUPTED, summary))
        run.journal.history.add_stored({held.task: held.attempt})

    def fetch(self, run: Run, this: Attempt, base: str, *, within: float | None = None) -> str:
        """Bring an attempt's logs and its tree here; the tree, which is not kept yet. Without what the commit `base` has,
        where that is here. Raises Lost."""
        connection = self.connection
        known = next(iter(present(run.shadow, [base] if base else [])), "")
        wanted = Wanted(task=this.task.name, attempt=this.number, known=known)
        logs = logs_of(run, this.task)
        connection.log = lambda piece, data: write_log(logs, this.stem, piece, data)
        with arriving(run.shadow.git_dir) as pack:
            connection.pack = pack.add
            tree = messages.read(connection.ask(messages.FETCH, wanted, within=within), dict[str, str])[
                "tree"
            ]
            pack.unpack(run.shadow, strict=True)
        if not present(run.shadow, [tree]) or not whole(run.shadow, tree, known):
            raise SetupError(
                f"{self.name}: what attempt {this.number} of {this.task.name} left did not arrive whole"
            )
        return tree

    def forget(self, task: str, attempt: int) -> None:
        """It is stored here. Raises Lost."""
        self.connection.ask(messages.FORGET, Wanted(task=task, attempt=attempt))


def _task(run: Run, name: str) -> Task:
    file = run.queue.pending / f"{name}.md"
    return read(file) if file.exists() else Task(name, file, "", name, 0)


def _clone(run: Run) -> messages.Clone:
    repository, info = run.repository, run.shadow.git_dir / "info"
    identity = repository.identity
    who = {"user.name": identity.name, "user.email": identity.email} if identity is not None else {}
    own = {key: value for key, value in repository.settings.items() if key.startswith(SETTINGS)}
    digest = hashlib.sha256(
        f"{socket.gethostname()}\0{os.getuid()}\0".encode() + os.fsencode(repository.common_dir)
    )
    return messages.Clone(
        identifier=f"{repository.top.name}-{digest.hexdigest()[:12]}",
        name=repository.top.name,
        object_format=repository.object_format,
        branch=run.branch,
        settings={**own, **who},
        shallow=_bytes(run.shadow.git_dir / "shallow"),
        exclude=_bytes(info / "user-excludes") + b"\n" + _bytes(repository.common_dir / "info/exclude"),
        attributes=_bytes(info / "user-attributes") + b"\n" + _bytes(info / "attributes"),
    )


def _opening(run: Run) -> messages.Opening:
    repository, queue = run.repository, run.queue
    tip = repository.tip()
    listed = repository.git(
        "for-each-ref", f"--merged={tip}", "--format=%(objectname) %(refname)", "refs/tags/"
    )
    return messages.Opening(
        tip=tip,
        tags=listed,
        settings=messages.plain(run.settings),
        settings_file=str(run.settings_file),
        typed=tuple(sorted(run.typed)),
        pending=os.fsdecode(os.path.relpath(queue.pending, repository.top)),
        queue=queue.relative,
        tracked=queue.tracked,
    )


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""
