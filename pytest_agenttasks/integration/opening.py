"""What has to be there before the first task: agents, signals, the run's own state, and the checks of a start."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from _pytest.junitxml import xml_key

from .. import canary
from ..agents.registry import built_in_agents
from ..base import memory_of
from ..checkpoint import Checkpoint
from ..far.names import Elsewhere
from ..journal import Journal
from ..keep_awake import kept_awake
from ..memory.upkeep import size_warning
from ..outcome import SetupError
from ..preflight import check, check_agent
from ..queue import ensure_folders
from ..recovery import anything_left, recover_all
from ..report.printable import printable
from ..run import Run, open_run
from ..runs import run_lock
from ..trees.git import GitError
from . import limits
from .announcer import Announcer
from .extensions import BUILT_IN, HookExtensions
from .screen import Screen
from .session import QueueSession
from .terminal import Terminal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def open_for(
    session: QueueSession,
    screen: Screen,
    stack: ExitStack,
    listener: Callable[[dict[str, Any]], None],
    branch: str | None = None,
) -> Run:
    """The run of this process on `branch` (None: the one checked out); `stack` closes it. Raises SetupError.

    `listener` hears of each event that this process writes.
    """
    config, plan = session.config, session.plan
    extensions = HookExtensions(config)
    for agent_name, agent in built_in_agents().items():
        name = f"{BUILT_IN}{agent_name}"
        if not config.pluginmanager.has_plugin(name):
            config.pluginmanager.register(agent, name)
    run = open_run(
        session.repository, plan.queue, plan.settings, plan.settings_file, extensions,
        listeners=[listener], progress=screen.progress, typed=plan.typed,
        branch=branch, began=plan.began.timestamp(), until=limits.end(plan.settings, plan.began),
        workers=int(getattr(config, "workerinput", {}).get("workercount", 1)),
    )  # fmt: skip
    stack.callback(run.close)
    run.supervisor.tick = screen.tick
    stack.callback(screen.clear)
    run.titles.update({task.name: task.title for task in plan.tasks})
    return run


def elsewhere(run: Run, machine: str, stack: ExitStack) -> Run:
    """The same run, with its sessions on the machine that this spec names; `stack` ends the connection."""
    from ..far.machine import Machine

    there = Machine(Elsewhere(machine))
    stack.callback(there.close)
    return replace(run, machine=there)


CheckAgents = Callable[[Run, Callable[[str], None]], None]


def start(
    session: QueueSession,
    terminal: Terminal,
    announcer: Announcer,
    stack: ExitStack,
    check_agents: CheckAgents = check_agent,
) -> Run:
    """Everything that is looked at before anything is spent. Raises SetupError; `stack` ends the run."""
    announcer.open()
    try:
        return _start(session, terminal, announcer, stack, check_agents)
    except SetupError as error:
        announcer.refused(error)
        raise


def mend(session: QueueSession, terminal: Terminal, announcer: Announcer) -> None:
    """Without a task to run: what a killed run has left is put right all the same. Raises SetupError."""
    journal = session.repository.home / "journal.jsonl"
    if not journal.exists() or not anything_left(Journal(journal).history):
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(run_lock(session.repository, session.queue))
        except SetupError:  # a run goes on: it has looked itself
            return
        run = open_for(session, terminal, stack, announcer.hear)
        recover_all(run, terminal.say)


def _start(
    session: QueueSession,
    terminal: Terminal,
    announcer: Announcer,
    stack: ExitStack,
    check_agents: CheckAgents,
) -> Run:
    stack.enter_context(run_lock(session.repository, session.queue))
    awake = stack.enter_context(kept_awake(session.settings.keep_awake, session.notes.append))
    run = open_for(session, terminal, stack, announcer.hear)
    stack.callback(ensure_folders, session.queue)
    terminal.begin("checks before the first task")
    check(run, terminal.say, check_agents)
    _ask_canary(run, session, terminal)
    awake()
    terminal.clear()
    session.run = run
    announcer.account.checkpoint = Checkpoint(run)
    stack.callback(_warn_of_size, run, session)
    announcer.begin()
    return run


def _ask_canary(run: Run, session: QueueSession, terminal: Terminal) -> None:
    """Whether the gates look at this checkout at all: said before the first task, at the end, and in JUnit."""
    answer = canary.at_start(run)
    if answer is None:
        return
    told = canary.explain(answer)
    if answer.guarded in ("no", "unknown"):
        warning = f"WARNING: canary: {told}"
        terminal.say(warning)
        session.notes.append(warning)
    xml = session.config.stash.get(xml_key, None)
    if xml is not None:
        xml.add_global_property("canary", printable(f"{answer.guarded}: {answer.why}"))


def _warn_of_size(run: Run, session: QueueSession) -> None:
    """At the end, for sessions have added to it."""
    with suppress(SetupError, GitError):  # said where it matters
        memory = memory_of(run.shadow, run.repository.tip(), run.settings.memory.file)
        if warning := size_warning(run.settings.memory.file, memory.text):
            session.notes.append(f"WARNING: {warning}")


def obey_signals(stack: ExitStack) -> None:
    """What ends a process without a word becomes a Ctrl-C, until `stack` is closed."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has SIGHUP ignored, and means it
            stack.callback(signal.signal, number, signal.signal(number, _interrupt))


@contextmanager
def warnings_are_no_errors() -> Iterator[None]:
    """`filterwarnings = error` is for the project's tests: here it would make a library's deprecation end a session."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {signal.Signals(number).name}")


def usage_error(error: Exception) -> pytest.UsageError:
    return pytest.UsageError(printable(str(error)))
