"""After the death of a worker: nothing that it had started is alive, and what it left is stored, before others go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from ..owner import process_lives
from ..processes.orphans import process_start_time
from ..recovery import recover_worker
from ..run import Run
from .crew import Member
from .limits import Used

FAREWELL = 1.0
"""Seconds for a worker whose line is dead to be gone."""
SWEEP = 20.0
"""Seconds for its helper process to end all that ran below it; its own sweep takes 10 at most."""


def end_worker(run: Run, member: Member, say: Callable[[str], None]) -> None:
    """Wait for the end of a worker and of its helper process; then mend what it has left. Raises SetupError."""
    if member.pid is not None:
        _end(member.pid, process_start_time(member.pid), FAREWELL)
    if member.helper is not None:
        _end(*member.helper, SWEEP)
    if member.owner:
        recover_worker(run, member.owner, say)


def untold(run: Run, member: Member) -> Used:
    """What a dead worker has used up and could not tell: the journal knows."""
    run.journal.refresh()
    spent = run.journal.history.ledger.of_owner(member.owner)
    return Used(sessions=spent.sessions - member.used.sessions, spent=spent.usd - member.used.spent)


def _end(pid: int, start: float | None, patience: float) -> None:
    """Wait until that process is gone, and kill it when that takes too long."""
    deadline = time.monotonic() + patience
    while start is not None and process_lives(pid, start):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline += patience
        time.sleep(0.02)
