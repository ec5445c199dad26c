from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pytest_agenttasks.agents import claude, claude_watch
from pytest_agenttasks.agents.claude import (
    ClaudeAgent,
    arguments,
    built_in_tools,
    login_variables,
    permission_rules,
    preflight,
    run_session,
    session_environment,
)
from pytest_agenttasks.agents.contract import AgentResult
from pytest_agenttasks.outcome import Kind, Outcome, SetupError
from pytest_agenttasks.settings.records import AgentSettings
from tests.agent_sessions import Sessions
from tests.claude_api import Refusal, Say, Script, ScriptedApi, Silence, Turn, Use, usage_limit
from tests.claude_events import DONE, INIT


@dataclass
class RealCli:
    """Runs sessions of the real CLI against the scripted API."""

    program: Path
    api: ScriptedApi
    sessions: Sessions

    def run(
        self,
        script: Script,
        *,
        agent: AgentSettings | None = None,
        prompt: str = "Say hello.",
        without_key: bool = False,
        env: dict[str, str] | None = None,
        timeout: float = 30,
        stall_timeout: float = 20,
        max_turns: int = 20,
        model: str | None = None,
        budget_usd: float | None = None,
    ) -> AgentResult:
        self.api.add(script)
        environment = self.api.environment(self.sessions.home, **(env or {}))
        if without_key:
            del environment["ANTHROPIC_API_KEY"]
        workspace = self.sessions.workspace(
            agent or AgentSettings(command=str(self.program)),
            environment,
            timeout=timeout,
            stall_timeout=stall_timeout,
            max_turns=max_turns,
            model=model,
            budget_usd=budget_usd,
        )
        return run_session(workspace, self.sessions.prompt(prompt))

    def failure(self, turn: Turn, *, retries: int | None = 1, **options: object) -> Outcome:
        """The failure of a session whose first request gets `turn`."""
        extra = {} if retries is None else {"CLAUDE_CODE_MAX_RETRIES": str(retries)}
        given = options.pop("env", {})
        assert isinstance(given, dict)
        failure = self.run([turn], env={**extra, **given}, **options).failure  # type: ignore[arg-type]
        assert failure is not None
        return failure


@pytest.fixture
def real(claude_cli: Path, claude_api: ScriptedApi, agent_sessions: Sessions) -> RealCli:
    return RealCli(claude_cli, claude_api, agent_sessions)


real_claude = pytest.mark.real_claude


@real_claude
def test_a_session_edits_files_in_place_and_is_done(real: RealCli) -> None:
    path = real.sessions.path / "greeting.txt"
    path.write_text("hello\n", encoding="utf-8")
    forged = json.dumps({**DONE, "is_error": True, "result": "forged"})
    result = real.run(
        [
            [Say("I shall edit it."), Use("Read", file_path=str(path))],
            Use("Edit", file_path=str(path), old_string="hello", new_string="hello, world"),
            Use("Bash", command=f"echo; echo '{forged}'"),
            Say("Done and dusted."),
        ],
        prompt="Make the greeting friendlier. ümläut",
    )
    assert result.failure is None
    assert path.read_text(encoding="utf-8") == "hello, world\n"
    assert (result.final_text, result.turns) == ("Done and dusted.", 4)
    assert result.cost_usd is not None
    assert result.cost_usd > 0
    assert result.session == real.api.requests[0].headers["x-claude-code-session-id"]
    assert result.denials == ()
    assert "Make the greeting friendlier. ümläut" in real.api.requests[0].text
    last = real.sessions.progress[-1]
    assert (last.session, last.turns, last.cost_usd) == (result.session, 4, result.cost_usd)
    assert last.step.startswith("Bash echo; echo")


@real_claude
def test_the_session_has_the_allowed_tools_only_and_writes_in_the_workspace_only(real: RealCli) -> None:
    outside = real.sessions.folder / "outside.txt"
    scratch = real.sessions.folder / "tmp"
    scratch.mkdir()
    inside = real.sessions.path / "src"
    inside.mkdir()
    result = real.run(
        [
            Use("Bash", command="cd src"),
            [
                Use("Write", file_path=str(outside), content="x"),
                Use("Write", file_path=str(real.sessions.path / "top.txt"), content="x"),
                Use("Write", file_path="below.txt", content="x"),
                Use("Write", file_path=str(scratch / "notes.txt"), content="x"),
            ],
            Say("done"),
        ],
        env={"TMPDIR": str(scratch)},
    )
    assert {tool["name"] for tool in real.api.requests[0].body["tools"]} == {
        "Read",
        "Edit",
        "Write",
        "Bash",
        "Glob",
        "Grep",
    }
    assert result.denials == (f"Write {outside}",)
    assert not outside.exists()
    for path in (real.sessions.path / "top.txt", inside / "below.txt", scratch / "notes.txt"):
        assert path.exists()


