"""The session that holds a review: who it is, what it may do, and where it reads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import spending
from .agents import claude
from .agents.contract import AgentResult, AgentWorkspace, Progress, Prompt
from .attempt_record import Attempt, logs_of
from .outcome import SetupError
from .processes.search_paths import search_paths
from .processes.supervisor import StartError
from .report.transcript import write_transcript
from .review_answer import SCHEMA
from .run import Run
from .session import executor
from .settings.records import AgentSettings, GateSettings, Settings
from .trees.changes import shown
from .trees.checkout import bare, environment
from .trees.git import split
from .trees.places import Place, place

TIMEOUT = 900.0
MAX_TURNS = 40
"""Limits of a review whose gate names none: seconds, turns."""

TOOLS = ("Read(/**)", "Glob(/**)", "Grep(/**)")
"""What the session may do, as the CLI's rules: read, below the folder where it begins. No other tool exists in it."""
_OPTIONS = (
    "--json-schema", json.dumps(SCHEMA),
    # Neither instructions (CLAUDE.md) nor settings out of the files under review; hooks of nobody.
    "--setting-sources", "user",
    "--settings", json.dumps({"disableAllHooks": True}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """A session that is over. `touched` are files that it changed in its folder, `stream` is its raw output."""

    result: AgentResult
    seconds: float
    touched: Sequence[str]
    stream: Path


def reviewer(settings: Settings, gate: GateSettings) -> AgentSettings:
    """Who holds the review, as an agent's settings."""
    own = settings.agent if settings.agent.name == claude.NAME else AgentSettings()
    return AgentSettings(
        name=claude.NAME,
        command=gate.command or own.command,
        model=gate.model or own.model,
        allowed_tools=TOOLS,
        args=_OPTIONS,
        env=settings.agent.env,
    )


def preflight(run: Run) -> list[str]:
    """A line for each review gate of the settings. Raises SetupError when one cannot be held."""
    lines = []
    for gate in (gate for gate in run.settings.gates if gate.agent):
        variables = _environment(run, place(run.shadow, "review", run.worker))
        options = [option for option in _OPTIONS if option.startswith("--")]
        try:
            version = claude.preflight(reviewer(run.settings, gate), variables, options)
        except SetupError as error:
            told = str(error).replace("`agent.command`", f"`command` of the gate `{gate.name}`")
            raise SetupError(f"review gate `{gate.name}`: {told}") from error
        lines.append(f"review gate {gate.name}: {version}")
    return lines


def hold(run: Run, this: Attempt, gate: GateSettings, tree: str, text: str) -> Held:
    """One session that reads `tree` and is told `text`; added to `this.reviews` whatever comes of it.

    When this returns no process of it is alive. Raises SetupError when it cannot be started.
    """
    where = bare(run, "review", tree)
    stem = _free_stem(logs_of(run, this.task), this.stem, gate.name)
    with spending.session(run, this, stem, gate.budget_usd) as held:
        workspace = _workspace(run, this, gate, where, stem, held.cap.usd)
        file = workspace.logs / f"{workspace.stem}.prompt.md"
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
        run.events.write("review-started", task=this.task.name, gate=gate.name)
        workspace.progress(Progress(step="starting", session=""))  # no sign of life (`pause.shows_life`)
        began = time.monotonic()
        try:
            result = held.result = claude.run_session(workspace, Prompt(text, file))
        except StartError as error:
            raise SetupError(f"review gate `{gate.name}`: the agent cannot be started: {error}") from error
    result = spending.judged(held, result)
    this.reviews.append(result)
    run.events.write(
        "review-ended", task=this.task.name, gate=gate.name, turns=result.turns, cost_usd=result.cost_usd
    )
    if workspace.stream.exists():
        title = f"{this.task.name}, attempt {this.number}, review `{gate.name}`"
        write_transcript(workspace.stream, workspace.logs / f"{workspace.stem}.transcript.md", title)
    return Held(result, time.monotonic() - began, _touched(run, where), workspace.stream)


def _environment(run: Run, where: Place) -> dict[str, str]:
    """As an agent's, with its login: a gate's has none."""
    own = run.settings.agent
    passed = (*claude.login_variables(os.environ), *own.env_pass)
    found = environment(run.repository, where, os.environ, passed=passed, extra=own.env).variables
    return {**found, **search_paths(run.repository.top, where.path, found, os.environ)}


def _workspace(
    run: Run, this: Attempt, gate: GateSettings, where: Place, stem: str, budget_usd: float | None
) -> AgentWorkspace:
    variables = _environment(run, where)
    limit = gate.timeout or TIMEOUT
    agent = reviewer(run.settings, gate)
    logs = logs_of(run, this.task)
    spent = this.cost_usd or 0.0

    def progress(now: Progress) -> None:
        cost = spent + (now.cost_usd or 0.0)
        run.progress(this.task.name, replace(now, step=f"review: {now.step}", cost_usd=cost))

    return AgentWorkspace(
        path=where.path,
        environment=variables,
        agent=agent,
        logs=logs,
        stem=stem,
        attempt=this.number,
        timeout=limit,
        stall_timeout=min(run.settings.agent.stall_timeout, limit),
        max_turns=gate.max_turns or MAX_TURNS,
        model=agent.model,
        budget_usd=budget_usd,
        execute=executor(run, where, variables, limit, agent),
        progress=progress,
    )


def _free_stem(logs: Path, attempt: str, gate: str) -> str:
    """`attempt-1.review`, of a gate of another name `attempt-1.review-NAME`; its next session's ends in `.2`."""
    first = f"{attempt}.review" if gate == "review" else f"{attempt}.review-{gate}"
    number, stem = 1, first
    while (logs / f"{stem}.prompt.md").exists():
        number += 1
        stem = f"{first}.{number}"
    return stem


def _touched(run: Run, where: Place) -> list[str]:
    """Files of the folder that are no longer as they were given."""
    options = ("diff", "--name-only", "-z", "--no-ext-diff", "--no-textconv")
    changed = split(run.shadow.git(*options, index=where.index, work_tree=where.path))
    added = split(run.shadow.git("ls-files", "--others", "-z", index=where.index, work_tree=where.path))
    return [shown(path) for path in (*changed, *added)]
