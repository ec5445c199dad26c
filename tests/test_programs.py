"""Programs in the sandbox: what they may write and see, and that their end is told as it was."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pytest_agenttasks.agents.own_files import OwnFiles
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.processes import hidden
from pytest_agenttasks.processes.sandbox import Sandbox, View, wrap
from pytest_agenttasks.processes.supervisor import Finished, StartError, SupervisorLost
from pytest_agenttasks.programs import Programs
from pytest_agenttasks.run import Run
from pytest_agenttasks.trees.places import Place, place
from tests.living import until
from tests.opened import opened
from tests.user_repository import UserRepository

pytestmark = pytest.mark.usefixtures("bubblewrap")

NO_SANDBOX = Sandbox("none", reason="none is wanted")


class Shell:
    """Runs shell lines in the gate's place, in the sandbox; `said` is what the last one printed."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.where: Place = place(run.shadow, "gate", 0)
        self.where.path.mkdir(exist_ok=True)
        self.log = run.repository.top.parent / "said"

    def __call__(
        self,
        line: str,
        *,
        own: OwnFiles | None = None,
        programs: Programs | None = None,
        timeout: float = 30,
        **env: str,
    ) -> Finished:
        return (programs or self.run.programs).run(
            self.where,
            ["sh", "-c", line],
            env={**os.environ, "TMPDIR": str(self.where.tmp), **env},
            stdout=self.log,
            timeout=timeout,
            own=own,
        )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


@pytest.fixture
def shell(repository: UserRepository) -> Iterator[Shell]:
    with opened(repository, sandbox="bwrap", gates=[{"name": "t", "run": "true"}]) as run:
        yield Shell(run)


def marked(mark: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])]


def test_it_writes_to_its_workspace_and_to_nothing_of_the_users(shell: Shell, home: Path) -> None:
    (home / ".profile").write_text("mine\n")
    top, where = shell.run.repository.top, shell.where
    other = place(shell.run.shadow, "agent", 0)
    own = [where.path / "file", where.tmp / "file", where.root / "caches/file", "/tmp/file", "/dev/shm/file"]
    others = [
        *(home / name for name in (".profile", "evil", ".bashrc")),
        *(top / name for name in ("src/a.txt", "evil", ".git/config", ".git/hooks/post-commit")),
        *(shell.run.repository.home / name for name in ("journal.jsonl", "evil", "shadow.git/config")),
        *(where.root / name for name in ("dependencies.msgpack", "covers/evil", "evil")),
        *(other.root / "evil", other.tmp / "evil"),
        Path("/usr/evil"),
        Path("/etc/passwd"),
    ]
    before = {path: path.read_bytes() for path in others if path.exists()}
    for path in own:
        assert shell(f"echo x > {path}").ok, shell.said
    for path in others:
        assert not shell(f"echo x >> {path}").ok, path
        assert "Read-only file system" in shell.said
    assert {path: path.read_bytes() for path in others if path.exists()} == before


def test_logins_look_empty(shell: Shell, home: Path) -> None:
    for name in hidden.SECRETS:
        file = home / name / "inner" if "." not in Path(name).name[1:] else home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("HUSH")
    (home / ".config/other").write_text("readable")
    assert shell("cat ~/.config/other").ok
    assert shell.said == "readable"
    shell("grep -rl HUSH ~")
    assert shell.said == ""
    shell("grep -rl HUSH ~ | wc -l", programs=replace(shell.run.programs, sandbox=NO_SANDBOX))
    assert int(shell.said) == len(hidden.SECRETS)


def test_a_login_behind_a_link_is_hidden_where_it_lies(shell: Shell, home: Path) -> None:
    (home / "dotfiles/ssh").mkdir(parents=True)
    (home / "dotfiles/ssh/id").write_text("HUSH")
    (home / ".ssh").symlink_to("dotfiles/ssh")
    shell("cat ~/.ssh/id ~/dotfiles/ssh/id")
    assert "HUSH" not in shell.said


def test_a_registrys_name_stays_and_its_token_goes(shell: Shell, home: Path) -> None:
    (home / ".npmrc").write_text("registry=https://r.example/\n//r.example/:_authToken=HUSH\n")
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_text(
        "[global]\ntimeout = 9\nindex-url = https://u:HUSH@r.example/\n"
    )
    assert shell("cat ~/.npmrc ~/.config/pip/pip.conf").ok
    assert shell.said == "registry=https://r.example/\n[global]\ntimeout = 9\n"


def test_sockets_in_tmp_are_out_of_reach(shell: Shell) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/socket")
        server.listen()
        connect = f'import socket; socket.socket(socket.AF_UNIX).connect("{folder}/socket")'
        assert not shell(f"{sys.executable} -c {shlex.quote(connect)}").ok
        assert "No such file" in shell.said


