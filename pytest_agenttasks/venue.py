"""Where an attempt's session is held: on this machine, or on another one. All else of an attempt is done here."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from . import services
from .agents.contract import AgentResult, Prompt
from .attempt_record import Attempt
from .base import Base
from .outcome import Ended, Kind, Outcome
from .run import Run
from .session import hold_session, store
from .trees.checkout import make_ahead, ready
from .trees.dependencies import SetupFailed
from .trees.places import Place
from .trees.snapshot import Snapshot


class Venue(Protocol):
    """One attempt's, its steps to be taken in this order."""

    def ready(self, start: str) -> str:
        """Make the workspace; the tree that it holds: `start`, or the base where set-up fails on that. Raises Ended."""

    def services(self) -> AbstractContextManager[None]:
        """What is up while the session goes on and is stored. Raises Ended."""

    def hold(self, run: Run, prompt: Prompt, timeout: float | None) -> AgentResult:
        """The session; when it returns no process of it is alive. `run` says whom to tell of its progress."""

    def store(self) -> Snapshot:
        """Keep what it left, whatever has ended it."""


@runtime_checkable
class Elsewhere(Protocol):
    """What a `run.Machine` is."""

    def venue(self, run: Run, this: Attempt, base: Base) -> Venue: ...


class Here:
    """A workspace on this machine."""

    def __init__(self, run: Run, this: Attempt, base: Base) -> None:
        self._run, self._this, self._base = run, this, base
        self._where: Place | None = None

    @property
    def where(self) -> Place:
        assert self._where is not None
        return self._where

    def ready(self, start: str) -> str:
        run, base = self._run, self._base
        try:
            self._where = ready(run, "agent", start, base.commit, base_tree=base.tree)
        except SetupFailed as failed:
            if start != base.tree:
                return self.ready(base.tree)
            raise Ended(
                Outcome(
                    Kind.BASE_RED, str(failed), evidence=failed.evidence, log=str(failed.log), gate="setup"
                )
            ) from failed
        return start

    def services(self) -> AbstractContextManager[None]:
        return services.of_session(self._run, self._this, self.where)

    def hold(
        self, run: Run, prompt: Prompt, timeout: float | None, budget_usd: float | None = None
    ) -> AgentResult:
        """`budget_usd`: the most that it may cost, where that has been decided elsewhere."""
        return hold_session(run, self._this, self.where, self._base, prompt, timeout, budget_usd)

    def store(self) -> Snapshot:
        return store(self._run, self._this, self.where, self._base.tree)


def venue_of(run: Run, this: Attempt, base: Base) -> Venue:
    """The venue for one attempt."""
    if run.machine is None:
        return Here(run, this, base)
    assert isinstance(run.machine, Elsewhere)
    return run.machine.venue(run, this, base)


def prepare(run: Run, tree: str, commit: str) -> None:
    """Begin to make ready what the next session here will probably start from."""
    if run.machine is None:
        make_ahead(run, "agent", tree, commit)
