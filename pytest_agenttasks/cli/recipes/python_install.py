"""The line that makes a Python project's environment: uv, poetry, or pip in a venv."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from .model import Machine, table, texts
from .python_project import Project

INTERPRETER = ".venv/bin/python"


@dataclass(frozen=True, slots=True)
class Installation:
    """`setup` None: nothing has to be installed. `inputs` decide what `setup` installs."""

    ecosystem: str
    setup: str | None = None
    inputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def installation(project: Project, machine: Machine, *, pytest: bool) -> Installation:
    """How the environment for the gates is made; `pytest`: they need it, even if no list says so."""
    adds_pytest = pytest and "pytest" not in project.declared
    if project.has("uv.lock"):
        return Installation(
            "uv", _uv(project, adds_pytest), ("pyproject.toml", "uv.lock"), machine.missing("uv")
        )
    if project.has("poetry.lock"):
        line = "POETRY_VIRTUALENVS_IN_PROJECT=true poetry install --no-interaction"
        line += f" && {INTERPRETER} -m pip install -q pytest" if adds_pytest else ""
        return Installation("poetry", line, ("pyproject.toml", "poetry.lock"), machine.missing("poetry"))
    if not _has_something_to_install(project) and (not pytest or machine.python3_has("pytest")):
        return Installation("python")
    manifests = [name for name in ("pyproject.toml", "setup.py", "setup.cfg") if project.has(name)]
    inputs = (*manifests, *project.requirements)
    return Installation("pip", _pip(project, adds_pytest), inputs, machine.missing("python3"))


def _has_something_to_install(project: Project) -> bool:
    dynamic = "dependencies" in texts(table(project.toml, "project").get("dynamic"))
    asked = project.required or project.extras_with_tools or project.groups_with_tools
    return bool(
        asked or dynamic or project.has("setup.py") or "install_requires" in project.text("setup.cfg")
    )


def _uv(project: Project, adds_pytest: bool) -> str:
    words = ["uv sync --frozen"]
    words += ["--all-packages"] if "workspace" in project.tool("uv") else []
    words += [f"--extra {shlex.quote(name)}" for name in project.extras_with_tools]
    words += [f"--group {shlex.quote(name)}" for name in project.groups_with_tools if name != "dev"]
    return " ".join(words) + (" && uv pip install -q pytest" if adds_pytest else "")


def _pip(project: Project, adds_pytest: bool) -> str:
    wanted = [f"-r {name}" for name in project.requirements]
    if project.installable:
        extras = ",".join(project.extras_with_tools)
        wanted.append(f"-e {shlex.quote(f'.[{extras}]')}" if extras else "-e .")
    wanted += [f"--group {shlex.quote(name)}" for name in project.groups_with_tools]
    wanted += ["pytest"] if adds_pytest else []
    # Only a pip newer than some Pythons bring knows --group.
    newer = f"{INTERPRETER} -m pip install -q --upgrade pip && " if project.groups_with_tools else ""
    return f"python3 -m venv .venv && {newer}{INTERPRETER} -m pip install -q {' '.join(wanted)}"
