"""Plays an attack: a repository, a queue of the attack's task and an honest one behind it, and one real run of both."""

from __future__ import annotations

import json
import os
import stat
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from tests.attacks.attack import ATTACK_TASK, BASE_FILES, GATE, HONEST_CHANGE, HONEST_TASK, Attack, Played
from tests.attacks.quick_runs import run_pytest
from tests.queue_runs import NO_OTHERS, OWN_PLUGINS, Project
from tests.user_repository import make_repository, task_text

HONEST_FILE = "docs/notes.md"
DEFAULT_SCOPE = ("src/",)

_AGENT = f"""\
import os, pathlib, runpy
if os.environ["AGENTTASKS_TASK"] == {HONEST_TASK!r}:
    with open({HONEST_FILE!r}, "a") as file:
        file.write("more\\n")
else:
    for path, text in {dict(HONEST_CHANGE)!r}.items():
        pathlib.Path(path).write_text(text)
    runpy.run_path(SCRIPT, run_name="__main__")
"""


def scope_of(attack: Attack) -> tuple[str, ...]:
    """The entries of the attack's *Files in Scope*."""
    given = attack.task.get("scope", DEFAULT_SCOPE)
    assert isinstance(given, (tuple, list))
    return tuple(map(str, given))


def play(attack: Attack, folder: Path, home: Path, mutant: Callable[[], None] | None = None) -> Played:
    """Play `attack` in a project made in `folder`; `mutant` breaks the plugin in the run's process before it starts."""
    project = _project(attack, folder)
    marker = f"attack-{uuid.uuid4().hex}"
    project.environment |= {
        "ATTACK_VICTIM": str(project.path),
        "ATTACK_HOME": str(home),
        "ATTACK_MARKER": marker,
    }
    base = project.repository.head()
    before = {**fingerprint(project.path), **fingerprint(home, "~")}
    report, output = folder / "report.xml", folder / "output.txt"
    status = run_pytest(
        [*OWN_PLUGINS, "--agent-tasks", "tasks/pending", f"--junitxml={report}", "-p", "no:cacheprovider"],
        cwd=project.path,
        env={**os.environ, **NO_OTHERS, **project.environment},
        output=output,
        timeout=60,
        first=mutant,
    )
    result = project.result(status, output.read_bytes().decode())
    after = {**fingerprint(project.path), **fingerprint(home, "~")}
    return Played(
        attack=attack,
        project=project,
        result=result,
        before=before,
        after=after,
        log=_logs(project),
        base=base,
        tip=project.repository.head(),
        marker=marker,
        home=home,
    )


def _project(attack: Attack, folder: Path) -> Project:
    repository = make_repository(folder / "project")
    for name, data in {**BASE_FILES, **attack.files}.items():
        repository.write(name, data)
    for queue in ("pending", "done", "failed"):
        repository.write(f"tasks/{queue}/.gitkeep", "")
    script, agent = folder / "attack.py", folder / "agent.py"
    script.write_text(attack.script)
    agent.write_text(f"SCRIPT = {str(script)!r}\n{_AGENT}")
    settings = {
        "agent": {"name": "command", "command": [sys.executable, "-I", "-S", str(agent)]},
        "gates": [{"name": "tests", "run": GATE}],
        "max_attempts": 1,
        "retry_delay": 0,
        "sandbox": "bwrap" if attack.sandboxed else "none",
        "canary": "off",
        **attack.settings,
    }
    repository.write("agenttasks.yaml", json.dumps(settings))
    front = "\n".join(f"{key}: {json.dumps(value)}" for key, value in attack.task.items() if key != "scope")
    repository.write(f"tasks/pending/{ATTACK_TASK}.md", task_text("The attack", scope_of(attack), front))
    repository.write(f"tasks/pending/{HONEST_TASK}.md", task_text("Honest work", (HONEST_FILE,)))
    repository.commit("base")
    return Project(repository, folder / "unused.sh")


def fingerprint(top: Path, name: str = "") -> dict[str, str]:
    """Every file, link and folder below `top` (path → kind, mode and content), the runner's own places apart."""
    own = {".git/objects", ".git/agenttasks", "tasks/logs", ".local/state/agenttasks"}
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(top):
        here = os.path.relpath(folder, top)
        folders[:] = sorted(f for f in folders if os.path.normpath(os.path.join(here, f)) not in own)
        for entry in (*folders, *files):
            path = Path(folder, entry)
            key = os.path.normpath(os.path.join(name, here, entry))
            if key in ("~/.local", "~/.local/state"):
                continue
            found[key] = _look(path)
    return found


def _look(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"-> {os.readlink(path)}"
    if stat.S_ISREG(mode):
        return f"{mode:o} {path.read_bytes()!r}"
    return f"{mode:o}"


def _logs(project: Project) -> str:
    files = sorted(path for path in (project.path / "tasks/logs").rglob("*") if path.is_file())
    return "\n".join(path.read_text(errors="backslashreplace") for path in files)


def alive(marker: str) -> list[str]:
    """The processes that have the marker in their environment or their arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in told and int(process.name) != os.getpid():
            found.append(f"{process.name}: {told[-200:]!r}")
    return found
