"""`agenttasks doctor`, in real repositories: all that would stop a run, each finding with its remedy."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_agenttasks.cli import doctor, main
from pytest_agenttasks.diagnosis.finding import Finding, Level, refused
from pytest_agenttasks.journal import Journal
from pytest_agenttasks.journal_records import ProgramStarted
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.processes.supervisor import process_start_time
from pytest_agenttasks.room import LOW_DISK
from tests.claude_api import ScriptedApi
from tests.opened import fingerprint
from tests.queue_runs import Project
from tests.test_preflight import HOLD
from tests.user_repository import UserRepository

MB = 1024 * 1024


@dataclass(frozen=True)
class Report:
    """What was found: check → (level, text, remedy) of each finding of that name."""

    status: int
    found: dict[str, list[tuple[str, str, str]]]

    def levels(self) -> dict[str, str]:
        """The worst level of each check."""
        order = ("ok", "warn", "fail")
        return {
            check: max((f[0] for f in all_of_it), key=order.index) for check, all_of_it in self.found.items()
        }

    def failed(self) -> set[str]:
        return {check for check, level in self.levels().items() if level == "fail"}

    def only(self, check: str) -> tuple[str, str, str]:
        (one,) = self.found[check]
        return one


Examine = Callable[..., Report]


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Examine:
    def run(folder: Path, *args: str) -> Report:
        monkeypatch.chdir(folder)
        capsys.readouterr()
        status = main(["doctor", "--json", *args])
        document = json.loads(capsys.readouterr().out)
        found: dict[str, list[tuple[str, str, str]]] = {}
        for one in document["findings"]:
            found.setdefault(one["check"], []).append((one["level"], one["text"], one["remedy"]))
            assert bool(one["remedy"]) == (one["level"] != "ok"), one
        report = Report(status, found)
        assert document["ready"] is (status == 0) is (not report.failed())
        return report

    return run


ALL = [
    "git", "system", "repository", "branch", "worktrees", "identity", "content", "changes", "settings", "queue",
    "agent", "sandbox", "limits", "gate", "clean files", "canary", "disk",
]  # fmt: skip


NOTICES = "head -n 1 src/a.txt | grep -qx a"
"""A gate that is red when the product is broken."""


@pytest.mark.usefixtures("bubblewrap")
def test_all_is_well(project: Project, examine: Examine) -> None:
    project.configure("sandbox: auto", gate=NOTICES, canary="warn")
    project.task("001-first")
    before = fingerprint(project.path)
    report = examine(project.path)
    assert report.status == 0
    assert list(report.found) == ALL
    assert set(report.levels().values()) == {"ok"}
    assert report.only("queue")[1].startswith("1 pending task, 0 with errors")
    assert report.only("agent")[1].startswith("command: /")
    assert report.only("gate")[1].startswith("tests: green on a clean checkout (")
    assert report.only("branch")[1] == "tasks land on work"
    assert report.only("sandbox")[1].startswith("bubblewrap ")
    assert "no core dumps" in report.only("limits")[1]
    assert report.only("canary")[1] == "with everything broken: guarded by gate `tests`"
    assert fingerprint(project.path) == before


@pytest.mark.parametrize(("canary", "level", "status"), [("warn", "warn", 0), ("strict", "fail", 1)])
def test_gates_that_look_at_nothing_are_found(
    project: Project, examine: Examine, canary: str, level: str, status: int
) -> None:
    project.configure(gate="true", canary=canary)
    report = examine(project.path)
    assert report.status == status
    found = report.only("canary")
    assert found[0] == level
    assert "no gate is red, with everything broken" in found[1]
    assert "PYTHONPATH" in found[2]


def test_what_is_turned_off_is_said(project: Project, examine: Examine) -> None:
    report = examine(project.path)
    assert report.status == 0
    level, text, remedy = report.only("sandbox")
    assert (level, remedy) == ("warn", "set `sandbox: auto`")
    assert "nothing protects your home" in text
    assert report.only("canary")[0] == "warn"


def test_a_sandbox_that_was_asked_for_and_does_not_work_stops_a_run(
    project: Project, examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bin/bwrap"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'bwrap: no permissions'; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    project.configure("sandbox: bwrap")
    report = examine(project.path)
    assert report.status == 1
    assert "no permissions" in report.found["sandbox"][0][1]


def test_it_is_printed_in_columns_without_colours(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.configure(gate="echo 'expected 2, got 3'; exit 1")
    monkeypatch.chdir(project.path)
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("ok    git          ")
    assert told[2] == f"ok    repository   {project.path}"
    at = next(n for n, line in enumerate(told) if line.startswith("FAIL"))
    assert told[at].startswith("FAIL  gate         tests: red on a clean checkout: `echo")
    assert told[at].endswith("ended with exit status 1: expected 2, got 3")
    log = project.path / "tasks/logs/doctor.gate-tests.log"
    assert told[at + 1] == f"                   -> mend the branch, or the gate; its output is in {log}"
    assert told[-1] == "not ready: 1 finding would stop a run, 2 warnings"
    assert "\x1b" not in "".join(told)
    assert main(["doctor", "--queue", "tasks/nothing"]) == 1


@pytest.mark.parametrize(
    ("message", "text", "remedy"),
    [
        ("x: no such file; make it", "x: no such file", "make it"),
        ("setup: `a; b` installs; use `c; d`; or e", "setup: `a; b` installs", "use `c; d`; or e"),
        ("only what;is wrong `", "only what;is wrong `", "mend it"),
        ("two\nlines; do", "two lines", "do"),
    ],
)
def test_a_refusal_is_told_apart_from_its_remedy(message: str, text: str, remedy: str) -> None:
    assert refused("x", SetupError(message), "mend it") == Finding("x", Level.FAIL, text, remedy)


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = Finding("gate", Level.FAIL, "red \x1b[2J", "mend it")
    assert doctor.lines(finding, colours=True).startswith("\x1b[1;31mFAIL\x1b[0m  gate         red")
    assert "[2J" not in doctor.lines(finding, colours=True)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert doctor._colours(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not doctor._colours(Terminal())


def test_outside_a_repository_the_rest_is_still_looked_at(tmp_path: Path, examine: Examine) -> None:
    report = examine(tmp_path, "--agent", "replay")
    assert report.status == 1
    assert report.failed() == {"repository", "agent"}
    _, text, remedy = report.only("repository")
    assert "not inside a git checkout" in text
    assert remedy.startswith("run `git init`")
    assert report.levels()["git"] == "ok"


def test_without_settings_it_points_to_init(repository: UserRepository, examine: Examine) -> None:
    report = examine(repository.path, "--agent", "command")
    assert report.status == 1
    assert report.only("settings")[1].endswith("agenttasks.yaml: no such file")
    assert report.only("settings")[2].startswith("`agenttasks init`")
    assert report.only("gate")[0] == "warn"
    assert report.levels()["disk"] == "ok"


def test_settings_that_cannot_be_used_name_line_and_key(project: Project, examine: Examine) -> None:
    project.repository.commit("bad", **{"agenttasks.yaml": "gates: []\ngate: 1\n"})
    report = examine(project.path)
    assert report.failed() == {"settings"}
    assert "agenttasks.yaml:2: unknown key `gate`" in report.only("settings")[1]
    project.repository.commit(
        "none", **{"agenttasks.yaml": "gates: []\nagent: {name: command, command: cat}\n"}
    )
    report = examine(project.path)
    assert report.failed() == {"settings"}
    assert "nothing would be verified" in report.only("settings")[1]
    assert report.levels()["agent"] == "ok"


def test_every_red_gate_is_told_with_what_is_missing_in_a_clean_checkout(
    project: Project, examine: Examine
) -> None:
    project.repository.commit("ignore", **{".gitignore": "*.log\nbuild/\n.env\n__pycache__/\n"})
    for name in (".env", "src/__pycache__/a.pyc", "x.log"):
        project.repository.write(name, "A=1\n")
    gates = (
        "gates:\n  - {name: lint, run: 'true'}\n  - {name: types, run: no-such-program-anywhere}\n"
        "  - {name: tests, run: cat .env}\n  - {name: last, run: 'true'}\n"
        "agent: {name: command, command: cat}\n"
    )
    project.repository.commit("gates", **{"agenttasks.yaml": gates})
    report = examine(project.path)
    assert report.failed() == {"gate"}
    lint, types, tests, last = report.found["gate"]
    assert (lint[0], last[0]) == ("ok", "ok")
    assert "a program that is not there" in types[1]
    assert "workspace.setup" in types[2]
    assert (
        "tests: red on a clean checkout: `cat .env` ended with exit status 1: cat: .env: No such file"
        in tests[1]
    )
    level, text, remedy = report.only("clean files")
    assert (level, text) == ("warn", "not in a clean checkout: .env")
    assert "workspace.copy" in remedy
    more = gates.replace("no-such-program-anywhere", "'true'") + "workspace: {copy: [.env]}\n"
    project.repository.commit("copy", **{"agenttasks.yaml": more})
    assert not examine(project.path).failed()


def test_what_gates_do_without_is_no_warning(project: Project, examine: Examine) -> None:
    project.repository.write("notes.txt", "mine\n")
    level, text, _ = examine(project.path).only("clean files")
    assert (level, text) == ("ok", "not in a clean checkout: notes.txt; the gates do without")


def test_gates_are_really_run_and_a_run_after_it_need_not(
    project: Project, examine: Examine, tmp_path: Path
) -> None:
    project.configure(gate=f"echo >> {tmp_path}/count")
    assert project.run("--agent", "command").status == 5
    for _ in range(2):
        assert not examine(project.path).failed()
    assert (tmp_path / "count").read_text() == "\n\n"
    project.task("001-first")
    project.repository.git("add", "-A")
    project.repository.git("commit", "-qm", "task")
    assert not examine(project.path).failed()
    before = (tmp_path / "count").read_text()
    assert project.run().outcomes == {"001-first": "landed"}
    assert (tmp_path / "count").read_text() == before + "\n", "the base is known, the result is not"


def test_a_setup_that_fails_is_told_once(project: Project, examine: Examine) -> None:
    project.configure("workspace: {setup: 'echo no registry; exit 4'}\n")
    report = examine(project.path)
    assert report.failed() == {"workspace"}
    assert (
        "workspace.setup `echo no registry; exit 4` failed (exit status 4): no registry"
        in report.only("workspace")[1]
    )
    project.configure("workspace: {copy: [node_modules]}\n")
    report = examine(project.path)
    assert report.failed() == {"workspace"}
    assert "`node_modules` is not in" in report.only("workspace")[1]


def test_everything_that_is_wrong_is_told_at_once(
    project: Project, examine: Examine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.repository.git("branch", "-m", "main")
    project.repository.write("src/a.txt", "mine\n")
    (home / ".gitconfig").write_text("")
    project.repository.write("CLAUDE.md", b"\xff")
    project.repository.write(".gitattributes", "*.bin filter=lfs\n")
    environment = ("-c", "user.name=x", "-c", "user.email=x@y")
    project.repository.git("add", "CLAUDE.md", ".gitattributes", "agenttasks.yaml")
    project.repository.git(*environment, "commit", "-qm", "x")
    project.repository.write(
        "agenttasks.yaml", "gates: [{name: a, run: exit 1}]\nagent: {command: no-such-claude}\n"
    )
    report = examine(project.path)
    assert report.failed() == {"branch", "identity", "content", "changes", "memory", "agent", "gate"}
    assert "git switch -c agents/queue" in report.only("branch")[2]
    assert "user.email" in report.only("identity")[2]
    assert "agenttasks.yaml, src/a.txt" in report.only("changes")[1]
    assert "npm install" in report.only("agent")[2]


def test_a_detached_head_is_told_once_and_the_gates_run_all_the_same(
    project: Project, examine: Examine, tmp_path: Path
) -> None:
    project.configure(gate=f"touch {tmp_path}/ran")
    project.repository.git("checkout", "-q", "--detach")
    report = examine(project.path)
    assert "HEAD is detached" in report.only("branch")[1]
    assert "worktrees" not in report.found
    assert report.failed() == {"branch"}
    assert (tmp_path / "ran").exists()


def test_a_repository_without_a_commit(tmp_path: Path, examine: Examine) -> None:
    subprocess.run(["git", "init", "-q", "-b", "work", tmp_path / "new"], check=True)
    report = examine(tmp_path / "new")
    assert "no commit yet" in report.only("branch")[1]
    assert report.status == 1


def test_while_a_run_goes_on_its_workspaces_are_left_alone(
    project: Project, examine: Examine, tmp_path: Path
) -> None:
    project.configure(gate=f"touch {tmp_path}/ran")
    argv = [sys.executable, "-c", HOLD, str(project.path)]
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        report = examine(project.path)
        assert report.failed() == {"run"}
        assert f"another run is using this repository (process {holder.pid}," in report.only("run")[1]
        assert not (tmp_path / "ran").exists()
    finally:
        holder.kill()
        holder.communicate()
    assert not examine(project.path).failed()


def test_room_is_counted_for_every_workspace(
    project: Project, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.repository.write("large.bin", b"\0" * 10 * MB)
    project.repository.commit("large")
    project.repository.write("deps/one", b"\0" * 10 * MB)
    project.repository.commit("ignore", **{".gitignore": "*.log\nbuild/\ndeps/\n"})
    project.configure("workspace: {copy: [deps]}\n")
    free = LOW_DISK + 100 * MB
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert "free for 2 workspaces of 20 MB (1 at once" in examine(project.path).only("disk")[1]
    level, text, remedy = examine(project.path, "-n", "3").only("disk")
    assert (level, "320 MB needed for 6 workspaces of 20 MB" in text) == ("fail", True), text
    assert "XDG_STATE_HOME" in remedy


def test_room_is_counted_for_services_and_reviews_too(
    project: Project, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.repository.write("large.bin", b"\0" * 10 * MB)
    project.repository.commit("large")
    project.configure("workspace: {up: 'true', down: 'true'}\n")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=LOW_DISK + 100 * MB))
    level, text, _ = examine(project.path, "-n", "3").only("disk")
    assert (level, "300 MB free for 6 workspaces of 10 MB" in text) == ("ok", True), text
    assert text.endswith(" and 30 MB for reviews and services")
    level, text, _ = examine(project.path, "-n", "4").only("disk")
    assert (level, "320 MB needed" in text) == ("fail", True), text


def test_copies_count_where_no_clean_checkout_could_be_made(project: Project, examine: Examine) -> None:
    project.repository.commit("ignore", **{".gitignore": "*.log\nbuild/\ndeps/\n"})
    project.repository.write("deps/one", b"\0" * 7 * MB)
    project.configure("workspace: {copy: [deps, nowhere]}\n")
    report = examine(project.path)
    assert report.failed() == {"workspace"}
    assert "2 workspaces of 7 MB" in report.only("disk")[1]


def test_a_state_folder_that_cannot_be_made_is_told(
    project: Project, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null/state")
    report = examine(project.path)
    assert "disk" in report.failed()
    assert "/dev/null/state" in report.only("disk")[1]
    assert "XDG_STATE_HOME" in report.only("disk")[2]


def test_tasks_with_errors_and_an_empty_queue_are_warnings(project: Project, examine: Examine) -> None:
    report = examine(project.path)
    assert (report.status, report.only("queue")[0]) == (0, "warn")
    assert "agenttasks new" in report.only("queue")[2]
    project.task("001-bad", "# Nothing\n")
    project.task("002-fine")
    report = examine(project.path)
    assert (report.status, report.only("queue")[0]) == (0, "warn")
    assert report.only("queue")[1].startswith("2 pending tasks, 1 with errors, ")
    assert "agenttasks lint" in report.only("queue")[2]


def test_without_a_queue_the_gates_are_run_and_nothing_is_made(project: Project, examine: Examine) -> None:
    project.repository.git("rm", "-rq", "tasks")
    project.repository.git("commit", "-qm", "no queue")
    report = examine(project.path)
    assert report.failed() == {"queue"}
    assert "agenttasks init" in report.only("queue")[2]
    assert report.levels()["gate"] == "ok"
    assert not (project.path / "tasks").exists()
    assert project.repository.status() == ""


def test_what_a_killed_run_left_running_is_told_and_not_touched(project: Project, examine: Examine) -> None:
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        started = process_start_time(left.pid)
        assert started is not None
        journal = Journal(project.path / ".git/agenttasks/journal.jsonl")
        journal.write(ProgramStarted(pid=left.pid, started=started))
        report = examine(project.path)
        assert report.status == 0
        assert f"process {left.pid}" in report.only("last run")[1]
        assert left.poll() is None
    finally:
        left.kill()
        left.wait()


def test_a_journal_that_cannot_be_read_is_told_once(project: Project, examine: Examine) -> None:
    folder = project.path / ".git/agenttasks"
    folder.mkdir(exist_ok=True)
    (folder / "journal.jsonl").write_text('{"record": "unheard-of"}\n')
    report = examine(project.path)
    assert report.failed() == {"last run"}
    assert "move the file away" in report.only("last run")[2]


@pytest.mark.parametrize("number", ["0", "-1", "many", "65"])
def test_a_wrong_number_of_workers_is_a_wrong_command_line(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", f"-n={number}"]) == 4
    assert "argument -n" in capsys.readouterr().err


OLD_CLAUDE = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  --version) echo 1.0.0 ;;
  *--help) echo "Usage: claude [options] {flags} dontAsk" ;;
  *) echo "a session that costs money" ;;
esac
"""


