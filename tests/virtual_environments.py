"""Virtual environments with an editable install, made without a network and without pip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FINDER = """\
import sys
from importlib.machinery import PathFinder
from importlib.util import spec_from_file_location
MAPPING = {mapping!r}
class _EditableFinder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in MAPPING:
            return spec_from_file_location(fullname, MAPPING[fullname] + "/__init__.py")
def install():
    sys.meta_path.append(_EditableFinder)
"""
"""What setuptools writes for a package that does not lie in a folder `src`, shortened."""

REDIRECTOR = """\
import sys
from importlib.util import spec_from_file_location
class RedirectingFinder:
    _redirections = {mapping!r}
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in cls._redirections:
            return spec_from_file_location(fullname, cls._redirections[fullname])
sys.meta_path.append(RedirectingFinder)
"""
"""What the `editables` library writes, shortened."""


def virtual_environment(folder: Path) -> Path:
    """An empty environment; returns its site-packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return next(folder.glob("lib/python3*/site-packages"))


def install_editable(site: Path, how: str, package: Path) -> None:
    """Make `package` (a folder with an `__init__.py`) importable from where it is: `pth`, `finder` or `redirector`."""
    if how == "pth":
        (site / "__editable__.pkg-1.0.pth").write_text(f"{package.parent}\n")
    elif how == "finder":
        (site / "__editable___pkg_1_0_finder.py").write_text(
            FINDER.format(mapping={package.name: str(package)})
        )
        line = "import __editable___pkg_1_0_finder; __editable___pkg_1_0_finder.install()\n"
        (site / "__editable__.pkg-1.0.pth").write_text(line)
    else:
        mapping = {package.name: str(package / "__init__.py")}
        (site / "_editable_impl_pkg.py").write_text(REDIRECTOR.format(mapping=mapping))
        (site / "_pkg.pth").write_text("import _editable_impl_pkg\n")