def test_other_processes_are_out_of_reach(shell: Shell) -> None:
    shell("ls /proc | grep -c '^[0-9]'")
    assert int(shell.said) < 10
    assert not shell(f"kill -0 {os.getpid()}").ok


def test_nothing_can_be_mounted_or_remounted(shell: Shell) -> None:
    assert not shell(f"mount -o remount,rw / || mount -t tmpfs none {shell.where.path}").ok
    assert not shell("grep -q '^CapEff:.*[1-9a-f]' /proc/self/status").ok


def test_a_writable_folder_of_the_agent(shell: Shell, home: Path) -> None:
    for name in (".codex", ".config/gh"):
        (home / name).mkdir(parents=True)
        assert not shell(f"echo x > ~/{name}/login").ok
    own = OwnFiles(writable=(home / ".codex", home / ".config/gh"))
    assert shell("echo x > ~/.codex/login && echo x > ~/.config/gh/login", own=own).ok, shell.said
    assert (home / ".config/gh/login").read_text() == "x\n"


def test_what_is_fixed_in_it_stays_and_copies_are_thrown_away(shell: Shell, home: Path) -> None:
    (home / ".agent/sessions").mkdir(parents=True)
    (home / ".agent/sessions/old").touch()
    for name in (".agent/hooks", ".agent.json"):
        (home / name).write_text("mine\n")
    own = OwnFiles(
        writable=(home / ".agent",),
        fixed=(home / ".agent/hooks",),
        copied=(home / ".agent.json",),
        emptied=(home / ".agent/sessions",),
    )
    assert not shell("echo x > ~/.agent/hooks", own=own).ok
    assert shell("ls ~/.agent/sessions; echo x > ~/.agent/sessions/new; echo x >> ~/.agent.json", own=own).ok
    assert shell.said == ""
    assert (home / ".agent/hooks").read_text() == (home / ".agent.json").read_text() == "mine\n"
    assert os.listdir(home / ".agent/sessions") == ["old"]


def test_a_link_in_it_cannot_be_replaced(shell: Shell, home: Path) -> None:
    (home / ".agent").mkdir()
    (home / "dotfiles").mkdir()
    (home / "dotfiles/hooks").write_text("mine\n")
    (home / ".agent/hooks").symlink_to("../dotfiles/hooks")
    own = OwnFiles(writable=(home / ".agent",), fixed=(home / ".agent/hooks",))
    assert not shell("echo x > ~/.agent/hooks", own=own).ok
    shell("rm ~/.agent/hooks; mkdir ~/.agent/hooks; echo x > ~/.agent/hooks/evil", own=own)
    assert (home / ".agent/hooks").read_text() == "mine\n"


def test_nothing_that_a_program_left_leads_the_runner_elsewhere(shell: Shell, home: Path) -> None:
    (home / ".cargo").mkdir()
    (home / ".cargo/config").touch()
    (home / "mine").mkdir()
    (home / "mine/config").write_text("mine\n")
    root = shell.where.root
    line = f"cd {root}; for d in homes/* caches tmp/.own* tmp; do rm -rf $d; ln -s {home}/mine $d; done"
    for _ in range(2):
        shell(line, own=OwnFiles(copied=(home / ".gitconfig",)))
    assert (home / "mine/config").read_text() == "mine\n"
    assert os.listdir(home / "mine") == ["config"]


@pytest.mark.parametrize("path", ["", "src", ".git/agenttasks", ".."])
def test_the_users_repository_is_never_made_writable(shell: Shell, path: str) -> None:
    with pytest.raises(SetupError, match="which only the runner may change"):
        shell("true", own=OwnFiles(writable=(shell.run.repository.top / path,)))


@pytest.mark.parametrize(
    ("line", "code", "number"),
    [
        ("exit 3", 3, None),
        ("exit 1", 1, None),
        ("exit 129", 129, None),
        ("kill -SEGV $$", None, signal.SIGSEGV),
        ("kill -KILL $$", None, signal.SIGKILL),
        ("nonsense", 127, None),
    ],
)
def test_its_end_is_told_as_it_was(shell: Shell, line: str, code: int | None, number: int | None) -> None:
    finished = shell(line)
    assert (finished.exit_code, finished.signal, finished.stopped) == (code, number, None)


def test_a_program_that_is_asked_to_end_hears_it(shell: Shell) -> None:
    line = "trap 'echo heard; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    finished = shell(line, timeout=1)
    assert (finished.stopped, finished.exit_code, shell.said) == (
        "timeout",
        5,
        "ready\nTerminated\nheard\n",
    )  # sleep heard it too


