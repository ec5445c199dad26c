"""Several agents at once: the side of pytest-xdist that hands tasks out, in the process with the terminal."""

from __future__ import annotations

import copy
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from xdist.dsession import Interrupted  # type: ignore[import-untyped]

from ..far.names import Elsewhere
from ..outcome import Kind, SetupError
from ..preflight import check_agent
from ..report.printable import printable
from ..report.summary import Row
from ..run import Run
from ..spending import occupied
from ..trees.repository_checks import working_branch
from . import wire
from .announcer import Announcer
from .board import Board
from .collection import Explanation
from .crash import end_worker, untold
from .crew import Crew, Member
from .hand_over import to_plain
from .limits import OwnAccount, Reason
from .machines import machine_of, some_here
from .opening import mend, obey_signals, start, usage_error, warnings_are_no_errors
from .schedule import Schedule
from .scheduler import TaskScheduler
from .session import QueueSession
from .terminal import Terminal

MOST_CRASHES = 2
"""How often a task whose worker died is handed to another one."""
DRAIN = 9.0
"""Seconds that interrupted workers get to end their agents and say so; xdist gives them 10."""


class Distribution:
    """The hooks of a run with `-n`."""

    def __init__(
        self,
        session: QueueSession,
        account: OwnAccount,
        terminal: Terminal,
        announcer: Announcer,
        machines: Sequence[Elsewhere] = (),
    ) -> None:
        self.queue_session = session
        self.account = account
        self.terminal = terminal
        self.machines = machines
        self.announcer = announcer
        self.crew = Crew(account)
        self.scheduler = TaskScheduler(session.config, account, self._begin, self._tick, self._leaves)
        self.board = Board(session, self.crew, self.scheduler)
        session.config.pluginmanager.register(self.board, "agenttasks-board")
        self._plain: dict[str, Any] = {}
        self._crashes: dict[str, int] = {}
        self._stack = ExitStack()

    @pytest.hookimpl
    def pytest_configure_node(self, node: Any) -> None:
        """Hand the plan to a worker that is about to start."""
        session = self.queue_session
        if not self._plain:
            try:
                branch = working_branch(session.repository)
            except SetupError as error:
                raise usage_error(error) from error
            top = str(session.repository.top)
            self._plain = {wire.PLAN: to_plain(session.plan), wire.TOP: top, wire.BRANCH: branch}
        channel = node.gateway.newchannel()
        machine = machine_of(node.gateway.spec, self.machines)
        label = f"{node.gateway.id} on {machine.name}" if machine is not None else node.gateway.id
        channel.setcallback(self.crew.join(node.gateway.id, channel.send, label))
        frozen = self.scheduler.collection
        elsewhere = None if machine is None else machine.spec
        node.workerinput.update(
            {**self._plain, wire.FROZEN: frozen, wire.CHANNEL: channel, wire.MACHINE: elsewhere}
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self) -> Any:
        return self.scheduler

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        distributed: Any = session.config.pluginmanager.get_plugin("dsession")
        with warnings_are_no_errors(), self._stack as stack:
            obey_signals(stack)
            stack.callback(self.board.close)
            stack.enter_context(_Ticks(distributed.queue))
            try:
                result = yield
            except Interrupted:
                if session.shouldfail:
                    raise session.Failed(session.shouldfail) from None  # -x, as it ends a run without -n
                raise
            except KeyboardInterrupt:
                self._drain(distributed)
                raise
            finally:
                self._take_messages()
                self.queue_session.stopped = self.scheduler.stopped
            if self.scheduler.stopped is not None:
                raise session.Interrupted(self.scheduler.stopped)
            return result

    def _begin(self, node_ids: Sequence[str]) -> Schedule:
        """The checks of a start, once it is known which tasks were chosen."""
        session = self.queue_session
        tasks = {session.plan.node_id(task): task for task in session.plan.tasks}
        session.chosen = [tasks[node_id] for node_id in node_ids]
        try:
            if session.chosen:
                start(session, self.terminal, self.announcer, self._stack, self._check_agents)
            else:
                mend(session, self.terminal, self.announcer)
        except SetupError as error:
            raise usage_error(error) from error
        if session.chosen:
            run = session.run
            assert run is not None
            self.account.occupied = lambda handed_out: occupied(run, handed_out)
            self.board.open()
        return Schedule(session.chosen)

    def _check_agents(self, run: Run, say: Callable[[str], None]) -> None:
        """Wherever sessions will be held. Raises SetupError."""
        from ..far.machine import Machine

        if some_here(self.queue_session.config.option):
            check_agent(run, say)
        for where in self.machines:
            machine = Machine(where)
            try:
                machine.check(run, say)
            finally:
                machine.close()

    def _leaves(self, node: Any) -> bool:
        return node.gateway.id in self.crew.leaving

    def _tick(self) -> None:
        self._take_messages()
        self.board.tick()

    def _take_messages(self) -> None:
        while self.crew.stops:
            self.scheduler.stop(self.crew.stops.pop(0))
        while self.crew.events:
            self.announcer.hear(self.crew.events.pop(0))
        while self.crew.notes:
            self.queue_session.notes.append(self.crew.notes.pop(0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What came with a report; before anybody else sees it, and before the scheduler hears that the task is over."""
        self._take_messages()
        # One testcase a task: JUnit would write one for each worker that has had it.
        worker = report.__dict__.pop("node", None)
        report.worker = worker.gateway.id if worker is not None else None  # type: ignore[attr-defined]
        told = report.__dict__.get("agenttasks") or {}
        self.queue_session.notes += told.get("notes", [])
        if "explanation" in told:
            report.longrepr = Explanation.from_plain(*told["explanation"])
        if "row" in told:
            name = self.scheduler.name_of(report.nodeid)
            self.queue_session.rows[name] = wire.row_of(name, told["row"])

    @pytest.hookimpl
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if not error:
            self.crew.leave(node.gateway.id)

    @pytest.hookimpl(trylast=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A worker died in the middle of a task: its agent is ended first, then the task may run again."""
        name = self.scheduler.name_of(crashitem)
        worker: Any = report.node
        member = self.crew.leave(worker.gateway.id) or Member(worker.gateway.id)
        self.board.clear()
        run = self.queue_session.run
        assert run is not None
        try:
            end_worker(run, member, self.terminal.say)
        except SetupError as error:
            self.scheduler.stop(str(error))
        self.account.add(untold(run, member))
        self._crashes[name] = self._crashes.get(name, 0) + 1
        again = self._crashes[name] <= MOST_CRASHES and self.scheduler.stopped is None
        kind = Kind.INTERRUPTED if again or self.scheduler.stopped is not None else Kind.INTERNAL
        summary = f"its worker {member.name} died ({self._crashes[name]} of {MOST_CRASHES + 1})"
        run.events.write("worker-died", task=name, worker=member.name)
        row = Row(name, kind, self._crashes[name], 0.0, None, None, summary)
        advice = "it is tried again" if again else "the task is still pending; its attempts are kept"
        report.when = "call"
        report.longrepr = printable(f"{name}: {summary}; {advice}")
        report.agenttasks = {"tried" if again else "row": wire.plain_row(row)}  # type: ignore[attr-defined]
        report.outcome = "rerun" if again else "failed"  # type: ignore[assignment]
        report.user_properties = [("outcome", kind.value), ("attempts", str(self._crashes[name]))]
        if not again:  # this report, which xdist logs next, becomes the one that closes the testcase in JUnit
            self.queue_session.config.hook.pytest_runtest_logreport(report=copy.copy(report))
            report.when, report.outcome, report.longrepr = "teardown", "passed", None
        self.scheduler.after_crash(name, again=again)

    def _drain(self, distributed: Any) -> None:
        """Have the workers end their agents, and take what they report of it."""
        self.scheduler.stop(Reason("interrupted", "interrupted"))
        distributed.triggershutdown()
        for member in self.crew.members.values():
            if member.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGTERM)
        deadline = time.monotonic() + DRAIN
        while self.scheduler.busy and time.monotonic() < deadline:
            try:
                distributed.loop_once()
            except RuntimeError:  # nobody is left
                return


class _Ticks:
    """Wakes xdist's loop a few times a second, by an event that its scheduler takes as a tick."""

    INTERVAL = 0.25

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agenttasks-ticks", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self.INTERVAL):
            if self._queue.empty():
                self._queue.put(("unscheduled", {"node": None, "indices": ()}))
