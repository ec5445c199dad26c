"""`workspace.up` and `workspace.down`: around a session, around the gates, and after a kill."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_agenttasks import preflight
from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.attempt import attempt
from pytest_agenttasks.diagnosis.base import gates_on
from pytest_agenttasks.diagnosis.finding import Level
from pytest_agenttasks.outcome import Kind, SetupError
from pytest_agenttasks.processes.sandbox import Sandbox
from pytest_agenttasks.run import Run
from pytest_agenttasks.tasks.task import read
from tests.living import until
from tests.opened import Agent, append, attempt_task, events, opened, outcome
from tests.queue_runs import GREEN, Project
from tests.settings_texts import message, reader
from tests.user_repository import UserRepository, task_text


@dataclass(frozen=True)
class Said:
    """A file outside the repository that the lines write to."""

    file: Path

    def line(self, word: str) -> str:
        return f'echo "{word} $AGENTTASKS_ROLE $COMPOSE_PROJECT_NAME $AGENTTASKS_PORT_BASE" >> {self.file}'

    def told(self) -> list[tuple[str, ...]]:
        return [tuple(line.split()) for line in self.file.read_text().splitlines()]

    def words(self) -> list[str]:
        """`word role` of each line."""
        return [" ".join(words[:2]) for words in self.told()] if self.file.exists() else []


@pytest.fixture
def said(tmp_path: Path) -> Said:
    return Said(tmp_path / "said")


def settings(said: Said, up: str = "", down: str = "", gate: str = GREEN) -> dict[str, Any]:
    """Lines that say what they do; `gate` fails where the services are not up."""
    lines = {"up": f"{said.line('up')}{up}", "down": f"{said.line('down')}{down}"}
    return {"workspace": lines, "gates": [{"name": "tests", "run": f"{said.line('gate')}; {gate}"}]}


def agent_says(said: Said) -> Agent:
    def agent(workspace: AgentWorkspace) -> None:
        names = ("AGENTTASKS_ROLE", "COMPOSE_PROJECT_NAME", "AGENTTASKS_PORT_BASE")
        with said.file.open("a") as file:
            file.write(" ".join(["session", *(workspace.environment[name] for name in names)]) + "\n")
        append(workspace)

    return agent


def begin(run: Run, scope: tuple[str, ...] = ("src/a.txt",)) -> None:
    """Get past the preflight, whose gates have services too."""
    (run.queue.pending / "001-first.md").write_text(task_text("First", scope))
    preflight.check(run, lambda line: None)


def test_services_are_up_for_the_session_and_for_the_gates(repository: UserRepository, said: Said) -> None:
    with opened(repository, agent_says(said), **settings(said)) as run:
        begin(run)
        said.file.unlink()
        assert outcome(run).kind is Kind.LANDED
    assert said.words() == ["up agent", "session agent", "down agent", "up gate", "gate gate", "down gate"]
    of_agent, of_gate = (
        {words[1:] for words in said.told() if words[1] == role} for role in ("agent", "gate")
    )
    assert len(of_agent) == len(of_gate) == 1, "names and ports differ within one workspace"
    (agent,), (gate,) = of_agent, of_gate
    assert not set(agent) & set(gate), "two workspaces share a name or ports"
    log = repository.path / "tasks/logs/001-first"
    assert {file.name for file in log.glob("*.up.log")} == {"attempt-1.up.log", "attempt-1.gates.up.log"}
    assert {file.name for file in log.glob("*.down.log")} == {
        "attempt-1.down.log",
        "attempt-1.gates.down.log",
    }


def test_they_end_after_a_red_gate_too(repository: UserRepository, said: Said) -> None:
    with opened(repository, **settings(said, gate="! grep -q attempt src/a.txt")) as run:
        begin(run)
        said.file.unlink()
        assert outcome(run).kind is Kind.GATE
    words = said.words()
    assert words.count("up gate") == words.count("down gate") == 3  # the gate, again, on the base
    assert words[-1] == "down gate"


def test_they_end_after_an_interrupt(repository: UserRepository, said: Said) -> None:
    def agent(workspace: AgentWorkspace) -> None:
        raise KeyboardInterrupt

    with opened(repository, agent, **settings(said)) as run:
        begin(run)
        said.file.unlink()
        with pytest.raises(KeyboardInterrupt):
            attempt(run, read(run.queue.pending / "001-first.md"))
        assert not run.journal.history.services
    assert said.words() == ["up agent", "down agent"]


def test_a_session_without_its_services_is_not_held(repository: UserRepository, said: Said) -> None:
    fails = '; test "$AGENTTASKS_ROLE" = gate || { echo no daemon; exit 4; }'
    with opened(repository, agent_says(said), **settings(said, up=fails)) as run:
        begin(run)
        said.file.unlink()
        this = attempt_task(run)
    assert this.outcome is not None
    assert this.outcome.kind is Kind.BASE_RED
    assert this.outcome.summary.endswith("failed (exit status 4)")
    assert "workspace.up" in this.outcome.summary
    assert "no daemon" in this.outcome.evidence
    assert said.words() == ["up agent", "down agent"]
    assert not run.journal.history.charged


def test_gates_without_their_services_are_nobodys_fault(repository: UserRepository, said: Said) -> None:
    broken = said.file.with_name("broken")
    fails = f"; test ! -e {broken} || exit 4"

    def agent(workspace: AgentWorkspace) -> None:
        append(workspace)
        broken.touch()

    with opened(repository, agent, **settings(said, up=fails)) as run:
        this = attempt_task(run)
    assert this.outcome is not None
    assert (this.outcome.kind, this.outcome.gate) == (Kind.BASE_RED, "up")
    assert said.words()[-2:] == ["up gate", "down gate"]
    assert "gate-rerun" not in events(run)


def test_an_acceptance_without_its_services_says_nothing_of_the_base(
    repository: UserRepository, said: Said
) -> None:
    broken = said.file.with_name("broken")
    fails = f'; test "$AGENTTASKS_ROLE" = agent || test ! -e {broken}'
    with opened(repository, **settings(said, up=fails)) as run:
        begin(run)
        broken.touch()
        this = attempt_task(run, front="accept: [grep -q attempt src/a.txt]", name="002-second")
    assert this.outcome is not None
    assert (this.outcome.kind, this.outcome.gate) == (Kind.BASE_RED, "up")
    assert this.agent is None, "a session was spent"


def test_an_acceptance_without_its_services_says_nothing_of_the_result(
    repository: UserRepository, said: Said
) -> None:
    broken = said.file.with_name("broken")
    gate = f"if grep -q attempt src/a.txt; then touch {broken}; fi"
    with opened(repository, **settings(said, up=f"; test ! -e {broken}", gate=gate)) as run:
        this = attempt_task(run, front="accept: [grep -q attempt src/a.txt]")
    assert this.outcome is not None
    assert (this.outcome.kind, this.outcome.gate) == (Kind.BASE_RED, "up")
    assert this.agent is not None


def test_a_run_does_not_start_where_services_do_not(repository: UserRepository, said: Said) -> None:
    with opened(repository, **settings(said, up="; echo no daemon; exit 4")) as run:
        with pytest.raises(SetupError, match=r"`up` is red on the base.*exit status 4") as caught:
            begin(run)
        assert "no daemon" in str(caught.value)
        (finding,) = gates_on(run, run.repository.tree_of("HEAD"), run.repository.tip())
    assert (finding.level, finding.check) == (Level.FAIL, "workspace")
    assert "mend `workspace.up`" in finding.remedy


def test_a_down_that_fails_is_a_note(repository: UserRepository, said: Said) -> None:
    with opened(repository, **settings(said, down="; exit 1")) as run:
        this = attempt_task(run)
    assert this.outcome is not None
    assert this.outcome.kind is Kind.LANDED
    of_session, of_gates = [note for note in this.notes if "workspace.down" in note]
    for note in (of_session, of_gates):
        assert "failed (exit status 1): what it ends may still run" in note
    assert of_session.endswith("attempt-1.down.log")
    assert of_gates.endswith("attempt-1.gates.down.log")
    assert "services-left" in events(run)


def test_a_down_that_hangs_is_ended_in_time(repository: UserRepository, said: Said) -> None:
    wanted = settings(said, down='; test "$AGENTTASKS_ROLE" = gate || sleep 60')
    wanted["workspace"]["down_timeout"] = 0.3
    with opened(repository, **wanted) as run:
        this = attempt_task(run)
    assert any("failed (not done after" in note for note in this.notes)


def test_no_file_of_the_agents_is_run(repository: UserRepository, said: Said) -> None:
    """Nor one of an earlier attempt, which the workspace may begin with."""
    repository.commit("services", **{"tools/down.sh": said.line("down")})

    def agent(workspace: AgentWorkspace) -> None:
        append(workspace)
        (workspace.path / "tools/down.sh").write_text(said.line("evil"))

    wanted = settings(said)
    wanted["workspace"]["down"] = "sh tools/down.sh"
    with opened(repository, agent, **wanted) as run:
        begin(run, ("src/a.txt", "tools/down.sh"))
        said.file.unlink()
        this = attempt_task(run)
    assert this.outcome is not None
    assert this.outcome.kind is Kind.LANDED
    assert said.words() == ["up agent", "down agent", "up gate", "gate gate", "down gate"]


def test_what_a_line_leaves_running_is_ended_with_it(repository: UserRepository, said: Said) -> None:
    pid = said.file.with_name("pid")
    with opened(repository, **settings(said, up=f"; sleep 300 & echo $! > {pid}")) as run:
        assert outcome(run).kind is Kind.LANDED
    assert not psutil.pid_exists(int(pid.read_text()))
    assert " ended=s" in run.events.path.read_text()  # sleep, or sh where it had not become that yet


def test_they_run_outside_the_sandbox(repository: UserRepository, said: Said, bubblewrap: Sandbox) -> None:
    wanted = settings(said)
    wanted["gates"] = [{"name": "tests", "run": f"test -e {said.file} && ! echo x >> {said.file}"}]
    with opened(repository, sandbox="bwrap", **wanted) as run:
        assert outcome(run).kind is Kind.LANDED
    assert said.words()[-4:] == ["up agent", "down agent", "up gate", "down gate"]


def test_after_a_kill_the_next_start_ends_them(project: Project, said: Said) -> None:
    ready = project.path.parent / "ready"
    project.configure(f"workspace: {json.dumps(settings(said)['workspace'])}")
    project.agent(f"echo by an agent >> src/a.txt; if [ ! -e {ready} ]; then echo > {ready}; sleep 60; fi")
    project.task("001-first")
    process = project.start()
    try:
        until(lambda: ready.exists() or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert said.words()[-1] == "up agent"
    killed = said.told()[-1]
    project.configure(
        f"workspace: {json.dumps({'up': 'true', 'down': 'true'})}"
    )  # the line of that time counts
    result = project.run()
    assert "ended the services of a run that was killed" in result.output
    assert said.told()[-1] == ("down", *killed[1:]), "other services than those that were up"
    assert result.outcomes == {"001-first": "landed"}, result.output
    count = len(said.told())
    project.task("002-second", scope=("src/b.txt",))
    project.agent("echo more >> src/b.txt")
    assert "ended the services" not in project.run().output
    assert len(said.told()) == count


def test_up_without_down_is_refused(tmp_path: Path) -> None:
    read_settings = reader(tmp_path / "agenttasks.yaml")
    assert message(read_settings, "workspace: {up: docker compose up -d}").startswith(
        "agenttasks.yaml:1: `workspace.up`: needs `workspace.down`"
    )
    assert read_settings("workspace: {down: 'true'}").workspace.up_timeout == 600.0
    assert "more than 0" in message(read_settings, "workspace: {up: a, down: b, up_timeout: 0}")
    assert "choose another name" in message(read_settings, "gates: [{name: up, run: x}]")
