"""Dependency recipes (`workspace:` in the settings) that cannot work, or would reach into the user's own folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..outcome import SetupError
from .dependencies import Provider, git_path
from .objects import blob, entries

_PIP = re.compile(r"(?:^|[;&|(])\s*(?:python[0-9.]*\s+-m\s+)?pip[0-9.]*\s+install\b")
_OWN_ENVIRONMENT = re.compile(r"venv|activate|--(?:target|prefix|root)\b")
_INSTEAD = "use `workspace.copy` or `workspace.setup`"


def refuse_unusable(provider: Provider, tree: str) -> None:
    """Raise SetupError for a recipe that cannot work with `tree` as the base."""
    _refuse_tracked(provider, tree)
    for path in provider.settings.link:
        _refuse_link(provider, tree, path)
    for path in provider.copied():
        source = provider.present("copy", path)
        for name in _leading_out(source, provider.shadow.repository.top):
            if (source / name).readlink().is_absolute():
                raise SetupError(
                    f"workspace.copy: `{path}/{name}` is an absolute link into your checkout, so gates would test your "
                    "files instead of the attempt's; use `workspace.setup`"
                )
    inputs = provider.settings.setup_inputs
    found = entries(provider.shadow, tree, map(git_path, inputs))
    for path in inputs:
        if re.search(r"[*?\[]", path) and git_path(path) not in found:
            raise SetupError(
                f"workspace.setup_inputs: `{path}` is no file or folder of the last commit; name each one (a glob "
                "stands for nothing here, a folder for all that is in it)"
            )
    setup = provider.settings.setup
    if setup and _PIP.search(setup) and not _OWN_ENVIRONMENT.search(setup):
        raise SetupError(
            f"workspace.setup: `{setup}` would install into the Python environment that you use yourself; make one in the "
            "workspace: `python3 -m venv .venv && .venv/bin/python -m pip install …`"
        )


def _refuse_tracked(provider: Provider, tree: str) -> None:
    """What is tracked is in every workspace already; a cache may lie in a folder with tracked files."""
    settings = provider.settings
    for key, paths in (("copy", settings.copy), ("cache", settings.cache), ("link", settings.link)):
        for path, (mode, _) in entries(provider.shadow, tree, map(git_path, paths)).items():
            if mode != "040000" or key != "cache":
                raise SetupError(
                    f"workspace.{key}: `{os.fsdecode(path)}` is tracked by git, so every workspace has it already; remove "
                    "it from the settings"
                )


def _refuse_link(provider: Provider, tree: str, path: str) -> None:
    """Refuse what would write through a link into the user's folder, or lead gates to the user's files."""
    source = provider.present("link", path)
    if (source / "pyvenv.cfg").exists():
        raise SetupError(
            f"workspace.link: `{path}` is a virtual environment, which tools write into; {_INSTEAD}"
        )
    if PurePosixPath(path).name == "node_modules":
        if provider.settings.setup:
            raise SetupError(
                f"workspace.link: `{path}` together with workspace.setup: an install empties the folder that the link leads "
                "to, which is yours; remove one of them"
            )
        manifest = git_path(str(PurePosixPath(path).with_name("package.json")))
        package = entries(provider.shadow, tree, [manifest]).get(manifest)
        if package and b'"workspaces"' in blob(provider.shadow, package[1]):
            raise SetupError(
                f"workspace.link: `{path}` of an npm workspace links back into your checkout, so gates would test your "
                f"files instead of the attempt's; {_INSTEAD}"
            )
    for name in _leading_out(source, provider.shadow.repository.top):
        raise SetupError(
            f"workspace.link: `{path}/{name}` links back into your checkout, so gates would test your files instead of the "
            f"attempt's; {_INSTEAD}"
        )


def _leading_out(folder: Path, top: Path) -> Iterator[str]:
    """Links right in `folder`, or in a scope (`@…`) of it, that lead to another place of the checkout at `top`."""
    inside, around = folder.resolve(), top.resolve()
    for link in sorted([*folder.glob("*"), *folder.glob("@*/*")]):
        if link.is_symlink():
            target = link.resolve()
            if target.is_relative_to(around) and not target.is_relative_to(inside):
                yield link.relative_to(folder).as_posix()
