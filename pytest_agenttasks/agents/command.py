"""Any command line that takes a prompt, as the agent."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pluggy

from ..outcome import Kind, Outcome, SetupError
from ..report.printable import one_line, tail_of_file
from ..settings.records import AgentSettings
from ..tasks.task import Task
from .contract import AgentResult, AgentWorkspace, Progress, Prompt
from .ending import Stop, how_it_ended, last_line, stopped_outcome, survivors_note
from .program import command_line, find_program

NAME = "command"
PLACEHOLDERS = ("prompt_file", "workspace", "task", "model")

_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_LOG_END = 8 * 1024

hookimpl = pluggy.HookimplMarker("pytest")


class CommandAgent:
    """The plugin that runs `agent.name: command`."""

    @hookimpl
    def pytest_agenttasks_run_agent(
        self, task: Task, workspace: AgentWorkspace, prompt: Prompt
    ) -> AgentResult | None:
        if workspace.agent.name != NAME:
            return None
        return run_command(task, workspace, prompt)


def run_command(task: Task, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult:
    """Run `agent.command` once, in the workspace.

    `{prompt_file}`, `{workspace}`, `{task}` and `{model}` in its words are filled in; without `{prompt_file}`
    the prompt comes on stdin. Exit status 0 means that it is done.
    """
    try:
        words = _template(workspace.agent, workspace.environment, workspace.model)
    except SetupError as error:
        return AgentResult(failure=Outcome(Kind.INTERNAL, one_line(str(error), 500)))
    values = {
        "prompt_file": str(prompt.file),
        "workspace": str(workspace.path),
        "task": task.name,
        "model": workspace.model or "",
    }
    argv = [_PLACEHOLDER.sub(lambda match: values[match[1]], word) for word in words]
    stderr = workspace.logs / f"{workspace.stem}.stderr.log"
    watch = Watch((workspace.stream, stderr), workspace.progress, workspace.stall_timeout)
    finished = workspace.execute(
        argv,
        stdout=workspace.stream,
        stderr=stderr,
        stdin=None if any("{prompt_file}" in word for word in words) else prompt.file,
        env={
            **workspace.environment,
            "AGENTTASKS_TASK": task.name,
            "AGENTTASKS_PROMPT_FILE": str(prompt.file),
            "AGENTTASKS_ATTEMPT": str(workspace.attempt),
        },
        poll=watch.poll,
    )
    said, complained = _end_of(workspace.stream), _end_of(stderr)
    failure = None
    if finished.stopped is not None:
        failure = stopped_outcome(finished)
    elif finished.exit_code != 0:
        words_said = last_line(complained) or last_line(said)
        summary = f"the agent's command ended with {how_it_ended(finished)}" + (
            f": {words_said}" if words_said else ""
        )
        failure = Outcome(Kind.AGENT, summary, advice="its whole output is in the attempt's log files")
    if failure is not None:
        evidence = "\n\n".join(
            f"{name}:\n{text}" for name, text in (("stdout", said), ("stderr", complained)) if text
        )
        failure = Outcome(failure.kind, failure.summary, evidence=evidence, advice=failure.advice)
    return AgentResult(
        failure=failure, model=workspace.model, final_text=said, notes=tuple(survivors_note(finished))
    )


def preflight(agent: AgentSettings, environment: Mapping[str, str]) -> str:
    """The program that will be run. Raises SetupError when `agent.command` cannot be."""
    return _template(agent, environment, agent.model)[0]


def _template(agent: AgentSettings, environment: Mapping[str, str], model: str | None) -> tuple[str, ...]:
    words = command_line(agent)
    if words == ("claude",):
        raise SetupError(
            "`agent.command`: the `command` agent needs the command line to run, such as "
            "`my-agent --prompt-file {prompt_file}`; for the claude CLI set `agent.name: claude`"
        )
    if model is None and any("{model}" in word for word in words):
        raise SetupError("`agent.command` has `{model}`, but `agent.model` is not set")
    program = find_program(words[0], environment, "install it, or name another in `agent.command`")
    return (program, *words[1:])


def _end_of(log: Path) -> str:
    return tail_of_file(log, _LOG_END).strip() if log.exists() else ""


class Watch:
    """Sees whether a program still prints: its last line is the step, and silence for too long is a stall.

    `poll` is what the supervisor calls about four times a second. Times are seconds of `clock`.
    """

    def __init__(
        self,
        logs: tuple[Path, ...],
        report: Callable[[Progress], None],
        stall_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logs = logs
        self._report = report
        self._stall_timeout = stall_timeout
        self._clock = clock
        self._sizes: tuple[int, ...] = ()
        self._last_growth: float | None = None

    def poll(self) -> str | None:
        """A reason to end the program, or None."""
        now = self._clock()
        sizes = tuple(log.stat().st_size if log.exists() else 0 for log in self._logs)
        if self._last_growth is None or sizes != self._sizes:
            if any(sizes):
                grown = next(
                    (
                        log
                        for log, size, before in zip(self._logs, sizes, self._sizes, strict=False)
                        if size != before
                    ),
                    self._logs[0],
                )
                self._report(Progress(step=last_line(tail_of_file(grown, 1024))))
            self._last_growth, self._sizes = now, sizes
        return Stop.STALLED if now - self._last_growth > self._stall_timeout else None
