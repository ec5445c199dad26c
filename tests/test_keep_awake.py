"""The machine is kept awake by a program that ends with the run, also with one that is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_agenttasks.keep_awake import kept_awake
from tests.living import until
from tests.queue_runs import Project

INHIBIT = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/asked.part; mv {folder}/asked.part {folder}/asked
for program in "$@"; do :; done
$program
touch {folder}/ended
"""
REFUSED = "#!/bin/sh\necho 'Access denied: no such thing' >&2; exit 1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """First on PATH."""
    made = tmp_path / "bin"
    made.mkdir()
    monkeypatch.setenv("PATH", f"{made}{os.pathsep}{os.environ['PATH']}")
    return made


def program(folder: Path, text: str, name: str = "systemd-inhibit") -> None:
    (folder / name).write_text(text.format(folder=folder))
    (folder / name).chmod(0o755)


linux = pytest.mark.skipif(sys.platform == "darwin", reason="asks another program there")


@linux
def test_it_is_held_until_the_end(folder: Path) -> None:
    program(folder, INHIBIT)
    said: list[str] = []
    with kept_awake(True, said.append) as look:
        until((folder / "asked").exists)
        look()
        assert not (folder / "ended").exists()
    assert (folder / "ended").exists()
    assert "--what=idle:sleep" in (folder / "asked").read_text().splitlines()
    assert said == []


@linux
def test_it_ends_with_a_run_that_is_killed(folder: Path) -> None:
    program(folder, INHIBIT)
    code = (
        "import sys\nfrom pytest_agenttasks.keep_awake import kept_awake\n"
        "with kept_awake(True, print):\n    sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    until((folder / "asked").exists)
    assert not (folder / "ended").exists()
    process.kill()
    process.wait()
    until((folder / "ended").exists)
    assert process.stdin is not None
    process.stdin.close()


def test_a_refusal_is_one_note(folder: Path) -> None:
    for name in ("systemd-inhibit", "caffeinate"):
        program(folder, REFUSED, name)
    said: list[str] = []
    with kept_awake(True, said.append) as look:

        def looked() -> bool:
            look()
            return bool(said)

        until(looked)
        look()
    (note,) = said
    assert "may go to sleep" in note
    assert "no such thing" in note


def test_nothing_is_asked_for_where_nothing_is_there_or_wanted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("systemd-inhibit", "caffeinate"):
        program(folder, INHIBIT, name)
    said: list[str] = []
    with kept_awake(False, said.append):
        pass
    monkeypatch.setenv("PATH", str(folder / "nowhere"))
    with kept_awake(True, said.append):
        pass
    assert said == []
    assert not (folder / "asked").exists()


def test_on_macos_it_is_bound_to_this_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        folder,
        '#!/bin/sh\necho "$@" > {folder}/asked.part; mv {folder}/asked.part {folder}/asked; exec cat\n',
        "caffeinate",
    )
    monkeypatch.setattr(sys, "platform", "darwin")
    with kept_awake(True, print):
        until((folder / "asked").exists)
    assert (folder / "asked").read_text().split()[-2:] == ["-w", str(os.getpid())]


@linux
@pytest.mark.parametrize("wanted", [True, False])
def test_a_run_holds_it_while_its_agents_work(project: Project, folder: Path, wanted: bool) -> None:
    program(folder, INHIBIT)
    project.configure(f"keep_awake: {str(wanted).lower()}\n")
    state = f"{folder}/state"
    project.agent(f"echo x >> src/a.txt; ls {folder} > {state}")
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert ("asked" in Path(state).read_text(), "ended" in Path(state).read_text()) == (wanted, False)
    assert (folder / "ended").exists() is wanted
    assert "may go to sleep" not in result.output


@linux
def test_a_run_goes_on_without_it_and_says_so_once(project: Project, folder: Path) -> None:
    program(folder, REFUSED)
    project.task("001-first")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert result.output.count("may go to sleep") == 1


def test_where_nobody_sends_the_machine_to_sleep_nothing_is_said(folder: Path, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    words = f"#!/bin/sh\necho 'Failed to connect to bus: No such file' >&2\ntouch {ended}; exit 1\n"
    for name in ("systemd-inhibit", "caffeinate"):
        program(folder, words, name)
    said: list[str] = []
    with kept_awake(True, said.append) as look:
        until(ended.exists)
        look()
    assert said == []
