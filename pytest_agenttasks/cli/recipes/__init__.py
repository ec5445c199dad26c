"""What a project's files say about its gates and dependencies, for `agenttasks init`.

Nothing of the project is executed, only its manifests are read. One module an ecosystem: a function from a
folder to a `Recipe`, or None. `detect` asks them about the top folder and one level below it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .compiled import cargo, go
from .make import make
from .model import Detected, Gate, Machine, Recipe, rank
from .node import members_of, node
from .python import has_uv_workspace, python

__all__ = ["Detected", "Gate", "Machine", "Recipe", "detect"]

CONTAINERS = ("packages", "apps", "libs", "crates", "services", "modules")
"""Folders of a monorepo that hold projects without being one."""

NO_PROJECTS = frozenset(
    {
        "node_modules",
        "vendor",
        "third_party",
        "target",
        "build",
        "dist",
        "venv",
        "test",
        "tests",
        "docs",
        "examples",
    }
)
MOST_FOLDERS = 60

UNKNOWN = {
    "pom.xml": "mvn -q test",
    "build.gradle": "./gradlew test",
    "build.gradle.kts": "./gradlew test",
    "Gemfile": "bundle exec rake test",
    "composer.json": "composer test",
    "mix.exs": "mix test",
    "CMakeLists.txt": "cmake -B build && cmake --build build && ctest --test-dir build",
    "justfile": "just test",
    "noxfile.py": "nox",
    "tox.ini": "tox -q",
}
"""Manifests that have no recipe, with what their gate usually is."""


def detect(root: Path, machine: Machine) -> Detected:
    """Gates (cheap ones first), the dependency recipe and remarks for the project in `root`."""
    recipes = [recipe for recipe in _top(root, machine) if recipe.useful]
    recipes += [recipe for recipe in _below(root, machine, recipes) if recipe.gates]
    return Detected(
        gates=_named(recipes),
        setup=" && ".join(_in_folder(recipe) for recipe in recipes if recipe.setup) or None,
        setup_inputs=tuple(dict.fromkeys(_prefixed(r.folder, path) for r in recipes for path in r.inputs)),
        cache=tuple(_prefixed(r.folder, path) for r in recipes for path in r.cache),
        notes=tuple(dict.fromkeys(note for r in recipes for note in r.notes)),
        ecosystems=tuple(dict.fromkeys(r.ecosystem for r in recipes if r.gates)),
        suggestion=next((run for name, run in UNKNOWN.items() if (root / name).is_file()), None),
    )


def _top(root: Path, machine: Machine) -> Iterator[Recipe]:
    found = [recipe for look in (node, python, cargo, go) if (recipe := look(root, machine)) is not None]
    yield from found
    made = make(root, machine, found)
    if made is not None:
        yield made


def _below(root: Path, machine: Machine, top: list[Recipe]) -> Iterator[Recipe]:
    """Recipes of the folders below, without what those of the top folder do already."""
    members = members_of(root)
    covered = {recipe.language for recipe in top if recipe.covers_members}
    if has_uv_workspace(root):
        covered.add("python")
    tested = any(gate.kind == "tests" for recipe in top for gate in recipe.gates)
    for folder in _folders(root):
        relative = folder.relative_to(root).as_posix()
        found = [
            recipe for look in (node, python, cargo, go) if (recipe := look(folder, machine)) is not None
        ]
        if not found and not tested and (made := make(folder, machine, ())) is not None:
            found = [made]
        for recipe in found:
            if recipe.language == "node" and relative in members:
                yield recipe.as_member(next((r for r in top if r.language == "node"), None)).inside(relative)
            elif recipe.language not in covered:
                yield recipe.inside(relative)


def _folders(root: Path) -> list[Path]:
    """The folders below `root` that may hold a project of their own."""
    candidates = []
    for folder in sorted(root.iterdir()):
        if _may_hold_project(folder):
            inner = sorted(folder.iterdir()) if folder.name in CONTAINERS else []
            candidates += [folder, *filter(_may_hold_project, inner)]
    return candidates[:MOST_FOLDERS]


def _may_hold_project(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in NO_PROJECTS
    return not hidden and folder.is_dir() and not folder.is_symlink()


def _named(recipes: list[Recipe]) -> tuple[Gate, ...]:
    """All gates in order of cost, each with a name of its own."""
    owned = [(recipe, gate) for recipe in recipes for gate in recipe.gates]
    owned.sort(key=lambda pair: rank(pair[1].kind))
    wanted = [_slug(f"{gate.kind}-{recipe.folder}" if recipe.folder else gate.kind) for recipe, gate in owned]
    often = Counter(wanted)
    named: dict[str, Gate] = {}
    for (recipe, gate), name in zip(owned, wanted, strict=True):
        base = _slug(f"{name[:30]}-{recipe.language}") if often[name] > 1 else name
        unique, number = base, 1
        while unique.casefold() in named:
            number += 1
            unique = f"{base[:36]}-{number}"
        named[unique.casefold()] = gate.called(unique, recipe.folder)
    return tuple(named.values())


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name)[:40].strip("-.")


def _prefixed(folder: str | None, path: str) -> str:
    return f"{folder}/{path}" if folder else path


def _in_folder(recipe: Recipe) -> str:
    return f"(cd {recipe.quoted_folder} && {recipe.setup})" if recipe.folder else str(recipe.setup)
