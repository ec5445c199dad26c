"""The Claude Code CLI as the agent: one `claude --print` session, read while it runs.

Its command line says what it may do: only the tools of `agent.allowed_tools` exist, nothing waits for a
person, and the file tools write nowhere but in the workspace. None of that is relied upon; the check of the
resulting files decides.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence

import pluggy

from .. import guard
from ..outcome import Kind, Outcome, SetupError
from ..report.printable import one_line, printable, tail_of_file
from ..settings.records import AgentSettings
from .claude_verdict import verdict
from .claude_watch import Watch
from .contract import AgentResult, AgentWorkspace, Prompt
from .program import command_line, find_program

NAME = "claude"
PACKAGE = "@anthropic-ai/claude-code"
PROBE_SECONDS = 30.0

_FLAGS = (
    "--print",
    "--output-format",
    "--verbose",
    "--tools",
    "--allowedTools",
    "--permission-mode",
    "--strict-mcp-config",
    "--model",
    "--max-budget-usd",
    "--settings",
)
_FILE_TOOLS = ("Edit", "Write")
# Of a session that the runner itself may have been started in.
_SESSION_VARIABLES = (
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
)

hookimpl = pluggy.HookimplMarker("pytest")


class ClaudeAgent:
    """The plugin that runs `agent.name: claude`."""

    @hookimpl
    def pytest_agenttasks_run_agent(self, workspace: AgentWorkspace, prompt: Prompt) -> AgentResult | None:
        if workspace.agent.name != NAME:
            return None
        return run_session(workspace, prompt)


def run_session(workspace: AgentWorkspace, prompt: Prompt) -> AgentResult:
    """One whole session; returns when the CLI and everything it started has ended."""
    environment = session_environment(workspace.environment, workspace.stall_timeout)
    try:
        program = _program(workspace.agent, environment)
    except SetupError as error:
        return AgentResult(failure=Outcome(Kind.INTERNAL, one_line(str(error), 500)))
    stderr = workspace.logs / f"{workspace.stem}.stderr.log"
    may_stop_retries = "CLAUDE_CODE_MAX_RETRIES" not in environment
    with Watch(
        workspace.stream, workspace.progress, workspace.stall_timeout, may_stop_retries,
        max_turns=workspace.max_turns, repeat_limit=workspace.agent.repeat_limit,
    ) as watch:  # fmt: skip
        finished = workspace.execute(
            [*program, *arguments(workspace)],
            stdout=workspace.stream,
            stderr=stderr,
            stdin=prompt.file,
            env=environment,
            poll=watch.poll,
        )
        stream = watch.finish()
    return verdict(stream, finished, tail_of_file(stderr, 4096) if stderr.exists() else "")


def arguments(workspace: AgentWorkspace) -> list[str]:
    """The CLI's arguments for one session; the prompt comes on stdin."""
    agent = workspace.agent
    rules = permission_rules(agent, workspace.environment.get("TMPDIR"))
    argv = ["--print", "--output-format", "stream-json", "--verbose"]
    argv += ["--max-turns", str(workspace.max_turns)]
    argv += [
        "--tools",
        ",".join(built_in_tools(rules)),
        "--allowedTools",
        *rules,
        "--permission-mode",
        "dontAsk",
    ]
    if not any(tool.startswith("mcp__") for tool in agent.allowed_tools):
        argv.append("--strict-mcp-config")
    if workspace.model is not None:
        argv.append(f"--model={workspace.model}")
    if workspace.budget_usd is not None:
        argv.append(f"--max-budget-usd={workspace.budget_usd:f}")
    if workspace.guard is not None:
        argv += ["--settings", guard.session_settings(workspace.guard)]
    return [*argv, *agent.args]


