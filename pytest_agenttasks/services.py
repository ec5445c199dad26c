"""Services around a session and around the gates: `workspace.up` starts them, `workspace.down` ends them, whatever happens.

Both lines are the user's, and so are the files that they see: those of the branch's tip, in a place of their own that no
agent works in. That is why they run outside the sandbox, where a container daemon can be asked. As with every program, all
that they leave running is ended with them: what stays is what a daemon elsewhere was asked for.

What is up is journaled before `up` begins, with the line that ends it; after a kill the next start runs that line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .attempt_record import Attempt, logs_of
from .journal_records import ServicesEnded, ServicesStarted
from .outcome import Ended, Kind, Outcome
from .processes.sandbox import Sandbox
from .processes.supervisor import Finished
from .report.printable import one_line, tail_of_file
from .run import Run
from .settings.durations import format_duration
from .trees.checkout import bare, environment
from .trees.places import Place, place

MAX_OUTPUT = 200 * 1024 * 1024
"""Bytes that one of the lines may print before it is ended."""
ADVICE = "mend the service (is its daemon running?) or the line in agenttasks.yaml, then start again"
_OWN = ("AGENTTASKS_WORKER", "AGENTTASKS_ROLE", "AGENTTASKS_PORT_BASE", "COMPOSE_PROJECT_NAME")
"""What tells the services of one workspace from those of another."""


class NotUp(Exception):
    """`workspace.up` did not end with exit status 0; `down` has run since."""

    def __init__(self, line: str, how: str, log: Path) -> None:
        super().__init__(f"workspace.up `{line}` failed ({how})")
        self.log = log
        self.evidence = tail_of_file(log) if log.exists() else ""


@contextmanager
def services(run: Run, where: Place, logs: Path, stem: str, notes: list[str]) -> Iterator[None]:
    """Up before, down after, for what happens in `where`. A `down` that fails is added to `notes`.

    Output goes to `logs/STEM.up.log` and `logs/STEM.down.log`. Raises NotUp.
    """
    settings = run.settings.workspace
    if settings.down is None:  # then there is no `up` either
        yield
        return
    here = bare(run, "services", run.repository.tree_of(run.repository.tip()))
    variables = _variables(run, where)
    started = ServicesStarted(
        role=where.role, worker=where.worker, down=settings.down,
        variables={name: variables[name] for name in _OWN},
    )  # fmt: skip
    run.journal.write(started)
    try:
        if settings.up is not None:
            log = logs / f"{stem}.up.log"
            how = _failure(_hold(run, here, "up", settings.up, variables, log, settings.up_timeout))
            if how:
                raise NotUp(settings.up, how, log)
        yield
    finally:
        notes += _down(run, here, started, variables, logs / f"{stem}.down.log")


@contextmanager
def of_session(run: Run, this: Attempt, where: Place) -> Iterator[None]:
    """The services of an agent's session. Raises Ended (BASE_RED): nothing that the task did has failed."""
    try:
        with services(run, where, logs_of(run, this.task), this.stem, this.notes):
            yield
    except NotUp as failed:
        raise Ended(not_up(str(failed), failed.evidence, str(failed.log))) from failed


def not_up(reason: str, evidence: str, log: str) -> Outcome:
    """The outcome of services that cannot be started: uncharged, and the run stops."""
    return Outcome(Kind.BASE_RED, reason, evidence=evidence, advice=ADVICE, gate="up", log=log)


def settle(run: Run, dead: str) -> list[str]:
    """Run `down` for what the process `dead`, which was killed, has left up; a line for each."""
    told = []
    for left in [left for left in run.journal.history.services.values() if left.owner == dead]:
        here = place(run.shadow, "services", left.worker)
        variables = {**_variables(run, here), **left.variables}
        log = run.queue.logs / f"start.{left.role}-{left.worker}.down.log"
        told.append(f"ended the services of a run that was killed: `{one_line(left.down)}`")
        told += _down(run, here, left, variables, log)
    return told


def _variables(run: Run, where: Place) -> dict[str, str]:
    """What the lines inherit: as set-up does, with names and ports of the workspace that they serve."""
    settings = run.settings
    passed = settings.workspace.env_pass
    found = environment(run.repository, where, os.environ, passed=passed, extra=settings.agent.env)
    return dict(found.variables)


def _down(
    run: Run, here: Place, started: ServicesStarted, variables: Mapping[str, str], log: Path
) -> list[str]:
    limit = run.settings.workspace.down_timeout
    try:
        how = _failure(_hold(run, here, "down", started.down, variables, log, limit))
    except Exception as error:  # noqa: BLE001 - whatever broke, the attempt's own outcome counts
        how = one_line(f"{type(error).__name__}: {error}")
    run.journal.write(ServicesEnded(role=started.role, worker=started.worker))
    if not how:
        return []
    run.events.write("services-left", down=started.down, reason=how, log=str(log))
    return [f"workspace.down `{started.down}` failed ({how}): what it ends may still run; see {log}"]


def _hold(
    run: Run, here: Place, step: str, line: str, variables: Mapping[str, str], log: Path, timeout: float
) -> Finished:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    outside = replace(run.programs, sandbox=Sandbox("none"))
    finished = outside.run(
        here, ["/bin/sh", "-c", line], env=variables, stdout=log, timeout=timeout, max_output=MAX_OUTPUT
    )
    run.events.write(
        f"services-{step}", run=line, exit=finished.exit_code, seconds=round(finished.seconds, 3),
        ended=", ".join(finished.survivors) or None,
    )  # fmt: skip
    return finished


def _failure(finished: Finished) -> str:
    """How a line failed, "" where it did not; with what it left running, for that is a usual reason."""
    if finished.ok:
        return ""
    if finished.stopped == "timeout":
        return f"not done after {format_duration(finished.seconds)}"
    if finished.exit_code is None:
        return finished.hit.memory or f"signal {finished.signal}"
    return finished.stopped or f"exit status {finished.exit_code}"
