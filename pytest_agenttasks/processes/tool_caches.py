"""Where package managers and compilers keep their downloads in a sandbox: in folders of the workspace's own.

The user's are not shared: what an agent puts there (a wheel, a module's source) the user's next build would
run, outside any sandbox. They are not mounted over either: a mount for each made a start several times as long.
So variables lead the tools elsewhere. Stores that are only read (browsers, models, tool chains) stay where they are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping
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

HOMES: Mapping[str, tuple[str, tuple[str, ...], frozenset[str]]] = {
    "CARGO_HOME": (
        ".cargo",
        ("registry", "git"),
        frozenset({"credentials", "credentials.toml", ".crates.toml", ".crates2.json", ".global-cache"})
        | {".package-cache", ".package-cache-mutate"},
    ),
    "GRADLE_USER_HOME": (
        ".gradle",
        ("caches", "wrapper", "jdks", "native"),
        frozenset({"daemon", "notifications", "workers", ".tmp"}),
    ),
}
"""Variable of a tool that keeps caches and settings in one folder → where that is in the home, its caches, and what
is left out; links lead to the rest."""

_MAVEN = "-Dmaven.repo.local"


def redirected(
    caches: Path, homes: Path, home: Path | None, variables: Mapping[str, str], callers: Mapping[str, str]
) -> dict[str, str]:
    """The variables that lead tools to `caches`, a folder that programs in the sandbox write to, and to `homes`, an
    empty one.

    A variable that has another value in `variables` than in `callers`, the runner's own environment, was set in
    the settings: it stays.
    """
    found = {}
    for name, short in VARIABLES.items():
        if variables.get(name) == callers.get(name):
            found[name] = str(caches / short)
    for name, (usual, cached, left_out) in HOMES.items():
        if variables.get(name) == callers.get(name):
            given = callers.get(name)
            source = Path(given) if given else home / usual if home is not None else None
            folder = homes / usual.lstrip(".")
            folder.mkdir()
            for cache in cached:
                _lead(folder / cache, caches / f"{folder.name}-{cache}")
            _furnish(folder, source, left_out.union(cached))
            found[name] = str(folder)
    options = variables.get("MAVEN_OPTS", "")
    if _MAVEN not in options:
        found["MAVEN_OPTS"] = f"{options} {_MAVEN}={caches / 'maven'}".strip()
    return found


def _lead(link: Path, cache: Path) -> None:
    with contextlib.suppress(FileExistsError):  # whatever a program put there: this follows no link
        cache.mkdir()
    link.symlink_to(cache)


def _furnish(folder: Path, source: Path | None, left_out: Collection[str]) -> None:
    """Links in `folder` to all in `source` but what is left out."""
    if source is None or not source.is_dir():
        return
    for entry in os.scandir(source):
        if entry.name not in left_out:
            (folder / entry.name).symlink_to(entry.path)
