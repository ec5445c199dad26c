"""Turning a pytest run into a run of the queue: what was typed counts, the project's own options do not."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from ..journal import Journal
from ..outcome import SetupError
from ..plugin import OPTIONS, Typed
from ..queue import Queue, finish_moves, open_queue
from ..settings.loading import load
from ..settings.records import FILE_NAME
from ..trees.repository import Repository, discover
from . import typed as typed_module
from .announcer import Announcer
from .choosing import Choosing
from .exit_status import ExitStatus
from .limits import OwnAccount
from .machines import machines_of
from .opening import usage_error
from .plan import Plan, naming, read_plan
from .serial import Serial
from .session import QueueSession
from .terminal import Terminal
from .workers_wanted import other_distribution, workers_wanted

NUMBERS = frozenset({"max_attempts", "budget.usd", "budget.sessions", "review.every_tasks"})
"""Keys whose option is given as text and means a number."""

XDIST_DECIDES = frozenset(
    {
        "numprocesses",
        "maxprocesses",
        "dist",
        "distload",
        "loadgroup",
        "tx",
        "px",
        "looponfail",
        "usepdb",
        "basetemp",
    }
)
"""Options of a worker that xdist has set: it hands no tests out itself."""


def activate(config: pytest.Config, *, within_run: bool) -> None:
    """Make `config` run the queue, or raise pytest.UsageError."""
    holder = config.pluginmanager.get_plugin("agenttasks-typed")
    assert isinstance(holder, Typed)
    typed = typed_module.options(config, holder.parser)
    if within_run:
        if typed.agent_tasks:
            raise pytest.UsageError(
                "--agent-tasks inside a gate or a session: a run does not start another; give the gate the tests' own "
                "command"
            )
        config.option.agent_tasks = None
        return
    if hasattr(config, "workerinput"):
        from .worker import activate_worker

        typed_module.forget_addopts(config.option, typed, but=XDIST_DECIDES)
        activate_worker(config)
        return
    typed_module.forget_addopts(config.option, typed)
    _refuse_unsupported(config.option)
    machines = machines_of(config.option)
    try:
        asked = _asked(config, typed)
        repository, plan = _plan(config, asked)
        arguments = _arguments(config, repository, plan, asked, typed.file_or_dir)
        several = workers_wanted(config.option) and bool(plan.tasks)
        if several:
            plan = naming(plan, arguments)
    except SetupError as error:
        raise usage_error(error) from error
    config.args[:] = arguments
    config.args_source = pytest.Config.ArgsSource.ARGS
    account = OwnAccount(plan.settings, plan.began)
    session = QueueSession(config, repository, plan, account)
    if several and (word := other_distribution(typed)):
        session.notes.append(word)
    terminal = Terminal(config, session)
    register = config.pluginmanager.register
    register(terminal, "agenttasks-terminal")
    register(ExitStatus(session), "agenttasks-exit-status")
    announcer = Announcer(session, account)
    register(announcer, "agenttasks-announcer")
    for task in plan.tasks:
        for tag in task.front.tags:
            config.addinivalue_line("markers", f"{tag}: tag of agent tasks")
    if several:
        from .distribute import Distribution

        register(Distribution(session, account, terminal, announcer, machines), "agenttasks-distribution")
    else:
        config.option.numprocesses, config.option.tx = None, []
        register(Choosing(session), "agenttasks-choosing")
        register(Serial(session, account, terminal, announcer), "agenttasks-serial")


def _refuse_unsupported(option: argparse.Namespace) -> None:
    if getattr(option, "usepdb", False) or getattr(option, "trace", False):
        raise pytest.UsageError(
            "--pdb and --trace debug Python tests; `agenttasks show TASK` shows what an agent did"
        )


def _asked(config: pytest.Config, typed: argparse.Namespace) -> Path:
    """The queue folder or task file, as an absolute path; addopts may name it from the ini file's folder."""
    given = config.option.agent_tasks
    here = _absolute(config.invocation_params.dir / given)
    if typed.agent_tasks or here.exists() or config.inipath is None:
        return here
    return _absolute(config.inipath.parent / given)


