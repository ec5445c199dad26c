"""Read one conftest.py, the queue's, and no other: what `agenttasks run` does with `--noconftest`.

pytest itself would also import the conftest.py files of the top folder and of `tests/`, which tasks may
change: landed agent code would then run inside the runner.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from ..cli.run import CONFTEST_VARIABLE


def pytest_addoption(parser: pytest.Parser) -> None:
    """Errors of the command line are this command's: nobody has typed `python -m pytest`."""
    parser.prog = "agenttasks run"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """Early enough for the file to add options; xdist's workers come here too."""
    register(early_config)
    result = yield
    parser.extra_info.pop("inifile", None)
    if meant := _meant(parser, args):
        parser.extra_info["did you mean"] = meant
    return result


def _meant(parser: pytest.Parser, arguments: list[str]) -> str:
    """The options nearest to those of `arguments` that nobody knows."""
    groups = [*parser._groups, parser._anonymous]
    known = [name for group in groups for option in group.options for name in option.names()]
    unknown = [argument.partition("=")[0] for argument in parser.parse_known_and_unknown_args(arguments)[1]]
    close = [difflib.get_close_matches(name, known, n=1) for name in unknown if name.startswith("--")]
    return ", ".join(name for names in close for name in names)


def register(config: pytest.Config) -> None:
    """Import the file and register it as pytest does with conftest files. Raises UsageError."""
    file = os.environ.get(CONFTEST_VARIABLE)
    if file and not config.pluginmanager.has_plugin(file):
        load(config, file)


def load(config: pytest.Config, file: str) -> None:
    """Import one conftest.py. Raises UsageError."""
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
