"""What processes that were killed have left: programs, a session that is not stored, a landing half-way, a verified
result that is on the branch already. Those of living processes are never touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from filelock import FileLock

from . import landing, owner, services
from .bookkeeping import settle_all, settle_failed
from .history import History
from .journal_records import Recovered
from .outcome import SetupError
from .processes.orphans import end_orphans
from .retrieval import store_interrupted
from .run import Run
from .spending import settle
from .trees.places import Role, place


def recover_all(run: Run, say: Callable[[str], None]) -> None:
    """At the start of a run: everything that dead processes have left. Raises SetupError where it cannot be mended."""
    for role in get_args(Role):
        run.programs.end_left(place(run.shadow, role, run.worker))
    run.journal.refresh()
    for of in sorted(run.journal.history.owners()):
        if not _goes_on(run, of):
            _recover(run, of, say)
    finish_landings(run, say)


def anything_left(history: History) -> bool:
    """Whether a run was killed, or a result waits, as far as the journal tells: then `recover_all` has something to do."""
    opened = (history.passed, history.running, history.interrupted, history.ledger.going_on, history.services)
    return history.forward is not None or any(opened)


def recover_worker(run: Run, dead: str, say: Callable[[str], None]) -> bool:
    """What one dead process has left, while others go on: then its task can run again. False when it still lives.

    Whoever comes first does it; a second call finds nothing to do.
    """
    if _goes_on(run, dead):
        return False
    _recover(run, dead, say)
    finish_landings(run, say)
    return True


def clear_place(run: Run) -> None:
    """Before a session: what a dead process has left in this slot's workspace is stored, its services ended.

    For every attempt, as it costs nothing where there is nothing.
    """
    history = run.journal.history
    for of in {*history.interrupted, *(started.owner for started in history.services.values())}:
        if owner.slot_of(of) == run.worker:
            recover_worker(run, of, lambda line: run.events.write("recovered", what=line))


def _goes_on(run: Run, of: str) -> bool:
    """Whether that process still works on it. This one does not: it is about to begin."""
    return of != run.owner and owner.lives(of)


def _recover(run: Run, dead: str, say: Callable[[str], None]) -> None:
    with FileLock(run.repository.home / "recovery.lock"):
        run.journal.refresh()
        history = run.journal.history
        if dead not in history.owners():
            return
        for program in history.programs.get(dead, ()):
            if end_orphans(program.pid, program.started):
                say(f"ended process {program.pid}, left over from a run that was killed")
        slot = owner.slot_of(dead)
        if slot != run.worker:
            # Another may hold its slot by now, but begins no session in it before this is done.
            run.programs.end_left(place(run.shadow, "agent", slot))
        bill = settle(run, dead)
        if line := store_interrupted(run, dead, bill):
            say(line)
        for line in services.settle(run, dead):
            say(line)
        run.journal.write(Recovered(of=dead))


def finish_landings(run: Run, say: Callable[[str], None]) -> None:
    """A landing that is half-way, and results that have landed without being written down. Raises SetupError."""
    try:
        line = landing.recover(run.shadow, run.journal)
    except landing.InTheWay as error:
        raise SetupError(
            f"{run.repository.top}: a landing of the last run cannot be finished: {error}"
        ) from error
    for told in [*filter(None, [line]), *settle_all(run)]:
        say(told)
    settle_failed(run)
