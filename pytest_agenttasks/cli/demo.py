"""`agenttasks demo`: a small queue in a throw-away repository, played by the replay agent or by a real one."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..outcome import SetupError
from ..queue import names

DATA = Path(__file__).parent.parent / "demo_data"
EXPECTED = {
    "done": {"001-farewell", "002-shout"},
    "failed": {"003-colours", "004-tidy-up"},
    "pending": {"005-rainbow"},
}
"""Where each task lies after the recorded sessions have been played."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--agent", default="replay", metavar="NAME", help="replay (default; no account needed) or claude"
    )
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="where to build the repository (default: a temporary folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Play the demo; 0 when the recorded sessions ended as they should, else pytest's own exit status."""
    top = build(args.into)
    print(f"A repository with five tasks: {top}\n")
    variables = {**os.environ, "XDG_STATE_HOME": str(top.parent / "state")}
    options = ["--agent", args.agent, "-v"]
    if args.agent == "replay":
        options += ["--agent-config", str(_replay_settings(top))]
    command = [sys.executable, "-m", "pytest_agenttasks.cli", "run", *options]
    print(f"$ pytest --agent-tasks tasks/pending --agent {args.agent}", flush=True)
    status = subprocess.run(command, cwd=top, env=variables, check=False).returncode
    _show(top)
    if args.agent != "replay":
        return status
    if status == 1 and where_tasks_are(top) == EXPECTED:
        print("The demo went as recorded: 2 landed, 2 failed, 1 blocked.")
        return 0
    print(f"agenttasks: the demo did not go as recorded (pytest ended with {status})", file=sys.stderr)
    return status or 1


def build(into: Path | None) -> Path:
    """The throw-away repository, on a branch of its own. Raises SetupError when the folder is in use."""
    root = Path(tempfile.mkdtemp(prefix="agenttasks-demo-")) if into is None else into.absolute()
    top = root / "greeter"
    if top.exists():
        raise SetupError(f"{top}: there is something already; name another folder with --into")
    shutil.copytree(DATA / "project", top)
    (top / "gitignore").rename(top / ".gitignore")
    shutil.copytree(DATA / "tasks", top / "tasks/pending")
    for folder in ("pending", "done", "failed"):
        (top / "tasks" / folder).mkdir(exist_ok=True)
        (top / "tasks" / folder / ".gitkeep").touch()
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    for arguments in (
        ("init", "-q", "-b", "agents/demo"),
        ("config", "user.name", "Demo"),
        ("config", "user.email", "demo@localhost"),
        ("config", "commit.gpgSign", "false"),
        ("add", "-A"),
        ("commit", "-q", "-m", "A project with a queue of five tasks"),
    ):
        _git(top, variables, *arguments)
    return top


def _replay_settings(top: Path) -> Path:
    """The project's settings with the recordings' folder, outside the repository."""
    text = (top / "agenttasks.yaml").read_text()
    file = top.parent / "replay.yaml"
    file.write_text(f"{text}agent:\n  name: replay\n  command: '{DATA / 'recordings'}'\n")
    return file


def where_tasks_are(top: Path) -> dict[str, set[str]]:
    """Folder → the tasks that lie in it."""
    return {folder: names(top / "tasks" / folder) for folder in EXPECTED}


def _show(top: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    print("\nWhat landed ($ git log --oneline):")
    print(_git(top, variables, "log", "--oneline", "--no-decorate"))
    print(
        f"Where to look, in {top}:\n"
        "  git log -p                       each landed task is one commit; `git revert` takes it back\n"
        "  tasks/failed/, tasks/pending/    what did not land\n"
        "  tasks/logs/003-colours/          every attempt: prompt, transcript, diff, gate output\n"
        "  agenttasks show 002-shout        one task's story\n"
    )


def _git(top: Path, variables: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=top, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SetupError(f"git {' '.join(arguments)} in {top}: {done.stderr.strip()}")
    return done.stdout
