"""A project with a queue and a scripted agent, run by a real pytest in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

from tests.user_repository import UserRepository, task_text

OWN_PLUGINS = ("-p", "agenttasks", "-p", "timeout", "-p", "xdist")
NO_OTHERS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Whatever else is installed makes a start twice as long; `all_plugins` is for tests about just that."""

GREEN = "test ! -e src/broken.txt"


@dataclass(frozen=True)
class Result:
    """How a pytest run ended. `outcomes`: task name → the `outcome` property in JUnit."""

    status: int
    output: str
    outcomes: dict[str, str]
    properties: dict[str, dict[str, str]]
    junit: Path


@dataclass
class Project:
    """A repository on branch `work` with gates, a queue, and `agent.sh` beside it as the agent."""

    repository: UserRepository
    script: Path
    settings: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    all_plugins: bool = False

    @property
    def path(self) -> Path:
        return self.repository.path

    def configure(self, more: str = "", gate: str = GREEN, canary: str = "off") -> None:
        """Write agenttasks.yaml and commit it; without the canary, which costs gate runs, and without a sandbox
        unless `more` has one: agents of most tests play the user, or tell the test something, outside their workspace."""
        if "sandbox:" not in more:
            more = f"sandbox: none\n{more}"
        text = (
            f"gates:\n  - {{name: tests, run: {gate!r}}}\nretry_delay: 0\ncanary: {canary}\n"
            f"agent: {{name: command, command: 'sh {self.script}'}}\n{more}"
        )
        self.repository.commit("settings", **{"agenttasks.yaml": text})

    def agent(self, script: str) -> None:
        """What the agent does; `$AGENTTASKS_TASK` and `$AGENTTASKS_ATTEMPT` say for whom, the prompt is on stdin."""
        self.script.write_text(f"set -eu\n{script}\n")

    def task(
        self, name: str, text: str | None = None, *, scope: tuple[str, ...] = ("src/a.txt",), front: str = ""
    ) -> Path:
        return self.repository.write(
            f"tasks/pending/{name}.md", text or task_text(f"Task {name}", scope, front)
        )

    def run(self, *args: str, timeout: float = 60) -> Result:
        junit = self.script.parent / "report.xml"
        junit.unlink(missing_ok=True)
        process = self.start(*args)
        output, _ = process.communicate(timeout=timeout)
        return self.result(process.returncode, output)

    def result(self, status: int, output: str) -> Result:
        junit = self.script.parent / "report.xml"
        properties: dict[str, dict[str, str]] = {}
        if junit.exists():
            for case in ET.parse(junit).iter("testcase"):
                found = {p.get("name", ""): p.get("value", "") for p in case.iter("property")}
                properties[case.get("name", "")] = found
        outcomes = {name: found.get("outcome", "?") for name, found in properties.items()}
        return Result(status, output, outcomes, properties, junit)

    def start(
        self, *args: str, command: tuple[str, ...] = ("--agent-tasks", "tasks/pending")
    ) -> subprocess.Popen[str]:
        junit = self.script.parent / "report.xml"
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest",
                *(() if self.all_plugins else OWN_PLUGINS),
                *command,
                f"--junitxml={junit}",
                "-p",
                "no:cacheprovider",
                *args,
            ],
            cwd=self.path,
            env={**os.environ, **({} if self.all_plugins else NO_OTHERS), **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def where(self, name: str) -> list[str]:
        """The queue folders that hold this task's file."""
        tasks = self.path / "tasks"
        return [
            folder for folder in ("pending", "done", "failed") if (tasks / folder / f"{name}.md").exists()
        ]
