"""One item from start to end: attempts as reruns, waits between them, and the ways in which a run stops."""

from __future__ import annotations

import faulthandler
import signal
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import pytest_timeout  # type: ignore[import-untyped]
from _pytest.junitxml import xml_key
from _pytest.runner import runtestprotocol

from .. import canary
from ..agents.registry import built_in_agents
from ..outcome import SetupError
from ..plan import order
from ..preflight import check
from ..queue import ensure_folders
from ..report.printable import printable
from ..retry import Again, Stop
from ..run import Run, open_run
from ..runs import run_lock
from . import limits
from .collection import TaskFailed, TaskItem, folder
from .extensions import BUILT_IN, HookExtensions
from .session import QueueSession
from .terminal import Terminal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Protocol:
    """The hooks that make pytest run tasks."""

    def __init__(self, session: QueueSession, terminal: Terminal) -> None:
        self.queue_session = session
        self.terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """A session_timeout of the ini file is for the project's tests: it must not cut a night's run short."""
        if config.getoption("session_timeout", None) is None:
            config.stash[pytest_timeout.SESSION_EXPIRE_KEY] = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        pending = self.queue_session.queue.pending
        if path != pending and path not in pending.parents:
            return None
        return folder(self.queue_session, path, parent)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Dependencies first, whatever other plugins did to the order; runs after all of them."""
        result = yield
        tasks = {item.task.name: item for item in items if isinstance(item, TaskItem)}
        if len(tasks) == len(items):
            planned = [task.name for task in self.queue_session.tasks() if task.name in tasks]
            ordered = order(planned, {name: tasks[name].task.front.depends_on for name in planned})
            items[:] = [tasks[name] for name in ordered]
        if config.getoption("lf", False):
            self._only_last_failed(config, items)
        return result

    def _only_last_failed(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """--lf: pytest would run all tasks when those that failed are no longer pending; that would be spending."""
        cache = config.cache
        folder = self.queue_session.node_id
        known = cache.get("cache/lastfailed", {}) if cache is not None else {}
        failed = [node_id for node_id in known if node_id.startswith(f"{folder}/")]
        if not failed or any(item.nodeid in failed for item in items):
            return
        config.hook.pytest_deselected(items=items[:])
        items.clear()
        names = " ".join(node_id.rpartition("::")[2] for node_id in failed)
        self.queue_session.notes.append(
            f"--lf: the tasks that failed last are not pending; `agenttasks requeue {names}` puts them back into the queue"
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.queue_session.chosen = [item.task for item in session.items if isinstance(item, TaskItem)]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        if session.config.option.collectonly or not session.items or session.testsfailed:
            return (yield)
        with _warnings_are_no_errors(), ExitStack() as stack:
            try:
                self._start(session, stack)
            except SetupError as error:
                raise pytest.UsageError(printable(str(error))) from error
            return (yield)

    def _start(self, session: pytest.Session, stack: ExitStack) -> None:
        ours = self.queue_session
        extensions = HookExtensions(session.config)
        for agent_name, agent in built_in_agents().items():
            name = f"{BUILT_IN}{agent_name}"
            if not session.config.pluginmanager.has_plugin(name):
                session.config.pluginmanager.register(agent, name)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup has SIGHUP ignored, and means it
                stack.callback(signal.signal, number, signal.signal(number, _interrupt))
        stack.enter_context(run_lock(ours.repository, ours.queue))
        run = open_run(
            ours.repository, ours.queue, ours.settings, ours.settings_file, extensions,
            listeners=[extensions.event], progress=self.terminal.progress, typed=ours.typed,
        )  # fmt: skip
        stack.callback(run.close)
        stack.callback(ensure_folders, ours.queue)
        run.supervisor.tick = self.terminal.tick
        stack.callback(self.terminal.clear)
        run.titles.update({task.name: task.title for task in ours.tasks()})
        self.terminal.begin("checks before the first task")
        check(run, self.terminal.say)
        self._ask_canary(run, session.config)
        self.terminal.clear()
        ours.run = run
        run.events.write("run-started", tasks=len(session.items), branch=run.branch)
        stack.callback(
            lambda: run.events.write(
                "run-ended", landed=ours.used.landed, spent_usd=round(ours.used.spent, 4)
            )
        )

    def _ask_canary(self, run: Run, config: pytest.Config) -> None:
        """Whether the gates look at this checkout at all: said before the first task, at the end, and in JUnit."""
        answer = canary.at_start(run)
        if answer is None:
            return
        told = canary.explain(answer)
        if answer.guarded in ("no", "unknown"):
            warning = f"WARNING: canary: {told}"
            self.terminal.say(warning)
            self.queue_session.notes.append(warning)
        xml = config.stash.get(xml_key, None)
        if xml is not None:
            xml.add_global_property("canary", printable(f"{answer.guarded}: {answer.why}"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not isinstance(item, TaskItem):
            return None
        ours = self.queue_session
        reason = limits.reached(ours.settings, ours.used, ours.started)
        if reason is not None:
            item.session.shouldstop = reason
            return True
        faulthandler.cancel_dump_traceback_later()  # the ini file's faulthandler_timeout, which may even end the process
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        try:
            with _warnings_are_no_errors():
                self._attempts(item, nextitem)
        except KeyboardInterrupt:
            self._interrupted(item)
            raise
        finally:
            self.terminal.clear()
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _attempts(self, item: TaskItem, nextitem: pytest.Item | None) -> None:
        session = self.queue_session
        reruns = 0
        while True:
            item._report_sections.clear()
            self.terminal.begin(f"{item.task.name}: attempt {reruns + 1}")
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
            call = next((report for report in reports if report.when == "call"), None)
            if call is None:
                self._log(item, reports)
                return
            decision = session.decide(item)
            if isinstance(decision, Again) and (
                reason := limits.reached(session.settings, session.used, session.started)
            ):
                decision = Stop(reason)
            if isinstance(decision, Again):
                call.user_properties = []
                reruns += 1
                self._rerun(item, call, reruns)
                self._pause(item, decision)
                continue
            try:
                session.finish(item, decision)
            except SetupError as error:
                decision = Stop(str(error))
            item.user_properties[:] = session.properties(item)
            for report in reports:
                report.user_properties = list(item.user_properties)
            self._log(item, reports)
            if isinstance(decision, Stop):
                item.session.shouldstop = printable(decision.why)
            return

    def _log(self, item: TaskItem, reports: Sequence[pytest.TestReport]) -> None:
        self.terminal.clear()
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)

    def _rerun(self, item: TaskItem, report: pytest.TestReport, number: int) -> None:
        report.outcome = "rerun"  # type: ignore[assignment]
        report.rerun = number  # type: ignore[attr-defined]
        self._log(item, [report])

    def _pause(self, item: TaskItem, decision: Again) -> None:
        """Wait, shown and interruptible."""
        session = self.queue_session
        began = time.monotonic()
        end = began + decision.delay
        run = session.run
        assert run is not None
        if decision.delay > 0:
            run.events.write("waiting", task=item.task.name, seconds=round(decision.delay), why=decision.why)
        self.terminal.wait()
        while (left := end - time.monotonic()) > 0:
            self.terminal.waiting(item.task.name, decision.why, left)
            time.sleep(min(left, 1.0))
        self.terminal.clear()
        if session.progress[item.task.name].outcomes[-1].kind.charged is False:
            session.progress[item.task.name].waited += time.monotonic() - began

    def _interrupted(self, item: TaskItem) -> None:
        """Report the task that was stopped: without this, one that was tried before would look passed in JUnit."""
        if item.task.name in self.queue_session.rows:
            return
        outcome = self.queue_session.interrupted(item)
        item.user_properties[:] = self.queue_session.properties(item)

        def fail() -> None:
            raise TaskFailed(outcome)

        phases: list[tuple[Any, Callable[[], None]]] = [("call", fail), ("teardown", lambda: None)]
        calls = [pytest.CallInfo.from_call(function, phase) for phase, function in phases]
        self._log(item, [item.ihook.pytest_runtest_makereport(item=item, call=call) for call in calls])

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item) -> bool | None:
        """No alarm may fire in the middle of a landing: the supervisor holds the time."""
        return True if isinstance(item, TaskItem) else None

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> bool | None:
        return True if isinstance(item, TaskItem) else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """0 only when every chosen task landed."""
        if (
            exitstatus == pytest.ExitCode.OK
            and not session.config.option.collectonly
            and not self.queue_session.all_landed
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@contextmanager
def _warnings_are_no_errors() -> Iterator[None]:
    """`filterwarnings = error` is for the project's tests: here it would make a library's deprecation end a session."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {signal.Signals(number).name}")
