from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_agenttasks.agents.command import CommandAgent, Watch, preflight, run_command
from pytest_agenttasks.agents.contract import AgentResult, Progress
from pytest_agenttasks.outcome import Kind, Outcome, SetupError
from pytest_agenttasks.settings.records import AgentSettings
from tests.agent_sessions import TASK, Sessions


def settings(*command: str, model: str | None = None) -> AgentSettings:
    return AgentSettings(name="command", command=command, model=model)


def run(sessions: Sessions, *command: str, model: str | None = None, **limits: float) -> AgentResult:
    workspace = sessions.workspace(settings(*command), model=model, **limits)  # type: ignore[arg-type]
    return run_command(TASK, workspace, sessions.prompt("Say hello. {task}"))


def failure_of(result: AgentResult) -> Outcome:
    assert result.failure is not None
    return result.failure


def made(sessions: Sessions, name: str) -> str:
    return (sessions.path / name).read_text(encoding="utf-8")


def test_the_prompt_comes_on_stdin_and_status_0_means_done(agent_sessions: Sessions) -> None:
    result = run(agent_sessions, "sh", "-c", "cat > prompt.txt; echo all done")
    assert result.failure is None
    assert result.final_text == "all done"
    assert made(agent_sessions, "prompt.txt") == "Say hello. {task}"
    assert (agent_sessions.logs / "attempt-1.jsonl").read_text(encoding="utf-8") == "all done\n"


def test_with_a_prompt_file_stdin_is_empty(agent_sessions: Sessions) -> None:
    result = run(agent_sessions, "sh", "-c", 'cat > stdin.txt; cat "$1" > prompt.txt', "sh", "{prompt_file}")
    assert result.failure is None
    assert made(agent_sessions, "stdin.txt") == ""
    assert made(agent_sessions, "prompt.txt") == "Say hello. {task}"


def test_placeholders_are_filled_in_wherever_they_stand(agent_sessions: Sessions) -> None:
    words = ("--for={task}", "{workspace}/x", "-m{model}", "{other} {} {task", "${HOME}")
    run(agent_sessions, "sh", "-c", 'printf "%s\\n" "$@" > words.txt', "sh", *words, model="m-{task}")
    assert made(agent_sessions, "words.txt").splitlines() == [
        "--for=001-hello",
        f"{agent_sessions.path}/x",
        "-mm-{task}",
        "{other} {} {task",
        "${HOME}",
    ]


def test_a_command_line_is_split_like_a_shell_would(agent_sessions: Sessions) -> None:
    agent = AgentSettings(name="command", command="sh -c 'echo \"$1\" > out.txt' sh 'two words'")
    workspace = agent_sessions.workspace(agent)
    assert run_command(TASK, workspace, agent_sessions.prompt()).failure is None
    assert made(agent_sessions, "out.txt") == "two words\n"


def test_the_environment_says_which_attempt_it_is(agent_sessions: Sessions) -> None:
    workspace = agent_sessions.workspace(settings("sh", "-c", "env > env.txt"), {"MINE": "1"}, attempt=3)
    run_command(TASK, workspace, agent_sessions.prompt())
    variables = made(agent_sessions, "env.txt").splitlines()
    prompt_file = agent_sessions.logs / "attempt-1.prompt.md"
    for expected in (
        "MINE=1",
        "AGENTTASKS_TASK=001-hello",
        "AGENTTASKS_ATTEMPT=3",
        f"AGENTTASKS_PROMPT_FILE={prompt_file}",
    ):
        assert expected in variables


def test_another_status_is_the_tasks_failure_with_what_was_printed(agent_sessions: Sessions) -> None:
    failure = failure_of(run(agent_sessions, "sh", "-c", "echo working; echo 'no key\x1b[0m' >&2; exit 3"))
    assert failure.kind is Kind.AGENT
    assert failure.summary == "the agent's command ended with exit status 3: no key"
    assert failure.evidence == "stdout:\nworking\n\nstderr:\nno key"


def test_a_killed_command_is_said_to_be(agent_sessions: Sessions) -> None:
    failure = failure_of(run(agent_sessions, "sh", "-c", "kill -9 $$"))
    assert failure.summary == "the agent's command ended with killed by SIGKILL"


def test_a_command_is_held_to_its_time(agent_sessions: Sessions) -> None:
    failure = failure_of(run(agent_sessions, "sleep", "100", timeout=0.5))
    assert failure.kind is Kind.AGENT
    assert "not done after" in failure.summary


def test_a_quiet_command_is_a_stall(agent_sessions: Sessions) -> None:
    failure = failure_of(run(agent_sessions, "sh", "-c", "echo a; exec sleep 100", stall_timeout=0.5))
    assert "stalled" in failure.summary
    assert "stdout:\na" in failure.evidence


def test_what_it_leaves_running_is_noted(agent_sessions: Sessions) -> None:
    result = run(agent_sessions, "sh", "-c", "setsid sleep 317 >/dev/null 2>&1 & sleep 0.2")
    assert result.failure is None
    assert any("sleep" in note for note in result.notes)


def test_the_last_line_printed_is_the_step_and_growth_puts_the_stall_off(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    now = 0.0
    reported: list[Progress] = []
    watch = Watch((out, err), reported.append, 10.0, clock=lambda: now)
    assert watch.poll() is None
    out.write_text("one\ntwo\n\n", encoding="utf-8")
    now = 10.0
    assert watch.poll() is None
    now = 20.0
    assert watch.poll() is None
    err.write_text("three\n", encoding="utf-8")
    assert watch.poll() is None
    now = 30.0
    assert watch.poll() is None
    now = 30.1
    assert watch.poll() == "stalled"
    assert [progress.step for progress in reported] == ["two", "three"]


def test_another_agents_sessions_are_left_to_it(agent_sessions: Sessions) -> None:
    workspace = agent_sessions.workspace(AgentSettings(name="claude"))
    assert CommandAgent().pytest_agenttasks_run_agent(TASK, workspace, agent_sessions.prompt()) is None


def test_preflight_gives_the_program(agent_sessions: Sessions) -> None:
    program = agent_sessions.script("my-agent", "")
    assert preflight(settings("my-agent", "{task}"), {"PATH": str(program.parent)}) == str(program)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("no-such-agent",), "`no-such-agent` is not on the PATH"),
        (("./no/such/agent",), "`./no/such/agent` is no such program"),
        (("claude",), "needs the command line"),
        (("sh", "-m", "{model}"), "`agent.model` is not set"),
    ],
)
def test_preflight_refuses_what_cannot_run(command: tuple[str, ...], says: str) -> None:
    with pytest.raises(SetupError, match=says):
        preflight(settings(*command), {"PATH": os.environ["PATH"]})


def test_a_program_that_vanished_is_not_charged_to_the_task(agent_sessions: Sessions) -> None:
    assert failure_of(run(agent_sessions, "no-such-agent")).kind is Kind.INTERNAL