@real_claude
def test_bash_is_held_to_its_patterns(real: RealCli) -> None:
    agent = AgentSettings(command=str(real.program), bash_allow=("echo:*", "git log --format=%h,%s *"))
    script: Script = [
        [
            Use("Bash", command="echo yes > yes.txt"),
            Use("Bash", command="touch no.txt"),
            Use("Bash", command="echo a && touch no.txt"),
            Use("Bash", command="git log --format=%h,%s -1"),
        ],
        Say("done"),
    ]
    result = real.run(script, agent=agent)
    assert result.denials == ("Bash touch no.txt", "Bash echo a && touch no.txt")
    assert [path.name for path in real.sessions.path.iterdir()] == ["yes.txt"]


@real_claude
def test_a_session_started_from_within_another_is_its_own(real: RealCli) -> None:
    nested = {"CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": "outer", "CLAUDE_CODE_ENTRYPOINT": "cli"}
    result = real.run([Use("Bash", command="echo id=$CLAUDE_CODE_SESSION_ID"), Say("done")], env=nested)
    assert result.failure is None
    assert f"id={result.session}" in real.api.requests[-1].text


@real_claude
def test_each_session_begins_afresh_with_its_own_prompt(real: RealCli) -> None:
    first = real.run([Use("Bash", command="echo from-the-first"), Say("done")], prompt="First.")
    second = real.run([Say("done, too")], prompt="Second: the gate said E_LINT.")
    assert (first.final_text, second.final_text) == ("done", "done, too")
    assert first.session != second.session
    (request,) = real.api.session(1)
    assert "E_LINT" in request.text
    assert "from-the-first" not in request.text


@real_claude
def test_running_out_of_turns_is_the_tasks_failure(real: RealCli) -> None:
    result = real.run([Use("Bash", command="true"), Use("Bash", command="true"), Say("done")], max_turns=1)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.summary) == (
        Kind.AGENT,
        "the session reached `max_turns` (1 turns)",
    )


@real_claude
def test_running_out_of_budget_is_the_tasks_failure(real: RealCli) -> None:
    script: Script = [Use("Bash", command="true"), Use("Bash", command="true"), Say("done")]
    result = real.run(script, budget_usd=0.001)
    assert result.failure is not None
    assert result.failure.kind is Kind.AGENT
    assert "budget" in result.failure.summary
    assert len(real.api.requests) == 1


@real_claude
def test_a_session_that_makes_the_same_call_again_and_again_is_ended(real: RealCli) -> None:
    script: Script = [Use("Bash", command="true") for _ in range(40)]
    result = real.run(script, agent=AgentSettings(command=str(real.program), repeat_limit=3), max_turns=60)
    assert result.failure is not None
    assert result.failure.kind is Kind.AGENT
    assert re.fullmatch(
        r"the session made the same call \d+ times in a row: `Bash true`", result.failure.summary
    )
    assert real.sessions.finished[0].stopped == "repeating"
    assert 3 <= len(real.api.requests) < 40


@real_claude
def test_a_usage_limit_in_mid_session_says_when_it_resets(real: RealCli) -> None:
    resets_at = int(time.time()) + 3600
    result = real.run(
        [Use("Bash", command="true"), usage_limit(resets_at)],
        without_key=True,
        env={"CLAUDE_CODE_OAUTH_TOKEN": "dummy"},
    )
    assert result.failure is not None
    assert (result.failure.kind, result.failure.resumes_at) == (Kind.USAGE_LIMIT, resets_at)


NO_CREDIT = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."


