"""What one run works with, opened once: repository, queue, journal, private repository, supervisor."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, get_args

from filelock import FileLock

from .agents.claude import login_variables
from .agents.contract import AgentResult, AgentWorkspace, Progress, Prompt
from .agents.own_files import OwnFiles, own_files
from .journal import Journal
from .left_by_git import free_index
from .outcome import SetupError
from .owner import this_process
from .processes import cgroups, sandbox
from .processes.supervisor import Finished, Supervisor
from .programs import Programs, home_of
from .queue import Queue
from .report.eventlog import EventLog
from .settings.records import AgentSettings, GateSettings, Settings
from .slots import Slot, alone, claim
from .tasks.task import Task
from .trees.ahead import Ahead
from .trees.attempts import attempts
from .trees.changes import Change
from .trees.checkout import environment
from .trees.dependencies import Provider
from .trees.git import GitError
from .trees.places import Place, Role, index_of
from .trees.repository import Repository
from .trees.repository_checks import working_branch
from .trees.shadow import Shadow, prepare
from .trees.workspace import tags


class Extensions(Protocol):
    """What plugins may add; the pytest glue answers from its hooks."""

    def run_agent(self, task: Task, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult | None: ...
    def prompt(self, task: Task, prompt: Prompt) -> Sequence[str]: ...
    def gates(self, task: Task, gates: Sequence[GateSettings]) -> Sequence[GateSettings]: ...
    def check_changes(self, task: Task, changes: Sequence[Change]) -> Sequence[str]: ...
    def commit_message(self, task: Task, message: str) -> str | None: ...
    def knows_agent(self, name: str) -> bool: ...


class Machine(Protocol):
    """Another machine, where this process's sessions are held (`venue.Elsewhere`). `given_up`: why it is no longer tried,
    None: it is."""

    @property
    def given_up(self) -> str | None: ...


class NoExtensions:
    """For verbs that run gates but no agent: nothing is added."""

    def run_agent(self, task: Task, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult | None:
        return None

    def prompt(self, task: Task, prompt: Prompt) -> Sequence[str]:
        return ()

    def gates(self, task: Task, gates: Sequence[GateSettings]) -> Sequence[GateSettings]:
        return ()

    def check_changes(self, task: Task, changes: Sequence[Change]) -> Sequence[str]:
        return ()

    def commit_message(self, task: Task, message: str) -> str | None:
        return None

    def knows_agent(self, name: str) -> bool:
        return False


@dataclass(frozen=True)
class Run:
    """Everything that outlives one attempt. `titles` remembers the pending tasks' titles (name → title).

    `typed` are the settings' keys that the command line gave. `began`: when the whole run did, of whose workers this may be
    one; `until`: nothing is begun after that (both epoch seconds). `workers`: how many agents the run has at a time.
    `machine`: where its sessions are held, None: here.
    """

    repository: Repository
    settings: Settings
    settings_file: Path
    queue: Queue
    branch: str
    shadow: Shadow
    journal: Journal
    supervisor: Supervisor
    programs: Programs
    provider: Provider
    events: EventLog
    extensions: Extensions
    tags: bytes
    ahead: Ahead
    slot: Slot
    turn: FileLock
    overtaken: FileLock
    typed: frozenset[str] = frozenset()
    began: float = 0.0
    until: float | None = None
    workers: int = 1
    titles: dict[str, str] = field(default_factory=dict)
    progress: Callable[[str, Progress], None] = lambda task, progress: None
    machine: Machine | None = None

    @property
    def worker(self) -> int:
        """The number of its worker slot, which tells its workspaces from those of other processes."""
        return self.slot.number

    @property
    def owner(self) -> str:
        """This process, as the journal names it."""
        return self.journal.owner

    def tree_of(self, commit: str) -> str:
        """The tree of a commit that may not be in the user's repository yet."""
        return self.shadow.read(f"{commit}^{{tree}}").object_id

    @property
    def agent_named_by(self) -> str:
        """What chose the agent: the settings file, or the command line."""
        return "command line" if "agent.name" in self.typed else str(self.settings_file)

    def close(self) -> None:
        self.ahead.close()
        self.supervisor.close()
        self.slot.release()


