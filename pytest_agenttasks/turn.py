"""Whose turn it is to land. Landings race: each verifies its result on the tip that it found, without a lock, and the
branch moves for whoever is ready first. One that has lost a few times takes the turn, and holds it while its gates run:
whoever else is ready to move the branch waits for that. A task whose results have failed only because others had landed
before it is not overtaken again: from before its next session until its landing the others do not land."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from .agents.contract import Progress
from .processes.lifeline import TICK
from .run import Run

LOST_RACES = 2
"""After so many a landing takes the turn."""
OVERTAKEN = 2
"""After so many results that failed only together with what had landed meanwhile, the others wait for the task."""
_WAITING = "waiting for a task that others have overtaken"
LOOK = 0.02
"""Seconds between two looks at a lock that another process holds."""


@contextmanager
def turn(run: Run, task: str) -> Iterator[None]:
    """Hold the turn, also where it is held already; nobody else moves the branch meanwhile. Shown while waited for."""
    with held(lambda: taken(run.turn), shown(run, task, "waiting for another task to land")):
        yield


@contextmanager
def ahead_of_others(run: Run, task: str) -> Iterator[float]:
    """Around an attempt, from before it looks at the branch; yields the seconds that were waited. What the runner itself
    commits to queue and memory goes on."""
    began = time.monotonic()
    if run.journal.history.together.get(task, 0) < OVERTAKEN:
        yield 0.0
        return
    with held(lambda: taken(run.overtaken), shown(run, task, _WAITING)):
        with turn(run, task):
            pass  # whoever was about to move the branch has done so
        yield time.monotonic() - began


def let_others_land(run: Run, task: str) -> float:
    """Wait until no other task is ahead of this one, with the seconds that took. Not with the turn, which that one needs."""
    began = time.monotonic()
    with held(lambda: taken(run.overtaken), shown(run, task, _WAITING)):
        return time.monotonic() - began


def another_is_ahead(run: Run) -> bool:
    """True now and then while somebody only looks."""
    lock = taken(run.overtaken)
    if lock is not None:
        lock.release()
    return lock is None


@contextmanager
def turn_behind_others(run: Run, task: str) -> Iterator[None]:
    """The turn, to keep while gates run, with nobody ahead who has looked at the branch already."""
    while True:
        let_others_land(run, task)
        with turn(run, task):
            if not another_is_ahead(run):
                yield
                return


@contextmanager
def held(take: Callable[[], FileLock | None], waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock that `take` has got; None: not yet. `waiting` is called four times a second meanwhile. Ctrl-C ends
    the wait."""
    due = 0.0
    while (lock := take()) is None:
        if (now := time.monotonic()) >= due:
            due = now + TICK
            waiting()
        time.sleep(LOOK)
    try:
        yield
    finally:
        lock.release()


def taken(lock: FileLock) -> FileLock | None:
    """The lock, now held, or None while another process holds it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def shown(run: Run, task: str, step: str) -> Callable[[], None]:
    """Say once what is waited for, and keep the clock going."""
    said = False

    def show() -> None:
        nonlocal said
        if not said:
            said = True
            run.progress(task, Progress(step=step))
            run.events.write("waiting-for", task=task, what=step)
        run.supervisor.tick()

    return show
