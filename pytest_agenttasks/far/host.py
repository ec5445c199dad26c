"""Over there: does what is asked over the connection. Sessions are held as they are at home, on a run of its own.

Whatever ends a session, what it left is stored there first, and stays until it is stored at home. When the connection is
gone, what runs is ended and stored, and this process ends; what a kill has left the next one mends.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pluggy
from filelock import FileLock
from msgspec import structs

from ..agents.contract import AgentResult, AgentWorkspace, Prompt
from ..agents.registry import built_in_agents, unknown
from ..agents.registry import preflight as agent_preflight
from ..attempt_record import Attempt, logs_of
from ..base import Base
from ..journal_records import AttemptEnded, AttemptStarted
from ..outcome import Ended, Kind, Outcome, SetupError
from ..processes import cgroup_tree, sandbox
from ..queue import Queue, ensure_folders
from ..recovery import clear_place, recover_all
from ..run import NoExtensions, Run, agent_environment, agent_files, open_run
from ..settings.records import BudgetSettings, TaskBudget
from ..tasks.task import Task, parse
from ..trees import recipe_checks
from ..trees.checkout import environment
from ..trees.places import place
from ..trees.repository import Repository
from ..trees.snapshot import Snapshot
from ..venue import Here
from . import messages
from .clone import attempts_in, commits_of, move_branch, open_clone, take_tags
from .line import Line, Logs
from .messages import Message
from .packs import arriving, pieces


class BuiltIn(NoExtensions):
    """The agents that come with the package; hooks of plugins are asked at home."""

    def __init__(self) -> None:
        manager = pluggy.PluginManager("pytest")
        from .. import hookspecs

        manager.add_hookspecs(hookspecs)
        for agent in built_in_agents().values():
            manager.register(agent)
        self._hook = manager.hook

    def run_agent(self, task: Task, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult | None:
        result: AgentResult | None = self._hook.pytest_agenttasks_run_agent(
            task=task, workspace=workspace, prompt=prompt
        )
        return result


@dataclass
class Opened:
    """What is there by now; each request takes it a step further."""

    repository: Repository | None = None
    branch: str = ""
    run: Run | None = None
    here: Here | None = None
    this: Attempt | None = None
    said: tuple[str, ...] = ()


def serve(channel: Any) -> None:
    """Answer requests until the connection is gone."""
    line = Line(channel)
    with ExitStack() as stack:
        stack.callback(line.close)
        opened = Opened()
        for request in line.requests():
            answer, document = _answer(line, stack, opened, request)
            line.send(answer, document)


def _answer(line: Line, stack: ExitStack, opened: Opened, request: Message) -> tuple[str, object]:
    name, document, _ = request
    try:
        return name, _REQUESTS[name](line, stack, opened, document)
    except Ended as ended:
        return messages.ENDED, ended.outcome
    except SetupError as error:
        return messages.REFUSED, {"why": str(error)}
    except KeyboardInterrupt:
        return messages.STOPPED, None
    except Exception as error:  # noqa: BLE001 - said at home, which decides
        why = f"{type(error).__name__}: {error}"
        return messages.BROKEN, {"why": why, "trace": "".join(traceback.format_exception(error))}


def _clone(_line: Line, _stack: ExitStack, opened: Opened, document: str) -> object:
    wanted = messages.read(document, messages.Clone)
    opened.repository = open_clone(wanted)
    opened.branch = wanted.branch
    return messages.Has(commits=commits_of(opened.repository), top=str(opened.repository.top))


def _open(line: Line, stack: ExitStack, opened: Opened, document: str) -> object:
    wanted = messages.read(document, messages.Opening)
    repository = opened.repository
    assert repository is not None
    _take_pack(line, repository)
    with FileLock(repository.top.with_name("clone.lock")):
        move_branch(repository, opened.branch, wanted.tip)
        take_tags(repository, wanted)
    queue = Queue(repository.top / wanted.pending, wanted.queue, wanted.tracked)
    queue.pending.mkdir(parents=True, exist_ok=True)
    ensure_folders(queue)
    # What sessions may cost together is counted at home.
    settings = structs.replace(messages.settings_of(wanted.settings), budget=BudgetSettings())
    run = open_run(
        repository, queue, settings, Path(wanted.settings_file), BuiltIn(),
        progress=line.progress, typed=frozenset(wanted.typed), branch=opened.branch,
    )  # fmt: skip
    stack.callback(run.close)
    run.supervisor.tick = line.tick
    opened.run = run
    said: list[str] = []
    recover_all(run, said.append)
    return _has(run, said)


def _check(_line: Line, _stack: ExitStack, opened: Opened, _document: str) -> object:
    run = _run(opened)
    settings = run.settings.agent
    found = environment(
        run.repository, place(run.shadow, "agent", run.worker), os.environ,
        passed=agent_environment(run.settings), extra=settings.env,
    )  # fmt: skip
    described = agent_preflight(settings, found.variables)
    if described is None:
        raise SetupError(
            f"{unknown(settings.name, run.agent_named_by)}; another machine has those three only"
        )
    recipe_checks.refuse_unusable(run.provider, run.repository.tree_of(run.repository.tip()))
    agent_files(run, settings)
    said = [*sandbox.describe(run.programs.sandbox)[:1], f"agent {settings.name}: {described}"]
    if run.programs.cgroups.unheld:
        said.append(f"limits: {run.programs.cgroups.unheld}; to have them: {cgroup_tree.remedy()}")
    return _has(run, said)


def _have(_line: Line, _stack: ExitStack, opened: Opened, _document: str) -> object:
    return _has(_run(opened), ())


def _has(run: Run, said: Sequence[str]) -> messages.Has:
    run.journal.refresh()
    bases = run.journal.history.bases
    held = [
        messages.Held(task=task, attempt=number, tree=tree, base=bases.get((task, number), ""))
        for (task, number), tree in attempts_in(run.shadow).items()
    ]
    return messages.Has(
        commits=commits_of(run.repository),
        attempts=tuple(held),
        said=tuple(said),
        top=str(run.repository.top),
    )


def _ready(line: Line, _stack: ExitStack, opened: Opened, document: str) -> object:
    wanted = messages.read(document, messages.Session)
    run = _run(opened)
    _take_pack(line, run.repository)
    with FileLock(run.repository.top.with_name("clone.lock")):
        move_branch(run.repository, run.branch, wanted.base)
    clear_place(run)
    task = parse(run.queue.pending / f"{wanted.task}.md", wanted.data)
    task = replace(task, front=structs.replace(task.front, budget=TaskBudget()))  # counted at home
    this = opened.this = Attempt(task, wanted.attempt)
    run.journal.write(AttemptStarted(task=task.name, attempt=this.number, base=wanted.base, task_blob=""))
    base = Base(wanted.base, wanted.tree, None, messages.rules_of(wanted.rules))
    opened.here = Here(run, this, base)
    return {"start": opened.here.ready(wanted.start)}


def _hold(line: Line, _stack: ExitStack, opened: Opened, document: str) -> object:
    """Always stored when this returns, whatever has ended the session."""
    told = messages.read(document, messages.Told)
    run, here, this = _run(opened), opened.here, opened.this
    assert here is not None
    assert this is not None
    folder = logs_of(run, this.task)
    for old in folder.glob(f"{this.stem}.*"):  # of an earlier life of this clone
        old.unlink()
    prompt = Prompt(told.prompt, folder / f"{this.stem}.prompt.md")
    prompt.file.write_text(prompt.text, encoding="utf-8", errors="backslashreplace")
    result: AgentResult | None = None
    ended: Outcome | None = None
    stopped = False
    shot: Snapshot | None = None
    with line.telling(Logs(folder, this.stem)):
        try:
            with here.services():
                try:
                    result = here.hold(run, prompt, told.timeout, told.budget_usd)
                finally:
                    shot = here.store()
        except Ended as failed:
            ended = failed.outcome
        except KeyboardInterrupt:
            stopped = True
        if this.difference is not None:
            this.difference.result()
    kind = Kind.INTERRUPTED if stopped or ended is not None else Kind.AGENT
    run.journal.write(
        AttemptEnded(task=this.task.name, attempt=this.number, kind=kind, summary="held for another machine")
    )
    return messages.Left(
        result=None if result is None else messages.plain(result),
        ended=None if ended is None else messages.plain(_without_paths(ended)),
        begun=this.begun,
        stopped=stopped,
        denials=this.denials,
        notes=tuple(this.notes),
        tree=shot.tree if shot is not None else "",
        oddities=shot.oddities if shot is not None else (),
        left_over=shot.left_over if shot is not None else (),
        empty=shot.empty if shot is not None else (),
    )


def _without_paths(outcome: Outcome) -> Outcome:
    """Log files there are none at home."""
    return replace(outcome, log=None)


def _fetch(line: Line, _stack: ExitStack, opened: Opened, document: str) -> object:
    wanted = messages.read(document, messages.Wanted)
    run = _run(opened)
    tree = attempts_in(run.shadow).get((wanted.task, wanted.attempt))
    if tree is None:
        raise SetupError(f"attempt {wanted.attempt} of {wanted.task} is not stored there any more")
    folder = run.queue.logs / wanted.task
    if folder.is_dir():
        Logs(folder, f"attempt-{wanted.attempt}").send(line)
    for piece in pieces(run.shadow, run.shadow.git_dir, [tree], (), wanted.known):
        line.send(messages.PACK, None, piece)
    return {"tree": tree}


def _forget(_line: Line, _stack: ExitStack, opened: Opened, document: str) -> object:
    wanted = messages.read(document, messages.Wanted)
    run = _run(opened)
    run.shadow.git("update-ref", "-d", f"refs/attempts/{wanted.task}/{wanted.attempt}")
    return None


def _run(opened: Opened) -> Run:
    assert opened.run is not None
    return opened.run


def _take_pack(line: Line, repository: Repository) -> None:
    """Store the pack that comes behind the request."""
    with arriving(repository.common_dir) as pack:
        for piece in line.pieces():
            pack.add(piece)
        pack.unpack(repository, strict=False)


_REQUESTS: dict[str, Callable[[Line, ExitStack, Opened, str], object]] = {
    messages.CLONE: _clone,
    messages.OPEN: _open,
    messages.CHECK: _check,
    messages.HAVE: _have,
    messages.READY: _ready,
    messages.HOLD: _hold,
    messages.FETCH: _fetch,
    messages.FORGET: _forget,
}
