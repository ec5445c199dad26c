"""When a run stops for a person: by how much, and how old, what nobody has approved yet is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from .approvals import Awaiting, awaiting, last_change, read
from .history import History
from .outcome import SetupError
from .settings.durations import format_duration
from .settings.records import ReviewSettings

if TYPE_CHECKING:
    from .run import Run

WHAT_TO_TYPE = "`agenttasks review` shows it, `agenttasks approve` lets the next run go on"


def due(
    wanted: ReviewSettings, found: Awaiting, since: float | None, now: float, more: int = 0
) -> str | None:
    """Why a person should look before another task is handed out; None while there is no reason.

    `since` is when (epoch seconds) the oldest of `found` came about, None: nothing is there. A queue that did nothing
    grows no older. `more` tasks are being worked on, and may all land.
    """
    landed = len(found.landed)
    if wanted.every_tasks is not None and landed + more >= wanted.every_tasks:
        counted = "1 task has" if landed == 1 else f"{landed} tasks have"
        return (
            f"{counted} landed since the last approval (review.every_tasks: {wanted.every_tasks}): time for a review; "
            f"{WHAT_TO_TYPE}"
        )
    if wanted.every_hours is not None and since is not None and now - since >= wanted.every_hours * 3600:
        return (
            f"what landed or failed {format_duration(now - since)} ago is not approved yet (review.every_hours: "
            f"{wanted.every_hours:g}): time for a review; {WHAT_TO_TYPE}"
        )
    return None


def oldest(history: History, found: Awaiting) -> float | None:
    """When the oldest of what is to be looked at on this branch came about, as far as the journal knows."""
    failed = [last_change(history, name) for name in found.failed]
    return min([*(landed.at for landed in found.landed), *filter(None, failed)], default=None)


class Checkpoint:
    """Asked between two tasks, with how many more are being worked on: `due` of this repository now."""

    def __init__(self, run: Run) -> None:
        """Raises SetupError for records that cannot be read; those that come later stop the run."""
        self._run = run
        self._told = False
        self._wanted = any(msgspec.structs.astuple(run.settings.review))
        if self._wanted:
            read(run.repository, run.queue)

    def __call__(self, more: int = 0) -> str | None:
        if not self._wanted:
            return None
        run = self._run
        run.journal.refresh()
        history = run.journal.history
        try:
            found = awaiting(run.repository, run.queue, history, read(run.repository, run.queue))
        except SetupError as error:
            return str(error)
        why = due(run.settings.review, found, oldest(history, found), time.time(), more)
        if why is not None and not more and not self._told:
            self._told = True
            run.events.write("checkpoint", landed=len(found.landed), failed=len(found.failed), why=why)
        return why