TOOL_CACHES = (
    "__pycache__/", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".tox/", ".nox/",
)  # fmt: skip
"""What tools leave behind when an agent runs the gates, as it is told to; most hide it by an ignore file of its own, which
does not count. New files there never land; tracked ones are treated like all others."""


@contextmanager
def named(what: str) -> Iterator[None]:
    """Turn errors of files and of git into a SetupError that says what was being done."""
    try:
        yield
    except (OSError, GitError) as error:
        raise SetupError(f"{what}: {error}") from error


@named("the runner's own files cannot be used")
def open_run(
    repository: Repository,
    queue: Queue,
    settings: Settings,
    settings_file: Path,
    extensions: Extensions,
    *,
    listeners: Sequence[Callable[[dict[str, Any]], None]] = (),
    progress: Callable[[str, Progress], None] = lambda task, progress: None,
    typed: frozenset[str] = frozenset(),
    branch: str | None = None,
    began: float | None = None,
    until: float | None = None,
    workers: int = 1,
) -> Run:
    """Open a run on a repository that `repository.refuse_unusable` has passed. Raises SetupError.

    Several processes may have one open at a time, each with a worker slot of its own. `preflight.check` is for the first
    of them; it is what may take a while and what spends nothing.

    `branch`: the full name of the ref that its places show as checked out; None: the one to land on.
    """
    branch = branch or working_branch(repository)
    workspace = settings.workspace
    provided = [path.rstrip("/") for path in (*workspace.copy, *workspace.cache, *workspace.link)]
    reports = [gate.junit for gate in settings.gates if gate.junit is not None]
    excludes = [*(f"/{path}" for path in (*provided, *reports)), *TOOL_CACHES]
    with ExitStack() as stack:
        with FileLock(repository.home / "opening.lock", poll_interval=0.01):
            slot = claim(repository.home / "workers")
            stack.callback(slot.release)
            shadow = prepare(repository, excludes, shared=not alone(repository.home / "workers", slot))
        for role in get_args(Role):  # whoever had this slot before may have been killed
            free_index(index_of(shadow, role, slot.number))
        journal = Journal(repository.home / "journal.jsonl", this_process(slot.number))
        journal.history.add_stored(attempts(shadow))
        stack.pop_all()
    supervisor = Supervisor()
    limits = cgroups.find(settings.limits.memory, settings.limits.processes)
    programs = Programs(supervisor, sandbox.find(settings.sandbox), repository, limits)

    def run_line(where: Place, line: str, log: Path, timeout: float) -> Finished:
        passed = workspace.env_pass
        found = environment(repository, where, os.environ, passed=passed, extra=settings.agent.env)
        finished = programs.run(
            where, ["/bin/sh", "-c", line], env=found.variables, stdout=log, timeout=timeout
        )
        said = [f"setup: {note}" for note in finished.hit.notes]
        if not finished.ok and found.withheld:
            names = ", ".join(found.withheld)
            said.append(f"withheld, as they look like secrets: {names}; see workspace.env_pass")
        if said:
            with log.open("a") as file:
                file.writelines(f"\n({note})\n" for note in said)
        return finished

    return Run(
        repository=repository,
        settings=settings,
        settings_file=settings_file,
        queue=queue,
        branch=branch,
        shadow=shadow,
        journal=journal,
        supervisor=supervisor,
        programs=programs,
        provider=Provider(shadow, workspace, run_line),
        events=EventLog(queue.logs / "orchestration.log", listeners),
        extensions=extensions,
        tags=tags(repository),
        ahead=Ahead(),
        slot=slot,
        turn=FileLock(repository.home / "turn.lock", thread_local=False),
        overtaken=FileLock(repository.home / "overtaken.lock", thread_local=False),
        typed=typed,
        began=time.time() if began is None else began,
        until=until,
        workers=workers,
        progress=progress,
    )


def agent_environment(settings: Settings) -> tuple[str, ...]:
    """The variables that the agent may see although they look like secrets: its own login."""
    own = login_variables(os.environ) if settings.agent.name == "claude" else ()
    return (*own, *settings.agent.env_pass)


def agent_files(run: Run, agent: AgentSettings) -> OwnFiles:
    """What a sandboxed agent may change outside its workspace; nothing is prepared without a sandbox. Raises SetupError."""
    if not run.programs.sandbox.active:
        return OwnFiles()
    return own_files(agent, os.environ, home_of(os.environ))
