"""When the agents' service is out for one, it is out for all: no process begins a session until it is expected back.

The pause is a file in the user's state folder, one for each account (`accounts.py`): it outlives the run, and holds for
every run of this user on this machine. When it is over, one session goes first, under a lock; the others begin when that
one has shown life or has ended well. If it finds the service still out, that is a new pause, for all of them.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from .accounts import pause_file, pauses
from .agents.contract import STARTING, Progress
from .outcome import Ended, Kind, Outcome
from .processes.lifeline import TICK
from .retry import RESET_MARGIN, doubled
from .run import Run
from .settings.records import AgentSettings
from .state_file import load, save
from .trees.repository import Repository
from .turn import shown

SAME = 120.0
"""Seconds by which a pause that goes on may grow, and still be the one that has been told of: more than the jitter."""
KINDS = (Kind.USAGE_LIMIT, Kind.OVERLOADED, Kind.NETWORK, Kind.AUTH)


JITTER = 0.1
"""How much longer than the service says, or the delay is, a wait may take, as a share of it: other machines wait too."""
MOST_JITTER = 60.0
"""Seconds of that at most."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """`until` is epoch seconds; `task` of the repository at `top` met it; `count` pauses came right before it, with no life
    between them; `at`: when it was announced."""

    kind: Kind
    why: str
    task: str
    until: float
    count: int = 0
    top: str = ""
    at: float = 0.0


def known(repository: Repository) -> list[Pause]:
    """The pauses that go on, of the accounts that runs of this repository use."""
    used = load(_used(repository), list[str]) or []
    found = [load(pauses() / name, Pause) for name in used]
    return [pause for pause in found if pause is not None and pause.until > time.time()]


def announce(run: Run, task: str, outcome: Outcome, agent: AgentSettings | None = None) -> None:
    """Have all processes wait, where the outcome is one of a service that is out. `agent`: whose it is, None: the run's.

    A login that never worked in this run is nothing to wait for, but the next session goes first, and alone.
    """
    if outcome.kind not in KINDS:
        return
    file = _file(run, agent)
    with FileLock(file.with_suffix(".announcing.lock"), thread_local=False):
        _announce(run, task, outcome, file)


def _announce(run: Run, task: str, outcome: Outcome, file: Path) -> None:
    now = time.time()
    known = load(file, Pause)
    count = 0 if known is None else known.count + (known.until <= now)
    if outcome.kind is Kind.AUTH and not lived(run):
        until = now
    elif outcome.resumes_at is not None:
        until = jittered(now, outcome.resumes_at + RESET_MARGIN)
    else:
        until = jittered(now, now + doubled(max(run.settings.retry_delay, 1.0), count))
    if known is not None:
        until = max(until, known.until)
    pause = Pause(
        kind=outcome.kind, why=outcome.summary, task=task, until=until, count=count, top=str(run.repository.top), at=now
    )  # fmt: skip
    save(file, pause)
    same = known is not None and known.until > now and until - known.until < SAME
    run.events.write(
        "pause-met" if same else "pause",
        task=task,
        kind=outcome.kind.value,
        until=round(until),
        why=outcome.summary,
    )


def lived(run: Run) -> bool:
    """Whether some session of this run, of whatever worker, was more than refused."""
    ended = (attempt for attempts in run.journal.history.ended.values() for attempt in reversed(attempts))
    return any(
        each.at >= run.began and bool(each.cost_usd or (each.turns and each.kind not in KINDS))
        for each in ended
    )


def jittered(now: float, until: float) -> float:
    """A moment soon after `until`."""
    return until + random.uniform(0, min(max(until - now, 0.0) * JITTER, MOST_JITTER))


def goes_on(run: Run) -> bool:
    """Whether the agents' service is out, as far as is known."""
    known = load(_file(run, None), Pause)
    return known is not None and known.until > time.time()


def wait(run: Run, task: str, agent: AgentSettings | None = None) -> float:
    """Return when no pause goes on, with the seconds that took.

    Raises Ended, with the pause's kind, where it would take longer than `wait` or `until` allow.
    """
    began = time.monotonic()
    file = _file(run, agent)
    _remember(_used(run.repository), file.name)
    _until_over(run, task, began, file)
    return time.monotonic() - began


@contextmanager
def session_begins(run: Run, task: str, agent: AgentSettings | None = None) -> Iterator[Run]:
    """The run to hold a session with, after a pause in its turn. Raises Ended as `wait` does.

    Where this session goes first, the others follow when it shows life, or when nothing is raised in here.
    """
    file = _file(run, agent)
    first = _turn(run, task, file)
    if first is None:
        yield run
        return
    lock, known = first

    def over() -> None:
        if lock.is_locked:
            if load(file, Pause) == known:  # else another session has met a new one
                file.unlink(missing_ok=True)
                run.events.write("resumed", task=task, kind=known.kind.value, why=known.why)
            lock.release()

    def progress(name: str, now: Progress) -> None:
        run.progress(name, now)
        if shows_life(now):
            over()

    try:
        yield replace(run, progress=progress)
        over()
    finally:
        lock.release()


def shows_life(now: Progress) -> bool:
    """Whether the model has answered; of an agent without sessions and turns: whether it has said anything."""
    return bool(now.turns) or (now.session is None and bool(now.step) and now != STARTING)


def _turn(run: Run, task: str, file: Path) -> tuple[FileLock, Pause] | None:
    """Wait for the end of a pause; the lock of who goes first after it, held, or None where there is no pause."""
    began = time.monotonic()
    while file.exists():
        known = _until_over(run, task, began, file)
        if known is None:
            break
        lock = FileLock(file.with_suffix(".lock"), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting = shown(run, task, f"waiting for the session that goes first after a pause ({known.why})")
            while load(file, Pause) == known and _held(lock):
                waiting()
                time.sleep(TICK / 5)
            continue
        if load(file, Pause) == known:
            return lock, known
        lock.release()
    return None


def _held(lock: FileLock) -> bool:
    """Whether another process holds it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _until_over(run: Run, task: str, began: float, file: Path) -> Pause | None:
    """The pause that is over now, None where there is none any more."""
    limit = run.settings.wait
    last, waiting = None, shown(run, task, "")
    while (known := load(file, Pause)) is not None:
        left = known.until - time.time()
        if left <= 0 or (known.kind is Kind.AUTH and known.at < run.began):  # who starts anew has logged in
            return known
        too_long = limit is not None and time.monotonic() - began + left > limit
        if too_long or (run.until is not None and known.until > run.until):
            summary = f"{known.why} ({_met(run, known)}; to try at once, remove {file})"
            raise Ended(Outcome(known.kind, summary, resumes_at=known.until))
        if known != last:
            last = known
            at = time.strftime("%H:%M:%S", time.localtime(known.until))
            waiting = shown(run, task, f"waiting until {at}: {known.why} ({_met(run, known)})")
        waiting()
        time.sleep(min(left, TICK))
    return None


def _met(run: Run, known: Pause) -> str:
    elsewhere = known.top not in ("", str(run.repository.top))
    return f"met by {known.task}" + (f" in {known.top}" if elsewhere else "")


def _file(run: Run, agent: AgentSettings | None) -> Path:
    return pause_file(agent or run.settings.agent, os.environ)


def _used(repository: Repository) -> Path:
    return repository.home / "accounts.json"


@cache
def _remember(file: Path, name: str) -> None:
    """For `agenttasks status`, whose environment and options may be others."""
    used = load(file, list[str]) or []
    if name not in used:
        save(file, [*used, name])
