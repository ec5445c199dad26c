"""Where programs in a place look for code: the place's own, where the user's environment leads to the user's checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_PYTHON_SIGNS = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "tox.ini",
    "pytest.ini",
    "requirements.txt",
    "conftest.py",
)

_ASK = """
import os, sys
print(*sys.path[1:], sep="\\n")
def root(name, path):
    # An editable install that is a finder knows the place of each module; its parent is what must be searched.
    path = os.path.splitext(path.removesuffix("/__init__.py"))[0]
    return path.removesuffix("/" + name.replace(".", "/"))
for module in [m for n, m in sys.modules.items() if n.startswith("__editable__")]:
    print(*[root(*item) for item in getattr(module, "MAPPING", {}).items()], sep="\\n")
for finder in sys.meta_path:
    print(*[root(*item) for item in getattr(finder, "_redirections", {}).items()], sep="\\n")
"""


def search_paths(
    top: Path, place: Path, variables: Mapping[str, str], callers: Mapping[str, str]
) -> dict[str, str]:
    """PATH and PYTHONPATH for programs in `place`, a checkout of the user's repository at `top`.

    A folder of PATH in the user's checkout comes after its counterpart in the place. PYTHONPATH holds the
    counterparts of what Python would import from the user's checkout (`callers` is the environment with the
    user's own PYTHONPATH), then `src`, then the top; a value in `variables` is left as it is.
    """
    path = variables.get("PATH", os.defpath)
    found = {"PATH": os.pathsep.join(dict.fromkeys(_own_first(path, top, place)))}
    if "PYTHONPATH" not in variables and (
        own := _python_path(top, place, path, callers.get("PYTHONPATH", ""))
    ):
        found["PYTHONPATH"] = own
    return found


def _own_first(path: str, top: Path, place: Path) -> Iterable[str]:
    for entry in path.split(os.pathsep):
        inner = _inside(entry, top)
        if inner is not None and (place / inner).is_dir():
            yield str(place / inner)
        yield entry


def _python_path(top: Path, place: Path, path: str, callers: str) -> str:
    fixed = os.pathsep.join(entry for entry in path.split(os.pathsep) if entry.startswith("/"))
    python = shutil.which("python3", path=fixed) or shutil.which("python", path=fixed)
    if python is None:
        return ""
    asked = [str(top / entry) for entry in callers.split(os.pathsep) if entry]
    inner = [found for entry in (*asked, *_import_path(python)) if (found := _inside(entry, top)) is not None]
    if not inner and not _is_python(place):
        return ""
    wanted = [place / entry for entry in (*inner, "src", ".")]
    return os.pathsep.join(dict.fromkeys(str(folder) for folder in wanted if folder.is_dir()))


def _inside(entry: str, top: Path) -> str | None:
    """The part of a search path below `top`, None when it lies elsewhere; installed packages do not count."""
    if not entry.startswith("/") or entry.rstrip("/").endswith("-packages"):
        return None
    resolved = os.path.realpath(entry)
    for place in (os.path.normpath(entry), resolved):
        if place == str(top) or place.startswith(f"{top}/"):
            return os.path.relpath(place, top)
    return None


def _is_python(place: Path) -> bool:
    return any((place / sign).exists() for sign in _PYTHON_SIGNS) or any(place.glob("*.py"))


@cache
def _import_path(python: str) -> tuple[str, ...]:
    """What this interpreter searches by itself: site-packages, and where editable installs lead."""
    asked = subprocess.run(
        [python, "-c", _ASK],
        capture_output=True, encoding="utf-8", errors="surrogateescape", check=False, cwd="/", stdin=subprocess.DEVNULL,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    return tuple(line for line in asked.stdout.splitlines() if line)