def test_a_deaf_program_is_killed(shell: Shell) -> None:
    finished = shell("trap '' TERM; while :; do sleep 0.1; done", timeout=0.5)
    assert (finished.stopped, finished.exit_code) == ("timeout", None)


def test_no_process_outlives_it(shell: Shell) -> None:
    mark = f"mark-{os.getpid()}-stay"
    assert shell(f"setsid nohup sh -c ': {mark}; sleep 60; :' >/dev/null 2>&1 & sleep 0.2").ok
    assert marked(mark) == []


def test_nothing_outlives_a_killed_supervisor(shell: Shell) -> None:
    mark = f"mark-{os.getpid()}-kill"

    def kill() -> None:
        assert shell.run.supervisor._lifeline is not None
        if marked(mark):
            shell.run.supervisor._lifeline.process.kill()

    programs = shell.run.programs
    with pytest.raises(SupervisorLost):
        programs.run(
            shell.where, ["sh", "-c", f"setsid sh -c ': {mark}; sleep 60; :' & wait"], env=dict(os.environ),
            stdout=shell.log, poll=kill,
        )  # fmt: skip
    until(lambda: not marked(mark))


def test_a_sandbox_without_a_supervisor_is_found_and_ended(shell: Shell) -> None:
    mark = f"mark-{os.getpid()}-left"
    view = View(cwd=Path("/"), writable=(Path(os.path.realpath(shell.where.tmp)),))
    program = shell.run.programs.sandbox.program
    assert program is not None
    words = wrap(program, view, ["sh", "-c", f": {mark}; sleep 60; :"])
    with subprocess.Popen([word for word in words if word != "--die-with-parent"]):
        other = place(shell.run.shadow, "agent", 0)
        assert shell.run.programs.end_left(other) == ()
        assert set(shell.run.programs.end_left(shell.where)) == {"bwrap"}
        until(lambda: not marked(mark), 5)


def test_it_dies_with_whoever_started_it(bubblewrap: Sandbox) -> None:
    """Even where supervisor and runner are killed at once."""
    assert bubblewrap.program is not None
    mark = f"mark-{os.getpid()}-orphan"
    inside = ["sh", "-c", f"setsid sh -c ': {mark}; sleep 60; :' & wait"]
    words = wrap(bubblewrap.program, View(cwd=Path("/"), writable=()), inside)
    with subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", *words]) as parent:
        until(lambda: any(p.name() == "sleep" for p in psutil.process_iter() if mark in _above(p)))
        parent.kill()
    try:
        until(lambda: not marked(mark), 5)
    finally:
        for process in marked(mark):
            process.kill()


def _above(process: psutil.Process) -> str:
    """The command line of the parent."""
    try:
        parent = process.parent()
        return " ".join(parent.cmdline()) if parent is not None else ""
    except psutil.NoSuchProcess:
        return ""


def test_a_program_that_is_not_there_is_told_as_without_a_sandbox(shell: Shell) -> None:
    with pytest.raises(StartError, match="'no-such-program': No such file"):
        shell.run.programs.run(shell.where, ["no-such-program"], env=dict(os.environ), stdout=shell.log)


def test_a_sandbox_that_fails_in_mid_run_is_no_verdict(shell: Shell, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\necho "bwrap: Can\'t mount proc on /newroot/proc" >&2; exit 1\n')
    fake.chmod(0o755)
    broken = replace(shell.run.programs, sandbox=replace(shell.run.programs.sandbox, program=str(fake)))
    with pytest.raises(StartError, match="could not be made: Can't mount proc"):
        shell("true", programs=broken)
    assert shell("echo 'bwrap: no'; echo more; exit 1").exit_code == 1


def test_caches_of_tools_are_the_workspaces_own(shell: Shell, home: Path) -> None:
    (home / ".npm").mkdir()
    assert shell('mkdir -p "$npm_config_cache" && echo x > "$npm_config_cache/x" && ! touch ~/.npm/x'), (
        shell.said
    )
    assert (shell.where.root / "caches/npm/x").exists()
    assert shell("echo $PIP_CACHE_DIR; echo $CARGO_HOME", PIP_CACHE_DIR="/set/in/settings").ok
    assert shell.said.splitlines() == ["/set/in/settings", str(shell.where.root / "homes/cargo")]


def test_the_limits_hold(shell: Shell) -> None:
    shell(
        "ulimit -c; cat /proc/self/oom_score_adj; truncate -s 5G big; ls big 2>/dev/null | wc -l; stat -c %s big"
    )
    assert shell.said.startswith("0\n500\n")
    assert "5368709120" not in shell.said
    assert not shell("yes > endless & pid=$!; prlimit --pid $pid --fsize=100000; wait $pid").ok
