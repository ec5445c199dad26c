"""Attacks on the machine around the run, each in a mount namespace of its own that vanishes with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.queue_runs import GREEN, NO_OTHERS, OWN_PLUGINS, Project, Result
from tests.user_repository import UserRepository, task_text


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else pytest leaves compiled files of the project's own modules in the user's checkout, where nothing may appear."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


_TRY = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]


def _refused() -> str:
    """Why no mount namespace can be made here; "" when it can."""
    try:
        done = subprocess.run(_TRY, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


pytestmark = pytest.mark.skipif(bool(_refused()), reason=f"no mount namespace: {_refused()}")


DISK = "from pytest_agenttasks import room\n\nroom.LOW_DISK = 0\n"
"""A conftest.py: a disk as small as these would not be begun with."""

CONFINED = """\
set -e
mkdir -p "$DISK"
mount -t tmpfs -o size=24m none "$DISK"
git init -q -b work "$DISK/project"
cp -a "$FILES/." "$DISK/project"
cd "$DISK/project"
git add -A
git commit -qm base
"$@" > "$DISK/../output-1" 2>&1 || true
cp ../report.xml "$DISK/../report-1.xml"
rm -f "$DISK/fill"
"$@" > "$DISK/../output-2" 2>&1 || true
cp ../report.xml "$DISK/../report-2.xml"
cp -a "$DISK/." "$DISK/../after"
"""
"""Two runs of one queue on a disk of 24 MB; in between there is room again. All that is left is copied out."""


def _play(folder: Path, home: Path, agent: str) -> list[Result]:
    """Play a queue of one task on a small disk, twice; `after` is what the disk held in the end."""
    files, script = folder / "files", folder / "agent.sh"
    files.mkdir()
    script.write_text(f"set -eu\n{agent}\n")
    repository = UserRepository(files)
    settings = {
        "agent": {"name": "command", "command": f"sh {script}"},
        "gates": [{"name": "tests", "run": GREEN}],
        "retry_delay": 0,
        "sandbox": "none",
    }
    repository.write("agenttasks.yaml", json.dumps(settings))
    repository.write("conftest.py", DISK)
    repository.write("src/a.txt", "a\n")
    repository.write("tasks/pending/001-fills.md", task_text("Fills", ("src/",)))
    command = [
        sys.executable, "-m", "pytest", *OWN_PLUGINS, "--agent-tasks", "tasks/pending", "--junitxml=../report.xml",
        "-p", "no:cacheprovider",
    ]  # fmt: skip
    disk = folder / "disk"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", CONFINED, "sh", *command],
        env={
            **os.environ,
            **NO_OTHERS,
            "DISK": str(disk),
            "FILES": str(files),
            "XDG_STATE_HOME": str(disk / "state"),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(disk.iterdir()) == []
    return [_result(folder, number) for number in (1, 2)]


def _result(folder: Path, number: int) -> Result:
    (folder / "report.xml").write_bytes((folder / f"report-{number}.xml").read_bytes())
    project = Project(UserRepository(folder / "after/project"), folder / "agent.sh")
    return project.result(0, (folder / f"output-{number}").read_text())


def test_a_session_that_fills_the_disk_stops_the_run_and_its_work_is_kept(tmp_path: Path, home: Path) -> None:
    first, second = _play(
        tmp_path,
        home,
        "if [ ! -e ../../../../once ]; then touch ../../../../once; echo work >> src/a.txt; echo precious > src/new.txt\n"
        'cat /dev/zero > "$DISK/fill" 2>/dev/null || true; else echo again >> src/a.txt; fi',
    )
    assert first.outcomes == {"001-fills": "disk"}, first.output
    assert "free some space" in first.output
    assert second.outcomes == {"001-fills": "landed"}, second.output
    after = UserRepository(tmp_path / "after/project")
    assert after.read("src/a.txt") == "a\nagain\n"
    assert after.git("fsck", "--strict", "--no-dangling") == ""
    kept = [file.read_text() for file in (tmp_path / "after/state").rglob("src/new.txt")]
    attempt = "refs/attempts/001-fills/1:src/new.txt"
    stored = subprocess.run(
        ["git", "--git-dir", after.path / ".git/agenttasks/shadow.git", "cat-file", "blob", attempt],
        env={**os.environ, "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(after.path / ".git/objects")},
        capture_output=True,
        text=True,
        check=False,
    )
    # In the attempt, or in the workspace that was put aside because there was no room to store it; or, as it is tried again
    # when there may be room, in both.
    assert {*kept, stored.stdout} - {""} == {"precious\n"}, stored.stderr


def test_a_session_that_fills_its_tmpdir_is_cleaned_up_after(tmp_path: Path, home: Path) -> None:
    first, _ = _play(
        tmp_path,
        home,
        'echo work >> src/a.txt; cat /dev/zero > "$TMPDIR/fill" 2>/dev/null || true; : > "$TMPDIR/fill"',
    )
    assert first.outcomes == {"001-fills": "landed"}, first.output


def test_a_bind_mount_of_the_users_checkout_does_not_have_it_cleaned(tmp_path: Path, home: Path) -> None:
    """An agent that may mount (root, in many containers) shows the user's files inside its workspace."""
    first, second = _play(
        tmp_path,
        home,
        "if [ ! -e ../../../../once ]; then touch ../../../../once; echo work >> src/a.txt; mkdir build src/mine;\n"
        'mount --bind "$DISK/project/src" build; mount --bind "$DISK/project/src" src/mine; else echo again >> src/a.txt; fi',
    )
    assert "something is mounted in a workspace" in first.output
    assert first.outcomes in ({}, {"001-fills": "internal"}), first.output
    assert second.outcomes == {"001-fills": "landed"}, second.output
    after = UserRepository(tmp_path / "after/project")
    assert after.read("src/a.txt") == "a\nagain\n"
    assert after.status() == ""
