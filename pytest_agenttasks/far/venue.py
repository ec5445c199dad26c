"""One attempt whose session is held on another machine: what leaves this one, and what comes back."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from .. import spending
from ..agents.contract import STARTING, AgentResult, Progress, Prompt
from ..attempt_record import Attempt, logs_of
from ..base import Base
from ..held_signals import uninterrupted
from ..outcome import Ended, Kind, Outcome, SetupError
from ..run import Run
from ..session import keep_attempt
from ..trees.checkout import sweep_ahead
from ..trees.snapshot import Snapshot
from . import messages
from .connection import Lost, Stopped, Unreachable
from .logs import write_log
from .packs import pieces, present

if TYPE_CHECKING:
    from .machine import Machine

PATIENCE = 5.0
"""Seconds for an agent there to be ended and its work stored, and as many for that to be fetched, after a Ctrl-C:
workers get ten."""
CLOSING = 600.0
"""Seconds beyond a session's own limits after which it counts as lost."""


class There:
    """A workspace on another machine."""

    def __init__(self, machine: Machine, run: Run, this: Attempt, base: Base) -> None:
        self._machine, self._run, self._this, self._base = machine, run, this, base
        self._left: messages.Left | None = None
        self._lost: Outcome | None = None
        self._stopped = False

    def _note(self, line: str) -> None:
        self._run.events.write("elsewhere", host=self._machine.name, what=line)

    def ready(self, start: str) -> str:
        run, this, base, machine = self._run, self._this, self._base, self._machine
        run.progress(this.task.name, Progress(step=f"on its way to {machine.name}"))
        this.notes.append(f"its session was held on {machine.name}")
        try:
            connection = machine.connected(run, self._note)
            has = messages.read(connection.ask(messages.HAVE), messages.Has)
            machine.fetch_left(run, has.attempts, self._note)
            known = present(run.shadow, has.commits)
            wanted = [base.commit] if base.commit not in known else []
            wanted += [start] if start != base.tree else []
            beside = base.commit if base.commit in known else ""
            pack = pieces(run.shadow, run.shadow.git_dir, wanted, known, beside)
            request = messages.Session(
                task=this.task.name, data=this.task.data, attempt=this.number, base=base.commit, tree=base.tree, start=start,
                rules=messages.plain(base.rules),
            )  # fmt: skip
            document = connection.ask(messages.READY, request, pack)
        except (Lost, Stopped) as lost:
            machine.close()
            raise Ended(self._network(f"the connection to {machine.name} was lost ({lost})")) from lost
        except Unreachable as error:
            raise Ended(self._network(str(error))) from error
        except BaseException:
            machine.close()  # an answer may still be on its way
            raise
        return messages.read(document, dict[str, str])["start"]

    def services(self) -> AbstractContextManager[None]:
        return nullcontext()  # they are there, around the session

    def hold(self, run: Run, prompt: Prompt, timeout: float | None) -> AgentResult:
        own = self._this.task.front.budget_usd or self._run.settings.agent.budget_usd
        with spending.session(self._run, self._this, self._this.stem, own) as held:
            result = held.result = self._hold(run, prompt, timeout, held.cap.usd)
        return spending.judged(held, result)

    def _hold(self, run: Run, prompt: Prompt, timeout: float | None, budget_usd: float | None) -> AgentResult:
        this, machine = self._this, self._machine
        settings = self._run.settings
        logs = logs_of(run, this.task)
        try:
            connection = machine.connection
            connection.progress = lambda now: run.progress(this.task.name, now)
            connection.log = lambda piece, data: write_log(logs, this.stem, piece, data)
            run.progress(this.task.name, STARTING)
            this.begun = True
            services = settings.workspace
            limit = min(this.task.front.timeout or settings.agent.timeout, timeout or float("inf"))
            within = limit + services.up_timeout + services.down_timeout + CLOSING
            try:
                told = messages.Told(prompt=prompt.text, timeout=timeout, budget_usd=budget_usd)
                document = connection.ask(messages.HOLD, told, within=within)
            except KeyboardInterrupt:
                self._stopped = True
                with uninterrupted():
                    connection.tick = lambda: None
                    connection.tell(messages.STOP)
                    document = connection.answer(messages.HOLD, within=PATIENCE)
                    self._take(document)
                raise
        except Lost as lost:
            self._lost = self._network(f"the connection to {machine.name} was lost ({lost})")
            if self._stopped:
                raise KeyboardInterrupt from lost
            raise Ended(self._lost) from lost
        left = self._take(document)
        if left.ended is not None:
            raise Ended(messages.outcome_of(left.ended))
        if left.result is None:
            raise SetupError(f"{machine.name}: the session came to no end")
        return messages.result_of(left.result)

    def _take(self, document: str) -> messages.Left:
        left = self._left = messages.read(document, messages.Left)
        self._this.denials = left.denials
        self._this.begun = left.begun
        self._this.notes += [f"{self._machine.name}: {note}" for note in left.notes]
        return left

    def store(self) -> Snapshot:
        """Raises Ended, or KeyboardInterrupt after a Ctrl-C, where it cannot be fetched now: it is kept there until it is."""
        this, run, machine = self._this, self._run, self._machine
        later = f"what it had done is kept on {machine.name}, in {machine.top}, until it can be fetched"
        if self._left is None:
            machine.close()  # an answer may still be on its way
            if self._lost is not None:
                this.notes.append(later)
                if self._stopped:
                    raise KeyboardInterrupt
                raise Ended(self._lost)
        if self._left is None or not self._left.tree:  # what ended it is on its way up
            return Snapshot(self._base.tree, (), (), ())
        left = self._left
        sweep_ahead(run, "gate")
        with uninterrupted():
            try:
                self._fetch(left)
            except Lost as lost:
                machine.close()
                this.notes.append(later)
                if self._stopped:
                    raise KeyboardInterrupt from lost
                raise Ended(self._network(f"the connection to {machine.name} was lost ({lost})")) from lost
        return Snapshot(left.tree, left.oddities, left.left_over, left.empty)

    def _fetch(self, left: messages.Left) -> None:
        run, this, machine = self._run, self._this, self._machine
        within = PATIENCE if self._stopped else None
        began = time.monotonic()
        tree = machine.fetch(run, this, self._base.commit, within=within)
        if tree != left.tree:
            raise SetupError(
                f"{machine.name}: attempt {this.number} of {this.task.name} is another one there"
            )
        keep_attempt(run, this, tree, self._base.tree)
        run.events.write(
            "fetched", task=this.task.name, attempt=this.number, host=machine.name, took=round(time.monotonic() - began, 3)
        )  # fmt: skip
        machine.forget(this.task.name, this.number)

    def _network(self, summary: str) -> Outcome:
        """Uncharged, and tried again. Unlike an agent's service that is out, it says nothing of other sessions."""
        return Outcome(Kind.NETWORK, summary, advice="see that machine; the task is tried again by itself")
