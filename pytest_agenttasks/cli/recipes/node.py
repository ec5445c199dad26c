"""package.json: npm, pnpm, yarn and bun."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from typing import Any

from ...settings.strict_yaml import YamlError, parse
from .model import Gate, Machine, Recipe, json_of, table, text_of, texts

LOCKS = {
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun",
    "bun.lockb": "bun",
}
FROZEN = {
    "npm": "npm ci",
    "pnpm": "pnpm install --frozen-lockfile",
    "yarn": "yarn install --frozen-lockfile",
    "bun": "bun install --frozen-lockfile",
}
UNLOCKED = {
    "npm": "npm install --no-package-lock",
    "pnpm": "pnpm install --no-lockfile",
    "yarn": "yarn install --no-lockfile",
    "bun": "bun install --no-save",
}
SCRIPTS = {
    "lint": ("lint",),
    "typecheck": ("typecheck", "type-check", "check-types", "tsc"),
    "tests": ("test",),
}
_PLACEHOLDER = re.compile(r"no test specified")
_WATCHES = re.compile(r"--watch(All)?(?![\w=-])|--watch(All)?=true")
_NEEDS_CI = re.compile(r"\breact-scripts test\b|\bvitest\b(?! run)")
_MODERN_YARN = re.compile(r"yarn@([2-9]|[1-9]\d)")


def node(folder: Path, machine: Machine) -> Recipe | None:
    """The scripts test, lint and typecheck, and a clean install when there is something to install."""
    package = json_of(folder / "package.json")
    if package is None:
        return None
    lock = next((name for name in LOCKS if (folder / name).is_file()), None)
    manager = _manager(package, lock)
    gates, notes = _gates(manager, package)
    needs = any(table(package, key) for key in ("dependencies", "devDependencies", "optionalDependencies"))
    needs = needs or bool(_patterns(folder, package))
    inputs = ("package.json", lock, ".npmrc", ".yarnrc.yml", "pnpm-workspace.yaml") if needs else ()
    if needs and lock is None:
        notes.append(f"no lock file is committed, so `{UNLOCKED[manager]}` installs whatever is newest")
    return Recipe(
        ecosystem=manager,
        language="node",
        gates=tuple(gates),
        setup=_install(folder, manager, package, lock) if needs else None,
        inputs=tuple(name for name in inputs if name and (folder / name).is_file()),
        notes=(*notes, *(machine.missing(manager) if gates else ())),
    )


def members_of(root: Path) -> set[str]:
    """The folders that the package.json (or pnpm-workspace.yaml) of `root` installs together with it."""
    wanted = [p.removeprefix("./").rstrip("/") for p in _patterns(root, json_of(root / "package.json") or {})]
    taken = [pattern for pattern in wanted if not pattern.startswith("!")]
    left_out = [pattern[1:] for pattern in wanted if pattern.startswith("!")]
    manifests = [*root.glob("*/package.json"), *root.glob("*/*/package.json")]
    folders = {manifest.parent.relative_to(root).as_posix() for manifest in manifests}
    return {folder for folder in folders if _any(folder, taken) and not _any(folder, left_out)}


def _any(folder: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(folder, pattern) for pattern in patterns)


def _patterns(folder: Path, package: dict[str, Any]) -> list[str]:
    listed = texts(package.get("workspaces")) or texts(table(package, "workspaces").get("packages"))
    text = text_of(folder / "pnpm-workspace.yaml")
    if text is not None:
        try:
            listed += texts(table({"top": parse(text).value}, "top").get("packages"))
        except YamlError:
            return listed
    return listed


def _manager(package: dict[str, Any], lock: str | None) -> str:
    named = str(package.get("packageManager", "")).partition("@")[0]
    if named in FROZEN:
        return named
    return LOCKS[lock] if lock else "npm"


def _install(folder: Path, manager: str, package: dict[str, Any], lock: str | None) -> str:
    if lock is None or LOCKS[lock] != manager:
        return UNLOCKED[manager]
    modern = (folder / ".yarnrc.yml").is_file() or _MODERN_YARN.match(str(package.get("packageManager", "")))
    return "yarn install --immutable" if manager == "yarn" and modern else FROZEN[manager]


def _gates(manager: str, package: dict[str, Any]) -> tuple[list[Gate], list[str]]:
    scripts = table(package, "scripts")
    gates: list[Gate] = []
    notes: list[str] = []
    for kind, names in SCRIPTS.items():
        name = next(
            (name for name in names if isinstance(scripts.get(name), str) and scripts[name].strip()), None
        )
        if name is None or _PLACEHOLDER.search(scripts[name]):
            continue
        if _WATCHES.search(scripts[name]):
            notes.append(f"the script `{name}` watches files and never ends; add a gate that runs once")
            continue
        env = (("CI", "true"),) if _NEEDS_CI.search(scripts[name]) else ()
        run = "npm test" if (manager, name) == ("npm", "test") else f"{manager} run {name}"
        gates.append(Gate(kind, run, env=env))
    return gates, notes