def test_a_claude_without_that_command_is_not_given_a_prompt_instead(
    project: Project, examine: Examine, tmp_path: Path
) -> None:
    from pytest_agenttasks.agents.claude import _FLAGS

    program, log = tmp_path / "claude", tmp_path / "asked"
    program.write_text(OLD_CLAUDE.format(log=log, flags=" ".join(_FLAGS)))
    program.chmod(0o755)
    text = f"gates: [{{name: tests, run: 'true'}}]\nagent: {{command: {program}}}\n"
    project.repository.commit("claude", **{"agenttasks.yaml": text})
    report = examine(project.path)
    assert (report.status, report.only("login")[0]) == (0, "warn")
    assert "has no `auth status`" in report.only("login")[1]
    assert sorted(log.read_text().splitlines()) == ["--help", "--version", "auth --help"]


@pytest.mark.real_claude
def test_the_real_cli_tells_whether_it_is_logged_in(
    project: Project,
    examine: Examine,
    claude_cli: Path,
    claude_api: ScriptedApi,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = f"gates: [{{name: tests, run: 'true'}}]\nagent: {{command: '{claude_cli}'}}\n"
    project.repository.commit("claude", **{"agenttasks.yaml": text})
    report = examine(project.path)
    assert report.failed() == {"login"}
    assert "auth login" in report.only("login")[2]
    for name, value in claude_api.environment(home).items():
        monkeypatch.setenv(name, value)
    report = examine(project.path)
    assert report.status == 0
    assert report.only("login")[1].startswith("ANTHROPIC_API_KEY (whether it is still valid")
    assert not claude_api.requests, "nothing was asked of the model"


@pytest.mark.node
def test_a_node_project(project: Project, examine: Examine) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    project.repository.write(
        "node_modules/b/package.json", '{"name": "b", "version": "1.0.0", "main": "index.js"}'
    )
    project.repository.write("node_modules/b/index.js", "exports.answer = 1;\n")
    project.repository.commit(
        "node",
        **{
            ".gitignore": "node_modules/\n*.log\n",
            "package.json": '{"name": "a", "private": true, "dependencies": {"b": "1.0.0"}}',
            "a.test.js": "require('node:assert').equal(require('b').answer, 1);\n",
        },
    )
    text = "gates: [{name: tests, run: node a.test.js}]\nagent: {name: command, command: cat}\n"
    project.repository.commit("settings", **{"agenttasks.yaml": text})
    report = examine(project.path)
    assert report.failed() == {"gate"}
    assert report.only("clean files")[1] == "not in a clean checkout: node_modules/"
    project.repository.commit(
        "settings", **{"agenttasks.yaml": f"{text}workspace: {{copy: [node_modules]}}\n"}
    )
    report = examine(project.path)
    assert report.status == 0
    assert report.only("clean files")[1] == "a clean checkout has all that yours has"


def test_a_review_among_the_gates_is_not_run(project: Project, examine: Examine) -> None:
    project.configure(gate="true")
    text = project.repository.read("agenttasks.yaml").replace(
        "gates:\n", "gates:\n  - {name: review, agent: claude}\n"
    )
    project.repository.commit("review", **{"agenttasks.yaml": text})
    report = examine(project.path)
    assert [text.partition(":")[0] for _, text, _ in report.found["gate"]] == ["tests"]
