"""Workers whose sessions are held on another machine: a real sshd on loopback, a home of its own, scripted agents."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.claude_api import Say, ScriptedApi, Use
from tests.far_machine import FarMachine
from tests.junit import cases_of
from tests.living import until
from tests.queue_runs import GREEN, Project
from tests.test_several_agents import SCOPED, TOGETHER, files, gate_every_commit
from tests.test_stopping import STUBBORN, alive, fingerprint, journal, running

PATIENCE = 60.0
"""Seconds: a run here opens a connection before its first task, and one for each worker."""
HOMES = 'echo "$AGENTTASKS_TASK $HOME" >> ../homes\n'


def homes(machine: FarMachine) -> list[str]:
    """The tasks whose sessions were held there, in that home."""
    folders = (machine.home / ".local/state/agenttasks").glob("project-*/agent-*/homes")
    lines = [line.split() for file in folders for line in file.read_text().splitlines()]
    assert {home for _, home in lines} <= {str(machine.home)}
    return sorted(task for task, _ in lines)


def test_sessions_are_held_there_and_land_here(project: Project, far: FarMachine) -> None:
    files(project, "abc")
    project.repository.git("tag", "-a", "v1", "-m", "one")
    project.agent(f"git describe --tags > ../described\n{HOMES}{SCOPED}\necho said")
    for name in "abc":
        project.task(f"00{'abc'.index(name) + 1}-{name}", scope=(f"src/{name}.txt",))
    result = project.run("--tx", f"2*{far.tx()}")
    assert result.status == 0, result.output
    names = ["001-a", "002-b", "003-c"]
    assert result.outcomes == dict.fromkeys(names, "landed")
    assert homes(far) == names
    assert gate_every_commit(project) == 3
    assert project.repository.status() == ""
    assert "far: agent command: " in result.output
    assert not list((far.home / ".local/state/agenttasks").glob("project-*/agent-0/project/tasks/logs"))
    logs = project.path / "tasks/logs/001-a"
    assert (logs / "attempt-1.jsonl").read_text() == "said\n"
    assert "+by 001-a" in (logs / "attempt-1.diff").read_text()
    assert "its session was held on far" in (logs / "attempt-1.json").read_text()
    (described, *_) = (far.home / ".local/state/agenttasks").glob("project-*/agent-0/described")
    assert described.read_text().startswith("v1")
    assert far.attempts() == []
    until(lambda: not far.processes())


def test_a_machine_here_and_one_there_work_beside_each_other(project: Project, far: FarMachine) -> None:
    files(project, "ab")
    meet = str(project.path.parent / "here-")
    project.agent(f"{TOGETHER.format(count=2).replace('../../here-', meet)}{HOMES}{SCOPED}")
    project.task("001-a", scope=("src/a.txt",))
    project.task("002-b", scope=("src/b.txt",))
    result = project.run("--tx", "popen", "--tx", far.tx())
    assert result.outcomes == {"001-a": "landed", "002-b": "landed"}, result.output
    assert len(homes(far)) == 1
    assert gate_every_commit(project) == 2


def test_a_failed_gate_is_told_there_and_the_next_session_goes_on_from_its_files(
    project: Project, far: FarMachine
) -> None:
    project.configure(gate="! grep -q bad src/a.txt || { echo 'no bad things'; exit 1; }")
    project.agent(
        "case $AGENTTASKS_ATTEMPT in\n"
        "  1) echo bad >> src/a.txt; echo kept > src/new.txt ;;\n"
        "  2) cat > ../prompt; test -e src/new.txt; sed -i /bad/d src/a.txt ;;\n"
        "esac"
    )
    project.task("001-a", scope=("src/a.txt", "src/new.txt"))
    result = project.run("--tx", far.tx())
    assert result.outcomes == {"001-a": "landed"}, result.output
    assert result.properties["001-a"]["attempts"] == "2"
    assert project.repository.read("src/new.txt") == "kept\n"
    (prompt,) = (far.home / ".local/state/agenttasks").glob("project-*/agent-0/prompt")
    assert "no bad things" in prompt.read_text()


def test_a_change_out_of_scope_is_refused_here(project: Project, far: FarMachine) -> None:
    project.agent("echo x >> src/b.txt; mkfifo src/pipe; echo y >> src/a.txt")
    project.task("001-a", front="max_attempts: 1")
    result = project.run("--tx", far.tx())
    assert result.outcomes == {"001-a": "scope"}, result.output
    assert "src/b.txt" in result.output
    assert "src/pipe" in result.output
    assert "the whole workspace is kept in" in (project.path / "tasks/logs/001-a/attempt-1.json").read_text()


def test_dependencies_are_made_there(project: Project, far: FarMachine) -> None:
    project.configure(
        "workspace: {setup: 'mkdir -p deps && echo $HOME > deps/made', setup_inputs: [src/a.txt]}"
    )
    project.agent("cat deps/made >> src/a.txt")
    project.task("001-a")
    result = project.run("--tx", far.tx())
    assert result.outcomes == {"001-a": "landed"}, result.output
    assert project.repository.read("src/a.txt") == f"a\n{far.home}\n"


def wrapper(folder: Path, body: str) -> str:
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("host", ("far: no Python answers there", "Connection refused", "`ssh -F ")),
        ("python", ("far: no Python answers there", "/nowhere/python", "`ssh -F ")),
        ("package", ("has no pytest-agenttasks", "-m pip install pytest-agenttasks==", "//python=PATH")),
        ("version", ("has pytest-agenttasks 0.0.1, here it is", "-m pip install pytest-agenttasks==")),
        ("git", ("far: no git on its PATH", "install git")),
        ("agent", ("far: ", "`only-here` is not on the PATH", "agent.command")),
        ("copy", ("far: ", "workspace.copy: `secret.env` is not in ", "/elsewhere/project-")),
        ("plugin's agent", ("far: ", "no agent named `special`",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_missing_there_is_said_before_anything_is_spent(
    project: Project, far: FarMachine, tmp_path: Path, what: str, words: tuple[str, ...]
) -> None:
    tx = far.tx()
    quiet = f"gates: [{{name: tests, run: {GREEN!r}}}]\nsandbox: none\ncanary: off\n"
    if what == "host":
        far.switch_off()
    elif what == "python":
        tx = far.tx("/nowhere/python")
    elif what == "package":
        tx = far.tx(wrapper(tmp_path, f'exec {sys.executable} -S "$@"'))
    elif what == "version":
        (tmp_path / "old/pytest_agenttasks").mkdir(parents=True)
        (tmp_path / "old/pytest_agenttasks/__init__.py").write_text('__version__ = "0.0.1"\n')
        tx = far.tx(wrapper(tmp_path, f'PYTHONPATH={tmp_path}/old exec {sys.executable} "$@"'))
    elif what == "git":
        tx = far.tx(more="//env:PATH=/nowhere")
    elif what == "agent":
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/only-here").write_text("#!/bin/sh\n")
        (tmp_path / "bin/only-here").chmod(0o755)
        project.environment["PATH"] = f"{tmp_path}/bin:{os.environ['PATH']}"
        project.repository.commit(
            "agent", **{"agenttasks.yaml": f"{quiet}agent: {{name: command, command: only-here}}\n"}
        )
    elif what == "copy":
        project.configure("workspace: {copy: [secret.env]}")
        project.repository.commit("ignore", **{".gitignore": "*.log\nsecret.env\n"})
        project.repository.write("secret.env", "x")
    elif what == "plugin's agent":
        project.repository.commit(
            "agent",
            **{
                "agenttasks.yaml": f"{quiet}agent: {{name: special}}\n",
                "tasks/conftest.py": "def pytest_agenttasks_run_agent(): ...\n",
            },
        )
    project.task("001-a")
    result = project.run("--tx", tx)
    assert (result.status, result.outcomes) == (4, {}), result.output
    for word in words:
        assert word in " ".join(result.output.split()), result.output
    assert "Traceback" not in result.output
    file = project.path / ".git/agenttasks/journal.jsonl"
    assert not file.exists() or "attempt-started" not in file.read_text()


@pytest.fixture
def stubborn(project: Project) -> Project:
    """A task, in the last commit, whose first session there ignores signals and has a daemon."""
    files(project, "a")
    ready = project.path.parent / "ready"
    project.agent(f"if [ $AGENTTASKS_ATTEMPT = 1 ]; then {STUBBORN.format(ready=ready)} fi\n{SCOPED}")
    project.task("001-a", scope=("src/a.txt",))
    project.repository.commit("queue")
    return project


def first_diff(project: Project) -> str:
    return (project.path / "tasks/logs/001-a/attempt-1.diff").read_text()


@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=["ctrl-c", "SIGTERM"]
)
def test_a_signal_ends_the_agent_there_and_its_work_is_kept_here(
    stubborn: Project, far: FarMachine, number: signal.Signals, group: bool
) -> None:
    before = fingerprint(stubborn)
    with running(stubborn, "--tx", far.tx()) as run:
        processes = run.wait_for_agent(PATIENCE)
        os.killpg(run.process.pid, number) if group else run.process.send_signal(number)
        result = run.result(PATIENCE)
    assert not alive(processes)
    assert result.status == 2, result.output
    assert result.outcomes == {"001-a": "interrupted"}, result.output
    assert fingerprint(stubborn) == before
    assert "+changed" in first_diff(stubborn)
    assert far.attempts() == []
    until(lambda: not far.processes())


def test_after_a_lost_connection_nothing_runs_there_and_the_task_runs_again_uncharged(
    stubborn: Project, far: FarMachine
) -> None:
    stubborn.configure("max_attempts: 1")
    with running(stubborn, "--tx", far.tx()) as run:
        processes = run.wait_for_agent(PATIENCE)
        far.cut()
        until(lambda: not alive(processes))
        result = run.result(PATIENCE)
    assert result.outcomes == {"001-a": "landed"}, result.output
    assert result.properties["001-a"]["attempt.1"].startswith("network: the connection to far was lost")
    assert "+changed" in first_diff(stubborn), "fetched with the next connection"
    assert "until it can be fetched" in (stubborn.path / "tasks/logs/001-a/attempt-1.json").read_text()
    assert far.attempts() == []
    assert stubborn.repository.read("src/a.txt") == "a\nby 001-a\n"


def test_a_killed_run_leaves_nothing_there_and_the_next_one_fetches_what_was_done(
    stubborn: Project, far: FarMachine
) -> None:
    with running(stubborn, "--tx", far.tx()) as run:
        processes = run.wait_for_agent(PATIENCE)
        os.killpg(run.process.pid, signal.SIGKILL)  # the workers too, and what carries their connections
        run.process.communicate()
        until(lambda: not alive(processes))
        until(lambda: not far.processes())
    assert far.attempts() == ["001-a/1"]
    again = stubborn.run("--tx", far.tx())
    assert again.outcomes == {"001-a": "landed"}, again.output
    assert "+changed" in first_diff(stubborn)
    assert "001-a: fetched what attempt 1 had done on far" in again.output
    assert stubborn.repository.read("src/a.txt") == "a\nby 001-a\n"
    assert far.attempts() == []


def test_workers_whose_run_is_gone_end_what_runs_there_and_fetch_it(
    stubborn: Project, far: FarMachine
) -> None:
    with running(stubborn, "--tx", far.tx()) as run:
        processes = run.wait_for_agent(PATIENCE)
        run.process.kill()
        run.process.communicate()
        until(lambda: not alive(processes))
        until(lambda: not far.processes())
    assert "+changed" in first_diff(stubborn)
    assert far.attempts() == []


def test_a_worker_that_is_killed_is_replaced_and_what_was_done_there_is_fetched(
    stubborn: Project, far: FarMachine
) -> None:
    with running(stubborn, "--tx", far.tx()) as run:
        processes = run.wait_for_agent(PATIENCE)
        (worker,) = (
            process
            for process in psutil.Process(run.process.pid).children()
            if any("ssh" in child.name() for child in process.children())
        )
        worker.kill()
        result = run.result(PATIENCE)
    assert not alive(processes)
    assert result.outcomes == {"001-a": "landed"}, result.output
    assert "its worker gw0 on far died" in result.output
    assert len(cases_of(result.junit)) == 1
    assert "+changed" in first_diff(stubborn)


def test_what_a_kill_over_there_has_left_is_mended_with_the_next_connection(
    stubborn: Project, far: FarMachine
) -> None:
    with running(stubborn, "--tx", far.tx()) as run:
        processes = run.wait_for_agent(PATIENCE)
        serving = psutil.Process(psutil.Process(processes[1].ppid()).ppid())
        assert serving in far.processes()
        serving.kill()
        until(lambda: not alive(processes))
        result = run.result(PATIENCE)
    assert result.outcomes == {"001-a": "landed"}, result.output
    assert "+changed" in first_diff(stubborn)
    started = [entry["attempt"] for entry in journal(stubborn) if entry["record"] == "attempt-started"]
    assert started == [1, 2]


def test_a_machine_that_is_gone_is_given_up_and_others_do_its_task(project: Project, far: FarMachine) -> None:
    files(project, "ab")
    folder = project.path.parent / "marks"
    folder.mkdir()
    # Both begin; the one there waits until it is cut off.
    project.agent(
        f'touch {folder}/$AGENTTASKS_TASK; if [ "$HOME" = {far.home} ]; then touch {folder}/there; '
        "n=0; while [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done; fi\n"
        f"n=0; while [ $(ls {folder} | wc -l) -lt 3 ]; do sleep 0.02; n=$((n+1)); [ $n -lt 1500 ]; done\n{SCOPED}"
    )
    project.task("001-a", scope=("src/a.txt",))
    project.task("002-b", scope=("src/b.txt",))
    with running(project, "--tx", "popen", "--tx", far.tx()) as run:
        until(lambda: len(list(folder.iterdir())) == 3 or run.process.poll() is not None, PATIENCE)
        far.switch_off()
        result = run.result(PATIENCE)
    assert result.outcomes == {"001-a": "landed", "002-b": "landed"}, result.output
    assert result.status == 0
    assert "gw1 on far was given up: far cannot be reached any more" in result.output
    assert len(cases_of(result.junit)) == 2


def test_a_run_whose_only_machine_is_gone_stops_with_the_task_pending(
    stubborn: Project, far: FarMachine
) -> None:
    with running(stubborn, "--tx", far.tx()) as run:
        run.wait_for_agent(PATIENCE)
        far.switch_off()
        result = run.result(PATIENCE)
    assert (result.status, result.outcomes) == (2, {"001-a": "network"}), result.output
    assert "far cannot be reached any more" in result.output
    assert stubborn.where("001-a") == ["pending"]


@pytest.mark.parametrize(
    ("tx", "words"),
    [
        ("socket=host:8888", "agents are started by `ssh=user@host`"),
        ("ssh=host//chdir=/tmp", "`chdir=` means nothing for agent tasks"),
        ("ssh=", "agents are started by `ssh=user@host`"),
    ],
)
def test_a_tx_that_means_nothing_is_refused(project: Project, tx: str, words: str) -> None:
    project.task("001-a")
    result = project.run("--tx", tx)
    assert (result.status, result.outcomes) == (4, {}), result.output
    assert words in result.output


def test_n_and_a_machine_are_not_mixed_silently(project: Project) -> None:
    project.task("001-a")
    result = project.run("-n", "2", "--tx", "ssh=somewhere")
    assert result.status == 4
    assert "for workers here as well add `--tx N*popen`" in result.output


@pytest.mark.real_claude
def test_the_real_claude_works_there(
    project: Project, far: FarMachine, claude_cli: Path, claude_api: ScriptedApi
) -> None:
    variables = claude_api.environment(far.home, CLAUDE_CODE_MAX_RETRIES="1")
    del variables["HOME"]
    settings = {"command": str(claude_cli), "env": variables}
    text = f"gates: [{{name: tests, run: {GREEN!r}}}]\ncanary: off\nagent: {json.dumps(settings)}\n"
    project.repository.commit("settings", **{"agenttasks.yaml": text})
    claude_api.add(
        [
            Use("Write", file_path="src/stray.txt", content="x"),
            Use("Bash", command="echo by claude in $HOME >> src/a.txt", description="append"),
            Say("Done."),
        ]
    )
    project.task("001-a")
    result = project.run("--tx", far.tx())
    assert result.outcomes == {"001-a": "landed"}, result.output
    assert project.repository.read("src/a.txt") == f"a\nby claude in {far.home}\n"
    found = result.properties["001-a"]
    assert float(found["cost_usd"]) > 0
    assert found["denials"] == "1", "the guard asks there, too"
    logs = project.path / "tasks/logs/001-a"
    assert "by claude" in (logs / "attempt-1.transcript.md").read_text()
    assert len((logs / "attempt-1.refused.jsonl").read_text().splitlines()) == 1
