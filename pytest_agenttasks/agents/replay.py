"""Recorded sessions as the agent: plays a task's log folder back, with no model and no network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pluggy

from ..outcome import Kind, Outcome, SetupError
from ..processes.supervisor import Finished
from ..report.printable import one_line, tail_of_file
from ..settings.records import AgentSettings
from ..tasks.task import Task
from .claude_stream import Lines, Stream, advance
from .claude_verdict import verdict
from .contract import AgentResult, AgentWorkspace, Progress

NAME = "replay"

# The recorded diff is against the base, which is what the workspace's own HEAD holds; the files may be an
# earlier attempt's.
_BACK_TO_BASE = "git -c core.hooksPath=/dev/null reset --hard -q && git clean -ffdq"
_APPLY = 'git -c core.hooksPath=/dev/null apply --binary --whitespace=nowarn -- "$1"'

hookimpl = pluggy.HookimplMarker("pytest")


class ReplayAgent:
    """The plugin that runs `agent.name: replay`; `agent.command` is the folder of recorded logs."""

    @hookimpl
    def pytest_agenttasks_run_agent(self, task: Task, workspace: AgentWorkspace) -> AgentResult | None:
        if workspace.agent.name != NAME:
            return None
        return play(task, workspace)


def play(task: Task, workspace: AgentWorkspace) -> AgentResult:
    """Play the recording of this attempt: its stream, then its diff.

    `<folder>/<task>/attempt-N.jsonl` and `attempt-N.diff`, as in `tasks/logs`; either may be missing.
    Attempts beyond the recorded ones play the last again.
    """
    try:
        folder = recordings(workspace.agent) / task.name
    except SetupError as error:
        return AgentResult(failure=Outcome(Kind.INTERNAL, one_line(str(error), 500)))
    number = recorded_attempt(folder, workspace.attempt)
    if number is None:
        summary = f"no recorded attempt of {task.name} in {one_line(str(folder))}"
        advice = "point `agent.command` at a copy of the `tasks/logs` of a run that had this task"
        return AgentResult(failure=Outcome(Kind.AGENT, summary, advice=advice))
    recorded = folder / f"attempt-{number}.jsonl"
    stream = _play_stream(recorded, workspace)
    applied = _play_diff(folder / f"attempt-{number}.diff", workspace)
    if applied is not None:
        return AgentResult(failure=applied)
    if not stream.events:
        # A recording of another agent, whose output is no event stream: the diff is what counts.
        return AgentResult(final_text=tail_of_file(recorded, 8 * 1024) if recorded.exists() else "")
    result = verdict(stream, Finished(exit_code=0, signal=None, seconds=0.0))
    return replace(result, notes=(f"played attempt {number} of {one_line(str(folder))}", *result.notes))


def preflight(agent: AgentSettings, environment: Mapping[str, str]) -> str:  # noqa: ARG001 - one shape for all
    """The folder of recordings. Raises SetupError when there is none."""
    return str(recordings(agent))


def recordings(agent: AgentSettings) -> Path:
    """The folder that `agent.command` names. Raises SetupError when it is none."""
    if not isinstance(agent.command, str):
        raise SetupError("`agent.command`: the `replay` agent needs one folder of recorded logs, not a list")
    folder = Path(agent.command).expanduser().absolute()
    if not folder.is_dir():
        raise SetupError(
            f"`agent.command`: `{agent.command}` is no folder; the `replay` agent needs one with recorded "
            "logs, such as a copy of `tasks/logs`"
        )
    return folder


def recorded_attempt(folder: Path, attempt: int) -> int | None:
    """`attempt` if it is recorded in `folder`, else the last that is; None when there is none."""
    names = (re.fullmatch(r"attempt-(\d+)\.(?:jsonl|diff)", path.name) for path in folder.glob("attempt-*"))
    numbers = {int(name[1]) for name in names if name}
    return attempt if attempt in numbers else max(numbers, default=None)


def _play_stream(recorded: Path, workspace: AgentWorkspace) -> Stream:
    stream, lines = Stream(), Lines()
    with workspace.stream.open("wb") as copy:
        if not recorded.exists():
            return stream
        with recorded.open("rb") as source:
            for data in source:
                copy.write(data)
                for line in lines.feed(data):
                    stream = advance(stream, line)
                    workspace.progress(
                        Progress(stream.step, stream.turns or None, stream.cost_usd, stream.session)
                    )
    for line in lines.close():
        stream = advance(stream, line)
    return stream


def _play_diff(diff: Path, workspace: AgentWorkspace) -> Outcome | None:
    """Bring the workspace to the recorded result; a failure if the diff does not fit this base."""
    shell = shutil.which("sh", path=workspace.environment.get("PATH")) or "/bin/sh"
    script = _BACK_TO_BASE
    if diff.exists() and diff.stat().st_size:
        script += " && " + _APPLY
    log = workspace.logs / f"{workspace.stem}.replay.log"
    finished = workspace.execute([shell, "-c", script, "replay", str(diff)], stdout=log)
    if finished.ok:
        return None
    summary = f"the recorded changes do not fit: git apply failed on {one_line(str(diff))}"
    advice = "record the attempt again on this base"
    return Outcome(Kind.AGENT, summary, evidence=tail_of_file(log), advice=advice)
