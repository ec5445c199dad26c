"""Python projects: pytest or unittest for the tests, ruff and mypy where the project installs them."""

from __future__ import annotations

from pathlib import Path

from .model import Gate, Machine, Recipe, table, toml_of
from .python_install import INTERPRETER, installation
from .python_project import Tests, read_project


def python(folder: Path, machine: Machine) -> Recipe | None:
    """The tests (and ruff and mypy where configured and installed), with the environment that they need."""
    project = read_project(folder)
    if project is None:
        return None
    tests = Tests.of(folder)
    pytest = project.configures_pytest or "pytest" in project.declared or tests.need_pytest
    installed = installation(project, machine, pytest=pytest)
    interpreter = INTERPRETER if installed.setup else "python3"
    gates = []
    if installed.setup and "ruff" in project.declared and project.configures("ruff"):
        gates.append(Gate("lint", f"{interpreter} -m ruff check ."))
    if installed.setup and "mypy" in project.declared and project.tool("mypy").keys() & {"files", "packages"}:
        gates.append(Gate("typecheck", f"{interpreter} -m mypy"))
    notes = installed.notes
    if tests.found:
        modern = pytest or (not installed.setup and machine.python3_has("pytest"))
        gates.append(Gate("tests", f"{interpreter} -m {'pytest -q' if modern else tests.unittest}"))
    elif pytest:
        notes = (*notes, "pytest is set up but no test file was found, so there is no gate for it")
    used = installed.setup is not None and bool(gates)
    return Recipe(
        ecosystem=installed.ecosystem,
        language="python",
        gates=tuple(gates),
        setup=installed.setup if used else None,
        inputs=installed.inputs if used else (),
        notes=notes if gates or pytest else (),
        path=".venv/bin" if used else None,
    )


def has_uv_workspace(root: Path) -> bool:
    """Whether the folders below are installed, and tested, with `root`."""
    return "workspace" in table(toml_of(root / "pyproject.toml"), "tool", "uv")
