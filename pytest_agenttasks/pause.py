"""When the agents' service is out for one, it is out for all: no process begins a session until it is expected back.

The pause is a file, so it outlives the run. When it is over, one session goes first, under a lock; the others begin when
that one has shown life or has ended well. If it finds the service still out, that is a new pause, for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from .agents.contract import STARTING, Progress
from .outcome import Ended, Kind, Outcome
from .processes.lifeline import TICK
from .retry import RESET_MARGIN, doubled
from .run import Run
from .state_file import load, save
from .trees.repository import Repository
from .turn import shown

SAME = 60.0
"""Seconds by which a pause that goes on may grow, and still be the one that has been told of."""
KINDS = (Kind.USAGE_LIMIT, Kind.OVERLOADED, Kind.NETWORK, Kind.AUTH)


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """`until` is epoch seconds; `task` met it; `count` pauses came right before it, with no life between them."""

    kind: Kind
    why: str
    task: str
    until: float
    count: int = 0


def known(repository: Repository) -> Pause | None:
    """The pause that was announced last, unless a session has shown life since."""
    return load(repository.home / "pause.json", Pause)


def announce(run: Run, task: str, outcome: Outcome) -> None:
    """Have all processes wait, where the outcome is one of a service that is out.

    A lost login is nothing to wait for, but the next session goes first, and alone.
    """
    if outcome.kind not in KINDS:
        return
    with FileLock(_file(run).with_suffix(".announcing.lock"), thread_local=False):
        _announce(run, task, outcome)


def _announce(run: Run, task: str, outcome: Outcome) -> None:
    now = time.time()
    known = load(_file(run), Pause)
    count = 0 if known is None else known.count + (known.until <= now)
    if outcome.kind is Kind.AUTH:
        until = now
    elif outcome.resumes_at is not None:
        until = outcome.resumes_at + RESET_MARGIN
    else:
        until = now + doubled(max(run.settings.retry_delay, 1.0), count)
    if known is not None:
        until = max(until, known.until)
    save(_file(run), Pause(kind=outcome.kind, why=outcome.summary, task=task, until=until, count=count))
    same = known is not None and known.until > now and until - known.until < SAME
    run.events.write(
        "pause-met" if same else "pause",
        task=task,
        kind=outcome.kind.value,
        until=round(until),
        why=outcome.summary,
    )


def wait(run: Run, task: str) -> float:
    """Return when no pause goes on, with the seconds that took.

    Raises Ended, with the pause's kind, where it would take longer than `wait` allows.
    """
    began = time.monotonic()
    _until_over(run, task, began)
    return time.monotonic() - began


@contextmanager
def session_begins(run: Run, task: str) -> Iterator[Run]:
    """The run to hold a session with, after a pause in its turn. Raises Ended as `wait` does.

    Where this session goes first, the others follow when it shows life, or when nothing is raised in here.
    """
    first = _turn(run, task)
    if first is None:
        yield run
        return
    lock, known = first

    def over() -> None:
        if lock.is_locked:
            if load(_file(run), Pause) == known:  # else another session has met a new one
                _file(run).unlink(missing_ok=True)
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


def _turn(run: Run, task: str) -> tuple[FileLock, Pause] | None:
    """Wait for the end of a pause; the lock of who goes first after it, held, or None where there is no pause."""
    began = time.monotonic()
    file = _file(run)
    while file.exists():
        known = _until_over(run, task, began)
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


def _until_over(run: Run, task: str, began: float) -> Pause | None:
    """The pause that is over now, None where there is none any more."""
    limit = run.settings.wait
    last, waiting = None, shown(run, task, "")
    while (known := load(_file(run), Pause)) is not None:
        left = known.until - time.time()
        if left <= 0:
            return known
        if limit is not None and time.monotonic() - began + left > limit:
            raise Ended(
                Outcome(
                    known.kind,
                    f"{known.why} (met by {known.task}; to try at once, remove {_file(run)})",
                    resumes_at=known.until,
                )
            )
        if known != last:
            last = known
            at = time.strftime("%H:%M:%S", time.localtime(known.until))
            waiting = shown(run, task, f"waiting until {at}: {known.why} (met by {known.task})")
        waiting()
        time.sleep(min(left, TICK))
    return None


def _file(run: Run) -> Path:
    return run.repository.home / "pause.json"