def _plan(config: pytest.Config, asked: Path) -> tuple[Repository, Plan]:
    directory = config.invocation_params.dir
    start = asked if asked.is_dir() else asked.parent
    repository = discover(start if start.is_dir() else directory)
    queue = open_queue(repository, asked)
    _refuse_other_folders(queue)
    finish_moves(queue, lambda: Journal(repository.home / "journal.jsonl").history.charged)
    named = config.getoption("agent_config")
    file = _absolute(directory / named) if named else repository.top / FILE_NAME
    if named and not file.is_file():
        raise SetupError(f"--agent-config {named}: no such file")
    given = _overrides(config)
    settings = load(file, given)
    return repository, read_plan(repository, queue, settings, file, frozenset(given), config.rootpath)


def _refuse_other_folders(queue: Queue) -> None:
    """What is no task is moved to failed/: a slip must not do that to finished tasks or to a project's own documents."""
    if queue.pending.name in ("done", "failed", "logs"):
        raise SetupError(f"{queue.pending}: tasks there have run; name the folder of pending ones")
    if queue.pending.name != "pending" and not queue.done.is_dir() and not queue.failed.is_dir():
        raise SetupError(
            f"{queue.pending}: no queue: neither done/ nor failed/ is beside it; make these folders if it is to be one"
        )


def _overrides(config: pytest.Config) -> dict[str, object]:
    """Key in agenttasks.yaml → value, from the options. Raises SetupError naming the option."""
    given: dict[str, object] = {}
    for flag, _, _, key in OPTIONS:
        text = config.getoption(flag.lstrip("-").replace("-", "_"), None)
        if not key or text is None:
            continue
        given[key] = _number(text) if key in NUMBERS else text
        try:
            load(Path(os.devnull), {key: given[key]})
        except SetupError as error:
            reason = str(error).removeprefix("command line: ").removeprefix(f"`{key}`: ")
            raise SetupError(f"{flag} {text}: {reason}") from error
    if "wait" not in given and os.environ.get("CI"):
        given["wait"] = 0
    return given


def _number(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _arguments(
    config: pytest.Config, repository: Repository, plan: Plan, asked: Path, typed: list[str]
) -> list[str]:
    """What to collect: the tasks that were typed, or all that --agent-tasks names. Raises SetupError."""
    if not typed and asked.is_dir():
        return [str(plan.queue.pending)]
    bases = (config.invocation_params.dir, config.rootpath, repository.top)
    return [_argument(plan.queue, bases, argument) for argument in typed or [str(asked)]]


def _argument(queue: Queue, bases: Sequence[Path], argument: str) -> str:
    """A task file, the node id of a task, or a folder around the queue, spelled as pytest finds it. Raises SetupError."""
    name, separator, rest = argument.partition("::")
    real = queue.pending.resolve()
    for base in bases:
        path = _absolute(base / name)
        if path.is_dir() and real.is_relative_to(path.resolve()):
            return str(queue.pending)
        if path.parent.resolve() == real and os.path.lexists(path):
            return f"{queue.pending / path.name}{separator}{rest}"
    for folder in (queue.done, queue.failed):
        if Path(name).parent.name == queue.pending.name and os.path.lexists(folder / Path(name).name):
            raise SetupError(f"{argument}: no longer pending, it is in {folder}")
    raise SetupError(
        f"{argument}: no task of {queue.pending}; with --agent-tasks only tasks can be named "
        "(`--collect-only -q` lists them)"
    )


def _absolute(path: Path) -> Path:
    """Absolute, with links left alone: a task file that is one must not lead out of the queue."""
    return Path(os.path.abspath(path))  # noqa: PTH100
