"""The fault model: what each session of each task does, and when the service is out. Pure: a seed says it all."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Behaviour(StrEnum):
    """What a session does. All but those marked leave the right change as well, to make it worth while."""

    GOOD = "good"
    REMEMBERS = "remembers"  # good, and a line for the memory file
    STRAY = "stray"  # another feature's file too
    LITTER = "litter"  # a new file nobody asked for
    WEAKENS = "weakens"  # the gate
    PROTECTED = "protected"
    DELETES = "deletes"  # a file of the user's
    COMMITS = "commits"  # by itself
    WRONG = "wrong"  # a result that the gate refuses
    BROKEN = "broken"  # a file that cannot be loaded
    LIES = "lies"  # says that it is done; nothing is changed
    HANGS = "hangs"  # half-way, deaf to SIGTERM
    SILENT = "silent"  # from the beginning
    LINGERS = "lingers"  # after its result
    DAEMON = "daemon"  # a process that goes on, and writes later
    CRASHES = "crashes"  # half-way
    EMPTY = "empty"  # no output, no change, exit 0
    TURNS = "turns"  # runs out of turns


HARMLESS = frozenset(
    {Behaviour.GOOD, Behaviour.REMEMBERS, Behaviour.COMMITS, Behaviour.LINGERS, Behaviour.DAEMON}
)
"""Sessions that leave what is to be landed, if only the rest that they do is dealt with."""

_RARE = (Behaviour.SILENT, Behaviour.LINGERS, Behaviour.PROTECTED)
"""In second sessions only: they take long, or are much like another."""
PACK = (Behaviour.GOOD,) * 9 + tuple(what for what in Behaviour if what not in _RARE)
_LATER = {what: {Behaviour.GOOD: 60}.get(what, 2) for what in Behaviour}


class Disturbance(StrEnum):
    """What befalls the machine, the service and the repository."""

    USAGE_LIMIT = "usage limit"
    OVERLOAD = "overload storm"
    KILL_WORKER = "worker killed"
    KILL_CONTROLLER = "controller killed"
    KILL_ALL = "everything killed"
    COMMIT = "user's commit"
    COMMIT_IN_SCOPE = "user's commit to a file that tasks change"
    EDIT = "user's edit"
    RED_COMMIT = "user's red commit"


KILLS = frozenset({Disturbance.KILL_WORKER, Disturbance.KILL_CONTROLLER, Disturbance.KILL_ALL})
OUTAGES = frozenset({Disturbance.USAGE_LIMIT, Disturbance.OVERLOAD})

WROTE = "session-wrote"
STEPS = (
    "attempt-started", "program-started", WROTE, "attempt-stored", "passed", "forward", "forwarded", "landed",
    "attempt-ended",
)  # fmt: skip
"""After what a kill may come: the journal's records, and a file that a session has written."""

DAYS = 13
TASKS_A_DAY = 20
"""At least: a short queue has fewer days, as each brings all the trouble of a day."""
UNDISTURBED_FROM = 6
"""The day from which the run is left alive until the last one."""
SESSIONS_A_TASK = 1.3
"""What the days are laid out by: about as many as come."""


_DAILY = (
    Disturbance.USAGE_LIMIT, Disturbance.OVERLOAD, Disturbance.KILL_WORKER, Disturbance.KILL_WORKER, Disturbance.COMMIT,
    Disturbance.COMMIT_IN_SCOPE, Disturbance.EDIT,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """A disturbance, when so many sessions have begun; `step` is what a kill waits for, `salt` what it draws by."""

    at: int
    what: Disturbance
    step: str = ""
    salt: int = 0


def behaviour(seed: int, task: int, session: int) -> Behaviour:
    """What the task's session does. Tasks and sessions count from 1.

    First sessions are dealt from packs, so that a short queue meets nearly everything; later ones, which have been told what
    failed, are drawn, and do better.
    """
    if session == 1:
        pack, place = divmod(task - 1, len(PACK))
        dealt = list(PACK)
        random.Random(f"{seed}/pack {pack}").shuffle(dealt)
        return dealt[place]
    (drawn,) = random.Random(f"{seed}/{task}/{session}").choices(list(_LATER), list(_LATER.values()))
    return drawn


def days(tasks: int) -> int:
    return max(1, min(DAYS, tasks // TASKS_A_DAY))


def events(seed: int, tasks: int) -> tuple[Event, ...]:
    """All disturbances, in order. Each day has a usage limit, a storm, two workers' deaths and the user at work. The whole
    run dies on every other of the first days and on the last, so that in between one goes on for long; the user breaks the
    branch on the first day and the sixth."""
    draw = random.Random(f"{seed}/events")
    whole = days(tasks)
    length = tasks * SESSIONS_A_TASK / whole
    found: list[Event] = []
    steps: list[str] = []

    def add(day: int, what: Disturbance) -> None:
        at = int((day + draw.uniform(0.05, 0.9)) * length)
        if what in KILLS and not steps:
            steps.extend(draw.sample(STEPS, len(STEPS)))
        step = steps.pop() if what in KILLS else ""
        found.append(Event(max(at, 2), what, step, draw.randrange(2**30)))

    for day in range(whole):
        for what in _DAILY:
            add(day, what)
        if day % 2 == 0 and day < UNDISTURBED_FROM:
            add(day, Disturbance.KILL_ALL if day % 4 == 0 else Disturbance.KILL_CONTROLLER)
        if day == whole - 1:
            add(day, Disturbance.KILL_CONTROLLER)
        if day in (0, 5):
            add(day, Disturbance.RED_COMMIT)
    return tuple(sorted(found, key=lambda event: (event.at, event.salt)))
