"""Read one conftest.py, the queue's, and no other: what `agenttasks run` does with `--noconftest`.

pytest itself would also import the conftest.py files of the top folder and of `tests/`, which tasks may
change: landed agent code would then run inside the runner.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from ..cli.run import CONFTEST_VARIABLE


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Early enough for the file to add options; xdist's workers come here too."""
    register(early_config)


def register(config: pytest.Config) -> None:
    """Import the file and register it as pytest does with conftest files. Raises UsageError."""
    file = os.environ.get(CONFTEST_VARIABLE)
    if not file or config.pluginmanager.has_plugin(file):
        return
    folder = str(Path(file).parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    specification = importlib.util.spec_from_file_location("conftest", file)
    if specification is None or specification.loader is None:
        raise pytest.UsageError(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules["conftest"] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise pytest.UsageError(f"{file}: cannot be imported: {type(error).__name__}: {error}") from error
    config.pluginmanager.register(module, file)
