"""Where package managers and compilers keep their downloads in a sandbox: in folders of the workspace's own.

The user's are not shared: what an agent puts there (a wheel, a module's source) the user's next build would
run, outside any sandbox. They are not mounted over either: a mount for each made a start several times as long.
So variables lead the tools elsewhere. Stores that are only read (browsers, models, tool chains) stay where they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLES: Mapping[str, str] = {
    "npm_config_cache": "npm",
    "COREPACK_HOME": "corepack",
    "YARN_CACHE_FOLDER": "yarn",
    "YARN_GLOBAL_FOLDER": "yarn-berry",
    "PNPM_HOME": "pnpm",
    "npm_package_config_node_gyp_devdir": "node-gyp",
    "BUN_INSTALL_CACHE_DIR": "bun",
    "DENO_DIR": "deno",
    "PIP_CACHE_DIR": "pip",
    "UV_CACHE_DIR": "uv",
    "POETRY_CACHE_DIR": "poetry",
    "PRE_COMMIT_HOME": "pre-commit",
    "GOCACHE": "go-build",
    "GOMODCACHE": "go-mod",
    "GOLANGCI_LINT_CACHE": "golangci-lint",
    "NUGET_PACKAGES": "nuget",
    "DOTNET_CLI_HOME": "dotnet",
    "PUB_CACHE": "pub",
    "COMPOSER_CACHE_DIR": "composer",
    "SCCACHE_DIR": "sccache",
    "CCACHE_DIR": "ccache",
}
"""Variable → folder below the caches of one workspace."""

HOMES: Mapping[str, tuple[str, frozenset[str]]] = {
    "CARGO_HOME": (
        ".cargo",
        frozenset({"registry", "git", "credentials", "credentials.toml"})
        | {".package-cache", ".package-cache-mutate", ".global-cache", ".crates.toml", ".crates2.json"},
    ),
    "GRADLE_USER_HOME": (
        ".gradle",
        frozenset({"caches", "daemon", "native", "notifications", "workers", "wrapper", "jdks", ".tmp"}),
    ),
}
"""Variable of a tool that keeps caches and settings in one folder → where that is in the home, and what in it is
cache; links lead to the rest."""

_MAVEN = "-Dmaven.repo.local"


def redirected(
    caches: Path, home: Path | None, variables: Mapping[str, str], callers: Mapping[str, str]
) -> dict[str, str]:
    """The variables that lead tools to `caches`; makes what they need there.

    A variable that has another value in `variables` than in `callers`, the runner's own environment, was set in
    the settings: it stays.
    """
    caches.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, folder in VARIABLES.items():
        if variables.get(name) == callers.get(name):
            found[name] = str(caches / folder)
    for name, (usual, private) in HOMES.items():
        if variables.get(name) == callers.get(name):
            given = callers.get(name)
            source = Path(given) if given else home / usual if home is not None else None
            _furnish(caches / usual.lstrip("."), source, private)
            found[name] = str(caches / usual.lstrip("."))
    options = variables.get("MAVEN_OPTS", "")
    if _MAVEN not in options:
        found["MAVEN_OPTS"] = f"{options} {_MAVEN}={caches / 'maven'}".strip()
    return found


def _furnish(folder: Path, source: Path | None, private: frozenset[str]) -> None:
    """Links in `folder` to all in `source` but what is private; a program may have put anything in their place."""
    folder.mkdir(exist_ok=True)
    if source is None or not source.is_dir():
        return
    for entry in os.scandir(source):
        link = folder / entry.name
        if entry.name not in private and not (link.is_symlink() and str(link.readlink()) == entry.path):
            if os.path.lexists(link):
                link.rename(folder / f"{entry.name}.replaced") if link.is_dir() else link.unlink()
            link.symlink_to(entry.path)