def permission_rules(agent: AgentSettings, tmpdir: str | None = None) -> tuple[str, ...]:
    """`allowed_tools` as the CLI's permission rules.

    A plain `Edit` or `Write` is confined to the workspace and the session's `tmpdir`; `Edit(//**)` in the
    settings lifts that. With `bash_allow`, a plain `Bash` becomes one rule for each of its patterns.
    """
    rules: list[str] = []
    for tool in agent.allowed_tools:
        if tool in _FILE_TOOLS:
            # `/` is the folder where the session began; `./` would follow every `cd` of the agent's shell.
            rules.append(f"{tool}(/**)")
            if tmpdir is not None and not re.search(r"[()*?\[\]{},\s]", tmpdir):
                rules.append(f"{tool}(/{os.path.realpath(tmpdir)}/**)")
        elif tool != "Bash" or agent.bash_allow is None:
            rules.append(tool)
    rules.extend(f"Bash({pattern})" for pattern in agent.bash_allow or ())
    return tuple(dict.fromkeys(rules))


def built_in_tools(rules: Sequence[str]) -> tuple[str, ...]:
    """The tools that `rules` speak of, without those of MCP servers: no other will exist in the session."""
    names = (rule.partition("(")[0].strip() for rule in rules)
    return tuple(dict.fromkeys(name for name in names if not name.startswith("mcp__")))


def session_environment(environment: Mapping[str, str], stall_timeout: float) -> dict[str, str]:
    """`environment` with what an unattended session needs; what is already set there wins."""
    inherited = {name: value for name, value in environment.items() if name not in _SESSION_VARIABLES}
    request_seconds = min(max(stall_timeout / 2, 60), 600)
    return {
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        # A server that never answers shows as a retry before it shows as a stall.
        "API_TIMEOUT_MS": str(int(request_seconds * 1000)),
        **inherited,
    }


def login_variables(source: Mapping[str, str]) -> tuple[str, ...]:
    """Patterns for the variables that this agent's own login and endpoint need out of `source`."""
    patterns = ["ANTHROPIC_*", "CLAUDE_CODE_*", "CLAUDE_CONFIG_DIR"]
    if source.get("CLAUDE_CODE_USE_BEDROCK"):
        patterns.append("AWS_*")
    if source.get("CLAUDE_CODE_USE_VERTEX"):
        patterns += ["GOOGLE_*", "CLOUDSDK_*", "CLOUD_ML_REGION"]
    if source.get("CLAUDE_CODE_USE_FOUNDRY"):
        patterns.append("AZURE_*")
    return tuple(patterns)


def preflight(agent: AgentSettings, environment: Mapping[str, str], more: Sequence[str] = ()) -> str:
    """The CLI's version. Raises SetupError, with the remedy, when it cannot run or lacks a needed option.

    `more` are options that it must know besides those of every session.
    """
    asked = frozenset(session_environment(environment, agent.stall_timeout).items())
    return _probe(_program(agent, environment), asked, (*_FLAGS, *more))


def _program(agent: AgentSettings, environment: Mapping[str, str]) -> tuple[str, ...]:
    name, *rest = command_line(agent)
    remedy = f"install it with `npm install --global {PACKAGE}`, or set `agent.command` to where it is"
    return (find_program(name, environment, remedy), *rest)


@functools.cache
def _probe(program: tuple[str, ...], environment: frozenset[tuple[str, str]], needed: tuple[str, ...]) -> str:
    version = one_line(_ask(program, "--version", dict(environment)), 100)
    known = _ask(program, "--help", dict(environment))
    flags = set(re.findall(r"(?<![\w-])--[A-Za-z][\w-]*", known))
    missing = [flag for flag in needed if flag not in flags]
    if "dontAsk" not in known:
        missing.append("--permission-mode dontAsk")
    if missing:
        raise SetupError(
            f"`{shlex.join(program)}` is version {version}, which does not know {', '.join(missing)}; "
            f"update it with `npm install --global {PACKAGE}@latest`"
        )
    return version


def _ask(program: Sequence[str], option: str, environment: Mapping[str, str]) -> str:
    shown = f"{shlex.join(program)} {option}"
    try:
        answer = subprocess.run(
            [*program, option],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"`{shown}` did not answer within {PROBE_SECONDS:.0f} s; run it by hand to see why"
        ) from None
    except OSError as error:
        raise SetupError(f"`{shown}` cannot be started: {error.strerror}; reinstall {PACKAGE}") from error
    text = printable(answer.stdout.decode("utf-8", "replace"))
    if answer.returncode != 0:
        raise SetupError(
            f"`{shown}` ended with status {answer.returncode}: {one_line(text)}; reinstall {PACKAGE}"
        )
    return text
