"""What is known of each worker of `-n`, from what it tells: threads write here, one place reads and shows it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from . import wire
from .limits import OwnAccount, Used


@dataclass
class Member:
    """One worker. `helper` is pid and start of the process that ends what it starts; `doing` is None while it waits.

    Times by the monotonic clock, money in USD.
    """

    name: str
    pid: int | None = None
    owner: str = ""
    helper: tuple[int, float] | None = None
    doing: str | None = None
    since: float = 0.0
    step: str = ""
    cost_usd: float | None = None
    used: Used = field(default_factory=Used)
    """What it has told that it used up."""
    pause: tuple[str, float] | None = None
    """Why it waits before the next attempt, and until when."""


@dataclass
class Crew:
    """`notes`, `stops` (reasons to stop) and `events` are to be taken by the process's own thread."""

    account: OwnAccount
    members: dict[str, Member] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    leaving: dict[str, str] = field(default_factory=dict)
    """Workers that can do no more tasks, and why; the others go on."""
    _lock: Lock = field(default_factory=Lock)
    events: list[dict[str, Any]] = field(default_factory=list)

    def join(self, name: str, answer: Callable[[object], None], label: str = "") -> Callable[[Any], None]:
        """A new worker, shown as `label`; returns what is to be called with each of its messages. That runs in a thread
        of execnet's."""
        member = self.members[name] = Member(label or name)

        def hear(message: Any) -> None:
            if message[0] == wire.REPEAT:
                answer(self.account.repeat())
            elif message[0] == wire.LEAVES:
                answer(self._may_leave(name, message[1]))
            else:
                self._hear(member, *message)

        return hear

    def _may_leave(self, name: str, why: str) -> bool:
        """Whether somebody is left to do what it cannot do any more."""
        with self._lock:
            others = self.members.keys() - self.leaving.keys() - {name}
            if others:
                self.leaving[name] = why
                self.notes.append(f"{self.members[name].name} was given up: {why}")
            return bool(others)

    def leave(self, name: str) -> Member | None:
        return self.members.pop(name, None)

    def _hear(self, member: Member, kind: str, *values: Any) -> None:
        now = time.monotonic()
        if kind == wire.HELLO:
            member.pid, member.owner, member.helper = values[0], values[1], (values[2], values[3])
        elif kind == wire.BEGAN:
            member.doing, member.since, member.step, member.pause = values[0], now, "", None
        elif kind == wire.STEP:
            member.step, member.cost_usd = values
        elif kind == wire.PAUSE:
            member.pause = (values[0], now + values[1])
        elif kind == wire.IDLE:
            member.doing, member.pause, member.cost_usd = None, None, None
        elif kind == wire.USED:
            member.used += Used(*values)
            self.account.add(Used(*values))
        elif kind == wire.NOTE and values[0] not in self.notes:
            self.notes.append(values[0])
        elif kind == wire.STOP:
            self.stops.append(values[0])
        elif kind == wire.EVENT:
            self.events.append(json.loads(values[0]))