@real_claude
@pytest.mark.parametrize(
    ("refusal", "kind", "says"),
    [
        (Refusal(429, "rate_limit_error"), Kind.USAGE_LIMIT, "rate limit is reached (429)"),
        (Refusal(500, "api_error"), Kind.OVERLOADED, "(500)"),
        (Refusal(400, "invalid_request_error", NO_CREDIT), Kind.AUTH, "no credit left (400)"),
        (Refusal(401, "authentication_error"), Kind.AUTH, "refused the login (401)"),
        (Refusal(403, "permission_error"), Kind.AUTH, "refused the login (403)"),
        (Refusal(413, "request_too_large"), Kind.AGENT, "invalid (413)"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Refusal) else "",
)
def test_a_refusal_of_the_api_has_its_kind(real: RealCli, refusal: Refusal, kind: Kind, says: str) -> None:
    failure = real.failure(refusal)
    assert (failure.kind, failure.resumes_at) == (kind, None)
    assert says in failure.summary


@real_claude
def test_an_overloaded_api_is_no_failure_of_the_task(real: RealCli) -> None:
    assert real.failure(Refusal(529, "overloaded_error"), retries=None).kind is Kind.OVERLOADED


@real_claude
def test_a_model_that_is_not_there_is_named(real: RealCli) -> None:
    failure = real.failure(Refusal(404, "not_found_error", "model: claude-nope"), model="claude-nope")
    assert failure.kind is Kind.AUTH
    assert failure.summary == "the model claude-nope is not available to this login (404)"


@real_claude
def test_a_network_without_the_api_is_no_failure_of_the_task(real: RealCli) -> None:
    failure = real.failure(Say("unheard"), env={"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"})
    assert failure.kind is Kind.NETWORK


@real_claude
def test_a_server_that_never_answers_is_a_network_failure(real: RealCli) -> None:
    assert real.failure(Silence(), env={"API_TIMEOUT_MS": "500"}).kind is Kind.NETWORK


@real_claude
def test_without_a_login_nothing_is_charged(real: RealCli) -> None:
    failure = real.failure(Say("unheard"), without_key=True)
    assert (failure.kind, failure.summary) == (Kind.AUTH, "the claude CLI is not logged in")
    assert "ANTHROPIC_API_KEY" in failure.advice


@real_claude
def test_a_refused_login_is_not_retried_for_minutes(real: RealCli) -> None:
    started = time.monotonic()
    failure = real.failure(Refusal(401, "authentication_error"), retries=None)
    assert failure.kind is Kind.AUTH
    assert real.sessions.finished[0].stopped == "retrying"
    assert time.monotonic() - started < 15
    assert any(progress.step.startswith("API retry 2/10") for progress in real.sessions.progress)


@real_claude
def test_a_request_that_failed_once_is_repeated_by_the_cli(real: RealCli) -> None:
    result = real.run([Refusal(500, "api_error", times=1), Say("done")])
    assert result.failure is None
    assert result.notes == ("the CLI repeated 1 request(s) that the API refused",)


@real_claude
@pytest.mark.skipif(sys.platform != "linux", reason="finding detached processes for certain needs Linux")
def test_daemons_of_the_agent_are_ended_with_it(real: RealCli) -> None:
    command = "setsid sleep 314 >/dev/null 2>&1 & nohup sleep 315 >/dev/null 2>&1 & echo started"
    result = real.run([Use("Bash", command=command), Say("done")])
    assert result.failure is None
    assert any("still running" in note and "sleep" in note for note in result.notes)
    running = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", "314"] not in running
    assert ["sleep", "315"] not in running


@real_claude
def test_a_command_that_hangs_is_ended_at_the_time_limit(real: RealCli) -> None:
    result = real.run([Use("Bash", command="sleep 316"), Say("done")], timeout=4)
    assert result.failure is not None
    assert result.failure.kind is Kind.AGENT
    assert "not done after" in result.failure.summary
    assert "`Bash sleep 316`" in result.failure.summary
    assert result.session is not None


@real_claude
def test_preflight_accepts_the_real_cli(real: RealCli) -> None:
    agent = AgentSettings(command=str(real.program))
    version = preflight(agent, {"PATH": os.environ["PATH"], "HOME": str(real.sessions.home)})
    assert version.endswith("(Claude Code)")


# What the CLI does when it misbehaves is played by shell scripts.


def played(sessions: Sessions, text: str, **limits: float) -> AgentResult:
    program = sessions.script("claude", text)
    workspace = sessions.workspace(AgentSettings(command=str(program)), **limits)  # type: ignore[arg-type]
    return run_session(workspace, sessions.prompt())


def summary_of(result: AgentResult) -> str:
    assert result.failure is not None
    assert result.failure.kind is Kind.AGENT
    return result.failure.summary


def events(*items: object) -> str:
    return "".join(f"echo '{json.dumps(item)}'\n" for item in items)


def test_a_cli_that_lacks_an_option_fails_with_its_own_words(agent_sessions: Sessions) -> None:
    result = played(agent_sessions, "echo \"error: unknown option '--tools'\" >&2; exit 1")
    assert summary_of(result).endswith("exit status 1: error: unknown option '--tools'")


def test_a_cli_that_hangs_after_its_result_is_stopped(
    agent_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_watch, "SETTLE_SECONDS", 0.3)
    result = played(agent_sessions, events(INIT, DONE) + "exec sleep 100")
    assert result.failure is None
    assert result.notes == ("the CLI did not end after its result and was stopped",)


def test_a_cli_that_never_prints_is_stopped(agent_sessions: Sessions) -> None:
    assert "printed nothing at all" in summary_of(played(agent_sessions, "exec sleep 100", stall_timeout=0.5))


def test_a_session_that_goes_quiet_is_stopped(agent_sessions: Sessions) -> None:
    result = played(agent_sessions, events(INIT) + "exec sleep 100", stall_timeout=0.5)
    assert "stalled" in summary_of(result)
    assert result.session == "s-1"


def test_a_cli_that_is_killed_is_said_to_be(agent_sessions: Sessions) -> None:
    result = played(agent_sessions, events(INIT) + "kill -9 $$")
    assert summary_of(result) == "the session ended without a result: killed by SIGKILL"


def test_a_stream_with_noise_and_a_huge_line_is_read(agent_sessions: Sessions) -> None:
    huge = "head -c 5000000 /dev/zero | tr '\\0' x; echo"
    result = played(agent_sessions, f"echo Loading\n{events(INIT)}\n{huge}\n{events(DONE)}")
    assert result.failure is None
    assert result.notes == ("2 line(s) of the stream were no JSON events",)


def test_the_prompt_comes_on_stdin(agent_sessions: Sessions) -> None:
    played(agent_sessions, "cat > got.txt\n" + events(INIT, DONE))
    assert (agent_sessions.path / "got.txt").read_text(encoding="utf-8") == "Say hello."


def test_a_cli_that_vanished_is_not_charged_to_the_task(agent_sessions: Sessions) -> None:
    workspace = agent_sessions.workspace(AgentSettings(command="no-such-claude"))
    failure = run_session(workspace, agent_sessions.prompt()).failure
    assert failure is not None
    assert failure.kind is Kind.INTERNAL
    assert "`no-such-claude` is not on the PATH" in failure.summary


def test_another_agents_sessions_are_left_to_it(agent_sessions: Sessions) -> None:
    workspace = agent_sessions.workspace(AgentSettings(name="other"))
    assert ClaudeAgent().pytest_agenttasks_run_agent(workspace, agent_sessions.prompt()) is None


def test_the_command_line_holds_limits_rules_and_the_users_own_arguments(agent_sessions: Sessions) -> None:
    agent = AgentSettings(allowed_tools=("Read",), args=("--effort", "low"))
    workspace = agent_sessions.workspace(agent, max_turns=7, model="m-2", budget_usd=0.00002)
    assert arguments(workspace) == [
        *("--print", "--output-format", "stream-json", "--verbose", "--max-turns", "7"),
        *("--tools", "Read", "--allowedTools", "Read", "--permission-mode", "dontAsk", "--strict-mcp-config"),
        *("--model=m-2", "--max-budget-usd=0.000020", "--effort", "low"),
    ]


def test_mcp_servers_start_only_where_a_tool_of_theirs_is_allowed(agent_sessions: Sessions) -> None:
    agent = AgentSettings(allowed_tools=("Read", "mcp__db__query"))
    argv = arguments(agent_sessions.workspace(agent))
    assert "--strict-mcp-config" not in argv
    assert argv[argv.index("--tools") + 1] == "Read"


def test_plain_tools_become_rules_that_hold_them_to_the_workspace() -> None:
    agent = AgentSettings(allowed_tools=("Read", "Edit", "Bash", "Write(/docs/**)"), bash_allow=("npm test",))
    rules = permission_rules(agent, os.path.realpath("/"))
    assert rules[:2] == ("Read", "Edit(/**)")
    assert rules[-2:] == ("Write(/docs/**)", "Bash(npm test)")
    assert built_in_tools(rules) == ("Read", "Edit", "Write", "Bash")
    assert built_in_tools(permission_rules(AgentSettings(bash_allow=()))) == (
        "Read",
        "Edit",
        "Write",
        "Glob",
        "Grep",
    )


def test_the_users_own_variables_win_over_the_defaults() -> None:
    environment = session_environment({"API_TIMEOUT_MS": "5", "CLAUDECODE": "1", "HOME": "/h"}, 720)
    assert environment["API_TIMEOUT_MS"] == "5"
    assert environment["CLAUDE_CODE_DISABLE_AUTO_MEMORY"] == "1"
    assert "CLAUDECODE" not in environment
    assert session_environment({}, 720)["API_TIMEOUT_MS"] == "360000"
    assert session_environment({}, 5)["API_TIMEOUT_MS"] == "60000"


def test_the_clouds_credentials_pass_only_where_the_cli_uses_that_cloud() -> None:
    assert "AWS_*" not in login_variables({"AWS_PROFILE": "x"})
    assert "AWS_*" in login_variables({"CLAUDE_CODE_USE_BEDROCK": "1"})


HELP = " ".join(claude._FLAGS) + " dontAsk"


def probe(sessions: Sessions, text: str, **settings: object) -> str:
    program = sessions.script("claude", text)
    agent = AgentSettings(command=str(program), **settings)  # type: ignore[arg-type]
    return preflight(agent, {"PATH": os.environ["PATH"]})


def test_preflight_gives_the_version(agent_sessions: Sessions) -> None:
    text = f'[ "$1" = --version ] && echo "9.9.9 (Claude Code)" || echo "{HELP}"'
    assert probe(agent_sessions, text) == "9.9.9 (Claude Code)"


def test_preflight_asks_once(agent_sessions: Sessions) -> None:
    text = f'echo "$1" >> {agent_sessions.folder}/asked; echo "{HELP}"'
    probe(agent_sessions, text)
    probe(agent_sessions, text)
    assert (agent_sessions.folder / "asked").read_text(encoding="utf-8").split() == ["--version", "--help"]


def test_preflight_names_the_options_that_a_version_lacks(agent_sessions: Sessions) -> None:
    known = HELP.replace("--tools ", "").replace(" dontAsk", "")
    with pytest.raises(SetupError) as raised:
        probe(agent_sessions, f'[ "$1" = --version ] && echo 1.0.3 || echo "{known} --tools-old x--tools"')
    assert "version 1.0.3, which does not know --tools, --permission-mode dontAsk" in str(raised.value)
    assert "npm install --global @anthropic-ai/claude-code@latest" in str(raised.value)


def test_preflight_says_how_to_install_a_missing_cli() -> None:
    with pytest.raises(
        SetupError, match=r"`claude` is not on the PATH; install it with `npm install --global"
    ):
        preflight(AgentSettings(), {"PATH": "/nonexistent"})


def test_preflight_shows_what_a_broken_cli_says(agent_sessions: Sessions) -> None:
    with pytest.raises(SetupError, match=r"--version` ended with status 3: node: not found"):
        probe(agent_sessions, "echo node: not found; exit 3")


def test_preflight_refuses_a_program_that_cannot_start(agent_sessions: Sessions) -> None:
    program = agent_sessions.script("claude", "")
    program.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(SetupError, match="cannot be started"):
        preflight(AgentSettings(command=str(program)), {"PATH": os.environ["PATH"]})


def test_preflight_does_not_wait_for_ever(agent_sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claude, "PROBE_SECONDS", 0.3)
    with pytest.raises(SetupError, match="did not answer"):
        probe(agent_sessions, "exec sleep 100")


@pytest.mark.parametrize(("command", "says"), [("claude 'x", "no command line"), ((), "is empty")])
def test_preflight_refuses_a_command_that_is_none(command: str | tuple[str, ...], says: str) -> None:
    with pytest.raises(SetupError, match=says):
        preflight(AgentSettings(command=command), dict(os.environ))


def test_a_command_may_have_words_of_its_own(agent_sessions: Sessions) -> None:
    program = agent_sessions.script("wrapper", 'printf "%s " "$@" > words.txt\n' + events(INIT, DONE))
    workspace = agent_sessions.workspace(AgentSettings(command=(str(program), "two words", "claude")))
    assert run_session(workspace, agent_sessions.prompt()).failure is None
    words = (agent_sessions.path / "words.txt").read_text(encoding="utf-8")
    assert words.startswith("two words claude --print --output-format stream-json")
