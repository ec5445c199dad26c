"""A project to be killed in: two tasks that land, one that fails for good, a user with files of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_agenttasks import cli
from tests.attacks.quick_runs import run_pytest
from tests.crash import effects
from tests.crash.effects import Plan
from tests.queue_runs import NO_OTHERS, OWN_PLUGINS
from tests.user_repository import UserRepository, make_repository, task_text

TOP = Path(__file__).parents[2]
LANDS, FAILS, ADDS = "001-lands", "002-fails", "003-adds"
SCOPES = {LANDS: ("src/", "lib/"), FAILS: ("other/c.txt",), ADDS: ("more/",)}
MEMORY = "# Project\n\n## Do Not Touch\n- LICENSE\n\n## Active Task Queue\n\n## Completed Tasks Log\n"
MAX_ATTEMPTS = 1
BIG = "".join(f"line {number}\n" for number in range(2000))
"""Long enough to be cut off in the middle."""

AGENT = """\
set -eu
nonce=$(cat /proc/sys/kernel/random/uuid)
case $AGENTTASKS_TASK in
{lands}) echo "$nonce" >> src/a.txt; rm -f src/b.txt; mkdir -p lib/in; echo "$nonce" > lib/in/new.txt
    cat src/big.txt src/big.txt > b; mv b src/big.txt ;;
{fails}) echo broken >> other/c.txt; echo "$nonce" > other/.gitignore ;;
*) mkdir -p more; echo "$nonce" > "more/$AGENTTASKS_TASK.txt" ;;
esac
echo "$AGENTTASKS_TASK $AGENTTASKS_ATTEMPT $nonce" >> '{sessions}'
{more}
"""
"""`sessions` outside of everything says which sessions have written what."""

GATE = "! grep -rq broken src other lib more 2>/dev/null"


@dataclass(frozen=True)
class Shape:
    """What kind of project: its queue tracked or not, with a memory file or without; agents at a time (0: no xdist);
    whether the user has committed the tasks, or the first start does."""

    tracked: bool = True
    memory: bool = True
    workers: int = 0
    committed: bool = False

    @property
    def name(self) -> str:
        queue = "tracked" if self.tracked else "untracked"
        return f"{'-n ' + str(self.workers) if self.workers else 'serial'}, {queue}, {'memory' if self.memory else 'no memory'}"


@dataclass(frozen=True)
class Ran:
    """How a start ended. `status` is -9 after the kill."""

    status: int
    output: str


@dataclass
class World:
    """A project in `folder`, with a home of its own; `marker` is in the environment of all that it starts."""

    folder: Path
    shape: Shape
    marker: str = field(default_factory=lambda: f"crash-{uuid.uuid4().hex}")
    starts: int = 0
    last: Ran = field(default_factory=lambda: Ran(0, ""))

    @property
    def repository(self) -> UserRepository:
        return UserRepository(self.folder / "project")

    @property
    def path(self) -> Path:
        return self.folder / "project"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def own(self) -> Path:
        """The runner's own folder."""
        return self.path / ".git/agenttasks"

    @property
    def sessions(self) -> list[tuple[str, int, str]]:
        """Task, attempt and what was written, of every session so far."""
        file = self.folder / "sessions"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(task, int(number), nonce) for task, number, nonce in map(str.split, lines)]

    @property
    def steps(self) -> list[tuple[str, int, str]]:
        """Process, occurrence and name of every step of the last start that had a plan."""
        lines = (self.folder / f"steps.{self.starts}").read_text().splitlines()
        return [
            (process, int(count), name) for process, count, name in (line.split("\t", 2) for line in lines)
        ]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")},
            **NO_OTHERS,
            "HOME": str(self.home),
            "PYTEST_DEBUG_TEMPROOT": str(self.home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(TOP), os.environ.get("PYTHONPATH")])),
            "CRASH_MARKER": self.marker,
        }

    def plan(self, **chosen: object) -> Plan:
        self.starts += 1
        return Plan(log=str(self.folder / f"steps.{self.starts}"), **chosen)  # type: ignore[arg-type]

    def start(self, plan: Plan | None = None, *more: str, where: Path | None = None) -> Ran:
        """One start of the run, to its end; with a plan its steps are counted, and it may die."""
        workers: Sequence[str] = ()
        if self.shape.workers:
            workers = ("-n", str(self.shape.workers), "-p", "tests.crash.effects")
        return self._start(
            plan,
            [
                *OWN_PLUGINS,
                *workers,
                "--agent-tasks",
                "tasks/pending",
                f"--junitxml={self.folder / 'report.xml'}",
                "-p",
                "no:cacheprovider",
                *more,
            ],
            where,
        )

    def type(self, *words: str, plan: Plan | None = None, where: Path | None = None) -> Ran:
        """`agenttasks` and these words, to its end; with a plan as `start`."""
        return self._start(plan, words, where, cli.main)

    def _start(
        self,
        plan: Plan | None,
        argv: Sequence[str],
        where: Path | None,
        main: Callable[[list[str]], int] | None = None,
    ) -> Ran:
        output = self.folder / "output"
        environment = self.environment
        if plan is not None:
            environment[effects.VARIABLE] = plan.text()
        status = run_pytest(
            argv,
            cwd=where or self.path,
            env=environment,
            output=output,
            timeout=60,
            first=effects.install,
            main=main,
        )
        self.last = Ran(status, output.read_text(errors="backslashreplace"))
        return self.last

    def task(self, name: str, scope: tuple[str, ...] = ("more/",)) -> Path:
        return self.repository.write(f"tasks/pending/{name}.md", task_text(f"Task {name}", scope))

    def agent(self, more: str = "") -> None:
        """What agents do, and after it `more`."""
        text = AGENT.format(lands=LANDS, fails=FAILS, sessions=self.folder / "sessions", more=more)
        (self.folder / "agent.sh").write_text(text)


