"""Everything that is looked at before anything is spent. Each finding names the command that mends it."""

from __future__ import annotations

import os
from collections.abc import Callable

from msgspec.structs import asdict

from . import gates, review_session
from .agents.registry import UNPRICED, unknown
from .agents.registry import preflight as agent_preflight
from .base import memory_of, rules_of
from .bookkeeping import commit_queue
from .journal_records import RunStarted
from .outcome import SetupError
from .processes import cgroup_tree, sandbox
from .queue import ensure_folders
from .recovery import recover_all
from .room import refuse_full_disk
from .run import Run, agent_environment, agent_files, named
from .trees import recipe_checks
from .trees.checkout import environment
from .trees.git import GitError
from .trees.places import place, state_folder
from .trees.repository_checks import refuse_dirty, refuse_unusable


@named("the run cannot start")
def check(
    run: Run,
    say: Callable[[str], None],
    check_agents: Callable[[Run, Callable[[str], None]], None] | None = None,
) -> None:
    """Make sure that a run can start, after mending what a crashed one left. Raises SetupError.

    `check_agents` is asked whether sessions can be held, None: `check_agent`.
    """
    _mend(run, say)
    refuse_dirty(run.repository, run.queue.relative if run.queue.tracked else None)
    _look_at_gates(run, say)
    (check_agents or check_agent)(run, say)
    for line in review_session.preflight(run):
        say(line)
    _settle_queue(run, say)
    _write_down_start(run)
    _refuse_red_base(run)


@named("nothing can land")
def check_landing(run: Run, say: Callable[[str], None]) -> None:
    """What a landing needs: all that a run does but an agent, and a checkout without uncommitted changes (those that
    are in its way it sees itself). Raises SetupError."""
    _mend(run, say)
    _look_at_gates(run, say)
    for line in review_session.preflight(run):
        say(line)
    _settle_queue(run, say)
    _refuse_red_base(run)


def _mend(run: Run, say: Callable[[str], None]) -> None:
    for told in run.programs.cgroups.clear():
        say(told)
    recover_all(run, say)
    refuse_unusable(run.repository)


def _look_at_gates(run: Run, say: Callable[[str], None]) -> None:
    state_folder(run.repository).mkdir(parents=True, exist_ok=True)
    refuse_full_disk(run.repository)
    if not gates.shell(run.settings.gates):
        raise SetupError(
            f"{run.settings_file}: no gate with `run`: nothing is verified; `agenttasks init` writes the gates it finds, or add "
            "e.g.\n  gates:\n    - {name: tests, run: npm test}"
        )
    tip = run.repository.tip()
    tree = run.repository.tree_of(tip)
    recipe_checks.refuse_unusable(run.provider, tree)
    rules_of(run.settings, run.queue, memory_of(run.shadow, tree, run.settings.memory.file))
    for line in sandbox.describe(run.programs.sandbox):
        say(line)
    if run.programs.cgroups.unheld:
        say(f"limits: {run.programs.cgroups.unheld}; to have them: {cgroup_tree.remedy()}")


def _settle_queue(run: Run, say: Callable[[str], None]) -> None:
    ensure_folders(run.queue)
    if committed := commit_queue(run):
        say(f"committed the queue's new and edited files as {committed[:10]}")


def _write_down_start(run: Run) -> None:
    confined = run.programs.sandbox
    run.events.write(
        "sandbox", active="bwrap" if confined.active else "none", version=confined.version or None,
        reason=confined.reason or None,
    )  # fmt: skip
    run.journal.write(
        RunStarted(
            pid=os.getpid(),
            queue=run.queue.relative,
            branch=run.branch,
            began=run.began,
            budget={key: each for key, each in asdict(run.settings.budget).items() if each is not None},
        )
    )


def _refuse_red_base(run: Run) -> None:
    tip = run.repository.tip()
    red = gates.green_base(run, run.settings.gates, run.repository.tree_of(tip), tip)
    if red is not None:
        raise SetupError(gates.explain_red_base(run, red))


def check_agent(run: Run, say: Callable[[str], None]) -> None:
    """Whether sessions can be held on this machine. Raises SetupError."""
    settings = run.settings.agent
    where = place(run.shadow, "agent", run.worker)
    found = environment(
        run.repository, where, os.environ, passed=agent_environment(run.settings), extra=settings.env
    )
    described = agent_preflight(settings, found.variables)
    if described is None:
        if not run.extensions.knows_agent(settings.name):
            raise SetupError(unknown(settings.name, run.agent_named_by))
    elif described:
        say(f"agent {settings.name}: {described}")
    _warn_of_limits_in_money(run, say)
    agent_files(run, settings)


def _warn_of_limits_in_money(run: Run, say: Callable[[str], None]) -> None:
    name, budget = run.settings.agent.name, run.settings.budget
    limits = {
        "agent.budget_usd": run.settings.agent.budget_usd,
        "budget.usd": budget.usd,
        "budget.task_usd": budget.task_usd,
        "budget.day_usd": budget.day_usd,
    }
    if name in UNPRICED and (held := [key for key, limit in limits.items() if limit is not None]):
        say(
            f"WARNING: agent `{name}` does not tell what its sessions cost, so {', '.join(held)} cannot count them; limit it by "
            "sessions (`budget.sessions`, `task_sessions`, `day_sessions`)"
        )


def landed_commit(run: Run, name: str) -> str | None:
    """The commit that landed this task and is still part of the branch, None when there is none."""
    run.journal.refresh()
    landed = run.journal.history.landed.get(name)
    if landed is None:
        return None
    try:
        run.repository.git("merge-base", "--is-ancestor", landed.commit, "HEAD")
    except GitError:
        return None
    return landed.commit
