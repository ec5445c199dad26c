"""The project's hooks without a pytest run, for verbs that gate and land: those of the queue's conftest.py, as with
`agenttasks run`."""

from __future__ import annotations

import pytest
from _pytest.config import get_config

from .. import hookspecs
from ..cli.run import conftest_of
from ..outcome import SetupError
from ..queue import Queue
from .extensions import HookExtensions
from .tasks_conftest import load


def extensions(queue: Queue) -> HookExtensions:
    """Asks the conftest.py beside the queue's folders. Raises SetupError where that cannot be imported."""
    config = get_config([])
    config.pluginmanager.add_hookspecs(hookspecs)
    file = conftest_of(queue.pending)
    if file is not None:
        try:
            load(config, str(file))
        except pytest.UsageError as error:
            raise SetupError(str(error)) from error
    return HookExtensions(config)