def make(folder: Path, shape: Shape) -> World:
    """A new world in `folder`, which must not exist."""
    folder.mkdir(parents=True)
    home = folder / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Test User\n\temail = test@example.org\n[init]\n\tdefaultBranch = work\n"
        "[advice]\n\tdetachedHead = false\n[gc]\n\tauto = 0\n"
    )
    world = World(folder, shape)
    repository = make_repository(world.path)
    for name, text in {
        "src/a.txt": "a\n", "src/b.txt": "b\n", "src/big.txt": BIG, "other/c.txt": "c\n", "notes/mine.txt": "mine\n",
        "LICENSE": "a licence\n", ".gitignore": "*.log\nbuild/\n",
    }.items():  # fmt: skip
        repository.write(name, text)
    if shape.memory:
        repository.write("CLAUDE.md", MEMORY)
    settings = {
        "agent": {"name": "command", "command": ["sh", str(folder / "agent.sh")]},
        "gates": [{"name": "tests", "run": GATE}],
        "max_attempts": MAX_ATTEMPTS,
        "retry_delay": 0,
        "sandbox": "none",
        "canary": "off",
        "budget": {"day_sessions": 500},  # so that what is left is looked at before each session
    }
    repository.write("agenttasks.yaml", json.dumps(settings))
    queue = [f"tasks/{name}" for name in ("pending", "done", "failed")]
    for name in queue:
        repository.write(f"{name}/.gitkeep", "")
    if not shape.tracked:
        repository.write(".gitignore", "*.log\nbuild/\n/tasks/\n")
    world.agent()
    repository.commit("base")
    for name, scope in SCOPES.items():
        world.task(name, scope)
    if shape.committed:
        repository.commit("tasks by the user")
    repository.write("untracked.txt", "the user's, untracked\n")
    repository.write("build/ignored.txt", "the user's, ignored\n")
    repository.git("tag", "base")
    return world


def copied(template: World, folder: Path) -> World:
    """Another world as `template` is before its first start."""
    shutil.copytree(template.folder, folder, symlinks=True)
    world = World(folder, template.shape)
    world.agent()
    settings = world.path / "agenttasks.yaml"
    settings.write_text(settings.read_text().replace(str(template.folder), str(folder)))
    git = world.repository.git
    git("add", "agenttasks.yaml")
    git("commit", "-q", "-m", "settings")
    git("tag", "-f", "base")
    return world


def runner(world: World, *more: str) -> subprocess.Popen[bytes]:
    """A start that is not waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *OWN_PLUGINS, "--agent-tasks", "tasks/pending", "-p", "no:cacheprovider", *more],
        cwd=world.path, env=world.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def kill_left(marker: str) -> None:
    """End what a failed test has left running."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (process / "environ").read_bytes() and int(process.name) != os.getpid():
                os.kill(int(process.name), 9)
        except OSError:
            continue


def main() -> None:  # pragma: no cover - a look at the steps by hand
    shape = Shape(workers=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    world = make(Path(sys.argv[1]), shape)
    ran = world.start(world.plan())
    print(ran.output)
    for step in world.steps:
        print(*step)


if __name__ == "__main__":
    main()
