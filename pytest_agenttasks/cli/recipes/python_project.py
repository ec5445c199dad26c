"""What a folder's files say about a Python project."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .model import table, text_of, texts, toml_of

TOOLS = frozenset({"pytest", "ruff", "mypy"})
"""What gates are made of: the extras and groups that hold one of these are installed."""

_REQUIREMENTS = re.compile(
    r"requirements([-_.](dev|develop|test|tests|testing))?\.txt|(dev|test|tests)[-_]requirements\.txt"
)
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_TEST_FILE = re.compile(r"test_.*\.py|.*_test\.py")
_IMPORTS_PYTEST = re.compile(r"^\s*(import|from) pytest\b", re.M)
_NO_TESTS_IN = frozenset(
    {"node_modules", "venv", "env", "build", "dist", "site-packages", "vendor", "__pycache__"}
)
_MOST_FILES = 20_000
_MOST_READ = 40


@dataclass(frozen=True, slots=True)
class Project:
    """The manifests in one folder. `requirements` are file names, the other lists names of distributions."""

    folder: Path
    toml: Mapping[str, Any]
    requirements: tuple[str, ...]
    required: frozenset[str]
    extras: Mapping[str, frozenset[str]]
    groups: Mapping[str, frozenset[str]]

    @property
    def declared(self) -> frozenset[str]:
        """The names of everything that some list asks for."""
        return self.required.union(*self.extras.values(), *self.groups.values())

    @property
    def extras_with_tools(self) -> list[str]:
        return [name for name, names in self.extras.items() if names & TOOLS]

    @property
    def groups_with_tools(self) -> list[str]:
        return [name for name, names in self.groups.items() if names & TOOLS]

    @property
    def installable(self) -> bool:
        return bool(table(self.toml, "project") or "build-system" in self.toml or self.has("setup.py"))

    @property
    def configures_pytest(self) -> bool:
        if self.has("pytest.ini") or self.configures("pytest"):
            return True
        return "[tool:pytest]" in self.text("setup.cfg") or "[pytest]" in self.text("tox.ini")

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def text(self, name: str) -> str:
        return text_of(self.folder / name) or ""

    def tool(self, name: str) -> dict[str, Any]:
        return table(self.toml, "tool", name)

    def configures(self, tool: str) -> bool:
        return tool in table(self.toml, "tool") or self.has(f"{tool}.toml") or self.has(f".{tool}.toml")


def read_project(folder: Path) -> Project | None:
    """The Python project in `folder`; None when nothing there says that it is one."""
    toml = toml_of(folder / "pyproject.toml")
    requirements = sorted(path.name for path in folder.glob("*.txt") if _REQUIREMENTS.fullmatch(path.name))
    manifests = any((folder / name).is_file() for name in ("setup.py", "setup.cfg", "pytest.ini", "tox.ini"))
    tests = (
        any(folder.glob("test_*.py"))
        or any(folder.glob("test*/test_*.py"))
        or any(folder.glob("test*/*_test.py"))
    )
    if toml is None and not requirements and not manifests and not tests:
        return None
    toml = toml or {}
    required = set(_names(texts(table(toml, "project").get("dependencies"))))
    required |= set(table(toml, "tool", "poetry", "dependencies")) - {"python"}
    for name in requirements:
        required |= _names((text_of(folder / name) or "").splitlines())
    groups = {name: _names(texts(listed)) for name, listed in table(toml, "dependency-groups").items()}
    for name, inner in table(toml, "tool", "poetry", "group").items():
        groups[name] = frozenset(table(inner, "dependencies"))
    if dev := _names(texts(table(toml, "tool", "uv").get("dev-dependencies"))):
        groups["dev"] = groups.get("dev", frozenset()) | dev
    extras = table(toml, "project", "optional-dependencies")
    return Project(
        folder=folder,
        toml=toml,
        requirements=tuple(requirements),
        required=frozenset(required),
        extras={name: _names(texts(listed)) for name, listed in extras.items()},
        groups=groups,
    )


def _names(requirements: Iterable[str]) -> frozenset[str]:
    matches = map(_NAME.match, requirements)
    return frozenset(match[1].lower().replace("_", "-") for match in matches if match)


@dataclass(frozen=True, slots=True)
class Tests:
    """What the test files look like.

    `need_pytest`: one of those that were read imports pytest, or has nothing to do with unittest. `unittest`
    is the module with its arguments that runs them otherwise.
    """

    found: bool
    need_pytest: bool
    unittest: str

    @classmethod
    def of(cls, folder: Path) -> Tests:
        files = list(_test_files(folder))
        sources = [text_of(path) or "" for path in files[:_MOST_READ]]
        need_pytest = any(_IMPORTS_PYTEST.search(source) or "unittest" not in source for source in sources)
        start = next((name for name in ("tests", "test") if (folder / name).is_dir()), None)
        package = start is not None and (folder / start / "__init__.py").is_file()
        where = f" -s {start}{' -t .' if package else ''}" if start else ""
        return cls(bool(files), need_pytest, f"unittest discover{where}")


def _test_files(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NO_TESTS_IN and not name.startswith("."))
        for name in sorted(files):
            seen += 1
            if _TEST_FILE.fullmatch(name):
                yield Path(place, name)
        if seen > _MOST_FILES:
            return
